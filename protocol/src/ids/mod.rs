//! Message ids: the broker's (where a message lies) and the client's (which message it is).

mod offset_id;
mod uniq_key;

pub use offset_id::{OffsetMsgId, OffsetMsgIdError};
pub use uniq_key::UniqKeys;

/// Upper-case hex digits, as Java's ids have them.
const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xF] {
            out.push(char::from(HEX.get(usize::from(digit)).copied().unwrap_or(b'0')));
        }
    }
}
