//! Hello: the version, and what a client has to know of this broker.

use crate::answers::native::NativeRefusal;
use crate::answers::ticket::{Done, Ticket};
use crate::limits::{LONG_POLL_MS_MAX, NATIVE_FETCH_MESSAGES_MAX};
use crate::shard::Shard;
use engine::{FlushPolicy, TailMemory};
use netcore::Net;
use protocol::native::{
    ArchivedHello, Durability, ErrorCode, FrameView, Kind, RECORDS_PER_PRODUCE_MAX, ShardAddress,
    VERSION, Welcome,
};
use rt::Runtime as _;

/// Bytes of a client's name.
const CLIENT_BYTES_MAX: usize = 255;

/// The first frame of a connection, or a second Hello. Whatever is wrong ends the connection.
pub(crate) fn handle(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    frame: &FrameView<'_>,
) -> Result<Done, NativeRefusal> {
    match check(net, ticket, frame) {
        Ok(version) => {
            net.set_user_data(ticket.conn, u32::from(version));
            ticket.answer_native(net, Kind::Welcome, &welcome(shard, version));
            Ok(Done::Answered)
        }
        Err(refusal) => {
            shard.peers.log.blame(net.peer(ticket.conn), shard.cx.now_ms(), &refusal.reason);
            ticket.refuse_native(net, &refusal);
            net.close(ticket.conn, "no Hello that could be answered");
            Ok(Done::Refused)
        }
    }
}

/// The version that both sides speak.
fn check(net: &Net, ticket: Ticket, frame: &FrameView<'_>) -> Result<u16, NativeRefusal> {
    if net.user_data(ticket.conn) > 0 {
        return Err(NativeRefusal::new(
            ErrorCode::HelloFirst,
            "Hello came twice on one connection",
        ));
    }
    if frame.kind != Kind::Hello {
        return Err(NativeRefusal::new(
            ErrorCode::HelloFirst,
            format!("the first frame of a connection must be Hello, found {:?}", frame.kind),
        ));
    }
    let hello = frame.header::<ArchivedHello>()?;
    let (min, max) = (hello.version_min.to_native(), hello.version_max.to_native());
    if !(min..=max).contains(&VERSION) {
        return Err(NativeRefusal::new(
            ErrorCode::Version,
            format!(
                "the client speaks versions {min} to {max}, this broker {VERSION}: update the \
                    older side"
            ),
        ));
    }
    if hello.client.len() > CLIENT_BYTES_MAX {
        return Err(NativeRefusal::new(
            ErrorCode::Request,
            format!(
                "a client's name of {} bytes, at most {CLIENT_BYTES_MAX} are allowed",
                hello.client.len()
            ),
        ));
    }
    tracing::debug!(client = hello.client.as_str(), peer = ?net.peer(ticket.conn), "native client");
    Ok(VERSION)
}

fn welcome(shard: &Shard, version: u16) -> Welcome {
    let options = &shard.cx.options;
    let store = &options.process.store;
    let shards = (0..options.process.shards.count).map(|index| {
        let shard = options.process.shard(index);
        ShardAddress { broker_name: shard.broker, address: shard.address }
    });
    let durability = match (store.flush, shard.cx.store.tail_memory()) {
        (FlushPolicy::Sync, _) => Durability::Flushed,
        (FlushPolicy::Async, TailMemory::Kept { .. } | TailMemory::Private) => Durability::Appended,
        (FlushPolicy::Async, TailMemory::NotKept { .. } | TailMemory::NotNeeded) => {
            Durability::Written
        }
    };
    Welcome {
        version,
        shard: u16::try_from(options.index).expect("SHARDS_MAX is far below"),
        capabilities: 0,
        frame_bytes_max: u32::try_from(netcore::limits::FRAME_BYTES_MAX)
            .expect("a limit of a few MiB"),
        records_per_produce_max: RECORDS_PER_PRODUCE_MAX,
        message_bytes_max: u32::try_from(store.message_bytes_max).expect("a limit of a few MiB"),
        fetch_messages_max: NATIVE_FETCH_MESSAGES_MAX,
        hold_ms_max: u32::try_from(LONG_POLL_MS_MAX).expect("two minutes"),
        durability: durability as u8,
        store_host_is_v6: options.store_host.is_ipv6(),
        needs_crc_property: store.append_property_crc,
        wall_ms: shard.cx.core.wall_ms(),
        cluster: options.process.cluster.clone(),
        shards: shards.collect(),
    }
}
