//! What the desk counts, for each row of its table. One core's, so plain numbers.

use super::code::Code;
use crate::answers::ticket::{Ticket, Wire};
use netcore::ConnId;

/// The requests of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// That came.
    pub(crate) came: u64,
    /// That have not ended.
    pub(crate) under_way: u32,
    /// That ended without what they asked for: refused, failed, or given up because their
    /// connection is gone. The others were done.
    pub(crate) refused: u64,
    /// Microseconds from coming to ending, all together. Requests that end in the turn in which
    /// they came count 0.
    pub(crate) waited_us: u64,
    /// The longest.
    pub(crate) waited_us_max: u32,
}

/// The counts of one shard, and the clock of tickets.
#[derive(Debug)]
pub(crate) struct Desk {
    /// The table's rows by what they answer, in its order.
    codes: Box<[Code]>,
    counts: Box<[Count]>,
    /// When the running turn of the loop began; `None` until its first request asks.
    turn_us: Option<u32>,
}

impl Desk {
    /// For a table of these rows.
    pub(crate) fn new(codes: Box<[Code]>) -> Self {
        assert!(codes.len() <= usize::from(u8::MAX), "a ticket names its row by a byte");
        let counts = vec![Count::default(); codes.len()].into();
        Self { codes, counts, turn_us: None }
    }

    /// The counts of a row.
    pub(crate) fn count(&self, row: u8) -> &Count {
        &self.counts[usize::from(row)]
    }

    /// How many requests of these codes ended without what they asked for.
    pub(crate) fn refused(&self, of: impl Fn(Code) -> bool) -> u64 {
        self.of(of).map(|count| count.refused).sum()
    }

    /// The longest wait of a request of these codes, in microseconds.
    pub(crate) fn waited_us_max(&self, of: impl Fn(Code) -> bool) -> u32 {
        self.of(of).map(|count| count.waited_us_max).max().unwrap_or(0)
    }

    fn of(&self, which: impl Fn(Code) -> bool) -> impl Iterator<Item = &Count> {
        self.codes.iter().zip(&self.counts).filter(move |(code, _)| which(**code)).map(|row| row.1)
    }

    /// A request came. `now_us` is asked once a turn.
    pub(crate) fn came(
        &mut self,
        row: u8,
        conn: ConnId,
        id: u32,
        wire: Wire,
        now_us: impl FnOnce() -> u32,
    ) -> Ticket {
        let count = &mut self.counts[usize::from(row)];
        count.came += 1;
        count.under_way += 1;
        let began_us = *self.turn_us.get_or_insert_with(now_us);
        Ticket { conn, id, wire, row, began_us }
    }

    /// The turn is over: the next request asks the clock again.
    pub(crate) fn turn_ended(&mut self) {
        self.turn_us = None;
    }

    /// A request ended in the turn in which it came.
    pub(crate) fn ended_now(&mut self, ticket: &Ticket, is_done: bool) {
        self.end(ticket, is_done);
    }

    /// A request ended that had waited until `now_us`.
    pub(crate) fn ended(&mut self, ticket: &Ticket, is_done: bool, now_us: u32) {
        let waited_us = now_us.wrapping_sub(ticket.began_us);
        let count = self.end(ticket, is_done);
        count.waited_us += u64::from(waited_us);
        count.waited_us_max = count.waited_us_max.max(waited_us);
    }

    fn end(&mut self, ticket: &Ticket, is_done: bool) -> &mut Count {
        let count = &mut self.counts[usize::from(ticket.row)];
        let left = count.under_way.checked_sub(1);
        count.under_way = left.expect("no more requests end than came");
        count.refused += u64::from(!is_done);
        count
    }
}

/// Microseconds of the monotonic clock, as tickets keep them: the lower 32 bits.
pub(crate) fn us_of(nanos: u64) -> u32 {
    let [a, b, c, d, ..] = (nanos / 1_000).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk() -> Desk {
        Desk::new(Box::new([Code::Remoting(10)]))
    }

    #[test]
    fn a_request_is_counted_when_it_comes_and_when_it_ends() {
        let mut desk = desk();
        let first = desk.came(0, ConnId::default(), 1, Wire::Json, || 100);
        let second = desk.came(0, ConnId::default(), 2, Wire::Json, || panic!("once a turn"));
        assert_eq!(desk.count(0).under_way, 2);
        desk.ended_now(&first, true);
        desk.turn_ended();
        desk.ended(&second, false, 350);
        let count = desk.count(0);
        assert_eq!((count.came, count.refused, count.under_way), (2, 1, 0));
        assert_eq!((count.waited_us, count.waited_us_max), (250, 250));
    }

    #[test]
    fn the_clock_of_tickets_may_wrap() {
        let mut desk = desk();
        let began = us_of((u64::from(u32::MAX) - 9) * 1_000);
        let ticket = desk.came(0, ConnId::default(), 1, Wire::Json, || began);
        desk.ended(&ticket, true, us_of((u64::from(u32::MAX) + 11) * 1_000));
        assert_eq!(desk.count(0).waited_us, 20);
    }
}
