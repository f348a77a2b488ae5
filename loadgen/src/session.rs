//! One run against one cluster: rows of load, each with its floor, then a read that checks all
//! messages.

use crate::beside::{self, Beside, Run};
use crate::children::ChildProgram;
use crate::cluster::{Caller, Cluster, queue_offset};
use crate::consumer::{Consumed, Range, consume};
use crate::deferred::{BrokerWork, where_read};
use crate::error::Result;
use crate::integrity::{AckTable, Checker, IntegrityReport};
use crate::limits::{ACKS_MAX, START_TIMEOUT};
use crate::live::{Live, Reading};
use crate::messages::Messages;
use crate::phase::{Bench, run_load};
use crate::plan::{Load, Mode, QueuePlan};
use crate::progress::Progress;
use crate::protocols::Protocol;
use crate::recorder::{fine, merge_into};
use crate::row::{Floor, Percentiles, Row, Steady, count_f64};
use crate::signals::Stop;
use crate::steady::SteadyWish;
use crate::verdict;
use protocol::checked::fit;
use protocol::remoting::SerializeType;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Time that brokers have for building their queues after the acknowledgement.
const VISIBLE_WITHIN: Duration = Duration::from_secs(5);

/// How often the floor of a row is measured: its spread says how far to believe it.
const FLOOR_REPETITIONS: u32 = 3;

/// From a smaller share of work nothing is extrapolated.
const WORKED_MIN: f64 = 0.01;
/// Requests in flight of the closed loop that warms a broker for an open one.
const WARMING_IN_FLIGHT: usize = 8;

/// The settings that all loads of a session share.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    /// Marks this run's messages.
    pub run_id: u64,
    /// Seed of the schedules and payloads.
    pub seed: u64,
    /// Topic.
    pub topic: String,
    /// Sizes, tags, keys and batches of the messages.
    pub messages: Messages,
    /// Messages of a burst.
    pub burst: u32,
    /// Whether generators never sleep.
    pub spin: bool,
    /// Protocol of sends and of reading back.
    pub protocol: Protocol,
    /// Header encoding (remoting).
    pub serialize: SerializeType,
    /// Time of sending before each measured window.
    pub warmup: Duration,
}

/// The shape of one row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Connections.
    pub senders: usize,
    /// Requests in flight per connection.
    pub in_flight: usize,
    /// Open or closed loop.
    pub mode: Mode,
    /// Measured window.
    pub duration: Duration,
}

/// The no-op target and how long each floor is measured.
#[derive(Debug)]
pub(crate) struct FloorTarget {
    /// Dropping it ends the child.
    _child: ChildProgram,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Window of a floor measurement.
    pub duration: Duration,
}

impl FloorTarget {
    /// Starts the no-op target, speaking `protocol`, on `core`.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) fn start(
        core: Option<usize>,
        protocol: Protocol,
        duration: Duration,
        log_folder: &Path,
    ) -> Result<Self> {
        let mut args: Vec<String> =
            core.iter().flat_map(|core| ["--core".to_owned(), core.to_string()]).collect();
        args.extend((protocol == Protocol::Native).then(|| "--native".to_owned()));
        let (child, addr) = ChildProgram::start_announced("noop-target", &args, log_folder)?;
        Ok(Self { _child: child, addr, duration })
    }
}

/// A run in progress.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    bench: &'a Bench,
    progress: &'a Progress,
    common: Common,
    queues: Vec<QueuePlan>,
    starts: Vec<u64>,
    acks: Vec<AckTable>,
    keeps_acks: bool,
    floor: Option<FloorTarget>,
    /// Consumers and logs beside each load.
    beside: Beside,
    /// How the broker was warmed.
    steady: Option<Steady>,
    /// Processes of the brokers, where they are known: their CPU time is counted.
    broker_work: BrokerWork,
    /// How long an acknowledged message may take to be visible.
    pub visible_within: Duration,
    /// The rows so far.
    pub rows: Vec<Row>,
}

