//! The slaves of a master: what each of them has, what it is sent next, and how far all have come.
//!
//! ```text
//!   log:      begin ────────── has ──────── next ──────── end
//!                               ▲ reported   ▲ sent up to here
//! ```
//!
//! `has ≤ next ≤ end` for every slave. A slave that says otherwise is refused: an Apache master
//! takes a lie for an acknowledgement, and goes on in the middle of a record for a slave that is
//! ahead.
//!
//! Pure: sockets and files are the caller's. Bounded by `SLAVES_MAX`.

use crate::limits::SLAVES_MAX;
use std::net::SocketAddr;

/// The log that is copied, in offsets of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogRange {
    /// Its first byte.
    pub(crate) begin: u64,
    /// Its end.
    pub(crate) end: u64,
    /// Bytes of one of its files.
    pub(crate) file_bytes: u64,
}

/// Why a slave is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// As many are served as may be.
    #[error("a master has at most {SLAVES_MAX} slaves")]
    TooMany,
    /// No place in a log.
    #[error(
        "it reports log offset {found}; expected 0 or more: it is no slave, or one of a \
        controller's brokers (AutoSwitchHAService), which are not served"
    )]
    NoOffset {
        /// What it said.
        found: i64,
    },
    /// It has more than the master.
    #[error(
        "it is ahead: it reports log offset {found} and this log ends at {end}. Fix: if this \
        is the right master, stop the slave, empty its store and start it again"
    )]
    Ahead {
        /// What it said.
        found: u64,
        /// Where the log ends.
        end: u64,
    },
    /// What it needs is deleted.
    #[error(
        "it reports log offset {found} and this log begins at {begin}: what it needs is \
        deleted. Fix: stop the slave, empty its store and start it again"
    )]
    Deleted {
        /// What it said.
        found: u64,
        /// Where the log begins.
        begin: u64,
    },
    /// It had more before.
    #[error("it goes back: it reports log offset {found} after {before}")]
    Back {
        /// What it said.
        found: u64,
        /// What it said before.
        before: u64,
    },
    /// It can't have that.
    #[error("it reports log offset {found} and was sent nothing behind {sent}")]
    NotSent {
        /// What it said.
        found: u64,
        /// How far it was sent.
        sent: u64,
    },
}

/// One slave.
#[derive(Debug)]
pub(crate) struct Slave<C> {
    /// Its connection.
    pub(crate) conn: C,
    /// Its address.
    pub(crate) peer: SocketAddr,
    /// The next byte to send; `None` before its first report.
    pub(crate) next: Option<u64>,
    /// Where it began: not known to be the same log below, see [`Slaves::replicated`].
    began: u64,
    /// It has everything below.
    pub(crate) has: u64,
    /// A task reads for it from disk.
    pub(crate) is_reading: bool,
    /// Not before this time is read from disk again, in milliseconds.
    pub(crate) not_before_ms: i64,
    /// When it said something last, in milliseconds.
    heard_ms: i64,
    /// How many connections there had been then.
    heard_nth: u64,
    /// Which connection it is.
    opened_nth: u64,
    /// When it was told something last.
    pub(crate) told_ms: i64,
}

/// The slaves of one shard. `C` is a connection's name.
#[derive(Debug)]
pub(crate) struct Slaves<C> {
    list: Vec<Slave<C>>,
    /// Connections there have been.
    opened: u64,
}

impl<C> Default for Slaves<C> {
    fn default() -> Self {
        Self { list: Vec::new(), opened: 0 }
    }
}

impl<C: Copy + Eq> Slaves<C> {
    /// Somebody connected.
    pub(crate) fn opened(&mut self, conn: C, peer: SocketAddr, now_ms: i64) -> Result<(), Refused> {
        if self.list.len() >= SLAVES_MAX {
            return Err(Refused::TooMany);
        }
        self.opened += 1;
        self.list.push(Slave {
            conn,
            peer,
            next: None,
            began: 0,
            has: 0,
            is_reading: false,
            not_before_ms: 0,
            heard_ms: now_ms,
            heard_nth: self.opened,
            opened_nth: self.opened,
            told_ms: now_ms,
        });
        Ok(())
    }

    /// It is gone; `None` when it was no slave.
    pub(crate) fn closed(&mut self, conn: C) -> Option<Slave<C>> {
        let place = self.list.iter().position(|slave| slave.conn == conn)?;
        Some(self.list.swap_remove(place))
    }

