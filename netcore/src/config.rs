//! What a network is told at start.

use crate::frame::Framing;
use crate::limits;
use rt::MemoryAccount;
use std::net::SocketAddr;
use std::time::Duration;

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Port 0 takes a free one.
    pub addr: SocketAddr,
    /// What its peers may speak.
    pub framing: Framing,
}

/// Settings of one core's network.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Where to listen; `Origin::Accepted { listener }` is an index into it.
    pub listen: Vec<Listener>,
    /// Connections that neither send nor receive for this long are closed (RocketMQ: 120 s).
    pub idle_timeout: Duration,
    /// The longest frame, its length field excluded.
    pub frame_bytes_max: usize,
    /// Connections at once. See [`limits::connections_max`].
    pub connections_max: usize,
    /// See [`limits::OUT_PAUSE_BYTES`].
    pub out_pause_bytes: usize,
    /// See [`limits::OUT_BYTES_MAX`].
    pub out_bytes_max: usize,
    /// See [`limits::OUT_TOTAL_BYTES_MAX`].
    pub out_total_bytes_max: usize,
    /// See [`limits::SEND_STALL_MS_MAX`].
    pub send_stall_ms_max: u64,
    /// See [`limits::HALF_FRAMES_BYTES_MAX`].
    pub half_frames_bytes_max: usize,
    /// See [`limits::HALF_FRAME_STALL_MS_MAX`].
    pub half_frame_stall_ms_max: u64,
    /// Half frames and answers that were not taken are charged here. A server that holds other
    /// memory for its peers gives the account that it charges too: when it is full, connections
    /// are closed as when one of the totals above is passed.
    pub memory: MemoryAccount,
}

impl NetConfig {
    /// RocketMQ's defaults on these addresses, all with one framing, and an account of its own.
    #[must_use]
    pub fn listening(listen: impl IntoIterator<Item = SocketAddr>, framing: Framing) -> Self {
        Self {
            listen: listen.into_iter().map(|addr| Listener { addr, framing }).collect(),
            idle_timeout: Duration::from_secs(120),
            frame_bytes_max: limits::FRAME_BYTES_MAX,
            connections_max: limits::CONNECTIONS_MAX,
            out_pause_bytes: limits::OUT_PAUSE_BYTES,
            out_bytes_max: limits::OUT_BYTES_MAX,
            out_total_bytes_max: limits::OUT_TOTAL_BYTES_MAX,
            send_stall_ms_max: limits::SEND_STALL_MS_MAX,
            half_frames_bytes_max: limits::HALF_FRAMES_BYTES_MAX,
            half_frame_stall_ms_max: limits::HALF_FRAME_STALL_MS_MAX,
            memory: MemoryAccount::new(limits::MEMORY_BYTES_MAX),
        }
    }
}
