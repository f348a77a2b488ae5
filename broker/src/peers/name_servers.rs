//! The links to the name servers: one connection each, dialled again when it is lost.
//!
//! ```text
//!   Down ──retry time, address known──► Dialing ──opened──► Up ──closed──► Down
//!                                          └───failed──────────────────────►┘
//! ```
//!
//! Pure: says when to dial and register, is told what happened; sockets and frames are the
//! caller's. A name server that is down is named once, not at every attempt. Bounded by
//! `NAME_SERVERS_MAX` links.

use std::net::SocketAddr;

/// Between two attempts to reach a name server.
pub(crate) const RETRY_MS: i64 = 2_000;

/// A slave that looks for its master asks each name server so often, one question at a time.
pub(crate) const LOOK_MS: i64 = 1_000;

/// A registration that is not answered in this time ends the connection
/// (`registerBrokerTimeoutMills`).
pub(crate) const ANSWER_MS: i64 = 24_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State<C> {
    Down { retry_ms: i64 },
    Dialing,
    Up(C),
}

#[derive(Debug)]
struct Link<C> {
    name: String,
    addresses: Vec<SocketAddr>,
    /// Which address is tried next.
    next: usize,
    state: State<C>,
    register_at_ms: i64,
    /// When a registration was sent last.
    asked_ms: i64,
    /// It is not answered yet.
    owes: bool,
    told_down: bool,
    /// A first registration was answered, or the name server could not be reached.
    settled: bool,
}

/// The links of one shard.
#[derive(Debug)]
pub(crate) struct NameServers<C> {
    links: Vec<Link<C>>,
}

/// Something to write to the log about a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice<'a> {
    /// The name server can't be reached, the first time since it could.
    Down(&'a str),
    /// Nothing to say.
    Nothing,
}

impl<C: Copy + Eq> NameServers<C> {
    /// Links to `names` (`host:port`), whose addresses come through [`NameServers::resolved`].
    #[must_use]
    pub(crate) fn new(names: &[String]) -> Self {
        let link = |name: &String| Link {
            name: name.clone(),
            addresses: vec![],
            next: 0,
            state: State::Down { retry_ms: i64::MIN },
            register_at_ms: i64::MIN,
            asked_ms: i64::MIN,
            owes: false,
            told_down: false,
            settled: false,
        };
        Self { links: names.iter().map(link).collect() }
    }

    /// The addresses that a name means now; none: it can't be resolved.
    pub(crate) fn resolved(&mut self, index: usize, addresses: Vec<SocketAddr>) {
        if let Some(link) = self.links.get_mut(index) {
            link.settled |= addresses.is_empty();
            link.addresses = addresses;
        }
    }

    /// The dials that are due, as index and address; they are on their way after this call.
    pub(crate) fn due_dials(&mut self, now_ms: i64) -> Vec<(usize, SocketAddr)> {
        let mut dials = vec![];
        for (index, link) in self.links.iter_mut().enumerate() {
            let due = matches!(link.state, State::Down { retry_ms } if retry_ms <= now_ms);
            if due && !link.addresses.is_empty() {
                let address = link.addresses.get(link.next % link.addresses.len()).copied();
                link.state = State::Dialing;
                dials.extend(address.map(|address| (index, address)));
            }
        }
        dials
    }

    /// A dial succeeded: the link registers at once.
    pub(crate) fn opened(&mut self, index: usize, conn: C) {
        if let Some(link) = self.links.get_mut(index) {
            link.state = State::Up(conn);
            link.register_at_ms = i64::MIN;
            link.owes = false;
        }
    }

    /// A dial failed.
    pub(crate) fn dial_failed(&mut self, index: usize, now_ms: i64) -> Notice<'_> {
        self.links.get_mut(index).map_or(Notice::Nothing, |link| {
            link.next = link.next.wrapping_add(1);
            down(link, now_ms)
        })
    }

    /// A connection closed; `None`: it was not one of ours.
    pub(crate) fn closed(&mut self, conn: C, now_ms: i64) -> Option<Notice<'_>> {
        let link = self.links.iter_mut().find(|link| link.state == State::Up(conn))?;
        Some(down(link, now_ms))
    }

    /// The links on which a registration of everything is due; the next one is due `period_ms`
    /// later.
    pub(crate) fn due_registrations(&mut self, now_ms: i64, period_ms: i64) -> Vec<C> {
        let mut due = vec![];
        for link in &mut self.links {
            if let State::Up(conn) = link.state
                && link.register_at_ms <= now_ms
            {
                link.register_at_ms = now_ms + period_ms;
                link.ask(now_ms);
                due.push(conn);
            }
        }
        due
    }

    /// The links on which a slave that has no stream from its master asks where the master is. A
    /// name server that has not answered is not asked again: one that is dead or slow gets no
    /// more than one question.
    pub(crate) fn due_looks(&mut self, now_ms: i64) -> Vec<C> {
        let mut due = vec![];
        for link in &mut self.links {
            // A clock that was set back makes no pause longer.
            let has_paused = !(0..LOOK_MS).contains(&now_ms.saturating_sub(link.asked_ms));
            if let State::Up(conn) = link.state
                && link.register_at_ms != i64::MIN
                && has_paused
                && !link.owes
            {
                link.ask(now_ms);
                due.push(conn);
            }
        }
        due
    }

    /// The links on which everything was registered: changes are told to these.
    pub(crate) fn registered(&self) -> impl Iterator<Item = C> {
        self.links.iter().filter(|link| link.register_at_ms != i64::MIN).filter_map(|link| {
            match link.state {
                State::Up(conn) => Some(conn),
                State::Down { .. } | State::Dialing => None,
            }
        })
    }

    /// A name server answered a registration: its name, if the connection leads to one.
    pub(crate) fn answered(&mut self, conn: C) -> Option<&str> {
        let link = self.links.iter_mut().find(|link| link.state == State::Up(conn))?;
        link.settled = true;
        link.owes = false;
        link.told_down = false;
        Some(&link.name)
    }

    /// Whether each name server has answered or could not be reached: the start need not wait
    /// longer.
    #[must_use]
    pub(crate) fn settled(&self) -> bool {
        self.links.iter().all(|link| link.settled)
    }
}

