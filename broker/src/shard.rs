//! One shard: a complete broker on one core, and the handler of that core's network.
//!
//! ```text
//!   frame ──on_frame──► requests::dispatch ──► tables, store ──► answer into the connection's outgoing bytes
//!   end of the turn ──► arrivals wake held pulls, changed topics go to the name servers, changed tables to their files
//!   tick (100 ms)  ──► held pulls and members whose time is up, registrations, dials
//!   other shards   ──► control: topics created and deleted there
//! ```
//!
//! Everything here belongs to one thread: no lock, nothing shared. What may take time (disk) runs
//! as a task that comes back through [`Network::with`].

use crate::answers::remoting::Caller;
use crate::config::ShardOptions;
use crate::limits::COLD_READS_MAX;
use crate::native::{self, Fetch, NativeState};
use crate::peers::log::PeerLog;
use crate::peers::name_servers::NameServers;
use crate::reads::long_polls::HeldPulls;
use crate::requests::{self, CommonProperties, Pull};
use crate::sends::backlog::WaitingSends;
use crate::sends::unacknowledged::PendingAnswers;
use crate::serve::control::Control;
use crate::tables::consumers::ConsumerGroups;
use crate::tables::files::Mended;
use crate::tables::groups::SubscriptionGroups;
use crate::tables::locks::QueueLocks;
use crate::tables::offsets::ConsumerOffsets;
use crate::tables::producers::ProducerGroups;
use crate::tables::topics::Topics;
use engine::{ReadSlices, Store};
use netcore::{CloseReason, ConnId, Handler, Net, Network, Origin};
use protocol::bodies::MessageQueue;
use protocol::headers::Scratch;
use protocol::ids::UniqKeys;
use protocol::remoting::{CommandView, PreparedFields};
use rt::Runtime as _;
use rt::real::{Core, Sender};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

/// What the shard knows of a connection, so that its end costs only what it took part in.
#[derive(Default)]
pub(crate) struct Peer {
    /// Its address.
    pub(crate) addr: Option<SocketAddr>,
    /// It came in on the VIP port, which does not serve pulls.
    pub(crate) vip: bool,
    /// It may have held pulls.
    pub(crate) pulls: bool,
}

/// A read that waits for a message.
#[derive(Debug)]
pub(crate) enum HeldRequest {
    /// RocketMQ's.
    Pull(Pull),
    /// The native lane's.
    Fetch(Fetch),
}

impl HeldRequest {
    fn is_of(&self, conn: ConnId) -> bool {
        match self {
            Self::Pull(pull) => pull.is_of(conn),
            Self::Fetch(fetch) => fetch.is_of(conn),
        }
    }
}

/// One shard. See the module's text.
pub struct Shard {
    pub(crate) options: Rc<ShardOptions>,
    pub(crate) core: Core,
    pub(crate) store: Store<Core>,
    pub(crate) network: Option<Network<Shard>>,
    pub(crate) siblings: Vec<Sender<Control>>,

    pub(crate) topics: Topics,
    pub(crate) groups: SubscriptionGroups,
    pub(crate) consumers: ConsumerGroups<ConnId>,
    pub(crate) producers: ProducerGroups<ConnId>,
    pub(crate) offsets: ConsumerOffsets,
    pub(crate) locks: QueueLocks<MessageQueue>,
    pub(crate) held: HeldPulls<HeldRequest>,
    pub(crate) waiting: WaitingSends<ConnId>,
    pub(crate) pending: PendingAnswers<Caller>,
    pub(crate) native: NativeState,
    pub(crate) name_servers: NameServers<ConnId>,
    pub(crate) peers: HashMap<ConnId, Peer>,

    pub(crate) common_properties: CommonProperties,
    /// Written once: what every answer to a send carries.
    pub(crate) send_answer_fields: PreparedFields,
    pub(crate) unique_keys: UniqKeys,
    /// Reused: what headers need to be decoded.
    pub(crate) scratch: Scratch,
    /// Reused: what reads return.
    pub(crate) slices: ReadSlices,
    /// Reused: a text that is being written into an answer.
    pub(crate) text: String,
    woken: Vec<HeldRequest>,
    pub(crate) cold_reads: usize,
    /// Whether a task is already waiting for room in the log.
    pub(crate) drain_running: bool,
    /// Whether a task is already writing the tables.
    pub(crate) saving: bool,
    pub(crate) offsets_saved_ms: i64,
    /// Not before this time of the monotonic clock: saving takes a bounded part of the core.
    pub(crate) save_again_nanos: u64,
    /// It takes leave: lost name servers are no news.
    pub(crate) stopping: bool,
    next_opaque: i32,
    peer_log: PeerLog,
}

