//! Rounds of faults from a seed, under load, with a promotion at the end of each and every message
//! checked.
//!
//! ```text
//!   load ── fault ── perhaps another ── perhaps mended ── master killed ── slave promoted ── all checked
//!                                                                            └ old master follows, emptied
//! ```

use crate::load::Load;
use crate::networks::in_namespace;
use crate::pair::Pair;
use crate::stored::Ledger;
use std::fmt;
use std::time::Duration;

/// In the gate.
const ROUNDS: u32 = 5;
const SENDERS: i32 = 3;

/// A small generator: the same seed gives the same faults (what the processes do meanwhile still
/// varies). Steele and others' splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn pause(&mut self, from_ms: u64, to_ms: u64) {
        std::thread::sleep(Duration::from_millis(from_ms + self.below(to_ms - from_ms)));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Master and slave hear nothing of each other.
    Cut,
    /// The slave hears nothing of its master: half-open, for the master still gets reports.
    MasterIsNotHeard,
    /// The master hears nothing of its slave.
    SlaveIsNotHeard,
    /// Bytes to and from the slave queue for up to a second.
    Slow,
    /// What does not fit a narrow cable is dropped.
    Lossy,
    KillSlave,
    KillMaster,
    KillNameServer,
    StandingSlave,
    StandingMaster,
    StandingNameServer,
    /// The slave, then the master, are stopped and started again.
    RollingRestart,
}

const FAULTS: [Fault; 12] = [
    Fault::Cut,
    Fault::MasterIsNotHeard,
    Fault::SlaveIsNotHeard,
    Fault::Slow,
    Fault::Lossy,
    Fault::KillSlave,
    Fault::KillMaster,
    Fault::KillNameServer,
    Fault::StandingSlave,
    Fault::StandingMaster,
    Fault::StandingNameServer,
    Fault::RollingRestart,
];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Fault {
    fn begin(self, pair: &mut Pair) {
        let (master, slave) = (&pair.master.place, &pair.slave.place);
        match self {
            Self::Cut => {
                master.cut_towards(slave);
                slave.cut_towards(master);
            }
            Self::MasterIsNotHeard => master.cut_towards(slave),
            Self::SlaveIsNotHeard => slave.cut_towards(master),
            Self::Slow => slave.throttle("2mbit", "250000"),
            Self::Lossy => slave.throttle("4mbit", "6000"),
            Self::KillSlave => pair.slave.broker.process.kill(),
            Self::KillMaster => pair.master.broker.process.kill(),
            Self::KillNameServer => pair.name_server.process.kill(),
            Self::StandingSlave => pair.slave.broker.process.stand_still(),
            Self::StandingMaster => pair.master.broker.process.stand_still(),
            Self::StandingNameServer => pair.name_server.process.stand_still(),
            Self::RollingRestart => {
                pair.slave.broker.process.stop();
                pair.slave.broker.restart();
                pair.master.broker.process.stop();
            }
        }
    }

    fn mend(self, pair: &mut Pair) {
        let (master, slave) = (&pair.master.place, &pair.slave.place);
        match self {
            Self::Cut => {
                master.mend_towards(slave);
                slave.mend_towards(master);
            }
            Self::MasterIsNotHeard => master.mend_towards(slave),
            Self::SlaveIsNotHeard => slave.mend_towards(master),
            Self::Slow | Self::Lossy => slave.unthrottle(),
            Self::KillSlave => pair.slave.broker.restart(),
            Self::KillMaster | Self::RollingRestart => pair.master.broker.restart(),
            Self::KillNameServer => pair.restart_name_server(),
            Self::StandingSlave => pair.slave.broker.process.signal("CONT"),
            Self::StandingMaster => pair.master.broker.process.signal("CONT"),
            Self::StandingNameServer => pair.name_server.process.signal("CONT"),
        }
    }

    /// Whether a promotion can begin before it is mended: its slave and the name server run.
    fn lets_promote(self) -> bool {
        use Fault::{Cut, KillMaster, Lossy, MasterIsNotHeard, SlaveIsNotHeard, Slow};
        let lets =
            [Cut, MasterIsNotHeard, SlaveIsNotHeard, Slow, Lossy, KillMaster, Self::StandingMaster];
        lets.contains(&self)
    }

    /// What is left to mend when its master is dead and its slave has become one.
    fn mend_after_promotion(self, pair: &mut Pair) {
        // Master and slave have changed places.
        let (master, slave) = (&pair.slave.place, &pair.master.place);
        match self {
            Self::Cut => {
                master.mend_towards(slave);
                slave.mend_towards(master);
            }
            Self::MasterIsNotHeard => master.mend_towards(slave),
            Self::SlaveIsNotHeard => slave.mend_towards(master),
            Self::Slow | Self::Lossy => slave.unthrottle(),
            _ => {}
        }
    }
}

