//! Where a slave begins: it asks its master what it has, compares, and dials.
//!
//! ```text
//!                         own log:  empty, master's begins at 0 ─► 1: an Apache master sends an empty
//!   28 ─► begin, end ───►           │                              slave (0) its last file only
//!   1007 ─► epochs                  │ empty, master's begins at m ─► begins at m here too
//!                                   │ the same up to X, by epochs, else by both ends
//!                                   │        ├ X is its end ─► compares a little before X, then follows
//!                                   │        └ it goes on behind X ─► compares before X, then cuts at X
//!                                   │ compared and found other bytes ─► looks for where both part
//!                                   └ has nothing in common with the master's ─► refused
//! ```

use super::asking::{MasterLog, ask_epochs, master_log};
use super::compare::{COMPARED_BYTES, Compare};
use super::following::{Goal, Link, Start, Stream};
use super::search::{Search, Step};
use super::standing::{down, kept, stream_addr};
use crate::peers::dials::Purpose;
use crate::shard::Cx;
use crate::tables::epochs::{self, Epochs};
use engine::{PhyOffset, Store};
use netcore::Framing;
use rt::Runtime;
use rt::real::Core;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Between two looks at what is written and flushed.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// What helps a slave that has nothing in common with its master.
pub(super) const REBUILD: &str = "Fix: if this is the right master, stop this slave and start it \
    again with --rebuild-slave, which puts its store aside and takes the whole log anew";

/// What joining needs of this broker; the simulation gives that of a simulated one.
pub(super) struct Own<'a, R: Runtime> {
    /// Its core.
    pub(super) rt: &'a R,
    /// Its log.
    pub(super) store: &'a Store<R>,
    /// Its folder.
    pub(super) root: &'a Path,
    /// `slaveAckPolicy=disk`.
    pub(super) reports_flushed: bool,
}

/// What the master said of itself.
pub(super) struct Said {
    /// Its log; not known where only the configuration names the master.
    pub(super) log: Option<MasterLog>,
    /// Who wrote it.
    pub(super) epochs: Epochs,
}

/// What a slave knows of its log and its master's.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Who wrote its own log.
    pub(super) epochs: Epochs,
    /// Both have parted, and it is not known where yet.
    pub(super) search: Option<Search>,
}

/// Joins the master, or says why not.
pub(super) async fn join(cx: Cx) {
    let outcome = match ask(&cx).await {
        Ok((addr, said)) => {
            let mut known = cx.with(|shard, _| Known {
                epochs: shard.tables.epochs.clone(),
                search: shard.services.replication.following.search.take(),
            });
            let start = prepare(&own(&cx), said, &mut known).await;
            cx.with(|shard, _| {
                shard.tables.epochs = known.epochs;
                shard.services.replication.following.search = known.search;
            });
            start.map(|start| (addr, start))
        }
        Err(why) => Err(why),
    };
    cx.with(|shard, net| match outcome {
        Ok((addr, start)) => {
            shard.services.replication.following.stream = Stream::Dialing(start);
            net.dial(addr, Purpose::MasterStream.tag(), Framing::Transfers);
        }
        Err(why) => down(shard, &why),
    });
}

/// Cuts the log where a comparison said, then joins anew.
pub(super) async fn cut_and_join(cx: Cx, to: u64) {
    match cut(&own(&cx), to).await {
        Ok(()) => join(cx).await,
        Err(why) => cx.with(|shard, _| down(shard, &why)),
    }
}

fn own(cx: &Cx) -> Own<'_, Core> {
    Own {
        rt: &cx.core,
        store: &cx.store,
        root: &cx.options.store_root,
        reports_flushed: cx.options.process.replication.reports_flushed,
    }
}

async fn ask(cx: &Cx) -> Result<(SocketAddr, Said), String> {
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
    let (log, epochs) = match link {
        Link::Up(_) => (Some(master_log(cx).await?), ask_epochs(cx).await?),
        _ if master.requests.is_empty() => (None, Epochs::default()),
        _ => return Err(format!("{} can't be reached", master.requests)),
    };
    Ok((addr, Said { log, epochs }))
}

