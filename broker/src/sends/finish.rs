//! What follows when a message is stored: its answer, now or when the watermark has passed its end.

use super::replicas::Need;
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
        /// The store's watermark was waited for.
        store: bool,
        /// Slaves were.
        slaves: bool,
    },
    /// It is stored, and its flush takes longer than `syncFlushTimeout`.
    NotInTime,
    /// It is stored and as durable here as was asked for; slaves take longer than `slaveTimeout`.
    NotReplicated,
    /// The same; no slave is there, or none is near enough.
    NoSlave,
}

impl Kept {
    /// The code of a send's answer.
    fn code(self) -> i32 {
        match self {
            Self::AtOnce | Self::AfterWaiting { .. } => response::SUCCESS,
            Self::NotInTime => response::FLUSH_DISK_TIMEOUT,
            Self::NotReplicated => response::FLUSH_SLAVE_TIMEOUT,
            Self::NoSlave => response::SLAVE_NOT_AVAILABLE,
        }
    }

    /// Whether all of the promise is kept.
    fn is_whole(self) -> bool {
        self.code() == response::SUCCESS
    }
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
    let need = if waits { sends.replicas.need(stored.end) } else { Need::Nobody };
    let waits_for_store = waits && stored.end > store.acknowledged();
    if waits_for_store || need == Need::Slaves {
        if let Then::Wake(slot, _) = then {
            sends.slots.stored(slot, stored.first);
        }
        let waits = (stored.end, need, waits_for_store);
        sends.unacknowledged.push(then, waits, told, &sends.placed);
        return Done::Waits;
    }
    let kept = if need == Need::NotThere { Kept::NoSlave } else { Kept::AtOnce };
    sends.replicas.counts.not_there += u64::from(need == Need::NotThere);
    match (then, told) {
        (Then::Answer(to), Told::Send(at)) => {
            sends.answers.stored(net, &to, kept.code(), &at);
        }
        (Then::Answer(to), Told::Frame(frame)) => {
            produced((net, core), &to, &frame, kept, &sends.placed);
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
            answers.stored(net, to, kept.code(), &stored);
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
        is_late: !kept.is_whole(),
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
    let appended_nanos = since(clock.appended_nanos);
    let (flushed_nanos, replicated_nanos, answered_nanos) = match kept {
        // One that did not wait is answered as soon as it is in memory.
        Kept::AtOnce | Kept::NoSlave => (0, 0, appended_nanos),
        // Where both were waited for, the later one's time stands for both.
        Kept::AfterWaiting { passed_nanos, store, slaves } => {
            let passed = |was_waited_for| if was_waited_for { since(passed_nanos) } else { 0 };
            (passed(store), passed(slaves), since(core.now_nanos()))
        }
        Kept::NotInTime | Kept::NotReplicated => (0, 0, since(core.now_nanos())),
    };
    Stages { appended_nanos, flushed_nanos, replicated_nanos, answered_nanos }
}
