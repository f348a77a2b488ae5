//! A server of a matrix, whoever made it.

use crate::children::ChildProgram;

/// A program, and for Java the one that ends it when this process is killed.
#[derive(Debug)]
pub(super) struct Program {
    pub child: ChildProgram,
    // Dropped after the program: it is then that nothing is left to watch.
    _watchdog: Option<ChildProgram>,
}

impl Program {
    /// A program that ends by itself when this process does.
    pub(super) fn of(child: ChildProgram) -> Self {
        Self { child, _watchdog: None }
    }

    /// A program with its watchdog.
    pub(super) fn watched(child: ChildProgram, watchdog: ChildProgram) -> Self {
        Self { child, _watchdog: Some(watchdog) }
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.pid()
    }
}
