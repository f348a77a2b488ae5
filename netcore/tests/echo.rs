//! The network against plain blocking sockets: frames come back whole, whatever the peers do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use netcore::{CloseReason, ConnId, Handler, Net, NetConfig, Network, Origin};
use rt::real::{CorePlacement, Running, Sender, launch};
use rt::ring::RingConfig;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

/// Sends every frame back and tells the test what happened.
struct Echo {
    events: mpsc::Sender<String>,
}

impl Handler for Echo {
    fn on_open(&mut self, _: &mut Net, _: ConnId, origin: Origin, _: SocketAddr) {
        let _sent = self.events.send(format!("open {origin:?}"));
    }

    fn on_frame(&mut self, net: &mut Net, conn: ConnId, frame: &[u8]) {
        if frame == b"dial me" {
            net.dial("127.0.0.1:1".parse().unwrap(), 7);
            return;
        }
        if let Some(out) = net.out(conn) {
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
}

fn write_frame(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
    out.extend_from_slice(payload);
}

struct Server {
    addr: SocketAddr,
    events: mpsc::Receiver<String>,
    stop: Sender<()>,
    running: Option<Running>,
}

impl Server {
    fn start(change: impl Fn(&mut NetConfig) + Clone + Send + 'static) -> Self {
        Self::start_on(RingConfig::default(), change)
    }

    fn start_on(
        ring: RingConfig,
        change: impl Fn(&mut NetConfig) + Clone + Send + 'static,
    ) -> Self {
        let (events_in, events) = mpsc::channel();
        let (ready_in, ready) = mpsc::channel();
        let running = launch(&[CorePlacement::Unpinned], ring, move |core, _| {
            let (events_in, ready_in, change) =
                (events_in.clone(), ready_in.clone(), change.clone());
            async move {
                let mut config = NetConfig::listening(vec!["127.0.0.1:0".parse().unwrap()]);
                change(&mut config);
                let network = Network::bind(&core, config, Echo { events: events_in })
                    .map_err(io::Error::other)?;
                let (stop, stopped) = core.mailbox()?;
                ready_in.send((network.local_addrs()[0], stop)).unwrap();
                stopped.receive().await?;
                network.stop(Duration::from_secs(1)).await;
                Ok(())
            }
        });
        let running = Some(running.unwrap());
        let (addr, stop) = ready.recv().unwrap();
        Self { addr, events, stop, running }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn wait_for(&self, what: &str) -> String {
        loop {
            let event = self
                .events
                .recv_timeout(Duration::from_secs(20))
                .unwrap_or_else(|_| panic!("never saw {what:?}"));
            if event.contains(what) {
                return event;
            }
        }
    }

    fn stop(mut self) {
        self.stop.send(());
        self.running.take().unwrap().join().unwrap();
    }
}

fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).unwrap();
    frame
}

fn say(stream: &mut TcpStream, payload: &[u8]) {
    let mut bytes = Vec::new();
    write_frame(&mut bytes, payload);
    stream.write_all(&bytes).unwrap();
}

#[test]
fn frames_of_all_sizes_come_back_in_order() {
    let server = Server::start(|_| ());
    let mut stream = server.connect();
    let sizes = [4, 5, 100, 1024, 65_535, 65_536, 65_537, 300_000, 2_000_000, 4];
    for (i, size) in sizes.iter().enumerate() {
        let payload = vec![u8::try_from(i).unwrap(); *size];
        say(&mut stream, &payload);
        assert!(read_frame(&mut stream) == payload, "frame of {size} bytes");
    }
    let mut pipelined = Vec::new();
    (0..5000u32).for_each(|i| write_frame(&mut pipelined, &i.to_be_bytes()));
    let mut reader = stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || stream.write_all(&pipelined).map(|()| stream));
    for i in 0..5000u32 {
        assert_eq!(read_frame(&mut reader), i.to_be_bytes());
    }
    drop((writer.join().unwrap().unwrap(), reader));
    assert!(server.wait_for("close").contains("closed by the peer"));
    server.stop();
}

#[test]
fn many_connections_are_served_at_once() {
    let server = Server::start(|_| ());
    let mut streams: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for round in 0..3u32 {
        streams.iter_mut().for_each(|stream| say(stream, &round.to_be_bytes()));
        for stream in &mut streams {
            assert_eq!(read_frame(stream), round.to_be_bytes());
        }
    }
    server.stop();
}

#[test]
fn half_a_frame_of_many_peers_starves_nobody() {
    let server = Server::start(|_| ());
    let mut slow: Vec<_> = (0..100).map(|_| server.connect()).collect();
    slow.iter_mut().for_each(|stream| stream.write_all(&[0, 0, 0, 200, 1, 2, 3]).unwrap());
    let mut quick = server.connect();
    say(&mut quick, b"still here");
    assert_eq!(read_frame(&mut quick), b"still here");
    server.stop();
}

