//! Once a second what was sent is counted for whom it counts, and whoever has used up their volume is closed.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::hub::{Hub, now};

const PAUSE: Duration = Duration::from_secs(1);

pub(crate) async fn keep(hub: Arc<Hub>) {
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        hub.settle(now());
    }
}
