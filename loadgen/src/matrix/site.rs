//! One cluster of a matrix while it is loaded.

use super::asked::log_end;
use super::group::Work;
use super::own::OwnPair;
use crate::cli::matrix::{Maker, Slaves};
use crate::cluster::Cluster;
use crate::deferred::BrokerWork;
use crate::error::Result;
use crate::protocols::Protocol;
use crate::row::Row;
use crate::runner::Setup;
use crate::session::{FloorTarget, Session, Shape};

/// A cluster, and a session for each batch size.
pub(super) struct Site<'a> {
    /// Its kind of slaves.
    pub slaves: Slaves,
    /// Facts about its brokers.
    pub setup: Setup,
    own: Option<OwnPair>,
    sessions: Vec<(u32, Session<'a>)>,
    master_pids: Vec<u32>,
    slave_work: Option<BrokerWork>,
    topics: u32,
}

/// A row, and what the slave used meanwhile.
pub(super) struct Window {
    pub row: Row,
    pub slave_cpu_us_per_message: Option<f64>,
}

impl<'a> Site<'a> {
    /// A cluster that this program has started.
    pub(super) fn of_own(
        work: &Work<'a>,
        slaves: Slaves,
        maker: Maker,
        own: OwnPair,
    ) -> Result<Self> {
        let mut setup = Setup::connect(&own.namesrv_addr, work.folder)?;
        if maker == Maker::Ringmq {
            setup.know_own(concat!("RingMQ ", env!("CARGO_PKG_VERSION")), &own.master_config);
        }
        let slave_work = own.slave_pid().map(|pid| BrokerWork::of(vec![pid], Vec::new()));
        let master_pids = vec![own.master_pid()];
        let own = Some(own);
        let sessions = Vec::new();
        Ok(Self { slaves, setup, own, sessions, master_pids, slave_work, topics: 0 })
    }

    /// A cluster that is running already.
    pub(super) fn of_other(work: &Work<'a>, slaves: Slaves, namesrv: &str) -> Result<Self> {
        let setup = Setup::connect(namesrv, work.folder)?;
        let pids = work.args.broker_pid.iter().filter(|(of, _)| *of == slaves);
        let master_pids = pids.map(|(_, pid)| *pid).collect();
        let (own, slave_work, sessions) = (None, None, Vec::new());
        Ok(Self { slaves, setup, own, sessions, master_pids, slave_work, topics: 0 })
    }

    /// Makes the topics, one for each batch size.
    pub(super) fn begin(&mut self, work: &Work<'a>, batches: &[u32]) -> Result<()> {
        for batch in batches {
            let session = self.session(work, *batch, work.args.common.protocol)?;
            self.sessions.push((*batch, session));
        }
        Ok(())
    }

    fn session(&mut self, work: &Work<'a>, batch: u32, protocol: Protocol) -> Result<Session<'a>> {
        let args = &work.args.common;
        self.topics += 1;
        let topic =
            format!("loadgen-{:x}-{}-{}", work.frame.run_id, self.slaves.word(), self.topics);
        let mut common = work.frame.session_common(args, &work.roles.plan, topic, work.args.warmup);
        common.messages.batch = batch;
        common.protocol = protocol;
        let cluster: &mut Cluster = &mut self.setup.cluster;
        let mut session = Session::begin(work.bench, work.progress, cluster, common, args.queues)?;
        session.set_broker_pids(self.master_pids.clone());
        Ok(session)
    }

    /// Loads it once.
    ///
    /// # Errors
    /// When it can't be loaded, or a signal came; a row that was cut short is in `kept`.
    pub(super) fn load(
        &mut self,
        work: &Work<'a>,
        batch: u32,
        (name, label): (&str, &str),
        shape: Shape,
        kept: &mut Vec<Window>,
    ) -> Result<()> {
        let at = self.sessions.iter().position(|(of, _)| *of == batch);
        let Some((_, session)) = at.map(|at| &mut self.sessions[at]) else { return Ok(()) };
        let begun = self.slave_work.as_ref().map(BrokerWork::begin);
        let before = session.acknowledged();
        let loaded = session.load(name, label, shape).map(drop);
        let messages = session.acknowledged() - before;
        let mut slave = Row::default();
        if let (Some(slaves_work), Some(begun)) = (&self.slave_work, begun) {
            slaves_work.charge(&mut slave, begun, messages, work.stop);
        }
        let slave_cpu_us_per_message = slave.broker_cpu_us_per_message;
        let window = |row| Window { row, slave_cpu_us_per_message };
        kept.extend(session.rows.pop().map(window));
        loaded
    }

    /// One row by the native protocol, whose answers tell the stages of a send.
    pub(super) fn native(
        &mut self,
        work: &Work<'a>,
        (name, label): (&str, &str),
        shape: Shape,
    ) -> Result<Option<Row>> {
        let mut session = self.session(work, 1, Protocol::Native)?;
        let loaded = session.load(name, label, shape).map(drop);
        let row = session.rows.pop();
        loaded.map(|()| row)
    }

    /// Measures the floor of the rows that come against this target, or no more.
    pub(super) fn set_floor(&mut self, floor: Option<FloorTarget>) {
        if let Some((_, session)) = self.sessions.first_mut() {
            session.set_floor(floor);
        }
    }

    /// Bytes of the log and messages so far, where the slave tells the first.
    pub(super) fn log(&self) -> Option<(u64, u64)> {
        let end = log_end(&self.own.as_ref()?.slave_addr()?)?;
        let messages = self.sessions.iter().map(|(_, session)| session.acknowledged()).sum();
        Some((end, messages))
    }

    /// Stops what was started for it. Returns what did not go well.
    pub(super) fn stop(self) -> (Setup, Vec<String>) {
        drop(self.sessions);
        (self.setup, self.own.map(OwnPair::stop).unwrap_or_default())
    }
}
