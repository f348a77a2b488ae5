//! The lives of masters that wrote a log: which one from where on.
//!
//! ```text
//!   epoch:       1         2              3
//!   log:   |───────────|───────|────────────────────── end
//!          0          700     950
//! ```
//!
//! A master's life is an epoch, and it is on disk before the first append of that life. So a place
//! in a log is named by epoch and offset together, and a master that lost its last bytes and wrote
//! others there is found out: its slave has them under another epoch.
//!
//! The file is that of Apache's controller (`EpochFileCache`, `CheckpointFile`), at its place:
//!
//! ```text
//!   2\n              entries
//!   1740383027\n     CRC-32 of the lines below without its top bit
//!   3-950\n          epoch-startOffset
//!   4-2000\n
//! ```
//!
//! Pure. Bounded by `EPOCHS_MAX`; the oldest goes first.

use crate::limits::EPOCHS_MAX;
use protocol::bodies::EpochEntry;
use protocol::record::body_crc;
use rt::Runtime;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// The file, below a store's root.
pub(crate) const FILE: &str = "epochFileCheckpoint";
/// A promotion goes to the next multiple of this; a restart goes up by one. So a master that was
/// replaced and is started once more as a master, as it has been, still has a lower number than the
/// one that replaced it, and loses at the name servers.
const PROMOTION: i32 = 1_024;
/// Apache's `NOT_CHECK_CRC_MAGIC_CODE`: a file by hand.
const CRC_OF_ANY: i32 = 0;

/// One master's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    /// Above that of every life before.
    pub(crate) number: i32,
    /// Where its first record lies.
    pub(crate) begin: u64,
}

/// See the module's text. Numbers and beginnings grow from one to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epochs {
    list: Vec<Epoch>,
}

impl Epochs {
    /// The last one's number; 0 when there is none.
    pub(crate) fn number(&self) -> i32 {
        self.list.last().map_or(0, |epoch| epoch.number)
    }

    /// What a slave's first life as a master has at least.
    pub(crate) fn promoted(&self) -> i32 {
        (self.number() / PROMOTION).saturating_add(1).saturating_mul(PROMOTION)
    }

    /// That of the life in which a log of this length ended.
    #[cfg(test)]
    pub(crate) fn number_at(&self, end: u64) -> i32 {
        let last = self.list.iter().rev().find(|epoch| epoch.begin < end);
        last.map_or(0, |epoch| epoch.number)
    }

    /// Whether nothing is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// A master's life begins, on a log that ends at `end`.
    /// `number_min`: below it are numbers that name servers have seen.
    fn begin(&mut self, end: u64, number_min: i32) {
        let number = self.number().saturating_add(1).max(number_min);
        self.list.retain(|epoch| epoch.begin < end);
        self.list.push(Epoch { number, begin: end });
        self.bound();
    }

    /// Up to where two logs are the same: this one, which ends at `end`, and another. The last
    /// epoch that both know, up to where the first of both left it. `None`: the epochs do not tell.
    pub(crate) fn common(&self, end: u64, other: &Self, other_end: u64) -> Option<u64> {
        let known = self.list.iter().rev().find(|epoch| other.list.contains(epoch))?;
        Some(self.end_of(*known, end).min(other.end_of(*known, other_end)))
    }

    fn end_of(&self, wanted: Epoch, log_end: u64) -> u64 {
        let next = self.list.iter().find(|epoch| epoch.number > wanted.number);
        next.map_or(log_end, |next| next.begin.min(log_end))
    }

    /// As GET_BROKER_EPOCH_CACHE (1007) has them.
    pub(crate) fn entries(&self) -> Vec<EpochEntry> {
        let begins = self.list.iter().skip(1).map(|next| offset(next.begin)).chain([i64::MAX]);
        let entry = |(epoch, end_offset): (&Epoch, i64)| EpochEntry {
            epoch: epoch.number,
            start_offset: offset(epoch.begin),
            end_offset,
        };
        self.list.iter().zip(begins).map(entry).collect()
    }

