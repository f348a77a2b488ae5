//! `loadgen campaign`: every target, measured in blocks, judged from the files.
//!
//! ```text
//!   FOLDER/campaign.json            what was agreed before the first block
//!   FOLDER/README.md, index.html    expectations first, verdicts in the end
//!   FOLDER/MEASUREMENT/block-NN[-k][.FAIL]/     echo │ A B B A │ echo: a run's folder each
//!   FOLDER/benches/NAME.jsonl       rounds of benchmarks, for targets that no load has
//!   FOLDER/verdicts.json            computed from the blocks and rounds
//! ```
//!
//! Nothing is remembered but the folders: an interrupted campaign goes on with the first block that
//! is missing. A block that the machine spoiled keeps its folder, and another one is made.

mod benches;
mod block;
mod html;
mod page;
mod peers;
mod replication;
mod targets;
mod verdict;

pub use page::{MARK_BEGIN, MARK_END, first_screen};
pub use peers::Peer;
pub(crate) use peers::Stopped;

use crate::cli::campaign::CampaignArgs;
use crate::compare::metrics::Metric;
use crate::error::{Error, Result};
use crate::progress::{Progress, note};
use crate::report::folder::pretty;
use crate::row::{Steady, count_f64};
use crate::signals::Stop;
use crate::steady::SteadyWish;
use block::{Block, Times, shape_of};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;
use targets::{Against, MEASUREMENTS, Measurement};
use verdict::{Judged, blocks, judge, pairs};

/// Tries of a block for each that has to be good, each time that the command is given.
const TRIES: usize = 3;
/// The measurement whose rate the open loop follows.
const HIGHEST_RATE: &str = "async-16x8";

/// What a campaign agreed on before its first block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Agreement {
    schema: u32,
    started: String,
    revision: Option<String>,
    blocks: u32,
    window_s: f64,
    warmup_s: f64,
    calibration_s: f64,
    drift_max: f64,
    steal_max: f64,
    /// Each measurement with what was expected.
    expectations: Vec<(String, String)>,
}

/// Runs `campaign`.
///
/// # Errors
/// When the folder belongs to another agreement, a file can't be written, or a signal came.
pub(crate) fn campaign(args: &CampaignArgs, stop: &Stop) -> Result<()> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
    if let Some(id) = args.only.iter().find(|id| !MEASUREMENTS.iter().any(|it| it.id == **id)) {
        let all: Vec<&str> = MEASUREMENTS.iter().map(|it| it.id).collect();
        return Err(Error::Usage(format!("--only {id}: there is {}", all.join(", "))));
    }
    let mut ended = Ok(());
    if !args.judge {
        agree(args)?;
        for measurement in &MEASUREMENTS {
            if args.only.is_empty() || args.only.iter().any(|id| id == measurement.id) {
                ended = measure(args, measurement, stop);
                if ended.is_err() {
                    break;
                }
            }
        }
    }
    let judged = judge(folder)?;
    write(folder, "verdicts.json", &pretty(&judged)?)?;
    write(folder, "README.md", page::readme(folder, &judged)?.as_bytes())?;
    write(folder, "index.html", html::html(folder, &judged).as_bytes())?;
    if let Some(path) = &args.readme {
        page::write_first_screen(path, folder)?;
    }
    let _nobody_reads = writeln!(std::io::stdout(), "{}", page::table(&judged));
    if ended.is_err() {
        note("loadgen: the campaign is not done; the same command goes on with it");
    }
    ended
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, bytes).map_err(Error::file("write", path))
}

/// Writes down what is agreed, with the expectations, before anything is measured; or refuses to go
/// on with something else.
fn agree(args: &CampaignArgs) -> Result<()> {
    let path = args.folder.join("campaign.json");
    let wanted = Agreement {
        schema: 1,
        started: humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string(),
        revision: crate::build_facts::REVISION.map(str::to_owned),
        blocks: args.blocks,
        window_s: args.window.as_secs_f64(),
        warmup_s: args.warmup.as_secs_f64(),
        calibration_s: args.calibration.as_secs_f64(),
        drift_max: args.drift_max,
        steal_max: args.steal_max,
        expectations: MEASUREMENTS
            .iter()
            .map(|it| (it.id.to_owned(), it.expectation.to_owned()))
            .collect(),
    };
    if path.exists() {
        let text = std::fs::read(&path).map_err(Error::file("read", &path))?;
        let agreed: Agreement = serde_json::from_slice(&text)
            .map_err(|error| Error::Usage(format!("{}: {error}", path.display())))?;
        let same = Agreement { started: agreed.started.clone(), ..wanted };
        if same != agreed {
            return Err(Error::Usage(format!(
                "{} was begun with other settings, or by another build: give another folder, or \
                 the settings that {} has",
                args.folder.display(),
                path.display()
            )));
        }
        return Ok(());
    }
    write(&args.folder, "campaign.json", &pretty(&wanted)?)?;
    write(&args.folder, "README.md", page::readme(&args.folder, &[])?.as_bytes())
}

