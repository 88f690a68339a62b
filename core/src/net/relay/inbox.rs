//! What the rest of the node asks of a registration, and what of it can wait while there is none.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::{Command, Place};
use crate::wire::relay::ToRelay;

/// Signals that wait while a registration moves.
const WAITING_SIGNALS: usize = 16;

/// Commands, and the signals that could not be sent yet.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) waiting: VecDeque<ToRelay>,
    /// What is said to the relay from now on when we register.
    pub(super) greeting: Option<Vec<ToRelay>>,
}

/// A command that matters while there is no connection.
pub(super) enum Interrupt {
    /// The handle was dropped.
    Stop,
    NetworkChanged,
    Dial(Place),
}

impl Inbox {
    pub(super) fn new(commands: mpsc::Receiver<Command>) -> Self {
        Self {
            commands,
            waiting: VecDeque::new(),
            greeting: None,
        }
    }

    pub(super) async fn interrupt(&mut self) -> Interrupt {
        while let Some(command) = self.commands.recv().await {
            match command {
                Command::Dial(place) => return Interrupt::Dial(place),
                Command::NetworkChanged => return Interrupt::NetworkChanged,
                Command::Signal(signal) => {
                    if self.waiting.len() >= WAITING_SIGNALS {
                        self.waiting.pop_front();
                    }
                    self.waiting.push_back(*signal);
                }
                Command::Greet(greeting) => self.greeting = Some(greeting),
                Command::Ask(_) | Command::KeepAlive | Command::Leave => {}
            }
        }
        Interrupt::Stop
    }

    /// Does `work`, which nobody needs any more when the network changes.
    pub(super) async fn during<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Interrupt> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                interrupt = self.interrupt() => match interrupt {
                    Interrupt::Stop | Interrupt::NetworkChanged => return Err(interrupt),
                    Interrupt::Dial(_) => {}
                },
            }
        }
    }
}
