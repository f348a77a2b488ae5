//! A handler and its connections on one core.

use crate::connection::{CloseReason, ConnId, Ending};
use crate::events::{self, StoppedListeners};
use crate::net::{LISTENER, Net, conn_id};
use crate::scan::scan;
use crate::{Handler, NetConfig, limits};
use rt::real::{Core, RingClient};
use rt::ring::{Event, Ring, Socket};
use rt::{Priority, Runtime};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Why the network could not start, with the fix.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The address is taken.
    #[error(
        "{addr} is already in use. Fix: stop the program that listens there (`ss -ltnp 'sport = \
            :{port}'`) or set another listenPort"
    )]
    InUse {
        /// The address.
        addr: SocketAddr,
        /// Its port.
        port: u16,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {error}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the kernel said.
        error: io::Error,
    },
}

struct Inner<H> {
    core: Core,
    net: RefCell<Net>,
    handler: RefCell<H>,
    listeners: Vec<Socket>,
    /// Listeners to (re)start at the end of the turn.
    to_accept: RefCell<StoppedListeners>,
    /// Listeners whose accept failed, restarted by the next scan.
    stopped: RefCell<StoppedListeners>,
    stopping: Cell<bool>,
    listeners_shut: Cell<bool>,
}

/// A running network: a handler and its connections. Cloning gives another handle, for tasks of the
/// same core.
pub struct Network<H>(Rc<Inner<H>>);

impl<H> Clone for Network<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<H: Handler> Network<H> {
    /// Listens and starts serving. Accepted connections reach `handler` from the core's next turn
    /// on.
    pub fn bind(core: &Core, config: NetConfig, handler: H) -> Result<Self, NetError> {
        let listeners =
            config.listen.iter().map(|l| listen(l.addr)).collect::<Result<Vec<_>, _>>()?;
        let to_accept = (0..listeners.len()).collect();
        let network = Self(Rc::new(Inner {
            core: core.clone(),
            net: RefCell::new(Net::new(config)),
            handler: RefCell::new(handler),
            listeners,
            to_accept: RefCell::new(to_accept),
            stopped: RefCell::new(Vec::new()),
            stopping: Cell::new(false),
            listeners_shut: Cell::new(false),
        }));
        network.0.tell_time();
        core.set_client(network.0.clone());
        let scanned = network.clone();
        core.spawn(Priority::Foreground, async move { scanned.scan_for_ever().await });
        Ok(network)
    }

    /// The addresses listened on, with the ports that port 0 became.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.0.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Runs `f` with the handler and its connections, then has what it queued sent. For tasks;
    /// inside a handler's method both are borrowed already and this panics.
    pub fn with<T>(&self, f: impl FnOnce(&mut H, &mut Net) -> T) -> T {
        let value = f(&mut self.0.handler.borrow_mut(), &mut self.0.net.borrow_mut());
        self.0.core.wake();
        value
    }

    /// The core that this network runs on.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.0.core
    }

    /// Stops accepting, lets what is queued go out for at most `grace`, closes every connection
    /// (the handler hears of each), and returns when none is left.
    pub async fn stop(&self, grace: Duration) {
        self.0.stopping.set(true);
        let conns = self.with(|_, net| {
            let all: Vec<ConnId> =
                net.conns.iter().map(|(slot, c)| conn_id(slot, c.generation)).collect();
            for &conn in &all {
                net.close_with(conn, CloseReason::Stopping);
            }
            all
        });
        self.wait_until_closed(grace).await;
        self.with(|_, net| conns.iter().for_each(|&conn| net.shut(conn, CloseReason::Stopping)));
        self.wait_until_closed(Duration::from_secs(1)).await;
    }

    async fn wait_until_closed(&self, limit: Duration) {
        let step = Duration::from_millis(2);
        let mut waited = Duration::ZERO;
        while waited < limit && self.0.net.borrow().open_connections() > 0 {
            self.0.core.wake();
            self.0.core.sleep(step).await;
            waited += step;
        }
    }

    async fn scan_for_ever(self) {
        while !self.0.stopping.get() {
            self.0.core.sleep(Duration::from_millis(limits::SCAN_INTERVAL_MS)).await;
            self.0.tell_time();
            let mut restart = std::mem::take(&mut *self.0.stopped.borrow_mut());
            self.0.to_accept.borrow_mut().append(&mut restart);
            self.with(|_, net| scan(net));
        }
    }
}

fn listen(addr: SocketAddr) -> Result<Socket, NetError> {
    rt::ring::listen_socket(addr, limits::LISTEN_BACKLOG).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => NetError::InUse { addr, port: addr.port() },
        _ => NetError::Listen { addr, error },
    })
}

impl<H> Inner<H> {
    fn tell_time(&self) {
        self.net.borrow_mut().now_ms = self.core.now_nanos() / 1_000_000;
    }
}

impl<H: Handler> Inner<H> {
    /// Tells the handler of connections that are over and of dials that failed.
    fn report_ended(&self, net: &mut Net, handler: &mut H) {
        while let Some(conn) = net.ended.pop() {
            let Some(connection) = net.remove(conn) else { continue };
            let reason = match connection.ending {
                Ending::Shut(reason)
                | Ending::AfterFlush(reason)
                | Ending::Draining { reason, .. } => reason,
                Ending::No => CloseReason::Peer,
            };
            handler.on_close(net, conn, &reason);
        }
        while let Some((tag, error)) = net.failed_dials.pop() {
            handler.on_dial_failed(net, tag, &error);
        }
    }
}

impl<H: Handler> RingClient for Inner<H> {
    fn on_event(&self, event: Event<'_>) {
        let (mut net, mut handler) = (self.net.borrow_mut(), self.handler.borrow_mut());
        events::dispatch(&mut net, &mut *handler, &mut self.stopped.borrow_mut(), event);
    }

    fn end_turn(&self, ring: &mut Ring) {
        self.tell_time();
        let (mut net, mut handler) = (self.net.borrow_mut(), self.handler.borrow_mut());
        self.report_ended(&mut net, &mut *handler);
        net.relieve_if_pressed(); // those of the last round may be gone, and it was not enough
        events::go_on(&mut net, &mut *handler);
        handler.on_turn_end(&mut net);
        if self.stopping.get() && !self.listeners_shut.replace(true) {
            self.listeners.iter().for_each(|listener| ring.shut(listener));
        }
        if !self.stopping.get() {
            for index in self.to_accept.borrow_mut().drain(..) {
                if let Some(listener) = self.listeners.get(index) {
                    ring.accept(LISTENER | index as u64, listener);
                }
            }
        }
        net.submit(ring);
        let told_later = !net.ended.is_empty() || !net.failed_dials.is_empty();
        if told_later || !net.resumed.is_empty() {
            self.core.wake(); // told in the next turn
        }
    }
}