impl<'a> Session<'a> {
    /// Prepares the topic and remembers where its queues end now.
    ///
    /// # Errors
    /// When the cluster does not answer well.
    pub(crate) fn begin(
        bench: &'a Bench,
        progress: &'a Progress,
        cluster: &mut Cluster,
        common: Common,
        queues: u32,
    ) -> Result<Self> {
        let queues = cluster.ensure_topic(&common.topic, queues, &bench.stop)?;
        let starts = queues.iter().map(|queue| {
            bench.stop.check()?;
            with_broker(queue, |caller| queue_offset(caller, &common.topic, queue.queue_id, false))
        });
        let starts = starts.collect::<Result<Vec<u64>>>()?;
        Ok(Self {
            bench,
            progress,
            common,
            queues,
            starts,
            acks: Vec::new(),
            keeps_acks: false,
            floor: None,
            beside: Beside::default(),
            steady: None,
            broker_work: BrokerWork::default(),
            visible_within: VISIBLE_WITHIN,
            rows: Vec::new(),
        })
    }

    /// Keeps where messages are acknowledged, for reading them back.
    pub(crate) fn keep_acks(&mut self) {
        self.keeps_acks = true;
    }

    /// Runs closed loops of this shape until three windows in a row agree, or the time is over.
    /// Rows that come say how it went.
    ///
    /// # Errors
    /// When a generator can't connect, or a signal came.
    pub(crate) fn make_steady(&mut self, shape: Shape, wish: &SteadyWish) -> Result<bool> {
        let in_flight = if shape.in_flight == 0 { WARMING_IN_FLIGHT } else { shape.in_flight };
        let closed = Shape { in_flight, mode: Mode::Closed, duration: wish.window, ..shape };
        let load = Load { warmup: Duration::ZERO, ..self.load_of(closed, self.acks_max()) };
        let (start, mut rates) = (Instant::now(), Vec::new());
        while !wish.agree(&rates) && start.elapsed() < wish.at_most {
            let label = format!("warming up, window {}", rates.len() + 1);
            let first_generator = self.acks.len();
            let (bench, named) = (self.bench, ("warming", label.as_str()));
            let (load, queues, progress) = (&load, &self.queues[..], self.progress);
            let run = Run { bench, progress, named, load, queues, first_generator };
            let phase = beside::run(&run, &Beside::default())?;
            self.bench.stop.check()?;
            self.acks.extend(phase.acks);
            rates.push(phase.row.rate_per_s);
        }
        let is_steady = wish.agree(&rates);
        let took_s = start.elapsed().as_secs_f64();
        self.steady = Some(Steady { rates_per_s: rates, took_s, is_steady });
        Ok(is_steady)
    }

    /// How the broker was warmed by this session.
    #[must_use]
    pub(crate) fn steady(&self) -> Option<&Steady> {
        self.steady.as_ref()
    }

    /// The broker was warmed by another session.
    pub(crate) fn set_steady(&mut self, steady: Option<Steady>) {
        self.steady = steady;
    }

    /// Where the first queue's broker listens.
    #[must_use]
    pub(crate) fn broker_addr(&self) -> Option<SocketAddr> {
        self.queues.first().map(|queue| queue.addr)
    }

    /// Measures the floor of every row against this target too; `None`: no more.
    pub(crate) fn set_floor(&mut self, floor: impl Into<Option<FloorTarget>>) {
        self.floor = floor.into();
    }

    /// Lets consumers read while the senders send, and logs intervals.
    pub(crate) fn set_beside(&mut self, beside: Beside) {
        self.beside = beside;
    }

    /// Counts the CPU time of these processes per message.
    pub(crate) fn set_broker_pids(&mut self, pids: Vec<u32>) {
        let brokers = self.queues.iter().map(|queue| queue.addr).collect();
        self.broker_work = BrokerWork::of(pids, brokers);
    }

