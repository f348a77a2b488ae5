//! Route: the queues of a topic on this shard. The shards themselves are in Welcome.

use crate::answers::native::NativeRefusal;
use crate::answers::ticket::{Done, Ticket};
use crate::shard::Shard;
use crate::tables::topics::WantedTopic;
use netcore::Net;
use protocol::names;
use protocol::native::{ArchivedRoute, ErrorCode, FrameView, Kind, RouteIs};

/// Answers with the queues; creates the topic when that is asked for and allowed.
pub(crate) fn handle(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    frame: &FrameView<'_>,
) -> Result<Done, NativeRefusal> {
    let asked = frame.header::<ArchivedRoute>()?;
    let name = asked.topic.as_str();
    if shard.tables.topics.get(name).is_none() && asked.create_queues.to_native() > 0 {
        create(shard, net, ticket, name, asked.create_queues.to_native())?;
    }
    let Some(topic) = shard.tables.topics.get(name) else {
        return Err(NativeRefusal::new(ErrorCode::Topic, format!("topic {name:?} does not exist")));
    };
    let count = |queues: i32| u32::try_from(queues).expect("the table keeps counts from 0 up");
    let route = RouteIs {
        read_queues: count(topic.config.read_queue_nums),
        write_queues: count(topic.config.write_queue_nums),
        permission: topic.config.perm.cast_unsigned(),
    };
    ticket.answer_native(net, Kind::RouteIs, &route);
    Ok(Done::Answered)
}

fn create(
    shard: &mut Shard,
    net: &Net,
    ticket: Ticket,
    name: &str,
    queues: u32,
) -> Result<(), NativeRefusal> {
    names::check_topic(name)
        .map_err(|error| NativeRefusal::new(ErrorCode::Request, error.to_string()))?;
    if names::is_not_allowed_send(name) || names::is_retry_topic(name) {
        return Err(NativeRefusal::new(
            ErrorCode::Permission,
            format!("topic {name} is not for producers to create"),
        ));
    }
    let queues = i32::try_from(queues).unwrap_or(i32::MAX);
    let default_topic = names::AUTO_CREATE_TOPIC;
    let wanted = WantedTopic { name, default_topic, queues, sys_flag: 0 };
    let now_ms = shard.cx.now_ms();
    let topic = shard.tables.topics.create_for_send(&wanted, now_ms).map_err(|error| {
        NativeRefusal::new(
            ErrorCode::Topic,
            format!("topic {name:?} does not exist and is not created: {error}"),
        )
    })?;
    tracing::info!(
        "topic {name} created with {} queues for the native client at {:?}",
        topic.config.write_queue_nums,
        net.peer(ticket.conn)
    );
    Ok(())
}
