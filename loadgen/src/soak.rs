//! `loadgen soak`: one load for hours, with a log that grows by a line each interval.
//!
//! ```text
//!   generators ── interval's histogram ──► this thread ──► intervals.csv, intervals.hlog   (flushed at once)
//! ```
//!
//! Memory does not grow with time: histograms have a fixed size, slices of time become wider, and
//! places of acknowledged messages are not kept (consumers beside the senders check damage and
//! order as they read). What was logged is there when the run is killed.

use crate::beside::Beside;
use crate::cli::search::SoakArgs;
use crate::env::process::{process_cpu_nanos, resident_bytes};
use crate::error::{Error, Result};
use crate::intervals::{IntervalPart, IntervalsWish};
use crate::remote::shape_of;
use crate::report::text::{count, time_us};
use crate::result::RunResult;
use crate::row::{Percentiles, count_f64};
use crate::search::{Of, on_cluster};
use crate::signals::Stop;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use protocol::checked::nanos;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The log as a table.
const CSV: &str = "intervals.csv";
/// The log with all values.
const HLOG: &str = "intervals.hlog";
const CSV_HEADER: &str = "interval,end_s,messages,per_s,p50_us,p99_us,p999_us,max_us,errors,\
    broker_cpu_share,broker_resident_bytes,loadgen_resident_bytes";

