//! Folders that are watched by nodes on loopback.

use std::{fs, path::Path, time::Duration};

use peerway::{Endpoint, Router, services::files::Progress};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use super::*;
use crate::share::{ALPN, GetError, Options, Target};

const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    sharing: Sharing,
    search: Search,
    _serving: JoinSet<()>,
}

impl Node {
    async fn new(state: &TempDir) -> Self {
        let endpoint = Endpoint::builder()
            .bind_addr(([127, 0, 0, 1], 0).into())
            .lan_discovery(false)
            .port_mapping(false)
            .bind()
            .await
            .unwrap();
        let options = Options {
            catalog: Some(Catalog::at(&state.path().join("shares.redb"))),
            ..Options::default()
        };
        let sharing = Sharing::with(endpoint.clone(), |_| true, options);
        let search = Search::new(endpoint.clone(), sharing.clone(), |_| None);
        let served = sharing.clone();
        let serve = move |connection| served.clone().serve(connection);
        let mut serving = JoinSet::new();
        serving.spawn(Router::new(endpoint).accept(ALPN, serve).run());
        Self {
            sharing,
            search,
            _serving: serving,
        }
    }

    fn watch(&self, folder: &Path) -> Followed {
        let watches = Watches::new(self.sharing.clone(), self.search.clone());
        let mut watch = Watch::new(folder);
        watch.searchable = true;
        let (tell, told) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel::<()>();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let tell = move |it| drop(tell.send(it));
            let ended = async { drop(ended.await) };
            watches.follow(watch, tell, ended).await;
        });
        Followed { told, end, task }
    }

    async fn names(&self) -> Vec<String> {
        let shares = self.sharing.shares().await.unwrap();
        shares.into_iter().map(|it| it.name).collect()
    }
}

struct Followed {
    told: mpsc::UnboundedReceiver<Watched>,
    end: oneshot::Sender<()>,
    task: JoinSet<()>,
}

impl Followed {
    async fn shared(&mut self, files: u64) -> Shared {
        loop {
            let told = timeout(PATIENCE, self.told.recv()).await.unwrap();
            if let Watched::Shared { shared, trouble } = told.unwrap() {
                assert_eq!(trouble, None);
                if shared.files == files {
                    return shared;
                }
            }
        }
    }

    async fn failed(&mut self) -> String {
        match timeout(PATIENCE, self.told.recv()).await.unwrap().unwrap() {
            Watched::Failed { reason } => reason,
            Watched::Shared { shared, .. } => panic!("{shared:?}"),
        }
    }

    async fn end(mut self) {
        drop(self.end);
        timeout(PATIENCE, self.task.join_next()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_to_and_goes_from_a_watched_folder_is_fetched_by_another_node_and_the_former_no_more()
 {
    let [state, other, top, into] = std::array::from_fn(|_| TempDir::new().unwrap());
    let (node, getter) = (Node::new(&state).await, Node::new(&other).await);
    let folder = top.path().join("Public");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a"), vec![1; 300_000]).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).unwrap();
    let mut followed = node.watch(&folder);
    let first = followed.shared(1).await;
    assert_eq!(&*first.name, "Public");
    let shown = node.sharing.contents().await;
    assert_eq!(shown[0].reason.as_deref(), Some("anew whenever it changes"));
    #[cfg(unix)]
    assert_eq!(first.skipped.len(), 1);
    fs::create_dir(folder.join("new")).unwrap();
    fs::write(folder.join("new/b"), b"b").unwrap();
    let second = followed.shared(2).await;
    assert_eq!(node.names().await, ["Public"]);
    assert!(node.search.offers(second.hash) && !node.search.offers(first.hash));
    let get = async |shared: &Shared| {
        let link = node.sharing.link(shared);
        let progress = Progress::default();
        let target = Target::folder(into.path());
        let got = getter.sharing.get(&link, &target, &progress);
        timeout(PATIENCE, got).await.unwrap()
    };
    let got = get(&second).await.unwrap().path;
    assert_eq!(fs::read(got.join("new/b")).unwrap(), b"b");
    assert_eq!(fs::read(got.join("a")).unwrap(), vec![1; 300_000]);
    let old = get(&first).await.unwrap_err();
    assert!(matches!(old, GetError::NotThere(_)), "{old}");
    fs::remove_file(folder.join("a")).unwrap();
    followed.shared(1).await;
    followed.end().await;
    assert_eq!(node.names().await, ["Public"], "it stays as it was last");
    // Watched again it is what it was, though it changed meanwhile.
    fs::write(folder.join("c"), b"c").unwrap();
    let mut followed = node.watch(&folder);
    followed.shared(2).await;
    assert_eq!(node.names().await, ["Public"]);
    followed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_is_shared_once_it_is_and_one_with_the_nodes_own_key_never() {
    let [state, top] = std::array::from_fn(|_| TempDir::new().unwrap());
    let node = Node::new(&state).await;
    let folder = top.path().join("later");
    let mut followed = node.watch(&folder);
    let reason = followed.failed().await;
    assert!(reason.contains("later"), "{reason}");
    fs::create_dir(&folder).unwrap();
    followed.shared(0).await;
    followed.end().await;
    let mut own = node.watch(state.path());
    let reason = own.failed().await;
    assert!(reason.contains("secret key"), "{reason}");
    own.end().await;
    assert_eq!(node.names().await, ["later"]);
}
