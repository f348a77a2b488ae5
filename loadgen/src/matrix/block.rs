//! The loads of a matrix: how fast they are to be, each of them once in each visit, and the stages.

use super::costs::Key;
use super::group::{Group, Work};
use super::record::{Record, label, name};
use super::site::Site;
use crate::cli::matrix::{Closed, Maker};
use crate::error::{Error, Result};
use crate::plan::Mode;
use crate::runner;
use crate::session::Shape;
use std::time::{Duration, Instant};

/// Three windows that agree within this are warm.
const WARM_WITHIN: f64 = 0.02;
/// How long Apache's brokers are warmed up at most, unless the command line says otherwise.
const WARM_MAX_OF_JAVA: Duration = Duration::from_secs(60);
/// The open loop's name.
const OPEN: &str = "open";
/// Connections of the open loop.
const OPEN_SENDERS: usize = 16;
/// The open loop's share of what the slowest kind of slaves took in the pilot.
const OPEN_SHARE: f64 = 0.5;

/// The loads of each visit.
pub(super) struct Loads {
    closed: Vec<Closed>,
    batches: Vec<u32>,
    with_open: bool,
    duration: Duration,
}

impl Loads {
    pub(super) fn of(work: &Work<'_>) -> Self {
        Self {
            closed: work.preset.loads(work.args),
            batches: work.preset.batches(work.args),
            with_open: !work.args.no_equal_rate,
            duration: work.args.duration,
        }
    }

    /// Each load with its name, in the order of a visit.
    fn each(&self, rate: f64) -> Vec<(String, Shape)> {
        let closed = self.closed.iter().map(|load| (load_name(load), self.shape(load)));
        let mode = Mode::Open { rate, shape: crate::schedule::Shape::Constant };
        let open = Shape { senders: OPEN_SENDERS, in_flight: 0, mode, duration: self.duration };
        closed.chain(self.with_open.then(|| (OPEN.to_owned(), open))).collect()
    }

    fn shape(&self, load: &Closed) -> Shape {
        let Closed { senders, in_flight } = *load;
        Shape { senders, in_flight, mode: Mode::Closed, duration: self.duration }
    }

    /// All cells of a group.
    pub(super) fn keys(&self, group: &Group<'_>) -> Vec<Key> {
        let mut keys = Vec::new();
        for (load, _) in self.each(1.0) {
            for batch in &self.batches {
                keys.extend(group.slaves.iter().map(|slaves| group.key(*slaves, *batch, &load)));
            }
        }
        keys
    }

    fn rows_of_a_visit(&self) -> usize {
        self.each(1.0).len() * self.batches.len()
    }
}

fn load_name(load: &Closed) -> String {
    format!("{}x{}", load.senders, load.in_flight)
}

/// Warms each cluster up with the load that has most in flight, and measures the floor. The rate
/// of the open loop: what was asked for, or half of what the slowest took.
pub(super) fn pilot<'a>(
    group: &Group<'a>,
    loads: &Loads,
    keys: &[Key],
    sites: &mut [Site<'a>],
    record: &mut Record,
) -> Result<f64> {
    let args = group.work.args;
    let most = loads.closed.iter().max_by_key(|load| load.senders * load.in_flight);
    let most = most.ok_or_else(|| Error::Usage("--loads is empty".into()))?;
    let mut slowest = f64::INFINITY;
    for site in &mut *sites {
        let rate = warm(group, loads, most, site, record)?;
        slowest = slowest.min(rate);
    }
    if !args.common.no_floor {
        floors(group, loads, keys, sites, record)?;
    }
    if slowest < 1.0 {
        return Err(Error::Usage("the closed loop had no answers: no rate to choose".into()));
    }
    Ok(args.rate.unwrap_or((slowest * OPEN_SHARE).floor().max(1.0)))
}

