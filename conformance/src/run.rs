//! The whole suite: build, start, run each scenario with each client, report, end everything.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Instant;

use crate::artifacts::Artifacts;
use crate::cluster::{Cluster, tail};
use crate::dialogue::{self, Verdict};
use crate::language::Language;
use crate::languages::{self, CAPABILITIES, Capability, Play, Toolchain};
use crate::limits::PORTS_BACK_MAX;
use crate::options::{Against, Options};
use crate::ports::Ports;
use crate::prerequisites;
use crate::process::{Interrupt, Stop};
use crate::report::{self, Outcome};
use crate::requests::Asked;
use crate::seed;
use crate::suite::{self, Clients, LeftOut, Scenario, Stage};
use crate::target::{Config, JVM_QUICK, Target};

/// Runs what the options ask for; true when every scenario passed.
pub(crate) fn run(options: &Options) -> Result<bool, Stop> {
    let interrupt = Interrupt::install()?;
    let plan = Plan::from(options)?;
    let artifacts = build(options, &plan)?;
    let toolchain = Toolchain::new(&artifacts);
    plan.languages.iter().try_for_each(|&language| toolchain.build(language))?;
    let mut folder = tempfile::Builder::new()
        .prefix("conformance-")
        .tempdir()
        .map_err(Stop::while_doing("creating a temporary folder"))?;
    if options.keep {
        folder.disable_cleanup(true);
        println!("logs and stores: {}", folder.path().display());
    }
    let mut suite = Suite {
        against: options.against,
        shards: options.shards,
        artifacts: &artifacts,
        dir: folder.path(),
        interrupt: interrupt.clone(),
        shared: None,
        started: 0,
    };
    plan.tell(options);
    let begun = Instant::now();
    let outcomes = suite.run(&plan.scenarios, plan.clients)?;
    let play = Play {
        languages: plan.languages,
        capabilities: plan.capabilities,
        toolchain: &toolchain,
        interrupt: &interrupt,
        against: options.against,
    };
    let others = suite.run_languages(&play)?;
    drop(suite);
    report::table(&outcomes, plan.clients);
    let names: Vec<&str> = play.languages.iter().map(|language| language.name()).collect();
    report::table(&others, &names);
    Ok(report::count(&[outcomes, others].concat(), begun.elapsed()))
}

/// What is played, and by whom.
struct Plan {
    scenarios: Vec<Scenario>,
    left_out: Vec<LeftOut>,
    /// Versions of the Java client.
    clients: &'static [&'static str],
    languages: Vec<Language>,
    capabilities: Vec<&'static Capability>,
}

impl Plan {
    /// What the options ask for, as far as this machine has what it needs.
    fn from(options: &Options) -> Result<Self, Stop> {
        let names: Vec<&str> = languages::names().map(|(name, _)| name).collect();
        let (mut scenarios, mut left_out) =
            suite::choose(&options.only, options.against, options.shards, &names)
                .map_err(Stop::Cannot)?;
        suite::leave_out(&options.not, &mut scenarios, &names).map_err(Stop::Cannot)?;
        let clients = options.client.versions();
        if clients.is_empty() {
            (scenarios, left_out) = (Vec::new(), Vec::new());
        }
        let scenarios = options.part.of(scenarios);
        let wanted = |name: &str| {
            let is_named = |names: &[String]| names.iter().any(|n| n == name);
            !is_named(&options.not) && (options.only.is_empty() || is_named(&options.only))
        };
        let capabilities: Vec<_> = CAPABILITIES.iter().filter(|row| wanted(row.name)).collect();
        let mut plan = Self { scenarios, left_out, clients, languages: Vec::new(), capabilities };
        let mut missing = Vec::new();
        if plan.needs_java(options) {
            missing = prerequisites::missing_for_java();
        }
        let all = if plan.capabilities.is_empty() { &[] } else { options.client.languages() };
        for &language in options.part.of(all) {
            let lacks = languages::missing(language);
            match lacks.first() {
                Some((program, _)) if options.skip_missing => {
                    println!("SKIPPED {} (no {program})", language.name());
                }
                Some(_) => missing.extend(lacks),
                None => plan.languages.push(language),
            }
        }
        prerequisites::none(&missing)?;
        if plan.scenarios.is_empty() && all.is_empty() {
            return Err(Stop::Cannot("--client and --only leave nothing to play".into()));
        }
        Ok(plan)
    }

    fn needs_java(&self, options: &Options) -> bool {
        !self.scenarios.is_empty() || self.needs_apache(options)
    }

