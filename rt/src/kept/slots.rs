//! Which slot of kept memory who has.

use super::{Keeper, KeptError, Work};
use crate::buf::AppendBuf;
use crate::mmap::{SharedMemory, Word};
use crate::runtime::DIRECT_ALIGN;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::ptr::NonNull;
use std::rc::{Rc, Weak};

/// How a kept memory is divided. Sizes are multiples of [`DIRECT_ALIGN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptShape {
    /// Bytes before the first slot.
    pub head_bytes: usize,
    /// Bytes of a slot.
    pub slot_bytes: usize,
    /// Slots there may be.
    pub slots: usize,
    /// Slots whose memory is there from the start to the end.
    pub reserved_slots: usize,
}

impl KeptShape {
    /// Length of the file.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.head_bytes + self.slots * self.slot_bytes
    }

    /// What is reserved when it is made.
    #[must_use]
    pub fn reserved_bytes(&self) -> usize {
        self.head_bytes + self.reserved_slots * self.slot_bytes
    }

    fn assert_possible(&self) {
        let is_aligned = |bytes: usize| bytes > 0 && bytes.is_multiple_of(DIRECT_ALIGN);
        assert!(
            is_aligned(self.head_bytes)
                && is_aligned(self.slot_bytes)
                && (1..=self.slots).contains(&self.reserved_slots),
            "{self:?}"
        );
    }
}

#[derive(Clone, Copy)]
struct Slot {
    is_busy: bool,
    is_reserved: bool,
}

/// A free slot that nobody else gets while its memory is reserved or given back.
pub(crate) struct Claim {
    of: KeptMemory,
    slot: usize,
}

impl Claim {
    /// Reserves its memory.
    pub(crate) fn reserving(&self) -> Work {
        self.of.0.keeper.reserving(self.of.place_of(self.slot), self.of.0.shape.slot_bytes)
    }

    /// Gives its memory back.
    pub(crate) fn releasing(&self) -> Work {
        self.of.0.keeper.releasing(self.of.place_of(self.slot), self.of.0.shape.slot_bytes)
    }

    /// That was done.
    pub(crate) fn finish(self, is_reserved: bool) {
        self.of.0.slots.borrow_mut()[self.slot].is_reserved = is_reserved;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.of.0.slots.borrow_mut()[self.slot].is_busy = false;
    }
}

struct Inner {
    memory: Rc<SharedMemory>,
    shape: KeptShape,
    slots: RefCell<Vec<Slot>>,
    keeper: Box<dyn Keeper>,
    simulated: Option<Simulated>,
}

/// What a simulated kill needs to know.
#[derive(Default)]
struct Simulated {
    handed_out: RefCell<Vec<HandedOut>>,
    /// The last words that were stored: where, and what was there before.
    stored: RefCell<VecDeque<(usize, u64)>>,
    /// How many words were stored in all.
    stores: Cell<usize>,
}

/// Slots that a buffer has, and how much of them is frozen.
struct HandedOut {
    slots: Range<usize>,
    frozen_bytes: Weak<Cell<usize>>,
}

/// As many stores as a test may want undone.
const STORED_MAX: usize = 64;

/// Memory of this process that outlives it. Cloning gives another handle to the same; it belongs to
/// one core.
#[derive(Clone)]
pub struct KeptMemory(Rc<Inner>);

impl KeptMemory {
    pub(crate) fn new(
        memory: Rc<SharedMemory>,
        shape: KeptShape,
        keeper: Box<dyn Keeper>,
        is_simulated: bool,
    ) -> Self {
        shape.assert_possible();
        let slot = |nth| Slot { is_busy: false, is_reserved: nth < shape.reserved_slots };
        let slots = RefCell::new((0..shape.slots).map(slot).collect());
        let simulated = is_simulated.then(Simulated::default);
        Self(Rc::new(Inner { memory, shape, slots, keeper, simulated }))
    }

    /// How it is divided.
    #[must_use]
    pub fn shape(&self) -> KeptShape {
        self.0.shape
    }

    /// Stores the word at `at` of the head (a multiple of 8), little-endian. Everything that was
    /// stored or appended before is there for whoever finds this word after a kill.
    pub fn store(&self, at: usize, value: u64) {
        if self.0.simulated.is_some() {
            self.note_store(at);
        }
        self.0.memory.store(at, value);
    }

    /// The word at `at` of the head, for whoever stores it often.
    #[must_use]
    pub fn word(&self, at: usize) -> KeptWord {
        let simulated = self.0.simulated.as_ref().map(|_| (self.clone(), at));
        KeptWord { word: self.0.memory.word_at(at), simulated }
    }

