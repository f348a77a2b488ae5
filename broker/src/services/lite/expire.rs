//! Lite topics that got no message for longer than their parent keeps them go
//! (`lite.topic.expiration`, in minutes), and those whose parent is deleted
//! (`AbstractLiteLifecycleManager`). Their messages stay in their parent.

use super::{dispatch, groups, order};
use crate::reads::run as reads;
use crate::shard::{Cx, Shard};
use engine::QueueOffset;
use futures_lite::future::yield_now;
use protocol::lite::{self, QUEUE_ID};
use rt::{Priority, Runtime as _};
use std::collections::BTreeSet;
use std::rc::Rc;

const MINUTE_MS: i64 = 60_000;
/// Store times read before others run.
const LOOKS_AT_ONCE: usize = 64;
/// Lite topics that go with one write of the list of queues.
const AT_ONCE: usize = 1_000;
/// The group of tools that look at messages.
const TOOLS_GROUP: &str = "TOOLS_CONSUMER";

/// A lite topic that may go: its queue ended here when it was looked at.
struct Candidate {
    queue: Rc<str>,
    parent: String,
    end: i64,
    keeps_ms: i64,
}

/// Looks for what may go, beside the loop; one look at a time.
pub(super) fn begin(shard: &mut Shard) {
    if std::mem::replace(&mut shard.services.lite.looked_ms.expires, true) {
        return;
    }
    let cx = shard.cx.clone();
    shard.cx.core.spawn(Priority::Background, async move {
        look(&cx).await;
        cx.with(|shard, _| shard.services.lite.looked_ms.expires = false);
    });
}

async fn look(cx: &Cx) {
    let candidates = cx.with(|shard, _| candidates(shard));
    let mut gone = vec![];
    for (nth, candidate) in candidates.into_iter().enumerate() {
        if nth % LOOKS_AT_ONCE == LOOKS_AT_ONCE - 1 {
            yield_now().await;
        }
        if is_expired(cx, &candidate).await {
            gone.push(candidate);
        }
        if gone.len() >= AT_ONCE {
            remove(cx, std::mem::take(&mut gone)).await;
        }
    }
    remove(cx, gone).await;
}

fn candidates(shard: &Shard) -> Vec<Candidate> {
    let parents = groups::parents(&shard.tables);
    let mut all = vec![];
    shard.cx.store.for_each_queue(|queue, _, range| {
        let Some((parent, _)) = lite::parts(queue) else { return };
        let minutes = parents.get(parent).copied().filter(|minutes| *minutes > 0);
        if let Some(minutes) = minutes.filter(|_| range.max_offset.0 > 0) {
            all.push(Candidate {
                queue: Rc::from(queue),
                parent: parent.to_owned(),
                end: range.max_offset.0,
                keeps_ms: minutes.saturating_mul(MINUTE_MS),
            });
        }
    });
    all
}

async fn is_expired(cx: &Cx, candidate: &Candidate) -> bool {
    let last = QueueOffset(candidate.end - 1);
    let stored_ms = match cx.store.store_time_at(&candidate.queue, QUEUE_ID, last).await {
        Ok(stored_ms) => stored_ms.unwrap_or(0), // it has left the log
        Err(error) => {
            tracing::warn!(%error, queue = %candidate.queue, "the age of a lite topic is unknown");
            return false;
        }
    };
    let unused_ms = cx.now_ms().saturating_sub(stored_ms);
    unused_ms >= cx.options.process.lite.kept_ms_min && unused_ms > candidate.keeps_ms
}

async fn remove(cx: &Cx, gone: Vec<Candidate>) {
    if gone.is_empty() {
        return;
    }
    let deletion = cx.with(|shard, net| {
        // One that got a message meanwhile stays.
        let is_as_it_was =
            |candidate: &&Candidate| dispatch::end_of(shard, &candidate.queue) == candidate.end;
        let gone: Vec<&Candidate> = gone.iter().filter(is_as_it_was).collect();
        let queues: Vec<Rc<str>> = gone.iter().map(|candidate| candidate.queue.clone()).collect();
        let of_parents = groups::groups_of_parents(&shard.tables);
        let none = BTreeSet::new();
        for Candidate { queue, parent, .. } in gone {
            forget(shard, queue, parent, of_parents.get(parent).unwrap_or(&none));
            reads::topic_is_gone(shard, net, queue);
        }
        tracing::info!("{} lite topics are gone: nobody sent to them", queues.len());
        shard.cx.store.delete_topics(queues)
    });
    if let Err(error) = deletion.await {
        tracing::error!(%error, "the queues of lite topics that are gone stay on disk");
    }
}

/// A parent is deleted: its children go with it. Returns their queues, which the caller removes.
pub(crate) fn forget_children(shard: &mut Shard, parent: &str) -> Vec<Rc<str>> {
    if !groups::is_parent(&shard.tables, parent) {
        return vec![];
    }
    let queues = dispatch::children(shard, parent);
    let of_parent = groups::groups_of_parents(&shard.tables).remove(parent).unwrap_or_default();
    for queue in &queues {
        forget(shard, queue, parent, &of_parent);
    }
    queues
}

/// What is known of a lite topic beside its messages. `of_parent`: the groups of its parent.
fn forget(shard: &mut Shard, queue: &str, parent: &str, of_parent: &BTreeSet<String>) {
    let subscribed = of_subscribers(shard, parent, queue);
    for group in of_parent.iter().chain(&subscribed) {
        shard.tables.offsets.forget_one(group, queue);
        order::clear(shard, queue, group);
    }
    shard.tables.offsets.forget_one(TOOLS_GROUP, queue);
    shard.tables.pulled.forget_topic(queue);
    shard.services.lite.subscriptions.forget_queue(queue);
}

fn of_subscribers(shard: &Shard, parent: &str, queue: &str) -> BTreeSet<String> {
    let mut all = vec![];
    shard.services.lite.subscriptions.of_queue(parent, queue, &mut all);
    all.into_iter().map(|who| who.group.to_string()).collect()
}
