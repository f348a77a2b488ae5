//! Zeros written ahead of the log under SYNC_FLUSH on `direct`, off the path of any answer.
//!
//! ```text
//!   log file:  | records ......... |last block|  zeros, durable  | reserved by fallocate ...   |
//!                          written ^          ^ issued           ^ zeroed
//! ```
//!
//! Why: a durable 4 KiB write into an extent that was written before needs no journal commit; into
//! one that is only reserved it does (bench `durable_write` of rt). Not whole files ahead: that
//! would double the bytes written long before they are needed. Not when the log goes in large
//! writes: from [`ZEROS_WRITE_BYTES_MAX`] on the zeros cost the device more than the commits they
//! save.
//!
//! Zeros must never land on a record. The two writers share one rule: a log write first claims its
//! place ([`Zeros::begin_write`]) and waits for zeros in flight below its end; zeros begin only
//! behind what is claimed.

use super::background::LogFailure;
use super::space::LOG_RETRY;
use super::{Inner, Phase};
use crate::limits::{ZEROS_AHEAD_BYTES, ZEROS_STEP_BYTES, ZEROS_WRITE_BYTES_MAX};
use crate::number::exact;
use crate::signal::Signal;
use crate::tail::block_floor;
use futures_lite::future::or;
use rt::{AppendBuf, BufSlice, File, Runtime};
use std::cell::Cell;
use std::rc::Rc;

/// See the module's text. Offsets are of the log, multiples of the block.
pub(super) struct Zeros {
    /// Log writes reach up to here: done, in flight or about to go.
    issued: Cell<u64>,
    /// Zeros reach up to here.
    zeroed: Cell<u64>,
    /// The place of zeros in flight.
    in_flight: Cell<Option<(u64, u64)>>,
    ended: Signal,
    /// Bytes of a recent log write, smoothed.
    mean_write_bytes: Cell<u64>,
    /// The log is being cut: nothing is written ahead of it.
    is_held: Cell<bool>,
}

impl Zeros {
    /// For a log that ends at `end`.
    pub(super) fn at(end: u64) -> Self {
        let place = || Cell::new(end.next_multiple_of(crate::limits::BLOCK_BYTES));
        Self {
            issued: place(),
            zeroed: place(),
            in_flight: Cell::new(None),
            ended: Signal::default(),
            mean_write_bytes: Cell::new(0),
            is_held: Cell::new(false),
        }
    }

    /// Writes no zeros while the guard lives, and waits for those in flight.
    pub(super) async fn hold(&self) -> Held<'_> {
        self.is_held.set(true);
        let held = Held(self);
        loop {
            let seen = self.ended.seen();
            if self.in_flight.get().is_none() {
                return held;
            }
            self.ended.changed_since(seen).await;
        }
    }

    /// The log ends at `end` now.
    pub(super) fn cut(&self, end: u64) {
        assert!(self.is_held.get(), "zeros may be on their way");
        let end = end.next_multiple_of(crate::limits::BLOCK_BYTES);
        self.issued.set(end);
        self.zeroed.set(end);
    }

    /// Claims everything below `upto` for the log, and waits until no zeros are on their way there.
    pub(super) async fn begin_write(&self, upto: u64) {
        let before = self.issued.replace(upto.max(self.issued.get()));
        let grown = upto.saturating_sub(before);
        self.mean_write_bytes.set((self.mean_write_bytes.get() * 7 + grown) / 8);
        loop {
            let seen = self.ended.seen();
            if self.in_flight.get().is_none_or(|(from, _)| from >= upto) {
                return;
            }
            self.ended.changed_since(seen).await;
        }
    }

    /// Where the next zeros go in a log whose files reach to `created_upto`; `None` when there are
    /// enough.
    fn next(&self, file_bytes: u64, created_upto: u64) -> Option<(u64, u64)> {
        let (issued, from) = (self.issued.get(), self.zeroed.get().max(self.issued.get()));
        let file_end = from - from % file_bytes + file_bytes;
        let upto = (from + ZEROS_STEP_BYTES).min(file_end).min(created_upto);
        let is_enough = from + ZEROS_STEP_BYTES > issued + ZEROS_AHEAD_BYTES;
        let writes_are_large = self.mean_write_bytes.get() >= ZEROS_WRITE_BYTES_MAX;
        let may_go = !is_enough && !writes_are_large && !self.is_held.get();
        (upto > from && may_go).then_some((from, upto))
    }

    /// Watermarks the place as being written; the guard's end says that it is done.
    fn begin_zeros(&self, from: u64, upto: u64) -> InFlight<'_> {
        assert!(
            from >= self.issued.get() && self.in_flight.get().is_none(),
            "zeros at {from} would meet the log, which goes to {}",
            self.issued.get()
        );
        self.in_flight.set(Some((from, upto)));
        InFlight(self)
    }
}

