//! One block: an echo, A B B A, an echo; a run's folder like any other.

use super::peers::{Peer, Stopped};
use super::targets::{Against, Measurement, Work};
use crate::cli::{CommonArgs, Header, Spin};
use crate::cluster::Cluster;
use crate::cores::CorePlan;
use crate::env::Environment;
use crate::env::process::{NoiseStart, process_cpu_nanos, resident_bytes};
use crate::error::{Error, Result};
use crate::messages::Sizes;
use crate::own_cluster::{BrokerWish, OwnCluster};
use crate::phase::{Bench, run_load};
use crate::plan::{Load, Mode, QueuePlan};
use crate::progress::Progress;
use crate::protocols::Protocol;
use crate::report::folder::RunFolder;
use crate::result::RunResult;
use crate::row::{Kind, Row, Steady};
use crate::runner::{self, Frame, Outcome, Setup, Shown};
use crate::schedule;
use crate::session::{FloorTarget, Session, Shape};
use crate::signals::Stop;
use crate::steady::SteadyWish;
use protocol::checked::nanos;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// What stood still a moment ago settles.
const SETTLE: Duration = Duration::from_millis(200);
/// Clients that are connected to an idle broker.
const IDLE_CLIENTS: usize = 64;
/// The echo beside the blocks.
const CALIBRATION: (usize, usize) = (64, 1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    A,
    B,
}

/// How long each part of a block is, and what spoils it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Measured time of a row.
    pub window: Duration,
    /// Time of sending before it.
    pub warmup: Duration,
    /// Measured time of an echo.
    pub calibration: Duration,
    /// How peers are warmed.
    pub steady: SteadyWish,
    /// By how much the echo may change.
    pub drift_max: f64,
    /// Share of CPU time that the host may take.
    pub steal_max: f64,
}

/// A block to be run.
pub(crate) struct Block<'a> {
    /// The measurement.
    pub of: &'a Measurement,
    /// The other broker; `None`: the echo.
    pub peer: Option<&'a Peer>,
    /// All peers that run: who is not measured stands still.
    pub peers: &'a [Peer],
    /// The load of its rows.
    pub shape: Shape,
    /// Its lengths.
    pub times: Times,
    /// The display.
    pub progress: &'a Progress,
    /// Ctrl-C.
    pub stop: &'a Stop,
    /// Where RingMQ's store is made.
    pub store_parent: &'a Path,
    /// How the peer was warmed, when it was.
    pub steady: Option<Steady>,
}

/// What the rows of a block need.
struct Field<'a> {
    block: &'a Block<'a>,
    frame: &'a Frame,
    bench: &'a Bench,
    own_pid: u32,
    echo: FloorTarget,
    calibration: FloorTarget,
    common: CommonArgs,
    cores: CorePlan,
    rows: Vec<Row>,
}

