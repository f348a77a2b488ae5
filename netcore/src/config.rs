//! What a network is told at start.

use crate::limits;
use std::net::SocketAddr;
use std::time::Duration;

/// Settings of one core's network.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Where to listen; `Origin::Accepted { listener }` is an index into it. Port 0 takes a free
    /// one.
    pub listen: Vec<SocketAddr>,
    /// Connections that neither send nor receive for this long are closed (RocketMQ: 120 s).
    pub idle_timeout: Duration,
    /// The longest frame, its length field excluded.
    pub frame_bytes_max: usize,
    /// Whether connections may speak RingMQ's native lane (`Handler::on_native_frame`) beside
    /// remoting.
    pub native_lane: bool,
    /// Connections at once.
    pub connections_max: usize,
    /// See [`limits::OUT_PAUSE_BYTES`].
    pub out_pause_bytes: usize,
    /// See [`limits::OUT_BYTES_MAX`].
    pub out_bytes_max: usize,
}

impl NetConfig {
    /// RocketMQ's defaults on these addresses.
    #[must_use]
    pub fn listening(listen: Vec<SocketAddr>) -> Self {
        Self {
            listen,
            idle_timeout: Duration::from_secs(120),
            frame_bytes_max: limits::FRAME_BYTES_MAX,
            native_lane: false,
            connections_max: limits::CONNECTIONS_MAX,
            out_pause_bytes: limits::OUT_PAUSE_BYTES,
            out_bytes_max: limits::OUT_BYTES_MAX,
        }
    }
}
