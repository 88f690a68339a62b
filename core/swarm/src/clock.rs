//! How tasks ask their machines what is due: these know nothing of the runtime, whose time it is.

use std::{future::pending, time::Instant};

use tokio::time::sleep_until;

pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Never where nothing is due.
pub(crate) async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}
