//! PULL_MESSAGE 11 and LITE_PULL_MESSAGE 361: messages of one queue. The checks are here, in
//! RocketMQ's order; the read itself is `reads::run`.

use super::subscription;
use crate::answers::remoting::{Forbidden, Refusal, not_supported};
use crate::answers::ticket::{Done, Ticket};
use crate::config::ReplicationOptions;
use crate::limits::PULL_MESSAGES_MAX;
use crate::reads::read::{Asked, Brokers, Read};
use crate::reads::{allowed, run};
use crate::shard::Shard;
use netcore::Net;
use protocol::bodies::perm;
use protocol::codes::{request, response};
use protocol::headers::PullHeader;
use protocol::lite;
use protocol::remoting::CommandView;
use protocol::sys_flag::pull::{COMMIT_OFFSET, SUSPEND};
use std::rc::Rc;

/// A pull that arrived just now.
pub(crate) fn handle(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    if shard.peers.connections.is_vip(ticket.conn) {
        return Err(not_supported(command.code));
    }
    let mut scratch = std::mem::take(&mut shard.scratch.headers);
    let read = match PullHeader::decode(&command.ext, &mut scratch) {
        Ok(header) => check(shard, ticket, command.code, &header),
        Err(error) => Err(error.into()),
    };
    shard.scratch.headers = scratch;
    Ok(run::run(shard, net, read?))
}

/// The read that a pull asks for, if it may; an unknown group comes into being.
fn check(
    shard: &mut Shard,
    ticket: Ticket,
    code: i32,
    header: &PullHeader<'_>,
) -> Result<Read, Refusal> {
    broker_is_open(shard, code)?;
    let now_ms = shard.cx.now_ms();
    let tables = &mut shard.tables;
    let group = allowed::group(&mut tables.groups, header.consumer_group, now_ms)
        .map_err(|not| not.refusal())?;
    let topic = allowed::topic(&tables.topics, header.topic).map_err(|not| not.refusal())?;
    topic.queue(header.queue_id, &group.name).map_err(|not| not.refusal())?;
    let filter = subscription::of_pull(shard, header, group.may_broadcast)?;
    if header.sys_flag & COMMIT_OFFSET != 0 {
        let (group, topic) = (header.consumer_group, header.topic);
        let (queue_id, offset) = (header.queue_id, header.commit_offset);
        shard.tables.offsets.commit(group, topic, queue_id, offset, now_ms);
    }
    let pulls = &shard.cx.options.process.serve.pulls;
    let poll_ms =
        if pulls.long_polling { header.suspend_timeout_ms } else { pulls.short_polling_ms };
    let topic_name = read_topic(header, topic.name);
    // What no message made has no place among the long polls: anybody can make such names up.
    let waits = header.sys_flag & SUSPEND != 0
        && (header.lite_topic.is_none() || shard.cx.store.queue_range(&topic_name, 0).is_some());
    let messages_max = header.max_msg_nums.clamp(1, pulls.messages_max.min(PULL_MESSAGES_MAX));
    Ok(Read {
        ticket,
        asked: Asked::Pull {
            group: group.name,
            group_sys_flag: group.sys_flag,
            topic_sys_flag: topic.sys_flag,
            brokers: brokers(&shard.cx.options.process.replication, &group.brokers),
        },
        topic: topic_name,
        queue_id: header.queue_id,
        offset: header.queue_offset,
        messages_max: usize::try_from(messages_max).expect("clamped to 1 and more"),
        bytes_max: usize::MAX, // the store's own limits decide, as in RocketMQ
        filter,
        poll_ms: waits.then_some(poll_ms),
    })
}

/// What is read: the topic's queue, or that of its child.
fn read_topic(header: &PullHeader<'_>, topic: Rc<str>) -> Rc<str> {
    let child = header.lite_topic.filter(|child| !child.trim().is_empty());
    child.and_then(|child| lite::queue(&topic, child)).map_or(topic, Rc::from)
}

/// Where the group is to go on. A slave sends those back to the master that have come near.
fn brokers(replication: &ReplicationOptions, of_group: &Brokers) -> Brokers {
    match (replication.slaves_are_read, replication.is_slave()) {
        (false, _) => Brokers::MASTER,
        (true, false) => *of_group,
        (true, true) => Brokers { near: Brokers::MASTER.near, ..*of_group },
    }
}

fn broker_is_open(shard: &Shard, code: i32) -> Result<(), Refusal> {
    let process = &shard.cx.options.process;
    let host = &process.network.advertised_host;
    if process.permission & perm::READ == 0 {
        let remark = format!("the broker[{host}] pulling message is forbidden");
        return Err(Refusal::forbidden(Forbidden::Broker, remark));
    }
    if code == request::LITE_PULL_MESSAGE && !process.serve.pulls.lite {
        let remark = format!("the broker[{host}] for lite pull consumer is forbidden");
        return Err(Refusal::forbidden(Forbidden::Broker, remark));
    }
    let replication = &process.replication;
    if replication.is_slave() && !replication.slaves_are_read {
        // `PullMessageProcessor.rejectRequest`.
        let remark = "[REJECTREQUEST]system busy, this broker is a slave (slaveReadEnable=false)";
        return Err(Refusal::new(response::SYSTEM_BUSY, remark));
    }
    Ok(())
}