    /// Of what a peer or a file says; `None` when numbers or beginnings do not grow.
    pub(crate) fn from_entries(entries: &[EpochEntry]) -> Option<Self> {
        let mut epochs = Self::default();
        for entry in entries {
            let epoch =
                Epoch { number: entry.epoch, begin: u64::try_from(entry.start_offset).ok()? };
            let grows = epochs
                .list
                .last()
                .is_none_or(|last| last.number < epoch.number && last.begin < epoch.begin);
            if !grows || epoch.number < 1 {
                return None;
            }
            epochs.list.push(epoch);
        }
        epochs.bound();
        Some(epochs)
    }

    fn bound(&mut self) {
        let oldest = self.list.len().saturating_sub(EPOCHS_MAX);
        self.list.drain(..oldest);
    }

    /// The file's content.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut lines = String::new();
        for Epoch { number, begin } in &self.list {
            let _infallible = writeln!(lines, "{number}-{begin}");
        }
        let crc = body_crc(lines.as_bytes());
        format!("{}\n{crc}\n{lines}", self.list.len()).into_bytes()
    }

    /// Reads the file's content.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let mut parts = text.splitn(3, '\n');
        let mut number = |what: &str| {
            let part = parts.next().unwrap_or_default().trim_end();
            let read = part.parse::<i64>();
            read.map_err(|_| format!("expected {what}, found {part:?}"))
        };
        let (count, crc) = (number("how many lines there are")?, number("their CRC-32")?);
        let lines = parts.next().unwrap_or_default();
        let truth = body_crc(lines.as_bytes());
        if crc != i64::from(CRC_OF_ANY) && crc != i64::from(truth) {
            return Err(format!("the lines have CRC-32 {truth}, the file says {crc}"));
        }
        let entries: Option<Vec<EpochEntry>> = lines.lines().map(entry).collect();
        let entries = entries.ok_or("a line is not epoch-startOffset")?;
        if i64::try_from(entries.len()) != Ok(count) {
            return Err(format!("{} lines, the file says {count}", entries.len()));
        }
        Self::from_entries(&entries).ok_or_else(|| "epochs or offsets do not grow".to_owned())
    }
}

/// What the file holds, or its backup where that can't be read, as Apache does.
pub(crate) async fn load<R: Runtime>(rt: &R, root: &Path) -> Epochs {
    let path = root.join(FILE);
    let mut backup = path.clone().into_os_string();
    backup.push(".bak");
    for path in [path, backup.into()] {
        match rt.read_file(&path).await.map(|bytes| Epochs::decode(&bytes)) {
            Ok(Ok(epochs)) => return epochs,
            Ok(Err(why)) => tracing::warn!("{} is not used: {why}", path.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!("read {}: {error}", path.display()),
        }
    }
    Epochs::default()
}

/// A master's life begins on a log that ends at `end`, with a number of at least `number_min`. When
/// it returns, that survives a power cut, and the log may be appended to.
pub(crate) async fn begin_life<R: Runtime>(
    rt: &R,
    root: &Path,
    epochs: &mut Epochs,
    (end, number_min): (u64, i32),
) -> io::Result<()> {
    epochs.begin(end, number_min);
    save(rt, root, epochs).await
}

/// Writes the file; when it returns, that survives a power cut.
pub(crate) async fn save<R: Runtime>(rt: &R, root: &Path, epochs: &Epochs) -> io::Result<()> {
    let path = root.join(FILE);
    rt.replace_file(&path, epochs.encode(), true)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("write {}: {error}", path.display())))
}

fn entry(line: &str) -> Option<EpochEntry> {
    let (epoch, start_offset) = line.split_once('-')?;
    Some(EpochEntry {
        epoch: epoch.parse().ok()?,
        start_offset: start_offset.parse().ok()?,
        end_offset: i64::MAX,
    })
}

