//! A ledger of what a running broker allocates and copies: every heap allocation, and every copy of
//! [`COPY_BYTES_MIN`] bytes or more, with the functions that led to it.
//!
//! ```text
//!   GlobalAlloc ──┐                                        ┌─ same stack as before: count and bytes grow
//!                 ├─► on a thread that is counted: stack ──┤
//!   memcpy     ───┘                                        └─ a new one: its functions are looked up, once
//! ```
//!
//! How copies are seen: this binary has a `memcpy` and a `memmove` of its own, which all Rust code
//! in it is linked to. A copy that the compiler writes out in place is not seen, and it does so
//! only for lengths that it knows and that are short: the bytes of a message have neither. What the
//! kernel copies (into a receive buffer, out of a send) is not the broker's.
//!
//! The thread that plays the client is left out. Nothing here counts itself.

#![expect(unsafe_code, reason = "a GlobalAlloc and a memcpy can only be written with unsafe")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Copies shorter than this are not of messages: bodies of the tests are longer.
pub(crate) const COPY_BYTES_MIN: usize = 512;
/// Functions of a stack that are told apart.
const DEPTH_MAX: usize = 32;
const DEPTH_MAX_INT: c_int = 32;
const _: () = assert!(DEPTH_MAX_INT as usize == DEPTH_MAX);

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Heap memory was taken, or made larger.
    Allocation,
    /// Bytes were copied.
    Copy,
}

/// All of one kind from one place.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub kind: Kind,
    pub count: u64,
    pub bytes: u64,
    /// Functions and their files, the innermost first; those of `std` and of this file are left
    /// out.
    pub stack: Vec<String>,
    addresses: [usize; DEPTH_MAX],
}

static COUNTING: AtomicBool = AtomicBool::new(false);
static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

thread_local! {
    /// Set on the client's thread for good, and on any thread while the ledger is written.
    static LEFT_OUT: Cell<bool> = const { Cell::new(false) };
}

unsafe extern "C" {
    /// glibc's: return addresses only, no allocation after its first call.
    safe fn backtrace(addresses: *mut *mut c_void, size: c_int) -> c_int;
}

/// From now on nothing that this thread does is counted.
pub(crate) fn leave_out_this_thread() {
    LEFT_OUT.set(true);
}

/// What all other threads did while `run` ran.
pub(crate) fn counted(run: impl FnOnce()) -> Vec<Row> {
    rows(|rows| rows.iter_mut().for_each(|row| (row.count, row.bytes) = (0, 0)));
    COUNTING.store(true, Ordering::SeqCst);
    run();
    COUNTING.store(false, Ordering::SeqCst);
    let mut found: Vec<Row> =
        rows(|rows| rows.iter().filter(|row| row.count > 0).cloned().collect());
    found.sort_by_key(|row| std::cmp::Reverse(row.count));
    found
}

fn rows<T>(with: impl FnOnce(&mut Vec<Row>) -> T) -> T {
    with(&mut ROWS.lock().unwrap_or_else(PoisonError::into_inner))
}

fn note(kind: Kind, bytes: usize) {
    if !COUNTING.load(Ordering::Relaxed) || LEFT_OUT.replace(true) {
        return;
    }
    let mut found = [std::ptr::null_mut::<c_void>(); DEPTH_MAX];
    backtrace(found.as_mut_ptr(), DEPTH_MAX_INT);
    let addresses = found.map(|address| address as usize);
    rows(|rows| {
        let known = rows.iter().position(|row| row.kind == kind && row.addresses == addresses);
        let at = known.unwrap_or_else(|| {
            rows.push(Row { kind, count: 0, bytes: 0, stack: functions(), addresses });
            rows.len() - 1
        });
        rows[at].count += 1;
        rows[at].bytes += bytes as u64;
    });
    LEFT_OUT.set(false);
}

/// The functions that led here, inlined ones too, each with its file: `name, path:line:column`.
fn functions() -> Vec<String> {
    let text = Backtrace::force_capture().to_string();
    let (mut found, mut name) = (Vec::new(), "");
    for line in text.lines().map(str::trim_start) {
        match line.strip_prefix("at ") {
            Some(path) if path.starts_with("/rustc/") || path.contains("counted/ledger.rs") => {}
            Some(path) => found.push(format!("{name}, {path}")),
            None => name = line.split_once(": ").map_or(line, |(_, name)| name),
        }
    }
    found
}

struct Noting;

// SAFETY: hands every call to the system's allocator unchanged, and counts.
unsafe impl GlobalAlloc for Noting {
    // SAFETY: the caller's promises are passed on.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(Kind::Allocation, layout.size());
        // SAFETY: see the impl.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller's promises are passed on.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(Kind::Allocation, layout.size());
        // SAFETY: see the impl.
        unsafe { System.alloc_zeroed(layout) }
    }

    // SAFETY: the caller's promises are passed on.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(Kind::Allocation, new_size);
        // SAFETY: see the impl.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    // SAFETY: the caller's promises are passed on.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: see the impl.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Noting = Noting;

/// C's memcpy, counting.
///
/// # Safety
/// `from` and `to` are `len` bytes each.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if len >= COPY_BYTES_MIN {
        note(Kind::Copy, len);
    }
    // SAFETY: the caller's promise.
    unsafe { copy_forward(to, from, len) };
    to
}

/// C's memmove, counting.
///
/// # Safety
/// `from` and `to` are `len` bytes each; they may overlap.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if len >= COPY_BYTES_MIN {
        note(Kind::Copy, len);
    }
    if (to as usize).wrapping_sub(from as usize) >= len {
        // SAFETY: the caller's promise; `to` is not inside what is still to be read.
        unsafe { copy_forward(to, from, len) };
        return to;
    }
    for at in (0..len).rev() {
        // SAFETY: below `len`; from the end on, so that nothing is overwritten before it is read.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
    }
    to
}

/// Volatile, or the compiler would make a call of `memcpy` out of the loop.
///
/// # Safety
/// `from` and `to` are `len` bytes each, and `to` does not begin inside of `from`.
unsafe fn copy_forward(to: *mut u8, from: *const u8, len: usize) {
    const WORD: usize = size_of::<u64>();
    let words = len / WORD;
    for word in 0..words {
        let at = word * WORD;
        // SAFETY: `at + WORD` is not above `len`; unaligned places are what `Word` is for.
        unsafe {
            to.add(at).cast::<Word>().write_volatile(from.add(at).cast::<Word>().read_volatile())
        };
    }
    for at in words * WORD..len {
        // SAFETY: below `len`.
        unsafe { to.add(at).write_volatile(from.add(at).read_volatile()) };
    }
}

/// Eight bytes at any address.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Word(u64);