impl Block<'_> {
    /// Runs it into `out/name`. Gives the result and how the peer was warmed.
    ///
    /// # Errors
    /// When a broker can't be used, or a signal came before the first row.
    pub(crate) fn run(&self, out: &Path, name: &str) -> Result<(RunResult, Option<Steady>)> {
        let environment = Environment::collect(self.store_parent);
        let common = self.common();
        let question = format!(
            "{}: A is {:?}, B is RingMQ. {:?}, {}.",
            self.of.id,
            self.of.against,
            self.of.work,
            if self.of.sleeps { "both sides sleep at once" } else { "spin windows as they are" }
        );
        let mut frame = Frame::new(&common, &environment, self.of.id, &question);
        name.clone_into(&mut frame.name);
        let folder = RunFolder::create(out, name)?;
        folder.write_question(&frame.empty_result(), &frame.command)?;
        let mut steady = self.steady.clone();
        let noise = NoiseStart::now();
        let mut outcome =
            self.measure(&frame, common, &folder, &mut steady).unwrap_or_else(Outcome::nothing);
        outcome.spoiled = self.spoiled(&outcome.rows, noise.until_now().steal_percent);
        let result = runner::finish(frame, outcome, environment, folder, Shown::Nothing)?;
        Ok((result, steady))
    }

    /// Why the block does not count: the machine was another one at its end, or a side did nothing.
    fn spoiled(&self, rows: &[Row], steal_percent: Option<f64>) -> Vec<String> {
        let rate = |name: &str| rows.iter().find(|row| row.name == name).map(|row| row.rate_per_s);
        let mut spoiled = Vec::new();
        match (rate("echo-before"), rate("echo-after")) {
            (Some(before), Some(after)) if before > 0.0 => {
                let drift = after / before - 1.0;
                if drift.abs() > self.times.drift_max {
                    spoiled.push(format!(
                        "the echo drifted by {:+.1} % (limit {:.1} %)",
                        drift * 100.0,
                        self.times.drift_max * 100.0
                    ));
                }
            }
            _ => spoiled.push("an echo beside the block is missing".into()),
        }
        if let Some(steal) = steal_percent.filter(|it| *it > self.times.steal_max * 100.0) {
            spoiled.push(format!("{steal:.1} % of the CPU time was stolen"));
        }
        spoiled.extend(rows.iter().filter_map(says_nothing));
        spoiled
    }

    fn common(&self) -> CommonArgs {
        CommonArgs {
            size: Sizes::Fixed(1024),
            batch: 1,
            tags: 0,
            keys: 0,
            property_bytes: 0,
            queue_skew: 0.0,
            burst: 100,
            queues: 8,
            threads: 1,
            spin: if self.of.sleeps { Spin::Never } else { Spin::Auto },
            protocol: self.of.protocol,
            header: Header::Json,
            workload: None,
            out: self.store_parent.to_owned(),
            expect: Some(self.of.expectation.to_owned()),
            seed: None,
            json: true,
            no_floor: true,
        }
    }

    fn wish(&self, cores: &CorePlan) -> BrokerWish {
        let is_sync = self.of.against == Against::ApacheSync;
        BrokerWish {
            flush_disk_type: if is_sync { "SYNC_FLUSH" } else { "ASYNC_FLUSH" },
            shards: 1,
            cores: cores.broker_list(),
            more: if self.of.sleeps { vec!["idleSpinMicros=0".into()] } else { Vec::new() },
        }
    }

    fn measure(
        &self,
        frame: &Frame,
        common: CommonArgs,
        folder: &RunFolder,
        steady: &mut Option<Steady>,
    ) -> Result<Outcome> {
        let cores = CorePlan::for_quick(1, 1);
        let bench = runner::bench(&cores, self.stop);
        let store = tempfile::Builder::new()
            .prefix(".campaign-store-")
            .tempdir_in(self.store_parent)
            .map_err(Error::file("make a temporary store in", self.store_parent))?;
        let own = OwnCluster::start(&self.wish(&cores), store.path(), &folder.config(), self.stop)?;
        let mut setup = Setup::connect(&own.namesrv_addr, folder)?;
        let target = |protocol| {
            let core = cores.broker.first().copied();
            FloorTarget::start(core, protocol, self.times.calibration, &folder.config())
        };
        let (echo, calibration) = (target(self.of.protocol)?, target(Protocol::Remoting)?);
        let own_pid = own.broker_pid();
        let (block, rows) = (self, Vec::new());
        let cores_of_field = cores.clone();
        let bench = &bench;
        let mut field = Field {
            block,
            frame,
            bench,
            own_pid,
            echo,
            calibration,
            common,
            rows,
            cores: cores_of_field,
        };
        let ended = field.run(&own.namesrv_addr, &mut setup, folder, steady).err();
        let rows = std::mem::take(&mut field.rows);
        let killed = own.stop();
        let mut outcome = setup.outcome(&cores, rows, None, ended);
        outcome.notes.extend(killed);
        Ok(outcome)
    }
}

/// A row with a rate of 0, which no other can be compared with, and what its broker said.
fn says_nothing(row: &Row) -> Option<String> {
    if row.kind == Kind::Idle || row.rate_per_s > 0.0 {
        return None;
    }
    let most = row.errors.iter().max_by_key(|(_, count)| **count);
    let why = most.map_or_else(String::new, |(error, count)| format!(": {error} ({count} times)"));
    Some(format!("row {} has no message{why}", row.name))
}

