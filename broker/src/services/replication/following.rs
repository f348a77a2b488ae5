//! What a slave keeps: where its master is, its stream and its link to it, and when it tries again.
//!
//! ```text
//!   Down ──retry time, master known──► Joining ──► Dialing ──opened──► Up ──closed, refused──► Down
//!     ▲                                   └─failed────┴─failed──────────────────────────────────┘
//!     └── each failure in a row waits twice as long, up to `RETRY_MS_MAX`; a record begins anew
//! ```
//!
//! Pure.

use super::assembly::Assembly;
use super::compare::Compare;
use super::search::Search;

/// Before the first new attempt.
pub(super) const RETRY_MS: i64 = 200;
/// Between two attempts at most: what Apache's slave always waits.
pub(super) const RETRY_MS_MAX: i64 = 5_000;

/// Where the master is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Master {
    /// Its port for slaves, as host:port.
    pub(super) ha: String,
    /// Where it answers requests; nothing when only the configuration names it.
    pub(super) requests: String,
}

/// The stream of the master's log.
#[derive(Debug)]
pub(crate) enum Stream<C> {
    /// Not before this time, in milliseconds.
    Down {
        /// When to try again.
        retry_ms: i64,
    },
    /// A task finds out where to begin.
    Joining,
    /// It begins there once the connection is up.
    Dialing(Start),
    /// It runs.
    Up(Up<C>),
}

/// What a stream is for, once what is compared was the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Goal {
    /// What follows is appended.
    #[default]
    Follow,
    /// The own log is cut here: the master has no more of it.
    Cut(u64),
    /// The record here is the master's too, says a [`Search`].
    Try(u64),
}

/// Where a stream begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Start {
    /// What is reported first.
    pub(super) from: u64,
    /// What comes first: the end of this log once more.
    pub(super) compare: Compare,
    /// The log is empty, and its first byte is known: every record begins with 0x00, as none is so
    /// long. An Apache master would send an empty slave its last file only.
    pub(super) knows_first_byte: bool,
    /// What it is for.
    pub(super) goal: Goal,
    /// Both logs have something from here on.
    pub(super) begin: u64,
}

/// A stream that runs.
#[derive(Debug)]
pub(crate) struct Up<C> {
    /// Its connection.
    pub(super) conn: C,
    /// What is compared before anything is appended.
    pub(super) compare: Compare,
    /// What it is for.
    pub(super) goal: Goal,
    /// Both logs have something from here on.
    pub(super) begin: u64,
    /// What is not a whole record yet.
    pub(super) assembly: Assembly,
    /// How far the master was told that this broker has it.
    pub(super) reported: u64,
    /// When the master said something last, in milliseconds.
    pub(super) heard_ms: i64,
    /// When it was told something last.
    pub(super) told_ms: i64,
    /// Something was sent that is not appended yet: there was no room.
    pub(super) is_waiting: bool,
}

impl Start {
    /// The stream that begins so, on a log that ends at `end`.
    pub(super) fn up<C>(self, conn: C, end: u64, bytes_max: usize, now_ms: i64) -> Up<C> {
        let rest: &[u8] = if self.knows_first_byte { &[0] } else { &[] };
        Up {
            conn,
            compare: self.compare,
            goal: self.goal,
            begin: self.begin,
            assembly: Assembly::new(end, rest, bytes_max),
            reported: self.from,
            heard_ms: now_ms,
            told_ms: now_ms,
            is_waiting: false,
        }
    }
}

/// The link for requests to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link<C> {
    /// Not before this time, in milliseconds.
    Down {
        /// When to dial.
        retry_ms: i64,
    },
    /// On its way.
    Dialing,
    /// It is there.
    Up(C),
}

/// See the module's text. `C` is a connection's name.
#[derive(Debug)]
pub(crate) struct Following<C> {
    /// Where the master is, as far as anybody said.
    pub(super) master: Option<Master>,
    /// What `haMasterAddress` means, once it was looked up.
    pub(super) configured: Option<String>,
    /// Its log.
    pub(super) stream: Stream<C>,
    /// Its answers.
    pub(super) link: Link<C>,
    /// Where that leads, or is dialled.
    link_to: String,
    /// Both logs have parted, and it is not known where yet.
    pub(super) search: Option<Search>,
    wait_ms: i64,
    last_reason: String,
    /// Records and blanks that came.
    pub(crate) bytes: u64,
}

impl<C> Default for Following<C> {
    fn default() -> Self {
        Self {
            master: None,
            configured: None,
            stream: Stream::Down { retry_ms: i64::MIN },
            link: Link::Down { retry_ms: i64::MIN },
            link_to: String::new(),
            search: None,
            wait_ms: RETRY_MS,
            last_reason: String::new(),
            bytes: 0,
        }
    }
}

