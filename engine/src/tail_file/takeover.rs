//! Reading what a killed process left, and writing it into the log.

use super::format::{Decoded, Head, LINE_BYTES, LINES_AT, Line, NOTHING, VERSION};
use super::format::{TailName, WRITTEN_AT, words_of};
use super::warm::{self, Warm};
use crate::commitlog::files::LogFiles;
use crate::error::{FileError, OpenError};
use crate::limits::{BLOCK_BYTES, WRITE_BYTES_MAX};
use crate::number::exact;
use crate::tail::block_floor;
use rt::{AppendBuf, BufSlice, File, KeptError, KeptFile, Runtime};
use std::path::{Path, PathBuf};

/// What there is of the tail that `abort` names.
pub(crate) enum Found {
    /// All of it.
    Tail(OldTail),
    /// It says nothing of the log: that was being cut.
    Silent,
    /// No such file, as after a power cut.
    Gone,
}

/// The tail of the life before, locked as long as this lives.
pub(crate) struct OldTail {
    file: KeptFile,
    path: PathBuf,
    head: Head,
    /// The log's watermark, and where the tail ends.
    written: u64,
    appended: u64,
    /// The chunks that hold what lies between, in the order of the log.
    chunks: Vec<Line>,
    /// What is kept for the next tail, in the order of the log, up to the end.
    warm: Vec<Warm>,
}

/// The tail that `abort` names. Refuses what could be somebody else's, or no tail: without it
/// messages would be lost.
///
/// Of what is written already, the newest `warm_bytes_max` stay in memory for the next tail.
pub(crate) async fn find<R: Runtime>(
    rt: &R,
    name: &TailName,
    abort: &Path,
    warm_bytes_max: usize,
) -> Result<Found, OpenError> {
    let refuse = |reason: String| OpenError::Tail {
        path: name.path.clone(),
        reason,
        abort: abort.to_owned(),
    };
    let file = match rt.open_kept(&name.path).await {
        Err(KeptError::Missing) => return Ok(Found::Gone),
        Err(KeptError::Locked) => {
            return Err(refuse(
                "another process has it open: this store is a copy of one that is running, or \
                    its process has not ended yet"
                    .to_owned(),
            ));
        }
        opened => opened.map_err(|error| refuse(error.to_string()))?,
    };
    let read = |offset: usize, len: usize| {
        file.read(offset as u64, len).map_err(FileError::at("read", &name.path, offset as u64))
    };
    let page = read(0, LINES_AT)?;
    let head = match Head::decode(&page) {
        Decoded::Good(head) => head,
        Decoded::Newer(found) => {
            let known = u32::try_from(VERSION).unwrap_or(u32::MAX);
            return Err(OpenError::Newer { path: name.path.clone(), found, known });
        }
        Decoded::Bad(reason) => return Err(refuse(reason.to_owned())),
    };
    if head.incarnation != name.incarnation {
        let found = head.incarnation;
        return Err(refuse(format!("it is incarnation {found:016x}, expected another")));
    }
    let Some([written, flushed, own_from]) = words_of(&page, WRITTEN_AT) else {
        return Err(refuse("it is shorter than a tail's head".to_owned()));
    };
    if written == NOTHING {
        return Ok(Found::Silent);
    }
    if flushed > written {
        return Err(refuse(format!("{flushed} would be flushed, {written} written")));
    }
    let last = exact::<_, usize>(head.place_of(head.slots)) - 1;
    if read(last, 1)?.is_empty() {
        return Err(refuse(format!("it is shorter than the {} bytes that it had", last + 1)));
    }
    let lines = read(LINES_AT, exact::<_, usize>(head.slots) * LINE_BYTES)?;
    let lines = Line::all(&head, &lines).map_err(refuse)?;
    let (chunks, appended) = follow(written, &lines).map_err(refuse)?;
    let path = name.path.clone();
    let slots_max = warm_bytes_max as u64 / head.slot_bytes;
    let mut old = OldTail { file, path, head, written, appended, chunks, warm: Vec::new() };
    old.warm = warm::chain(&lines, own_from, appended, slots_max);
    old.forget_what_is_not_whole();
    old.release_written(&lines);
    Ok(Found::Tail(old))
}