impl<C> Link<C> {
    fn ask(&mut self, now_ms: i64) {
        self.asked_ms = now_ms;
        self.owes = true;
    }
}

fn down<C>(link: &mut Link<C>, now_ms: i64) -> Notice<'_> {
    link.state = State::Down { retry_ms: now_ms.saturating_add(RETRY_MS) };
    link.settled = true;
    if std::mem::replace(&mut link.told_down, true) {
        Notice::Nothing
    } else {
        Notice::Down(&link.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> NameServers<u32> {
        let mut servers = NameServers::new(&["a:1".to_owned(), "b:2".to_owned()]);
        servers.resolved(0, vec!["[::1]:1".parse().unwrap(), "127.0.0.1:1".parse().unwrap()]);
        servers
    }

    #[test]
    fn a_link_dials_registers_and_registers_again_in_time() {
        let mut servers = two();
        assert_eq!(
            servers.due_dials(0),
            [(0, "[::1]:1".parse().unwrap())],
            "the other name has no address yet"
        );
        assert!(servers.due_dials(0).is_empty());
        servers.opened(0, 7);
        assert_eq!(servers.registered().count(), 0);
        assert_eq!(servers.due_registrations(0, 30_000), [7]);
        assert_eq!(servers.registered().collect::<Vec<_>>(), [7]);
        assert!(servers.due_registrations(29_999, 30_000).is_empty());
        assert_eq!(servers.due_registrations(30_000, 30_000), [7]);
    }

    #[test]
    fn who_looks_for_its_master_asks_again_after_an_answer_and_a_pause() {
        let mut servers = two();
        servers.due_dials(0);
        servers.opened(0, 7);
        assert!(servers.due_looks(0).is_empty(), "it registers first");
        servers.due_registrations(0, 30_000);
        assert!(servers.due_looks(90_000).is_empty(), "no answer, no second question");
        servers.answered(7);
        assert!(servers.due_looks(LOOK_MS - 1).is_empty());
        assert_eq!(servers.due_looks(LOOK_MS), [7]);
        assert!(servers.due_looks(LOOK_MS).is_empty());
        servers.answered(7);
        assert!(servers.due_looks(LOOK_MS * 2 - 1).is_empty());
        assert_eq!(servers.due_looks(-5_000), [7], "the clock was set back");
        servers.closed(7, 0);
        servers.due_dials(RETRY_MS);
        servers.opened(0, 8);
        assert!(servers.due_looks(90_000).is_empty(), "the new link registers first");
        servers.due_registrations(90_000, 30_000);
        servers.answered(8);
        assert_eq!(servers.due_looks(90_000 + LOOK_MS), [8]);
    }

    #[test]
    fn a_dead_name_server_is_named_once_and_tried_on_its_other_address() {
        let mut servers = two();
        servers.due_dials(0);
        assert_eq!(servers.dial_failed(0, 0), Notice::Down("a:1"));
        assert!(servers.due_dials(RETRY_MS - 1).is_empty());
        assert_eq!(servers.due_dials(RETRY_MS), [(0, "127.0.0.1:1".parse().unwrap())]);
        assert_eq!(servers.dial_failed(0, RETRY_MS), Notice::Nothing);
        servers.due_dials(RETRY_MS * 2);
        servers.opened(0, 7);
        assert_eq!(servers.answered(8), None);
        assert_eq!(servers.answered(7), Some("a:1"));
        assert_eq!(servers.closed(7, 20_000), Some(Notice::Down("a:1")));
        assert_eq!(servers.closed(8, 20_000), None);
    }

    #[test]
    fn the_start_waits_until_each_answered_or_failed() {
        let mut servers = two();
        assert!(!servers.settled());
        servers.resolved(1, vec![]);
        servers.due_dials(0);
        servers.opened(0, 7);
        assert!(!servers.settled());
        servers.answered(7);
        assert!(servers.settled());
    }
}
