//! What a protocol has to do to be counted: send, and pull what was sent.

/// A client of one protocol, on a connection of its own to the broker under test. It runs on a
/// thread that is left out of the ledger, so it may allocate and copy as it likes.
pub(crate) trait Lane {
    /// How it is called in what the tests print.
    fn name(&self) -> &'static str;

    /// Bytes of the body of each message.
    fn body_bytes(&self) -> usize;

    /// Bytes that one copy takes into the tail at once: the body, where the record is made around
    /// it; the record, where it comes whole.
    fn copied_bytes(&self) -> usize {
        self.body_bytes()
    }

    /// Sends messages, `in_flight` of them at a time in one write, and returns once all are
    /// acknowledged.
    fn send(&mut self, messages: usize, in_flight: usize);

    /// Pulls this many messages that are in the broker's memory, in answers of several, and throws
    /// them away.
    fn pull(&mut self, messages: usize);
}
