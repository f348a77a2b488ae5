//! A broker, and its name server, that answers control requests well and treats sends as it was
//! taught: at once, late, never, with errors, or until it dies.

use protocol::codes::request;
use protocol::record::RecordDraft;
use protocol::remoting::{CommandHead, CommandView, write_command};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// When it freezes after its first send, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stall {
    pub after: Duration,
    pub length: Duration,
}

/// How it treats sends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sends {
    /// Each is acknowledged at once.
    Acknowledged,
    /// Acknowledged, except that it freezes once.
    FrozenOnce(Stall),
    /// Read and never answered.
    NeverAnswered,
    /// Each is answered with code 2.
    Refused,
    /// Acknowledged until there were so many; then every connection and the listener are closed.
    DeathAfter(u64),
    /// Acknowledged, at most so many a second, in order.
    AtMost {
        /// Answers a second.
        per_s: f64,
    },
    /// Acknowledged this long after it came, others meanwhile; at most so many a second.
    Late { by: Duration, per_s: f64 },
    /// Acknowledged, and read back with timestamps of the next hour.
    ReadFromTheFuture,
    /// Acknowledged, and handed out with due times 300 ms later than they were.
    ReadBeforeDue,
    /// Acknowledged, but its route says that its topics may only be read.
    ReadOnly,
    /// Acknowledged, but once a queue's end was asked for nobody can connect any more.
    DeafAfterOffset,
}

/// One broker. It lives until the test process ends.
#[derive(Debug)]
pub(crate) struct FakeBroker {
    pub addr: SocketAddr,
    facts: Arc<Facts>,
}

#[derive(Debug)]
struct Facts {
    sends: Sends,
    /// Names and addresses of the whole cluster, known when all have started.
    cluster: OnceLock<Vec<(String, SocketAddr)>>,
    first_send: OnceLock<Instant>,
    taken: AtomicU64,
    /// When the next answer may be given at the earliest.
    next_answer: Mutex<Option<Instant>>,
    deaf: AtomicBool,
    dead: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
    bodies: Mutex<Vec<Vec<u8>>>,
}

/// Starts a broker that freezes once, or never.
pub(crate) fn start(stall: Option<Stall>) -> SocketAddr {
    start_one(stall.map_or(Sends::Acknowledged, Sends::FrozenOnce)).addr
}

/// Starts one broker, which is its own name server.
pub(crate) fn start_one(sends: Sends) -> FakeBroker {
    start_cluster(&[sends]).remove(0)
}

/// Starts brokers of one cluster. Each is a name server of it too.
pub(crate) fn start_cluster(each: &[Sends]) -> Vec<FakeBroker> {
    let brokers: Vec<FakeBroker> = each.iter().map(|sends| FakeBroker::start(*sends)).collect();
    let cluster: Vec<(String, SocketAddr)> = brokers
        .iter()
        .enumerate()
        .map(|(index, broker)| (format!("broker-{index}"), broker.addr))
        .collect();
    brokers.iter().for_each(|broker| broker.facts.cluster.set(cluster.clone()).unwrap());
    brokers
}

impl FakeBroker {
    fn start(sends: Sends) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let facts = Arc::new(Facts {
            sends,
            cluster: OnceLock::new(),
            first_send: OnceLock::new(),
            taken: AtomicU64::new(0),
            next_answer: Mutex::default(),
            deaf: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            streams: Mutex::default(),
            bodies: Mutex::default(),
        });
        let of_thread = Arc::clone(&facts);
        std::thread::spawn(move || accept(&listener, &of_thread));
        Self { addr, facts }
    }

    /// Sends it has read.
    pub(crate) fn taken(&self) -> u64 {
        self.facts.taken.load(Ordering::SeqCst)
    }

    /// The bodies of the first sends, in order.
    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.facts.bodies.lock().unwrap().clone()
    }
}

/// What it says of its configuration.
pub(crate) const CONFIG: &str =
    "brokerRole=ASYNC_MASTER\nflushDiskType=ASYNC_FLUSH\nidleSpinMicros=20\n";

/// Bodies kept of each broker.
const BODIES_MAX: usize = 4_096;

