//! A half message on its way into the log: it is stored in RMQ_SYS_TRANS_HALF_TOPIC, which nobody
//! reads, and its properties say where it goes when its transaction is committed (Apache's
//! `TransactionalMessageBridge.parseHalfMessageInner`).
//!
//! ```text
//!   sent:    topic T, queue 3, properties TRAN_MSG␁true␂PGROUP␁p␂UNIQ_KEY␁k, bits of SYSFLAG: prepared
//!   stored:  topic RMQ_SYS_TRANS_HALF_TOPIC, queue 0, no bits,
//!            properties TRAN_MSG␁true␂PGROUP␁p␂UNIQ_KEY␁k␂__transactionId__␁k␂REAL_TOPIC␁T␂REAL_QID␁3␂
//! ```
//!
//! A delay level stays in its properties and counts from the commit on.

use protocol::properties::{self, names};
use protocol::sys_flag::TRANSACTION_ROLLBACK;

/// How often the producers were asked; counted in the copies of a half message.
pub(crate) const CHECK_TIMES: &str = "TRANSACTION_CHECK_TIMES";
/// The queue offset that a half message had first, in its copies.
pub(crate) const FIRST_OFFSET: &str = "TRAN_PREPARED_QUEUE_OFFSET";
/// Seconds in which producers are not asked.
pub(crate) const IMMUNITY: &str = "CHECK_IMMUNITY_TIME_IN_SECONDS";

/// The queue of both topics.
pub(crate) const QUEUE_ID: i32 = 0;

/// What only the broker says in a half message.
pub(super) const TAKEN_OUT: [&str; 5] =
    [names::REAL_TOPIC, names::REAL_QUEUE_ID, names::TRANSACTION_ID, CHECK_TIMES, FIRST_OFFSET];

/// SYSFLAG without what it says of transactions.
pub(crate) fn without_transaction(sys_flag: i32) -> i32 {
    sys_flag & !TRANSACTION_ROLLBACK
}

/// Appends the properties that say which transaction it is and where its message goes.
pub(crate) fn write_properties(out: &mut Vec<u8>, unique_key: &str, topic: &str, queue_id: i32) {
    if !unique_key.is_empty() {
        properties::write(out, names::TRANSACTION_ID, unique_key);
    }
    properties::write(out, names::REAL_TOPIC, topic);
    properties::write(out, names::REAL_QUEUE_ID, &queue_id.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::sys_flag::{COMPRESSED, TRANSACTION_PREPARED};

    #[test]
    fn the_properties_are_those_that_apache_writes() {
        let mut out = vec![];
        write_properties(&mut out, "7F00", "T", 3);
        assert_eq!(out, b"__transactionId__\x017F00\x02REAL_TOPIC\x01T\x02REAL_QID\x013\x02");
        out.clear();
        write_properties(&mut out, "", "T", 0);
        assert_eq!(out, b"REAL_TOPIC\x01T\x02REAL_QID\x010\x02");
    }

    #[test]
    fn a_half_message_keeps_every_other_bit() {
        assert_eq!(without_transaction(COMPRESSED | TRANSACTION_PREPARED), COMPRESSED);
    }
}