    #[cold]
    fn note_store(&self, at: usize) {
        let Some(simulated) = &self.0.simulated else { return };
        let mut stored = simulated.stored.borrow_mut();
        if stored.len() == STORED_MAX {
            stored.pop_front();
        }
        stored.push_back((at, self.load(at)));
        simulated.stores.set(simulated.stores.get() + 1);
    }

    /// The word at `at` of the head.
    #[must_use]
    pub fn load(&self, at: usize) -> u64 {
        self.0.memory.load(at)
    }

    /// Stores `bytes` at `at` of the head (a multiple of 8), with zeros behind them up to the next
    /// word.
    pub fn store_bytes(&self, at: usize, bytes: &[u8]) {
        for (nth, word) in bytes.chunks(8).enumerate() {
            let mut whole = [0; 8];
            whole[..word.len()].copy_from_slice(word);
            self.store(at + nth * 8, u64::from_le_bytes(whole));
        }
    }

    /// Gives the file its name, which no file has yet: from now on it is found after a kill.
    pub fn name(&self, path: &Path) -> io::Result<()> {
        self.0.keeper.name(path)
    }

    /// Removes the file. The memory stays as long as it is used.
    pub fn remove(&self) -> io::Result<()> {
        self.0.keeper.remove()
    }

    /// Slots that `bytes` take.
    #[must_use]
    pub fn slots_for(&self, bytes: usize) -> usize {
        bytes.div_ceil(self.0.shape.slot_bytes).max(1)
    }

    /// Neighbouring slots for `bytes`, with their memory reserved. `None` when there are not so
    /// many free ones side by side, or no memory for them.
    pub fn take(&self, bytes: usize) -> Option<Rc<AppendBuf>> {
        let ready = self.take_ready(bytes);
        ready.or_else(|| {
            let range = self.free_run(self.slots_for(bytes), false)?;
            self.reserve(range.clone()).ok()?;
            Some(self.hand_out(range))
        })
    }

    /// As [`KeptMemory::take`], of slots only whose memory is reserved already.
    pub fn take_ready(&self, bytes: usize) -> Option<Rc<AppendBuf>> {
        Some(self.hand_out(self.free_run(self.slots_for(bytes), true)?))
    }

    /// Memory of free slots that is reserved, in bytes.
    #[must_use]
    pub fn ready_bytes(&self) -> usize {
        self.ready_bytes_from(0)
    }

    /// What of that [`crate::Runtime::release_free`] would give back.
    #[must_use]
    pub fn releasable_bytes(&self) -> usize {
        self.ready_bytes_from(self.0.shape.reserved_slots)
    }

    fn ready_bytes_from(&self, first: usize) -> usize {
        let slots = self.0.slots.borrow();
        let ready = slots[first..].iter().filter(|slot| slot.is_reserved && !slot.is_busy).count();
        ready * self.0.shape.slot_bytes
    }

    /// A free slot whose memory is not reserved yet.
    pub(crate) fn claim_empty(&self) -> Option<Claim> {
        self.claim(0, false)
    }

    /// A free slot whose memory is reserved, and was not from the start.
    pub(crate) fn claim_ready(&self) -> Option<Claim> {
        self.claim(self.0.shape.reserved_slots, true)
    }

    fn claim(&self, from: usize, is_reserved: bool) -> Option<Claim> {
        let mut slots = self.0.slots.borrow_mut();
        let is_wanted = |slot: &Slot| !slot.is_busy && slot.is_reserved == is_reserved;
        let slot = from + slots[from..].iter().position(is_wanted)?;
        slots[slot].is_busy = true;
        Some(Claim { of: self.clone(), slot })
    }

    fn hand_out(&self, range: Range<usize>) -> Rc<AppendBuf> {
        for slot in &mut self.0.slots.borrow_mut()[range.clone()] {
            slot.is_busy = true;
        }
        let frozen_bytes = self.0.simulated.as_ref().map(|simulated| {
            let frozen_bytes = Rc::new(Cell::new(0));
            let mut handed_out = simulated.handed_out.borrow_mut();
            handed_out.retain(|buf| buf.frozen_bytes.strong_count() > 0);
            let (slots, weak) = (range.clone(), Rc::downgrade(&frozen_bytes));
            handed_out.push(HandedOut { slots, frozen_bytes: weak });
            frozen_bytes
        });
        AppendBuf::of_slots(SlotRun { of: self.clone(), range, frozen_bytes })
    }

    /// The first `count` free slots side by side.
    fn free_run(&self, count: usize, only_reserved: bool) -> Option<Range<usize>> {
        let slots = self.0.slots.borrow();
        let is_free = |slot: &Slot| !slot.is_busy && (slot.is_reserved || !only_reserved);
        let mut first = 0;
        for (nth, slot) in slots.iter().enumerate() {
            if !is_free(slot) {
                first = nth + 1;
            } else if nth + 1 - first == count {
                return Some(first..nth + 1);
            }
        }
        None
    }