/// Accepts until it is deaf or dead; the listener is closed then.
fn accept(listener: &TcpListener, facts: &Arc<Facts>) {
    loop {
        if facts.deaf.load(Ordering::SeqCst) || facts.dead.load(Ordering::SeqCst) {
            return;
        }
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                stream.set_nodelay(true).unwrap();
                facts.streams.lock().unwrap().push(stream.try_clone().unwrap());
                let facts = Arc::clone(facts);
                std::thread::spawn(move || serve(stream, &facts));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("accept: {error}"),
        }
    }
}

fn serve(mut stream: TcpStream, facts: &Facts) {
    let (later, each) = channel::<(Instant, Vec<u8>)>();
    let mut writer = stream.try_clone().unwrap();
    std::thread::spawn(move || {
        for (due, answer) in each {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if writer.write_all(&answer).is_err() {
                return;
            }
        }
    });
    let mut length = [0; 4];
    while stream.read_exact(&mut length).is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        if stream.read_exact(&mut frame).is_err() {
            return;
        }
        let request = CommandView::parse(&frame).unwrap();
        let answer = match request.code {
            request::GET_BROKER_CLUSTER_INFO => {
                Some(answered(&request, 0, None, &facts.cluster_info()))
            }
            request::GET_ROUTEINFO_BY_TOPIC => Some(answered(&request, 0, None, &facts.route())),
            request::GET_MAX_OFFSET => Some(facts.max_offset(&request)),
            request::GET_BROKER_CONFIG => Some(answered(&request, 0, None, CONFIG.as_bytes())),
            request::GET_BROKER_RUNTIME_INFO => Some(answered(&request, 1, None, &[])),
            request::PULL_MESSAGE => facts.pull(&request),
            _ => facts.send(&request, &later),
        };
        if answer.is_some_and(|answer| stream.write_all(&answer).is_err()) {
            return;
        }
    }
}

/// A stored message that an hour from now was born and stored.
fn record(index: usize, body: &[u8]) -> Vec<u8> {
    let next_hour = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() + 3_600_000;
    let next_hour = i64::try_from(next_hour).unwrap();
    let host = SocketAddr::from(([127, 0, 0, 1], 1));
    let draft = RecordDraft {
        topic: "T",
        queue_id: 0,
        flag: 0,
        queue_offset: i64::try_from(index).unwrap(),
        physical_offset: 0,
        sys_flag: 0,
        born_timestamp_ms: next_hour,
        born_host: host,
        store_timestamp_ms: next_hour,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: &[],
    };
    let mut bytes = vec![0; draft.encoded_len().unwrap()];
    draft.encode_into(&mut bytes).unwrap();
    bytes
}

/// Makes a payload due 300 ms later, with the checksum of that.
fn due_later(body: &mut [u8]) {
    let due = u64::from_le_bytes(body[48..56].try_into().unwrap()) + 300_000_000;
    body[48..56].copy_from_slice(&due.to_le_bytes());
    let crc = crc32fast::hash(&body[8..]);
    body[4..8].copy_from_slice(&crc.to_le_bytes());
}

fn answered(
    request: &CommandView<'_>,
    code: i32,
    offset: Option<(&str, u64)>,
    body: &[u8],
) -> Vec<u8> {
    let mut answer = Vec::new();
    let head = CommandHead::answer(request, code);
    let head = CommandHead { remark: (code != 0).then_some("taught to refuse"), ..head };
    write_command(
        &mut answer,
        &head,
        |ext| {
            if let Some((name, offset)) = offset {
                ext.int(name, i64::try_from(offset).unwrap());
            }
        },
        body,
    );
    answer
}