    /// How many messages were acknowledged so far, warm-ups included.
    #[must_use]
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acks.iter().map(AckTable::acknowledged).sum()
    }

    /// Runs one row and its floor.
    ///
    /// # Errors
    /// When a generator can't connect, or a signal came. What was measured by then is a row all the
    /// same.
    pub(crate) fn load(&mut self, name: &str, label: &str, shape: Shape) -> Result<&Row> {
        let load = self.load_of(shape, self.acks_max());
        let work = self.broker_work.begin();
        let run = Run {
            bench: self.bench,
            progress: self.progress,
            named: (name, label),
            load: &load,
            queues: &self.queues,
            first_generator: self.acks.len(),
        };
        let phase = beside::run(&run, &self.beside)?;
        let mut row = phase.row;
        let messages: u64 = phase.acks.iter().map(AckTable::acknowledged).sum();
        self.broker_work.charge(&mut row, work, messages, &self.bench.stop);
        self.acks.extend(phase.acks);
        // Kept before anything else can end the run: a floor that fails costs no row.
        let last = self.rows.len();
        self.rows.push(row);
        self.bench.stop.check()?;
        let floor = self.measure_floor(label, shape)?;
        let row = &mut self.rows[last];
        row.floor = floor;
        row.steady = self.steady.clone();
        let mut notes = verdict::notes(row);
        let of_broker = row.notes.drain(..).filter(|note| !notes.contains(note));
        let of_broker: Vec<String> = of_broker.collect();
        notes.extend(of_broker);
        row.notes = notes;
        Ok(row)
    }

    /// Adds a row that other processes made, with the brokers' work for it.
    ///
    /// # Errors
    /// As `make` has them.
    pub(crate) fn row_of_others(&mut self, make: impl FnOnce() -> Result<Row>) -> Result<()> {
        let work = self.broker_work.begin();
        let mut row = make()?;
        let messages = row.acknowledged;
        self.broker_work.charge(&mut row, work, messages, &self.bench.stop);
        self.rows.push(row);
        self.bench.stop.check()
    }

    /// The same load against the no-op target, [`FLOOR_REPETITIONS`] times.
    fn measure_floor(&self, label: &str, shape: Shape) -> Result<Option<Floor>> {
        let Some(target) = &self.floor else { return Ok(None) };
        let mut load = self.load_of(Shape { duration: target.duration, ..shape }, 0);
        load.warmup = load.warmup.min(target.duration / 4);
        let queue = QueuePlan { index: 0, broker: "noop".into(), addr: target.addr, queue_id: 0 };
        let (mut rates, mut response) = (Vec::new(), fine());
        let mut driven = Vec::new();
        for nth in 1..=FLOOR_REPETITIONS {
            let label = format!("  floor of {label}, {nth} of {FLOOR_REPETITIONS}");
            let queues = std::slice::from_ref(&queue);
            let phase = run_load(self.bench, "floor", &label, &load, queues, 0, self.progress)?;
            self.bench.stop.check()?;
            rates.push(phase.row.rate_per_s);
            driven.extend(core_rate(&phase.row));
            if let Some(recorder) = &phase.row.recorder {
                merge_into(&mut response, &recorder.response);
            }
        }
        rates.sort_by(f64::total_cmp);
        Ok(Percentiles::of(&response).map(|response| Floor {
            rate_per_s: rates[rates.len() / 2],
            response,
            repetitions: FLOOR_REPETITIONS,
            rate_min_per_s: rates[0],
            rate_max_per_s: rates[rates.len() - 1],
            core_rate_per_s: driven.into_iter().reduce(f64::max),
        }))
    }

    /// The part of the room for acknowledgements that is left for each generator of a row.
    fn acks_max(&self) -> u64 {
        let used: u64 = self.acks.iter().map(AckTable::room_used).sum();
        let left = if self.keeps_acks { ACKS_MAX.saturating_sub(used) } else { 0 };
        left / fit::<u64, _>(self.bench.cores.len().max(1))
    }

    fn load_of(&self, shape: Shape, acks_max: u64) -> Load {
        Load {
            run_id: self.common.run_id,
            seed: self.common.seed,
            topic: self.common.topic.clone(),
            group: "loadgen_producer".into(),
            mode: shape.mode,
            senders: shape.senders,
            in_flight: shape.in_flight,
            messages: self.common.messages,
            burst: self.common.burst,
            warmup: self.common.warmup,
            duration: shape.duration,
            spin: self.common.spin,
            protocol: self.common.protocol,
            serialize: self.common.serialize,
            acks_max,
        }
    }

    /// Waits until every queue of a restarted broker answers.
    ///
    /// # Errors
    /// When a queue does not answer in time, or a signal came.
    pub(crate) fn wait_until_served(&self, stop: &Stop) -> Result<()> {
        let start = Instant::now();
        for queue in &self.queues {
            loop {
                stop.check()?;
                match with_broker(queue, |caller| {
                    queue_offset(caller, &self.common.topic, queue.queue_id, false)
                }) {
                    Ok(_) => break,
                    Err(error) if start.elapsed() > START_TIMEOUT => return Err(error),
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        }
        Ok(())
    }

    /// How many messages were acknowledged so far, and how many of them lie beyond the present ends
    /// of their queues.
    ///
    /// # Errors
    /// When the broker does not answer well.
    pub(crate) fn acknowledged_and_missing(&self) -> Result<(u64, u64)> {
        let mut ends = self.starts.clone();
        self.acks.iter().for_each(|table| table.raise_ends(&mut ends));
        let mut missing = 0;
        for (queue, acknowledged) in self.queues.iter().zip(ends) {
            let end = with_broker(queue, |caller| {
                queue_offset(caller, &self.common.topic, queue.queue_id, false)
            })?;
            missing += acknowledged.saturating_sub(end);
        }
        Ok((self.acknowledged(), missing))
    }

    /// Reads back everything this run stored and judges it. Adds the row of the read.
    ///
    /// # Errors
    /// When connecting fails, or a signal came.
    pub(crate) fn consume(&mut self) -> Result<(IntegrityReport, Consumed)> {
        let ranges = self.ranges()?;
        let expected: u64 = ranges.iter().map(|range| range.to - range.from).sum();
        let tables = std::mem::take(&mut self.acks);
        let mut checker = Checker::new(self.common.run_id, tables);
        let shown =
            self.progress.phase(&format!("consume and check {expected} messages"), Duration::ZERO);
        let live = Live::default();
        let work = self.broker_work.begin();
        let consumed = self.read(ranges, &mut checker, &live, &|reading| shown.update(&reading))?;
        shown.finish();
        let mut row = Row::of_consume(
            &consumed,
            self.queues.len(),
            fit(self.common.messages.sizes.max()),
            self.common.protocol,
        );
        self.broker_work.charge(&mut row, work, consumed.messages, &self.bench.stop);
        let payload_bytes = count_f64(consumed.bytes);
        row.label = format!(
            "backlog drain, {} queues, {}",
            self.queues.len(),
            where_read(row.device_read_bytes, payload_bytes)
        );
        row.invalid.extend(consumed.incomplete.clone());
        self.rows.push(row);
        Ok((checker.finish(consumed.incomplete.clone()), consumed))
    }

    /// The read itself runs on a pinned thread; this one shows how far it is.
    fn read(
        &self,
        ranges: Vec<Range>,
        checker: &mut Checker,
        live: &Live,
        show: &dyn Fn(Reading),
    ) -> Result<Consumed> {
        let (bench, common) = (self.bench, &self.common);
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                if let Some(core) = bench.cores.first().copied().flatten() {
                    core_affinity::set_for_current(core_affinity::CoreId { id: core });
                }
                consume(
                    common.protocol,
                    &common.topic,
                    "loadgen_consumer",
                    ranges,
                    checker,
                    bench.clock,
                    live,
                    &bench.stop,
                )
            });
            while !reader.is_finished() {
                std::thread::sleep(Duration::from_millis(20));
                show(live.read());
            }
            reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The part of each queue to read: from its end before the run to its end now. Brokers build
    /// their queues after the acknowledgement, so this waits until each end has passed the highest
    /// acknowledged offset.
    fn ranges(&self) -> Result<Vec<Range>> {
        let mut ends = self.starts.clone();
        self.acks.iter().for_each(|table| table.raise_ends(&mut ends));
        let start = Instant::now();
        let mut ranges = Vec::with_capacity(self.queues.len());
        for (queue, (&from, &acknowledged)) in self.queues.iter().zip(self.starts.iter().zip(&ends))
        {
            let mut to = 0;
            while to < acknowledged {
                self.bench.stop.check()?;
                to = with_broker(queue, |caller| {
                    queue_offset(caller, &self.common.topic, queue.queue_id, false)
                })?;
                if to < acknowledged && start.elapsed() > self.visible_within {
                    // Not visible in time: what is there is read, what is not counts as lost.
                    break;
                }
                if to < acknowledged {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            ranges.push(Range { queue: queue.clone(), from, to: to.max(from) });
        }
        Ok(ranges)
    }
}

/// Messages for each second that a generator worked; `None` when it hardly did.
fn core_rate(row: &Row) -> Option<f64> {
    let worked: f64 = row.generator_busy_share.iter().sum();
    (worked > WORKED_MIN).then(|| row.rate_per_s / worked)
}

fn with_broker<T>(queue: &QueuePlan, ask: impl FnOnce(&mut Caller) -> Result<T>) -> Result<T> {
    ask(&mut Caller::connect("connect to broker", &queue.addr.to_string())?)
}
