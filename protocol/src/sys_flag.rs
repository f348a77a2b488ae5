//! Bits of a message's `sysFlag` and of a pull request's `sysFlag` (two unrelated numbers with one
//! name).

/// The body is compressed; [`COMPRESSION_TYPE_MASK`] tells how. A broker never decompresses.
pub const COMPRESSED: i32 = 0x1;
/// Several tags (never used by current clients).
pub const MULTI_TAGS: i32 = 0x2;
/// A prepared (half) transactional message.
pub const TRANSACTION_PREPARED: i32 = 0x4;
/// A committed transactional message.
pub const TRANSACTION_COMMIT: i32 = 0x8;
/// A rolled back transactional message; also the mask of the transaction type.
pub const TRANSACTION_ROLLBACK: i32 = 0xC;
/// BORNHOST is an IPv6 address.
pub const BORN_HOST_V6: i32 = 0x10;
/// STOREHOST is an IPv6 address.
pub const STORE_HOST_V6: i32 = 0x20;
/// An inner batch that consumers unwrap.
pub const NEED_UNWRAP: i32 = 0x40;
/// An inner batch: one record for many messages.
pub const INNER_BATCH: i32 = 0x80;
/// Compression type: `0x100` LZ4, `0x200` ZSTD, `0x300` ZLIB, 0 = ZLIB from old clients.
pub const COMPRESSION_TYPE_MASK: i32 = 0x700;

/// Bits of a pull request's `sysFlag`.
pub mod pull {
    /// `commitOffset` is to be stored.
    pub const COMMIT_OFFSET: i32 = 0x1;
    /// Long poll: the broker may keep the request until a message arrives.
    pub const SUSPEND: i32 = 0x2;
    /// The request carries its subscription.
    pub const SUBSCRIPTION: i32 = 0x4;
    /// Class filter (removed long ago).
    pub const CLASS_FILTER: i32 = 0x8;
    /// Lite pull, code 361.
    pub const LITE_PULL: i32 = 0x10;
}

/// The transaction type of a message: 0, prepared, commit or rollback.
#[must_use]
pub fn transaction_type(sys_flag: i32) -> i32 {
    sys_flag & TRANSACTION_ROLLBACK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transaction_type_ignores_other_bits() {
        assert_eq!(transaction_type(0x73F4 & !0xC | TRANSACTION_COMMIT), TRANSACTION_COMMIT);
        assert_eq!(transaction_type(COMPRESSED | INNER_BATCH), 0);
    }
}
