//! Plays the table's rows: languages beside each other, some rows of each at a time; the kill last,
//! for all languages at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use super::kill::{AcrossKill, Moment};
use super::site::{Checked, Outing, Site};
use super::table::{Capability, Has, Run};
use super::toolchain::Toolchain;
use crate::cluster::{Cluster, Ending, tail};
use crate::dialogue::Verdict;
use crate::language::Language;
use crate::limits::SCENARIO_MAX;
use crate::options::Against;
use crate::process::{Interrupt, Stop};
use crate::report::{self, Outcome};

/// Rows of one language at a time. They mostly wait; but each is two programs that start.
const BESIDE: usize = 3;

/// Who plays the kill.
type Player = (Language, &'static Capability, AcrossKill, Moment);

/// What is played, and on whose servers.
#[derive(Debug)]
pub(crate) struct Play<'a> {
    pub(crate) languages: Vec<Language>,
    pub(crate) capabilities: Vec<&'static Capability>,
    pub(crate) toolchain: &'a Toolchain,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) against: Against,
}

impl Play<'_> {
    /// What the clients lack, one line each.
    pub(crate) fn left_out(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for capability in &self.capabilities {
            for &language in &self.languages {
                if let Has::No(why) = capability.has(language) {
                    lines.push(format!("{} with {} ({why})", capability.name, language.client()));
                }
            }
        }
        lines
    }

    /// Plays everything; a failure that is not the servers' under test is only printed.
    pub(crate) fn run(&self, cluster: &mut Cluster<'_>) -> Result<Vec<Outcome>, Stop> {
        let outing = Outing {
            namesrv: cluster.ports().namesrv_addr("127.0.0.1"),
            namesrv_ports: cluster.ports().namesrv,
            brokers: cluster.broker_names().into_iter().zip(cluster.broker_ports()).collect(),
            dir: cluster.dir().to_path_buf(),
        };
        let mut outcomes = self.beside_each_other(&outing)?;
        outcomes.extend(self.with_a_kill(&outing, cluster)?);
        let place = |outcome: &Outcome| {
            self.capabilities.iter().position(|row| row.name == outcome.scenario)
        };
        outcomes.sort_by_key(place);
        let dead = cluster.dead();
        if dead.is_empty() {
            return Ok(outcomes);
        }
        Err(Stop::Cannot(format!("{}\n{}", dead.join("; "), cluster.log_tails())))
    }

    /// What this language plays, with or without the kill.
    fn rows(&self, language: Language, kill: bool) -> Vec<&'static Capability> {
        let all = self.capabilities.iter().copied();
        all.filter(|row| matches!(row.run, Run::Kill(_)) == kill)
            .filter(|row| !matches!(row.has(language), Has::No(_)))
            .collect()
    }

    fn beside_each_other(&self, outing: &Outing) -> Result<Vec<Outcome>, Stop> {
        let queue = |language: &Language| {
            let mut rows = self.rows(*language, false);
            rows.reverse(); // taken from the end
            (*language, Mutex::new(rows))
        };
        let queues: Vec<_> = self.languages.iter().map(queue).collect();
        thread::scope(|scope| {
            let mut workers = Vec::new();
            for (language, rows) in &queues {
                for _ in 0..BESIDE {
                    workers.push(scope.spawn(|| self.work_off(outing, *language, rows)));
                }
            }
            let done: Result<Vec<_>, Stop> = workers.into_iter().map(joined).collect();
            Ok(done?.concat())
        })
    }

    fn work_off(
        &self,
        outing: &Outing,
        language: Language,
        rows: &Mutex<Vec<&'static Capability>>,
    ) -> Result<Vec<Outcome>, Stop> {
        let mut outcomes = Vec::new();
        // The lock is given back before the row is played.
        let next = || locked(rows).pop();
        while let Some(row) = next() {
            if let Run::Beside(check) = row.run {
                outcomes.push(self.judge(outing, language, row, check)?);
            }
        }
        Ok(outcomes)
    }

    fn with_a_kill(
        &self,
        outing: &Outing,
        cluster: &mut Cluster<'_>,
    ) -> Result<Vec<Outcome>, Stop> {
        let players = |language: &Language| {
            let rows = self.rows(*language, true).into_iter();
            let player = |row: &'static Capability| match row.run {
                Run::Kill(play) => Some((*language, row, play, Moment::default())),
                Run::Beside(_) => None,
            };
            rows.filter_map(player).collect::<Vec<_>>()
        };
        let players: Vec<Player> = self.languages.iter().flat_map(players).collect();
        if players.is_empty() {
            return Ok(Vec::new());
        }
        let back = AtomicBool::new(false);
        let player = |(language, row, play, moment): &Player| {
            self.judge(outing, *language, row, |site| play(site, moment, &back))
        };
        thread::scope(|scope| {
            let threads: Vec<_> = players.iter().map(|one| scope.spawn(|| player(one))).collect();
            let all_flow = || {
                let mut all = players.iter().zip(&threads);
                all.all(|((.., moment), thread)| moment.flows() || thread.is_finished())
            };
            let restarted = self
                .interrupt
                .wait_until(SCENARIO_MAX, all_flow)
                .and_then(|_| cluster.end_broker(Ending::Killed))
                .and_then(|()| cluster.start_broker_of(self.against));
            back.store(true, Ordering::Release);
            let played: Result<Vec<_>, Stop> = threads.into_iter().map(joined).collect();
            restarted?;
            played
        })
    }

    fn judge(
        &self,
        outing: &Outing,
        language: Language,
        row: &'static Capability,
        check: impl FnOnce(&Site<'_>) -> Checked,
    ) -> Result<Outcome, Stop> {
        let (toolchain, interrupt, scenario) = (self.toolchain, self.interrupt, row.name);
        let site = Site { outing, toolchain, interrupt, language, scenario };
        let begun = Instant::now();
        let mut verdict = Verdict::default();
        match check(&site) {
            Ok(notes) => verdict.notes = notes,
            Err(Stop::Interrupted) => return Err(Stop::Interrupted),
            Err(Stop::Cannot(why)) => match row.has(language) {
                Has::ExceptAtApache(known) if !self.against.our_broker() => {
                    verdict.failure = Some(format!("{known}: {why}"));
                    verdict.excused = true;
                }
                _ => verdict.failure = Some(format!("{why}\n{}", logs(&site))),
            },
        }
        let took = begun.elapsed();
        let outcome = Outcome { scenario, client: language.name(), verdict, took };
        report::progress(&outcome);
        Ok(outcome)
    }
}

/// The ends of a check's logs.
fn logs(site: &Site<'_>) -> String {
    let prefix = format!("{}-", site.topic());
    let entries = std::fs::read_dir(&site.outing.dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let ours = paths.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&prefix) && name.ends_with(".log")
    });
    ours.map(|path| tail(&path)).collect()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, Stop>>) -> Result<T, Stop> {
    thread.join().map_err(|_| Stop::Cannot("a thread of the runner panicked".into()))?
}