    fn needs_apache(&self, options: &Options) -> bool {
        !options.against.our_broker() || self.scenarios.iter().any(Scenario::needs_apache)
    }

    fn tell(&self, options: &Options) {
        let others = self.languages.iter().map(|language| language.client());
        let java = self.clients.iter().filter(|_| !self.scenarios.is_empty()).copied();
        let clients: Vec<&str> = java.chain(others).collect();
        let against = options.against.name();
        println!("against {against}, shards {}, clients {}", options.shards, clients.join(", "));
        report::left_out(&self.left_out);
    }
}

fn build(options: &Options, plan: &Plan) -> Result<Artifacts, Stop> {
    let artifacts = Artifacts::locate(options.bin_dir.as_deref())?;
    if !plan.scenarios.is_empty() {
        plan.clients.iter().try_for_each(|client| artifacts.build_programs(client))?;
    }
    if plan.needs_apache(options) {
        artifacts.fetch_apache()?;
    }
    if options.against.our_namesrv() && options.bin_dir.is_none() {
        artifacts.build_ringmq(options.against.our_broker())?;
    }
    Ok(artifacts)
}

/// A JVM with one client's class path, up to but without its main class.
pub(crate) fn java_program(artifacts: &Artifacts, client: &str, home: &Path) -> Command {
    let mut command = Command::new("java");
    command
        .args(JVM_QUICK)
        .arg("-Xmx128m")
        .arg(format!("-Duser.home={}", home.display()))
        .args(["-cp", &artifacts.client_classpath(client)]);
    command
}

struct Suite<'a> {
    against: Against,
    shards: u16,
    artifacts: &'a Artifacts,
    dir: &'a Path,
    interrupt: Interrupt,
    /// Reused as long as scenarios leave it whole.
    shared: Option<Cluster<'a>>,
    /// Clusters so far: each has a folder of its own.
    started: usize,
}

