//! What another group costs: one that lags, and one that never reads its answers.

use super::{PULLED, Server, median, one_by_one, pull};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Beside whom a group is measured.
const BESIDE: [(&str, Option<Neighbour>); 3] =
    [("alone", None), ("beside a lagging group", Some(lag)), ("beside a deaf group", Some(deaf))];

/// Asks until it is told to stop.
type Neighbour = fn(TcpStream, &AtomicBool);

/// From send to receive, p50 and p99, in rounds that take turns.
pub(crate) fn run(broker: &Server, rounds: usize, seconds: f64) -> String {
    let mut all: [[Vec<f64>; 2]; BESIDE.len()] = Default::default();
    for _ in 0..rounds {
        for ((_, neighbour), of) in BESIDE.into_iter().zip(&mut all) {
            let times = beside(broker.addr, neighbour, seconds);
            for (percent, of) in [50, 99].into_iter().zip(of) {
                of.push(times[times.len() * percent / 100]);
            }
        }
    }
    let line = |((name, _), [p50, p99]): ((&str, _), [Vec<f64>; 2])| {
        let (p50, p99) = (median(p50), median(p99));
        format!("neighbours, {name}: p50 {p50:.1} µs, p99 {p99:.1} µs\n")
    };
    BESIDE.into_iter().zip(all).map(line).collect()
}

fn beside(addr: SocketAddr, neighbour: Option<Neighbour>, seconds: f64) -> Vec<f64> {
    let stops = Arc::new(AtomicBool::new(false));
    let thread = neighbour.map(|neighbour| {
        let (stream, stops) = (TcpStream::connect(addr).unwrap(), stops.clone());
        std::thread::spawn(move || neighbour(stream, &stops))
    });
    let mut times = std::thread::spawn(move || one_by_one(addr, seconds)).join().unwrap();
    stops.store(true, Ordering::Release);
    if let Some(thread) = thread {
        thread.join().unwrap();
    }
    times.sort_by(f64::total_cmp);
    times
}

/// Reads the queue from its beginning, 32 messages at a time, as one does that is far behind; with
/// the pauses of a consumer that works on what it got.
fn lag(mut stream: TcpStream, stops: &AtomicBool) {
    let mut offset = 0;
    let mut answer = vec![0; 1 << 20];
    while !stops.load(Ordering::Acquire) {
        stream.write_all(&pull(offset, PULLED, false)).unwrap();
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap();
        stream.read_exact(&mut answer[..length]).unwrap();
        // Wherever it ends: at the queue's end it begins anew.
        offset = if length > 1_000 { offset + i64::from(PULLED) } else { 0 };
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Asks for everything, and reads nothing: its answers pile up until the broker stops reading it.
fn deaf(mut stream: TcpStream, stops: &AtomicBool) {
    stream.set_write_timeout(Some(Duration::from_millis(10))).unwrap();
    let frame = pull(0, PULLED, false);
    let mut at = 0;
    while !stops.load(Ordering::Acquire) {
        match stream.write(&frame[at..]) {
            Ok(written) => at = (at + written) % frame.len(),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return, // the broker has closed it, which ends its cost
        }
    }
}
