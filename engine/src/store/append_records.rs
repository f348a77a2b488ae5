//! Records that arrive in stored layout: copied once, as they are, and the broker's fields written
//! over.
//!
//! ```text
//!   payload, checked ─► room for all ─► each: copy into the tail ─► offsets, time, host patched ─► ConsumeQueue unit ─► arrival
//! ```

use super::append::{Appended, no_queue};
use super::{Inner, Store};
use crate::consumequeue::dispatch::{TagFacts, unit_of};
use crate::consumequeue::table::QueueKey;
use crate::error::AppendError;
use crate::index::KeyProperties;
use crate::offset::{PhyOffset, QueueOffset};
use protocol::native::records::RecordPlan;
use protocol::record::{RecordError, StoreFields};
use rt::Runtime;
use std::net::SocketAddr;

impl<R: Runtime> Store<R> {
    /// Stores the records that `plans` point out in `payload`: all or none, next to each other in
    /// one file. The caller has checked them (`protocol::native::records`). `each` is told where
    /// each went, in order; the end of the last is returned.
    ///
    /// With `enabledAppendPropCRC` every record must end with that property; others are refused
    /// here.
    pub fn append_records(
        &self,
        payload: &[u8],
        plans: &[RecordPlan],
        store_host: SocketAddr,
        mut each: impl FnMut(&Appended),
    ) -> Result<PhyOffset, AppendError> {
        let inner = &*self.inner;
        let (mut total, mut is_one_queue) = (0, true);
        let mut last: Option<(QueueKey, RecordPlan)> = None;
        for plan in plans {
            inner.check_plan(payload, plan)?;
            total += plan.bytes();
            let key = match last {
                Some((key, before)) if before.same_queue(plan, payload) => key,
                _ => {
                    is_one_queue = last.is_none();
                    inner.queue_of(plan, payload)?
                }
            };
            last = Some((key, *plan));
        }
        if total == 0 {
            return Err(AppendError::EmptyBatch);
        }
        inner.check_size(total)?;
        inner.make_room(total, |table| {
            let keys =
                plans.iter().filter_map(|plan| table.key(plan.topic(payload), plan.queue_id));
            keys.into_iter().find(|key| table.is_full(*key))
        })?;
        let now_ms = inner.store_time_ms();
        let mut end = PhyOffset(0);
        for plan in plans {
            let key = match last {
                Some((key, before)) if is_one_queue || before.same_queue(plan, payload) => key,
                _ => inner.queue_of(plan, payload)?,
            };
            let appended = inner.put_record(Some(key), payload, plan, store_host, now_ms);
            last = Some((key, *plan));
            end = appended.end();
            each(&appended);
        }
        inner.writing.append_ended();
        Ok(end)
    }
}

impl<R: Runtime> Inner<R> {
    /// The record's queue, made when it is new.
    fn queue_of(&self, plan: &RecordPlan, payload: &[u8]) -> Result<QueueKey, AppendError> {
        let topic = plan.topic(payload);
        let mut table = self.derived.queues.table.borrow_mut();
        let key = table.key_or_new(topic, plan.queue_id, QueueOffset(0));
        key.ok_or_else(|| no_queue(topic, plan.queue_id))
    }

    fn check_plan(&self, payload: &[u8], plan: &RecordPlan) -> Result<(), AppendError> {
        if plan.record(payload).len() != plan.bytes() {
            return Err(RecordError::TooShort {
                expected: plan.bytes(),
                found: plan.record(payload).len(),
            }
            .into());
        }
        if self.env.config.append_property_crc && !plan.has_crc_property {
            return Err(AppendError::NoCrcProperty);
        }
        Ok(())
    }

    fn put_record(
        &self,
        key: Option<QueueKey>,
        payload: &[u8],
        plan: &RecordPlan,
        store_host: SocketAddr,
        now_ms: i64,
    ) -> Appended {
        self.put_with(key, plan.bytes(), now_ms, |out, at, queue_offset| {
            out.copy_from_slice(plan.record(payload));
            let fields = StoreFields {
                queue_offset: queue_offset.0,
                physical_offset: at.as_i64(),
                store_timestamp_ms: now_ms,
                store_host,
            };
            fields.write(out, plan.sys_flag, plan.has_crc_property);
            let keys = KeyProperties::of(plan.properties(payload));
            let record = (plan.topic(payload), plan.sys_flag);
            self.hand_to_index((at, plan.bytes(), now_ms), record, &keys);
            let facts = TagFacts::Hashed(plan.tags_code);
            unit_of(at, plan.bytes(), facts, &self.env.config.delay_levels)
        })
    }
}