/// See [`Zeros::hold`].
pub(super) struct Held<'a>(&'a Zeros);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.is_held.set(false);
    }
}

struct InFlight<'a>(&'a Zeros);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.set(None);
        self.0.ended.notify();
    }
}

/// Keeps zeros ahead of the log until the store closes. A failure stops the store as one of the log
/// does, or is waited out as one of the log is: the files are the same, and of an fdatasync that
/// failed the kernel tells once; the log's next one could say yes to what was lost.
pub(super) async fn write_ahead<R: Runtime>(inner: Rc<Inner<R>>) {
    let zeros = AppendBuf::copy_of(&vec![0; exact(ZEROS_STEP_BYTES)]);
    while inner.life.phase.get() == Phase::Open && !inner.is_poisoned() {
        let (seen, stopping) = (inner.writing.written.seen(), inner.life.stopping.seen());
        match inner
            .writing
            .zeros
            .next(inner.writing.log.file_bytes(), inner.writing.log.created_upto())
        {
            None => {
                or(
                    inner.writing.written.changed_since(seen),
                    inner.life.stopping.changed_since(stopping),
                )
                .await
            }
            Some((from, upto)) => {
                match inner.write_zeros(from, upto, &zeros).await {
                    Ok(()) => {}
                    Err(LogFailure { error, is_final: true }) => return inner.poison_with(&error),
                    // The log's writer says what stands in its way, if it does by then.
                    Err(_) => inner.pause(LOG_RETRY).await,
                }
            }
        }
    }
}

impl<R: Runtime> Inner<R> {
    async fn write_zeros(&self, from: u64, upto: u64, zeros: &BufSlice) -> Result<(), LogFailure> {
        let cuts = self.writing.log.cuts();
        let file = match self.writing.log.file(from).await {
            Err(_) if self.writing.log.cuts() != cuts => return Ok(()),
            file => file.map_err(LogFailure::harmless)?,
        };
        let in_file = from % self.writing.log.file_bytes();
        // Opening took time: the log may have claimed the place meanwhile, or was cut.
        let is_claimed = block_floor(self.writing.zeros.issued.get()) > from;
        if is_claimed || self.writing.zeros.is_held.get() || self.writing.log.cuts() != cuts {
            return Ok(());
        }
        let in_flight = self.writing.zeros.begin_zeros(from, upto);
        let len: usize = exact(upto - from);
        let written =
            file.write_both_durably_at(in_file, zeros.part(0..len), BufSlice::empty()).await;
        drop(in_flight);
        written
            .map_err(self.writing.log.failed("write zeros", from))
            .map_err(LogFailure::of_write)?;
        self.writing.zeros.zeroed.set(upto);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_follow_the_log_at_a_distance_and_stay_within_a_file_that_exists() {
        let zeros = Zeros::at(100);
        assert_eq!(zeros.next(1 << 30, 1 << 30), Some((4096, 4096 + ZEROS_STEP_BYTES)));
        assert_eq!(zeros.next(8192, 1 << 30), Some((4096, 8192)), "within a file");
        assert_eq!(zeros.next(1 << 30, 4096), None, "no file there yet");
        zeros.zeroed.set(4096 + ZEROS_AHEAD_BYTES);
        assert_eq!(zeros.next(1 << 30, 1 << 30), None, "enough");
    }

    #[test]
    #[should_panic(expected = "would meet the log")]
    fn zeros_never_begin_where_the_log_goes() {
        let zeros = Zeros::at(0);
        futures_lite::future::block_on(zeros.begin_write(8192));
        let _in_flight = zeros.begin_zeros(4096, 8192);
    }

    #[test]
    fn large_writes_need_no_zeros() {
        let zeros = Zeros::at(0);
        for nth in 1..=50 {
            futures_lite::future::block_on(zeros.begin_write(nth * 2 * ZEROS_WRITE_BYTES_MAX));
        }
        assert_eq!(zeros.next(1 << 30, 1 << 30), None);
    }
}
