//! What reviving and spilling need of the broker around them, beside its log. The one of a shard is
//! [`Cx`]; a simulation has another.

use super::records::{ReviveRecord, Writer};
use super::settled::TimersAt;
use super::state::Pops;
use super::storing::{not_timed, writer};
use crate::sends::timer::NotTimed;
use crate::services::delivery::outlet::Outlet;
use crate::shard::{Cx, Shard};
use protocol::bodies::{TopicConfig, perm};
use protocol::names::{self, TIMER_TOPIC};
use protocol::pop::{REVIVE_GROUP, Retry, normal_topic};
use std::rc::Rc;

/// Where a message goes that nobody acknowledged in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Goes {
    /// To this topic, which exists afterwards: for a next attempt.
    Retry(String),
    /// To the dead letters of its group.
    DeadLetters(String),
    /// Nowhere: its topic or its group is gone.
    Nowhere,
    /// Its topic can't be made: it is tried again.
    Later(String),
}

/// See the module's text.
pub(crate) trait ReviveOutlet: Outlet {
    /// The broker's name, as checkpoints have it.
    fn broker(&self) -> String;
    /// Where an earlier life ended in a revive queue: the last one that is done.
    fn saved(&self, topic: &Rc<str>, queue_id: i32) -> Option<i64>;
    /// Everything up to `last` is done.
    fn done(&self, topic: &Rc<str>, queue_id: i32, last: i64);
    /// Up to which moment no acknowledgement comes any more that was accepted before.
    fn settled_ms(&self) -> i64;
    /// Where a message of `topic` for `group` goes that was delivered `attempts` times before.
    fn goes(&self, topic: &str, group: &str, attempts: i32) -> Goes;
    /// A message went there.
    fn count(&self, goes: &Goes);
    /// Something is under way that a stop waits for, or no more.
    fn busy(&self, is_busy: bool);
}

/// See the module's text.
pub(crate) trait SpillOutlet: ReviveOutlet {
    /// What POP keeps of the shard.
    fn with_pops<T>(&self, work: impl FnOnce(&mut Pops) -> T) -> T;
    /// Makes a record of the revive topic; else why it can't be.
    fn record(
        &self,
        make: impl FnOnce(&Writer<'_>) -> Result<ReviveRecord, NotTimed>,
    ) -> Result<ReviveRecord, String>;
}

impl SpillOutlet for Cx {
    fn with_pops<T>(&self, work: impl FnOnce(&mut Pops) -> T) -> T {
        self.with(|shard, _| work(&mut shard.services.pops))
    }

    fn record(
        &self,
        make: impl FnOnce(&Writer<'_>) -> Result<ReviveRecord, NotTimed>,
    ) -> Result<ReviveRecord, String> {
        self.with(|shard, _| {
            let topic = protocol::pop::revive_topic(&shard.cx.options.process.cluster);
            make(&writer(shard, &topic)).map_err(|not| not_timed(shard, not).remark)
        })
    }
}

impl ReviveOutlet for Cx {
    fn broker(&self) -> String {
        self.options.broker.clone()
    }

    fn saved(&self, topic: &Rc<str>, queue_id: i32) -> Option<i64> {
        self.with(|shard, _| shard.tables.offsets.query(REVIVE_GROUP, topic, queue_id))
    }

    fn done(&self, topic: &Rc<str>, queue_id: i32, last: i64) {
        let end = self.store.appended();
        self.with(|shard, _| shard.services.pops.revived(topic, queue_id, last, end));
    }

    fn settled_ms(&self) -> i64 {
        self.with(|shard, _| {
            let (now_ms, timers) = (shard.cx.now_ms(), &shard.services.timers);
            let precision_ms = shard.cx.options.process.timers.precision_ms;
            let Some(done_ms) = timers.done_upto_ms(now_ms, precision_ms) else { return i64::MIN };
            let range = shard.cx.store.queue_range(TIMER_TOPIC, 0).unwrap_or_default();
            let at = TimersAt { next: timers.next(), end: range.max_offset.0, done_ms };
            shard.services.pops.settled_ms(now_ms, at)
        })
    }

    fn goes(&self, topic: &str, group: &str, attempts: i32) -> Goes {
        self.with(|shard, _| goes(shard, topic, group, attempts))
    }

    fn count(&self, goes: &Goes) {
        self.with(|shard, _| match goes {
            Goes::Retry(_) => shard.services.pops.counts.revived += 1,
            Goes::DeadLetters(_) => shard.services.pops.counts.dead += 1,
            Goes::Nowhere | Goes::Later(_) => {}
        });
    }

    fn busy(&self, is_busy: bool) {
        self.with(|shard, _| {
            let under_way = &shard.services.pops.revives;
            under_way.set(if is_busy { under_way.get() + 1 } else { under_way.get() - 1 });
        });
    }
}

fn goes(shard: &mut Shard, topic: &str, group: &str, attempts: i32) -> Goes {
    if shard.tables.topics.get(normal_topic(topic, group)).is_none() {
        return Goes::Nowhere;
    }
    let Some(settings) = shard.tables.groups.get(group) else { return Goes::Nowhere };
    let is_last = attempts >= settings.config.retry_max_times;
    let retry = if shard.cx.options.process.pop.retry_v2 { Retry::V2 } else { Retry::V1 };
    let name = match (is_last, names::is_retry_topic(topic)) {
        (true, _) => names::dlq_topic(group),
        (false, true) => topic.to_owned(),
        (false, false) => retry.topic(topic, group),
    };
    let now_ms = shard.cx.now_ms();
    let config = TopicConfig::new(&name, 1, perm::READ | perm::WRITE);
    if let Err(error) = shard.tables.topics.create_if_absent(config, now_ms) {
        return Goes::Later(format!("topic {name} can't be made: {error}"));
    }
    if is_last {
        return Goes::DeadLetters(name);
    }
    if shard.tables.offsets.query(group, &name, 0).is_none() {
        shard.tables.offsets.commit(group, &name, 0, 0, now_ms);
    }
    Goes::Retry(name)
}
