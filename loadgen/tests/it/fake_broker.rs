//! A broker that acknowledges sends at once, except that it can freeze once.

use protocol::remoting::{CommandHead, CommandView, write_command};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// When it freezes after its first request, and for how long.
#[derive(Clone, Copy)]
pub(crate) struct Stall {
    pub after: Duration,
    pub length: Duration,
}

/// Starts it; it lives until the test process ends.
pub(crate) fn start(stall: Option<Stall>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let first: Arc<OnceLock<Instant>> = Arc::default();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let first = Arc::clone(&first);
            std::thread::spawn(move || serve(stream, stall, &first));
        }
    });
    addr
}

fn serve(mut stream: TcpStream, stall: Option<Stall>, first: &OnceLock<Instant>) {
    stream.set_nodelay(true).unwrap();
    let mut offset = 0i64;
    let mut length = [0; 4];
    while stream.read_exact(&mut length).is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut frame).unwrap();
        let started = *first.get_or_init(Instant::now);
        if let Some(stall) = stall {
            let since = started.elapsed();
            if since >= stall.after && since < stall.after + stall.length {
                std::thread::sleep(stall.after + stall.length - since);
            }
        }
        let request = CommandView::parse(&frame).unwrap();
        let mut answer = Vec::new();
        write_command(
            &mut answer,
            &CommandHead::answer(&request, 0),
            |ext| ext.int("queueOffset", offset),
            &[],
        );
        offset += 1;
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}
