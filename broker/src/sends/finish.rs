//! What follows when a message is stored: its answer, now or when the watermark has passed its end.

use super::state::{Sends, Stored};
use super::told::{Frame, Then, Told};
use crate::answers::remoting::SendAnswers;
use crate::answers::ticket::{Done, Ticket};
use engine::Store;
use netcore::Net;
use protocol::codes::response;
use protocol::native::{Kind, PLACED_BYTES, Placed, Produced, Stages, append_frame};
use rt::Runtime as _;
use rt::real::Core;

/// How much of the promise is kept when a send is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kept {
    /// As much as the sender asked for: it is in memory, and nothing more was to be waited for.
    AtOnce,
    /// All of it; the watermark had passed at this time of the monotonic clock.
    AfterWaiting {
        /// When that was seen.
        passed_nanos: u64,
    },
    /// It is stored, and its flush takes longer than `syncFlushTimeout`.
    NotInTime,
}

/// Answers a stored message if nothing has to be waited for, else keeps it in order.
pub(crate) fn finish(
    sends: &mut Sends,
    store: &Store<Core>,
    (net, core): (&mut Net, &Core),
    stored: &Stored,
    (then, waits): (Then, bool),
    told: Told<'_>,
) -> Done {
    if matches!(then, Then::Answer(ticket) if ticket.is_oneway()) {
        return Done::Answered;
    }
    if waits && stored.end > store.acknowledged() {
        if let Then::Wake(slot, _) = then {
            sends.slots.stored(slot, stored.first);
        }
        sends.unacknowledged.push(then, stored.end, told, &sends.placed);
        return Done::Waits;
    }
    match (then, told) {
        (Then::Answer(to), Told::Send(at)) => {
            sends.answers.stored(net, &to, response::SUCCESS, &at);
        }
        (Then::Answer(to), Told::Frame(frame)) => {
            produced((net, core), &to, &frame, Kept::AtOnce, &sends.placed);
        }
        (Then::Wake(slot, _), _) => sends.slots.settle(slot, Ok(stored.first)),
        (Then::Answer(_), Told::Nothing) => unreachable!("a client is told something"),
    }
    Done::Answered
}

/// Writes the answer to a stored message.
pub(crate) fn answer(
    answers: &mut SendAnswers,
    (net, core): (&mut Net, &Core),
    to: &Ticket,
    told: Told<'_>,
    kept: Kept,
    placed: &[Placed],
) {
    match told {
        Told::Send(stored) => {
            let code = match kept {
                Kept::AtOnce | Kept::AfterWaiting { .. } => response::SUCCESS,
                Kept::NotInTime => response::FLUSH_DISK_TIMEOUT,
            };
            answers.stored(net, to, code, &stored);
        }
        Told::Frame(frame) => produced((net, core), to, &frame, kept, placed),
        Told::Nothing => unreachable!("a client is told something"),
    }
}

/// Answers a stored native frame with the places of its records.
fn produced(
    (net, core): (&mut Net, &Core),
    to: &Ticket,
    frame: &Frame,
    kept: Kept,
    placed: &[Placed],
) {
    let Some(out) = net.out(to.conn) else { return };
    let header = Produced {
        records: frame.records,
        is_late: matches!(kept, Kept::NotInTime),
        store_timestamp_ms: frame.store_timestamp_ms,
        stages: stages(core, frame, kept),
    };
    let bytes = out.bytes();
    let places_bytes = placed.len() * PLACED_BYTES;
    let written = append_frame(bytes, Kind::Produced, to.id, &header, places_bytes);
    debug_assert_eq!(written, Ok(()), "a header of fixed size fits");
    for place in placed {
        bytes.extend_from_slice(&place.to_bytes());
    }
}

/// The time spent in each stage, in nanoseconds since the frame was taken up; zeros for a client
/// that did not ask.
fn stages(core: &Core, frame: &Frame, kept: Kept) -> Stages {
    let Some(clock) = frame.clock else { return Stages::default() };
    let since = |nanos: u64| nanos.saturating_sub(clock.received_nanos);
    let (flushed_nanos, answered_nanos) = match kept {
        // One that did not wait is answered as soon as it is in memory.
        Kept::AtOnce => (0, since(clock.appended_nanos)),
        Kept::AfterWaiting { passed_nanos } => (since(passed_nanos), since(core.now_nanos())),
        Kept::NotInTime => (0, since(core.now_nanos())),
    };
    Stages {
        appended_nanos: since(clock.appended_nanos),
        flushed_nanos,
        replicated_nanos: 0, // there are no slaves
        answered_nanos,
    }
}
