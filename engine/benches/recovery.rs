//! How fast a whole log is scanned after a crash, beside bare sequential O_DIRECT reads of the same
//! files in the same rounds.
//!
//! Every record is checked (lengths, own offset, checksum) and put into its ConsumeQueue, whose
//! files are written. `cargo bench -p engine --bench recovery [-- --mib 4096 --rounds 7]`; under
//! `cargo test` a small log, once.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints its table"
)]

#[path = "common/disk.rs"]
mod disk;
#[path = "common/draft.rs"]
mod draft;

use disk::{Size, bare_read, config, fill, median, on_core, open, print_row};
use engine::StoreConfig;
use rt::Runtime;
use rt::real::Core;
use std::path::{Path, PathBuf};

const BODIES: [usize; 3] = [256, 1024, 16 * 1024];

fn main() {
    let size = disk::size();
    for body in BODIES {
        for append_property_crc in [false, true] {
            let folder = match tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")) {
                Ok(folder) => folder,
                Err(error) => panic!("{error}"),
            };
            let root = folder.path().to_owned();
            let rounds = on_core(move |core| run(core, root, size, body, append_property_crc));
            let (bare, scan): (Vec<f64>, Vec<f64>) = rounds.into_iter().unzip();
            let name = format!(
                "scan, bodies of {body} B{}",
                if append_property_crc { ", CRC over all" } else { "" }
            );
            print_row(&name, &bare, &scan);
            assert!(median(scan) > 0.0);
        }
    }
}

async fn run(
    core: Core,
    root: PathBuf,
    size: Size,
    body: usize,
    append_property_crc: bool,
) -> Vec<(f64, f64)> {
    let config = StoreConfig { append_property_crc, ..config(&root, size) };
    let store = open(&core, &config).await;
    fill(&store, size, body, 1).await;
    if let Err(error) = store.close().await {
        panic!("{error}");
    }
    let end = store.appended().0;
    let mut rounds = Vec::new();
    for _ in 0..size.rounds {
        let bare = bare_read(&core, &root, size, end).await;
        forget(&core, &root).await;
        let store = open(&core, &config).await;
        let recovered = store.recovered();
        assert_eq!(
            (recovered.log_end, recovered.scanned_from, recovered.damaged_stretches),
            (end, 0, 0)
        );
        rounds.push((bare, end as f64 * 1e9 / recovered.nanos as f64));
        assert!(store.close().await.is_ok());
    }
    rounds
}

/// As a crash leaves a store that never wrote a checkpoint: everything is to be scanned.
async fn forget(core: &Core, root: &Path) {
    for file in ["consumequeue.manifest", "checkpoint"] {
        assert!(core.remove_file(&root.join(file)).await.is_ok());
    }
    assert!(core.replace_file(&root.join("abort"), b"1".to_vec(), false).await.is_ok());
}
