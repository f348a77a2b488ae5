//! How far the log was flushed, on disk: one small file beside the manifest, written in place after
//! each fdatasync of the log under ASYNC_FLUSH.
//!
//! ```text
//!  0        4         8              16             24       28
//!  | magic  | version | incarnation  | flushed upto | crc32  |      big-endian
//!  | "RMFM" |  u32    |     u64      |     u64      | of 0–24|
//! ```
//!
//! Why: the manifest says the same of its `log_end`, but is as old as the last checkpoint: up to
//! 10 s, and for as long as a ConsumeQueue file can't be written. What was flushed since then is
//! whole, so a break in it is damage to go around; without this file recovery would take it for the
//! torn end and cut everything behind it.
//!
//! Why it is never ahead of the truth: it is written once the fdatasync it speaks of has returned,
//! so whatever a crash leaves of it, an old content or the new one, speaks of a flush that was
//! done. It is not synced itself, but for the first one after a start, which says how far recovery
//! came: after a power cut it may be old, torn (the checksum tells) or missing, and then the
//! manifest alone counts, as it would without it. Not under SYNC_FLUSH: there a break is never cut
//! (`store::damage`).
//!
//! Whose log it speaks of: `abort` names the incarnation in its second line, behind the process id.
//! Apache RocketMQ writes that file anew with its process id alone, and a clean stop removes it, so
//! a mark is believed only while nobody else had the store since. An incarnation goes on over
//! crashes whose mark was believed: recovery keeps everything below it, so it stays true.
//!
//! `flushed upto` is a record boundary: the scan goes on there when nothing before it is readable.

use crate::error::FileError;
use crate::paths::Paths;
use crate::tail_file::TailName;
use rt::{AppendBuf, BufSlice, File, OpenMode, Runtime};
use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::rc::Rc;

/// "RMFM": RingMQ's flushed mark.
const MAGIC: [u8; 4] = *b"RMFM";
/// The version this program writes, and the only one it believes.
const VERSION: u32 = 1;
const CHECKED_BYTES: usize = 4 + 4 + 8 + 8;
/// Length of the file. One sector at most, so that an in-place write does not tear.
pub(crate) const MARK_BYTES: usize = CHECKED_BYTES + 4;
const _: () = assert!(MARK_BYTES == 28 && MARK_BYTES <= 512);

/// What the second line of `abort` begins with.
const INCARNATION_LINE: &str = "incarnation ";
/// What the third line of `abort` begins with, if the tail outlives the process.
const TAIL_LINE: &str = "tail ";

/// What the file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) incarnation: u64,
    /// A record boundary below which the log was flushed.
    pub(crate) flushed_upto: u64,
}

impl Mark {
    pub(crate) fn encode(self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&VERSION.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.incarnation.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.flushed_upto.to_be_bytes());
        let checksum = crc32fast::hash(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    /// `None` for anything but a whole mark of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let u64_at = |at: usize| Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let (checked, checksum) = bytes.split_at_checked(CHECKED_BYTES)?;
        let is_whole = checksum == crc32fast::hash(checked).to_be_bytes()
            && checked.starts_with(&MAGIC)
            && checked.get(4..8) == Some(&VERSION.to_be_bytes());
        let mark = Self { incarnation: u64_at(8)?, flushed_upto: u64_at(16)? };
        is_whole.then_some(mark)
    }
}

/// What `abort` holds: the process id, as RocketMQ writes it, the incarnation that the flushed mark
/// has, and the tail's incarnation and file. The tail's is new in each life; the mark's goes on.
pub(crate) fn abort_content(process_id: u32, incarnation: u64, tail: Option<&TailName>) -> Vec<u8> {
    let mut content = format!("{process_id}\n{INCARNATION_LINE}{incarnation:016x}\n").into_bytes();
    if let Some(TailName { incarnation, path }) = tail {
        content.extend_from_slice(format!("{TAIL_LINE}{incarnation:016x} ").as_bytes());
        content.extend_from_slice(path.as_os_str().as_bytes());
        content.push(b'\n');
    }
    content
}

