//! Requests that the broker sends to peers: to name servers, which answer, and to clients.
//!
//! ```text
//!   ask ──frame──► peer ──answer──► answered ─► what was asked
//!    │              └── none in time ─► overdue ─► what was asked, and the connection that owes it
//!    └── the connection is gone ─► forgotten
//!   ask_client ──frame──► client ──answer, none in time, gone──► the task that waits ([`answer`])
//!   tell ──one-way frame──► peer            (nothing is kept: RocketMQ's clients never answer a 40)
//! ```
//!
//! Bounded by `ASKED_MAX`; beyond it a name server is asked all the same, and its answer is no
//! news. A client is not asked.

use super::answer::{self, Awaited, ClientAnswer, NoAnswer, Slot};
use crate::limits::{ASKED_MAX, ASKED_OF_ONE_MAX};
use netcore::{ConnId, Net};
use protocol::remoting::{CommandHead, CommandView, ExtWriter, FLAG_ONEWAY, write_command};
use std::collections::HashMap;

/// What a peer was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// A name server: REGISTER_BROKER.
    Register,
    /// A name server: UNREGISTER_BROKER.
    Unregister,
}

#[derive(Debug)]
struct Open {
    conn: ConnId,
    who: Who,
    deadline_ms: i64,
}

/// Who wants the answer.
#[derive(Debug)]
enum Who {
    /// A service, which is told by what it asked.
    Service(Question),
    /// A task.
    Task(Slot),
}

/// The requests of one shard that are not answered, by their `opaque`.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    open: HashMap<i32, Open>,
    /// How many of them tasks have asked of each client.
    of_client: HashMap<ConnId, usize>,
    last_opaque: i32,
}

/// A request to a peer, but for its number.
pub(crate) struct Request<'a> {
    /// `protocol::codes::request`.
    pub(crate) code: i32,
    /// Writes the header's fields.
    pub(crate) ext: &'a dyn Fn(&mut ExtWriter<'_>),
    /// Its body.
    pub(crate) body: &'a [u8],
}

impl Asked {
    /// Sends a request that is to be answered by `deadline_ms`. One peer that answers nothing keeps
    /// no other from being asked: over the limit a question is sent without waiting for its answer.
    pub(crate) fn ask(
        &mut self,
        net: &mut Net,
        conn: ConnId,
        question: Question,
        deadline_ms: i64,
        request: &Request<'_>,
    ) {
        let opaque = self.next_opaque();
        let is_sent = send(net, conn, opaque, 0, request);
        if is_sent && self.open.len() < ASKED_MAX {
            self.open.insert(opaque, Open { conn, who: Who::Service(question), deadline_ms });
        }
    }

    /// Asks a client; the caller's task waits for the answer.
    pub(crate) fn ask_client(
        &mut self,
        net: &mut Net,
        conn: ConnId,
        deadline_ms: i64,
        request: &Request<'_>,
    ) -> Result<Awaited, NoAnswer> {
        let of_one = self.of_client.get(&conn).copied().unwrap_or(0);
        if self.open.len() >= ASKED_MAX || of_one >= ASKED_OF_ONE_MAX {
            return Err(NoAnswer::TooMany);
        }
        let opaque = self.next_opaque();
        if !send(net, conn, opaque, 0, request) {
            return Err(NoAnswer::Gone);
        }
        let (slot, awaited) = answer::pair();
        self.of_client.insert(conn, of_one + 1);
        self.open.insert(opaque, Open { conn, who: Who::Task(slot), deadline_ms });
        Ok(awaited)
    }

    /// Tells a peer something that it does not answer.
    pub(crate) fn tell(&mut self, net: &mut Net, conn: ConnId, request: &Request<'_>) {
        let opaque = self.next_opaque();
        send(net, conn, opaque, FLAG_ONEWAY, request);
    }

    /// An answer came: what a service asked. `None` when nothing was asked, of this peer and by
    /// this number, or a task has got it.
    pub(crate) fn answered(&mut self, conn: ConnId, answer: &CommandView<'_>) -> Option<Question> {
        if self.open.get(&answer.opaque)?.conn != conn {
            return None;
        }
        match self.open.remove(&answer.opaque)?.who {
            Who::Service(question) => Some(question),
            Who::Task(slot) => {
                one_less(&mut self.of_client, conn);
                slot.give(Ok(ClientAnswer::of(answer)));
                None
            }
        }
    }

