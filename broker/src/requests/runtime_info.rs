//! GET_BROKER_RUNTIME_INFO 28: what `mqadmin clusterList` and `brokerStatus` show of a broker.
//!
//! The keys and their forms are those of Apache 5.5.0 (`AdminBrokerProcessor.prepareRuntimeInfo`,
//! `StoreStatsService`), so that every reader of them works. Where RingMQ has nothing like it, the
//! value is what an idle Apache broker says. Requests that wait have no thread pools here: a
//! queue's size is what waits, its capacity the limit of that.

use crate::answers::remoting::Refusal;
use crate::desk::code::Code;
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::limits::{BACKLOG_SENDS_MAX, DISK_READS_MAX, UNACKNOWLEDGED_MAX};
use crate::services::state::Sample;
use crate::services::statistics;
use crate::shard::{Cx, Shard};
use engine::{ReadOrigins, Store};
use protocol::bodies::KvTable;
use protocol::codes::{request, response};
use protocol::json;
use protocol::names::{SCHEDULE_TOPIC, TIMER_TOPIC};
use protocol::remoting::CommandView;
use rt::real::Core;
use rt::{DiskSpace, Runtime as _};
use std::collections::BTreeMap;

/// The table's lines so far.
type Lines = BTreeMap<String, String>;

/// The version that RingMQ is compatible with, as `MQVersion` names it.
const VERSION: &str = "V5_5_0";

/// Gathers what is known at once; the disk is asked by the task.
pub(crate) fn begin(shard: &mut Shard, _: &CommandView<'_>) -> Result<Task, Refusal> {
    let mut lines = Lines::new();
    times(shard, &mut lines);
    puts_and_gets(shard, &mut lines);
    cache(shard, &mut lines);
    log(shard, &mut lines);
    waiting(shard, &mut lines);
    replication(shard, &mut lines);
    delayed(shard, &mut lines);
    timers(shard, &mut lines);
    nothing_like_it(&mut lines);
    Ok(task(&shard.cx, |cx| async move {
        earliest(&cx, &mut lines).await;
        disk(&cx, &mut lines).await?;
        Ok(Reply::ok().bytes(json::to_fastjson(&KvTable { table: lines })))
    }))
}

fn set(lines: &mut Lines, key: &str, value: impl ToString) {
    lines.insert(key.to_owned(), value.to_string());
}

fn times(shard: &Shard, lines: &mut Lines) {
    let booted_ms = shard.services.statistics.booted_ms();
    set(lines, "bootTimestamp", booted_ms);
    set(lines, "runtime", runtime((shard.cx.now_ms() - booted_ms).max(0)));
    set(lines, "brokerVersionDesc", VERSION);
    set(lines, "brokerActive", true);
    let accepts_from_ms = shard.cx.options.process.serve.accept_sends_from_ms;
    set(lines, "startAcceptSendRequestTimeStamp", accepts_from_ms);
    // RingMQ's own line: what this core's looking for work cost, a part of the process's CPU time.
    set(lines, "idleSpinNanos", shard.cx.core.idle_spin_nanos());
}

/// `[ 0 days, 1 hours, 2 minutes, 3 seconds ]`, the days grouped by thousands as Java's
/// MessageFormat does.
fn runtime(ms: i64) -> String {
    let seconds = ms / 1_000;
    let days = grouped(seconds / 86_400);
    let (hours, minutes) = (seconds / 3_600 % 24, seconds / 60 % 60);
    format!("[ {days} days, {hours} hours, {minutes} minutes, {} seconds ]", seconds % 60)
}

