//! Where the system does not tell us of changes: look again now and then.

use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct ChangeSignal;

impl ChangeSignal {
    pub(super) fn open() -> Self {
        Self
    }

    /// Returns when the list of interfaces may have changed.
    pub(super) async fn changed(&self) {
        tokio::time::sleep(INTERVAL).await;
    }

    /// Forgets the changes so far.
    pub(super) fn clear(&self) {}
}
