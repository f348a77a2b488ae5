//! The parts that `quick` and `run` share: naming the run, setting up, judging, writing, showing.

use crate::cli::{CommonArgs, Header};
use crate::clock::Clock;
use crate::cluster::{Cluster, facts, properties};
use crate::cores::CorePlan;
use crate::env::process::{NoiseStart, other_loadgens};
use crate::env::{BrokerFacts, Environment};
use crate::error::{Error, Result};
use crate::integrity::IntegrityReport;
use crate::limits::REQUEST_TIMEOUT;
use crate::matrix::costs::Matrix;
use crate::native_wire::greet;
use crate::phase::Bench;
use crate::progress::note;
use crate::protocols::Protocol;
use crate::report::folder::RunFolder;
use crate::result::{Cores, RunResult, SCHEMA, durability_of, environment_notes, target_of};
use crate::row::Row;
use crate::session::{Common, FloorTarget};
use crate::signals::Stop;
use protocol::checked::fit;
use protocol::native::Durability;
use protocol::remoting::SerializeType;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Shortest and longest window of a floor: it is steady after a second.
const FLOOR_SECONDS: (f64, f64) = (0.3, 1.5);

/// A clock that was set by less was corrected, not set.
const STEP_MS_MAX: i64 = 200;

/// A run's name, question and command, known before it starts.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Folder name.
    pub name: String,
    /// Marks the run's messages.
    pub run_id: u64,
    /// Seed of the schedules and payloads.
    pub seed: u64,
    /// The command line as typed.
    pub command: String,
    workload: String,
    question: String,
    expectation: Option<String>,
    started: String,
    noise: NoiseStart,
    clock: Clock,
}

impl Frame {
    /// Names a run `<date>-<host>-<revision>-<workload>`.
    #[must_use]
    pub(crate) fn new(
        args: &CommonArgs,
        environment: &Environment,
        workload: &str,
        question: &str,
    ) -> Self {
        let now = SystemTime::now();
        let started = humantime::format_rfc3339_seconds(now).to_string();
        let stamp: String = started.chars().filter(|c| c.is_ascii_digit()).collect();
        let (date, time) = stamp.split_at(8.min(stamp.len()));
        let word = |text: Option<&str>, other: &str| -> String {
            let text = text.unwrap_or(other);
            text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
        };
        let host = word(environment.host.as_deref(), "host");
        let revision =
            word(environment.revision.as_deref(), &format!("v{}", env!("CARGO_PKG_VERSION")));
        let nanos = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let run_id = fit::<u64, _>(nanos & u128::from(u64::MAX >> 16))
            ^ u64::from(std::process::id()).rotate_left(32);
        Self {
            name: format!("{date}T{time}-{host}-{revision}-{}", word_dashed(workload)),
            run_id: run_id & (u64::MAX >> 16),
            // 32 bits: short to type, and exact in every reader of JSON.
            seed: args.seed.unwrap_or_else(|| u64::from(fastrand::u32(..))),
            command: environment
                .command
                .iter()
                .map(|word| quoted(word))
                .collect::<Vec<_>>()
                .join(" "),
            workload: workload.into(),
            question: question.into(),
            expectation: args.expect.clone(),
            started,
            noise: NoiseStart::now(),
            clock: Clock::start(),
        }
    }

    /// What disturbed the run: a clock that was set, another loadgen.
    fn disturbances(&self) -> Vec<String> {
        let mut found = Vec::new();
        let stepped_ms = self.clock.stepped_ms();
        if stepped_ms.abs() > STEP_MS_MAX {
            found.push(format!(
                "the wall clock was set by {:+.1} s during the run: no response time has it in it, \
                 but ages from timestamps (B2C, S2C) may",
                stepped_ms as f64 / 1_000.0
            ));
        }
        let others = other_loadgens();
        if !others.is_empty() {
            let pids: Vec<String> = others.iter().map(u32::to_string).collect();
            found.push(format!(
                "another loadgen ran on this host (process {}): both measure each other",
                pids.join(", ")
            ));
        }
        found
    }