impl Facts {
    fn cluster_info(&self) -> Vec<u8> {
        let brokers = self.cluster.wait().iter().map(|(name, addr)| {
            format!(r#""{name}":{{"brokerName":"{name}","brokerAddrs":{{"0":"{addr}"}}}}"#)
        });
        let brokers: Vec<String> = brokers.collect();
        format!(r#"{{"brokerAddrTable":{{{}}}}}"#, brokers.join(",")).into_bytes()
    }

    fn route(&self) -> Vec<u8> {
        let cluster = self.cluster.wait();
        let datas = cluster.iter().map(|(name, addr)| {
            format!(r#"{{"brokerName":"{name}","brokerAddrs":{{"0":"{addr}"}}}}"#)
        });
        let queues = cluster.iter().map(|(name, _)| {
            let perm = if matches!(self.sends, Sends::ReadOnly) { 4 } else { 6 };
            format!(
                r#"{{"brokerName":"{name}","perm":{perm},"writeQueueNums":1,"readQueueNums":1}}"#
            )
        });
        let (datas, queues): (Vec<String>, Vec<String>) = (datas.collect(), queues.collect());
        format!(r#"{{"brokerDatas":[{}],"queueDatas":[{}]}}"#, datas.join(","), queues.join(","))
            .into_bytes()
    }

    fn max_offset(&self, request: &CommandView<'_>) -> Vec<u8> {
        if matches!(self.sends, Sends::DeafAfterOffset) {
            self.deaf.store(true, Ordering::SeqCst);
            // The answer leaves when the listener is closed for certain.
            std::thread::sleep(Duration::from_millis(50));
        }
        answered(request, 0, Some(("offset", self.taken.load(Ordering::SeqCst))), &[])
    }

    fn send(
        &self,
        request: &CommandView<'_>,
        later: &Sender<(Instant, Vec<u8>)>,
    ) -> Option<Vec<u8>> {
        let first = *self.first_send.get_or_init(Instant::now);
        let nth = self.taken.fetch_add(1, Ordering::SeqCst);
        self.keep(request.body);
        match self.sends {
            Sends::NeverAnswered => return None,
            Sends::Refused => return Some(answered(request, 2, None, &[])),
            Sends::DeathAfter(sends) if nth >= sends => {
                self.dead.store(true, Ordering::SeqCst);
                let streams = self.streams.lock().unwrap();
                streams.iter().for_each(|stream| {
                    let _closed_already = stream.shutdown(Shutdown::Both);
                });
                return None;
            }
            Sends::FrozenOnce(stall) => {
                let since = first.elapsed();
                if since >= stall.after && since < stall.after + stall.length {
                    std::thread::sleep(stall.after + stall.length - since);
                }
            }
            Sends::AtMost { per_s } => {
                let due = Duration::from_secs_f64(f64::from(u32::try_from(nth).unwrap()) / per_s);
                std::thread::sleep(due.saturating_sub(first.elapsed()));
            }
            Sends::Late { by, per_s } => {
                // What was not asked for in a pause is no credit.
                let mut next = self.next_answer.lock().unwrap();
                let due = next.unwrap_or(first).max(Instant::now() + by);
                *next = Some(due + Duration::from_secs_f64(1.0 / per_s));
                let answer = answered(request, 0, Some(("queueOffset", nth)), &[]);
                let _closed = later.send((due, answer));
                return None;
            }
            Sends::Acknowledged
            | Sends::ReadOnly
            | Sends::ReadBeforeDue
            | Sends::ReadFromTheFuture
            | Sends::DeathAfter(_)
            | Sends::DeafAfterOffset => {}
        }
        Some(answered(request, 0, Some(("queueOffset", nth)), &[]))
    }

    /// Never answered by most, so that reading back lasts.
    fn pull(&self, request: &CommandView<'_>) -> Option<Vec<u8>> {
        if !matches!(self.sends, Sends::ReadFromTheFuture | Sends::ReadBeforeDue) {
            return None;
        }
        let offset = request.ext.get_i64("queueOffset").unwrap().unwrap();
        let mut bodies = self.bodies.lock().unwrap().clone();
        if bodies.len() <= usize::try_from(offset).unwrap() {
            return Some(answered(request, 19, None, &[]));
        }
        if matches!(self.sends, Sends::ReadBeforeDue) {
            bodies.iter_mut().for_each(|body| due_later(body));
        }
        let rest = bodies.iter().enumerate().skip(usize::try_from(offset).unwrap()).take(32);
        let records: Vec<u8> = rest.flat_map(|(index, body)| record(index, body)).collect();
        Some(answered(request, 0, Some(("nextBeginOffset", 0)), &records))
    }

    fn keep(&self, body: &[u8]) {
        let mut bodies = self.bodies.lock().unwrap();
        if bodies.len() < BODIES_MAX {
            bodies.push(body.to_vec());
        }
    }
}
