//! How much is sent of what is shared, hour by hour.

use std::{convert::Infallible, future::pending};

use chrono::NaiveTime;
use peerway::services::Rate;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    cli::{
        args::Globals,
        clock::local_time,
        follow::{Due, LOOK_EVERY, Looks},
        node::Node,
        state::StateDir,
    },
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

/// Keeps a node that serves content without being `peerway up` to what is kept, from one change of it to the next. Ends with the future.
pub(in crate::cli) async fn limited(globals: &Globals, node: &Node, say: fn(String)) -> Infallible {
    let file = match StateDir::open(globals) {
        Ok(state) => state.kept(),
        Err(failure) => {
            say(format!("{failure}. What is shared is sent without a limit"));
            return pending().await;
        }
    };
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut looks, mut limit, mut upload) = (
        Looks::after(None),
        UploadLimit::default(),
        Upload::default(),
    );
    let mut at_once = true;
    loop {
        ticks.tick().await;
        let stamp = file.stamp();
        let due = match std::mem::take(&mut at_once) {
            true => looks.now(stamp),
            false => looks.due(stamp),
        };
        match due {
            Due::Nothing => {}
            Due::Gone => limit = UploadLimit::default(),
            Due::Read => match file.read() {
                Ok(kept) => limit = kept.upload,
                Err(error) => say(format!(
                    "{error}. What may be sent of what is shared stays as it was"
                )),
            },
        }
        if let Some(now) = upload.change(&limit, local_time()) {
            node.sharing().limit_to(now);
        }
    }
}
