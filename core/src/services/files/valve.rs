//! What holds a transfer up, lets it go on, and ends it.

use tokio::sync::watch;

/// Whether a transfer goes on. Clones are of the same transfer.
///
/// A transfer that is paused keeps its connection, whatever path that goes by: nothing more is read or asked for here, so that the
/// other side has nothing to send, and waits.
#[derive(Clone, Debug, Default)]
pub struct Valve(watch::Sender<Setting>);

/// What was last wanted of a transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Setting {
    #[default]
    Open,
    Paused,
    Cancelled,
}

impl Valve {
    /// Nothing more moves until it is resumed. False if that changes nothing: it was paused or cancelled before.
    pub fn pause(&self) -> bool {
        self.turn(Setting::Open, Setting::Paused)
    }

    /// It goes on. False if that changes nothing.
    pub fn resume(&self) -> bool {
        self.turn(Setting::Paused, Setting::Open)
    }

    /// It ends, and the other side is told. What is there stays for another try. False if it was cancelled before.
    pub fn cancel(&self) -> bool {
        self.0.send_if_modified(|setting| {
            let before = std::mem::replace(setting, Setting::Cancelled);
            before != Setting::Cancelled
        })
    }

    /// Whether it waits to be resumed.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        *self.0.borrow() == Setting::Paused
    }

    /// Waits until it may go on, which what was cancelled never does.
    pub async fn open(&self) {
        self.until(Setting::Open).await;
    }

    /// Waits until it is cancelled.
    pub async fn cancelled(&self) {
        self.until(Setting::Cancelled).await;
    }

    /// Waits until it may not go on.
    pub(crate) async fn shut(&self) {
        let mut settings = self.0.subscribe();
        // This is a sender, so that there is always one.
        let _ = settings.wait_for(|setting| *setting != Setting::Open).await;
    }

    async fn until(&self, wanted: Setting) {
        let mut settings = self.0.subscribe();
        // This is a sender, so that there is always one.
        let _ = settings.wait_for(|setting| *setting == wanted).await;
    }

    fn turn(&self, from: Setting, to: Setting) -> bool {
        self.0.send_if_modified(|setting| {
            let is_so = *setting == from;
            if is_so {
                *setting = to;
            }
            is_so
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn what_is_paused_opens_when_it_is_resumed_and_what_is_cancelled_never() {
        let valve = Valve::default();
        assert!(valve.open().now_or_never().is_some());
        assert!(!valve.resume(), "it goes on already");
        assert!(valve.pause() && !valve.pause());
        assert!(valve.is_paused());
        assert!(valve.open().now_or_never().is_none());
        assert!(valve.resume() && valve.open().now_or_never().is_some());
        assert!(valve.cancelled().now_or_never().is_none());
        assert!(valve.pause() && valve.cancel() && !valve.cancel());
        assert!(!valve.resume() && !valve.pause() && !valve.is_paused());
        assert!(valve.open().now_or_never().is_none());
        assert!(valve.cancelled().now_or_never().is_some());
    }
}
