//! Two brokers in blocks A B B A, whose order is fixed before the first send.

use super::{Comparison, finish};
use crate::cli::analysis::CompareArgs;
use crate::cores::CorePlan;
use crate::env::Environment;
use crate::error::{Error, Result};
use crate::phase::Bench;
use crate::progress::Progress;
use crate::remote;
use crate::report::folder::{RunFolder, pretty};
use crate::row::{Percentiles, Row, count_f64};
use crate::runner::{self, Frame, Setup};
use crate::session::{Session, Shape};
use crate::signals::Stop;
use crate::steady::SteadyWish;

/// The order of a block: a machine that gets slower at a steady pace takes as much from A as from
/// B.
const BLOCK: [Side; 4] = [Side::A, Side::B, Side::B, Side::A];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    A,
    B,
}

/// Measures both brokers and compares them.
///
/// # Errors
/// When a cluster can't be used, or a signal came.
pub(super) fn measure(args: &CompareArgs, stop: &Stop) -> Result<Comparison> {
    let (Some(a), Some(b)) = (&args.namesrv_a, &args.namesrv_b) else {
        return Err(Error::Usage("--namesrv-a and --namesrv-b belong together".into()));
    };
    let progress = Progress::new(args.common.json, None);
    let out = &args.common.out;
    std::fs::create_dir_all(out).map_err(Error::file("create", out))?;
    let environment = Environment::collect(out);
    let (name, label, shape) = remote::shape_of(&args.load);
    let question = format!(
        "Is the broker at {b} (B) different from the one at {a} (A) with this load: {label}? {} \
         blocks of A B B A, fixed before the run.",
        args.blocks
    );
    let frame = Frame::new(&args.common, &environment, &format!("compare-{name}"), &question);
    let folder = RunFolder::create(out, &frame.name)?;
    folder.write_question(&frame.empty_result(), &frame.command)?;
    let cores = CorePlan::for_run(args.common.threads);
    let bench = runner::bench(&cores, stop);
    let mut blocks = Blocks { rows: Vec::new(), pairs: Vec::new(), differences: Vec::new() };
    let measured = blocks.run(args, &frame, &cores, &bench, &progress, &folder, (a, b), shape);
    let (setup, ended) = match measured {
        Ok((setup, ended)) => (setup, ended),
        Err(error) => {
            let outcome = runner::Outcome::nothing(error);
            runner::finish(frame, outcome, environment, folder, shown(args))?;
            return Err(Error::Interrupted);
        }
    };
    let interrupted = ended.is_some();
    let outcome = setup.outcome(&cores, blocks.rows, None, ended);
    let comparison = finish(&blocks.pairs, blocks.differences);
    if let Ok(comparison) = &comparison {
        folder.write("comparison.json", &pretty(comparison)?)?;
    }
    runner::finish(frame, outcome, environment, folder, shown(args))?;
    if interrupted && blocks.pairs.is_empty() {
        return Err(Error::Interrupted);
    }
    comparison
}

struct Blocks {
    rows: Vec<Row>,
    /// A and B of each block.
    pairs: Vec<(Row, Row)>,
    differences: Vec<String>,
}