fn peers(args: &CampaignArgs) -> Vec<Peer> {
    let all = [&args.apache_async, &args.apache_sync, &args.rocketmq_rust];
    all.into_iter().flatten().cloned().collect()
}

/// Runs the blocks of a measurement that are missing.
fn measure(args: &CampaignArgs, of: &Measurement, stop: &Stop) -> Result<()> {
    let peer = match of.against {
        Against::ApacheAsync => args.apache_async.as_ref(),
        Against::ApacheSync => args.apache_sync.as_ref(),
        Against::RocketmqRust => args.rocketmq_rust.as_ref(),
        Against::Echo => None,
    };
    if peer.is_none() && of.against != Against::Echo {
        note(&format!("{}: no {:?} was given, so it is not measured", of.id, of.against));
        return Ok(());
    }
    let theirs = highest_rate(&args.folder)?;
    let Some(shape) = shape_of(of, args.window, theirs) else {
        note(&format!("{}: {HIGHEST_RATE} has no rate to follow", of.id));
        return Ok(());
    };
    let out = args.folder.join(of.id);
    std::fs::create_dir_all(&out).map_err(Error::file("create", &out))?;
    let steady =
        SteadyWish { window: args.steady_window, at_most: args.steady_within, within: 0.02 };
    let times = Times {
        window: args.window,
        warmup: args.warmup,
        calibration: args.calibration,
        steady,
        drift_max: args.drift_max,
        steal_max: args.steal_max,
    };
    let (peers, progress) = (peers(args), Progress::new(true, None));
    let store_parent = args.dir.as_deref().unwrap_or(&args.folder);
    // One that a killed campaign had paused goes on.
    for peer in &peers {
        drop(Stopped::new(peer.pid)?);
    }
    let mut warmed: Option<Steady> = None;
    let tries_max = blocks(&args.folder, of.id)?.len() + TRIES * args.blocks as usize;
    loop {
        stop.check()?;
        let tried = blocks(&args.folder, of.id)?;
        let good = tried.iter().filter(|path| !is_fail(path)).count();
        let wanted = args.blocks as usize;
        if good >= wanted {
            return Ok(());
        }
        if tried.len() >= tries_max {
            note(&format!(
                "{}: {good} of {wanted} blocks are good, the machine spoiled the others; the same \
                 command tries again",
                of.id
            ));
            return Ok(());
        }
        note(&format!("{}: block {} of {wanted}", of.id, good + 1));
        let block = Block {
            of,
            peer,
            peers: &peers,
            shape,
            times,
            progress: &progress,
            stop,
            store_parent,
            steady: warmed.take(),
        };
        let (result, steady) = block.run(&out, &format!("block-{:02}", tried.len() + 1))?;
        thin_if_spoiled(&out.join(&result.name))?;
        warmed = steady;
    }
}

/// A spoiled block keeps its rows, all their values and what ran; what is made from those goes, as
/// on a shared machine most blocks may be spoiled.
fn thin_if_spoiled(block: &Path) -> Result<()> {
    if !is_fail(block) {
        return Ok(());
    }
    for name in ["report.html", "response.hgrm", "service.hgrm"] {
        let path = block.join(name);
        if path.exists() {
            std::fs::remove_file(&path).map_err(Error::file("remove", path))?;
        }
    }
    for name in ["hgrm", "openmessaging"] {
        let path = block.join(name);
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(Error::file("remove", path))?;
        }
    }
    Ok(())
}

fn is_fail(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".FAIL")
}

/// The most that the other side reached, over the blocks there are.
fn highest_rate(folder: &Path) -> Result<Option<f64>> {
    let rows = pairs(folder, HIGHEST_RATE)?;
    let rates: Vec<f64> = rows.iter().filter_map(|(a, _)| Metric::Rate.of(a)).collect();
    let mean = rates.iter().sum::<f64>() / count_f64(rates.len().max(1) as u64);
    Ok(Some(mean).filter(|rate| *rate > 0.0))
}

/// Whether the verdicts of a campaign's folder are those that follow from its blocks.
///
/// # Errors
/// When a file can't be read.
pub fn verdicts_follow(folder: &Path) -> Result<bool> {
    let path = folder.join("verdicts.json");
    let text = std::fs::read(&path).map_err(Error::file("read", &path))?;
    let read = |text: &[u8]| -> Result<Vec<Judged>> {
        serde_json::from_slice(text)
            .map_err(|error| Error::Usage(format!("{}: {error}", path.display())))
    };
    // Both were written once and read once: a number's last digit may change on that way.
    Ok(read(&text)? == read(&pretty(&judge(folder)?)?)?)
}
