//! How a core fails, and what is known of a panic.

use std::any::Any;
use std::cell::RefCell;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// Why a core ended that was not asked to.
#[derive(Debug, thiserror::Error)]
pub enum CoreFailure {
    /// A task or the network's handler panicked. The core did nothing after it.
    #[error("a core panicked at {place}: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
        /// File, line and column.
        place: String,
    },
    /// The core's ring refused to go on. The core did nothing after it.
    #[error("the ring of a core failed: {0}")]
    Ring(io::Error),
    /// The core's main future returned this error.
    #[error("{0}")]
    Main(io::Error),
}

impl From<CoreFailure> for io::Error {
    fn from(failure: CoreFailure) -> Self {
        match failure {
            CoreFailure::Main(error) => error,
            other => Self::other(other),
        }
    }
}

/// Message and place of a panic.
#[derive(Clone)]
struct Noted {
    message: String,
    place: String,
}

thread_local! {
    static LAST_PANIC: RefCell<Option<Noted>> = const { RefCell::new(None) };
}

/// From now on each thread remembers where it panicked, which the payload of a panic does not tell.
/// Hooks that are there already go on being called.
pub(super) fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let message = info.payload_as_str().unwrap_or("something that is no text").to_owned();
            let place = info.location().map_or_else(unknown_place, ToString::to_string);
            LAST_PANIC.set(Some(Noted { message, place }));
            before(info);
        }));
    });
}

fn unknown_place() -> String {
    "an unknown place".to_owned()
}

/// A panic that was caught on its way out of a thread.
pub(super) struct Caught {
    payload: Box<dyn Any + Send>,
    noted: Option<Noted>,
}

impl Caught {
    /// The same panic on this thread.
    pub(super) fn rethrow(self) -> ! {
        LAST_PANIC.set(self.noted);
        panic::resume_unwind(self.payload)
    }
}

impl From<Caught> for CoreFailure {
    fn from(caught: Caught) -> Self {
        let text = |payload: &Box<dyn Any + Send>| match payload.downcast_ref::<&str>() {
            Some(text) => (*text).to_owned(),
            None => payload.downcast_ref::<String>().cloned().unwrap_or_default(),
        };
        let Noted { message, place } = caught
            .noted
            .unwrap_or_else(|| Noted { message: text(&caught.payload), place: unknown_place() });
        Self::Panicked { message, place }
    }
}

/// Runs `work`; a panic becomes an error. What `work` leaves behind must not be used after one.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Caught> {
    LAST_PANIC.set(None);
    panic::catch_unwind(AssertUnwindSafe(work))
        .map_err(|payload| Caught { payload, noted: LAST_PANIC.take() })
}