#[test]
fn frames_are_whole_wherever_what_arrives_is_cut() {
    for receive_buf_bytes in [1, 9, 64 * 1024] {
        let server =
            Server::start_on(RingConfig { receive_buf_bytes, ..RingConfig::default() }, |_| ());
        let mut stream = server.connect();
        let (first, second) = (b"the one before".to_vec(), b"cut at every byte".to_vec());
        let mut both = Vec::new();
        write_frame(&mut both, &first);
        let begins = both.len();
        write_frame(&mut both, &second);
        for cut in begins..=both.len() {
            stream.write_all(&both[..cut]).unwrap();
            assert_eq!(read_frame(&mut stream), first); // the server has read, so the rest is a read of its own
            stream.write_all(&both[cut..]).unwrap();
            assert_eq!(
                read_frame(&mut stream),
                second,
                "cut at {cut}, buffer of {receive_buf_bytes}"
            );
        }
        server.stop();
    }
}

#[test]
fn a_peer_that_never_stops_sending_delays_nobody_for_ever() {
    let server = Server::start(|_| ());
    let mut loud = server.connect();
    let mut echoes = loud.try_clone().unwrap();
    let mut flood = Vec::new();
    (0..1000_u32).for_each(|_| write_frame(&mut flood, &[7; 1000]));
    let writer = std::thread::spawn(move || while loud.write_all(&flood).is_ok() {});
    let reader =
        std::thread::spawn(
            move || while echoes.read(&mut [0; 65_536]).is_ok_and(|bytes| bytes > 0) {},
        );
    let mut other = server.connect();
    for i in 0..200_u32 {
        say(&mut other, &i.to_be_bytes());
        assert_eq!(read_frame(&mut other), i.to_be_bytes());
    }
    server.stop();
    writer.join().unwrap();
    reader.join().unwrap();
}

#[test]
fn garbage_and_wrong_lengths_end_only_their_connection() {
    let server = Server::start(|config| config.frame_bytes_max = 1000);
    let mut good = server.connect();
    for (bytes, said) in [
        (&b"GET / HTTP/1.1\r\n"[..], "first byte 0x47"),
        (&[0x16, 3, 1, 0, 5][..], "TLS"),
        (&[0, 0, 4, 0, 1][..], "1024 bytes announced, at most 1000"),
        (&[0, 0, 0, 1, 1][..], "1 bytes announced"),
    ] {
        let mut bad = server.connect();
        bad.write_all(bytes).unwrap();
        let mut rest = Vec::new();
        let _reset_or_end = bad.read_to_end(&mut rest);
        assert!(rest.is_empty());
        server.wait_for(said);
    }
    say(&mut good, b"undisturbed");
    assert_eq!(read_frame(&mut good), b"undisturbed");
    server.stop();
}

#[test]
fn a_peer_that_closes_in_mid_frame_is_named_so() {
    let server = Server::start(|_| ());
    let mut stream = server.connect();
    stream.write_all(&[0, 0, 0, 200, 1, 2, 3]).unwrap();
    drop(stream);
    server.wait_for("in the middle of a frame, after 7 bytes");
    server.stop();
}

#[test]
fn silence_is_ended() {
    let server = Server::start(|config| config.idle_timeout = Duration::from_millis(500));
    let mut stream = server.connect();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    server.wait_for("close silent");
    server.stop();
}

#[test]
fn a_peer_that_never_reads_is_paused_then_closed_and_memory_stays_bounded() {
    let server = Server::start(|config| {
        config.out_pause_bytes = 256 * 1024;
        config.out_bytes_max = 1024 * 1024;
    });
    let mut deaf = server.connect();
    deaf.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut frame = Vec::new();
    write_frame(&mut frame, &vec![7; 64 * 1024]);
    let mut written = 0;
    while written < 4096 && deaf.write_all(&frame).is_ok() {
        written += 1;
    }
    assert!(written < 4096, "256 MiB were taken although nothing was read back");
    let mut other = server.connect();
    say(&mut other, b"still here");
    assert_eq!(read_frame(&mut other), b"still here");
    drop(deaf);
    server.wait_for("close");
    server.stop();
}

#[test]
fn what_is_queued_goes_out_before_a_close() {
    let server = Server::start(|_| ());
    let mut stream = server.connect();
    say(&mut stream, b"close after this");
    assert_eq!(read_frame(&mut stream), b"close after this");
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    server.wait_for("close asked");
    server.stop();
}

#[test]
fn a_dial_that_fails_is_reported_with_its_tag() {
    let server = Server::start(|_| ());
    let mut stream = server.connect();
    say(&mut stream, b"dial me");
    server.wait_for("dial 7 failed ConnectionRefused");
    server.stop();
}

#[test]
fn ten_thousand_connections_opened_and_dropped_leave_nothing_behind() {
    let server = Server::start(|_| ());
    for _ in 0..100 {
        let streams: Vec<_> = (0..100).map(|_| server.connect()).collect();
        drop(streams);
    }
    let mut stream = server.connect();
    say(&mut stream, b"last");
    assert_eq!(read_frame(&mut stream), b"last");
    (0..10_000).for_each(|_| drop(server.wait_for("close")));
    server.stop();
}