    /// A slave says how far it is; true when that was its first report. Its first one says where it
    /// wants to begin: 0 is an empty slave, which begins with the log's first file.
    pub(crate) fn reported(
        &mut self,
        conn: C,
        offset: i64,
        log: LogRange,
        now_ms: i64,
    ) -> Result<bool, Refused> {
        let opened = self.opened;
        let Some(slave) = self.list.iter_mut().find(|slave| slave.conn == conn) else {
            return Ok(false);
        };
        let found = u64::try_from(offset).map_err(|_| Refused::NoOffset { found: offset })?;
        (slave.heard_ms, slave.heard_nth) = (now_ms, opened);
        let Some(sent) = slave.next else {
            let from = if found == 0 { first_file(log) } else { found };
            slave.begin(from, log)?;
            return Ok(true);
        };
        if found == 0 && slave.has == first_file(log).min(sent) {
            return Ok(false); // an empty slave that was not sent anything yet
        }
        if found > sent {
            return Err(Refused::NotSent { found, sent });
        }
        if found < slave.has {
            return Err(Refused::Back { found, before: slave.has });
        }
        slave.has = found;
        Ok(false)
    }

    /// Each of them.
    pub(crate) fn each(&mut self) -> impl Iterator<Item = &mut Slave<C>> {
        self.list.iter_mut()
    }

    /// One of them.
    pub(crate) fn get(&mut self, conn: C) -> Option<&mut Slave<C>> {
        self.list.iter_mut().find(|slave| slave.conn == conn)
    }

    /// Those that follow: they said where they are.
    pub(crate) fn following(&self) -> impl Iterator<Item = &Slave<C>> {
        self.list.iter().filter(|slave| slave.next.is_some())
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Up to here the log is on at least `count` slaves at this moment; `None` when it is on fewer.
    ///
    /// A slave counts once it has said more than where it wants to begin: until then nobody knows
    /// that what it has is this log ([`super::compare`]). Of several connections from one address
    /// those do not count that have said nothing since the newest began: a slave that has come back
    /// by another connection, while nobody knows yet that its old one is dead, is one slave.
    pub(crate) fn replicated(&self, count: usize) -> Option<u64> {
        let mut have: [u64; SLAVES_MAX] = [0; SLAVES_MAX];
        let mut known = 0;
        let of_this_log = self.following().filter(|slave| slave.counted());
        let of_this_log = of_this_log.filter(|slave| !self.is_overtaken(slave));
        for (place, slave) in have.iter_mut().zip(of_this_log) {
            *place = slave.has;
            known += 1;
        }
        let have = have.get_mut(..known)?;
        have.sort_unstable_by(|one, other| other.cmp(one));
        have.get(count.checked_sub(1)?).copied()
    }

    fn is_overtaken(&self, slave: &Slave<C>) -> bool {
        let address = slave.peer.ip();
        let mut others = self.list.iter().filter(|other| other.peer.ip() == address);
        others.any(|other| other.opened_nth > slave.heard_nth)
    }

    /// How far the first of those is that follow.
    pub(crate) fn nearest(&self) -> Option<u64> {
        self.following().map(|slave| slave.has).max()
    }

    /// Those that said nothing for so long.
    pub(crate) fn silent(&self, now_ms: i64, silent_ms_max: i64) -> Vec<C> {
        let is_silent = |slave: &&Slave<C>| now_ms - slave.heard_ms > silent_ms_max;
        self.list.iter().filter(is_silent).map(|slave| slave.conn).collect()
    }
}

impl<C> Slave<C> {
    /// Whether it was known to have this log: one that only compared goes without a word.
    pub(crate) fn counted(&self) -> bool {
        self.has > self.began
    }

