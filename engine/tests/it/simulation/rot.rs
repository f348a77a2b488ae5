//! Damage at rest after a crash: a byte of a message that the store knows to be flushed, by its
//! mark or its manifest. It costs this message alone, whatever else the crash took.

use super::model::Model;
use crate::oracle::log_place;
use rt::Runtime;
use rt::sim::Sim;
use std::path::Path;

const LOG_FILE_BYTES: u64 = 96 * 1024;

/// What a stopped store knows to be flushed.
pub(crate) struct Known {
    by_mark: u64,
    by_manifest: u64,
}

/// `u64` in the text behind `before`.
fn number_behind(text: &str, before: &str) -> Option<u64> {
    let digits = text.split_once(before)?.1;
    let end = digits.find(|byte: char| !byte.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

impl Known {
    pub(crate) async fn read(sim: &Sim) -> Self {
        let file = |name: &'static str| async move {
            sim.read_file(&Path::new("/store").join(name)).await.unwrap_or_default()
        };
        let (abort, mark) = (file("abort").await, file("commitlog.flushed").await);
        let is_whole = mark.len() == 28 && crc32fast::hash(&mark[..24]).to_be_bytes() == mark[24..];
        let u64_at = |at: usize| u64::from_be_bytes(mark[at..at + 8].try_into().unwrap());
        let is_ours =
            is_whole && String::from_utf8(abort).unwrap().contains(&format!("{:016x}", u64_at(8)));
        let manifest = String::from_utf8(file("consumequeue.manifest").await).unwrap();
        Self {
            by_mark: if is_ours { u64_at(16) } else { 0 },
            by_manifest: number_behind(&manifest, "\"log_end\":").unwrap_or(0),
        }
    }
}

/// Damages one message that was flushed. Returns whether only the mark says that it was; `None`
/// when there is no such message.
///
/// Its topic is never deleted: what a damaged record of a deleted topic may bring back is another
/// test's.
pub(crate) fn damage_a_flushed_message(sim: &Sim, model: &mut Model) -> Option<bool> {
    let known = sim.block_on(Known::read(sim));
    let random = sim.random_u64();
    let flushed = known.by_mark.max(known.by_manifest);
    // Most often what lies between the two, where there is something.
    let from = if random.is_multiple_of(4) { 0 } else { known.by_manifest };
    let whole_file = |at: u64| {
        let file = sim.block_on(sim.read_file(&log_place(at).0));
        file.is_ok_and(|file| file.len() as u64 == LOG_FILE_BYTES)
    };
    let victims: Vec<u64> = model
        .messages
        .range(from..)
        .filter(|(_, message)| message.end <= flushed && message.queue.0 == "alpha")
        .map(|(at, _)| *at)
        .collect();
    let nth = usize::try_from(random >> 8).unwrap() % victims.len().max(1);
    let at = *victims.get(nth).filter(|at| whole_file(**at))?;
    let (path, in_file) = log_place(at);
    // In its size, its magic, its own offset or its body's checksum.
    let byte = [1, 5, 10, 30][usize::try_from(random >> 2).unwrap() % 4];
    sim.damage(&path, in_file + byte);
    model.rotten.insert(at);
    Some(at >= known.by_manifest)
}