/// The tail that `abort` names.
pub(crate) fn tail_in(abort: &[u8]) -> Option<TailName> {
    let line = abort.split(|byte| *byte == b'\n').nth(2)?.strip_prefix(TAIL_LINE.as_bytes())?;
    let (incarnation, path) = line.split_at_checked(16)?;
    let incarnation = u64::from_str_radix(std::str::from_utf8(incarnation).ok()?, 16).ok()?;
    let path = PathBuf::from(OsStr::from_bytes(path.strip_prefix(b" ")?));
    (!path.as_os_str().is_empty()).then_some(TailName { incarnation, path })
}

/// The incarnation that `abort` names; `None` when another program wrote it.
fn incarnation_in(abort: &[u8]) -> Option<u64> {
    let mut lines = abort.split(|byte| *byte == b'\n').map(std::str::from_utf8);
    let (_process_id, line) = (lines.next()?.ok()?, lines.next()?.ok()?);
    u64::from_str_radix(line.strip_prefix(INCARNATION_LINE)?, 16).ok()
}

/// What opening a store makes of the mark and of `abort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Believed {
    /// The incarnation of the store from now on.
    pub(crate) incarnation: u64,
    /// Up to here the log was flushed; `None` when the mark says nothing of this log.
    pub(crate) flushed_upto: Option<u64>,
}

impl Believed {
    /// `abort` and `mark`: the files' contents. `created_upto`: the end of the log's last file.
    /// `new_incarnation`: for a store whose mark is not believed.
    pub(crate) fn of(
        abort: Option<&[u8]>,
        mark: Option<&[u8]>,
        created_upto: u64,
        new_incarnation: u64,
    ) -> Self {
        let named = abort.and_then(incarnation_in);
        let mark = mark.and_then(Mark::decode).filter(|mark| Some(mark.incarnation) == named);
        if let Some(mark) = mark.filter(|mark| mark.flushed_upto > created_upto) {
            tracing::warn!(
                flushed_upto = mark.flushed_upto,
                created_upto,
                "the flushed mark is ahead of the log's files: files are missing, or are those of \
                    an older copy; doing without the mark"
            );
        }
        match mark.filter(|mark| mark.flushed_upto <= created_upto) {
            Some(Mark { incarnation, flushed_upto }) => {
                Self { incarnation, flushed_upto: Some(flushed_upto) }
            }
            None => Self { incarnation: new_incarnation, flushed_upto: None },
        }
    }
}

/// The mark of an open store. Belongs to the log's writer and flusher.
pub(crate) struct FlushedMark<R: Runtime> {
    /// `None` under SYNC_FLUSH when there is no mark that could be wrong one day.
    file: Option<R::File>,
    path: PathBuf,
    incarnation: u64,
    /// Under ASYNC_FLUSH.
    is_kept: bool,
    /// The furthest record boundary that is known to be written.
    boundary: Cell<u64>,
    /// What the file says, as far as anybody knows.
    marked: Cell<u64>,
    /// The last write failed, and was reported.
    is_failing: Cell<bool>,
    /// Reused for each write.
    content: RefCell<Rc<AppendBuf>>,
}

impl<R: Runtime> FlushedMark<R> {
    /// For a log that was recovered and is durable up to `log_end`. `is_kept`: the store runs under
    /// ASYNC_FLUSH.
    pub(crate) async fn open(
        rt: &R,
        paths: &Paths,
        believed: Believed,
        is_kept: bool,
        log_end: u64,
    ) -> Result<Self, FileError> {
        let path = paths.flushed_mark();
        let file = if is_kept || believed.flushed_upto.is_some() {
            let opened = rt.open(&path, OpenMode::Buffered).await;
            Some(opened.map_err(FileError::at("open", &path, 0))?)
        } else {
            None
        };
        let mark = Self {
            file,
            path,
            incarnation: believed.incarnation,
            is_kept,
            boundary: Cell::new(log_end),
            marked: Cell::new(believed.flushed_upto.unwrap_or(0)),
            is_failing: Cell::new(false),
            content: RefCell::new(AppendBuf::with_capacity(MARK_BYTES)),
        };
        if mark.is_kept {
            // Without its name the file is missing after a power cut. It is there from then on.
            let root = paths.root();
            rt.sync_dir(root).await.map_err(FileError::at("sync folder", root, 0))?;
            mark.recovered(log_end).await;
        }
        Ok(mark)
    }

