//! Sequential appends on a real disk beside bare O_DIRECT writes of the same size on the same disk.
//!
//! ```text
//! cargo bench -p engine --bench append_disk -- --rounds 5 --mib 1024 --dir FOLDER --save FILE
//! ```
//!
//! Bare: one write in flight into a file that is reserved, as the log's are. Store: messages whose
//! records have that size, appended as fast as the tail takes them. Both end with an fdatasync that
//! counts. Rounds are interleaved; medians. Without `--bench` (under `cargo test`) it only shows
//! that both write.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[path = "common/draft.rs"]
mod draft;

use draft::draft;
use engine::{AppendError, Store, StoreConfig};
use rt::real::{Core, CorePlacement, available_cores, launch};
use rt::ring::RingConfig;
use rt::{AppendBuf, File, OpenMode, Runtime};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

const SIZES: [usize; 3] = [4096, 65_536, 1 << 20];

#[derive(Clone)]
struct Plan {
    dir: PathBuf,
    rounds: usize,
    bytes: usize,
    save: Option<PathBuf>,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let measured = args.iter().any(|a| a == "--bench");
    let number = |name: &str, measured_as, smoke| {
        option(name)
            .map_or(if measured { measured_as } else { smoke }, |v| v.parse::<usize>().unwrap())
    };
    let temporary =
        tempfile::tempdir_in(option("--dir").map_or(env!("CARGO_TARGET_TMPDIR"), |dir| dir))
            .unwrap();
    let plan = Plan {
        dir: temporary.path().to_owned(),
        rounds: number("--rounds", 5, 1),
        bytes: number("--mib", 1024, 8) << 20,
        save: option("--save").map(PathBuf::from),
    };
    let cpu = *available_cores().last().unwrap();
    launch(&[CorePlacement::Pinned(cpu)], RingConfig::default(), move |core, _| {
        measure(core, plan.clone())
    })
    .unwrap()
    .join()
    .unwrap();
}

async fn measure(core: Core, plan: Plan) -> io::Result<()> {
    let mut text =
        format!("{:>8} {:>12} {:>12} {:>7}\n", "bytes", "bare MiB/s", "store MiB/s", "share");
    for size in SIZES {
        let (mut bare, mut store) = (Vec::new(), Vec::new());
        // Small writes one at a time are slow: less of them.
        let bytes = if size < 65_536 { plan.bytes / 4 } else { plan.bytes };
        for _ in 0..plan.rounds {
            bare.push(bare_mib_per_s(&core, &plan.dir, size, bytes).await?);
            store.push(store_mib_per_s(&core, &plan.dir, size, bytes).await?);
        }
        let (bare, store) = (median(bare), median(store));
        text += &format!("{size:>8} {bare:>12.0} {store:>12.0} {:>6.0}%\n", 100.0 * store / bare);
    }
    print!("{text}");
    plan.save.map_or(Ok(()), |path| std::fs::write(path, text))
}

async fn bare_mib_per_s(core: &Core, dir: &Path, size: usize, bytes: usize) -> io::Result<f64> {
    let path = dir.join("bare");
    let file = core.open(&path, OpenMode::Direct).await?;
    file.allocate(0, bytes as u64).await?;
    file.sync_data().await?;
    let data = AppendBuf::copy_of(&vec![7; size]);
    let start = Instant::now();
    for at in (0..bytes).step_by(size) {
        file.write_at(at as u64, data.clone()).await?;
    }
    file.sync_data().await?;
    let rate = mib(bytes) / start.elapsed().as_secs_f64();
    core.remove_file(&path).await?;
    Ok(rate)
}

async fn store_mib_per_s(core: &Core, dir: &Path, size: usize, bytes: usize) -> io::Result<f64> {
    let root = dir.join("store");
    let mut config = StoreConfig::new(&root);
    config.commitlog_file_bytes = ((bytes as u64).next_multiple_of(1 << 20) * 2).max(16 << 20);
    let store = Store::open(core.clone(), config).await.map_err(io::Error::other)?;
    let body = vec![7; size - draft(b"").encoded_len().unwrap()];
    let draft = draft(&body);
    // Until the first file is there.
    core.sleep(std::time::Duration::from_millis(300)).await;
    let (start, mut left) = (Instant::now(), bytes / size);
    while left > 0 {
        match store.append(&draft) {
            Ok(_) => left -= 1,
            Err(AppendError::TailFull { .. }) => store.wait_writable().await,
            Err(error) => return Err(io::Error::other(error)),
        }
    }
    // Writes what is left, fdatasync and the checkpoint.
    store.close().await.map_err(io::Error::other)?;
    let rate = mib(bytes) / start.elapsed().as_secs_f64();
    core.remove_dir_all(&root).await?;
    Ok(rate)
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
