//! The servers under measurement, each a process or thread of its own on the first core.

use netcore::{CloseReason, ConnId, Framing, Handler, Net, NetConfig, Network, Origin};
use protocol::native::{Fetched, Kind, PLACED_BYTES, Produced, Stages, append_frame};
use rt::real::{CorePlacement, available_cores, launch};
use rt::ring::RingConfig;
use rt::{AppendBuf, BufSlice};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use testkit::{Broker, BrokerSetup, Program};

/// Where a native frame's kind lies.
const KIND_AT: usize = 10;

pub(crate) struct Server {
    pub name: String,
    pub addr: SocketAddr,
    /// `/proc` folders whose schedstat files count its CPU.
    cpu_of: String,
    broker: Option<Broker>,
}

/// How a pull's frame begins, behind the length of its header.
const PULL: &[u8] = b"{\"code\":11,";

/// Answers each frame with as many bytes as a send's answer has, in its lane.
struct Echo {
    answer: Vec<u8>,
    native_answer: Vec<u8>,
    /// What a fetch and a pull are answered with: prefix and header.
    fetched: Vec<u8>,
    pulled: Vec<u8>,
    /// And then bytes that are not copied, as the broker's are not: these in turn.
    messages: Vec<BufSlice>,
    next: usize,
}

impl Echo {
    fn messages(&mut self) -> BufSlice {
        self.next = (self.next + 1) % self.messages.len();
        self.messages[self.next].clone()
    }
}

/// What a server's answer to a fetch brings.
pub(crate) struct Fetches {
    pub messages: u32,
    pub bytes: usize,
    /// So many answers one after the other lie in memory of their own, as those of a backlog do:
    /// what is copied again and again comes from the core's cache.
    pub apart: usize,
}

impl Handler for Echo {
    fn on_open(&mut self, _: &mut Net, _: ConnId, _: Origin, _: SocketAddr) {}

    fn on_frame(&mut self, net: &mut Net, conn: ConnId, frame: &[u8]) {
        let Some(out) = net.out(conn) else { return };
        if frame[4..].starts_with(PULL) {
            out.bytes().extend_from_slice(&self.pulled);
            out.slice(self.messages());
        } else {
            out.bytes().extend_from_slice(&self.answer);
        }
    }

    fn on_native_frame(&mut self, net: &mut Net, conn: ConnId, frame: &[u8]) {
        let Some(out) = net.out(conn) else { return };
        if frame[KIND_AT] == Kind::Fetch as u8 {
            out.bytes().extend_from_slice(&self.fetched);
            out.slice(self.messages());
        } else {
            out.bytes().extend_from_slice(&self.native_answer);
        }
    }

    fn on_close(&mut self, _: &mut Net, _: ConnId, _: &CloseReason) {}

    fn on_dial_failed(&mut self, _: &mut Net, _: u64, _: &io::Error) {}
}

impl Server {
    /// netcore alone, in a thread of this process.
    pub(crate) fn echo() -> Self {
        Self::echo_with(Duration::from_micros(20), &Fetches { messages: 1, bytes: 1, apart: 1 })
    }

    /// The same with an idle spin window and an answer to fetches and pulls of one's own.
    pub(crate) fn echo_with(idle_spin: Duration, fetches: &Fetches) -> Self {
        let mut fetched = Vec::new();
        let header = Fetched {
            status: 0,
            messages: fetches.messages,
            next_offset: 0,
            min_offset: 0,
            max_offset: 0,
        };
        append_frame(&mut fetched, Kind::Fetched, 1, &header, fetches.bytes).unwrap();
        let fetched_bytes = vec![b'x'; fetches.bytes];
        let apart = fetches.apart;
        let header = concat!(
            r#"{"code":0,"flag":1,"language":"JAVA","opaque":1,"serializeTypeCurrentRPC":"JSON","#,
            r#""version":513,"extFields":{"queueId":"0","TRACE_ON":"true","#,
            r#""MSG_REGION":"DefaultRegion","msgId":"7F00000100002A9F0000000000000000","#,
            r#""queueOffset":"1234567"}}"#,
        )
        .as_bytes();
        let length = |bytes: usize| u32::try_from(bytes).unwrap().to_be_bytes();
        let answer = [&length(header.len() + 4)[..], &length(header.len()), header].concat();
        let header = concat!(
            r#"{"code":0,"flag":1,"language":"JAVA","opaque":0,"serializeTypeCurrentRPC":"JSON","#,
            r#""version":513,"remark":"FOUND","extFields":{"suggestWhichBrokerId":"0","#,
            r#""nextBeginOffset":"1234567","minOffset":"0","maxOffset":"7654321"}}"#,
        )
        .as_bytes();
        let frame_bytes = header.len() + 4 + fetches.bytes;
        let pulled = [&length(frame_bytes)[..], &length(header.len()), header].concat();
        let (ready_in, ready) = mpsc::channel();
        let placement = CorePlacement::Pinned(available_cores()[0]);
        let running = launch(&[placement], RingConfig::default(), move |core, _| {
            let (ready_in, answer, pulled) = (ready_in.clone(), answer.clone(), pulled.clone());
            let mut native_answer = Vec::new();
            let produced = Produced {
                records: 1,
                is_late: false,
                store_timestamp_ms: 0,
                stages: Stages::default(),
            };
            append_frame(&mut native_answer, Kind::Produced, 1, &produced, PLACED_BYTES).unwrap();
            native_answer.extend_from_slice(&[0; PLACED_BYTES]);
            let fetched = fetched.clone();
            let messages = (0..apart).map(|_| AppendBuf::copy_of(&fetched_bytes)).collect();
            core.set_idle_spin(idle_spin);
            async move {
                let listen = ["127.0.0.1:0".parse().unwrap()];
                let config = NetConfig::listening(listen, Framing::ByFirstByte);
                let echo = Echo { answer, native_answer, fetched, pulled, messages, next: 0 };
                let network = Network::bind(&core, config, echo).map_err(io::Error::other)?;
                let thread = std::fs::read_link("/proc/thread-self").unwrap();
                ready_in
                    .send((network.local_addrs()[0], format!("/proc/{}", thread.display())))
                    .unwrap();
                std::future::pending().await
            }
        });
        std::mem::forget(running.unwrap()); // it serves until the benchmark's process ends
        let (addr, cpu_of) = ready.recv().unwrap();
        Self { name: "echo".into(), addr, cpu_of, broker: None }
    }

