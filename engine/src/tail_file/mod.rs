//! The tail on tmpfs: what a killed process had appended and not written is there for the next one
//! (design D12).
//!
//! ```text
//!   append ─► bytes into a chunk ─► its line's `appended`, once a call ─► answer          (publish)
//!   log written, flushed ─► the head's watermarks ─► answers that waited for them
//!
//!   start after a kill, on the tail that `abort` names:                                  (takeover)
//!     lock ─► cut the log at the block of `written` ─► write [written, appended) ─► fdatasync
//!     ─► recovery ─► a new tail ─► `abort` names it ─► the old one goes               (orphans)
//! ```
//!
//! Why the line and not the records' own checks: memory that was used before holds older records at
//! valid places; 67 of 800 kills left a torn one in it that passed magic, lengths, its own offset
//! and checksum. Bytes above `appended` are never looked at. What is below it is as whole as the
//! log: a record that is broken there is damage and is never cut.
//!
//! Why each life has a tail of its own, with a number of its own (its incarnation): a store may be
//! killed, run without a tail or under another program, be killed again, or be restored from a
//! copy. The records of an older tail then have valid places and checksums, and are another log's.
//! So `abort` names the one tail that goes with the log, and it does so only once everything of the
//! tail before is in the log. A kill at any moment begins the same again with the same old tail,
//! which nobody writes to.
//!
//! Why the log is cut before it is written: a write of the killed process may still be on its way
//! to the device, and was seen to land half a second after its successor had written and synced the
//! same blocks. Cutting or allocating waits for it; fdatasync and file locks don't. The cut goes to
//! the end of the block of `written`: what of the block was flushed must not leave the disk, and
//! the block is rewritten with the same bytes in front.
//!
//! What the old tail has of the written log goes into the new one, so that readers find the newest
//! of it in memory (`warm`).
//!
//! Same boot and same incarnation: there was no power cut, as that takes the tmpfs too. So a break
//! in the log below the tail's end is damage.

mod format;
mod orphans;
mod publish;
mod takeover;
mod warm;

pub(crate) use format::TailName;
pub(crate) use orphans::remove_orphans;
pub use publish::TailMemory;
pub(crate) use publish::{TailFile, make_tail};
pub(crate) use takeover::{Found, OldTail, find};
