//! Message ids: the broker's tells where a message lies, the client's tells messages apart.

mod offset_id;
mod recall_handle;
mod uniq_key;

pub use offset_id::{OffsetMsgId, OffsetMsgIdError};
pub use recall_handle::{RecallHandle, RecallHandleError};
pub use uniq_key::UniqKeys;

/// Upper-case hex digits, as Java's ids have them.
fn push_hex<const N: usize>(out: &mut String, bytes: &[u8; N]) {
    let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'A' - 10 };
    let mut digits = [[0; 2]; N];
    for (pair, byte) in digits.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 0xF)];
    }
    out.push_str(std::str::from_utf8(digits.as_flattened()).expect("hex digits are ASCII"));
}
