//! Records that ask for a delay level or a time: where they wait, and with which properties.
//!
//! ```text
//!   sent:    record of T, queue 3, properties KEYS␁k␂DELAY␁5␂
//!   stored:  record of SCHEDULE_TOPIC_XXXX, queue 4, properties KEYS␁k␂DELAY␁5␂REAL_TOPIC␁T␂REAL_QID␁3␂
//! ```
//!
//! The same messages as of remoting ([`crate::sends::delay`], [`crate::sends::timer`]), so what
//! delivers them knows no difference. A frame with such a record is checked, then written from
//! drafts, which costs some allocations for the frame; others are copied as they are.

use crate::answers::native::NativeRefusal;
use crate::sends::delay::{self, Waiting};
use crate::sends::message::draft_of;
use crate::sends::timer::{self, Asked, NotTimed, Timer};
use crate::services::timers::admit::may_wait;
use crate::shard::Shard;
use protocol::names::SCHEDULE_TOPIC;
use protocol::native::ErrorCode;
use protocol::native::records::RecordPlan;
use protocol::properties::{self, names};
use protocol::record::{RecordDraft, RecordView};
use std::net::SocketAddr;
use std::ops::Range;

/// What becomes of the records of a frame.
pub(super) struct Changed {
    places: Vec<Place>,
    /// The properties of all records, one after the other.
    properties: Vec<u8>,
}

/// Of one record.
struct Place {
    /// Where it waits: topic and queue.
    waits_in: Option<(&'static str, i32)>,
    properties: Range<usize>,
}

/// Decides for each record of a frame that was checked; one that may not wait refuses the frame.
pub(super) fn changed(
    shard: &Shard,
    payload: &[u8],
    plans: &[RecordPlan],
) -> Result<Changed, NativeRefusal> {
    let mut changed = Changed { places: Vec::with_capacity(plans.len()), properties: vec![] };
    for (nth, plan) in plans.iter().enumerate() {
        let from = changed.properties.len();
        let waits_in = write_one(shard, payload, plan, &mut changed.properties)
            .map_err(|not| refusal(shard, nth, not))?;
        let properties = from..changed.properties.len();
        changed.places.push(Place { waits_in, properties });
    }
    Ok(changed)
}

/// Writes the properties of one record, and says where it waits if it does.
fn write_one(
    shard: &Shard,
    payload: &[u8],
    plan: &RecordPlan,
    out: &mut Vec<u8>,
) -> Result<Option<(&'static str, i32)>, NotTimed> {
    let (sent, topic) = (plan.properties(payload), plan.topic(payload));
    let levels = &shard.cx.options.process.store.delay_levels;
    if let Some(waiting) = Waiting::of(level_of(sent), plan.sys_flag, levels) {
        write_without(out, sent, &delay::TAKEN_OUT);
        waiting.write_properties(out, topic, plan.queue_id);
        return Ok(Some((SCHEDULE_TOPIC, waiting.queue_id())));
    }
    let Some(timer) = may_wait(shard, &Asked::of(sent), plan.sys_flag)? else {
        write_without(out, sent, &[]);
        return Ok(None);
    };
    write_without(out, sent, &timer::TAKEN_OUT);
    timer.write_properties(out, topic, plan.queue_id);
    Ok(Some((Timer::topic(), 0)))
}

/// The delay level that properties ask for; 0 for none.
fn level_of(sent: &[u8]) -> i32 {
    let level = properties::get(sent, names::DELAY_TIME_LEVEL);
    level.and_then(|level| level.trim().parse().ok()).unwrap_or(0)
}

/// Appends properties but for those of these names, and for the checksum: the record gets its own.
fn write_without(out: &mut Vec<u8>, sent: &[u8], taken_out: &[&str]) {
    for (name, value) in properties::iter(sent) {
        let is_taken_out = taken_out.iter().any(|out| out.as_bytes() == name);
        if !is_taken_out && name != b"__CRC32#" {
            out.extend_from_slice(name);
            out.push(properties::NAME_VALUE_SEPARATOR);
            out.extend_from_slice(value);
            out.push(properties::PROPERTY_SEPARATOR);
        }
    }
}

fn refusal(shard: &Shard, nth: usize, not: NotTimed) -> NativeRefusal {
    let code = match not {
        NotTimed::Off => ErrorCode::Unsupported,
        NotTimed::Illegal => ErrorCode::Record,
        NotTimed::TooMany => ErrorCode::Busy,
    };
    let (_, reason) = not.code_and_remark(&shard.cx.options.process.timers);
    NativeRefusal::of_record(nth, code, reason)
}

impl Changed {
    /// Lends the messages that are stored for the records of this payload.
    pub(super) fn with<T>(
        &self,
        payload: &[u8],
        plans: &[RecordPlan],
        store_host: SocketAddr,
        then: impl FnOnce(&[RecordDraft<'_>]) -> T,
    ) -> T {
        let pieces: Vec<[&[u8]; 1]> =
            self.places.iter().map(|place| [&self.properties[place.properties.clone()]]).collect();
        let drafts: Vec<RecordDraft<'_>> = plans
            .iter()
            .zip(self.places.iter().zip(&pieces))
            .map(|(plan, (place, pieces))| {
                let record = RecordView::parse(plan.record(payload));
                let draft = draft_of(&record.expect("a record that was checked"), store_host);
                let (topic, queue_id) = place.waits_in.unwrap_or((draft.topic, draft.queue_id));
                let properties = if pieces[0].is_empty() { &[] } else { &pieces[..] };
                RecordDraft { topic, queue_id, properties, ..draft }
            })
            .collect();
        then(&drafts)
    }
}