    /// The furthest record boundary that is written: what an fdatasync that begins now will cover.
    pub(crate) fn boundary(&self) -> u64 {
        self.boundary.get()
    }

    /// A write has passed the record boundary `boundary`.
    pub(crate) fn written(&self, boundary: u64) {
        self.boundary.set(self.boundary.get().max(boundary));
    }

    /// An fdatasync has passed `boundary`: under ASYNC_FLUSH the file says so. A failure is
    /// reported and costs nothing but the mark's age.
    pub(crate) async fn flushed(&self, boundary: u64) {
        if !self.is_kept || boundary <= self.marked.get() {
            return;
        }
        self.report(self.write(boundary).await);
    }

    /// The log is about to be cut at the record boundary `to`. When this returns, no crash leaves a
    /// mark above: call it before anything of the log goes, with the flush turn taken, so that no
    /// flush under way writes the old place again.
    pub(crate) async fn take_back(&self, to: u64) -> Result<(), FileError> {
        self.boundary.set(self.boundary.get().min(to));
        let Some(file) = &self.file else { return Ok(()) };
        self.write(self.marked.get().min(to)).await?;
        file.sync_data().await.map_err(FileError::at("fdatasync", &self.path, 0))
    }

    /// Recovery made the log durable up to `log_end`. This mark alone is synced: damage that
    /// recovery went around must not be taken for a torn end by the next one, whatever a power cut
    /// leaves of later marks.
    async fn recovered(&self, log_end: u64) {
        let Some(file) = &self.file else { return };
        let written = match self.write(log_end).await {
            Ok(()) => file.sync_data().await.map_err(FileError::at("fdatasync", &self.path, 0)),
            failed => failed,
        };
        self.report(written);
    }

    fn report(&self, written: Result<(), FileError>) {
        match written {
            Ok(()) => self.is_failing.set(false),
            Err(error) if !self.is_failing.replace(true) => {
                tracing::warn!(%error, "the flushed mark stays as it is: after a crash more of the \
                    log may be taken for torn");
            }
            Err(_) => {}
        }
    }

    async fn write(&self, flushed_upto: u64) -> Result<(), FileError> {
        let Some(file) = &self.file else { return Ok(()) };
        let content = self.encoded(Mark { incarnation: self.incarnation, flushed_upto });
        file.write_at(0, content).await.map_err(FileError::at("write", &self.path, 0))?;
        self.marked.set(flushed_upto);
        Ok(())
    }

