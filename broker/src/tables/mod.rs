//! What a broker knows: topics, groups, members, offsets, locks. Pure, without clock or sockets.

pub(crate) mod consumers;
pub(crate) mod files;
pub(crate) mod groups;
pub(crate) mod locks;
mod members;
pub(crate) mod offsets;
pub(crate) mod producers;
pub(crate) mod topics;

/// A topic or group of a file that stays in the file and is not served.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotServed {
    /// Its name as the file has it.
    pub(crate) name: String,
    /// What is wrong with the name.
    pub(crate) why: protocol::names::NameError,
}
