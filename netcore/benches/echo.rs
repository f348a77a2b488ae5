//! How near the network is to what this host's sockets can do: the same frames echoed by bare
//! epoll, by a bare ring on a plain thread, and by netcore on its glommio executor; one client, one
//! configuration, interleaved rounds.
//!
//! `cargo bench -p netcore --bench echo` prints messages/s and CPU per message of the server,
//! medians over rounds. Without `--bench` (under `cargo test`) it only shows that each server
//! echoes. `-- --rounds 7 --seconds 1 --save FILE` for a published run, `--load 64x32` for one row.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

use netcore::{CloseReason, ConnId, Framing, Handler, Net, NetConfig, Network, Origin};
use rt::real::{CorePlacement, available_cores, launch};
use rt::ring::{Event, Ring, RingConfig, SendQueue, Socket, Wait, listen_socket};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A 1 KiB message with its header, and its answer: what a send is on the wire.
const REQUEST_BYTES: usize = 1280;
const ANSWER_BYTES: usize = 128;
const LOADS: [(usize, usize); 5] = [(1, 1), (16, 1), (64, 1), (16, 8), (64, 32)];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let measured = args.iter().any(|a| a == "--bench");
    let rounds = option("--rounds").map_or(if measured { 5 } else { 1 }, |v| v.parse().unwrap());
    let seconds =
        option("--seconds").map_or(if measured { 1.0 } else { 0.02 }, |v| v.parse().unwrap());
    let load = |text: &String| {
        text.split_once('x').map(|(c, d)| [(c.parse().unwrap(), d.parse().unwrap())]).unwrap()
    };
    let one = option("--load").map(load);
    let loads =
        one.as_ref().map_or(if measured { &LOADS[..] } else { &LOADS[1..2] }, |one| &one[..]);
    let mut text = format!(
        "{:>9}  {:<10} {:>12} {:>14} {:>10} {:>8}\n",
        "load", "server", "messages/s", "CPU ns/message", "RT p50 µs", "vs best"
    );
    for &(connections, depth) in loads {
        let mut results: HashMap<&str, Vec<Outcome>> = HashMap::new();
        for _ in 0..rounds {
            for kind in Kind::ALL {
                results.entry(kind.name()).or_default().push(run(
                    kind,
                    connections,
                    depth,
                    seconds,
                ));
            }
        }
        text += &rows(connections, depth, &results);
    }
    print!("{text}");
    if let Some(path) = option("--save") {
        std::fs::write(path, &text).unwrap();
    }
}

fn rows(connections: usize, depth: usize, results: &HashMap<&str, Vec<Outcome>>) -> String {
    let rate = |name: &str| median(results[name].iter().map(|o| o.rate).collect());
    let best = Kind::ALL
        .iter()
        .filter(|k| **k != Kind::Netcore)
        .map(|k| rate(k.name()))
        .fold(0.0, f64::max);
    let row = |kind: &Kind| {
        let all = &results[kind.name()];
        let cpu = median(all.iter().map(|o| o.cpu_ns).collect());
        let p50 = median(all.iter().map(|o| o.p50_us).collect());
        let load = format!("{connections}×{depth}");
        let share = 100.0 * rate(kind.name()) / best;
        format!(
            "{load:>9}  {:<10} {:>12.0} {cpu:>14.0} {p50:>10.1} {share:>7.0}%\n",
            kind.name(),
            rate(kind.name())
        )
    };
    Kind::ALL.iter().map(row).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Epoll,
    Ring,
    Netcore,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Epoll, Self::Ring, Self::Netcore];

    fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::Ring => "bare ring",
            Self::Netcore => "netcore",
        }
    }
}

struct Outcome {
    rate: f64,
    cpu_ns: f64,
    p50_us: f64,
}

