//! Senders that go on whatever happens, and remember what was acknowledged.
//!
//! Each sender has a queue. A body is `sender/connection/number`: numbers rise within a connection,
//! and a new connection begins where an answer did not come.

use protocol::codes::request;
use protocol::headers::SendHeader;
use protocol::remoting::{CommandHead, CommandView, write_command};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use testkit::message::message;

/// Without any answer for so long a connection is given up.
const SILENCE: Duration = Duration::from_secs(2);
/// Requests on the way on one connection.
const IN_FLIGHT: usize = 4;
/// The senders' topic.
pub(crate) const TOPIC: &str = "t";

/// Messages by what their answers said.
#[derive(Default)]
pub(crate) struct Answers {
    /// SEND_OK, each with its queue.
    pub(crate) acknowledged: Vec<(i32, String)>,
    /// How often each other code came.
    pub(crate) others: BTreeMap<i32, u64>,
}

struct Shared {
    stop: AtomicBool,
    master: Mutex<SocketAddr>,
    acknowledged: AtomicU64,
    answers: Mutex<Answers>,
}

/// The senders. Stopped when dropped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins with so many senders.
    pub(crate) fn start(master: SocketAddr, senders: i32) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            master: Mutex::new(master),
            acknowledged: AtomicU64::new(0),
            answers: Mutex::default(),
        });
        let thread = |queue| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || send_until_stopped(&shared, queue))
        };
        let threads = (0..senders).map(thread).collect();
        Self { shared, threads }
    }

    /// Senders that lose their connection go there from now on.
    pub(crate) fn go_to(&self, master: SocketAddr) {
        *self.shared.master.lock().unwrap() = master;
    }

    /// How many were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Takes what was answered since the last time.
    pub(crate) fn take(&self) -> Answers {
        std::mem::take(&mut *self.shared.answers.lock().unwrap())
    }

    /// Ends the senders.
    pub(crate) fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn send_until_stopped(shared: &Shared, queue: i32) {
    let mut connection = 0u64;
    while !shared.stop.load(Ordering::Relaxed) {
        let addr = *shared.master.lock().unwrap();
        connection += 1;
        // Why it ended does not matter: the next one begins with numbers of its own.
        let _ended = TcpStream::connect_timeout(&addr, Duration::from_millis(300))
            .and_then(|stream| on_connection(shared, stream, queue, connection));
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn on_connection(
    shared: &Shared,
    mut stream: TcpStream,
    queue: i32,
    connection: u64,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let filling = "f".repeat(200);
    let mut on_the_way: BTreeMap<i32, String> = BTreeMap::new();
    let mut number = 0;
    while !(shared.stop.load(Ordering::Relaxed) && on_the_way.is_empty()) {
        while on_the_way.len() < IN_FLIGHT && !shared.stop.load(Ordering::Relaxed) {
            number += 1;
            let text = format!("{queue}/{connection}/{number} {filling}");
            stream.write_all(&frame(queue, number, &text))?;
            on_the_way.insert(number, text);
        }
        let (opaque, code) = answer(&mut stream)?;
        let Some(text) = on_the_way.remove(&opaque) else { continue };
        let mut answers = shared.answers.lock().unwrap();
        if code == 0 {
            answers.acknowledged.push((queue, text));
            shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        } else {
            *answers.others.entry(code).or_default() += 1;
        }
    }
    Ok(())
}

fn frame(queue: i32, opaque: i32, text: &str) -> Vec<u8> {
    let header = SendHeader { queue_id: queue, ..message(TOPIC) };
    let code = request::SEND_MESSAGE_V2;
    let head = CommandHead { code, opaque, ..CommandHead::default() };
    let mut frame = Vec::new();
    write_command(&mut frame, &head, |ext| header.write_v2(ext), text.as_bytes());
    frame
}

/// The number and the code of the next answer.
fn answer(stream: &mut TcpStream) -> io::Result<(i32, i32)> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut bytes)?;
    let view = CommandView::parse(&bytes).unwrap();
    Ok((view.opaque, view.code))
}
