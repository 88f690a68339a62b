//! One folder that is shared anew whenever it changes.

use peerway_swarm::watch::{Watch, Watched, Watches};
use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    cli::clock::now_ms,
    kept::{Services, State, WatchTerms},
};

#[derive(Debug)]
pub(super) struct Watching {
    end: oneshot::Sender<()>,
    task: JoinSet<()>,
}

impl Watching {
    pub(super) fn begin(
        watches: &Watches,
        services: &Services,
        folder: &str,
        terms: WatchTerms,
    ) -> Self {
        let (end, ended) = oneshot::channel();
        let (watches, services) = (watches.clone(), services.clone());
        let mut watch = Watch::new(folder);
        (watch.public, watch.searchable) = (terms.public, terms.searchable);
        let folder = folder.to_owned();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let tell = move |watched| tell(&services, &folder, watched);
            // Dropped, too.
            let ended = async { drop(ended.await) };
            watches.follow(watch, tell, ended).await;
        });
        Self { end, task }
    }

    /// Nothing of it is shared any more after this that was not before.
    pub(super) async fn end(mut self) {
        drop(self.end);
        self.task.join_next().await;
    }
}

fn tell(services: &Services, folder: &str, watched: Watched) {
    let at = now_ms();
    match watched {
        Watched::Shared { shared, trouble } => {
            services.tell_watched(folder, (State::Ready, trouble), Some(&shared), at);
        }
        Watched::Failed { reason } => {
            services.tell_watched(folder, (State::Failed, Some(reason)), None, at);
        }
        _ => {}
    }
}
