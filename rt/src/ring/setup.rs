//! Building a ring, and saying what to change when the host refuses.

use io_uring::IoUring;
use std::io;

/// Sizes of a ring.
#[derive(Clone, Copy, Debug)]
pub struct RingConfig {
    /// Submission queue entries; when full the ring submits by itself.
    pub entries: u32,
    /// Bytes of the receive buffer: what one read of a socket takes at most.
    pub receive_buf_bytes: usize,
}

impl Default for RingConfig {
    /// 64 KiB: a pipelined burst of one peer in one read, and still in the core's cache when it is
    /// looked at.
    fn default() -> Self {
        Self { entries: 1024, receive_buf_bytes: 64 * 1024 }
    }
}

/// Why a ring could not be had, with the fix.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// io_uring_setup is not permitted.
    #[error(
        "io_uring is not allowed here: {0}. Fix: `sysctl kernel.io_uring_disabled=0`, and in a \
            container a seccomp profile that permits io_uring_setup, io_uring_enter and \
            io_uring_register (Docker: --security-opt seccomp=unconfined)"
    )]
    Disabled(io::Error),
    /// The kernel does not know a flag or an operation that we need.
    #[error(
        "this kernel is too old for RingMQ: it lacks {missing} ({error}). Fix: run Linux 6.1 or \
            newer"
    )]
    TooOld {
        /// What is missing.
        missing: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
    /// Not enough memory may be locked.
    #[error(
        "io_uring could not lock its memory: {0}. Fix: raise the memlock limit (`ulimit -l \
            unlimited`, LimitMEMLOCK=infinity)"
    )]
    Memlock(io::Error),
    /// Out of file descriptors.
    #[error(
        "no file descriptor left for io_uring: {0}. Fix: raise the limit (`ulimit -n 655350`, \
            LimitNOFILE=655350)"
    )]
    NoFile(io::Error),
    /// Anything else.
    #[error("io_uring_setup: {0}")]
    Other(io::Error),
}

/// io_uring_setup with the flags that the design rests on.
pub(super) fn build(config: &RingConfig) -> Result<IoUring, RingError> {
    let built = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_cqsize(config.entries * 4)
        .build(config.entries);
    let uring = built.map_err(|error| {
        explain(error, "IORING_SETUP_SINGLE_ISSUER and IORING_SETUP_DEFER_TASKRUN")
    })?;
    Ok(uring)
}

pub(super) fn explain(error: io::Error, missing: &'static str) -> RingError {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => RingError::Disabled(error),
        Some(libc::EINVAL) => RingError::TooOld { missing, error },
        Some(libc::ENOMEM) => RingError::Memlock(error),
        Some(libc::EMFILE | libc::ENFILE) => RingError::NoFile(error),
        _ => RingError::Other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::{CorePlacement, LaunchError, launch};
    use std::process::Command;

    #[test]
    fn every_refusal_says_the_fix() {
        for (errno, fix) in [
            (libc::EPERM, "kernel.io_uring_disabled=0"),
            (libc::ENOSYS, "seccomp"),
            (libc::EINVAL, "Linux 6.1"),
            (libc::ENOMEM, "ulimit -l"),
            (libc::EMFILE, "ulimit -n"),
        ] {
            let said = explain(io::Error::from_raw_os_error(errno), "a flag").to_string();
            assert!(said.contains(fix), "errno {errno}: {said}");
        }
    }

    /// Forbids io_uring_setup to this thread and those it starts, as container runtimes do.
    fn forbid_io_uring(errno: i32) {
        const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
        const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
        const RETURN: u16 = 0x06; // BPF_RET | BPF_K
        let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        let refuse = libc::SECCOMP_RET_ERRNO | errno.unsigned_abs();
        let number = crate::convert::fits(libc::SYS_io_uring_setup);
        let mut filter = [
            step(LOAD_WORD, 0, 0, 0), // the number of the system call
            step(JUMP_IF_EQUAL, 0, 1, number),
            step(RETURN, 0, 0, refuse),
            step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
        // SAFETY: the kernel copies the program, which lives across the call.
        let results = unsafe {
            [
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
                libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program),
            ]
        };
        assert_eq!(results, [0, 0], "{}", io::Error::last_os_error());
    }

    const FORBIDDEN_WITH: &str = "RINGMQ_TEST_FORBIDS_IO_URING_WITH";

    /// The child of the next test; alone it does nothing.
    #[test]
    fn child_that_may_not_use_io_uring() {
        let Ok(errno) = std::env::var(FORBIDDEN_WITH) else { return };
        forbid_io_uring(errno.parse().unwrap());
        let placements = [CorePlacement::Unpinned];
        let launched = launch(&placements, RingConfig::default(), |_, _| async { Ok(()) });
        match launched.err() {
            Some(error @ LaunchError::Ring { .. }) => println!("launch said: {error}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_start_where_io_uring_is_forbidden_says_the_fix_and_does_not_panic() {
        for errno in [libc::EPERM, libc::ENOSYS] {
            let out = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "ring::setup::tests::child_that_may_not_use_io_uring"])
                .arg("--nocapture")
                .env(FORBIDDEN_WITH, errno.to_string())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&out.stdout).into_owned()
                + &String::from_utf8_lossy(&out.stderr);
            assert!(out.status.success() && !said.contains("panicked"), "{said}");
            assert!(said.contains("launch said:") && said.contains("Fix: `sysctl"), "{said}");
        }
    }
}