fn warm<'a>(
    group: &Group<'a>,
    loads: &Loads,
    load: &Closed,
    site: &mut Site<'a>,
    record: &mut Record,
) -> Result<f64> {
    let args = group.work.args;
    let default =
        if group.maker == Some(Maker::Apache) { WARM_MAX_OF_JAVA } else { Duration::ZERO };
    let limit = args.warm_max.unwrap_or(default);
    let start = Instant::now();
    let mut rates: Vec<f64> = Vec::new();
    loop {
        let label = format!("warm-up, {}, window {}", site.slaves.title(), rates.len() + 1);
        let mut kept = Vec::new();
        let batch = loads.batches[0];
        site.load(group.work, batch, ("pilot", &label), loads.shape(load), &mut kept)?;
        rates.extend(kept.iter().map(|window| window.row.rate_per_s));
        let last = &rates[rates.len().saturating_sub(3)..];
        let (least, most) = last
            .iter()
            .fold((f64::INFINITY, 0f64), |(least, most), rate| (least.min(*rate), most.max(*rate)));
        if limit.is_zero() || (last.len() == 3 && most / least <= 1.0 + WARM_WITHIN) {
            break;
        }
        if start.elapsed() >= limit {
            let (maker, slaves) = (group.maker.map_or("cluster", Maker::title), site.slaves);
            record.notes.push(format!(
                "{maker}, {}, {}: three windows did not agree within 2 % after {} s of warm-up",
                group.flush,
                slaves.title(),
                limit.as_secs()
            ));
            break;
        }
    }
    Ok(rates.last().copied().unwrap_or_default())
}

/// The floor of each closed load, once: it is the instrument's and the loopback's, not a broker's.
fn floors<'a>(
    group: &Group<'a>,
    loads: &Loads,
    keys: &[Key],
    sites: &mut [Site<'a>],
    record: &mut Record,
) -> Result<()> {
    let work = group.work;
    let Some(site) = sites.first_mut() else { return Ok(()) };
    let protocol = work.args.common.protocol;
    let floor = runner::floor(&work.roles.plan, protocol, loads.duration, &work.folder.config())?;
    site.set_floor(Some(floor));
    for load in &loads.closed {
        let name = load_name(load);
        let mut kept = Vec::new();
        let label = format!("floor of {name}");
        site.load(work, loads.batches[0], ("pilot", &label), loads.shape(load), &mut kept)?;
        let floor = kept.first().and_then(|window| window.row.floor);
        record.set_floor(keys, &name, floor);
    }
    site.set_floor(None);
    Ok(())
}

/// One block: every kind of slaves there, and back again.
pub(super) fn block<'a>(
    group: &Group<'a>,
    loads: &Loads,
    rate: f64,
    nth: u32,
    sites: &mut [Site<'a>],
    record: &mut Record,
) -> Result<()> {
    let blocks = group.work.args.blocks;
    let order: Vec<usize> = (0..sites.len()).chain((0..sites.len()).rev()).collect();
    let rows = order.len() * loads.rows_of_a_visit();
    let mut row = 0;
    for (place, at) in order.into_iter().enumerate() {
        let site = &mut sites[at];
        for (load, shape) in loads.each(rate) {
            for batch in &loads.batches {
                row += 1;
                let key = group.key(site.slaves, *batch, &load);
                let shown =
                    format!("block {nth} of {blocks}, row {row} of {rows}: {}", label(&key));
                let row_name = format!("{}-block{nth:02}-{}", name(&key), place + 1);
                let mut kept = Vec::new();
                let loaded = site.load(group.work, *batch, (&row_name, &shown), shape, &mut kept);
                record.add(&key, kept);
                loaded?;
            }
        }
    }
    Ok(())
}

/// Where the time of a send goes, with each kind of slaves: rows by the native protocol.
pub(super) fn stages<'a>(
    group: &Group<'a>,
    loads: &Loads,
    sites: &mut [Site<'a>],
    record: &mut Record,
) -> Result<()> {
    for site in sites {
        for load in &loads.closed {
            let key = group.key(site.slaves, 1, &load_name(load));
            let row_name = format!("native-{}", name(&key));
            let row_label = format!("native: {}", label(&key));
            let row = site.native(group.work, (&row_name, &row_label), loads.shape(load))?;
            row.into_iter().for_each(|row| record.add_beside(row));
        }
    }
    Ok(())
}