/// The tables of a shard as they were loaded.
pub(crate) struct Tables {
    pub(crate) topics: Topics,
    pub(crate) groups: SubscriptionGroups,
    pub(crate) offsets: ConsumerOffsets,
    /// Files that were damaged and whose backups were used.
    pub(crate) mended: Vec<Mended>,
}

impl Shard {
    pub(crate) fn new(
        core: Core,
        options: ShardOptions,
        store: Store<Core>,
        tables: Tables,
    ) -> Self {
        let process = &options.process;
        let seed = u32::try_from(core.random_u64() >> 32).unwrap_or_default();
        Self {
            common_properties: CommonProperties::new(
                &process.serve.region,
                process.serve.trace_on,
                &process.cluster,
            ),
            send_answer_fields: requests::send_answer_fields(
                &process.serve.region,
                process.serve.trace_on,
            ),
            unique_keys: UniqKeys::new(process.network.advertised_ip, std::process::id(), seed),
            name_servers: NameServers::new(&process.network.name_servers),
            offsets_saved_ms: core.wall_ms(),
            options: Rc::new(options),
            core,
            store,
            network: None,
            siblings: vec![],
            topics: tables.topics,
            groups: tables.groups,
            offsets: tables.offsets,
            consumers: ConsumerGroups::default(),
            producers: ProducerGroups::default(),
            locks: QueueLocks::default(),
            held: HeldPulls::default(),
            waiting: WaitingSends::default(),
            pending: PendingAnswers::default(),
            native: NativeState::default(),
            peers: HashMap::new(),
            scratch: Scratch::new(),
            slices: ReadSlices::default(),
            text: String::new(),
            woken: vec![],
            cold_reads: 0,
            drain_running: false,
            saving: false,
            save_again_nanos: 0,
            stopping: false,
            next_opaque: 0,
            peer_log: PeerLog::default(),
        }
    }

    /// The wall clock.
    pub(crate) fn now_ms(&self) -> i64 {
        self.core.wall_ms()
    }

    /// A number for a request of ours.
    pub(crate) fn next_opaque(&mut self) -> i32 {
        self.next_opaque = self.next_opaque.wrapping_add(1);
        self.next_opaque
    }

    /// Whether one more read from disk may begin; the task that ends takes it off `cold_reads`.
    pub(crate) fn begin_cold_read(&mut self) -> bool {
        let admitted = self.cold_reads < COLD_READS_MAX;
        self.cold_reads += usize::from(admitted);
        admitted
    }

    /// Tells the sibling shards.
    pub(crate) fn tell_siblings(&self, control: &Control) {
        for sibling in &self.siblings {
            sibling.send(control.clone());
        }
    }

    /// One log line about a misbehaving peer, unless there were too many this second.
    pub(crate) fn blame(&mut self, peer: Option<SocketAddr>, what: &dyn std::fmt::Display) {
        let Some(left_out) = self.peer_log.admit(self.core.wall_ms()) else { return };
        let peer = peer.map_or_else(|| "a peer".to_owned(), |peer| peer.to_string());
        if left_out == 0 {
            tracing::warn!("{peer}: {what}");
        } else {
            tracing::warn!("{peer}: {what} ({left_out} lines like this left out before)");
        }
    }

    /// Runs reads again that a message woke or whose time is up.
    pub(crate) fn wake(&mut self, net: &mut Net, held: &mut Vec<HeldRequest>) {
        for request in held.drain(..) {
            match request {
                HeldRequest::Pull(pull) => requests::wake_pull(self, net, pull),
                HeldRequest::Fetch(fetch) => native::wake_fetch(self, net, fetch),
            }
        }
    }

    fn wake_arrivals(&mut self, net: &mut Net) {
        let mut woken = std::mem::take(&mut self.woken);
        let held = &mut self.held;
        self.store.drain_arrivals(|arrival| {
            held.arrived(
                arrival.topic,
                arrival.queue_id,
                arrival.max_offset.0,
                arrival.tags_code,
                &mut woken,
            );
        });
        self.wake(net, &mut woken);
        self.woken = woken;
    }

