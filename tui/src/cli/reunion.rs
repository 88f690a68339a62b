//! A node that comes back from a crash or a loss of power says hello to whom it was linked with. What they have open to the one that it
//! was would stand until they next look whether it is there; so it ends at once, and is opened anew.

use std::{collections::BTreeSet, convert::Infallible, fs, io, path::PathBuf, time::Duration};

use futures_util::{StreamExt, stream};
use peerway::{NodeSnapshot, PeerId, Ticket, services::ping};
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{node::Node, state::StateDir};
use crate::files;

/// Peers that are noted.
const MOST: usize = 64;
const MAX_LEN: u64 = 16 * 1024;
/// Dials at a time, and how long all of them may take together.
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(20);
/// The first look, after which they are rarer with each write.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const WRITE_EVERY: Duration = Duration::from_secs(60);

/// The file `linked` in the state folder, an id a line, which is there as long as a node runs, and after it if it did not end by itself.
#[derive(Debug)]
pub(super) struct Linked(PathBuf);

impl Linked {
    pub(super) fn in_folder(state: &StateDir) -> Self {
        Self(state.path().join("linked"))
    }

    /// Meets those of before once, and notes from then on whom the node is linked with. Ends with the future.
    pub(super) async fn tend(&self, node: &Node) -> Infallible {
        let before = self.read();
        if !before.is_empty() {
            node.settled().await;
            let _ = timeout(PATIENCE, meet(node, &before)).await;
        }
        let (mut noted, mut pause) = (before, LOOK_EVERY);
        loop {
            sleep(pause).await;
            let snapshot = node.endpoint.snapshot();
            let linked = linked(&snapshot);
            let mut kept_to_paths = snapshot.peers.iter().filter(|it| !it.policy.is_auto());
            if linked.is_subset(&noted) && !kept_to_paths.any(|it| noted.contains(&it.id)) {
                continue;
            }
            // Who comes and goes costs a write a minute.
            pause = (pause * 2).min(WRITE_EVERY);
            let (file, text) = (self.0.clone(), text(&linked));
            let written = spawn_blocking(move || files::replace(&file, &text)).await;
            if let Ok(Err(error)) = written {
                tracing::debug!(%error, "it is not noted whom this node is linked with");
            }
            noted = linked;
        }
    }

    /// All were told that the node ends.
    pub(super) fn forget(&self) {
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "whom this node was linked with stays noted");
        }
    }

    /// What cannot be read is as if it was not there.
    fn read(&self) -> BTreeSet<PeerId> {
        let text = files::read(&self.0, MAX_LEN).unwrap_or_default();
        let peers = text.lines().filter_map(|line| line.parse().ok());
        peers.take(MOST).collect()
    }
}

/// Who is linked. Whom the user keeps to some paths is not dialled by any others after a restart, which knows nothing of that.
fn linked(snapshot: &NodeSnapshot) -> BTreeSet<PeerId> {
    let peers = snapshot.peers.iter();
    let linked = peers.filter(|it| it.connections > 0 && it.policy.is_auto());
    linked.map(|it| it.id).take(MOST).collect()
}

fn text(peers: &BTreeSet<PeerId>) -> String {
    peers.iter().map(|peer| format!("{peer}\n")).collect()
}

async fn meet(node: &Node, peers: &BTreeSet<PeerId>) {
    let book = node.book().book();
    let known = node.peers().known(&book);
    let welcome = peers.iter().filter(|peer| book.blocked(**peer).is_none());
    let dials = welcome.map(|peer| {
        let ticket = known.iter().find(|it| it.id() == *peer).cloned();
        // Who came by itself is where this node is found.
        let ticket = ticket.unwrap_or_else(|| Ticket::from(*peer));
        async {
            // Whatever it answers to, they have met.
            if let Err(error) = node.endpoint.connect(ticket, ping::ALPN).await {
                tracing::debug!(%error, "whom this node was linked with is not met again");
            }
        }
    });
    let dials: Vec<_> = dials.collect();
    stream::iter(dials)
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    #[test]
    fn whom_a_node_was_linked_with_is_noted_until_it_ends_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let linked = Linked(folder.path().join("linked"));
        assert_eq!(linked.read(), BTreeSet::new());
        let peers: BTreeSet<_> = (1..=3)
            .map(|seed| SecretKey::from_seed(&[seed; 32]).id())
            .collect();
        files::replace(&linked.0, &text(&peers)).unwrap();
        assert_eq!(linked.read(), peers);
        fs::write(&linked.0, format!("nonsense\n{}\n", peers.first().unwrap())).unwrap();
        assert_eq!(linked.read().len(), 1);
        linked.forget();
        assert_eq!(linked.read(), BTreeSet::new());
        linked.forget();
    }
}
