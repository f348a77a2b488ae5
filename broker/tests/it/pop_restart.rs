//! POP over stops and kills: nothing that is out is lost, nothing acknowledged comes after a clean
//! stop, and what comes again after a kill is counted. Both with checkpoints in the log and with
//! those that wait in memory.

use crate::client::Client;
use crate::cluster::{Cluster, eventually};
use crate::delay::queue_end;
use crate::pop_client::{ASK, Ask, Popped, ack, fill, pop, texts};
use protocol::names::TIMER_TOPIC;
use std::time::Duration;

const MERGED: &str = "enablePopBufferMerge=true";
const WRITTEN: &str = "enablePopBufferMerge=false";

/// Pops until so many have come, and for some seconds more.
fn pop_all(client: &mut Client, count: usize) -> Vec<Popped> {
    let mut all = vec![];
    eventually("what was not acknowledged", || {
        all.extend(pop(client, ASK));
        all.len() >= count
    });
    std::thread::sleep(Duration::from_secs(3));
    all.extend(pop(client, ASK));
    all
}

#[test]
fn after_a_clean_stop_nothing_acknowledged_comes_and_the_rest_does() {
    for merge in [WRITTEN, MERGED] {
        let mut cluster = Cluster::start(1, &[merge]);
        let mut client = cluster.client(0);
        let sent = fill(&mut client, 20);
        let first = pop(&mut client, Ask { invisible_ms: 6_000, ..ASK });
        assert_eq!(texts(&first), sent);
        let (kept, acked) = first.split_at(5);
        acked.iter().for_each(|message| ack(&mut client, message));
        assert_eq!(cluster.broker.stop(), Some(0));
        cluster.restart_broker();
        let again = pop_all(&mut cluster.client(0), kept.len());
        assert_eq!(texts(&again), texts(kept), "{merge}");
    }
}

#[test]
fn after_a_kill_everything_that_was_not_acknowledged_comes_and_duplicates_are_counted() {
    for merge in [WRITTEN, MERGED] {
        let mut cluster = Cluster::start(1, &[merge]);
        let mut client = cluster.client(0);
        fill(&mut client, 20);
        let first = pop(&mut client, Ask { invisible_ms: 6_000, ..ASK });
        let (kept, acked) = first.split_at(8);
        acked.iter().for_each(|message| ack(&mut client, message));
        cluster.broker.kill();
        cluster.restart_broker();
        let again = texts(&pop_all(&mut cluster.client(0), kept.len()));
        assert!(texts(kept).iter().all(|text| again.contains(text)), "{merge}: {again:?}");
        let of_acked = acked.iter().filter(|one| again.contains(&one.stored.text().to_owned()));
        println!("{merge}: {} of {} acknowledged came again", of_acked.count(), acked.len());
    }
}

#[test]
fn a_kill_brings_nothing_again_that_was_acknowledged_before_offsets_were_saved() {
    for merge in [WRITTEN, MERGED] {
        let mut cluster = Cluster::start(
            1,
            &[merge, "flushConsumerOffsetInterval=200", "flushIntervalCommitLog=50"],
        );
        let mut client = cluster.client(0);
        fill(&mut client, 20);
        let first = pop(&mut client, Ask { queue_id: 0, ..ASK });
        first.iter().for_each(|message| ack(&mut client, message));
        let file = cluster.store().join("config/consumerOffset.json");
        eventually("the group's place is saved", || {
            let saved = std::fs::read_to_string(&file).unwrap_or_default();
            saved.replace([' ', '\n', '\t'], "").contains("\"T@g\":{0:20")
        });
        cluster.broker.kill();
        cluster.restart_broker();
        let mut client = cluster.client(0);
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(texts(&pop(&mut client, ASK)), [""; 0], "{merge}");
    }
}

#[test]
fn what_is_acknowledged_while_its_checkpoint_is_in_memory_is_never_written() {
    let cluster = Cluster::start(1, &[MERGED]);
    let mut client = cluster.client(0);
    fill(&mut client, 20);
    let first = pop(&mut client, ASK);
    first.iter().for_each(|message| ack(&mut client, message));
    assert_eq!(queue_end(&mut client, TIMER_TOPIC, 0), 0);
    assert!(pop(&mut client, ASK).is_empty());
    let short = Ask { invisible_ms: 4_000, ..ASK };
    fill(&mut client, 1);
    assert_eq!(pop(&mut client, short).len(), 1);
    assert_eq!(queue_end(&mut client, TIMER_TOPIC, 0), 1, "its time is near: it is written");
}

#[test]
fn a_checkpoint_that_gets_old_in_memory_is_written_without_what_is_acknowledged() {
    let cluster = Cluster::start(1, &[MERGED, "popCkStayBufferTime=2000"]);
    let mut client = cluster.client(0);
    fill(&mut client, 4);
    let ask = Ask { invisible_ms: 6_000, ..ASK };
    let first = pop(&mut client, ask);
    let (kept, acked) = first.split_at(1);
    acked[..2].iter().for_each(|message| ack(&mut client, message));
    eventually("a checkpoint", || queue_end(&mut client, TIMER_TOPIC, 0) == 1);
    ack(&mut client, &acked[2]);
    assert_eq!(queue_end(&mut client, TIMER_TOPIC, 0), 2, "the late one is written");
    assert_eq!(texts(&pop_all(&mut client, 1)), texts(kept));
}

#[test]
fn a_broker_that_stood_still_for_long_brings_nothing_again_that_was_acknowledged_in_time() {
    for merge in [WRITTEN, MERGED] {
        let cluster = Cluster::start(1, &[merge]);
        let mut client = cluster.client(0);
        fill(&mut client, 20);
        let first = pop(&mut client, Ask { invisible_ms: 6_000, ..ASK });
        let (kept, acked) = first.split_at(5);
        acked.iter().for_each(|message| ack(&mut client, message));
        cluster.broker.stand_still();
        std::thread::sleep(Duration::from_secs(9)); // the messages' time, and what it is judged by
        cluster.broker.signal("CONT");
        assert_eq!(texts(&pop_all(&mut client, kept.len())), texts(kept), "{merge}");
    }
}