    fn encoded(&self, mark: Mark) -> BufSlice {
        let mut content = self.content.borrow_mut();
        match Rc::get_mut(&mut content) {
            Some(unshared) => unshared.reset(),
            None => *content = AppendBuf::with_capacity(MARK_BYTES),
        }
        content.append(MARK_BYTES, |place| place.copy_from_slice(&mark.encode()));
        BufSlice::new(content.clone(), 0..MARK_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rt::sim::Sim;
    use std::path::Path;

    const MARK: Mark = Mark { incarnation: 0x0102_0304_0506_0708, flushed_upto: 0x0A0B_0C0D };

    #[test]
    fn roundtrip_and_golden_bytes() {
        let bytes = MARK.encode();
        assert_eq!(
            bytes[..CHECKED_BYTES],
            *b"RMFM\x00\x00\x00\x01\x01\x02\x03\x04\x05\x06\x07\x08\x00\x00\x00\x00\x0A\x0B\x0C\x0D"
        );
        assert_eq!(bytes[CHECKED_BYTES..], crc32fast::hash(&bytes[..CHECKED_BYTES]).to_be_bytes());
        assert_eq!(Mark::decode(&bytes), Some(MARK));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_no_mark() {
        let whole = MARK.encode();
        for at in 0..whole.len() {
            assert_eq!(Mark::decode(&whole[..at]), None, "cut at {at}");
            for bit in 0..8 {
                let mut flipped = whole;
                flipped[at] ^= 1 << bit;
                assert_eq!(Mark::decode(&flipped), None, "bit {bit} of {at}");
            }
        }
        assert_eq!(Mark::decode(&[0; MARK_BYTES]), None);
        assert_eq!(Mark::decode(&[&whole[..], b"more"].concat()), None);
    }

    #[test]
    fn a_mark_is_believed_only_by_the_incarnation_that_wrote_it_and_within_the_log() {
        let ours = abort_content(4711, MARK.incarnation, None);
        let bytes = MARK.encode();
        let of = |abort: Option<&[u8]>, mark: Option<&[u8]>, created_upto| {
            Believed::of(abort, mark, created_upto, 9)
        };
        let believed =
            Believed { incarnation: MARK.incarnation, flushed_upto: Some(MARK.flushed_upto) };
        let not = Believed { incarnation: 9, flushed_upto: None };
        assert_eq!(of(Some(&ours), Some(&bytes), MARK.flushed_upto), believed);
        assert_eq!(of(Some(&ours), Some(&bytes), MARK.flushed_upto - 1), not, "ahead of the log");
        assert_eq!(of(Some(&ours), None, u64::MAX), not);
        assert_eq!(of(Some(&ours), Some(&[0; MARK_BYTES]), u64::MAX), not);
        assert_eq!(of(None, Some(&bytes), u64::MAX), not, "a clean stop came in between");
        for abort in [
            &b"4711"[..],
            b"4711\n",
            b"",
            b"4711\nincarnation \n",
            b"4711\nincarnation xyz",
            b"4711\nincarnation 0102030405060709\n",
            b"\xFF\xFE\nincarnation 0102030405060708",
        ] {
            assert_eq!(of(Some(abort), Some(&bytes), u64::MAX), not, "{abort:?}");
        }
    }

    #[test]
    fn abort_names_the_tail_whatever_its_path() {
        for path in ["/dev/shm/0a.ringmq-tail", "/a b/\u{1F600}", "relative"] {
            let tail = TailName { incarnation: 0x0A0B, path: path.into() };
            let abort = abort_content(1, 7, Some(&tail));
            assert_eq!((tail_in(&abort), incarnation_in(&abort)), (Some(tail), Some(7)));
        }
        assert_eq!(tail_in(&abort_content(1, 7, None)), None);
        for no_tail in ["", "1", "1\n\ntail 0\n", "1\n\ntail 0000000000000a0b \n", "1\n\nx"] {
            assert_eq!(tail_in(no_tail.as_bytes()), None, "{no_tail:?}");
        }
        assert_eq!(tail_in(b"1\n\ntail \xFF00000000000a0b /x\n"), None);
    }

    async fn on_disk(sim: &Sim) -> Option<Mark> {
        Mark::decode(&sim.read_file(Path::new("/store/commitlog.flushed")).await.unwrap())
    }

    #[test]
    fn a_mark_that_is_taken_back_stays_back_over_a_power_cut() {
        for seed in 0..40 {
            let sim = Sim::new(seed);
            let paths = Paths::new(Path::new("/store"));
            let believed = Believed { incarnation: 7, flushed_upto: None };
            let upto = |flushed_upto| Some(Mark { incarnation: 7, flushed_upto });
            sim.block_on(async {
                sim.create_dir_all(Path::new("/store")).await.unwrap();
                sim.sync_dir(Path::new("/")).await.unwrap();
                let mark = FlushedMark::open(&sim, &paths, believed, true, 100).await.unwrap();
                mark.written(300);
                mark.flushed(mark.boundary()).await;
                assert_eq!(on_disk(&sim).await, upto(300));
                mark.flushed(200).await;
                assert_eq!(on_disk(&sim).await, upto(300), "an older flush takes nothing back");
                mark.take_back(250).await.unwrap();
                assert_eq!((mark.boundary(), on_disk(&sim).await), (250, upto(250)));
            });
            let (after, _) = sim.crash();
            after.block_on(async {
                assert_eq!(on_disk(&after).await, upto(250), "seed {seed}");
                let believed = Believed { incarnation: 7, flushed_upto: Some(250) };
                // Under SYNC_FLUSH an older mark is taken back too, and never rises.
                let mark = FlushedMark::open(&after, &paths, believed, false, 400).await.unwrap();
                mark.flushed(400).await;
                mark.take_back(350).await.unwrap();
                assert_eq!(on_disk(&after).await, upto(250));
                mark.take_back(150).await.unwrap();
                assert_eq!(on_disk(&after).await, upto(150));
            });
        }
    }
}