/// Starts one server on the first core and the client on the last; the server ends when its
/// connections have.
fn run(kind: Kind, connections: usize, depth: usize, seconds: f64) -> Outcome {
    let cores = available_cores();
    let (server_core, client_core) = (cores[0], cores[cores.len() - 1]);
    let (ready_in, ready) = mpsc::channel();
    let server = std::thread::spawn(move || match kind {
        Kind::Epoll => epoll_server(server_core, connections, &ready_in),
        Kind::Ring => ring_server(server_core, connections, &ready_in),
        Kind::Netcore => netcore_server(server_core, connections, ready_in),
    });
    let addr = ready.recv().unwrap();
    let client = std::thread::spawn(move || client(client_core, addr, connections, depth, seconds));
    let (messages, elapsed, p50_us) = client.join().unwrap();
    let cpu_s = server.join().unwrap();
    Outcome { rate: messages / elapsed, cpu_ns: cpu_s * 1e9 / messages, p50_us }
}

fn client(
    core: usize,
    addr: SocketAddr,
    connections: usize,
    depth: usize,
    seconds: f64,
) -> (f64, f64, f64) {
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
    let mut streams: Vec<TcpStream> =
        (0..connections).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let frame =
        [&u32::try_from(REQUEST_BYTES - 4).unwrap().to_be_bytes()[..], &[3; REQUEST_BYTES - 4]]
            .concat();
    let request = frame.repeat(depth);
    let mut answer = vec![0; ANSWER_BYTES * depth];
    let mut sent_at = vec![Instant::now(); connections];
    let mut times = Vec::new();
    for stream in &mut streams {
        stream.set_nodelay(true).unwrap();
        stream.write_all(&request).unwrap();
    }
    let (started, mut messages) = (Instant::now(), 0);
    while started.elapsed().as_secs_f64() < seconds {
        for (stream, sent_at) in streams.iter_mut().zip(&mut sent_at) {
            stream.read_exact(&mut answer).unwrap();
            times.push(sent_at.elapsed().as_secs_f64() * 1e6);
            messages += depth;
            *sent_at = Instant::now();
            stream.write_all(&request).unwrap();
        }
    }
    let elapsed = started.elapsed().as_secs_f64();
    streams.iter_mut().for_each(|stream| stream.read_exact(&mut answer).unwrap());
    (messages as f64, elapsed, median(times))
}