/// A number from 0 up with a comma between thousands.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn puts_and_gets(shard: &Shard, lines: &mut Lines) {
    let (now, counts) = (statistics::now(shard), shard.cx.store.write_counts());
    let rates = |sum: fn(&Sample) -> u64| three(shard.services.statistics.rates(sum));
    set(lines, "putTps", rates(|sample| sample.put));
    set(lines, "getFoundTps", rates(|sample| sample.found));
    set(lines, "getMissTps", rates(|sample| sample.missed));
    set(lines, "getTotalTps", rates(|sample| sample.found + sample.missed));
    set(lines, "getTransferredTps", rates(|sample| sample.transferred));
    set(lines, "putMessageTimesTotal", now.put.max(1));
    set(lines, "putMessageSizeTotal", counts.record_bytes);
    let average = counts.record_bytes as f64 / now.put.max(1) as f64;
    set(lines, "putMessageAverageSize", format!("{average:?}"));
    set(lines, "putMessageFailedTimes", shard.desk.refused(is_send));
    set(lines, "putMessageEntireTimeMax", shard.desk.waited_us_max(is_send) / 1_000);
    set(lines, "getMessageEntireTimeMax", shard.desk.waited_us_max(is_look_up) / 1_000);
    set(lines, "msgPutTotalTodayNow", now.put);
    set(lines, "msgGetTotalTodayNow", now.transferred);
}

/// What is kept of the log in memory and may be, and where the messages that were handed out were
/// (RingMQ's own lines): hot, in memory because they
/// were not written yet; warm, still in memory after that; cold, on disk.
fn cache(shard: &Shard, lines: &mut Lines) {
    let ReadOrigins { hot, warm, cold } = shard.reads.origins;
    let cache = shard.cx.store.cache_use();
    set(lines, "cacheBudgetBytes", cache.budget_bytes);
    set(lines, "cacheBudgetBytesMax", cache.most_bytes);
    set(lines, "cacheTailBytes", cache.tail_bytes);
    set(lines, "cacheColdBytes", cache.cold_bytes);
    set(lines, "cacheUnitBytes", cache.unit_bytes);
    set(lines, "getColdDeviceBytes", cache.read_bytes);
    for (name, amount) in [("Hot", hot), ("Warm", warm), ("Cold", cold)] {
        set(lines, &format!("get{name}Messages"), amount.messages);
        set(lines, &format!("get{name}Bytes"), amount.bytes);
    }
}

/// How far slaves are, or the master's log has come (RingMQ's own lines).
fn replication(shard: &Shard, lines: &mut Lines) {
    let (replicas, replication) = (&shard.sends.replicas, &shard.services.replication);
    set(lines, "brokerId", shard.cx.options.process.replication.broker_id());
    set(lines, "haSlaves", replication.slaves.following().count());
    for (nth, slave) in replication.slaves.following().enumerate() {
        set(lines, &format!("haSlave{nth}"), slave.peer);
        set(lines, &format!("haSlave{nth}Offset"), slave.has);
    }
    set(lines, "haSlavesRefused", replication.refused);
    set(lines, "haReplicatedOffset", replicas.replicated());
    set(lines, "haSendsReplicated", replicas.counts.replicated);
    set(lines, "haSendsNotReplicatedInTime", replicas.counts.late);
    set(lines, "haSendsWithoutSlave", replicas.counts.not_there);
    set(lines, "haFollowsMaster", replication.following.is_up());
    set(lines, "haBytesFollowed", replication.following.bytes);
    set(lines, "haTablesFollowed", replication.synchronized);
}

fn is_send(code: Code) -> bool {
    use request::{SEND_BATCH_MESSAGE, SEND_MESSAGE, SEND_MESSAGE_V2};
    let sends = [SEND_MESSAGE, SEND_MESSAGE_V2, SEND_BATCH_MESSAGE].map(Code::Remoting);
    sends.contains(&code) || code == Code::Native(protocol::native::Kind::Produce)
}

fn is_look_up(code: Code) -> bool {
    [request::QUERY_MESSAGE, request::VIEW_MESSAGE_BY_ID].map(Code::Remoting).contains(&code)
}

/// Three doubles as Java writes them, with a blank between.
fn three(rates: [f64; 3]) -> String {
    rates.map(|rate| format!("{rate:?}")).join(" ")
}

