//! Ctrl-C and SIGTERM as a flag that every loop checks.

use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The flag. Cheap to clone and to check.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A flag that SIGINT and SIGTERM set. A second signal ends the process at once.
    ///
    /// # Errors
    /// When the handlers can't be installed.
    pub fn on_signals() -> Result<Self> {
        let stop = Self::default();
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            let hard =
                signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop.0));
            let soft = hard.and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop.0)));
            soft.map_err(|source| Error::Peer {
                operation: "install a handler for",
                peer: format!("signal {signal}"),
                source,
            })?;
        }
        Ok(stop)
    }

    /// Asks everything to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether to stop.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// [`Error::Interrupted`] when a signal came.
    ///
    /// # Errors
    /// When a signal came.
    pub fn check(&self) -> Result<()> {
        if self.is_set() { Err(Error::Interrupted) } else { Ok(()) }
    }
}
