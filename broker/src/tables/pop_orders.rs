//! What ordered pops have handed out of each queue and is not acknowledged:
//! `config/consumerOrderInfo.json` (`QueueLevelConsumerManager`).
//!
//! A queue of a group is blocked while a message of its last pop is neither acknowledged nor past
//! its invisible time. Then the messages come again from the first that is not acknowledged, in
//! order. Ordered pops have no checkpoints: the saved offset stays at that message.

use crate::limits::POP_ORDERS_MAX;
use protocol::bodies::{OrderInfo, OrderInfos};
use protocol::pop::{Retry, write_order_count};
use std::collections::BTreeMap;

/// So long after its last pop a queue is forgotten (`CLEAN_SPAN_FROM_LAST`).
const KEPT_MS: i64 = 86_400_000;

/// What an acknowledgement comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// The group goes on here.
    Next(i64),
    /// The message is none of the last pop's.
    Unknown,
    /// It is of an earlier pop, which counts no more.
    Old,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct PopOrders {
    infos: OrderInfos,
    queues: usize,
    unsaved: bool,
}

/// One pop of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderedPop<'a> {
    /// What the consumer calls it.
    pub(crate) attempt_id: Option<&'a str>,
    /// When, in milliseconds since 1970.
    pub(crate) pop_time_ms: i64,
    /// For how long the queue is blocked.
    pub(crate) invisible_ms: i64,
    /// Its messages.
    pub(crate) offsets: &'a [i64],
}

impl PopOrders {
    /// What the file holds.
    pub(crate) fn load(infos: OrderInfos) -> Self {
        let queues = infos.table.values().map(BTreeMap::len).sum();
        Self { infos, queues, unsaved: false }
    }

    /// Takes over a master's.
    pub(crate) fn follow(&mut self, infos: OrderInfos) {
        if infos != self.infos {
            *self = Self { unsaved: true, ..Self::load(infos) };
        }
    }

    /// As the file and GET_ALL_POP_ORDERS have them.
    pub(crate) fn wrapper(&self) -> &OrderInfos {
        &self.infos
    }

    fn get(&self, topic: &str, group: &str, queue_id: i32) -> Option<&OrderInfo> {
        self.infos.table.get(&key(topic, group))?.get(&queue_id)
    }

    fn get_mut(&mut self, topic: &str, group: &str, queue_id: i32) -> Option<&mut OrderInfo> {
        self.unsaved = true;
        self.infos.table.get_mut(&key(topic, group))?.get_mut(&queue_id)
    }

    /// Whether this attempt may not pop the queue now.
    pub(crate) fn is_blocked(
        &self,
        (topic, group, queue_id): (&str, &str, i32),
        attempt_id: Option<&str>,
        now_ms: i64,
    ) -> bool {
        let Some(info) = self.get(topic, group, queue_id) else { return false };
        if info.attempt_id.is_some() && info.attempt_id.as_deref() == attempt_id {
            return false;
        }
        (0..info.offsets.len()).any(|nth| !is_acked(info, nth) && now_ms < visible_ms(info, nth))
    }

    /// When the first blocked message of a queue becomes visible.
    pub(crate) fn free_ms(&self, topic: &str, group: &str, queue_id: i32) -> Option<i64> {
        let info = self.get(topic, group, queue_id)?;
        let open = (0..info.offsets.len()).filter(|nth| !is_acked(info, *nth));
        open.map(|nth| visible_ms(info, nth)).max()
    }

