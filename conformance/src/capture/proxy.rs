//! A TCP proxy that shows the recorder every frame and changes nothing.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::process::Stop;

use super::frames::{Recorder, Splitter, Way};

/// Where proxies listen; the servers are on 127.0.0.1 with the same ports.
pub(crate) const LISTEN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const READ_BYTES: usize = 64 << 10;

/// A listening proxy. It lives as long as the process: a capture is a short one.
#[derive(Debug)]
pub(crate) struct Proxy;

impl Proxy {
    /// Listens on 127.0.0.2 and forwards to 127.0.0.1.
    pub(crate) fn start(port: u16, recorder: Arc<Mutex<Recorder>>) -> Result<Self, Stop> {
        let listener = TcpListener::bind((LISTEN, port))
            .map_err(Stop::while_doing(format!("listening on {LISTEN}:{port}")))?;
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is not up yet: the client sees a closed connection, as it would
                // without us.
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                    let _ = join(client, server, &recorder);
                }
            }
        });
        Ok(Self)
    }
}

fn join(
    client: TcpStream,
    server: TcpStream,
    recorder: &Arc<Mutex<Recorder>>,
) -> std::io::Result<()> {
    let connection = recorder.lock().unwrap_or_else(PoisonError::into_inner).connection();
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    for (from, to, way) in
        [(client.try_clone()?, server.try_clone()?, Way::ToServer), (server, client, Way::ToClient)]
    {
        let recorder = Arc::clone(recorder);
        thread::spawn(move || {
            copy(from, to, |frame| {
                recorder.lock().unwrap_or_else(PoisonError::into_inner).saw(connection, way, frame);
            })
        });
    }
    Ok(())
}

/// Records first, so that a request is known before its answer can come.
fn copy(mut from: TcpStream, mut to: TcpStream, mut saw: impl FnMut(&[u8])) {
    let mut splitter = Splitter::default();
    let mut bytes = vec![0; READ_BYTES];
    while let Ok(count) = from.read(&mut bytes) {
        splitter.feed(&bytes[..count]).iter().for_each(|frame| saw(frame));
        if count == 0 || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    // Both sides may be gone already: then there is nothing left to close.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
