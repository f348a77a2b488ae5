//! How transactions are ended, and when their producers are asked.

use protocol::config_file::{Key, Settings};

const INT_MAX: i64 = i32::MAX as i64;
const DAY_MS: i64 = 86_400_000;

/// RocketMQ's keys of transactions.
pub(super) const KEYS: &[Key] = &[
    Key::bool("rejectTransactionMessage", "false", "true: transactional messages are refused (16)"),
    Key::int(
        "transactionTimeOut",
        0,
        DAY_MS,
        "6000",
        "milliseconds that a transaction may take before its producers are asked how it ends",
    ),
    Key::int(
        "transactionCheckMax",
        0,
        INT_MAX,
        "15",
        "how often they are asked before the message goes to TRANS_CHECK_MAX_TIME_TOPIC",
    ),
    Key::int(
        "transactionCheckInterval",
        100,
        DAY_MS,
        "30000",
        "milliseconds between two such questions",
    ),
];

/// The validated values of [`KEYS`], and what else decides about a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TransactionOptions {
    /// `rejectTransactionMessage`.
    pub(crate) are_rejected: bool,
    /// `transactionTimeOut`.
    pub(crate) time_out_ms: i64,
    /// `transactionCheckMax`.
    pub(crate) checks_max: i32,
    /// `transactionCheckInterval`.
    pub(crate) check_interval_ms: i64,
    /// `fileReservedTime`: an older message may be removed with its log file.
    pub(crate) reserved_ms: i64,
}

impl TransactionOptions {
    pub(super) fn from_settings(settings: &Settings) -> Self {
        Self {
            are_rejected: settings.bool("rejectTransactionMessage"),
            time_out_ms: settings.i64("transactionTimeOut"),
            checks_max: settings.int("transactionCheckMax"),
            check_interval_ms: settings.i64("transactionCheckInterval"),
            reserved_ms: settings.i64("fileReservedTime").saturating_mul(3_600_000),
        }
    }
}
