//! What a store stands on: the same from its opening to its end.

use crate::config::StoreConfig;
use crate::paths::Paths;
use rt::{MemoryAccount, Runtime};
use std::cell::RefCell;

/// The core, the configuration and the folder of a store.
pub(super) struct Env<R: Runtime> {
    pub(super) rt: R,
    pub(super) config: StoreConfig,
    pub(super) paths: Paths,
    /// Exclusive for as long as the store is open.
    pub(super) lock: RefCell<Option<R::File>>,
    /// Charged for what readers make the store hold.
    pub(super) memory: MemoryAccount,
}
