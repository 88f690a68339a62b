//! The dashboard as a job of the shell that started it: stopped by ^Z or by a signal, continued by `fg`.

use std::io;

#[cfg(unix)]
pub(super) use unix::Job;

#[cfg(not(unix))]
pub(super) use none::Job;

/// What the shell, or whoever else, does to its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is to stop, and may put the terminal in order before.
    Stop,
    /// It goes on after it was stopped without being asked.
    Continued,
}

#[cfg(unix)]
mod unix {
    use rustix::process::{Signal, getpgrp, getsid, kill_current_process_group};
    use tokio::signal::unix::{self, SignalKind, signal};

    use super::{Change, io};

    #[derive(Debug)]
    pub(in crate::dash) struct Job {
        stop: unix::Signal,
        continued: unix::Signal,
    }

    impl Job {
        /// From now on, being asked to stop is not stopping.
        pub(in crate::dash) fn new() -> io::Result<Self> {
            let of = |name: Signal| signal(SignalKind::from_raw(name.as_raw()));
            Ok(Self {
                stop: of(Signal::TSTP)?,
                continued: of(Signal::CONT)?,
            })
        }

        /// Waits for the next change.
        pub(in crate::dash) async fn change(&mut self) -> Change {
            tokio::select! {
                _ = self.stop.recv() => Change::Stop,
                _ = self.continued.recv() => Change::Continued,
            }
        }

        /// Whether somebody would continue it. Shells with jobs give each a process group of its own; in the group of the
        /// session's first process nobody is left who would.
        pub(in crate::dash) fn has_shell(&self) -> bool {
            getsid(None).is_ok_and(|session| session != getpgrp())
        }

        /// Stops, and with it all that the shell started for it, until it is continued. SIGTSTP would be caught again.
        pub(in crate::dash) async fn stop(&mut self) -> io::Result<()> {
            kill_current_process_group(Signal::STOP)?;
            self.continued.recv().await;
            Ok(())
        }
    }
}

#[cfg(not(unix))]
mod none {
    use super::{Change, io};

    /// There are no jobs here.
    #[derive(Debug)]
    pub(in crate::dash) struct Job;

    impl Job {
        #[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
        pub(in crate::dash) fn new() -> io::Result<Self> {
            Ok(Self)
        }

        pub(in crate::dash) async fn change(&mut self) -> Change {
            std::future::pending().await
        }

        pub(in crate::dash) fn has_shell(&self) -> bool {
            false
        }

        #[expect(clippy::unused_async, reason = "it waits elsewhere")]
        pub(in crate::dash) async fn stop(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