fn log(shard: &Shard, lines: &mut Lines) {
    let store = &shard.cx.store;
    set(lines, "commitLogMinOffset", store.log_begin().0);
    set(lines, "commitLogMaxOffset", store.appended().0);
    set(lines, "dispatchBehindBytes", store.appended().0 - store.dispatched().0);
    let unflushed = store.appended().0 - store.flushed().0;
    set(lines, "remainHowManyDataToFlush", binary_size(unflushed));
    index(store, lines);
}

/// How much is not found by key yet, and how many messages the index had to read from the log
/// (RingMQ's own lines).
fn index(store: &Store<Core>, lines: &mut Lines) {
    let behind = store.index_behind();
    set(lines, "indexBehindMessages", behind.messages);
    set(lines, "indexBehindBytes", behind.bytes);
    set(lines, "indexReadAgainMessages", store.write_counts().index_read_again);
}

/// `812 B`, `1.5 KiB`, `3.0 MiB`, as Apache's `MixAll.humanReadableByteCount` writes it.
fn binary_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1_024.0;
    let mut unit = 0;
    while size >= 1_024.0 && unit + 1 < UNITS.len() {
        size /= 1_024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// What waits, under the names of Apache's thread pools.
fn waiting(shard: &Shard, lines: &mut Lines) {
    let long_polls_max = shard.cx.options.process.serve.limits.long_polls;
    let sends_wait_ms = shard.sends.backlog.head_waits_ms(shard.cx.now_ms());
    let pools = [
        ("send", shard.sends.backlog.len(), BACKLOG_SENDS_MAX, sends_wait_ms),
        ("pull", shard.reads.long_polls.len(), long_polls_max, 0),
        ("litePull", 0, long_polls_max, 0),
        ("query", shard.reads.admission.taken(), DISK_READS_MAX, 0),
        ("ack", 0, UNACKNOWLEDGED_MAX, 0),
    ];
    for (pool, size, capacity, waits_ms) in pools {
        set(lines, &format!("{pool}ThreadPoolQueueSize"), size);
        set(lines, &format!("{pool}ThreadPoolQueueCapacity"), capacity);
        set(lines, &format!("{pool}ThreadPoolQueueHeadWaitTimeMills"), waits_ms);
    }
}

/// Delayed messages: of each level how far it is and where its queue ends, as Apache tells it; and
/// how many were delivered, how many left out, how late they were (RingMQ's own lines).
fn delayed(shard: &Shard, lines: &mut Lines) {
    for (level, offset) in shard.tables.delay_offsets.each() {
        let range = shard.cx.store.queue_range(SCHEDULE_TOPIC, level - 1).unwrap_or_default();
        let value = format!("{offset},{}", range.max_offset.0);
        set(lines, &format!("scheduleMessageOffset_{level}"), value);
    }
    let schedule = &shard.services.schedule;
    let late = &schedule.lateness;
    set(lines, "scheduleDelivered", schedule.delivered);
    set(lines, "scheduleLeftOut", schedule.left_out);
    let (half, most, max) = (late.at_most_ms(500), late.at_most_ms(990), late.max_ms());
    set(lines, "scheduleLatenessMs", format!("p50 {half}, p99 {most}, max {max}"));
}

/// Timer messages, as Apache tells of them: for how many seconds the first has been due, how many
/// records are not taken up, how many wait, how many came and went a second; and how many were
/// delivered, recalled, left out, how late they were (RingMQ's own lines).
fn timers(shard: &Shard, lines: &mut Lines) {
    let timers = &shard.services.timers;
    let range = shard.cx.store.queue_range(TIMER_TOPIC, 0).unwrap_or_default();
    set(lines, "timerReadBehind", timers.behind_ms(shard.cx.now_ms()) / 1_000);
    set(lines, "timerOffsetBehind", (range.max_offset.0 - timers.next()).max(0));
    set(lines, "timerCongestNum", timers.waiting());
    let statistics = &shard.services.statistics;
    let [taken_up, ..] = statistics.rates(|sample| sample.timers_taken_up);
    let [delivered, ..] = statistics.rates(|sample| sample.timers_delivered);
    set(lines, "timerEnqueueTps", format!("{taken_up:?}"));
    set(lines, "timerDequeueTps", format!("{delivered:?}"));
    let counts = timers.counts.get();
    set(lines, "timerDelivered", counts.delivered);
    set(lines, "timerRecalled", counts.recalled);
    set(lines, "timerRolled", counts.rolled);
    set(lines, "timerLeftOut", counts.left_out);
    let late = timers.lateness.borrow();
    let (half, most, max) = (late.at_most_ms(500), late.at_most_ms(990), late.max_ms());
    set(lines, "timerLatenessMs", format!("p50 {half}, p99 {most}, max {max}"));
}

/// What RingMQ does not have, as an idle Apache broker tells it.
fn nothing_like_it(lines: &mut Lines) {
    const ZERO: [&str; 7] = [
        "dispatchMaxBuffer",
        "pageCacheLockTimeMills",
        "msgPutTotalYesterdayMorning",
        "msgPutTotalTodayMorning",
        "msgGetTotalYesterdayMorning",
        "msgGetTotalTodayMorning",
        "EndTransactionQueueSize",
    ];
    ZERO.iter().for_each(|key| set(lines, key, 0));
    set(lines, "EndTransactionThreadPoolQueueCapacity", 100_000);
    set(lines, "putMessageDistributeTime", "null");
    set(lines, "putLatency99", "0.00");
    set(lines, "putLatency999", "0.00");
    set(lines, "remainTransientStoreBufferNumbs", i32::MAX);
}

/// When the first message of the log was stored; −1 without one, or when it can't be read.
async fn earliest(cx: &Cx, lines: &mut Lines) {
    let first = cx.store.message_at(cx.store.log_begin()).await;
    let stored_ms = first.ok().flatten().and_then(|record| {
        protocol::record::RecordView::parse(&record).ok().map(|view| view.store_timestamp_ms())
    });
    set(lines, "earliestMessageTimeStamp", stored_ms.unwrap_or(-1));
}

async fn disk(cx: &Cx, lines: &mut Lines) -> Result<(), Refusal> {
    let root = &cx.options.store_root;
    let space = cx.core.disk_space(root).await.map_err(|error| {
        let remark = format!("disk space of {}: {error}", root.display());
        Refusal::new(response::SYSTEM_ERROR, remark)
    })?;
    let ratio = ratio(&space);
    set(lines, "commitLogDiskRatio", &ratio);
    set(lines, &format!("commitLogDiskRatio_{}", root.join("commitlog").display()), &ratio);
    set(lines, "consumeQueueDiskRatio", &ratio);
    let (total, free) = (binary_size(space.total_bytes), binary_size(space.available_bytes));
    set(lines, "commitLogDirCapacity", format!("Total : {total}, Free : {free}."));
    Ok(())
}

/// The used part, rounded up to a hundredth, as a Java double: `0.42`, `0.5`, `1.0`.
fn ratio(space: &DiskSpace) -> String {
    format!("{:?}", space.used_percent() as f64 / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_apaches_forms() {
        assert_eq!(runtime(93_784_999), "[ 1 days, 2 hours, 3 minutes, 4 seconds ]");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(999), "999");
        assert_eq!(three([0.0, 12.5, 1e3]), "0.0 12.5 1000.0");
        let sizes = [0, 1_023, 1_536, 3 << 20, u64::MAX].map(binary_size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.5 KiB", "3.0 MiB", "16.0 EiB"]);
        let space = DiskSpace { total_bytes: 1_000, available_bytes: 579 };
        assert_eq!(ratio(&space), "0.43");
    }
}