/// Runs `soak`.
///
/// # Errors
/// When the cluster can't be used, a log can't be written, or a signal came before the window.
pub(crate) fn soak(args: &SoakArgs, stop: &Stop) -> Result<RunResult> {
    let (name, label, shape) = shape_of(&args.load);
    let namesrv = &args.target.namesrv;
    let question = format!("Does the cluster at {namesrv} stay as it is under this load: {label}?");
    let of = Of {
        common: &args.common,
        target: &args.target,
        load: &args.load,
        consumes: args.consumers > 0,
    };
    let with_floor = !args.common.no_floor;
    on_cluster(&of, "soak", &question, with_floor, stop, |session, folder, core| {
        let (to, parts) = channel();
        let wish = IntervalsWish { every: args.interval, to };
        let consumers = args.consumers as usize;
        session.set_beside(Beside { consumers, core, intervals: Some(wish) });
        let log = Log::begin(folder.path(), args)?;
        let (loaded, logged) = std::thread::scope(|scope| {
            let logging = scope.spawn(move || log.write(&parts));
            let loaded = session.load(&name, &label, shape).map(|_| ());
            // The channel ends when nobody wants intervals any more.
            session.set_beside(Beside::default());
            let logged = logging.join();
            (loaded, logged.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let lines = logged?;
        loaded.map(|()| Some(format!("{lines} intervals of {:?} in {CSV}", args.interval)))
    })
}

struct Log {
    csv: File,
    hlog: File,
    every: Duration,
    generators: usize,
    pids: Vec<u32>,
    says: bool,
    /// Intervals that not all generators have handed over.
    open: BTreeMap<u64, (usize, IntervalPart)>,
    written: u64,
    cpu_before: (Instant, Option<u64>),
}

impl Log {
    fn begin(folder: &Path, args: &SoakArgs) -> Result<Self> {
        let create = |name: &str| {
            let path = folder.join(name);
            File::create(&path).map_err(Error::file("create", path))
        };
        let mut csv = create(CSV)?;
        writeln!(csv, "{CSV_HEADER}").map_err(Error::file("write", CSV))?;
        let threads = args.common.threads.min(args.load.senders);
        let pids = args.target.broker_pid.clone();
        Ok(Self {
            csv,
            hlog: create(HLOG)?,
            every: args.interval,
            generators: threads as usize,
            cpu_before: (Instant::now(), cpu_nanos(&pids)),
            pids,
            says: !args.common.json,
            open: BTreeMap::new(),
            written: 0,
        })
    }

    /// Writes intervals as they come; gives their number.
    fn write(mut self, parts: &Receiver<IntervalPart>) -> Result<u64> {
        let failed = |why: &dyn std::fmt::Debug| Error::Usage(format!("{HLOG}: {why:?}"));
        let mut hlog = self.hlog.try_clone().map_err(Error::file("share", HLOG))?;
        let mut serializer = V2DeflateSerializer::new();
        let mut builder = IntervalLogWriterBuilder::new();
        builder.add_comment("response times of each interval: values in ns, maxima in ms");
        builder.with_max_value_divisor(1e6);
        let begun = builder.begin_log_with(&mut hlog, &mut serializer);
        let mut log = begun.map_err(|why| failed(&why))?;
        let mut write = |this: &mut Self, index: u64, part: IntervalPart| -> Result<()> {
            let begins = this.every.mul_f64(count_f64(index));
            log.write_histogram(&part.response, begins, this.every, Tag::new("response"))
                .map_err(|why| failed(&why))?;
            this.line(index, &part)
        };
        for part in parts {
            let index = part.index;
            self.add(part);
            while let Some((index, part)) = self.complete(index) {
                write(&mut self, index, part)?;
            }
        }
        for (index, (_, part)) in std::mem::take(&mut self.open) {
            write(&mut self, index, part)?;
        }
        Ok(self.written)
    }

    fn add(&mut self, part: IntervalPart) {
        match self.open.get_mut(&part.index) {
            None => _ = self.open.insert(part.index, (1, part)),
            Some((parts, whole)) => {
                *parts += 1;
                whole.errors += part.errors;
                crate::recorder::merge_into(&mut whole.response, &part.response);
            }
        }
    }

    /// The oldest interval, if all generators have handed it over, or are past it for certain.
    fn complete(&mut self, newest: u64) -> Option<(u64, IntervalPart)> {
        let (index, (parts, _)) = self.open.first_key_value()?;
        if *parts < self.generators && *index + 1 >= newest {
            return None;
        }
        self.open.pop_first().map(|(index, (_, part))| (index, part))
    }

    fn line(&mut self, index: u64, part: &IntervalPart) -> Result<()> {
        let times = Percentiles::of(&part.response).unwrap_or_default();
        let end_s = self.every.as_secs_f64() * count_f64(index + 1);
        let rate = count_f64(times.count) / self.every.as_secs_f64();
        let number =
            |value: Option<f64>| value.map(|value| format!("{value:.3}")).unwrap_or_default();
        let bytes = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
        let broker_bytes = self.pids.iter().map(|pid| resident_bytes(*pid)).sum::<Option<u64>>();
        let line = format!(
            "{index},{end_s:.3},{},{rate:.1},{},{},{},{:.3},{},{},{},{}\n",
            times.count,
            number(times.p50_us),
            number(times.p99_us),
            number(times.p999_us),
            times.max_us,
            part.errors,
            number(self.cpu_share()),
            bytes(broker_bytes.filter(|_| !self.pids.is_empty())),
            bytes(resident_bytes(std::process::id())),
        );
        let written = self.csv.write_all(line.as_bytes()).and_then(|()| self.csv.sync_data());
        written.map_err(Error::file("write", CSV))?;
        self.written += 1;
        if self.says {
            let p99 = times.p99_us.map_or_else(|| "–".into(), time_us);
            crate::progress::note(&format!(
                "  {end_s:.0} s: {}/s, RT p99 {p99}, max {}, {} errors",
                count(rate),
                time_us(times.max_us),
                part.errors
            ));
        }
        Ok(())
    }

    /// The share of a core that the brokers used since the line before.
    fn cpu_share(&mut self) -> Option<f64> {
        let now = (Instant::now(), cpu_nanos(&self.pids));
        let before = std::mem::replace(&mut self.cpu_before, now);
        let used = now.1?.saturating_sub(before.1?);
        Some(used as f64 / nanos(now.0.duration_since(before.0)).max(1) as f64)
    }
}

fn cpu_nanos(pids: &[u32]) -> Option<u64> {
    let sum = pids.iter().map(|pid| process_cpu_nanos(*pid)).sum::<Option<u64>>();
    sum.filter(|_| !pids.is_empty())
}
