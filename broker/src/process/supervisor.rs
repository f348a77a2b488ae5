//! The main thread: what it knows of its shards, and what follows from what they tell it.
//!
//! It starts the shards, greets when all have settled, and stops all when a signal comes or one of
//! them ends. While they stop it says from time to time which of them it waits for, and for what.

use super::files::Files;
use super::greeting::{self, Found};
use super::{resolver, signals};
use crate::config::{Options, ShardOptions};
use crate::serve::control::Control;
use crate::serve::life::{self, End, Event};
use rt::real::{Core, CoreFailure, CorePlacement, Sender, available_cores, launch_watched};
use rt::ring::RingConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

pub(super) type StartError = Box<dyn std::error::Error>;

/// While shards stop, what they do is said this often.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// From then on a stop has taken too long to be a large store: its disk does not answer.
const STOP_OVERDUE: Duration = Duration::from_secs(300);

/// The signal of `--become`: the broker stops and starts anew.
const START_AGAIN: &str = "SIGUSR2";

/// How the process ends that served.
pub(super) enum Outcome {
    /// As it was asked to.
    Ended,
    /// To be started anew at once.
    StartAgain,
}

/// The exit status after a second signal.
const STATUS_SECOND_SIGNAL: i32 = 130;

/// Runs the shards until all have ended.
pub(super) fn supervise(mut options: Options) -> Result<Outcome, StartError> {
    let cores = cores_of(&options)?;
    let files = Files::raise(options.shards.count);
    options.shards.connections_max = files.connections_max();
    options.store.consumequeue_open_files_max = files.consumequeue_files_max();
    let placements: Vec<_> = cores.iter().map(|core| CorePlacement::Pinned(*core)).collect();
    let shards: Vec<ShardOptions> =
        (0..options.shards.count).map(|index| options.shard(index)).collect();
    let (events, inbox) = mpsc::channel();
    signals::forward(&events)?;
    resolver::start(&names_of(&options), &events)?;
    let ends = events.clone();
    let main = move |core: Core, index: usize| {
        let (shard, events) = (shards.get(index).cloned(), events.clone());
        async move {
            #[cfg(debug_assertions)]
            super::panic_hook::arm(&core, index);
            match shard {
                Some(shard) => life::serve(core, shard, events).await,
                None => Err(io::Error::other("more shards than options")),
            }
        }
    };
    let on_end = move |shard: usize, outcome: &Result<(), CoreFailure>| {
        let end = outcome.as_ref().map_or_else(End::of, |()| End::AsAsked);
        let _main_is_gone = ends.send(Event::Ended { shard, end });
    };
    let running = launch_watched(&placements, RingConfig::default(), main, on_end)?;
    let mut supervisor = Supervisor::new(options, cores, files);
    while !supervisor.all_ended() {
        let timeout = supervisor.stopping.map_or(Duration::MAX, |_| SAY_EVERY);
        match inbox.recv_timeout(timeout) {
            Ok(event) => supervisor.on_event(event),
            Err(RecvTimeoutError::Timeout) => supervisor.say_what_is_waited_for(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // A shard that failed has told why; what its thread returns says the same.
    let joined = running.join();
    match supervisor.failure {
        Some(failure) => Err(failure.into()),
        None if supervisor.starts_again => joined.map(|()| Outcome::StartAgain).map_err(Into::into),
        None => joined.map(|()| Outcome::Ended).map_err(Into::into),
    }
}

/// The names that are looked up: those of name servers, then a slave's master, if it has one.
fn names_of(options: &Options) -> Vec<String> {
    options.network.name_servers.iter().chain(&options.replication.master).cloned().collect()
}

/// Which core each shard runs on: the i-th of the list, from the beginning again when there are
/// more shards.
fn cores_of(options: &Options) -> Result<Vec<usize>, StartError> {
    let available = available_cores();
    let listed = &options.shards.cores;
    let cores = if listed.is_empty() { &available } else { listed };
    if let Some(missing) = cores.iter().find(|core| !available.contains(core)) {
        return Err(format!(
            "shardCores names core {missing}; this process may use {available:?}. \
            Fix: name some of these"
        )
        .into());
    }
    Ok(cores.iter().copied().cycle().take(options.shards.count).collect())
}

/// What the main thread knows of one shard.
#[derive(Default)]
struct Shard {
    /// Its mailbox, from when it exists until it ends.
    sender: Option<Sender<Control>>,
    /// What opening found; `None` while it opens.
    found: Option<Found>,
    has_settled: bool,
    /// What it does on its way to the end.
    stage: Option<&'static str>,
    has_ended: bool,
}

struct Supervisor {
    options: Options,
    cores: Vec<usize>,
    files: Files,
    shards: Vec<Shard>,
    /// What each name means that is looked up, for shards whose mailbox comes later.
    resolved: Vec<Option<Vec<SocketAddr>>>,
    /// Since when the shards have been told to stop.
    stopping: Option<Instant>,
    /// A signal came.
    was_signalled: bool,
    /// It was [`START_AGAIN`].
    starts_again: bool,
    /// Why the first shard failed.
    failure: Option<String>,
}

impl Supervisor {
    fn new(options: Options, cores: Vec<usize>, files: Files) -> Self {
        Self {
            shards: (0..options.shards.count).map(|_| Shard::default()).collect(),
            resolved: vec![None; names_of(&options).len()],
            options,
            cores,
            files,
            stopping: None,
            was_signalled: false,
            starts_again: false,
            failure: None,
        }
    }

    fn all_ended(&self) -> bool {
        self.shards.iter().all(|shard| shard.has_ended)
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Mailbox { shard, sender } => self.introduce(shard, sender),
            Event::Up { shard, ports, buffered, recovered, tail } => {
                self.shards[shard].found = Some(Found { ports, buffered, recovered, tail });
            }
            Event::Settled { shard } => {
                self.shards[shard].has_settled = true;
                self.greet_when_settled();
            }
            Event::Stopping { shard, stage } => self.shards[shard].stage = Some(stage),
            Event::Resolved { index, addresses } => {
                self.tell(&Control::Resolved { index, addresses: addresses.clone() });
                self.resolved[index] = Some(addresses);
            }
            Event::Signal(name) => self.on_signal(name),
            Event::Ended { shard, end } => self.on_end(shard, end),
        }
    }

    /// A shard can be told things from now on: what it missed comes first.
    fn introduce(&mut self, shard: usize, sender: Sender<Control>) {
        for (index, addresses) in self.resolved.iter().enumerate() {
            if let Some(addresses) = addresses.clone() {
                sender.send(Control::Resolved { index, addresses });
            }
        }
        if self.stopping.is_some() {
            sender.send(Control::Stop);
        }
        self.shards[shard].sender = Some(sender);
    }

    fn tell(&self, control: &Control) {
        for sender in self.shards.iter().filter_map(|shard| shard.sender.as_ref()) {
            sender.send(control.clone());
        }
    }

    fn greet_when_settled(&mut self) {
        let all_settled = self.shards.iter().all(|shard| shard.has_settled);
        if all_settled && self.stopping.is_none() {
            let found = self.shards.iter_mut().map(|shard| {
                shard.found.take().expect("a shard says that it is up before it has settled")
            });
            let found: Vec<_> = found.collect();
            greeting::say(&greeting::text(&self.options, &self.cores, &self.files, &found));
        }
    }

    /// The first signal stops the shards, the second one the process. A first signal is the first
    /// also when the shards stop already because one of them failed.
    fn on_signal(&mut self, name: &'static str) {
        if self.was_signalled {
            tracing::warn!(
                "{name} again: ending at once, what was acknowledged and not yet written is lost"
            );
            std::process::exit(STATUS_SECOND_SIGNAL);
        }
        self.was_signalled = true;
        self.starts_again = name == START_AGAIN;
        tracing::info!("{name}: stopping");
        self.stop();
    }

    fn stop(&mut self) {
        if self.stopping.is_none() {
            self.stopping = Some(Instant::now());
            self.tell(&Control::Stop);
        }
    }

    /// One shard's end is the end of all.
    fn on_end(&mut self, shard: usize, end: End) {
        self.shards[shard].has_ended = true;
        self.shards[shard].sender = None;
        match end {
            End::AsAsked => {}
            End::Failed(reason) if self.shards.len() == 1 => self.fail(reason),
            End::Failed(reason) => self.fail(format!("shard {shard}: {reason}")),
            End::Broken(reason) => {
                let what = format!("shard {shard}: {reason}");
                tracing::error!(
                    "{what}. It writes nothing more; its store is recovered at the next start. \
                     The process ends as soon as the other shards have closed their stores"
                );
                self.fail(what);
            }
        }
        self.stop();
    }

    fn fail(&mut self, what: String) {
        self.failure.get_or_insert(what);
    }

    fn say_what_is_waited_for(&self) {
        let Some(since) = self.stopping else { return };
        tracing::warn!("{}", waited_for(&self.shards, since.elapsed()));
    }
}

/// Which shards have not ended, and what they do.
fn waited_for(shards: &[Shard], waited: Duration) -> String {
    let busy: Vec<_> = shards
        .iter()
        .enumerate()
        .filter(|(_, shard)| !shard.has_ended)
        .map(|(index, shard)| {
            let is_opening = shard.found.is_none() && !shard.has_settled;
            let before = if is_opening { "opening its store" } else { "being told to stop" };
            format!("shard {index} ({})", shard.stage.unwrap_or(before))
        })
        .collect();
    let advice = if waited < STOP_OVERDUE {
        ""
    } else {
        ". Its disk may not answer; a second signal ends the process at once and loses what was \
         acknowledged and not yet written"
    };
    format!("still stopping after {} s: waiting for {}{advice}", waited.as_secs(), busy.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn supervisor(pairs: &[(&str, &str)]) -> Supervisor {
        let options = config::options(pairs);
        let cores = vec![0; options.shards.count];
        Supervisor::new(options, cores, Files::raise(1))
    }

    #[test]
    fn an_answer_of_the_resolver_takes_the_place_of_the_one_before() {
        let mut supervisor = supervisor(&[("namesrvAddr", "a:1;b:1")]);
        for port in 1..100 {
            let addresses = vec![SocketAddr::from(([10, 0, 0, 1], port))];
            supervisor.on_event(Event::Resolved { index: 1, addresses });
        }
        let last = vec![SocketAddr::from(([10, 0, 0, 1], 99))];
        assert_eq!(supervisor.resolved, [None, Some(last)]);
    }

    #[test]
    fn a_shard_that_ends_stops_all_and_the_first_reason_is_given() {
        let mut supervisor = supervisor(&[("shardCount", "2")]);
        let end = |shard, why: &str| Event::Ended { shard, end: End::Failed(why.to_owned()) };
        supervisor.on_event(end(1, "no disk"));
        assert!(supervisor.stopping.is_some() && !supervisor.all_ended());
        supervisor.on_event(end(0, "later"));
        assert!(supervisor.all_ended());
        assert_eq!(supervisor.failure.as_deref(), Some("shard 1: no disk"));
    }

    #[test]
    fn a_first_signal_after_a_failure_lets_the_other_shards_close() {
        let mut supervisor = supervisor(&[("shardCount", "2")]);
        let end = End::Broken("a core panicked at x.rs:1: oops".to_owned());
        supervisor.on_event(Event::Ended { shard: 1, end });
        let since = supervisor.stopping;
        supervisor.on_event(Event::Signal("SIGTERM"));
        assert!(since.is_some() && supervisor.stopping == since && !supervisor.all_ended());
        supervisor.on_event(Event::Ended { shard: 0, end: End::AsAsked });
        let failure = supervisor.failure.as_deref();
        assert_eq!(failure, Some("shard 1: a core panicked at x.rs:1: oops"));
    }

    #[test]
    fn while_shards_stop_it_is_said_which_and_what_for() {
        let mut supervisor = supervisor(&[("shardCount", "3")]);
        let ports = vec![];
        let recovered = engine::Recovered::default();
        let tail = engine::TailMemory::default();
        supervisor.on_event(Event::Up { shard: 0, ports, buffered: false, recovered, tail });
        supervisor.on_event(Event::Stopping { shard: 0, stage: "closing its store" });
        supervisor.on_event(Event::Ended { shard: 2, end: End::AsAsked });
        assert_eq!(
            waited_for(&supervisor.shards, Duration::from_secs(5)),
            "still stopping after 5 s: waiting for shard 0 (closing its store), \
             shard 1 (opening its store)"
        );
        assert!(waited_for(&supervisor.shards, STOP_OVERDUE).contains("a second signal"));
    }
}
