//! The result of a run, as written to `result.json` and shown.

use crate::env::{BrokerFacts, Environment};
use crate::integrity::IntegrityReport;
use crate::matrix::costs::Matrix;
use crate::row::{Kind, Row};
use serde::{Deserialize, Serialize};

/// Version of the shape of `result.json`. Files of version 1 are read too.
pub const SCHEMA: u32 = 2;

/// The whole result. Fields that a file of schema 1 has not are empty when it is read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunResult {
    /// Version of this file's shape.
    pub schema: u32,
    /// Seed of the schedules and payloads: `--seed` repeats them.
    pub seed: u64,
    /// Folder name.
    pub name: String,
    /// `quick` or what `run` was asked for.
    pub workload: String,
    /// Product, version and durability of the brokers.
    pub target: String,
    /// Durability level, as printed on every chart.
    pub durability: String,
    /// Revision that the program was built from.
    pub revision: Option<String>,
    /// The exact command.
    pub command: String,
    /// Cores of generators and of the program's own broker.
    pub cores: Cores,
    /// The brokers with their configuration.
    pub brokers: Vec<BrokerFacts>,
    /// When the run began, RFC 3339 in UTC.
    pub started: String,
    /// The question the run answers.
    pub question: String,
    /// The expectation, written before the run.
    pub expectation: Option<String>,
    /// The answer in a sentence, of the commands that look for one.
    pub answer: Option<String>,
    /// The rows.
    pub rows: Vec<Row>,
    /// The costs, of a matrix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matrix: Option<Matrix>,
    /// The verdict on the messages; `None` when they were not read back.
    pub integrity: Option<IntegrityReport>,
    /// What ended the run before it was done, if something did.
    pub ended_early: Option<String>,
    /// Why the run as a whole is not valid; empty when it is.
    pub invalid: Vec<String>,
    /// Notes for the reader.
    pub notes: Vec<String>,
}

/// Who ran where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cores {
    /// Core of each generator thread; `None`: the scheduler's choice.
    pub generators: Vec<Option<usize>>,
    /// Cores of the program's own broker, or of the floor's target.
    pub broker: Vec<usize>,
}

impl RunResult {
    /// Fills in `invalid`. A run is invalid if it ended early, if the integrity check failed, or
    /// if no row of load is valid.
    pub fn judge(&mut self) {
        if let Some(why) = &self.ended_early {
            self.invalid.push(format!("ended early: {why}"));
        }
        if let Some(integrity) = self.integrity.as_ref().filter(|integrity| !integrity.holds()) {
            self.invalid.push(format!("integrity check failed: {}", integrity.sentence()));
        }
        let is_idle = self.rows.iter().any(|row| row.kind == Kind::Idle);
        let mut loads = self.rows.iter().filter(|row| row.kind.is_load()).peekable();
        if (loads.peek().is_none() && !is_idle) || loads.all(|row| !row.invalid.is_empty()) {
            self.invalid.push("no row of load is valid".into());
        }
    }

    /// What stands on every chart: the durability level, and "loopback" where no network was
    /// between.
    #[must_use]
    pub fn promise(&self) -> String {
        let is_loopback = |broker: &BrokerFacts| {
            broker.addr.parse::<std::net::SocketAddr>().is_ok_and(|addr| addr.ip().is_loopback())
        };
        let local = !self.brokers.is_empty() && self.brokers.iter().all(is_loopback);
        format!("{}{}", self.durability, if local { " · loopback" } else { "" })
    }

    /// Whether the run is published without `.FAIL`.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.invalid.is_empty()
    }

    /// Whether the integrity check ran and failed.
    #[must_use]
    pub fn integrity_failed(&self) -> bool {
        self.integrity.as_ref().is_some_and(|integrity| !integrity.holds())
    }

    /// The row whose histograms are `response.hgrm` and `service.hgrm`: the valid open loop if
    /// there is one, else the last closed loop (a missed schedule should not lead).
    #[must_use]
    pub fn headline(&self) -> Option<&Row> {
        let with_times = || self.rows.iter().filter(|row| row.recorder.is_some());
        let open = with_times().find(|row| row.kind == Kind::Open && row.invalid.is_empty());
        open.or_else(|| with_times().rfind(|row| row.kind == Kind::Closed))
            .or_else(|| with_times().next())
    }
}

/// The durability level of brokers, once if all agree.
#[must_use]
pub fn durability_of(brokers: &[BrokerFacts]) -> String {
    let mut levels: Vec<String> = brokers.iter().map(BrokerFacts::durability).collect();
    levels.sort_unstable();
    levels.dedup();
    if levels.is_empty() { "unknown durability".into() } else { levels.join(" + ") }
}

/// Product and version of brokers, as far as they tell.
#[must_use]
pub fn target_of(brokers: &[BrokerFacts]) -> String {
    let mut versions: Vec<String> = brokers
        .iter()
        .map(|broker| broker.version.clone().unwrap_or_else(|| "unknown version".into()))
        .collect();
    versions.sort_unstable();
    versions.dedup();
    format!(
        "{} broker{} ({})",
        brokers.len(),
        if brokers.len() == 1 { "" } else { "s" },
        versions.join(", ")
    )
}

/// Warnings about the environment of the measurement.
#[must_use]
pub fn environment_notes(environment: &Environment) -> Vec<String> {
    let mut notes = Vec::new();
    if environment.debug_build {
        notes
            .push("debug build: the figures measure the compiler's laziness; use --release".into());
    }
    if environment.cpu.governor.as_deref().is_some_and(|governor| governor != "performance") {
        notes.push("CPU governor is not `performance`".into());
    }
    if environment.cpu.virtual_machine == Some(true) {
        notes.push(
            "virtual machine: tails may be the hypervisor's; quote medians and ratios".into(),
        );
    }
    if environment.store.o_direct == Some(false) {
        let filesystem = environment.store.filesystem.as_deref().unwrap_or("this filesystem");
        notes.push(format!(
            "{filesystem} at {} refuses O_DIRECT: the store goes through the page \
            cache (move it with --dir)",
            environment.store.folder
        ));
    }
    let steal = environment.noise.as_ref().and_then(|noise| noise.steal_percent);
    if let Some(steal) = steal.filter(|steal| *steal > 0.1) {
        notes.push(format!(
            "{steal:.1} % of CPU time was stolen by other machines (publish only below 0.1 %)"
        ));
    }
    notes
}