impl Blocks {
    #[expect(clippy::too_many_arguments, reason = "one call, each of another kind")]
    fn run(
        &mut self,
        args: &CompareArgs,
        frame: &Frame,
        cores: &CorePlan,
        bench: &Bench,
        progress: &Progress,
        folder: &RunFolder,
        (a, b): (&str, &str),
        shape: Shape,
    ) -> Result<(Setup, Option<Error>)> {
        let mut setup_a = Setup::connect(a, folder)?;
        let mut setup_b = Setup::connect(b, folder)?;
        let promises = [setup_a.durability(), setup_b.durability()];
        if promises[0] != promises[1] {
            let (a, b) = (&promises[0], &promises[1]);
            let sentence = format!("durability: {a} (A) and {b} (B)");
            if !args.even_if_different {
                return Err(Error::Usage(format!(
                    "the brokers promise different things, {sentence}: start both with the same \
                     flush policy and role (--even-if-different compares them all the same)"
                )));
            }
            self.differences.push(sentence);
        }
        let topic = |side: &str| format!("loadgen-{:x}-{side}", frame.run_id);
        let common =
            |side| frame.session_common(&args.common, cores, topic(side), args.load.warmup);
        let queues = args.common.queues;
        let mut of_a = Session::begin(bench, progress, &mut setup_a.cluster, common("a"), queues)?;
        let mut of_b = Session::begin(bench, progress, &mut setup_b.cluster, common("b"), queues)?;
        of_a.set_broker_pids(args.pid_a.into_iter().collect());
        of_b.set_broker_pids(args.pid_b.into_iter().collect());
        let mut ended = None;
        if args.load.steady {
            for session in [&mut of_a, &mut of_b] {
                session.make_steady(shape, &SteadyWish::default())?;
            }
        }
        for block in 1..=args.blocks {
            if let Err(error) = self.block(block, &mut of_a, &mut of_b, shape) {
                ended = Some(error);
                break;
            }
        }
        setup_a.add(setup_b);
        Ok((setup_a, ended))
    }

    /// One block; its two rows of a side count as one.
    fn block<'s>(
        &mut self,
        block: u32,
        a: &mut Session<'s>,
        b: &mut Session<'s>,
        shape: Shape,
    ) -> Result<()> {
        let mut each: [Vec<Row>; 2] = [Vec::new(), Vec::new()];
        for (place, side) in BLOCK.into_iter().enumerate() {
            let (session, letter, rows) = match side {
                Side::A => (&mut *a, 'A', &mut each[0]),
                Side::B => (&mut *b, 'B', &mut each[1]),
            };
            let name = format!("block-{block:02}-{}-{letter}", place + 1);
            let label = format!("block {block}, {} of 4: {letter}", place + 1);
            let loaded = session.load(&name, &label, shape).cloned();
            // A row that a signal cut short is kept, and makes no pair.
            self.rows.extend(session.rows.pop());
            rows.push(loaded?);
        }
        let [a, b] = each.map(|rows| put_together(&rows));
        self.pairs.extend(a.zip(b));
        Ok(())
    }
}

/// The rows of one side of a block as one: histograms are merged, rates averaged over the same
/// time. `None` when there are none.
pub(crate) fn put_together(rows: &[Row]) -> Option<Row> {
    let mut whole = rows.first()?.clone();
    for other in &rows[1..] {
        match (&mut whole.recorder, &other.recorder) {
            (Some(mine), Some(theirs)) => mine.merge(theirs),
            (mine, _) => *mine = None,
        }
        whole.invalid.extend(other.invalid.clone());
    }
    let mean = |value: &dyn Fn(&Row) -> Option<f64>| {
        let values = rows.iter().map(value).collect::<Option<Vec<f64>>>()?;
        Some(values.iter().sum::<f64>() / count_f64(rows.len() as u64))
    };
    whole.name = "pair".into();
    whole.label = "all blocks".into();
    whole.rate_per_s = mean(&|row| Some(row.rate_per_s))?;
    whole.broker_cpu_us_per_message = mean(&|row| row.broker_cpu_us_per_message);
    whole.spin_cpu_us_per_message = mean(&|row| row.spin_cpu_us_per_message);
    whole.idle_cpu_share = mean(&|row| row.idle_cpu_share);
    whole.broker_resident_bytes = rows.iter().filter_map(|row| row.broker_resident_bytes).max();
    if let Some(recorder) = &whole.recorder {
        whole.response = Percentiles::of(&recorder.response);
    }
    Some(whole)
}

/// The rows of the blocks are in the folder; the comparison is what is printed.
fn shown(args: &CompareArgs) -> runner::Shown {
    if args.rows { runner::Shown::of(&args.common) } else { runner::Shown::Nothing }
}
