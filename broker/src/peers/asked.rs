//! Requests that the broker sends to peers: to name servers, which answer, and to clients.
//!
//! ```text
//!   ask ──frame──► peer ──answer──► answered ─► what was asked
//!    │              └── none in time ─► overdue ─► what was asked, and the connection that owes it
//!    └── the connection is gone ─► forgotten
//!   tell ──one-way frame──► peer            (nothing is kept: RocketMQ's clients never answer a 40)
//! ```
//!
//! Bounded by `ASKED_MAX`; beyond it a question is sent all the same, and its answer is no news.

use crate::limits::ASKED_MAX;
use netcore::{ConnId, Net};
use protocol::remoting::{CommandHead, ExtWriter, FLAG_ONEWAY, write_command};
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
    question: Question,
    deadline_ms: i64,
}

/// The requests of one shard that are not answered, by their `opaque`.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    open: HashMap<i32, Open>,
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
            self.open.insert(opaque, Open { conn, question, deadline_ms });
        }
    }

    /// Tells a peer something that it does not answer.
    pub(crate) fn tell(&mut self, net: &mut Net, conn: ConnId, request: &Request<'_>) {
        let opaque = self.next_opaque();
        send(net, conn, opaque, FLAG_ONEWAY, request);
    }

    /// An answer came: what was asked. `None` when nothing was, of this peer and by this number.
    pub(crate) fn answered(&mut self, conn: ConnId, opaque: i32) -> Option<Question> {
        if self.open.get(&opaque)?.conn != conn {
            return None;
        }
        self.open.remove(&opaque).map(|open| open.question)
    }

    /// Forgets the questions whose time is up, and gives them back.
    pub(crate) fn overdue(&mut self, now_ms: i64) -> Vec<(ConnId, Question)> {
        self.take(|open| open.deadline_ms <= now_ms)
    }

    /// Forgets what a connection that is gone was asked.
    pub(crate) fn closed(&mut self, conn: ConnId) {
        self.take(|open| open.conn == conn);
    }

    fn take(&mut self, which: impl Fn(&Open) -> bool) -> Vec<(ConnId, Question)> {
        if self.open.is_empty() {
            return vec![];
        }
        let taken = self.open.extract_if(|_, open| which(open));
        taken.map(|(_, open)| (open.conn, open.question)).collect()
    }

    fn next_opaque(&mut self) -> i32 {
        self.last_opaque = self.last_opaque.wrapping_add(1);
        self.last_opaque
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

    fn asked(conns: &[ConnId]) -> Asked {
        let mut asked = Asked::default();
        for (conn, deadline_ms) in conns.iter().zip([100, 200]) {
            let opaque = asked.next_opaque();
            let open = Open { conn: *conn, question: Question::Register, deadline_ms };
            asked.open.insert(opaque, open);
        }
        asked
    }

    #[test]
    fn an_answer_counts_once_and_only_from_the_peer_that_was_asked() {
        let conn = ConnId::default();
        let mut asked = asked(&[conn]);
        assert_eq!(asked.answered(conn, 7), None);
        assert_eq!(asked.answered(conn, 1), Some(Question::Register));
        assert_eq!(asked.answered(conn, 1), None);
    }

    #[test]
    fn a_question_without_an_answer_in_time_comes_back_once() {
        let conn = ConnId::default();
        let mut asked = asked(&[conn, conn]);
        assert!(asked.overdue(99).is_empty());
        assert_eq!(asked.overdue(100), [(conn, Question::Register)]);
        assert!(asked.overdue(199).is_empty());
        asked.closed(conn);
        assert!(asked.open.is_empty());
    }
}
