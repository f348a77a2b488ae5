//! The no-op target: answers every request at once and does nothing else.
//!
//! What a load measures against it is the instrument and the loopback: the noise floor printed beside every result. It
//! spins for a while after each turn with traffic, so that the floor is not its own wake-up time.

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::net::{Event, Link, Wait};
use protocol::remoting::{CommandHead, CommandView, FLAG_RESPONSE, write_command};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

const SPIN_NS: u64 = 1_000_000;
const SLEEP: Duration = Duration::from_millis(100);

/// Serves until the process ends. Prints its address first.
///
/// # Errors
/// When it can't listen, or the ring fails.
pub fn serve(core: Option<usize>) -> Result<()> {
    if let Some(core) = core {
        core_affinity::set_for_current(core_affinity::CoreId { id: core });
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::peer("listen on", "127.0.0.1"))?;
    announce(&listener)?;
    let mut link = Link::new(64)?;
    link.listen(listener);
    let clock = Clock::start();
    let mut busy_until_ns = 0;
    loop {
        let now = clock.now_ns();
        let wait = if now < busy_until_ns { Wait::Poll } else { Wait::AtMost(SLEEP) };
        let mut answered = false;
        link.turn(wait, &mut |_, event, out| {
            if let Event::Frame(frame) = event {
                answer(frame, out);
                answered = true;
            }
        })?;
        if answered {
            busy_until_ns = now + SPIN_NS;
        }
    }
}

#[expect(clippy::print_stdout, reason = "the parent reads the address from our output")]
fn announce(listener: &TcpListener) -> Result<()> {
    let addr = listener.local_addr().map_err(Error::peer("read the address of", "the no-op target"))?;
    println!("{addr}");
    Ok(())
}

/// The answer a broker gives to a send, without anything behind it.
fn answer(frame: &[u8], out: &mut Vec<u8>) {
    let Ok(command) = CommandView::parse(frame) else { return };
    let head = CommandHead { serialize: command.serialize, code: 0, opaque: command.opaque, flag: FLAG_RESPONSE, remark: None };
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