/// The round's faults, and whether the last one is mended before the promotion.
fn plan(random: &mut Random) -> (Vec<Fault>, bool) {
    let faults = (0..=random.below(2))
        .map(|_| FAULTS[usize::try_from(random.below(FAULTS.len() as u64)).unwrap()]);
    let faults: Vec<Fault> = faults.collect();
    let mended = random.coin() || !faults.last().is_some_and(|fault| fault.lets_promote());
    (faults, mended)
}

fn round(pair: &mut Pair, random: &mut Random, load: &Load, ledger: &mut Ledger) -> String {
    let (faults, mended) = plan(random);
    let before = load.acknowledged();
    testkit::eventually("sends are acknowledged", || load.acknowledged() > before + 100);
    let last = faults.len() - 1;
    for (nth, fault) in faults.iter().enumerate() {
        random.pause(20, 300);
        fault.begin(pair);
        random.pause(50, 1_200);
        if nth < last || mended {
            fault.mend(pair);
        }
    }
    if mended && random.coin() {
        pair.slave_follows();
        random.pause(20, 300);
    }
    let kill_slave_too = random.coin();
    pair.promote(kill_slave_too);
    if !mended {
        faults[last].mend_after_promotion(pair);
    }
    // Answers of the dead master are in when its connections have ended.
    std::thread::sleep(Duration::from_millis(100));
    let master = pair.master.addr();
    load.go_to(master);
    ledger.add(load.take());
    let faults_found = ledger.faults(master);
    let killed = if kill_slave_too { "slave killed as well" } else { "slave stopped" };
    let mended = if mended { "mended" } else { "not mended" };
    let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let line = format!(
        "{}, {mended}, {killed}: {} acknowledged so far, other answers {:?}",
        shown.join(" then "),
        ledger.len(),
        ledger.others
    );
    assert!(faults_found.is_empty(), "{line}\n{}", faults_found.join("\n"));
    pair.old_master_follows();
    line
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| {
        text.parse().unwrap_or_else(|_| panic!("{variable}={text}: a number is expected"))
    })
}

#[test]
fn what_a_sync_master_acknowledged_survives_rounds_of_faults_and_promotions_in_order() {
    const NAME: &str =
        "rounds::what_a_sync_master_acknowledged_survives_rounds_of_faults_and_promotions_in_order";
    in_namespace(NAME, || {
        let rounds = number("ROUNDS").unwrap_or(ROUNDS.into());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = number("SEED").unwrap_or(now.as_secs());
        println!("SEED={seed} ROUNDS={rounds} cargo test -p broker --test replicated rounds");
        let mut random = Random(seed);
        let mut pair = Pair::start();
        let mut load = Load::start(pair.master.addr(), SENDERS);
        let mut ledger = Ledger::default();
        for nth in 1..=rounds {
            let line = round(&mut pair, &mut random, &load, &mut ledger);
            println!("round {nth} of {rounds}: {line}");
        }
        load.stop();
        ledger.add(load.take());
        let faults = ledger.faults(pair.master.addr());
        assert!(faults.is_empty(), "at the end, seed {seed}: {}", faults.join("\n"));
        assert!(ledger.len() > 500, "only {} were acknowledged", ledger.len());
    });
}

#[test]
fn a_seed_gives_the_same_rounds_again_and_every_fault_comes() {
    let plans = |seed| (0..200).map(|_| plan(&mut Random(seed))).collect::<Vec<_>>();
    assert_eq!(plans(3), plans(3));
    let mut random = Random(11);
    let seen: Vec<Fault> = (0..200).flat_map(|_| plan(&mut random).0).collect();
    assert!(FAULTS.iter().all(|fault| seen.contains(fault)));
}