    /// The real broker with these lines in its configuration and RocketMQ's file sizes, without a
    /// name server.
    pub(crate) fn mqbroker(name: &str, folder: &Path, settings: &str) -> Self {
        Self::broker_at(env!("CARGO_BIN_EXE_mqbroker"), name, folder, settings)
    }

    /// The same with another build of it.
    pub(crate) fn broker_at(program: &str, name: &str, folder: &Path, settings: &str) -> Self {
        let setup = BrokerSetup::new(Program::at(program), 1)
            .store_in(folder.join("store"))
            .settings(["mappedFileSizeCommitLog=1073741824"])
            .settings([format!("shardCores={}", available_cores()[0])])
            .settings(settings.lines());
        let broker = Broker::start(setup);
        let cpu_of = format!("/proc/{}", broker.process.id());
        Self { name: name.into(), addr: broker.addr(), cpu_of, broker: Some(broker) }
    }

    /// Stops a broker in good order and gives back its log.
    pub(crate) fn stop(&mut self) -> String {
        let Some(mut broker) = self.broker.take() else { return String::new() };
        assert_eq!(broker.process.stop(), Some(0), "{}: {}", self.name, broker.process.log());
        broker.process.log()
    }

    /// `NAME=HOST:PORT,PID`.
    pub(crate) fn also(text: &str) -> Self {
        let (name, rest) = text.split_once('=').unwrap();
        let (addr, pid) = rest.split_once(',').unwrap();
        Self {
            name: name.into(),
            addr: addr.parse().unwrap(),
            cpu_of: format!("/proc/{pid}"),
            broker: None,
        }
    }

    /// CPU seconds used so far by all threads of the server.
    pub(crate) fn cpu_s(&self) -> f64 {
        let tasks = Path::new(&self.cpu_of).join("task");
        let threads = match std::fs::read_dir(&tasks) {
            Ok(threads) if !self.cpu_of.contains("/task/") => {
                threads.map(|thread| thread.unwrap().path()).collect()
            }
            _ => vec![self.cpu_of.clone().into()],
        };
        let nanos = |path: &Path| {
            let stat = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0)
        };
        threads.iter().map(|thread| nanos(thread)).sum::<f64>() / 1e9
    }

    /// Seconds that it has looked for work in its idle spin so far: in none where nobody tells.
    pub(crate) fn idle_spin_s(&self) -> f64 {
        let Some(broker) = &self.broker else { return 0.0 };
        let mut client = testkit::remoting::Client::connect(broker.addr());
        let info = client.call(protocol::codes::request::GET_BROKER_RUNTIME_INFO, &[]);
        let table: protocol::bodies::KvTable = protocol::json::from_lenient(&info.body).unwrap();
        table.table["idleSpinNanos"].parse::<f64>().unwrap() / 1e9
    }

    /// Waits until the work that the server put off (writing behind, index, ConsumeQueues) is done:
    /// until it uses less than 5 % of a core for 50 ms. It belongs to the messages that made it,
    /// and must not run beside the next server's. After 5 s it goes on anyway.
    pub(crate) fn drain(&self) {
        const LOOK: Duration = Duration::from_millis(50);
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(5) {
            let before_s = self.cpu_s();
            std::thread::sleep(LOOK);
            if self.cpu_s() - before_s < 0.05 * LOOK.as_secs_f64() {
                return;
            }
        }
    }

    /// How often the kernel's workers for its rings went to sleep so far: as often they were woken.
    /// Those that have ended are missing.
    pub(crate) fn worker_wakeups(&self) -> f64 {
        let Ok(tasks) = std::fs::read_dir(Path::new(&self.cpu_of).join("task")) else { return 0.0 };
        let wakeups = |task: &Path| {
            let name = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
            let status = std::fs::read_to_string(task.join("status")).unwrap_or_default();
            let line =
                status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            let count = line.and_then(|count| count.trim().parse::<f64>().ok()).unwrap_or(0.0);
            if name.starts_with("iou-wrk") { count } else { 0.0 }
        };
        tasks.flatten().map(|task| wakeups(&task.path())).sum()
    }

    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(Path::new(&self.cpu_of).join("fd")).map_or(0, Iterator::count)
    }

    pub(crate) fn resident_kib(&self) -> u64 {
        self.status_kib("VmRSS")
    }

    /// Resident memory that is no file's: without the tail.
    pub(crate) fn anonymous_bytes(&self) -> u64 {
        self.status_kib("RssAnon") << 10
    }

    fn status_kib(&self, name: &str) -> u64 {
        let status =
            std::fs::read_to_string(Path::new(&self.cpu_of).join("status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
    }
}

pub(crate) fn wait_until_up(addr: SocketAddr) {
    let started = Instant::now();
    while TcpStream::connect(addr).is_err() {
        assert!(started.elapsed() < Duration::from_secs(30), "mqbroker does not listen on {addr}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
