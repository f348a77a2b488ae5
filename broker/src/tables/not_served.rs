//! What a saved table holds and the broker does not serve.

/// A topic or group of a file that stays in the file and is not served.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotServed {
    /// Its name as the file has it.
    pub(crate) name: String,
    /// What is wrong with the name.
    pub(crate) why: protocol::names::NameError,
}
