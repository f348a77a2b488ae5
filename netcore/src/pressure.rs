//! What the peers of a core make it hold, and who is closed when it is too much.
//!
//! ```text
//!   half frames: capacity of each connection's `carry` ──┐
//!   answers:     queued bytes that a peer did not take ──┴─ charged ─► MemoryAccount of the core
//!
//!   a total or the account is over its limit
//!        └─► one round: the connections that hold most, longest without progress, are shut
//!            until an eighth of the limit would be free; the next round comes when they are gone
//! ```
//!
//! When it is others who filled the account (the engine's lent chunks), only peers that hold much
//! or whose answers stand still are closed: they are the ones who can keep those chunks.
//!
//! A small answer that the kernel takes at once is never charged, so a peer that reads its answers
//! is no candidate, whatever the others do. While a round's connections are on their way out, new
//! frames wait: that takes a few turns and bounds what a core holds beyond the limit by one answer.

use crate::connection::{CloseReason, ConnId, Connection};
use crate::limits;
use crate::net::{Net, conn_id};
use rt::memory::{Charge, MemoryAccount, MemoryUse};

/// Closing a reader frees its answers and also the chunks of the log's tail that their slices keep.
/// Their number is not known here; this is the size of one.
const PINNED_BYTES: usize = 1024 * 1024;
/// Who holds less, and takes its answers, is not closed for what others than the network hold.
const MUCH_BYTES: usize = 256 * 1024;
/// An answer of which nothing was taken for so long stands still.
const STANDS_STILL_MS: u64 = 1_000;
/// Added to the time without progress, so that it counts from the first moment.
const FRESH_MS: u64 = 1_000;
/// A round that found nobody to close is not repeated before this.
const FRUITLESS_MS: u64 = 100;

/// What a network has charged to the core's account.
pub(crate) struct Held {
    account: MemoryAccount,
    half_frames: Charge,
    answers: Charge,
    /// Connections that were shut to make room and are not gone yet.
    relieving: usize,
    not_before_ms: u64,
}

impl Held {
    pub(crate) fn new(account: MemoryAccount) -> Self {
        let half_frames = account.charge(MemoryUse::HalfFrames, 0);
        let answers = account.charge(MemoryUse::Answers, 0);
        Self { account, half_frames, answers, relieving: 0, not_before_ms: 0 }
    }
}

/// A limit that is passed.
#[derive(Clone, Copy)]
struct Excess {
    half_frames: bool,
    answers: bool,
    used_bytes: usize,
    limit_bytes: usize,
}

impl Excess {
    /// What a connection holds of it.
    fn held_by(&self, connection: &Connection) -> usize {
        let half_frame = if self.half_frames { connection.incoming.charged_bytes } else { 0 };
        let answers = if self.answers { connection.outgoing.charged_bytes } else { 0 };
        half_frame + answers
    }
}

fn recharge(charge: &mut Charge, old: &mut usize, now: usize) {
    if *old != now {
        charge.set(charge.bytes() - *old + now);
        *old = now;
    }
}

impl Net {
    /// Charges a connection for its answers: for those that the kernel did not take, and for
    /// queued ones as soon as they are large.
    pub(crate) fn charge_answers(&mut self, conn: ConnId) {
        let Self { conns, held, .. } = self;
        let Some(connection) = Self::of(conns, conn) else { return };
        let outgoing = &mut connection.outgoing;
        let unsent = outgoing.unsent_bytes();
        let counts = outgoing.sending.is_some() || unsent >= limits::OUT_CHARGE_BYTES;
        recharge(&mut held.answers, &mut outgoing.charged_bytes, if counts { unsent } else { 0 });
    }

    /// Nothing of its answers is charged any more: all of them went out.
    pub(crate) fn uncharge_answers(&mut self, conn: ConnId) {
        let Self { conns, held, .. } = self;
        let Some(connection) = Self::of(conns, conn) else { return };
        recharge(&mut held.answers, &mut connection.outgoing.charged_bytes, 0);
    }

