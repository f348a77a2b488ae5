//! The broker's message id: hex of STOREHOST and the record's physical offset.
//!
//! ```text
//!  | ip 4 or 16 bytes | port i32 | physical offset i64 |   as 32 or 56 upper-case hex digits
//! ```
//!
//! A client that looks a message up connects to the address in its id.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::push_hex;
use crate::checked::fit;

/// Hex digits of an id with an IPv4 address.
const V4_DIGITS: usize = 2 * (4 + 4 + 8);
/// Hex digits of an id with an IPv6 address.
const V6_DIGITS: usize = 2 * (16 + 4 + 8);
const _: () = assert!(V4_DIGITS == 32 && V6_DIGITS == 56);

/// Where a message lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetMsgId {
    /// The broker that stored it.
    pub store_host: SocketAddr,
    /// Offset of its record in that broker's CommitLog.
    pub physical_offset: i64,
}

/// Why a text is no message id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OffsetMsgIdError {
    /// Neither 32 nor 56 characters.
    #[error("message id: {found} characters, expected {V4_DIGITS} or {V6_DIGITS}")]
    Length {
        /// Its length.
        found: usize,
    },
    /// A character that is no hex digit.
    #[error("message id: character {offset} is no hex digit")]
    Digit {
        /// Which one.
        offset: usize,
    },
    /// The port does not fit 16 bits.
    #[error("message id: port {found} is out of range")]
    Port {
        /// The number there.
        found: u32,
    },
}

impl OffsetMsgId {
    /// Appends the id to `out`.
    pub fn write(&self, out: &mut String) {
        let offset = self.physical_offset.to_be_bytes();
        let [high, low] = self.store_host.port().to_be_bytes();
        match self.store_host.ip() {
            IpAddr::V4(ip) => {
                // Every answer to a send has an id, so it is written in one piece.
                let ([a, b, c, d], [o1, o2, o3, o4, o5, o6, o7, o8]) = (ip.octets(), offset);
                push_hex(out, &[a, b, c, d, 0, 0, high, low, o1, o2, o3, o4, o5, o6, o7, o8]);
            }
            IpAddr::V6(ip) => {
                push_hex(out, &ip.octets());
                push_hex(out, &[0, 0, high, low]);
                push_hex(out, &offset);
            }
        }
    }

    /// Reads an id.
    pub fn parse(text: &str) -> Result<Self, OffsetMsgIdError> {
        let ip_digits = match text.len() {
            V4_DIGITS => 8,
            V6_DIGITS => 32,
            found => return Err(OffsetMsgIdError::Length { found }),
        };
        if let Some(offset) = text.bytes().position(|byte| !byte.is_ascii_hexdigit()) {
            return Err(OffsetMsgIdError::Digit { offset });
        }
        let number = |from: usize, to: usize| {
            let digits = text.get(from..to).expect("the length was checked");
            u128::from_str_radix(digits, 16).expect("at most 32 hex digits")
        };
        let ip = number(0, ip_digits);
        let ip: IpAddr = match text.len() {
            V4_DIGITS => Ipv4Addr::from(fit::<u32, _>(ip)).into(),
            _ => Ipv6Addr::from(ip).into(),
        };
        let found: u32 = fit(number(ip_digits, ip_digits + 8));
        let port = u16::try_from(found).map_err(|_| OffsetMsgIdError::Port { found })?;
        let offset: u64 = fit(number(ip_digits + 8, ip_digits + 24));
        Ok(Self { store_host: SocketAddr::new(ip, port), physical_offset: offset.cast_signed() })
    }
}

impl std::fmt::Display for OffsetMsgId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::with_capacity(V6_DIGITS);
        self.write(&mut text);
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_as_the_java_broker_does() {
        let id = OffsetMsgId {
            store_host: "127.0.0.1:10911".parse().expect("address"),
            physical_offset: 0,
        };
        assert_eq!(id.to_string(), "7F00000100002A9F0000000000000000");
    }

    #[test]
    fn both_families_read_back() {
        for (host, offset) in
            [("10.1.2.3:65535", i64::MAX), ("[2001:db8::7]:10911", 1 << 40), ("[::1]:1", 0)]
        {
            let id =
                OffsetMsgId { store_host: host.parse().expect("address"), physical_offset: offset };
            assert_eq!(OffsetMsgId::parse(&id.to_string()), Ok(id));
        }
    }

    #[test]
    fn what_is_no_id_says_why() {
        assert_eq!(OffsetMsgId::parse("7F"), Err(OffsetMsgIdError::Length { found: 2 }));
        assert_eq!(OffsetMsgId::parse(&"G".repeat(32)), Err(OffsetMsgIdError::Digit { offset: 0 }));
        assert_eq!(OffsetMsgId::parse(&"é".repeat(16)), Err(OffsetMsgIdError::Digit { offset: 0 }));
        assert_eq!(
            OffsetMsgId::parse(&"F".repeat(32)),
            Err(OffsetMsgIdError::Port { found: u32::MAX })
        );
    }
}