/// Where to begin, and what for. Cuts the log where a search has found that both part.
pub(super) async fn prepare<R: Runtime>(
    own: &Own<'_, R>,
    said: Said,
    known: &mut Known,
) -> Result<Start, String> {
    all_is_kept(own).await?;
    if let Some(start) = look_for_parting(own, &mut known.search).await? {
        return Ok(start);
    }
    let (store, Said { log, epochs: theirs }) = (own.store, said);
    let ours = MasterLog { begin: store.log_begin().0, end: store.appended().0 };
    let common = known.epochs.common(ours.end, &theirs, log.map_or(0, |log| log.end));
    let start = match start(ours, log, common)? {
        Where::Empty { from, knows_first_byte } => {
            if from > ours.end && !knows_first_byte {
                let begun = store.begin_at(PhyOffset(from)).await;
                begun.map_err(|error| error.to_string())?;
            }
            Start { from, knows_first_byte, ..Start::default() }
        }
        Where::Within { begin, upto } => {
            let from = begin.max(upto.saturating_sub(COMPARED_BYTES)).max(1);
            let goal = if upto == ours.end { Goal::Follow } else { Goal::Cut(upto) };
            let compare = own_bytes(store, from, upto).await?;
            Start { from, compare, goal, begin, ..Start::default() }
        }
    };
    // An Apache master has no epochs: what is known stays.
    if start.goal == Goal::Follow && !theirs.is_empty() && theirs != known.epochs {
        let saved = epochs::save(own.rt, own.root, &theirs).await;
        saved.map_err(|error| error.to_string())?;
        known.epochs = theirs;
    }
    Ok(start)
}

/// Everything in this log is kept as `slaveAckPolicy` asks, and written: it is read from the files.
async fn all_is_kept<R: Runtime>(own: &Own<'_, R>) -> Result<(), String> {
    let store = own.store;
    while kept(store, own.reports_flushed).min(store.written()) < store.appended() {
        if let Some(reason) = store.poisoned() {
            return Err(reason);
        }
        own.rt.sleep(LOOK_AGAIN_AFTER).await;
    }
    Ok(())
}

/// Goes on with a search for where both logs part: the next record to try. Cuts the log where they
/// do; then, and when there is no search, nothing.
async fn look_for_parting<R: Runtime>(
    own: &Own<'_, R>,
    looking: &mut Option<Search>,
) -> Result<Option<Start>, String> {
    let store = own.store;
    loop {
        let Some(search) = looking else { return Ok(None) };
        match search.next() {
            Step::Try(at) => {
                let (from, goal) = (at.max(1), Goal::Try(at));
                let compare = own_bytes(store, from, record_end(store, at).await?).await?;
                return Ok(Some(Start { from, compare, goal, ..Start::default() }));
            }
            Step::List { from, upto, apart } => {
                let begins = store.record_begins(PhyOffset(from), PhyOffset(upto), apart).await;
                let begins = begins.map_err(|error| error.to_string())?;
                search.records(begins.iter().map(|at| at.0));
            }
            Step::Parted(to) => {
                *looking = None;
                if to >= store.appended().0 {
                    return Err(format!(
                        "all records of this log are in the master's, and what follows at {to} is \
                         not the same. {REBUILD}"
                    ));
                }
                cut(own, to).await?;
            }
            Step::Nothing => {
                *looking = None;
                let (begin, end) = (store.log_begin(), store.appended());
                return Err(format!(
                    "not one record of this log, which is [{begin}, {end}), is in the master's. \
                     {REBUILD}"
                ));
            }
        }
    }
}

/// Cuts this log to what the master has too.
pub(super) async fn cut<R: Runtime>(own: &Own<'_, R>, to: u64) -> Result<(), String> {
    let end = own.store.appended().0;
    own.store.truncate(PhyOffset(to)).await.map_err(|error| error.to_string())?;
    tracing::warn!(
        "this log is cut from {end} to {to}, where it parts from the master's: {} bytes that the \
         master does not have are gone",
        end.saturating_sub(to)
    );
    Ok(())
}

/// Where the own record or blank at `at` ends.
async fn record_end<R: Runtime>(store: &Store<R>, at: u64) -> Result<u64, String> {
    let head = store.log_part(PhyOffset(at), 4).await.map_err(|error| error.to_string())?;
    let size = head.first_chunk::<4>().map_or(0, |size| u32::from_be_bytes(*size));
    Ok(at + u64::from(size))
}

/// The own log from `from` to `upto`, or to its end.
async fn own_bytes<R: Runtime>(store: &Store<R>, from: u64, upto: u64) -> Result<Compare, String> {
    let mut bytes = vec![];
    loop {
        let at = from + bytes.len() as u64;
        let wanted = usize::try_from(upto.saturating_sub(at)).unwrap_or(usize::MAX);
        let part = match wanted {
            0 => return Ok(Compare::new(from, bytes)),
            wanted => store.log_part(PhyOffset(at), wanted).await,
        };
        let part = part.map_err(|error| error.to_string())?;
        if part.is_empty() {
            return Ok(Compare::new(from, bytes));
        }
        bytes.extend_from_slice(&part);
    }
}

