//! What the desk counts, for each row of its table. One core's, so plain numbers.

use super::code::Code;
use crate::answers::ticket::{Ticket, Wire};
use netcore::ConnId;

/// The requests of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// That came.
    pub(crate) came: u64,
    /// That ended with what they asked for.
    pub(crate) done: u64,
    /// That ended without: refused, failed, or their connection is gone.
    pub(crate) refused: u64,
    /// Microseconds from coming to ending, all together. Requests that end in the turn in which
    /// they came count 0.
    pub(crate) waited_us: u64,
    /// The longest.
    pub(crate) waited_us_max: u32,
}

impl Count {
    /// Those that have not ended.
    pub(crate) fn under_way(&self) -> u64 {
        let ended = self.done + self.refused;
        assert!(ended <= self.came, "more requests ended than came: {self:?}");
        self.came - ended
    }
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

    /// All rows, in the order of the table.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Code, &Count)> {
        self.codes.iter().copied().zip(&self.counts)
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
        self.counts[usize::from(row)].came += 1;
        let began_us = *self.turn_us.get_or_insert_with(now_us);
        Ticket { conn, id, wire, row, began_us }
    }

    /// The turn is over: the next request asks the clock again.
    pub(crate) fn turn_ended(&mut self) {
        self.turn_us = None;
    }

    /// A request ended in the turn in which it came.
    pub(crate) fn ended_now(&mut self, ticket: &Ticket, is_done: bool) {
        self.end(ticket, is_done, 0);
    }

    /// A request ended that had waited until `now_us`.
    pub(crate) fn ended(&mut self, ticket: &Ticket, is_done: bool, now_us: u32) {
        self.end(ticket, is_done, now_us.wrapping_sub(ticket.began_us));
    }

    fn end(&mut self, ticket: &Ticket, is_done: bool, waited_us: u32) {
        let count = &mut self.counts[usize::from(ticket.row)];
        if is_done {
            count.done += 1;
        } else {
            count.refused += 1;
        }
        count.waited_us += u64::from(waited_us);
        count.waited_us_max = count.waited_us_max.max(waited_us);
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
        assert_eq!(desk.count(0).under_way(), 2);
        desk.ended_now(&first, true);
        desk.turn_ended();
        desk.ended(&second, false, 350);
        let count = desk.count(0);
        assert_eq!((count.done, count.refused, count.under_way()), (1, 1, 0));
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
