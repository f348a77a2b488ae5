//! Where a slave begins: it asks its master what it has, compares, and dials.
//!
//! ```text
//!                         own log:  empty, master's begins at 0 ─► 1: an Apache master sends an empty
//!   28 ─► begin, end ───►           │                              slave (0) its last file only
//!                                   │ empty, master's begins at m ─► begins at m here too
//!                                   │ ends within the master's ─► a little before that, to compare,
//!                                   │                             when all of it is kept
//!                                   └ ends behind it, or before its beginning ─► refused
//! ```

use super::asking::{MasterLog, master_log};
use super::compare::{COMPARED_BYTES, Compare};
use super::following::{Link, Start, Stream};
use super::standing::{down, kept, stream_addr};
use crate::peers::dials::Purpose;
use crate::shard::Cx;
use engine::PhyOffset;
use netcore::Framing;
use rt::Runtime as _;
use std::net::SocketAddr;
use std::time::Duration;

/// Between two looks at what is flushed.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Joins the master, or says why not.
pub(super) async fn join(cx: Cx) {
    let outcome = prepare(&cx).await;
    cx.with(|shard, net| {
        let following = &mut shard.services.replication.following;
        match outcome {
            Ok((addr, start)) => {
                following.stream = Stream::Dialing(start);
                net.dial(addr, Purpose::MasterStream.tag(), Framing::Transfers);
            }
            Err(why) => down(shard, &why),
        }
    });
}

async fn prepare(cx: &Cx) -> Result<(SocketAddr, Start), String> {
    let (master, link) = cx.with(|shard, _| {
        let following = &shard.services.replication.following;
        (following.master.clone(), following.link)
    });
    let Some(master) = master else {
        return Err(format!(
            "no name server knows a master of {}. A slave has the brokerName, the \
             brokerClusterName and the shardCount of its master",
            cx.options.broker
        ));
    };
    let addr = stream_addr(&master)?;
    let log = match link {
        Link::Up(_) => Some(master_log(cx).await?),
        _ if master.requests.is_empty() => None,
        _ => return Err(format!("{} can't be reached", master.requests)),
    };
    let own = (cx.store.log_begin(), cx.store.appended());
    let mut start = start(own.0.0, own.1.0, log)?;
    if own.0 == own.1 && start.from > own.1.0 && !start.knows_first_byte {
        let begun = cx.store.begin_at(PhyOffset(start.from)).await;
        begun.map_err(|error| error.to_string())?;
    }
    while kept(cx) < cx.store.appended() {
        if let Some(reason) = cx.store.poisoned() {
            return Err(reason);
        }
        cx.core.sleep(LOOK_AGAIN_AFTER).await;
    }
    if start.from == own.1.0 {
        let master_begin = log.map_or(0, |log| log.begin);
        let from = own.0.0.max(master_begin).max(own.1.0.saturating_sub(COMPARED_BYTES));
        let end = end_of_log(cx, from).await?;
        start = Start { from, compare: Compare::new(from, end), ..start };
    }
    Ok((addr, start))
}

/// The own log from `from` to its end.
async fn end_of_log(cx: &Cx, from: u64) -> Result<Vec<u8>, String> {
    let mut bytes = vec![];
    loop {
        let at = PhyOffset(from + bytes.len() as u64);
        let wanted = usize::try_from(COMPARED_BYTES).unwrap_or(usize::MAX);
        let part = cx.store.log_part(at, wanted).await.map_err(|error| error.to_string())?;
        if part.is_empty() {
            return Ok(bytes);
        }
        bytes.extend_from_slice(&part);
    }
}

/// See the module's text. Without the master's offsets, and where it has nothing, the slave says
/// what it has.
fn start(begin: u64, end: u64, log: Option<MasterLog>) -> Result<Start, String> {
    let at = |from| Ok(Start { from, compare: Compare::default(), knows_first_byte: false });
    let Some(log) = log.filter(|log| log.end > 0) else { return at(end) };
    if begin == end && end <= log.begin {
        return match log.begin {
            0 => at(1).map(|start| Start { knows_first_byte: true, ..start }),
            begin => at(begin),
        };
    }
    if end > log.end {
        return Err(format!(
            "this log ends at {end}, behind the master's at {}: it has what the master has not. \
             Fix: if this is the right master, stop this slave, empty its store and start it again",
            log.end
        ));
    }
    if end < log.begin {
        return Err(format!(
            "this log ends at {end} and the master's begins at {}: what comes between is deleted. \
             Fix: stop this slave, empty its store and start it again",
            log.begin
        ));
    }
    at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slave_begins_where_both_logs_are_the_same() {
        let log = |begin, end| Some(MasterLog { begin, end });
        let compare = Compare::default;
        let at = |from| Ok(Start { from, compare: compare(), knows_first_byte: false });
        let first = Start { from: 1, compare: compare(), knows_first_byte: true };
        assert_eq!(start(0, 0, log(0, 900)), Ok(first));
        assert_eq!(start(0, 0, log(0, 0)), at(0));
        assert_eq!(start(0, 0, log(400, 900)), at(400));
        assert_eq!(start(400, 400, log(800, 900)), at(800));
        assert_eq!(start(400, 400, log(0, 900)), at(400));
        assert_eq!(start(0, 500, log(400, 900)), at(500));
        assert_eq!(start(0, 900, log(400, 900)), at(900));
        assert_eq!([start(0, 0, None), start(0, 77, None)], [at(0), at(77)]);
        let ahead = start(0, 901, log(0, 900)).unwrap_err();
        assert!(ahead.contains("901") && ahead.contains("900") && ahead.contains("Fix:"));
        let deleted = start(0, 399, log(400, 900)).unwrap_err();
        assert!(deleted.contains("399") && deleted.contains("400") && deleted.contains("Fix:"));
    }
}