    /// A pop takes messages of a queue; false when there is no room for more queues. Adds to
    /// `counts` how often they were delivered before.
    pub(crate) fn popped(
        &mut self,
        (topic, group, queue_id): (&str, &str, i32),
        pop: OrderedPop<'_>,
        now_ms: i64,
        counts: &mut String,
    ) -> bool {
        let Some(first) = pop.offsets.first() else { return true };
        let before = self.get(topic, group, queue_id);
        if before.is_none() && self.queues >= POP_ORDERS_MAX {
            return false;
        }
        let consumed = before.map(|before| consumed_before(before, &pop)).unwrap_or_default();
        let tail = pop.offsets.iter().skip(1).map(|offset| offset - first);
        for (offset, count) in &consumed {
            write_order_count(counts, Retry::of(topic), (queue_id, Some(*offset)), *count);
        }
        // Old clients know one number for all messages of a queue.
        let all_known = consumed.len() == pop.offsets.len();
        let least = consumed.values().min().copied().filter(|_| all_known).unwrap_or(0);
        write_order_count(counts, Retry::of(topic), (queue_id, None), least);
        let info = OrderInfo {
            attempt_id: pop.attempt_id.map(str::to_owned),
            acked: 0,
            invisible_ms: Some(pop.invisible_ms),
            consumed_ms: now_ms,
            offsets: std::iter::once(*first).chain(tail).collect(),
            consumed: Some(consumed),
            visible_ms: None,
            pop_time_ms: pop.pop_time_ms,
        };
        let queues = self.infos.table.entry(key(topic, group)).or_default();
        self.queues += usize::from(queues.insert(queue_id, info).is_none());
        self.unsaved = true;
        true
    }

    /// A message is acknowledged.
    pub(crate) fn ack(
        &mut self,
        (topic, group, queue_id): (&str, &str, i32),
        offset: i64,
        pop_time_ms: i64,
    ) -> Committed {
        let Some(info) = self.get_mut(topic, group, queue_id) else {
            return Committed::Next(offset.saturating_add(1));
        };
        if info.offsets.is_empty() {
            return Committed::Unknown;
        }
        if info.pop_time_ms != pop_time_ms {
            return Committed::Old;
        }
        let Some(nth) = (0..info.offsets.len()).find(|nth| offset_of(info, *nth) == offset) else {
            return Committed::Unknown;
        };
        info.acked |= bit(nth);
        let open = (0..info.offsets.len()).find(|nth| !is_acked(info, *nth));
        Committed::Next(match open {
            Some(nth) => offset_of(info, nth),
            None => offset_of(info, info.offsets.len() - 1).saturating_add(1),
        })
    }

    /// A message blocks its queue until another time.
    pub(crate) fn visible_at(
        &mut self,
        (topic, group, queue_id): (&str, &str, i32),
        offset: i64,
        pop_time_ms: i64,
        at_ms: i64,
    ) {
        let info = self.get_mut(topic, group, queue_id);
        let Some(info) = info.filter(|info| info.pop_time_ms == pop_time_ms) else { return };
        if (0..info.offsets.len()).any(|nth| offset_of(info, nth) == offset) {
            info.visible_ms.get_or_insert_default().insert(offset, at_ms);
        }
    }

    /// All messages of a pop block their queue until another time, and the attempt does not count
    /// (`MemoryConsumerOrderInfoManager.suspendQueue`).
    pub(crate) fn suspend(&mut self, at: (&str, &str, i32), pop_time_ms: i64, until_ms: i64) {
        let info = self.get_mut(at.0, at.1, at.2);
        let Some(info) = info.filter(|info| info.pop_time_ms == pop_time_ms) else { return };
        for count in info.consumed.iter_mut().flat_map(BTreeMap::values_mut) {
            *count = (*count - 1).max(0);
        }
        info.visible_ms = None;
        info.invisible_ms = Some(until_ms.saturating_sub(pop_time_ms));
    }

    /// How many queues have messages that are out.
    pub(crate) fn len(&self) -> usize {
        self.queues
    }

    /// Where a group goes on was set from outside: nothing blocks the queue.
    pub(crate) fn clear(&mut self, topic: &str, group: &str, queue_id: i32) {
        let key = key(topic, group);
        if let Some(queues) = self.infos.table.get_mut(&key) {
            let was_there = queues.remove(&queue_id).is_some();
            if queues.is_empty() {
                self.infos.table.remove(&key);
            }
            self.queues -= usize::from(was_there);
            self.unsaved |= was_there;
        }
    }