impl<C: Copy + Eq> Following<C> {
    /// Somebody said where the master is; whether that is news.
    pub(super) fn told(&mut self, master: Master) -> bool {
        let is_news = self.master.as_ref() != Some(&master);
        if is_news {
            self.master = Some(master);
            self.search = None;
            self.wait_ms = RETRY_MS;
            if let Stream::Down { retry_ms } = &mut self.stream {
                *retry_ms = i64::MIN;
            }
        }
        is_news
    }

    /// The link is dialled where the master is now.
    pub(super) fn begin_link(&mut self) {
        let to = self.master.as_ref().map(|master| master.requests.as_str());
        to.unwrap_or_default().clone_into(&mut self.link_to);
        self.link = Link::Dialing;
    }

    /// The link's connection, when it leads to a broker that is the master no more: it is given up
    /// here. Such a broker may be gone in silence, and would be asked for ever.
    pub(super) fn leave_link(&mut self) -> Option<C> {
        let Link::Up(conn) = self.link else { return None };
        let leads_elsewhere =
            self.master.as_ref().is_some_and(|master| master.requests != self.link_to);
        leads_elsewhere.then(|| {
            self.link = Link::Down { retry_ms: i64::MIN };
            conn
        })
    }

    /// The stream ended, or did not begin; whether the reason is another one than the last time.
    /// A search begins anew: the master may have deleted what was to be tried next.
    pub(super) fn down(&mut self, reason: &str, now_ms: i64) -> bool {
        self.search = None;
        self.stream = Stream::Down { retry_ms: now_ms.saturating_add(self.wait_ms) };
        self.wait_ms = (self.wait_ms * 2).min(RETRY_MS_MAX);
        let is_news = self.last_reason != reason;
        if is_news {
            reason.clone_into(&mut self.last_reason);
        }
        is_news
    }

    /// Something of the master's log came.
    pub(super) fn has_come(&mut self, bytes: usize) {
        self.wait_ms = RETRY_MS;
        self.last_reason.clear();
        self.bytes += bytes as u64;
    }

    /// Whether it is time to join the master.
    pub(super) fn is_due(&self, now_ms: i64) -> bool {
        matches!(self.stream, Stream::Down { retry_ms } if retry_ms <= now_ms)
    }

    /// The running stream, if that is its connection.
    pub(super) fn up(&mut self, conn: C) -> Option<&mut Up<C>> {
        match &mut self.stream {
            Stream::Up(up) if up.conn == conn => Some(up),
            _ => None,
        }
    }

    /// Whether the master's log comes in.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.stream, Stream::Up(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(ha: &str) -> Master {
        Master { ha: ha.to_owned(), requests: String::new() }
    }

    #[test]
    fn failures_in_a_row_wait_longer_until_something_comes() {
        let mut following = Following::<u32>::default();
        assert!(following.is_due(0));
        let mut now_ms = 0;
        let mut waits = vec![];
        for nth in 0..7 {
            assert_eq!(following.down("refused", now_ms), nth == 0, "told once");
            let began_ms = now_ms;
            while !following.is_due(now_ms) {
                now_ms += 100;
            }
            waits.push(now_ms - began_ms);
        }
        assert_eq!(waits, [200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        following.has_come(10);
        assert!(following.down("refused", now_ms), "after a success it is news again");
        assert!(following.is_due(now_ms + RETRY_MS));
    }

    #[test]
    fn a_link_that_leads_to_another_broker_than_the_master_is_given_up() {
        let mut following = Following::<u32>::default();
        let at = |requests: &str| Master { ha: "h:1".to_owned(), requests: requests.to_owned() };
        following.told(at("a:1"));
        following.begin_link();
        assert_eq!(following.leave_link(), None);
        following.link = Link::Up(7);
        assert_eq!(following.leave_link(), None);
        following.told(at("b:1"));
        assert_eq!(following.leave_link(), Some(7));
        assert_eq!(following.link, Link::Down { retry_ms: i64::MIN });
        assert_eq!(following.leave_link(), None);
    }

    #[test]
    fn a_new_master_is_tried_at_once() {
        let mut following = Following::<u32>::default();
        assert!(following.told(master("a:1")) && !following.told(master("a:1")));
        (0..9).for_each(|_| _ = following.down("refused", 0));
        assert!(!following.is_due(1_000));
        assert!(following.told(master("b:1")) && following.is_due(1_000));
    }
}