/// The chunks that hold the log from `written` to its end, and that end.
fn follow(written: u64, lines: &[Line]) -> Result<(Vec<Line>, u64), String> {
    let (mut chunks, mut end) = (Vec::new(), written);
    loop {
        let holds = |line: &&Line| line.position <= end && line.appended > end;
        let Some(next) = lines.iter().filter(holds).max_by_key(|line| line.appended) else { break };
        end = next.appended;
        chunks.push(*next);
    }
    if let Some(beyond) = lines.iter().find(|line| line.appended > end) {
        return Err(format!("{beyond:?} does not follow what ends at {end}"));
    }
    Ok((chunks, end))
}

impl OldTail {
    /// Where the tail ends.
    pub(crate) fn appended(&self) -> u64 {
        self.appended
    }

    /// Bytes that only the tail has.
    pub(crate) fn unwritten_bytes(&self) -> u64 {
        self.appended - self.written
    }

    /// The store whose tail it is, as its process saw it.
    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    pub(super) fn file(&self) -> &KeptFile {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is kept for the next tail.
    pub(super) fn warm(&self) -> &[Warm] {
        &self.warm
    }

    /// A takeover that a kill came into may have given memory back.
    fn forget_what_is_not_whole(&mut self) {
        let is_whole = |warm: &Warm| {
            let bytes = warm.line.appended - warm.line.position;
            self.file.is_whole(self.head.place_of(warm.line.slot), bytes).unwrap_or(false)
        };
        let gone = self.warm.iter().rposition(|warm| !is_whole(warm));
        self.warm.drain(..gone.map_or(0, |gone| gone + 1));
    }

    /// Gives back what was kept for the next tail; whether there was any.
    pub(crate) fn cool(&mut self) -> bool {
        let warm = std::mem::take(&mut self.warm);
        let lines: Vec<_> = warm.iter().map(|warm| warm.line).collect();
        self.release_written(&lines);
        !warm.is_empty()
    }

    /// What is in the log already, and is not kept for the next tail, need not be in memory while
    /// that is made.
    fn release_written(&self, lines: &[Line]) {
        let of_chunk = |line: &Line| line.slot..line.slot + line.slots;
        let warm = self.warm.iter().map(|warm| &warm.line);
        let needed: Vec<_> = self.chunks.iter().chain(warm).map(of_chunk).collect();
        let written = lines.iter().filter(|line| line.appended <= self.written);
        for slot in written.flat_map(of_chunk) {
            if needed.iter().any(|needed| needed.contains(&slot)) {
                continue;
            }
            let place = self.head.place_of(slot);
            if let Err(error) = self.file.release(place, self.head.slot_bytes) {
                tracing::warn!(%error, "the memory of an older tail is not given back yet");
                return;
            }
        }
    }

    /// The log must hold what was written; it begins at `begin`, and its files go to
    /// `created_upto`.
    pub(crate) fn check_log(
        &self,
        begin: u64,
        created_upto: u64,
        abort: &Path,
    ) -> Result<(), OpenError> {
        if (begin..=created_upto).contains(&self.written) {
            return Ok(());
        }
        let reason = format!(
            "the log was written up to {}, and its files are {begin} to {created_upto}: files are \
                missing, or are those of an older copy",
            self.written
        );
        Err(OpenError::Tail { path: self.path.clone(), reason, abort: abort.to_owned() })
    }

    /// Writes what only the tail has into the log, durably. The same when it is done again.
    pub(crate) async fn write_into<R: Runtime>(&self, log: &LogFiles<R>) -> Result<(), OpenError> {
        if self.chunks.is_empty() {
            return Ok(());
        }
        log.cut(self.written.next_multiple_of(BLOCK_BYTES)).await?;
        if log.start_of(self.written) < log.created_upto() {
            // The cut did not touch this file when the block is its last one.
            log.wait_for_writes(self.written).await?;
        }
        let mut at = block_floor(self.written);
        while at < self.appended {
            at = self.write_some(log, at).await?;
        }
        let mut file_at = log.start_of(block_floor(self.written));
        while file_at < self.appended {
            let file = log.file(file_at).await?;
            file.sync_data().await.map_err(log.failed("fdatasync", file_at))?;
            file_at += log.file_bytes();
        }
        Ok(())
    }

    /// One write from `at` on, a block's beginning. Returns where it ends.
    async fn write_some<R: Runtime>(&self, log: &LogFiles<R>, at: u64) -> Result<u64, OpenError> {
        let file_end = log.start_of(at) + log.file_bytes();
        let end = self.appended.min(at + WRITE_BYTES_MAX).min(file_end);
        let upto = end.next_multiple_of(BLOCK_BYTES);
        let bytes = self.bytes(at, end)?;
        let block = AppendBuf::with_capacity(exact(upto - at));
        let filled = block.append(exact(upto - at), |free| {
            free[..bytes.len()].copy_from_slice(&bytes);
            free[bytes.len()..].fill(0);
        });
        assert!(filled.is_some(), "it was made as large as that");
        log.ensure(log.start_of(at)).await?;
        let file = log.file(at).await?;
        let block = BufSlice::new(block, 0..exact(upto - at));
        let written = file.write_both_at(at % log.file_bytes(), block, BufSlice::empty()).await;
        written.map_err(log.failed("write", at))?;
        Ok(upto)
    }

    /// The log's bytes `[from, upto)`.
    fn bytes(&self, from: u64, upto: u64) -> Result<Vec<u8>, OpenError> {
        let mut bytes = Vec::with_capacity(exact(upto - from));
        while (bytes.len() as u64) < upto - from {
            let at = from + bytes.len() as u64;
            let holds = |line: &&Line| line.position <= at && line.appended > at;
            let chunk = self.chunks.iter().find(holds);
            let chunk = chunk.unwrap_or_else(|| panic!("{at} is in no chunk: {:?}", self.chunks));
            let place = self.head.place_of(chunk.slot) + (at - chunk.position);
            let wanted = exact(chunk.appended.min(upto) - at);
            let read = self.file.read(place, wanted);
            let read = read.map_err(FileError::at("read", &self.path, place))?;
            if read.len() < wanted {
                let source = std::io::ErrorKind::UnexpectedEof.into();
                let path = self.path.clone();
                return Err(FileError { operation: "read", path, offset: place, source }.into());
            }
            bytes.extend_from_slice(&read);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(slot: u64, position: u64, appended: u64) -> Line {
        Line { slot, position, appended, slots: 1 }
    }

    #[test]
    fn chunks_follow_each_other_from_what_is_written_whatever_their_order() {
        let lines = [line(0, 8192, 12_000), line(1, 0, 4000), line(2, 0, 9000), line(3, 12_288, 0)];
        let lines = &lines[..3];
        assert_eq!(follow(5000, lines), Ok((vec![lines[2], lines[0]], 12_000)));
        assert_eq!(follow(9000, lines), Ok((vec![lines[0]], 12_000)));
        assert_eq!(follow(12_000, lines), Ok((Vec::new(), 12_000)));
        assert_eq!(follow(20_000, lines), Ok((Vec::new(), 20_000)));
    }

    #[test]
    fn a_gap_between_chunks_is_told() {
        let lines = [line(0, 0, 4000), line(1, 8192, 12_000)];
        assert!(follow(3000, &lines).is_err());
        assert!(follow(4096, &lines).is_err());
    }
}