    fn reserve(&self, range: Range<usize>) -> Result<(), KeptError> {
        for nth in range {
            if !self.0.slots.borrow()[nth].is_reserved {
                self.0.keeper.reserve(self.place_of(nth), self.0.shape.slot_bytes)?;
                self.0.slots.borrow_mut()[nth].is_reserved = true;
            }
        }
        Ok(())
    }

    /// Gives back the memory of free slots that were not reserved from the start.
    pub fn release_free(&self) {
        for nth in self.0.shape.reserved_slots..self.0.shape.slots {
            let Slot { is_busy, is_reserved } = self.0.slots.borrow()[nth];
            if is_reserved && !is_busy {
                self.0.keeper.release(self.place_of(nth), self.0.shape.slot_bytes);
                self.0.slots.borrow_mut()[nth].is_reserved = false;
            }
        }
    }

    /// Bytes whose memory is taken, the head among them.
    #[must_use]
    pub fn reserved_bytes(&self) -> usize {
        let slots = self.0.slots.borrow();
        let reserved = slots.iter().filter(|slot| slot.is_reserved).count();
        self.0.shape.head_bytes + reserved * self.0.shape.slot_bytes
    }

    fn place_of(&self, slot: usize) -> usize {
        self.0.shape.head_bytes + slot * self.0.shape.slot_bytes
    }

    pub(crate) fn downgrade(&self) -> WeakKept {
        WeakKept(Rc::downgrade(&self.0))
    }
}

/// One word of a kept memory's head. See [`KeptMemory::word`].
pub struct KeptWord {
    word: Word,
    simulated: Option<(KeptMemory, usize)>,
}

impl KeptWord {
    /// As [`KeptMemory::store`].
    #[inline]
    pub fn store(&self, value: u64) {
        if let Some((memory, at)) = &self.simulated {
            memory.note_store(*at);
        }
        self.word.store(value);
    }
}

/// Does not keep the memory.
pub(crate) struct WeakKept(Weak<Inner>);

impl WeakKept {
    /// Places in the file that buffers have and that nobody has appended to yet: a kill in the
    /// middle of an append may have left anything there.
    pub(crate) fn unfrozen(&self) -> Vec<Range<usize>> {
        let Some(inner) = self.0.upgrade() else { return Vec::new() };
        let Some(Simulated { handed_out, .. }) = &inner.simulated else { return Vec::new() };
        let (head_bytes, slot_bytes) = (inner.shape.head_bytes, inner.shape.slot_bytes);
        let place_of = |slot: usize| head_bytes + slot * slot_bytes;
        let alive = handed_out.borrow();
        let unfrozen = alive.iter().filter_map(|HandedOut { slots, frozen_bytes }| {
            let frozen_bytes = frozen_bytes.upgrade()?.get();
            Some(place_of(slots.start) + frozen_bytes..place_of(slots.end))
        });
        unfrozen.collect()
    }

    /// How many words were stored in all.
    pub(crate) fn stores(&self) -> usize {
        let inner = self.0.upgrade();
        let simulated = inner.as_ref().and_then(|inner| inner.simulated.as_ref());
        simulated.map_or(0, |simulated| simulated.stores.get())
    }

    /// The last `count` words that were stored, the newest first: where, and what was there before.
    pub(crate) fn stored(&self, count: usize) -> Vec<(usize, u64)> {
        let inner = self.0.upgrade();
        let simulated = inner.as_ref().and_then(|inner| inner.simulated.as_ref());
        simulated.map_or_else(Vec::new, |simulated| {
            simulated.stored.borrow().iter().rev().take(count).copied().collect()
        })
    }
}

/// Slots that one buffer has; free again when it is dropped.
pub(crate) struct SlotRun {
    of: KeptMemory,
    range: Range<usize>,
    /// In a simulation.
    frozen_bytes: Option<Rc<Cell<usize>>>,
}

impl SlotRun {
    pub(crate) fn first(&self) -> usize {
        self.range.start
    }

    /// The buffer has so many frozen bytes now.
    #[inline]
    pub(crate) fn note_frozen(&self, bytes: usize) {
        if let Some(frozen_bytes) = &self.frozen_bytes {
            frozen_bytes.set(bytes);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.range.len() * self.of.0.shape.slot_bytes
    }

    /// Where they begin.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.of.0.memory.place(self.of.place_of(self.range.start))
    }
}

impl Drop for SlotRun {
    fn drop(&mut self) {
        for slot in &mut self.of.0.slots.borrow_mut()[self.range.clone()] {
            slot.is_busy = false;
        }
    }
}
