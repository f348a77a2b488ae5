//! `loadgen matrix` and its preset `replication-cost`: {flush} x {slaves} x batch sizes.
//!
//! ```text
//!   for each maker and flush policy
//!     clusters: no slave │ ASYNC_MASTER │ SYNC_MASTER       a name server, a master, a slave each
//!     pilot: how much does each take? ── the open loop's rate, the same for all, and the floor
//!     block 1:  N A S S A N      each letter: all loads, closed and open, in the same order
//!     block 2:  N A S S A N      RingMQ's with new stores, Apache's warm as they are
//!     …                          ── costs: pairs by block
//!     native sends: where the time of a send went
//! ```
//!
//! Windows of a cell are merged into one row; `windows.csv` has each of them. What a signal or an
//! error leaves is whole blocks: they make pairs, and the rows have every window.

mod apache;
mod asked;
mod block;
pub mod costs;
mod group;
mod merge;
mod own;
mod program;
mod record;
mod roles;
mod site;

use crate::cli::matrix::{Maker, MatrixArgs, Preset};
use crate::env::Environment;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::report::folder::RunFolder;
use crate::result::RunResult;
use crate::runner::{self, Frame, Shown};
use crate::signals::Stop;
use apache::Java;
use group::{Group, Work};
use record::Record;
use roles::Roles;
use std::fs;

/// Runs either command.
///
/// # Errors
/// When no cluster can be started or used, or a signal came before the first row.
pub(crate) fn run(args: &MatrixArgs, preset: Preset, stop: &Stop) -> Result<RunResult> {
    let progress = Progress::new(args.common.json, None);
    let stores = args.dir.clone().unwrap_or_else(|| args.common.out.clone());
    fs::create_dir_all(&stores).map_err(Error::file("create", &stores))?;
    let environment = Environment::collect(&stores);
    let frame = Frame::new(&args.common, &environment, preset.name(), &question(args, preset));
    let folder = RunFolder::create(&args.common.out, &frame.name)?;
    folder.write_question(&frame.empty_result(), &frame.command)?;
    let own = args.cluster.is_empty();
    let threads = args.common.threads;
    let roles = if own { Roles::of_own(threads) } else { Roles::of_others(threads) };
    let bench = runner::bench(&roles.plan, stop);
    let mut record = Record::new(group::order(args));
    let work = Work {
        args,
        preset,
        frame: &frame,
        folder: &folder,
        bench: &bench,
        progress: &progress,
        roles: &roles,
        stop,
    };
    let ended = match own {
        true => of_own(&work, &stores, &mut record),
        false => Group::of_others(&work).run(&mut record),
    };
    let outcome = record.outcome(&folder, &roles, ended.err())?;
    runner::finish(frame, outcome, environment, folder, Shown::of(&args.common))
}

/// Each maker with each flush policy, one after the other.
fn of_own(work: &Work<'_>, stores: &std::path::Path, record: &mut Record) -> Result<()> {
    let args = work.args;
    let stores = tempfile::Builder::new()
        .prefix(".loadgen-store-")
        .tempdir_in(stores)
        .map_err(Error::file("make temporary stores in", stores))?;
    work.progress.say(&work.roles.sentence());
    if let Some(note) = &work.roles.note {
        work.progress.say(note);
    }
    let java = match args.broker.contains(&Maker::Apache) {
        true => Some(Java::find(&args.apache_jars, work.progress, work.stop)?),
        false => None,
    };
    let path = fs::canonicalize(stores.path()).map_err(Error::file("resolve", stores.path()))?;
    for flush in &args.flush {
        for maker in &args.broker {
            let group = Group::of_own(work, *maker, flush.name(), &path, java.as_ref());
            group.run(record)?;
        }
    }
    Ok(())
}

fn question(args: &MatrixArgs, preset: Preset) -> String {
    let what = match preset {
        Preset::Matrix => "What do flush policy, slaves and batches change?",
        Preset::ReplicationCost => "What does replication cost, and what waiting for it?",
    };
    format!(
        "{what} {} blocks of {}, fixed before the run; each letter is one visit with all loads.",
        args.blocks,
        group::order(args)
    )
}