    /// The mark of an acknowledgement moved: producers are answered, consumers see the messages.
    pub(crate) fn acknowledged(&mut self, net: &mut Net) {
        requests::answer_acknowledged(self, net);
        native::answer_acknowledged(self, net);
        self.wake_arrivals(net);
    }

    /// What happens by time.
    pub(crate) fn tick(&mut self, net: &mut Net) {
        let now_ms = self.now_ms();
        let mut due = std::mem::take(&mut self.woken);
        self.held.expire(now_ms, &mut due);
        self.wake(net, &mut due);
        self.woken = due;
        requests::refuse_overdue_sends(self, net, now_ms);
        requests::answer_overdue(self, net, now_ms);
        native::answer_overdue(self, net, now_ms);
        self.tick_name_servers(net, now_ms);
        self.save_if_needed(now_ms);
    }

    /// What happens every ten seconds: members and locks that nobody renewed.
    pub(crate) fn expire(&mut self, net: &mut Net) {
        let now_ms = self.now_ms();
        self.locks.expire(now_ms);
        for conn in self.consumers.expired(now_ms).chain(self.producers.expired(now_ms)) {
            net.close(conn, "a member of a group sent no heartbeat for two minutes");
        }
    }

    /// Something another shard or the main thread said.
    pub(crate) fn control(&mut self, net: &mut Net, control: Control) {
        let now_ms = self.now_ms();
        match control {
            Control::Siblings(siblings) => self.siblings = siblings,
            Control::NameServer { index, addresses } => {
                self.name_servers.resolved(index, addresses)
            }
            Control::PutTopic(config) => _ = self.topics.put(config, now_ms),
            Control::CreateTopic(config) => {
                if let Err(error) = self.topics.create_if_absent(config, now_ms) {
                    tracing::warn!("a sibling shard's topic is not created here: {error}");
                }
            }
            Control::DeleteTopic(name) => requests::delete_topic_here(self, net, &name),
            Control::Stop => {} // ends the loop that receives it
        }
    }
}

impl Handler for Shard {
    fn on_open(&mut self, net: &mut Net, conn: ConnId, origin: Origin, peer: SocketAddr) {
        match origin {
            Origin::Accepted { listener } => {
                _ = self
                    .peers
                    .insert(conn, Peer { addr: Some(peer), vip: listener > 0, ..Peer::default() })
            }
            Origin::Dialed { tag } => {
                self.name_servers.opened(tag, conn);
                let now_ms = self.now_ms();
                self.tick_name_servers(net, now_ms);
            }
        }
    }

    // A function of its own in every profile: benches/instructions counts from here.
    #[inline(never)]
    fn on_frame(&mut self, net: &mut Net, conn: ConnId, frame: &[u8]) {
        let command = match CommandView::parse(frame) {
            Ok(command) => command,
            Err(error) => {
                self.blame(net.peer(conn), &error);
                return net.close(conn, "its header can't be read");
            }
        };
        if command.is_response() {
            return self.on_answer(conn, &command);
        }
        let caller = Caller::new(conn, &command);
        requests::dispatch(self, net, caller, &command, frame);
    }

    // As above.
    #[inline(never)]
    fn on_native_frame(&mut self, net: &mut Net, conn: ConnId, frame: &[u8]) {
        native::dispatch(self, net, conn, frame);
    }

    fn on_close(&mut self, net: &mut Net, conn: ConnId, reason: &CloseReason) {
        let peer = self.peers.remove(&conn);
        if let CloseReason::Garbage(_)
        | CloseReason::SlowReader { .. }
        | CloseReason::SendStalled(_)
        | CloseReason::PeerMidFrame { .. } = reason
        {
            self.blame(peer.as_ref().and_then(|peer| peer.addr), reason);
        }
        if self.lost_name_server(conn) {
            return;
        }
        let Some(peer) = peer else { return };
        if peer.pulls {
            self.held.take_where(&mut vec![], |held| held.pull.is_of(conn));
        }
        self.producers.close(conn);
        for group in self.consumers.groups_of(conn) {
            requests::leave_group(self, net, &group, conn);
        }
    }

    fn on_dial_failed(&mut self, _net: &mut Net, tag: u64, error: &io::Error) {
        self.name_server_unreachable(tag, error);
    }

    fn on_turn_end(&mut self, net: &mut Net) {
        self.wake_arrivals(net);
        self.register_changes(net);
        self.save_changed_topics();
    }
}