impl<'a> Suite<'a> {
    fn run(
        &mut self,
        scenarios: &[Scenario],
        clients: &'static [&'static str],
    ) -> Result<Vec<Outcome>, Stop> {
        let mut outcomes = Vec::new();
        for scenario in scenarios {
            let (clients, at_once) = match scenario.clients {
                Clients::Together => (clients, clients.len()),
                Clients::InTurn => (clients, 1),
                Clients::Newest => (&clients[clients.len() - 1..], 1),
            };
            for clients in clients.chunks(at_once) {
                outcomes.extend(self.stage_and_play(scenario, clients)?);
            }
        }
        Ok(outcomes)
    }

    /// The other languages, on the cluster that is there or on a fresh one.
    fn run_languages(&mut self, play: &Play<'_>) -> Result<Vec<Outcome>, Stop> {
        if play.languages.is_empty() {
            return Ok(Vec::new());
        }
        play.left_out().iter().for_each(|line| println!("left out: {line}"));
        let mut cluster = self.stage(Stage::Shared)?;
        play.run(&mut cluster)
    }

    fn stage_and_play(
        &mut self,
        scenario: &Scenario,
        clients: &'static [&'static str],
    ) -> Result<Vec<Outcome>, Stop> {
        let begun = Instant::now();
        let verdicts = match self.stage(scenario.stage) {
            Err(Stop::Interrupted) => return Err(Stop::Interrupted),
            Err(Stop::Cannot(why)) => {
                vec![Verdict { failure: Some(why), ..Verdict::default() }; clients.len()]
            }
            Ok(cluster) => self.play(scenario, clients, cluster)?,
        };
        let took = begun.elapsed();
        let outcome =
            |(&client, verdict)| Outcome { scenario: scenario.name, client, verdict, took };
        let outcomes: Vec<Outcome> = clients.iter().zip(verdicts).map(outcome).collect();
        outcomes.iter().for_each(report::progress);
        Ok(outcomes)
    }

    /// The cluster a scenario runs on.
    fn stage(&mut self, stage: Stage) -> Result<Cluster<'a>, Stop> {
        if stage.is_shared()
            && let Some(cluster) = self.shared.take()
        {
            return Ok(cluster);
        }
        self.shared = None; // two JVM clusters at a time are too much for a small machine
        let (ports, config) = match stage {
            Stage::Shared | Stage::SharedOurs | Stage::SharedTwo => {
                (Ports::free()?, Config::Generated { shards: self.shards })
            }
            Stage::Seed => (Ports::SEED, Config::Seed),
            Stage::DropIn | Stage::Visited => (Ports::free()?, Config::SmallFiles),
            Stage::Lite => (Ports::free()?, Config::Lite),
        };
        // The kernel gives a killed process's ports back a moment after it has gone, the more so
        // with io_uring.
        self.interrupt.wait_until(PORTS_BACK_MAX, || ports.taken(1).is_none())?;
        if let Some(port) = ports.taken(1) {
            return Err(Stop::Cannot(format!(
                "port {port} is taken: the seed's programs name 9876 and 9877, its broker 10911"
            )));
        }
        self.started += 1;
        let dir = self.dir.join(format!("cluster-{}", self.started));
        let against = match (stage, self.against) {
            (Stage::DropIn | Stage::Visited, Against::Ringmq) => Against::RingmqNamesrv,
            (_, against) => against,
        };
        let target = Target { against, artifacts: self.artifacts, dir, serialize: None };
        Cluster::start(target, ports, config, &self.interrupt)
    }

    /// Runs the scenario with these clients; a cluster that came through it whole is kept for the
    /// next one.
    fn play(
        &mut self,
        scenario: &Scenario,
        clients: &[&str],
        mut cluster: Cluster<'a>,
    ) -> Result<Vec<Verdict>, Stop> {
        let mut verdicts = match clients {
            [client] => vec![self.alone(scenario, client, &mut cluster)?],
            several => self.side_by_side(scenario, several, &cluster)?,
        };
        let dead = cluster.dead().join("; ");
        let mut whole = true;
        for (client, verdict) in clients.iter().zip(&mut verdicts) {
            if !dead.is_empty() {
                verdict.failure =
                    Some(format!("{} {dead}", verdict.failure.as_deref().unwrap_or("")));
            }
            if let Some(why) = &mut verdict.failure {
                whole = false;
                let log = cluster.dir().join(format!("{}.log", run_name(scenario, client)));
                why.push_str(&format!("\n{}{}", tail(&log), cluster.log_tails()));
            }
        }
        if whole && scenario.stage.is_shared() {
            self.shared = Some(cluster);
        }
        Ok(verdicts)
    }

    fn alone(
        &self,
        scenario: &Scenario,
        client: &str,
        cluster: &mut Cluster<'a>,
    ) -> Result<Verdict, Stop> {
        let dir = cluster.dir().to_path_buf();
        let name = run_name(scenario, client);
        if scenario.stage == Stage::Seed {
            return seed::run(
                || java_program(self.artifacts, client, &dir),
                &name,
                &dir,
                &self.interrupt,
            );
        }
        let command = self.command(scenario, client, cluster);
        dialogue::hold(command, &name, &dir, &self.interrupt, |what, pid| {
            let asked = self.asked(what, pid, &name);
            asked.of_servers(cluster).unwrap_or_else(|| asked.of_others(cluster))
        })
    }

    fn side_by_side(
        &self,
        scenario: &Scenario,
        clients: &[&str],
        cluster: &Cluster<'a>,
    ) -> Result<Vec<Verdict>, Stop> {
        let dir = cluster.dir();
        thread::scope(|scope| {
            let hold = |client: &str| {
                let (command, name) =
                    (self.command(scenario, client, cluster), run_name(scenario, client));
                let interrupt = self.interrupt.clone();
                scope.spawn(move || {
                    dialogue::hold(command, &name, dir, &interrupt, |what, pid| {
                        self.asked(what, pid, &name).of_others(cluster)
                    })
                })
            };
            let threads: Vec<_> = clients.iter().map(|client| hold(client)).collect();
            let panicked = |_| Stop::Cannot("a thread of the runner panicked".into());
            threads.into_iter().map(|thread| thread.join().map_err(panicked)?).collect()
        })
    }

    fn asked<'b>(&'b self, what: &'b str, pid: u32, run_name: &'b str) -> Asked<'b> {
        let (artifacts, interrupt) = (self.artifacts, &self.interrupt);
        Asked { what, pid, run_name, artifacts, interrupt }
    }

    fn command(&self, scenario: &Scenario, client: &str, cluster: &Cluster<'_>) -> Command {
        let mut command = java_program(self.artifacts, client, cluster.dir());
        let namesrv = cluster.ports().namesrv_addr("127.0.0.1");
        command.args(scenario.jvm_args);
        command.arg(format!("-Dconformance.brokers={}", cluster.broker_list()));
        command.arg(format!("-Dconformance.against={}", self.against.name()));
        command.args(["ringmq.conformance.Main", scenario.name, &namesrv]);
        command.arg(run_name(scenario, client));
        command
    }
}

/// Part of topic and group names, and the log's name.
fn run_name(scenario: &Scenario, client: &str) -> String {
    format!("{}-{}", scenario.name, client.replace('.', ""))
}
