//! The queues of delayed messages as they lie on disk, read without any broker's code.
//!
//! ```text
//!  consumequeue/SCHEDULE_TOPIC_XXXX/QUEUE/FILE, units of 20 bytes, big-endian:
//!  0               8       12              20
//!  | phy_offset i64| size  | tags_code i64 |     tags_code: the time of delivery in ms
//!                  |  i32  |
//!  commitlog/FILE, a record: its store time (i64) at byte 56 when its born host is IPv4
//! ```
//!
//! Layouts: docs of Apache RocketMQ 5.5.0, `ConsumeQueue` and `CommitLog`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::Stop;

const UNIT_BYTES: usize = 20;
const STORE_TIME_AT: usize = 56;
const QUEUES: &str = "consumequeue/SCHEDULE_TOPIC_XXXX";

/// Every unit as `QUEUE/OFFSET PHY_OFFSET SIZE TAGS_CODE STORE_TIME`, in order, `;` between.
pub(crate) fn units(store: &Path) -> Result<String, Stop> {
    let log = Files::of(&store.join("commitlog"))?;
    let mut shown = Vec::new();
    for queue in sorted(&store.join(QUEUES))? {
        let files = Files::of(&queue)?;
        let name = queue.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (offset, unit) in (files.first / UNIT_BYTES..).zip(files.units()) {
            let (phy_offset, size, tags_code) = unit?;
            let store_time = log.i64_at(phy_offset + STORE_TIME_AT)?;
            shown.push(format!("{name}/{offset} {phy_offset} {size} {tags_code} {store_time}"));
        }
    }
    Ok(shown.join(";"))
}

/// Removes RingMQ's list of its queues: what remains is what Apache alone would leave.
pub(crate) fn forget_manifest(store: &Path) -> Result<String, Stop> {
    let manifest = store.join("consumequeue.manifest");
    fs::remove_file(&manifest)
        .map_err(Stop::while_doing(format!("removing {}", manifest.display())))?;
    Ok(String::new())
}

/// A log's or queue's files, joined: each is named by its first byte's position.
struct Files {
    first: usize,
    bytes: Vec<u8>,
}

impl Files {
    fn of(dir: &Path) -> Result<Self, Stop> {
        let mut files = Self { first: 0, bytes: Vec::new() };
        for path in sorted(dir)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let position: usize = name
                .parse()
                .map_err(Stop::while_doing(format!("the name of {}", path.display())))?;
            if files.bytes.is_empty() {
                files.first = position;
            }
            if position != files.first + files.bytes.len() {
                return Err(Stop::Cannot(format!("{} does not follow its last", path.display())));
            }
            let read = fs::read(&path);
            files.bytes.extend(read.map_err(Stop::while_doing(path.display()))?);
        }
        Ok(files)
    }

    /// (physical offset, size, tags code) up to the first unit of size 0.
    fn units(&self) -> impl Iterator<Item = Result<(usize, i32, i64), Stop>> + '_ {
        self.bytes.chunks_exact(UNIT_BYTES).map_while(|unit| {
            let (phy_offset, rest) = unit.split_first_chunk::<8>()?;
            let (size, tags_code) = rest.split_first_chunk::<4>()?;
            let size = i32::from_be_bytes(*size);
            let tags_code = i64::from_be_bytes(*tags_code.first_chunk::<8>()?);
            let phy_offset = usize::try_from(i64::from_be_bytes(*phy_offset))
                .map_err(Stop::while_doing("the physical offset of a unit"));
            (size != 0).then(|| phy_offset.map(|phy_offset| (phy_offset, size, tags_code)))
        })
    }

    fn i64_at(&self, position: usize) -> Result<i64, Stop> {
        position
            .checked_sub(self.first)
            .and_then(|at| self.bytes.get(at..)?.first_chunk::<8>())
            .map(|bytes| i64::from_be_bytes(*bytes))
            .ok_or_else(|| Stop::Cannot(format!("the log has no byte {position}")))
    }
}

fn sorted(dir: &Path) -> Result<Vec<PathBuf>, Stop> {
    let entries =
        fs::read_dir(dir).map_err(Stop::while_doing(format!("reading {}", dir.display())))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(Stop::while_doing(format!("reading {}", dir.display())))?.path());
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(phy_offset: i64, size: i32, tags_code: i64) -> Vec<u8> {
        let mut unit = phy_offset.to_be_bytes().to_vec();
        unit.extend(size.to_be_bytes());
        unit.extend(tags_code.to_be_bytes());
        unit
    }

    #[test]
    fn units_are_read_with_their_records_store_time() {
        let store = tempfile::tempdir().unwrap();
        let queue = store.path().join(QUEUES).join("2");
        fs::create_dir_all(&queue).unwrap();
        fs::create_dir_all(store.path().join("commitlog")).unwrap();
        let mut log = vec![0; 200];
        log[100 + STORE_TIME_AT..][..8].copy_from_slice(&77_i64.to_be_bytes());
        fs::write(store.path().join("commitlog/00000000000000000000"), &log).unwrap();
        fs::write(queue.join("00000000000000000040"), unit(100, 90, 10_077)).unwrap();
        let last = [unit(100, 90, 5), unit(0, 0, 0)].concat();
        fs::write(queue.join("00000000000000000060"), last).unwrap();
        assert_eq!(units(store.path()).unwrap(), "2/2 100 90 10077 77;2/3 100 90 5 77");
        fs::write(queue.join("00000000000000000300"), unit(100, 90, 5)).unwrap();
        assert!(units(store.path()).is_err(), "a file is missing between");
    }
}