    /// Forgets the queues that nobody has popped for long, or whose topic or group is gone.
    pub(crate) fn clean(&mut self, now_ms: i64, is_there: impl Fn(&str, &str) -> bool) {
        let before = self.queues;
        self.infos.table.retain(|key, queues| {
            queues.retain(|_, info| now_ms.saturating_sub(info.consumed_ms) <= KEPT_MS);
            let names = key.split_once('@');
            !queues.is_empty() && names.is_some_and(|(topic, group)| is_there(topic, group))
        });
        self.queues = self.infos.table.values().map(BTreeMap::len).sum();
        self.unsaved |= self.queues != before;
    }

    /// The table as the file has it, if anything changed since the last call.
    pub(crate) fn take_unsaved(&mut self) -> Option<OrderInfos> {
        std::mem::take(&mut self.unsaved).then(|| self.infos.clone())
    }

    /// Writing failed: it is still to be done.
    pub(crate) fn set_unsaved(&mut self) {
        self.unsaved = true;
    }
}

fn key(topic: &str, group: &str) -> String {
    format!("{topic}@{group}")
}

fn bit(nth: usize) -> i64 {
    1_i64.checked_shl(u32::try_from(nth).unwrap_or(u32::MAX)).unwrap_or(0)
}

fn is_acked(info: &OrderInfo, nth: usize) -> bool {
    info.acked & bit(nth) != 0
}

fn offset_of(info: &OrderInfo, nth: usize) -> i64 {
    match (info.offsets.first(), info.offsets.get(nth)) {
        (Some(first), Some(offset)) if nth > 0 => first.saturating_add(*offset),
        (Some(first), _) => *first,
        (None, _) => -1,
    }
}

fn visible_ms(info: &OrderInfo, nth: usize) -> i64 {
    let own = info.visible_ms.as_ref().and_then(|times| times.get(&offset_of(info, nth)));
    own.copied().unwrap_or_else(|| info.pop_time_ms.saturating_add(info.invisible_ms.unwrap_or(0)))
}