    fn begin(&mut self, from: u64, log: LogRange) -> Result<(), Refused> {
        if from > log.end {
            return Err(Refused::Ahead { found: from, end: log.end });
        }
        if from < log.begin {
            return Err(Refused::Deleted { found: from, begin: log.begin });
        }
        (self.began, self.has) = (from, from);
        self.next = Some(from);
        Ok(())
    }
}

/// Where an empty slave begins: at a file's beginning, because Apache's slaves read their files
/// from there.
fn first_file(log: LogRange) -> u64 {
    let boundary = log.begin.next_multiple_of(log.file_bytes);
    if boundary > log.end { log.begin } else { boundary }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogRange = LogRange { begin: 2_000, end: 5_500, file_bytes: 1_000 };

    fn peer() -> SocketAddr {
        "10.0.0.9:5".parse().unwrap()
    }

    fn peer_of(conn: usize) -> SocketAddr {
        format!("10.0.1.{conn}:5").parse().unwrap()
    }

    fn slaves(reports: &[i64]) -> Slaves<usize> {
        let mut slaves = Slaves::default();
        for (conn, offset) in reports.iter().enumerate() {
            slaves.opened(conn, peer_of(conn), 0).unwrap();
            assert_eq!(slaves.reported(conn, *offset, LOG, 0), Ok(true));
        }
        slaves
    }

    #[test]
    fn an_empty_slave_begins_with_the_first_file_and_another_where_it_is() {
        let mut slaves = slaves(&[0, 3_333]);
        assert_eq!(
            slaves.each().map(|slave| slave.next).collect::<Vec<_>>(),
            [Some(2_000), Some(3_333)]
        );
        let in_one_file = LogRange { begin: 10, end: 20, file_bytes: 1_000 };
        slaves.opened(9, peer(), 0).unwrap();
        slaves.reported(9, 0, in_one_file, 0).unwrap();
        assert_eq!(slaves.get(9).unwrap().next, Some(10));
    }

    #[test]
    fn an_offset_that_a_slave_cannot_have_is_refused_by_name() {
        for (offset, refused) in [
            (-4, Refused::NoOffset { found: -4 }),
            (5_501, Refused::Ahead { found: 5_501, end: 5_500 }),
            (1_999, Refused::Deleted { found: 1_999, begin: 2_000 }),
        ] {
            let mut slaves = slaves(&[]);
            slaves.opened(0, peer(), 0).unwrap();
            assert_eq!(slaves.reported(0, offset, LOG, 0), Err(refused));
            assert_eq!(slaves.replicated(1), None, "a refused slave has nothing");
        }
        let mut slaves = slaves(&[3_000]);
        assert_eq!(
            slaves.reported(0, 3_001, LOG, 0),
            Err(Refused::NotSent { found: 3_001, sent: 3_000 })
        );
        slaves.get(0).unwrap().next = Some(4_000);
        slaves.reported(0, 3_500, LOG, 0).unwrap();
        assert_eq!(
            slaves.reported(0, 3_499, LOG, 0),
            Err(Refused::Back { found: 3_499, before: 3_500 })
        );
    }

    #[test]
    fn an_empty_slave_may_say_so_until_it_has_something() {
        let mut slaves = slaves(&[0]);
        slaves.get(0).unwrap().next = Some(3_000);
        assert_eq!(slaves.reported(0, 0, LOG, 0), Ok(false));
        assert_eq!(slaves.reported(0, 2_500, LOG, 0), Ok(false));
        assert_eq!(slaves.reported(0, 0, LOG, 0), Err(Refused::Back { found: 0, before: 2_500 }));
    }

    #[test]
    fn the_log_is_replicated_as_far_as_so_many_slaves_have_it() {
        let mut slaves = slaves(&[2_050, 2_050, 2_050]);
        assert_eq!((slaves.replicated(1), slaves.nearest()), (None, Some(2_050)));
        for (conn, has) in [(0, 2_100), (1, 5_000), (2, 3_000)] {
            slaves.get(conn).unwrap().next = Some(5_000);
            slaves.reported(conn, has, LOG, 0).unwrap();
        }
        assert_eq!(
            [1, 2, 3, 4].map(|count| slaves.replicated(count)),
            [Some(5_000), Some(3_000), Some(2_100), None]
        );
        slaves.opened(7, peer(), 0).unwrap();
        assert_eq!(slaves.replicated(4), None, "one that said nothing does not count");
        slaves.reported(7, 5_400, LOG, 0).unwrap();
        assert_eq!(slaves.replicated(4), None, "nor one that only said where it begins");
        assert_eq!((slaves.replicated(1), slaves.nearest()), (Some(5_000), Some(5_400)));
        slaves.closed(1).unwrap();
        assert_eq!(slaves.replicated(1), Some(3_000));
        assert_eq!(slaves.replicated(0), None);
    }

    #[test]
    fn a_slave_that_has_come_back_by_another_connection_counts_once() {
        let mut slaves = slaves(&[2_050]);
        let says = |slaves: &mut Slaves<usize>, conn, has| {
            slaves.get(conn).unwrap().next = Some(5_000);
            slaves.reported(conn, has, LOG, 0).unwrap();
        };
        says(&mut slaves, 0, 3_000);
        slaves.opened(1, peer_of(0), 0).unwrap();
        assert_eq!(slaves.replicated(1), None, "its old connection may be dead");
        slaves.reported(1, 2_900, LOG, 0).unwrap();
        says(&mut slaves, 1, 3_100);
        assert_eq!((slaves.replicated(1), slaves.replicated(2)), (Some(3_100), None));
        says(&mut slaves, 0, 3_050);
        assert_eq!(slaves.replicated(2), Some(3_050), "another slave on the same machine");
        let elsewhere = "10.0.0.8:5".parse().unwrap();
        slaves.opened(2, elsewhere, 0).unwrap();
        assert_eq!(slaves.replicated(2), Some(3_050), "of another address");
    }

    #[test]
    fn one_more_than_may_be_and_those_that_fall_silent_are_found() {
        let mut slaves = Slaves::default();
        for conn in 0..SLAVES_MAX {
            slaves.opened(conn, peer(), 0).unwrap();
        }
        assert_eq!(slaves.opened(99, peer(), 0), Err(Refused::TooMany));
        slaves.reported(3, 0, LOG, 90).unwrap();
        assert_eq!(slaves.silent(100, 100).len(), 0);
        assert_eq!(slaves.silent(101, 100).len(), SLAVES_MAX - 1);
    }
}
