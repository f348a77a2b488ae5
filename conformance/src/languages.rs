//! Stock clients of other languages than Java: Go, Node, C++ (through Python), Rust.
//!
//! ```text
//!  runner (this) --orders, as JSON lines--> one program a language (../clients): the stock client
//!       ^                                        |  remoting protocol
//!       +------events, as JSON lines-------------+--> the cluster that the Java scenarios used
//! ```
//!
//! The programs only do what they are told and tell what happened; what is expected stands here,
//! once for all languages. The table (`table`) says which client has what.
//!
//! Reading order: `table`, `play`; `checks`, `waits`, `kill` (what is expected);
//! `site`, `program`, `admin` (how); `toolchain` (what is built and from where).

mod admin;
mod checks;
mod kill;
mod play;
mod program;
mod site;
mod table;
mod toolchain;
mod waits;

pub(crate) use play::Play;
pub(crate) use table::{CAPABILITIES, Capability, names};
pub(crate) use toolchain::{Toolchain, missing};