fn offset(begin: u64) -> i64 {
    i64::try_from(begin).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(list: &[(i32, u64)]) -> Epochs {
        Epochs { list: list.iter().map(|&(number, begin)| Epoch { number, begin }).collect() }
    }

    #[test]
    fn each_life_has_a_number_above_all_before_and_an_empty_one_leaves_no_line() {
        let mut lives = Epochs::default();
        for (end, number_min) in [(0, 0), (0, 0), (700, 0), (950, 0), (950, 9), (400, 0)] {
            lives.begin(end, number_min);
        }
        assert_eq!(lives, epochs(&[(2, 0), (10, 400)]), "a log that was cut forgets");
        for nth in 0..2 * EPOCHS_MAX as u64 {
            lives.begin(1_000 + nth, 0);
        }
        assert_eq!(lives.list.len(), EPOCHS_MAX);
    }

    #[test]
    fn a_promoted_slave_stays_above_a_replaced_master_that_is_started_again() {
        let mut old = epochs(&[(1, 0), (2, 500)]);
        let mut new = old.clone();
        new.begin(800, new.promoted());
        for nth in 0..1_000 {
            old.begin(900 + nth, 0);
            assert!(old.number() < new.number());
        }
        let before = new.number();
        new.begin(900, new.promoted());
        assert!(new.number() > before && epochs(&[(i32::MAX, 0)]).promoted() > 0);
    }

    #[test]
    fn two_logs_are_the_same_up_to_the_end_of_the_last_life_that_both_know() {
        let own = epochs(&[(1, 0), (2, 500), (3, 800)]);
        for (other, other_end, common) in [
            (own.clone(), 2_000, Some(900)),
            (own.clone(), 850, Some(850)),
            (epochs(&[(1, 0), (2, 500), (3, 800), (4, 820)]), 2_000, Some(820)),
            (epochs(&[(1, 0), (2, 500), (4, 700)]), 2_000, Some(700)),
            (epochs(&[(1, 0), (2, 500), (4, 860)]), 2_000, Some(800)),
            (epochs(&[(2, 500), (4, 860)]), 2_000, Some(800)),
            (epochs(&[(1, 0), (2, 501)]), 2_000, Some(500)),
            (epochs(&[(1, 3)]), 2_000, None),
            (Epochs::default(), 2_000, None),
        ] {
            assert_eq!(own.common(900, &other, other_end), common, "{other:?}");
            assert_eq!(other.common(other_end, &own, 900), common, "{other:?}, the other way");
        }
    }

    #[test]
    fn the_file_is_apaches_and_what_is_none_is_refused_by_name() {
        let known = epochs(&[(3, 950), (4, 2_000)]);
        let bytes = known.encode();
        assert_eq!(Epochs::decode(&bytes), Ok(known.clone()));
        assert_eq!(Epochs::from_entries(&known.entries()), Some(known));
        assert_eq!(Epochs::decode(b"1\n0\n7-77\n"), Ok(epochs(&[(7, 77)])), "by hand");
        for (text, why) in [
            ("", "expected how many lines"),
            ("1\nx\n", "expected their CRC-32"),
            ("1\n5\n1-0\n", "the file says 5"),
            ("2\n0\n1-0\n", "the file says 2"),
            ("1\n0\n1;0\n", "epoch-startOffset"),
            ("1\n0\n1--4\n", "do not grow"),
            ("2\n0\n2-0\n1-5\n", "do not grow"),
            ("2\n0\n1-5\n2-5\n", "do not grow"),
        ] {
            let error = Epochs::decode(text.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
        for cut in 0..bytes.len() {
            assert!(Epochs::decode(&bytes[..cut]).is_err(), "cut to {cut}");
        }
        let mut flipped = bytes.clone();
        for at in 0..flipped.len() {
            flipped[at] ^= 1;
            assert_ne!(Epochs::decode(&flipped).ok(), Epochs::decode(&bytes).ok());
            flipped[at] ^= 1;
        }
    }
}