    /// Forgets the questions whose time is up, and gives back those of services.
    pub(crate) fn overdue(&mut self, now_ms: i64) -> Vec<(ConnId, Question)> {
        self.take(NoAnswer::Late, |open| open.deadline_ms <= now_ms)
    }

    /// Forgets what a connection that is gone was asked.
    pub(crate) fn closed(&mut self, conn: ConnId) {
        self.take(NoAnswer::Gone, |open| open.conn == conn);
    }

    fn take(&mut self, why: NoAnswer, which: impl Fn(&Open) -> bool) -> Vec<(ConnId, Question)> {
        if self.open.is_empty() {
            return vec![];
        }
        let mut of_services = vec![];
        for (_, open) in self.open.extract_if(|_, open| which(open)) {
            match open.who {
                Who::Service(question) => of_services.push((open.conn, question)),
                Who::Task(slot) => {
                    one_less(&mut self.of_client, open.conn);
                    slot.give(Err(why));
                }
            }
        }
        of_services
    }

    fn next_opaque(&mut self) -> i32 {
        self.last_opaque = self.last_opaque.wrapping_add(1);
        self.last_opaque
    }
}

fn one_less(of_client: &mut HashMap<ConnId, usize>, conn: ConnId) {
    if let Some(count) = of_client.get_mut(&conn) {
        *count -= 1;
        if *count == 0 {
            of_client.remove(&conn);
        }
    }
}

fn send(net: &mut Net, conn: ConnId, opaque: i32, flag: i32, request: &Request<'_>) -> bool {
    let Some(out) = net.out(conn) else { return false };
    let head = CommandHead { code: request.code, opaque, flag, ..CommandHead::default() };
    write_command(out.bytes(), &head, |ext| (request.ext)(ext), request.body);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    fn with_frame<T>(opaque: i32, then: impl FnOnce(&CommandView<'_>) -> T) -> T {
        let mut frame = vec![];
        let head = CommandHead { opaque, ..CommandHead::default() };
        write_command(&mut frame, &head, |_| {}, b"body");
        then(&CommandView::parse(&frame[4..]).unwrap())
    }

    fn open(asked: &mut Asked, who: Who, deadline_ms: i64) {
        let opaque = asked.next_opaque();
        if let Who::Task(_) = who {
            *asked.of_client.entry(ConnId::default()).or_default() += 1;
        }
        asked.open.insert(opaque, Open { conn: ConnId::default(), who, deadline_ms });
    }

    fn asked() -> Asked {
        let mut asked = Asked::default();
        open(&mut asked, Who::Service(Question::Register), 100);
        open(&mut asked, Who::Service(Question::Register), 200);
        asked
    }

    #[test]
    fn an_answer_counts_once_and_only_from_the_peer_that_was_asked() {
        let conn = ConnId::default();
        let mut asked = asked();
        let mut answered = |opaque| with_frame(opaque, |frame| asked.answered(conn, frame));
        assert_eq!(answered(7), None);
        assert_eq!(answered(1), Some(Question::Register));
        assert_eq!(answered(1), None);
    }

    #[test]
    fn a_question_without_an_answer_in_time_comes_back_once() {
        let conn = ConnId::default();
        let mut asked = asked();
        assert!(asked.overdue(99).is_empty());
        assert_eq!(asked.overdue(100), [(conn, Question::Register)]);
        assert!(asked.overdue(199).is_empty());
        asked.closed(conn);
        assert!(asked.open.is_empty());
    }

    #[test]
    fn a_task_that_asks_a_client_gets_its_answer_or_why_there_is_none() {
        let conn = ConnId::default();
        let mut asked = Asked::default();
        let mut waits = vec![];
        for deadline_ms in [100, 100, 200] {
            let (slot, awaited) = answer::pair();
            open(&mut asked, Who::Task(slot), deadline_ms);
            waits.push(awaited);
        }
        assert!(block_on(poll_once(&mut waits[0])).is_none());
        assert_eq!(with_frame(1, |frame| asked.answered(conn, frame)), None);
        assert!(asked.overdue(100).is_empty());
        asked.closed(conn);
        let mut outcomes = waits.into_iter().map(block_on);
        let answer = outcomes.next().unwrap().unwrap();
        assert_eq!((answer.body.as_slice(), answer.code), (&b"body"[..], 0));
        assert_eq!(outcomes.next(), Some(Err(NoAnswer::Late)));
        assert_eq!(outcomes.next(), Some(Err(NoAnswer::Gone)));
        assert!(asked.open.is_empty() && asked.of_client.is_empty());
    }
}