impl Field<'_> {
    fn run(
        &mut self,
        own: &str,
        setup: &mut Setup,
        folder: &RunFolder,
        steady: &mut Option<Steady>,
    ) -> Result<()> {
        if let Some(peer) = self.block.peer {
            setup.add(Setup::connect(&peer.namesrv, folder)?);
            if steady.is_none() && self.block.of.work != Work::Idle {
                *steady = self.warm(peer)?;
            }
        }
        self.calibrate("echo-before")?;
        for (place, side) in [Side::A, Side::B, Side::B, Side::A].into_iter().enumerate() {
            self.row(place + 1, side, own, steady.as_ref())?;
        }
        self.calibrate("echo-after")
    }

    /// Everybody stands still but the process whose turn it is.
    fn alone(&self, pid: Option<u32>) -> Result<Vec<Stopped>> {
        let all = self.block.peers.iter().map(|peer| peer.pid).chain([self.own_pid]);
        let others = all.filter(|it| Some(*it) != pid);
        let stopped = others.map(Stopped::new).collect();
        std::thread::sleep(SETTLE);
        stopped
    }

    fn session<'s>(
        &'s self,
        cluster: &'s mut Cluster,
        topic: &str,
        warmup: Duration,
        pid: u32,
    ) -> Result<Session<'s>> {
        let topic = format!("loadgen-{:x}-{topic}", self.frame.run_id);
        let common = self.frame.session_common(&self.common, &self.cores, topic, warmup);
        let (bench, queues) = (self.bench, self.common.queues);
        let mut session = Session::begin(bench, self.block.progress, cluster, common, queues)?;
        session.set_broker_pids(vec![pid]);
        Ok(session)
    }

    fn warm(&self, peer: &Peer) -> Result<Option<Steady>> {
        let _others = self.alone(Some(peer.pid))?;
        let mut cluster = Cluster::connect(&peer.namesrv)?;
        if self.block.of.work == Work::Backlog {
            return self.warm_reads(&mut cluster, peer.pid).map(Some);
        }
        let mut session = self.session(&mut cluster, "warming", Duration::ZERO, peer.pid)?;
        session.make_steady(self.block.shape, &self.block.times.steady)?;
        Ok(session.steady().cloned())
    }

    /// Fills backlogs and reads them until the rates of reading agree: a broker that has only been
    /// sent to has not compiled what it reads with.
    fn warm_reads(&self, cluster: &mut Cluster, pid: u32) -> Result<Steady> {
        let wish = &self.block.times.steady;
        let (start, mut rates) = (Instant::now(), Vec::new());
        while !wish.agree(&rates) && start.elapsed() < wish.at_most {
            self.block.stop.check()?;
            let topic = format!("warming-{}", rates.len());
            let mut session = self.session(cluster, &topic, Duration::ZERO, pid)?;
            let label = format!("warming up, backlog {}", rates.len() + 1);
            let (rows, ended) = self.rows_of(&mut session, ("warming", &label), pid);
            ended.map_or(Ok(()), Err)?;
            rates.extend(rows.last().map(|row| row.rate_per_s));
        }
        let (is_steady, took_s) = (wish.agree(&rates), start.elapsed().as_secs_f64());
        Ok(Steady { rates_per_s: rates, took_s, is_steady })
    }

    fn row(&mut self, place: usize, side: Side, own: &str, steady: Option<&Steady>) -> Result<()> {
        let (name, label) = (format!("{place}-{side:?}"), format!("{place} of 4: {side:?}"));
        let (namesrv, pid) = match (side, self.block.peer) {
            (Side::B, _) => (own.to_owned(), self.own_pid),
            (Side::A, Some(peer)) => (peer.namesrv.clone(), peer.pid),
            (Side::A, None) => {
                let (addr, shape) = (self.echo.addr, self.block.shape);
                let row = self.echo_row(addr, (&name, &label), shape, self.block.of.protocol)?;
                self.rows.push(row);
                return Ok(());
            }
        };
        let _others = self.alone(Some(pid))?;
        let mut cluster = Cluster::connect(&namesrv)?;
        let rows = {
            let warmup = self.block.times.warmup;
            let mut session = self.session(&mut cluster, &name, warmup, pid)?;
            session.set_steady(steady.filter(|_| side == Side::A).cloned());
            self.rows_of(&mut session, (&name, &label), pid)
        };
        let (rows, ended) = rows;
        self.rows.extend(rows);
        ended.map_or(Ok(()), Err)
    }

    /// The rows that a session made, and what ended it.
    fn rows_of(
        &self,
        session: &mut Session<'_>,
        (name, label): (&str, &str),
        pid: u32,
    ) -> (Vec<Row>, Option<Error>) {
        let shape = self.block.shape;
        let done = match self.block.of.work {
            Work::Idle => self.idle(session, (name, label), pid),
            Work::Backlog => {
                session.keep_acks();
                let filled = session.load(&format!("{name}-fill"), label, shape).map(|_| ());
                filled.and_then(|()| session.consume()).map(|_| {
                    let steady = session.steady().cloned();
                    if let Some(row) = session.rows.last_mut() {
                        name.clone_into(&mut row.name);
                        row.steady = steady;
                    }
                })
            }
            Work::Closed { .. } | Work::HalfOfTheirs => {
                session.load(name, label, shape).map(|_| ())
            }
        };
        (std::mem::take(&mut session.rows), done.err())
    }

    /// Clients are connected, and nothing is asked.
    fn idle(&self, session: &mut Session<'_>, (name, label): (&str, &str), pid: u32) -> Result<()> {
        let addr = session.broker_addr().ok_or_else(|| Error::Usage("no queues".into()))?;
        let clients = (0..IDLE_CLIENTS)
            .map(|_| TcpStream::connect(addr).map_err(Error::peer("connect to broker", addr)));
        let _clients = clients.collect::<Result<Vec<TcpStream>>>()?;
        std::thread::sleep(SETTLE);
        let (start, before) = (Instant::now(), process_cpu_nanos(pid));
        while start.elapsed() < self.block.times.window {
            self.block.stop.check()?;
            std::thread::sleep(Duration::from_millis(20));
        }
        let used = before.zip(process_cpu_nanos(pid)).map(|(from, to)| to.saturating_sub(from));
        let elapsed = start.elapsed();
        session.rows.push(Row {
            name: name.to_owned(),
            label: format!("{label}, {IDLE_CLIENTS} clients, nothing to do"),
            kind: Kind::Idle,
            senders: IDLE_CLIENTS,
            seconds: elapsed.as_secs_f64(),
            idle_cpu_share: used.map(|used| used as f64 / nanos(elapsed) as f64),
            broker_resident_bytes: resident_bytes(pid),
            ..Row::default()
        });
        Ok(())
    }

    fn calibrate(&mut self, name: &str) -> Result<()> {
        let (senders, in_flight) = CALIBRATION;
        let duration = self.block.times.calibration;
        let shape = Shape { senders, in_flight, mode: Mode::Closed, duration };
        let label = format!("{name}, {senders}×{in_flight}");
        let row =
            self.echo_row(self.calibration.addr, (name, &label), shape, Protocol::Remoting)?;
        self.rows.push(row);
        Ok(())
    }

    fn echo_row(
        &self,
        addr: SocketAddr,
        (name, label): (&str, &str),
        shape: Shape,
        protocol: Protocol,
    ) -> Result<Row> {
        let _all = self.alone(None)?;
        let load = Load {
            run_id: self.frame.run_id,
            seed: self.frame.seed,
            topic: "echo".into(),
            group: "loadgen_producer".into(),
            mode: shape.mode,
            senders: shape.senders,
            in_flight: shape.in_flight,
            messages: self.common.messages(),
            warmup: self.block.times.warmup.min(shape.duration),
            duration: shape.duration,
            spin: self.cores.spins(self.common.spin),
            protocol,
            ..Load::default()
        };
        let queue = QueuePlan { index: 0, broker: "echo".into(), addr, queue_id: 0 };
        let phase = run_load(self.bench, name, label, &load, &[queue], 0, self.block.progress)?;
        self.block.stop.check()?;
        Ok(phase.row)
    }
}

/// The load of a measurement's rows; `None` when what it follows from is not measured.
pub(crate) fn shape_of(of: &Measurement, window: Duration, theirs: Option<f64>) -> Option<Shape> {
    let closed =
        |senders, in_flight| Shape { senders, in_flight, mode: Mode::Closed, duration: window };
    match of.work {
        Work::Closed { senders, in_flight } => Some(closed(senders, in_flight)),
        Work::Backlog | Work::Idle => Some(closed(16, 8)),
        Work::HalfOfTheirs => {
            let rate = (theirs? / 2.0).round().max(1.0);
            let mode = Mode::Open { rate, shape: schedule::Shape::Constant };
            Some(Shape { senders: 16, in_flight: 0, mode, duration: window })
        }
    }
}