    /// The result before anything is known.
    #[must_use]
    pub(crate) fn empty_result(&self) -> RunResult {
        RunResult {
            schema: SCHEMA,
            revision: crate::build_facts::REVISION.map(str::to_owned),
            command: self.command.clone(),
            seed: self.seed,
            name: self.name.clone(),
            workload: self.workload.clone(),
            started: self.started.clone(),
            question: self.question.clone(),
            expectation: self.expectation.clone(),
            ..RunResult::default()
        }
    }

    /// What all loads of the run share.
    #[must_use]
    pub(crate) fn session_common(
        &self,
        args: &CommonArgs,
        cores: &CorePlan,
        topic: String,
        warmup: Duration,
    ) -> Common {
        let serialize = match args.header {
            Header::Json => SerializeType::Json,
            Header::Binary => SerializeType::RocketMq,
        };
        Common {
            run_id: self.run_id,
            seed: self.seed,
            topic,
            messages: args.messages(),
            burst: args.burst,
            spin: cores.spins(args.spin),
            protocol: args.protocol,
            serialize,
            warmup,
        }
    }
}

/// A word as a shell would take it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn word_dashed(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

/// Clock, signal flag and cores for the phases.
#[must_use]
pub(crate) fn bench(cores: &CorePlan, stop: &Stop) -> Bench {
    Bench { clock: Clock::start(), stop: stop.clone(), cores: cores.generators.clone() }
}

/// The no-op target on the broker's first core.
///
/// # Errors
/// When it can't be started.
pub(crate) fn floor(
    cores: &CorePlan,
    protocol: Protocol,
    duration: Duration,
    log_folder: &Path,
) -> Result<FloorTarget> {
    let seconds = (duration.as_secs_f64() / 3.0).clamp(FLOOR_SECONDS.0, FLOOR_SECONDS.1);
    FloorTarget::start(
        cores.broker.first().copied(),
        protocol,
        Duration::from_secs_f64(seconds),
        log_folder,
    )
}

/// The cluster and the facts about its brokers.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The cluster.
    pub cluster: Cluster,
    brokers: Vec<BrokerFacts>,
}

impl Setup {
    /// Connects, and keeps each broker's configuration in the run's folder.
    ///
    /// # Errors
    /// When no name server answers.
    pub(crate) fn connect(namesrv: &str, folder: &RunFolder) -> Result<Self> {
        let mut cluster = Cluster::connect(namesrv)?;
        let mut brokers = Vec::new();
        for broker in cluster.brokers()? {
            let (facts, config) = facts(&broker);
            if let Some(config) = config {
                folder.write(
                    &format!("config/{}-running.properties", broker.name),
                    config.as_bytes(),
                )?;
            }
            brokers.push(facts);
        }
        Ok(Self { cluster, brokers })
    }

    /// The durability level of the brokers.
    #[must_use]
    pub(crate) fn durability(&self) -> String {
        durability_of(&self.brokers)
    }

    /// Adds the brokers of another cluster.
    pub(crate) fn add(&mut self, other: Self) {
        self.brokers.extend(other.brokers);
    }

    /// Fills in facts that the program's own brokers do not tell, from the configuration that
    /// started them.
    pub(crate) fn know_own(&mut self, version: &str, config: &str) {
        know_own(&mut self.brokers, version, config);
    }

    /// Refuses a SYNC_MASTER that waits for nobody, as far as its configuration is known.
    ///
    /// # Errors
    /// When `inSyncReplicas` is 1, Apache 5.5.0's default; the error says the fix.
    pub(crate) fn refuse_waiting_for_nobody(&self, is_sync: bool) -> Result<()> {
        match waits_for_nobody(&self.brokers).filter(|_| is_sync) {
            None => Ok(()),
            Some(broker) => Err(Error::Usage(format!(
                "{} at {} has inSyncReplicas=1 (Apache 5.5.0's default): a send waits for no \
                 slave, and sync replication would seem to cost nothing. Set it to 2",
                broker.name, broker.addr
            ))),
        }
    }

