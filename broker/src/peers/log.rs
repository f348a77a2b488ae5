//! Log lines about misbehaving peers, rate limited: a flood of garbage must not become a flood of
//! log.

use crate::limits::PEER_LOG_LINES_PER_SECOND;
use std::fmt::Display;
use std::net::SocketAddr;

/// Counts the lines of the running second.
#[derive(Debug, Default)]
pub(crate) struct PeerLog {
    second: i64,
    lines: u32,
    suppressed: u64,
}

impl PeerLog {
    /// One warning about a peer, unless there were too many this second.
    pub(crate) fn blame(&mut self, peer: Option<SocketAddr>, now_ms: i64, what: &dyn Display) {
        let Some(left_out) = self.admit(now_ms) else { return };
        let peer = peer.map_or_else(|| "a peer".to_owned(), |peer| peer.to_string());
        if left_out == 0 {
            tracing::warn!("{peer}: {what}");
        } else {
            tracing::warn!("{peer}: {what} ({left_out} lines like this left out before)");
        }
    }

    /// Whether a line may be written now; `Some(n)`: yes, and `n` were left out since the last one.
    fn admit(&mut self, now_ms: i64) -> Option<u64> {
        let second = now_ms.div_euclid(1_000);
        if second != self.second {
            self.second = second;
            self.lines = 0;
        }
        if self.lines >= PEER_LOG_LINES_PER_SECOND {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_a_few_lines_a_second_and_counted() {
        let mut log = PeerLog::default();
        let admitted = (0..100).filter(|_| log.admit(5_000).is_some()).count();
        assert_eq!(admitted, usize::try_from(PEER_LOG_LINES_PER_SECOND).unwrap());
        assert_eq!(log.admit(6_000), Some(80));
        assert_eq!(log.admit(6_001), Some(0));
    }
}
