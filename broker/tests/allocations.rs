//! Heap allocations per message on the whole path of a send, counted: the real broker in this process, over a socket, with
//! an allocator that counts. The client allocates nothing while it is measured, so whatever is counted is the broker's.
//!
//! What remains, and why it is not per message: each write to the device takes one small operation record and one shared
//! state (a write carries everything that gathered since the last one), and background tasks run a few times a second.

#![expect(clippy::unwrap_used, unsafe_code, reason = "a test fails by panicking; a GlobalAlloc can only be written with unsafe")]

use protocol::codes::request;
use protocol::headers::SendHeader;
use protocol::remoting::{CommandHead, write_command};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: hands every call to the system's allocator unchanged, and counts.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller's promises are passed on.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: see the impl.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller's promises are passed on.
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: see the impl.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const DEPTH: usize = 32;

fn start_broker(store: &std::path::Path) -> TcpStream {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = [
        format!("listenPort={port}"),
        format!("storePathRootDir={}", store.display()),
        "brokerIP1=127.0.0.1".into(),
        "mappedFileSizeCommitLog=268435456".into(),
        "tailCacheBytes=8388608".into(),
    ];
    let args = settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]);
    let args: Vec<String> = std::iter::once("mqbroker".to_owned()).chain(args).collect();
    std::thread::spawn(move || broker::run(args.into_iter().map(Into::into)));
    let started = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(_) => assert!(started.elapsed() < Duration::from_secs(30), "the broker does not come up"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn requests() -> Vec<u8> {
    let header = SendHeader {
        producer_group: "p",
        topic: "Allocations",
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        born_timestamp_ms: 1_700_000_000_000,
        properties: "UNIQ_KEY\u{1}7F00000100002A9F0000000000000000\u{2}TAGS\u{1}TagA\u{2}WAIT\u{1}true",
        ..SendHeader::default()
    };
    let mut frames = Vec::new();
    for _ in 0..DEPTH {
        let head = CommandHead { code: request::SEND_MESSAGE_V2, opaque: 1, ..CommandHead::default() };
        write_command(&mut frames, &head, |w| header.write_v2(w), &[b'x'; 1024]);
    }
    frames
}

/// Sends `rounds` × [`DEPTH`] messages and counts as many answers, without allocating.
fn send(stream: &mut TcpStream, requests: &[u8], buf: &mut [u8], rounds: usize) {
    for _ in 0..rounds {
        stream.write_all(requests).unwrap();
        let (mut answers, mut have) = (0, 0);
        while answers < DEPTH {
            let read = stream.read(&mut buf[have..]).unwrap();
            assert!(read > 0, "the broker closed the connection");
            have += read;
            let mut at = 0;
            while let Some(length) = buf[at..have].first_chunk::<4>() {
                let end = at + 4 + u32::from_be_bytes(*length) as usize;
                if end > have {
                    break;
                }
                let head = &buf[at + 8..end];
                assert!(head.windows(9).any(|w| w == b"\"code\":0,"), "not stored");
                answers += 1;
                at = end;
            }
            buf.copy_within(at..have, 0);
            have -= at;
        }
    }
}

#[test]
fn a_send_allocates_only_per_wake_and_per_write_never_per_message() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut stream = start_broker(folder.path());
    stream.set_nodelay(true).unwrap();
    let (requests, mut buf) = (requests(), vec![0; 64 * 1024]);
    send(&mut stream, &requests, &mut buf, 1000); // past the first lap of the tail: its chunks are used again
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let rounds = 1000;
    send(&mut stream, &requests, &mut buf, rounds);
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    let per_message = allocations as f64 / (rounds * DEPTH) as f64;
    println!("{per_message:.4} allocations per message ({allocations} for {} messages)", rounds * DEPTH);
    assert!(per_message < 0.5, "{per_message} allocations per message: something on the data path allocates");
}
