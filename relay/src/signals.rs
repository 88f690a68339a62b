//! The system's requests, as the programs of this workspace take them.

use std::io;
#[cfg(unix)]
use std::io::IsTerminal;

/// What the system or the operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// End the program.
    Stop,
    /// Read the configuration again: SIGHUP, unless it says that the terminal we were started from is gone.
    Reload,
    /// End the program when its clients have gone elsewhere: SIGUSR1.
    Drain,
}

/// From its making on, signals no longer end the program by themselves.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    drain: tokio::signal::unix::Signal,
    /// None if we were started to outlive the terminal, as by `nohup`.
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
    #[cfg(unix)]
    had_terminal: bool,
}

#[cfg(unix)]
impl Signals {
    /// Takes over SIGTERM, SIGINT, SIGUSR1, and SIGHUP unless that is ignored.
    ///
    /// # Errors
    /// The system's.
    pub fn catch() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let hangup = || signal(SignalKind::hangup());
        Ok(Self {
            had_terminal: io::stdin().is_terminal(),
            hangup: (!ignores_hangup()).then(hangup).transpose()?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            drain: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the first of them, all of which mean to stop, sooner or later.
    pub async fn stop(&mut self) {
        self.next().await;
    }

    /// Waits for the next of them, for programs that read their configuration again.
    pub async fn next(&mut self) -> Request {
        let hung_up = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Request::Stop,
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.drain.recv() => Request::Drain,
            _ = hung_up => if self.had_terminal && !io::stdin().is_terminal() {
                Request::Stop
            } else {
                Request::Reload
            },
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    /// Nothing is taken over before [`Signals::stop`].
    ///
    /// # Errors
    /// None.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for Ctrl-C.
    pub async fn stop(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }

    /// Waits for Ctrl-C, as [`Signals::stop`].
    pub async fn next(&mut self) -> Request {
        self.stop().await;
        Request::Stop
    }
}

/// Where it cannot be read, a program without a terminal ignores it.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    use std::fs;
    const SIGHUP: u64 = 1;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.map_or_else(|| !io::stdin().is_terminal(), |mask| mask & SIGHUP != 0)
}