/// Where a slave stands to its master.
#[derive(Debug, PartialEq, Eq)]
enum Where {
    /// It has nothing.
    Empty { from: u64, knows_first_byte: bool },
    /// Both have `[begin, upto)`, as far as ends and epochs tell.
    Within { begin: u64, upto: u64 },
}

/// See the module's text. Without the master's offsets the slave says what it has. `common` is what
/// the epochs tell.
fn start(own: MasterLog, log: Option<MasterLog>, common: Option<u64>) -> Result<Where, String> {
    let empty = |from| Ok(Where::Empty { from, knows_first_byte: false });
    let MasterLog { begin, end } = own;
    let Some(log) = log else {
        return if begin == end { empty(end) } else { Ok(Where::Within { begin, upto: end }) };
    };
    if begin == end && (log.end == 0 || end <= log.begin) {
        return match log.begin {
            0 if log.end > 0 => Ok(Where::Empty { from: 1, knows_first_byte: true }),
            begin => empty(begin.max(end)),
        };
    }
    if end < log.begin {
        return Err(format!(
            "this log ends at {end} and the master's begins at {}: what comes between is deleted. \
             {REBUILD}",
            log.begin
        ));
    }
    let (begin, upto) = (begin.max(log.begin), end.min(log.end));
    if begin >= upto && own.begin < own.end {
        return Err(format!(
            "this log is [{}, {end}) and the master's [{}, {}): they have nothing in common. \
             {REBUILD}",
            own.begin, log.begin, log.end
        ));
    }
    if begin == upto {
        return empty(end);
    }
    let upto = common.map_or(upto, |common| common.min(upto));
    // Epochs that part before what both logs still have tell nothing.
    let upto = if upto > begin { upto } else { end.min(log.end) };
    Ok(Where::Within { begin, upto })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(begin: u64, end: u64) -> MasterLog {
        MasterLog { begin, end }
    }

    #[test]
    fn a_slave_begins_where_both_logs_are_the_same() {
        let empty = |from| Ok(Where::Empty { from, knows_first_byte: false });
        let within = |begin, upto| Ok(Where::Within { begin, upto });
        let first = Ok(Where::Empty { from: 1, knows_first_byte: true });
        for (own, master, found) in [
            ((0, 0), Some((0, 900)), first),
            ((0, 0), Some((0, 0)), empty(0)),
            ((0, 0), Some((400, 900)), empty(400)),
            ((400, 400), Some((800, 900)), empty(800)),
            ((400, 400), Some((0, 900)), empty(400)),
            ((0, 500), Some((400, 900)), within(400, 500)),
            ((0, 900), Some((400, 900)), within(400, 900)),
            ((0, 901), Some((0, 900)), within(0, 900)),
            ((0, 0), None, empty(0)),
            ((0, 77), None, within(0, 77)),
        ] {
            let master = master.map(|(begin, end)| log(begin, end));
            assert_eq!(start(log(own.0, own.1), master, None), found, "{own:?} {master:?}");
        }
    }

    #[test]
    fn epochs_tell_where_two_logs_part_that_both_go_on() {
        let of = |common| start(log(0, 900), Some(log(0, 2_000)), common);
        assert_eq!(of(Some(700)), Ok(Where::Within { begin: 0, upto: 700 }));
        assert_eq!(of(Some(5_000)), Ok(Where::Within { begin: 0, upto: 900 }));
        assert_eq!(of(Some(0)), Ok(Where::Within { begin: 0, upto: 900 }), "bytes will tell");
    }

    #[test]
    fn a_log_that_has_nothing_in_common_with_the_masters_is_refused_with_both() {
        for (own, master, parts) in [
            ((0, 399), (400, 900), ["399", "400"]),
            ((800, 900), (0, 500), ["[800, 900)", "[0, 500)"]),
            ((0, 900), (0, 0), ["[0, 900)", "[0, 0)"]),
        ] {
            let why = start(log(own.0, own.1), Some(log(master.0, master.1)), None).unwrap_err();
            assert!(parts.iter().all(|part| why.contains(part)), "{why}");
            assert!(why.contains("--rebuild-slave"), "{why}");
        }
    }
}