/// How often each message of a pop was delivered before: those that the pop before had too. The
/// same attempt again counts as one.
fn consumed_before(before: &OrderInfo, pop: &OrderedPop<'_>) -> BTreeMap<i64, i32> {
    let known = before.consumed.clone().unwrap_or_default();
    if before.attempt_id.is_some() && before.attempt_id.as_deref() == pop.attempt_id {
        return known;
    }
    let had = |offset: i64| (0..before.offsets.len()).any(|nth| offset_of(before, nth) == offset);
    let again = pop.offsets.iter().copied().filter(|offset| had(*offset));
    again.map(|at| (at, known.get(&at).map_or(1, |count| count.saturating_add(1)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: (&str, &str, i32) = ("T", "g", 3);

    fn pop<'a>(
        attempt_id: Option<&'a str>,
        pop_time_ms: i64,
        offsets: &'a [i64],
    ) -> OrderedPop<'a> {
        OrderedPop { attempt_id, pop_time_ms, invisible_ms: 1_000, offsets }
    }

    #[test]
    fn a_queue_is_blocked_until_all_is_acknowledged_or_its_time_is_over() {
        let mut orders = PopOrders::default();
        let mut counts = String::new();
        assert!(!orders.is_blocked(AT, None, 0));
        assert!(orders.popped(AT, pop(Some("a"), 5_000, &[10, 12]), 5_000, &mut counts));
        assert_eq!(counts, "0 3 0");
        assert!(
            orders.is_blocked(AT, Some("b"), 5_999) && !orders.is_blocked(AT, Some("a"), 5_999)
        );
        assert!(!orders.is_blocked(AT, None, 6_000));
        assert_eq!(orders.ack(AT, 12, 5_000), Committed::Next(10));
        assert!(orders.is_blocked(AT, None, 5_999));
        orders.visible_at(AT, 10, 5_000, 9_000);
        orders.visible_at(AT, 11, 5_000, 99_000);
        assert_eq!(orders.free_ms("T", "g", 3), Some(9_000));
        assert!(orders.is_blocked(AT, None, 8_999));
        assert_eq!(orders.ack(AT, 10, 5_000), Committed::Next(13));
        assert!(!orders.is_blocked(AT, None, 5_001));
    }

    #[test]
    fn what_comes_again_is_counted_but_not_for_the_same_attempt() {
        let mut orders = PopOrders::default();
        let told = |orders: &mut PopOrders, attempt, at_ms, offsets: &[i64]| {
            let mut counts = String::new();
            assert!(orders.popped(AT, pop(attempt, at_ms, offsets), at_ms, &mut counts));
            counts
        };
        assert_eq!(told(&mut orders, Some("a"), 1, &[10, 11]), "0 3 0");
        assert_eq!(told(&mut orders, Some("a"), 2, &[10, 11]), "0 3 0");
        assert_eq!(told(&mut orders, Some("b"), 3, &[10, 11]), "0 qo3%10 1;0 qo3%11 1;0 3 1");
        assert_eq!(told(&mut orders, None, 4, &[11, 12]), "0 qo3%11 2;0 3 0");
    }

    #[test]
    fn a_suspended_pop_blocks_its_queue_and_does_not_count() {
        let mut orders = PopOrders::default();
        for (at_ms, attempt) in [(1, "a"), (2, "b")] {
            let pop = pop(Some(attempt), at_ms, &[10, 11]);
            assert!(orders.popped(AT, pop, at_ms, &mut String::new()));
        }
        orders.visible_at(AT, 10, 2, 90_000);
        orders.suspend(AT, 1, 70_000);
        assert_eq!(orders.free_ms("T", "g", 3), Some(90_000), "of another pop");
        orders.suspend(AT, 2, 5_000);
        assert_eq!(orders.free_ms("T", "g", 3), Some(5_000));
        assert!(orders.is_blocked(AT, None, 4_999) && !orders.is_blocked(AT, None, 5_000));
        let mut counts = String::new();
        assert!(orders.popped(AT, pop(Some("c"), 5_000, &[10]), 5_000, &mut counts));
        assert_eq!(counts, "0 qo3%10 1;0 3 1");
    }

    #[test]
    fn acknowledgements_of_another_pop_move_nothing() {
        let mut orders = PopOrders::default();
        assert_eq!(orders.ack(AT, 7, 5), Committed::Next(8));
        assert!(orders.popped(AT, pop(None, 5, &[10]), 5, &mut String::new()));
        assert_eq!(orders.ack(AT, 10, 4), Committed::Old);
        assert_eq!(orders.ack(AT, 11, 5), Committed::Unknown);
        orders.clear("T", "g", 3);
        assert_eq!((orders.queues, orders.ack(AT, 10, 5)), (0, Committed::Next(11)));
    }

    #[test]
    fn the_file_is_apaches_and_what_is_old_goes() {
        let mut orders = PopOrders::default();
        assert!(orders.popped(AT, pop(Some("a"), 5, &[10, 12]), 6, &mut String::new()));
        let saved = orders.take_unsaved().unwrap();
        let text = concat!(
            r#"{"table":{"T@g":{3:{"a":"a","cm":0,"i":1000,"l":6,"#,
            r#""o":[10,2],"oc":{},"popTime":5}}}}"#
        );
        assert_eq!(String::from_utf8(protocol::json::to_fastjson(&saved)).unwrap(), text);
        let read: OrderInfos = protocol::json::from_lenient(text.as_bytes()).unwrap();
        assert_eq!(read, saved);
        let mut orders = PopOrders::load(read);
        orders.clean(7, |_, _| true);
        assert_eq!((orders.queues, orders.take_unsaved()), (1, None));
        orders.clean(KEPT_MS + 7, |_, _| true);
        assert_eq!(orders.queues, 0);
    }

    #[test]
    fn infos_of_a_foreign_file_harm_nothing() {
        let info = OrderInfo { offsets: vec![i64::MAX; 100], ..OrderInfo::default() };
        let queues = BTreeMap::from([(3, info), (4, OrderInfo::default())]);
        let table = BTreeMap::from([("T@g".to_owned(), queues)]);
        let mut orders = PopOrders::load(OrderInfos { table });
        assert!(orders.is_blocked(AT, None, -1));
        assert_eq!(orders.ack(AT, i64::MAX, 0), Committed::Next(i64::MAX));
        assert_eq!(orders.ack(("T", "g", 4), 1, 0), Committed::Unknown);
    }
}