    /// Fills in the durability from the native Welcome, for brokers that do not tell it over
    /// remoting.
    ///
    /// # Errors
    /// When a broker does not speak the native protocol, which the load needs too.
    pub(crate) fn ask_native(&mut self) -> Result<()> {
        for broker in &mut self.brokers {
            let Ok(addr) = broker.addr.parse() else { continue };
            let mut stream = TcpStream::connect_timeout(&addr, REQUEST_TIMEOUT)
                .map_err(Error::peer("connect to broker", addr))?;
            let durability = greet(&mut stream, addr)?.durability;
            broker.flush_disk_type.get_or_insert_with(|| acknowledged_from(durability).to_owned());
        }
        Ok(())
    }

    /// The outcome of the measurements: all of them, or those before `ended`.
    #[must_use]
    pub(crate) fn outcome(
        self,
        cores: &CorePlan,
        rows: Vec<Row>,
        integrity: Option<IntegrityReport>,
        ended: Option<Error>,
    ) -> Outcome {
        let cores = Cores { generators: cores.generators.clone(), broker: cores.broker.clone() };
        let (brokers, answer, notes) = (self.brokers, None, Vec::new());
        let (spoiled, matrix) = (Vec::new(), None);
        Outcome { rows, integrity, brokers, answer, matrix, cores, notes, spoiled, ended }
    }
}

/// A broker whose sends wait for no slave, whatever its role.
fn waits_for_nobody(brokers: &[BrokerFacts]) -> Option<&BrokerFacts> {
    brokers.iter().find(|broker| broker.config.get("inSyncReplicas").is_some_and(|it| it == "1"))
}

/// The flush policy that a Welcome's durability stands for.
fn acknowledged_from(durability: u8) -> &'static str {
    const FLUSHED: u8 = Durability::Flushed as u8;
    const WRITTEN: u8 = Durability::Written as u8;
    match durability {
        FLUSHED => "SYNC_FLUSH",
        WRITTEN => "ASYNC_FLUSH (from the page cache)",
        _ => "ASYNC_FLUSH",
    }
}

fn know_own(brokers: &mut [BrokerFacts], version: &str, config: &str) {
    let value = |key: &str| {
        config
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(str::to_owned)
    };
    for broker in brokers {
        broker.version.get_or_insert_with(|| version.to_owned());
        broker.flush_disk_type = broker.flush_disk_type.take().or_else(|| value("flushDiskType"));
        broker.broker_role = broker.broker_role.take().or_else(|| value("brokerRole"));
        broker
            .config_crc32
            .get_or_insert_with(|| format!("{:08x}", crc32fast::hash(config.as_bytes())));
        if broker.config.is_empty() {
            broker.config = properties(config);
        }
    }
}

/// The measurements of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The rows.
    pub rows: Vec<Row>,
    /// The verdict on the messages, if they were read back.
    pub integrity: Option<IntegrityReport>,
    /// The brokers' facts.
    pub brokers: Vec<BrokerFacts>,
    /// The answer in a sentence, of the commands that look for one.
    pub answer: Option<String>,
    /// The costs of a matrix.
    pub matrix: Option<Matrix>,
    /// Who ran where.
    pub cores: Cores,
    /// Notes for the reader.
    pub notes: Vec<String>,
    /// Why it does not count although it ended well.
    pub spoiled: Vec<String>,
    /// What ended the run before it was done.
    pub ended: Option<Error>,
}

impl Outcome {
    /// The outcome of a run that ended before it measured anything.
    #[must_use]
    pub(crate) fn nothing(why: Error) -> Self {
        let (rows, brokers, notes) = (Vec::new(), Vec::new(), Vec::new());
        let (cores, answer) = (Cores::default(), None);
        let (integrity, matrix, spoiled, ended) = (None, None, Vec::new(), Some(why));
        Self { rows, integrity, brokers, answer, matrix, cores, notes, spoiled, ended }
    }
}

