//! Nodes on loopback that share content.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use peerway::{Endpoint, Router, services::files::Progress};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};

use super::{ALPN, GetError, Got, Hash, Link, Sharing, Target};

const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    sharing: Sharing,
    endpoint: Endpoint,
    folder: TempDir,
    serving: JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Node {
    async fn new() -> Self {
        Self::letting(true).await
    }

    /// A node that lets everybody have what is not public, or nobody.
    async fn letting(may: bool) -> Self {
        let endpoint = Endpoint::builder()
            .bind_addr(([127, 0, 0, 1], 0).into())
            .lan_discovery(false)
            .port_mapping(false)
            .bind()
            .await
            .unwrap();
        let sharing = Sharing::new(endpoint.clone(), move |_| may);
        let served = sharing.clone();
        let serve = move |connection| served.clone().serve(connection);
        let router = Router::new(endpoint.clone()).accept(ALPN, serve);
        #[expect(clippy::disallowed_methods, reason = "a node of a test")]
        let serving = tokio::spawn(router.run());
        Self {
            sharing,
            endpoint,
            folder: TempDir::new().unwrap(),
            serving,
        }
    }

    fn write(&self, name: &str, data: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, data).unwrap();
        path
    }

    async fn link(&self, path: &Path, public: bool) -> Link {
        let shared = self.sharing.share(path, public).await.unwrap();
        self.sharing.link(&shared)
    }

    async fn get(&self, link: &Link) -> Result<Got, GetError> {
        self.watched(link, &Progress::default()).await
    }

    async fn watched(&self, link: &Link, progress: &Progress) -> Result<Got, GetError> {
        let target = Target::folder(self.folder.path());
        let got = timeout(PATIENCE, self.sharing.get(link, &target, progress)).await;
        got.expect("it takes no minute")
    }
}

/// Bytes of which no two units are alike.
fn data(len: usize) -> Vec<u8> {
    let mut data = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut data);
    data
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_fetched_by_its_link_whatever_its_size() {
    let (a, b) = (Node::new().await, Node::new().await);
    for len in [0, 1, 262_144, 262_145, 5_000_000] {
        let data = data(len);
        let link = a.link(&a.write(&format!("f{len}"), &data), false).await;
        assert_eq!(link.hash, Hash::of(&data));
        let got = b.get(&link.to_string().parse().unwrap()).await.unwrap();
        assert_eq!(fs::read(&got.path).unwrap(), data, "{len}");
        assert_eq!(got.path.file_name().unwrap(), &*format!("f{len}"));
    }
    let left = fs::read_dir(b.folder.path()).unwrap().count();
    assert_eq!(left, 5, "nothing but the files is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_fetched_with_all_that_is_in_it() {
    let (a, b) = (Node::new().await, Node::new().await);
    let large = data(1_000_000);
    a.write("photos/one.jpg", b"1");
    a.write("photos/sub/two.jpg", &large);
    a.write("photos/sub/empty", b"");
    fs::create_dir(a.folder.path().join("photos/nothing")).unwrap();
    let link = a.link(&a.folder.path().join("photos"), false).await;
    let got = b.get(&link).await.unwrap();
    assert_eq!((got.files, got.bytes), (3, 1_000_001));
    let read = |path: &str| fs::read(got.path.join(path)).unwrap();
    assert_eq!(
        (read("one.jpg"), read("sub/two.jpg")),
        (b"1".to_vec(), large)
    );
    assert!(read("sub/empty").is_empty() && got.path.join("nothing").is_dir());
    assert_eq!(got.path, b.folder.path().join("photos"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_have_it_gets_what_is_public_only() {
    let (a, b) = (Node::letting(false).await, Node::new().await);
    let path = a.write("a", b"secret");
    let link = a.link(&path, false).await;
    let refused = b.get(&link).await;
    assert!(matches!(refused, Err(GetError::NotThere(peer)) if peer == a.endpoint.id()));
    let path = a.write("b", b"for all");
    let got = b.get(&a.link(&path, true).await).await.unwrap();
    assert_eq!(fs::read(got.path).unwrap(), b"for all");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_before_is_not_fetched_again() {
    let (a, b) = (Node::new().await, Node::new().await);
    let data = data(20_000_000);
    let link = a.link(&a.write("large", &data), false).await;
    let progress = Progress::default();
    let half = async {
        while progress.bytes_done() < 8_000_000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        got = b.watched(&link, &progress) => drop(got.unwrap()),
        () = half => {}
    }
    let sent_before = a.sharing.sent_bytes();
    let got = b.get(&link).await.unwrap();
    assert_eq!(fs::read(&got.path).unwrap(), data);
    if progress.bytes_done() < 20_000_000 {
        assert!(got.resumed >= 8_000_000, "{got:?}");
        let again = a.sharing.sent_bytes() - sent_before + got.resumed;
        // What was under way, and is not known to have come.
        assert!(again < 20_000_000 + 40 * 262_144, "{again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_has_changed_is_not_sent() {
    let (a, b) = (Node::new().await, Node::new().await);
    let path = a.write("a", &data(600_000));
    let link = a.link(&path, false).await;
    fs::write(&path, b"another").unwrap();
    let refused = timeout(Duration::from_secs(20), b.get(&link)).await;
    assert!(matches!(refused, Ok(Err(_)) | Err(_)));
    let whole = b.folder.path().join("a");
    assert!(!whole.exists(), "never half a file under its name");
}
