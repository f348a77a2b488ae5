//! Masters and slaves, as processes and as peers that the tests play themselves.

mod consumers;
mod follow;
mod master;
mod new_master;
mod pair;
mod parted;
mod promote;
mod sync;
mod tables;
mod wire;
mod wrong_master;
