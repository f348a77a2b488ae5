//! What a broker knows: topics, groups, members, offsets, locks. Pure, without clock or sockets.

pub(crate) mod consumers;
pub(crate) mod files;
pub(crate) mod groups;
pub(crate) mod locks;
pub(crate) mod offsets;
pub(crate) mod producers;
pub(crate) mod topics;