/// CPU seconds of the calling thread.
fn thread_cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn epoll_server(core: usize, connections: usize, ready: &mpsc::Sender<SocketAddr>) -> f64 {
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    ready.send(listener.local_addr().unwrap()).unwrap();
    let mut poll = mio::Poll::new().unwrap();
    let mut events = mio::Events::with_capacity(256);
    let mut streams: Vec<_> =
        (0..connections).map(|_| mio::net::TcpStream::from_std(accept(&listener))).collect();
    for (i, stream) in streams.iter_mut().enumerate() {
        poll.registry().register(stream, mio::Token(i), mio::Interest::READABLE).unwrap();
    }
    let (mut have, mut buf, mut open) = (vec![0; connections], vec![0; 65536], connections);
    let out = vec![1; 65536];
    let cpu = thread_cpu_s();
    while open > 0 {
        poll.poll(&mut events, None).unwrap();
        for event in &events {
            let i = event.token().0;
            loop {
                match streams[i].read(&mut buf) {
                    Ok(0) => {
                        poll.registry().deregister(&mut streams[i]).unwrap();
                        open -= 1;
                        break;
                    }
                    Ok(bytes) => {
                        have[i] += bytes;
                        let whole = have[i] / REQUEST_BYTES;
                        have[i] %= REQUEST_BYTES;
                        streams[i].write_all(&out[..whole * ANSWER_BYTES]).unwrap();
                        if bytes < buf.len() {
                            // Drained: mio is edge-triggered, and a short read says that the
                            // socket is empty.
                            break;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
    thread_cpu_s() - cpu
}

fn accept(listener: &std::net::TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_nonblocking(true).unwrap();
    stream
}

fn ring_server(core: usize, connections: usize, ready: &mpsc::Sender<SocketAddr>) -> f64 {
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
    let mut ring = Ring::new(&RingConfig::default()).unwrap();
    let listener = listen_socket("127.0.0.1:0".parse().unwrap(), 128).unwrap();
    ready.send(listener.local_addr().unwrap()).unwrap();
    ring.accept(u64::MAX, &listener);
    let mut peers: Vec<(Socket, usize)> = Vec::new();
    let mut queues: Vec<SendQueue> = Vec::new();
    let (mut gone, mut cpu) = (0, thread_cpu_s());
    let (mut to_send, mut to_receive): (Vec<(u64, usize)>, Vec<u64>) = (Vec::new(), Vec::new());
    let out = vec![1; 65536];
    while gone < connections {
        ring.turn(Wait::AtMost(Duration::from_secs(1)), &mut |event| match event {
            Event::Accepted { socket, .. } => {
                socket.set_nodelay().unwrap();
                to_receive.push(peers.len() as u64);
                peers.push((socket, 0));
                cpu = thread_cpu_s();
            }
            Event::Received { token, data } => {
                let peer = &mut peers[usize::try_from(token).unwrap()];
                peer.1 += data.len();
                to_send.push((token, peer.1 / REQUEST_BYTES));
                peer.1 %= REQUEST_BYTES;
            }
            Event::ReceiveEnded { .. } => gone += 1,
            Event::Sent { mut queue, .. } => {
                queue.clear();
                queues.push(queue);
            }
            Event::AcceptEnded { .. } | Event::Connected { .. } => {}
        })
        .unwrap();
        to_receive
            .drain(..)
            .for_each(|token| ring.receive(token, &peers[usize::try_from(token).unwrap()].0));
        for (token, whole) in to_send.drain(..).filter(|(_, whole)| *whole > 0) {
            let mut queue = queues.pop().unwrap_or_default();
            queue.bytes().extend_from_slice(&out[..whole * ANSWER_BYTES]);
            ring.send(token, &peers[usize::try_from(token).unwrap()].0, queue);
        }
    }
    thread_cpu_s() - cpu
}

/// netcore with a handler that answers each frame.
struct Echo {
    open: usize,
    started: f64,
    done: Option<rt::real::Sender<f64>>,
}

impl Handler for Echo {
    fn on_open(&mut self, _: &mut Net, _: ConnId, _: Origin, _: SocketAddr) {
        self.started = thread_cpu_s();
    }

    fn on_frame(&mut self, net: &mut Net, conn: ConnId, frame: &[u8]) {
        assert_eq!(frame.len(), REQUEST_BYTES - 4);
        if let Some(out) = net.out(conn) {
            out.bytes().extend_from_slice(&[1; ANSWER_BYTES]);
        }
    }

    fn on_close(&mut self, _: &mut Net, _: ConnId, _: &CloseReason) {
        self.open -= 1;
        if self.open == 0
            && let Some(done) = self.done.take()
        {
            done.send(thread_cpu_s() - self.started);
        }
    }

    fn on_dial_failed(&mut self, _: &mut Net, _: u64, _: &io::Error) {}
}

fn netcore_server(core: usize, connections: usize, ready: mpsc::Sender<SocketAddr>) -> f64 {
    let (cpu_in, cpu) = mpsc::channel();
    let running = launch(&[CorePlacement::Pinned(core)], RingConfig::default(), move |core, _| {
        let (ready, cpu_in) = (ready.clone(), cpu_in.clone());
        async move {
            let (done_in, done) = core.mailbox()?;
            let echo = Echo { open: connections, started: 0.0, done: Some(done_in) };
            let listen = ["127.0.0.1:0".parse().unwrap()];
            let network =
                Network::bind(&core, NetConfig::listening(listen, Framing::Remoting), echo)
                    .map_err(io::Error::other)?;
            ready.send(network.local_addrs()[0]).unwrap();
            cpu_in.send(done.receive().await?).unwrap();
            network.stop(Duration::from_secs(1)).await;
            Ok(())
        }
    });
    running.unwrap().join().unwrap();
    cpu.recv().unwrap()
}
