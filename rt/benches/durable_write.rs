//! What one durable write of the log costs, by the way it is asked for: the decision behind the
//! log's writer.
//!
//! `cargo bench -p rt --bench durable_write` prints p50, p90 and p99 in µs, one write in flight,
//! each at the next place of the file: into extents that were written before (the window of zeros
//! ahead of the log under SYNC_FLUSH) and into extents only reserved (fallocate). Rounds are
//! interleaved. `-- --dir D --rounds 5 --writes 300 --save FILE`. Without `--bench` (under `cargo
//! test`) it only shows that each way writes.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

use glommio::io::{DmaFile, OpenOptions};
use hdrhistogram::Histogram;
use rt::real::{Core, CorePlacement, available_cores, launch};
use rt::ring::{RingConfig, RingFile};
use rt::{AppendBuf, BufSlice, File, OpenMode, Runtime};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

const SIZES: [usize; 3] = [4096, 65_536, 1 << 20];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    RingWriteThenSync,
    RingLinked,
    RingDsync,
    DmaThenSync,
    DmaDsync,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Extents {
    Written,
    Reserved,
}

impl Way {
    const ALL: [Self; 5] = [
        Self::RingWriteThenSync,
        Self::RingLinked,
        Self::RingDsync,
        Self::DmaThenSync,
        Self::DmaDsync,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::RingWriteThenSync => "ring: write, then fdatasync",
            Self::RingLinked => "ring: write linked to fdatasync",
            Self::RingDsync => "ring: write with RWF_DSYNC",
            Self::DmaThenSync => "glommio DmaFile, fdatasync",
            Self::DmaDsync => "glommio DmaFile with O_DSYNC",
        }
    }
}

#[derive(Clone)]
struct Plan {
    dir: PathBuf,
    rounds: usize,
    writes: usize,
    save: Option<PathBuf>,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let measured = args.iter().any(|a| a == "--bench");
    let number = |name: &str, measured_as, smoke| {
        option(name).map_or(if measured { measured_as } else { smoke }, |v| v.parse().unwrap())
    };
    let temporary = tempfile::tempdir_in(option("--dir").map_or(".", |dir| dir)).unwrap();
    let plan = Plan {
        dir: temporary.path().to_owned(),
        rounds: number("--rounds", 5, 1),
        writes: number("--writes", 200, 3),
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

type Results = BTreeMap<(Extents, usize, Way), Histogram<u64>>;

async fn measure(core: Core, plan: Plan) -> io::Result<()> {
    let mut results = Results::new();
    for _ in 0..plan.rounds {
        for extents in [Extents::Written, Extents::Reserved] {
            for size in SIZES {
                for way in Way::ALL {
                    let into = results
                        .entry((extents, size, way))
                        .or_insert_with(|| Histogram::new(3).unwrap());
                    one(&core, &plan, extents, size, way, into).await?;
                }
            }
        }
    }
    let text = table(&results);
    print!("{text}");
    plan.save.map_or(Ok(()), |path| std::fs::write(path, text))
}

async fn one(
    core: &Core,
    plan: &Plan,
    extents: Extents,
    size: usize,
    way: Way,
    into: &mut Histogram<u64>,
) -> io::Result<()> {
    let path = plan.dir.join("log");
    let writes = if size >= 1 << 20 { plan.writes.div_ceil(4) } else { plan.writes };
    let ring = core.open(&path, OpenMode::Direct).await?.ring().clone();
    let bytes = size * writes;
    ring.allocate(0, bytes as u64).await?;
    if extents == Extents::Written {
        let zeros = AppendBuf::copy_of(&vec![0; size]);
        for nth in 0..writes {
            ring.write_at((nth * size) as u64, zeros.clone()).await?;
        }
    }
    ring.sync_data().await?;
    let dma = dma_file(&path, way).await?;
    let data = AppendBuf::copy_of(&vec![7; size]);
    for nth in 0..writes {
        let start = Instant::now();
        write(&ring, &dma, way, (nth * size) as u64, &data).await?;
        into.record(u64::try_from(start.elapsed().as_nanos()).unwrap()).unwrap();
    }
    dma.close().await.map_err(io::Error::from)?;
    core.remove_file(&path).await
}

async fn dma_file(path: &Path, way: Way) -> io::Result<DmaFile> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if way == Way::DmaDsync {
        options.custom_flags(libc::O_DSYNC);
    }
    options.dma_open(path).await.map_err(io::Error::from)
}

async fn write(
    ring: &RingFile,
    dma: &DmaFile,
    way: Way,
    at: u64,
    data: &BufSlice,
) -> io::Result<()> {
    match way {
        Way::RingWriteThenSync => {
            ring.write_at(at, data.clone()).await?;
            ring.sync_data().await
        }
        Way::RingLinked => ring.write_linked_at(at, data.clone(), BufSlice::empty()).await,
        Way::RingDsync => ring.write_both_durably_at(at, data.clone(), BufSlice::empty()).await,
        Way::DmaThenSync | Way::DmaDsync => {
            // glommio writes from its own buffers only: the copy is part of its price.
            let mut buffer = dma.alloc_dma_buffer(data.len());
            buffer.as_bytes_mut().copy_from_slice(data);
            dma.write_at(buffer, at).await.map_err(io::Error::from)?;
            if way == Way::DmaThenSync {
                dma.fdatasync().await.map_err(io::Error::from)
            } else {
                Ok(())
            }
        }
    }
}

fn table(results: &Results) -> String {
    let mut text = format!(
        "{:<9} {:>8}  {:<32} {:>9} {:>9} {:>9}\n",
        "extents", "bytes", "way", "p50 µs", "p90 µs", "p99 µs"
    );
    for ((extents, size, way), histogram) in results {
        let at = |quantile: f64| {
            f64::from(u32::try_from(histogram.value_at_quantile(quantile)).unwrap_or(u32::MAX))
                / 1000.0
        };
        let extents = format!("{extents:?}").to_lowercase();
        text += &format!(
            "{extents:<9} {size:>8}  {:<32} {:>9.0} {:>9.0} {:>9.0}\n",
            way.name(),
            at(0.5),
            at(0.9),
            at(0.99)
        );
    }
    text
}
