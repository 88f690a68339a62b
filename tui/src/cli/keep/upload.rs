//! How much is sent of what is shared, hour by hour.

use std::convert::Infallible;

use chrono::NaiveTime;
use peerway::services::Rate;
use peerway_swarm::share::Sharing;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    cli::{clock::local_time, follow::LOOK_EVERY},
    kept::UploadLimit,
};

/// What is in force.
#[derive(Debug, Default)]
pub(super) struct Upload(Option<Rate>);

impl Upload {
    /// What is in force from now on, if that is not what was.
    pub(super) fn change(&mut self, limit: &UploadLimit, now: NaiveTime) -> Option<Option<Rate>> {
        let now = limit.at(now);
        (std::mem::replace(&mut self.0, now) != now).then_some(now)
    }
}

/// Keeps a node of a command's own to what is kept. Ends with the future.
pub(in crate::cli) async fn limited(sharing: &Sharing, limit: &UploadLimit) -> Infallible {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut upload = Upload::default();
    loop {
        ticks.tick().await;
        if let Some(now) = upload.change(limit, local_time()) {
            sharing.limit_to(now);
        }
    }
}