    /// Charges a connection for its half frame.
    pub(crate) fn charge_half_frame(&mut self, conn: ConnId) {
        let Self { conns, held, .. } = self;
        let Some(connection) = Self::of(conns, conn) else { return };
        let incoming = &mut connection.incoming;
        let capacity = incoming.carry.capacity();
        recharge(&mut held.half_frames, &mut incoming.charged_bytes, capacity);
    }

    /// A connection that was taken off the table holds nothing any more.
    pub(crate) fn uncharge_gone(&mut self, gone: &mut Connection) {
        recharge(&mut self.held.answers, &mut gone.outgoing.charged_bytes, 0);
        recharge(&mut self.held.half_frames, &mut gone.incoming.charged_bytes, 0);
        if gone.makes_room {
            self.held.relieving -= 1;
        }
    }

    /// Whether frames wait for connections that are being closed to make room.
    pub(crate) fn is_short_of_memory(&self) -> bool {
        self.held.relieving > 0 && self.excess().is_some()
    }

    fn excess(&self) -> Option<Excess> {
        let Held { account, half_frames, answers, .. } = &self.held;
        let passed = |used_bytes: usize, limit_bytes: usize| {
            (used_bytes > limit_bytes).then_some((used_bytes, limit_bytes))
        };
        let of = |half_frames, answers| {
            move |(used_bytes, limit_bytes)| Excess {
                half_frames,
                answers,
                used_bytes,
                limit_bytes,
            }
        };
        passed(half_frames.bytes(), self.config.half_frames_bytes_max)
            .map(of(true, false))
            .or_else(|| {
                passed(answers.bytes(), self.config.out_total_bytes_max).map(of(false, true))
            })
            .or_else(|| passed(account.used_bytes(), account.limit_bytes()).map(of(true, true)))
    }

    /// Shuts those who hold most when a limit is passed.
    pub(crate) fn relieve_if_pressed(&mut self) {
        let Some(excess) = self.excess() else { return };
        if self.held.relieving > 0 || self.now_ms < self.held.not_before_ms {
            return;
        }
        let (mut freed, mut closed) = (0, 0_usize);
        let wanted = excess.used_bytes - excess.limit_bytes / 8 * 7;
        for (_, held_bytes, conn) in self.candidates(&excess) {
            if freed >= wanted {
                break;
            }
            freed += if excess.half_frames && excess.answers {
                held_bytes.max(PINNED_BYTES)
            } else {
                held_bytes
            };
            closed += 1;
            let Excess { used_bytes, limit_bytes, .. } = excess;
            self.shut(conn, CloseReason::MemoryShort { held_bytes, used_bytes, limit_bytes });
            if let Some(connection) = self.get_mut(conn) {
                connection.makes_room = true;
                self.held.relieving += 1;
            }
        }
        if closed == 0 {
            self.held.not_before_ms = self.now_ms + FRUITLESS_MS;
            return;
        }
        tracing::warn!(
            used_bytes = excess.used_bytes,
            limit_bytes = excess.limit_bytes,
            closed,
            "peers hold more memory than is allowed: those that hold most are closed"
        );
    }

    /// Who could be closed: (how much it weighs, bytes held, connection), the heaviest first.
    fn candidates(&mut self, excess: &Excess) -> Vec<(u128, usize, ConnId)> {
        let now_ms = self.now_ms;
        let ours = self.held.half_frames.bytes() + self.held.answers.bytes();
        let floor = if ours < excess.limit_bytes / 2 { MUCH_BYTES } else { 0 };
        let mut found = Vec::new();
        for (slot, connection) in &mut self.conns {
            let held_bytes = excess.held_by(connection);
            if held_bytes == 0 || connection.is_shut() {
                continue;
            }
            connection.look_for_send_progress(now_ms);
            let sending = connection.outgoing.sending.as_ref();
            let send_ms = sending.map_or(0, |sending| now_ms.saturating_sub(sending.progress_ms));
            if held_bytes < floor && send_ms < STANDS_STILL_MS {
                continue;
            }
            let stalled_ms = send_ms.max(connection.incoming.stalled_ms(now_ms));
            let weight = held_bytes as u128 * u128::from(FRESH_MS + stalled_ms);
            found.push((weight, held_bytes, conn_id(slot, connection.generation)));
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        found
    }
}
