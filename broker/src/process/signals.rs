//! Signals, on a thread of their own.

use crate::serve::life::Event;
use std::io;
use std::sync::{Arc, mpsc};

/// Turns SIGINT, SIGTERM and SIGUSR2 into events.
pub(super) fn forward(events: &mpsc::Sender<Event>) -> io::Result<()> {
    // With a handler in its place a write beyond the limit of file sizes (`ulimit -f`) is an error
    // that names its file; without one it is the end of the process.
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
    let events = events.clone();
    let mut signals = signal_hook::iterator::Signals::new([
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGUSR2,
    ])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("signal");
            if events.send(Event::Signal(name)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
