//! The no-op target: answers every request at once and does nothing else.
//!
//! A load against it measures only the instrument and the loopback. That is the noise floor,
//! printed beside every result. It spins for a while after each turn with traffic, so that the
//! floor is not its own wake-up time.

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::net::{Event, Link, Wait};
use crate::protocols::Protocol;
use protocol::checked::nanos;
use protocol::native::{
    FrameView, Kind, PLACED_BYTES, Placed, Produced, ShardAddress, Stages, Welcome, append_frame,
};
use protocol::remoting::{CommandHead, CommandView, FLAG_RESPONSE, write_command};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

const SPIN_NANOS: u64 = 1_000_000;
const SLEEP: Duration = Duration::from_millis(100);

/// Serves until the process ends. Prints its address first. Stands still for each of `stalls` (when
/// after the first request, and how long), in their order.
///
/// # Errors
/// When it can't listen, or the ring fails.
pub(crate) fn serve(
    core: Option<usize>,
    protocol: Protocol,
    stalls: &[(Duration, Duration)],
) -> Result<()> {
    if let Some(core) = core {
        core_affinity::set_for_current(core_affinity::CoreId { id: core });
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .map_err(Error::peer("listen on", "127.0.0.1"))?;
    announce(&listener)?;
    let mut link = Link::new(64, protocol)?;
    link.listen(listener);
    let clock = Clock::start();
    let mut busy_until_nanos = 0;
    let mut first_nanos = None;
    let mut stalls: VecDeque<(Duration, Duration)> = stalls.iter().copied().collect();
    loop {
        let now = clock.now_nanos();
        if let (Some(first), Some((at, length))) = (first_nanos, stalls.front().copied())
            && now >= first + nanos(at)
        {
            std::thread::sleep(length);
            stalls.pop_front();
            continue;
        }
        let wait = if now < busy_until_nanos { Wait::Poll } else { Wait::AtMost(SLEEP) };
        let mut answered = false;
        link.turn(wait, &mut |_, event, out| {
            if let Event::Frame(frame) = event {
                match protocol {
                    Protocol::Remoting => answer(frame, out),
                    Protocol::Native => answer_native(frame, out),
                }
                answered = true;
            }
        })?;
        if answered {
            first_nanos.get_or_insert(now);
            busy_until_nanos = now + SPIN_NANOS;
        }
    }
}

#[expect(clippy::print_stdout, reason = "the parent reads the address from our output")]
fn announce(listener: &TcpListener) -> Result<()> {
    let addr =
        listener.local_addr().map_err(Error::peer("read the address of", "the no-op target"))?;
    println!("{addr}");
    Ok(())
}

/// The Welcome of the no-op target.
pub(crate) fn welcome(store_host_is_v6: bool, needs_crc_property: bool) -> Welcome {
    Welcome {
        version: protocol::native::VERSION,
        shard: 0,
        capabilities: 0,
        frame_bytes_max: 16 << 20,
        records_per_produce_max: protocol::native::RECORDS_PER_PRODUCE_MAX,
        message_bytes_max: 4 << 20,
        fetch_messages_max: 1_024,
        hold_ms_max: 0,
        durability: 0,
        store_host_is_v6,
        needs_crc_property,
        wall_ms: 0,
        cluster: String::new(),
        shards: vec![ShardAddress { broker_name: "noop".into(), address: String::new() }],
    }
}

/// Answers a greeting and a produce of one record; nothing is stored.
fn answer_native(frame: &[u8], out: &mut Vec<u8>) {
    let Ok(frame) = FrameView::parse(frame) else { return };
    let written = match frame.kind {
        Kind::Hello => {
            append_frame(out, Kind::Welcome, frame.correlation, &welcome(false, false), 0)
        }
        Kind::Produce => {
            let produced = Produced {
                records: 1,
                is_late: false,
                store_timestamp_ms: 0,
                stages: Stages::default(),
            };
            let written =
                append_frame(out, Kind::Produced, frame.correlation, &produced, PLACED_BYTES);
            out.extend_from_slice(&Placed::default().to_bytes());
            written
        }
        _ => Ok(()),
    };
    debug_assert_eq!(written, Ok(()), "headers of fixed size fit");
}

/// Answers a send as a broker does; nothing is stored.
fn answer(frame: &[u8], out: &mut Vec<u8>) {
    let Ok(command) = CommandView::parse(frame) else { return };
    let head = CommandHead {
        serialize: command.serialize,
        code: 0,
        opaque: command.opaque,
        flag: FLAG_RESPONSE,
        remark: None,
    };
    write_command(
        out,
        &head,
        |ext| {
            ext.str("msgId", "7F00000100002A9F0000000000000000");
            ext.int("queueId", 0);
            ext.int("queueOffset", 0);
            ext.str("MSG_REGION", "DefaultRegion");
            ext.str("TRACE_ON", "true");
        },
        &[],
    );
}
