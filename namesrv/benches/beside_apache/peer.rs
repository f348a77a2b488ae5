//! Who asks for routes: a connection that keeps so many questions in flight.

use protocol::codes::request;
use protocol::remoting::{CommandHead, write_command};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) struct Asker {
    stream: TcpStream,
    /// Each is so many questions, written at once.
    batches: Vec<Vec<u8>>,
    next: usize,
    in_flight: usize,
    buf: Vec<u8>,
    have: usize,
}

impl Asker {
    pub(crate) fn connect<'t>(
        addr: SocketAddr,
        topics: impl Iterator<Item = &'t str>,
        in_flight: usize,
    ) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let head = CommandHead {
            code: request::GET_ROUTEINFO_BY_TOPIC,
            opaque: 1,
            ..CommandHead::default()
        };
        let questions: Vec<Vec<u8>> = topics
            .map(|topic| {
                let mut frame = Vec::new();
                write_command(&mut frame, &head, |ext| ext.str("topic", topic), b"");
                frame
            })
            .collect();
        let batches = questions.chunks_exact(in_flight).map(<[_]>::concat).collect();
        Self { stream, batches, next: 0, in_flight, buf: vec![0; 256 * 1024], have: 0 }
    }

    pub(crate) fn ask(&mut self) {
        self.stream.write_all(&self.batches[self.next]).unwrap();
        self.next = (self.next + 1) % self.batches.len();
    }

    /// Waits for all answers. Each must be a route.
    pub(crate) fn receive(&mut self) {
        let mut missing = self.in_flight;
        while missing > 0 {
            let read = self.stream.read(&mut self.buf[self.have..]).unwrap();
            assert!(read > 0, "the server closed the connection");
            self.have += read;
            let mut at = 0;
            while let Some(length) = self.buf[at..self.have].first_chunk::<4>() {
                let end = at + 4 + u32::from_be_bytes(*length) as usize;
                if end > self.have {
                    break;
                }
                assert!(is_route(&self.buf[at..end]), "an answer is no route");
                missing -= 1;
                at = end;
            }
            self.buf.copy_within(at..self.have, 0);
            self.have -= at;
        }
    }
}

/// Looks for the code and for a broker in the answer's text: cheaper than parsing it, and the same
/// work for every server.
fn is_route(frame: &[u8]) -> bool {
    let header = &frame[8..frame.len().min(72)];
    let has = |text: &[u8], name: &[u8]| text.windows(name.len()).any(|part| part == name);
    (has(header, b"\"code\":0,") || has(header, b"\"code\":0}")) && frame.ends_with(b"}")
}
