//! A core with a network that sends every frame back, and plain blocking peers of it.

use netcore::{CloseReason, ConnId, Framing, Handler, Net, NetConfig, Network, Origin};
use rt::real::{CorePlacement, Running, Sender, launch};
use rt::ring::RingConfig;
use rt::{MemoryAccount, MemoryUse};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// How long anything that should happen soon may take on a loaded machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Sends every frame back and tells the test what happened.
struct Echo {
    events: mpsc::Sender<String>,
    account: MemoryAccount,
    /// The most that the account held at the end of a turn.
    held_max: Arc<AtomicUsize>,
}

impl Handler for Echo {
    fn on_open(&mut self, _: &mut Net, _: ConnId, origin: Origin, peer: SocketAddr) {
        let _sent = self.events.send(format!("open {origin:?} of {peer}"));
    }

    fn on_frame(&mut self, net: &mut Net, conn: ConnId, frame: &[u8]) {
        if frame == b"dial me" {
            net.dial("127.0.0.1:1".parse().unwrap(), 7, Framing::Remoting);
            return;
        }
        if let Some(bytes) = frame.strip_prefix(b"answer with ") {
            let bytes: usize = std::str::from_utf8(bytes).unwrap().parse().unwrap();
            if let Some(out) = net.out(conn) {
                let out = out.bytes();
                out.reserve_exact(4 + bytes);
                out.extend_from_slice(&u32::try_from(bytes).unwrap().to_be_bytes());
                out.resize(out.len() + bytes, 7);
            }
        } else if let Some(out) = net.out(conn) {
            write_frame(out.bytes(), frame);
        }
        if frame == b"close after this" {
            net.close(conn, "asked");
        }
    }

    fn on_close(&mut self, _: &mut Net, _: ConnId, reason: &CloseReason) {
        let _sent = self.events.send(format!("close {reason}"));
    }

    fn on_dial_failed(&mut self, _: &mut Net, tag: u64, error: &io::Error) {
        let _sent = self.events.send(format!("dial {tag} failed {:?}", error.kind()));
    }

    fn on_turn_end(&mut self, _: &mut Net) {
        self.held_max.fetch_max(self.account.used_bytes(), Ordering::Relaxed);
    }
}

pub(crate) fn write_frame(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
    out.extend_from_slice(payload);
}

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    events: Mutex<mpsc::Receiver<String>>,
    held_max: Arc<AtomicUsize>,
    stop: Sender<()>,
    running: Option<Running>,
}

impl Server {
    pub(crate) fn start(change: impl Fn(&mut NetConfig) + Clone + Send + 'static) -> Self {
        Self::start_on(RingConfig::default(), change)
    }

    pub(crate) fn start_on(
        ring: RingConfig,
        change: impl Fn(&mut NetConfig) + Clone + Send + 'static,
    ) -> Self {
        let (events_in, events) = mpsc::channel();
        let (ready_in, ready) = mpsc::channel();
        let held_max = Arc::new(AtomicUsize::new(0));
        let held_max_in = held_max.clone();
        let running = launch(&[CorePlacement::Unpinned], ring, move |core, _| {
            let (events, ready_in, change) = (events_in.clone(), ready_in.clone(), change.clone());
            let held_max = held_max_in.clone();
            async move {
                let listen = ["127.0.0.1:0".parse().unwrap()];
                let mut config = NetConfig::listening(listen, Framing::Remoting);
                change(&mut config);
                let account = config.memory.clone();
                let echo = Echo { events, account: account.clone(), held_max };
                let network = Network::bind(&core, config, echo).map_err(io::Error::other)?;
                let (stop, stopped) = core.mailbox()?;
                ready_in.send((network.local_addrs()[0], stop)).unwrap();
                stopped.receive().await?;
                network.stop(Duration::from_secs(1)).await;
                let left = [MemoryUse::HalfFrames, MemoryUse::Answers].map(|u| account.used_for(u));
                assert_eq!(left, [0, 0], "nobody is there, and something is charged");
                Ok(())
            }
        });
        let running = Some(running.unwrap());
        let (addr, stop) = ready.recv().unwrap();
        Self { addr, events: Mutex::new(events), held_max, stop, running }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    /// A peer whose system takes little that it does not read.
    pub(crate) fn connect_with_small_buffer(&self) -> TcpStream {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        socket.connect(&self.addr.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    pub(crate) fn wait_for(&self, what: &str) -> String {
        loop {
            let event = self.events.lock().unwrap().recv_timeout(SOON);
            let event = event.unwrap_or_else(|_| panic!("never saw {what:?}"));
            if event.contains(what) {
                return event;
            }
        }
    }

    /// The most that the core's account ever held at the end of a turn.
    pub(crate) fn held_bytes_max(&self) -> usize {
        self.held_max.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(mut self) {
        self.stop.send(());
        self.running.take().unwrap().join().unwrap();
    }
}

pub(crate) fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).unwrap();
    frame
}

/// As [`io::Read::read`], also where a signal comes in between: a socket with a time limit is not
/// read again by itself then.
pub(crate) fn read_some(stream: &mut TcpStream, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

pub(crate) fn say(stream: &mut TcpStream, payload: &[u8]) {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, payload);
    stream.write_all(&bytes).unwrap();
}

/// Bytes of this process that are in memory (`VmRSS`).
pub(crate) fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