/// Judges, writes the folder, shows the result and gives it back. A run that ended early keeps its
/// rows.
///
/// # Errors
/// When something can't be written, or when the run ended before its first row.
pub(crate) fn finish(
    frame: Frame,
    outcome: Outcome,
    mut environment: Environment,
    folder: RunFolder,
    shown: Shown,
) -> Result<RunResult> {
    environment.noise = Some(frame.noise.until_now());
    environment.brokers = outcome.brokers;
    let mut result = frame.empty_result();
    result.brokers = environment.brokers.clone();
    result.cores = outcome.cores;
    result.answer = outcome.answer;
    result.matrix = outcome.matrix;
    result.target = target_of(&environment.brokers);
    result.durability = durability_of(&environment.brokers);
    result.rows = outcome.rows;
    result.integrity = outcome.integrity;
    result.notes = outcome.notes;
    result.notes.extend(environment_notes(&environment));
    result.notes.extend(frame.disturbances());
    result.ended_early = outcome.ended.as_ref().map(Error::to_string);
    result.judge();
    result.invalid.extend(outcome.spoiled);
    let kept = folder.path().to_owned();
    let finished = folder.finish(&mut result, &environment, &frame.command);
    if finished.is_err() {
        // What was measured is shown at least: the folder may be on a full disk.
        result.invalid.push("its folder is not whole".into());
        show(&result, &kept, shown)?;
    }
    let folder = finished?;
    if let Some(why) = outcome.ended {
        let kept = folder.display();
        note(&format!("loadgen: ended early, {} rows kept: {kept}", result.rows.len()));
        if result.rows.is_empty() {
            return Err(why);
        }
        note(&format!("loadgen: {why}"));
    }
    show(&result, &folder, shown)?;
    Ok(result)
}

/// What a run prints at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// The table.
    Table,
    /// `result.json`.
    Json,
    /// Nothing: the caller prints what it made of the rows.
    Nothing,
}

impl Shown {
    /// What the arguments ask for.
    #[must_use]
    pub(crate) fn of(args: &CommonArgs) -> Self {
        if args.json { Self::Json } else { Self::Table }
    }
}

fn show(result: &RunResult, folder: &Path, shown: Shown) -> Result<()> {
    let text = match shown {
        Shown::Json => {
            String::from_utf8_lossy(&crate::report::folder::pretty(result)?).into_owned()
        }
        Shown::Table => format!(
            "{}\n{}",
            crate::report::narrow::summary_for_terminal(result),
            folder.join("report.html").display()
        ),
        Shown::Nothing => {
            note(&folder.join("report.html").display().to_string());
            return Ok(());
        }
    };
    // The result lies in its folder: nobody reading it here is no failure.
    let _nobody_reads = writeln!(std::io::stdout(), "{text}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted_back() {
        assert_eq!(quoted("--namesrv"), "--namesrv");
        assert_eq!(quoted("a:1;b:2"), "'a:1;b:2'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn a_sync_master_that_waits_for_nobody_is_known_by_its_replicas() {
        let with = |replicas: &str| BrokerFacts {
            config: properties(&format!("brokerRole=SYNC_MASTER\ninSyncReplicas={replicas}\n")),
            ..BrokerFacts::default()
        };
        assert!(waits_for_nobody(&[with("2"), with("1")]).is_some());
        assert!(waits_for_nobody(&[with("2"), BrokerFacts::default()]).is_none());
    }

    #[test]
    fn what_a_broker_does_not_say_comes_from_its_configuration() {
        let mut setup_brokers =
            vec![BrokerFacts { broker_role: Some("SYNC_MASTER".into()), ..BrokerFacts::default() }];
        know_own(
            &mut setup_brokers,
            "RingMQ 1",
            "flushDiskType=ASYNC_FLUSH\nbrokerRole=ASYNC_MASTER\nflushDiskType=SYNC_FLUSH\n",
        );
        assert_eq!(
            setup_brokers[0].durability(),
            "SYNC_FLUSH, SYNC_MASTER",
            "the last line counts, what it says itself counts more"
        );
        assert_eq!(setup_brokers[0].version.as_deref(), Some("RingMQ 1"));
    }
}
