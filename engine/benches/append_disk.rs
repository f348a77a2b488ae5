//! Sequential appends on a real disk beside bare O_DIRECT writes of the same size on the same disk.
//!
//! ```text
//! cargo bench -p engine --bench append_disk -- --rounds 5 --mib 1024 --dir FOLDER --save FILE
//! ```
//!
//! Bare: one or four writes in flight into a file that is reserved, as the log's are. Store:
//! messages whose records have that size, appended as fast as the tail takes them. Both end with
//! an fdatasync that counts. Rounds are interleaved; medians. `--pairs FILE` keeps, for a campaign,
//! the best bare rate of any size and depth in a round beside the store's with records of 64 KiB.
//! Without `--bench` (under `cargo test`) it only shows that both write.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[path = "common/draft.rs"]
mod draft;

use draft::draft;
use engine::{AppendError, Store, StoreConfig};
use futures_util::future::join_all;
use rt::real::{Core, CorePlacement, available_cores, launch};
use rt::ring::RingConfig;
use rt::{AppendBuf, File, OpenMode, Runtime};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

const SIZES: [usize; 3] = [4096, 65_536, 1 << 20];
/// Bare writes in flight.
const DEPTHS: [usize; 2] = [1, 4];

/// MiB a second of one size: bare at each depth, and the store's.
type Rates = ([f64; DEPTHS.len()], f64);

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
    let mut rounds = Vec::new();
    for _ in 0..plan.rounds {
        let mut round = Vec::new();
        for size in SIZES {
            // Small writes one at a time are slow: less of them.
            let bytes = if size < 65_536 { plan.bytes / 4 } else { plan.bytes };
            let mut bare = [0.0; DEPTHS.len()];
            for (rate, depth) in bare.iter_mut().zip(DEPTHS) {
                *rate = bare_mib_per_s(&core, &plan.dir, (size, depth), bytes).await?;
            }
            round.push((bare, store_mib_per_s(&core, &plan.dir, size, bytes).await?));
        }
        rounds.push(round);
    }
    let best =
        |round: &Vec<Rates>| round.iter().flat_map(|(bare, _)| bare).copied().fold(0.0, f64::max);
    testkit::pairs::keep("append-64k", rounds.iter().map(|round| (best(round), round[1].1)));
    let text = table(&rounds);
    print!("{text}");
    plan.save.map_or(Ok(()), |path| std::fs::write(path, text))
}

fn table(rounds: &[Vec<Rates>]) -> String {
    let [one, four] = DEPTHS.map(|depth| format!("bare, {depth} deep"));
    let mut text = format!(
        "{:>8} {one:>13} {four:>13} {:>12} {:>13}\n",
        "bytes", "store MiB/s", "of the best"
    );
    for (nth, size) in SIZES.into_iter().enumerate() {
        let of = |figure: &dyn Fn(&Rates) -> f64| {
            median(rounds.iter().map(|round| figure(&round[nth])).collect())
        };
        let ([one, four], store) = ([0, 1].map(|depth| of(&|row| row.0[depth])), of(&|row| row.1));
        let share = 100.0 * store / one.max(four);
        text += &format!("{size:>8} {one:>13.0} {four:>13.0} {store:>12.0} {share:>12.0}%\n");
    }
    text
}

async fn bare_mib_per_s(
    core: &Core,
    dir: &Path,
    (size, depth): (usize, usize),
    bytes: usize,
) -> io::Result<f64> {
    let path = dir.join("bare");
    let file = core.open(&path, OpenMode::Direct).await?;
    file.allocate(0, bytes as u64).await?;
    file.sync_data().await?;
    let data = AppendBuf::copy_of(&vec![7; size]);
    let start = Instant::now();
    for from in (0..bytes).step_by(size * depth) {
        let until = (from + size * depth).min(bytes);
        let writes = (from..until).step_by(size).map(|at| file.write_at(at as u64, data.clone()));
        join_all(writes).await.into_iter().collect::<io::Result<Vec<_>>>()?;
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
