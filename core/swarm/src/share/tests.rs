//! Nodes on loopback that share content.

mod kept;
mod served;
mod way;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use peerway::{Endpoint, Router, services::files::Progress};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};

use super::{
    ALPN, ContentState, GetError, Got, Hash, Kind, Link, Options, Outline, Sharing, Target,
    collection::Root,
    object::{Object, Source},
};
use crate::store::catalog::Catalog;

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
        Self::with(may, Options::default()).await
    }

    async fn with(may: bool, options: Options) -> Self {
        Self::of(move |_| may, options).await
    }

    async fn of(
        may: impl Fn(peerway::PeerId) -> bool + Send + Sync + 'static,
        options: Options,
    ) -> Self {
        let endpoint = Endpoint::builder()
            .bind_addr(([127, 0, 0, 1], 0).into())
            .lan_discovery(false)
            .port_mapping(false)
            .bind()
            .await
            .unwrap();
        let sharing = Sharing::with(endpoint.clone(), may, options);
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
async fn what_is_known_by_its_hash_alone_is_fetched_from_those_of_many_who_have_it() {
    let [a, b, c, d] = [
        Node::new().await,
        Node::new().await,
        Node::new().await,
        Node::new().await,
    ];
    let list = Root {
        entries: 1,
        bytes: 1,
        pages: vec![(Hash::of(b"no page"), 7)],
    };
    // The last only looks like the list of a folder.
    let files = [
        data(1_000_000),
        data(100),
        Vec::new(),
        postcard::to_allocvec(&list).unwrap(),
    ];
    a.write("all/sub/one", b"1");
    a.write("all/two", b"2");
    for (at, data) in files.iter().enumerate() {
        a.link(&a.write(&at.to_string(), data), true).await;
        c.link(&c.write(&at.to_string(), data), true).await;
    }
    let folder = a.link(&a.folder.path().join("all"), true).await;
    let peers = [&d, &c, &a, &b].map(|node| node.endpoint.ticket());
    for data in &files {
        let link = b
            .sharing
            .locate(Hash::of(data), peers.to_vec())
            .await
            .unwrap();
        assert_eq!((link.kind, link.size), (Kind::File, data.len() as u64));
        assert_eq!((link.providers.len(), link.public), (2, false));
        let got = b.get(&link).await.unwrap();
        assert_eq!(fs::read(&got.path).unwrap(), *data);
    }
    let link = b.sharing.locate(folder.hash, peers.to_vec()).await.unwrap();
    assert_eq!((link.kind, link.size), (Kind::Folder, folder.size));
    assert_eq!(b.get(&link).await.unwrap().files, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_have_what_it_knows_the_hash_of_is_told_that_it_is_nowhere() {
    let (strict, none, b) = (
        Node::letting(false).await,
        Node::new().await,
        Node::new().await,
    );
    let link = strict.link(&strict.write("f", b"mine"), false).await;
    let peers = [&strict, &none].map(|node| node.endpoint.ticket());
    let located = b.sharing.locate(link.hash, peers.to_vec()).await;
    let nowhere = GetError::Nowhere {
        asked: 2,
        reached: 2,
    };
    assert_eq!(located.unwrap_err().to_string(), nowhere.to_string());
    let own = vec![b.endpoint.ticket()];
    let located = b.sharing.locate(link.hash, own).await.unwrap_err();
    assert!(matches!(located, GetError::NobodyToAsk), "{located:?}");
    let said = located.to_string();
    for way in ["peerway pair", "peerway group join", "a link"] {
        assert!(said.contains(way), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_quick_to_say_something_wrong_does_not_end_the_search_for_a_hash() {
    let (liar, getter) = (Node::new().await, Node::new().await);
    // It answers once it is known that the other lied.
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let wait = move || released.lock().is_ok_and(|it| it.recv().is_err());
    let may = move |_| tokio::task::block_in_place(&wait);
    let late = Node::of(may, Options::default()).await;
    let data = data(3_000_000);
    let link = late.link(&late.write("f", &data), false).await;
    let outline = Outline::unchecked(link.hash, link.size, &[7; 12 * 32]);
    let wrong = Source::Bytes(data.into());
    let object = Object::new(Arc::new(outline), true, wrong);
    liar.sharing.put(Arc::new(object)).await;
    let mut notices = getter.sharing.notices();
    let peers = [&liar, &late].map(|node| node.endpoint.ticket());
    let locating = getter.sharing.locate(link.hash, peers.to_vec());
    let releasing = async {
        let lied = notices.recv().await.unwrap();
        assert!(matches!(lied, super::Notice::Lied { .. }), "{lied:?}");
        drop(release);
    };
    let both = async { tokio::join!(locating, releasing) };
    let (located, ()) = timeout(PATIENCE, both).await.unwrap();
    let located = located.unwrap();
    assert_eq!(located.size, link.size);
    let from: Vec<_> = located.providers.iter().map(|it| it.id()).collect();
    assert_eq!(from, [late.endpoint.id()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_blocked_is_not_asked_for_a_hash_and_hears_nothing_of_it() {
    let (blocked, shunned) = (Node::new().await, crate::Shunned::default());
    let link = blocked.link(&blocked.write("f", b"it"), true).await;
    shunned.set([blocked.endpoint.id()]);
    let options = Options {
        shunned,
        ..Options::default()
    };
    let getter = Node::with(true, options).await;
    let peers = vec![blocked.endpoint.ticket()];
    let located = getter.sharing.locate(link.hash, peers).await;
    assert!(matches!(located, Err(GetError::NobodyToAsk)), "{located:?}");
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
async fn what_came_of_many_small_files_is_there_and_does_not_come_again() {
    let (a, b) = (Node::new().await, Node::new().await);
    let text = |at: usize| format!("file {at}").repeat(200);
    for at in 0..1_300 {
        a.write(&format!("many/{}/{at}", at % 9), text(at).as_bytes());
    }
    let path = a.folder.path().join("many");
    let link = a.link(&path, true).await;
    // One is not there any more.
    let (gone, away) = (path.join("1/1"), a.folder.path().join("away"));
    fs::rename(&gone, &away).unwrap();
    assert!(b.get(&link).await.is_err());
    let before = a.sharing.sent_bytes();
    fs::rename(&away, &gone).unwrap();
    a.link(&path, true).await;
    let got = b.get(&link).await.unwrap();
    assert_eq!(got.files, 1_300);
    for at in 0..1_300 {
        let there = fs::read(got.path.join(format!("{}/{at}", at % 9)));
        assert_eq!(there.unwrap(), text(at).as_bytes(), "{at}");
    }
    let sent = a.sharing.sent_bytes() - before;
    // What was asked on the same stream before the one that is gone came, which is half of it: of the other no order is known.
    assert!(got.resumed > 110_000, "{got:?}");
    // With the lists of what is in the folder, and what was still leaving when the first try was given up.
    assert!(sent + got.resumed < got.bytes + 200_000, "{sent}, {got:?}");
    let mut own = link;
    own.providers = vec![b.endpoint.ticket()];
    assert_eq!(Node::new().await.get(&own).await.unwrap().files, 1_300);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_files_of_a_folder_all_come_and_each_content_once() {
    let (a, b) = (Node::new().await, Node::new().await);
    let large = data(600_000);
    for at in 0..20 {
        a.write(&format!("code/{at}/__init__.py"), b"");
        a.write(&format!("code/{at}/LICENSE"), b"to be had by all");
        a.write(&format!("code/{at}/model"), &large);
    }
    let link = a.link(&a.folder.path().join("code"), false).await;
    let got = b.get(&link).await.unwrap();
    assert_eq!(got.files, 60);
    for at in 0..20 {
        let read = |name: &str| fs::read(got.path.join(format!("{at}/{name}"))).unwrap();
        assert!(read("__init__.py").is_empty() && read("LICENSE") == b"to be had by all");
        assert_eq!(read("model"), large);
    }
    let sent = a.sharing.sent_bytes();
    assert!(sent < 1_000_000, "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_more_large_files_than_a_connection_has_streams_is_fetched() {
    let (a, b) = (Node::new().await, Node::new().await);
    let large = data(300_000);
    for at in 0..140u8 {
        a.write(&format!("many/{at}"), &[&[at], &large[..]].concat());
    }
    let link = a.link(&a.folder.path().join("many"), false).await;
    let got = b.get(&link).await.unwrap();
    assert_eq!((got.files, got.bytes), (140, 140 * 300_001));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_fetch_the_same_into_one_folder_do_not_disturb_each_other() {
    let (a, b) = (Node::new().await, Node::new().await);
    let data = data(3_000_000);
    let link = a.link(&a.write("f", &data), false).await;
    let all = [b.get(&link), b.get(&link), b.get(&link)];
    let mut names = Vec::new();
    for got in futures_util::future::join_all(all).await {
        let path = got.unwrap().path;
        assert_eq!(fs::read(&path).unwrap(), data);
        names.push(path.file_name().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(names, ["f", "f (1)", "f (2)"]);
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
    let refused = b.get(&link).await;
    assert!(matches!(refused, Err(GetError::NotThere(_))), "{refused:?}");
    let whole = b.folder.path().join("a");
    assert!(!whole.exists(), "never half a file under its name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_from_all_who_have_it() {
    let data = data(30_000_000);
    let mut seeds = Vec::new();
    for _ in 0..3 {
        seeds.push(Node::new().await);
    }
    let mut link = seeds[0].link(&seeds[0].write("f", &data), false).await;
    for seed in &seeds[1..] {
        let other = seed.link(&seed.write("f", &data), false).await;
        link.providers.extend(other.providers);
    }
    let got = Node::new().await.get(&link).await.unwrap();
    assert_eq!(got.bytes, 30_000_000);
    let sent: Vec<_> = seeds.iter().map(|it| it.sharing.sent_bytes()).collect();
    assert!(sent.iter().all(|sent| *sent > 1_000_000), "{sent:?}");
    // Some may come twice at the end.
    assert!(sent.iter().sum::<u64>() < 36_000_000, "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_what_is_wrong_is_named_and_asked_no_more() {
    let (liar, honest, getter) = (Node::new().await, Node::new().await, Node::new().await);
    // Not all of it comes from the honest one before the other is reached.
    let data = data(30_000_000);
    let mut link = honest.link(&honest.write("f", &data), false).await;
    let outline = honest
        .sharing
        .own(link.hash)
        .await
        .unwrap()
        .outline()
        .clone();
    let wrong = Source::Bytes(vec![7; data.len()].into());
    liar.sharing
        .put(Arc::new(Object::new(outline, true, wrong)))
        .await;
    link.providers.insert(0, liar.endpoint.ticket());
    let got = getter.get(&link).await.unwrap();
    assert_eq!(fs::read(got.path).unwrap(), data);
    assert!(getter.sharing.is_liar(liar.endpoint.id()));
    assert!(!getter.sharing.is_liar(honest.endpoint.id()));
    let sent = liar.sharing.sent_bytes();
    getter.get(&link).await.unwrap();
    assert_eq!(liar.sharing.sent_bytes(), sent, "it is not asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outline_that_does_not_come_to_the_hash_makes_a_liar_too() {
    let (liar, honest, getter) = (Node::new().await, Node::new().await, Node::new().await);
    let data = data(3_000_000);
    let mut link = honest.link(&honest.write("f", &data), false).await;
    let mut bytes = honest
        .sharing
        .own(link.hash)
        .await
        .unwrap()
        .outline()
        .to_bytes();
    bytes[5] ^= 1;
    let outline = Outline::unchecked(link.hash, link.size, &bytes);
    let wrong = Source::Bytes(data.clone().into());
    liar.sharing
        .put(Arc::new(Object::new(Arc::new(outline), true, wrong)))
        .await;
    link.providers = vec![liar.endpoint.ticket()];
    assert!(getter.get(&link).await.is_err());
    assert!(getter.sharing.is_liar(liar.endpoint.id()));
    assert!(!getter.sharing.is_liar(honest.endpoint.id()));
    link.providers.push(honest.endpoint.ticket());
    let got = getter.get(&link).await.unwrap();
    assert_eq!(fs::read(got.path).unwrap(), data);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_fetch_the_same_hear_of_each_other_and_serve_what_they_have() {
    // Nobody but the seed lets anybody have anything, but for those whom the seed names.
    let limit = Some(2_000_000);
    let seed = Node::with(
        true,
        Options {
            limit,
            catalog: None,
            ..Options::default()
        },
    )
    .await;
    let data = data(12_000_000);
    let link = seed.link(&seed.write("f", &data), false).await;
    let mut getters = Vec::new();
    for _ in 0..3 {
        getters.push(Node::letting(false).await);
    }
    let all = getters.iter().map(|getter| getter.get(&link));
    for got in futures_util::future::join_all(all).await {
        assert_eq!(fs::read(got.unwrap().path).unwrap(), data);
    }
    let sent = getters.iter().map(|getter| getter.sharing.sent_bytes());
    let sent = sent.sum::<u64>();
    assert!(sent > 1_000_000, "they sent {sent} of 36 MB to each other");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_had_nothing_at_first_is_asked_again() {
    // It sends the outline, and then as good as nothing.
    let limit = Some(1);
    let slow = Node::with(
        true,
        Options {
            limit,
            catalog: None,
            ..Options::default()
        },
    )
    .await;
    let (late, getter) = (Node::new().await, Node::new().await);
    let data = data(3_000_000);
    let mut link = slow.link(&slow.write("f", &data), true).await;
    link.providers.push(late.endpoint.ticket());
    let sharing = async {
        loop {
            let contents = getter.sharing.contents().await;
            let mut peers = contents.iter().flat_map(|it| &it.peers);
            // By then it was asked, or is asked before long.
            if peers.any(|it| it.id == late.endpoint.id() && it.active) {
                break;
            }
            tokio::task::yield_now().await;
        }
        late.link(&late.write("f", &data), true).await;
    };
    let (got, ()) = tokio::join!(getter.get(&link), sharing);
    assert_eq!(fs::read(got.unwrap().path).unwrap(), data);
    assert!(late.sharing.sent_bytes() > 2_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fetches_what_was_moved_away_is_told_that_it_is_not_there() {
    let seed = Node::new().await;
    let path = seed.write("f", &data(500_000));
    let link = seed.link(&path, false).await;
    fs::rename(&path, path.with_extension("moved")).unwrap();
    let refused = Node::new().await.get(&link).await;
    assert!(matches!(refused, Err(GetError::NotThere(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_shared_by_the_next_node_until_it_is_stopped() {
    let folder = TempDir::new().unwrap();
    let options = || Options {
        limit: None,
        catalog: Some(Catalog::at(&folder.path().join("shares.redb"))),
        ..Options::default()
    };
    let before = Node::with(true, options()).await;
    let path = folder.path().join("f");
    fs::write(&path, data(500_000)).unwrap();
    let shared = before.sharing.keep(&path, false).await.unwrap();
    drop(before);
    let node = Node::with(true, options()).await;
    let shares = loop {
        // The one before may hold it for a moment.
        if let Ok(shares) = node.sharing.shares().await {
            break shares;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(shares, std::slice::from_ref(&shared));
    let (getter, link) = (Node::new().await, node.sharing.link(&shared));
    getter.get(&link).await.unwrap();
    assert!(node.sharing.stop(shared.hash).await.unwrap());
    let refused = Node::new().await.get(&link).await;
    assert!(matches!(refused, Err(GetError::NotThere(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_and_is_kept_then_is_served_as_it_is_kept() {
    let seed = Node::new().await;
    let options = Options {
        limit: None,
        catalog: Some(Catalog::at(&seed.folder.path().join("shares.redb"))),
        ..Options::default()
    };
    let node = Node::with(false, options).await;
    let link = seed.link(&seed.write("f", &data(500_000)), false).await;
    let got = node.get(&link).await.unwrap();
    let shared = node.sharing.keep(&got.path, true).await.unwrap();
    let link = node.sharing.link(&shared);
    Node::new().await.get(&link).await.unwrap();
}

#[tokio::test]
async fn what_is_shared_fetched_and_was_is_shown_with_whom_it_is_exchanged() {
    let (seed, other) = (Node::new().await, Node::new().await);
    let data = vec![7; 3 << 20];
    let link = seed.link(&seed.write("film", &data), true).await;
    let [shown] = &seed.sharing.contents().await[..] else {
        panic!("one thing is shared");
    };
    assert_eq!((&*shown.name, shown.state), ("film", ContentState::Shared));
    assert_eq!(
        (shown.bytes, shown.bytes_done, shown.sent),
        (3 << 20, 3 << 20, 0)
    );

    let progress = Progress::default();
    let fetching = async {
        let during = async {
            loop {
                let now = other.sharing.contents().await;
                if let [one] = &now[..]
                    && one.received > 0
                {
                    break one.clone();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(other.watched(&link, &progress), during)
    };
    let (got, during) = timeout(PATIENCE, fetching).await.unwrap();
    got.unwrap();
    assert!(during.bytes == 3 << 20 && during.received <= during.bytes);

    let [got] = &other.sharing.contents().await[..] else {
        panic!("one thing was fetched");
    };
    assert_eq!((got.state, got.received), (ContentState::Fetched, 3 << 20));
    let giver: Vec<_> = got.peers.iter().map(|it| (it.id, it.received)).collect();
    assert_eq!(giver, [(seed.endpoint.id(), 3 << 20)]);

    // What was sent may be counted after it came.
    let counted = async {
        loop {
            let now = seed.sharing.contents().await;
            if now[0].sent == 3 << 20 {
                break now;
            }
            tokio::task::yield_now().await;
        }
    };
    let shown = timeout(PATIENCE, counted).await.unwrap();
    let taker = shown[0].peers.iter().map(|it| (it.id, it.sent));
    assert_eq!(taker.collect::<Vec<_>>(), [(other.endpoint.id(), 3 << 20)]);
}

#[tokio::test]
async fn what_is_kept_is_shown_until_it_is_stopped_and_of_a_folder_all_that_was_sent() {
    let folder = TempDir::new().unwrap();
    let catalog = Catalog::at(&folder.path().join("shares.redb"));
    let options = Options {
        catalog: Some(catalog),
        ..Options::default()
    };
    let (seed, other) = (Node::with(true, options).await, Node::new().await);
    assert_eq!(seed.sharing.contents().await, []);
    seed.write("album/one", &[1; 1000]);
    seed.write("album/two", &[2; 500_000]);
    let path = seed.folder.path().join("album");
    let shared = seed.sharing.keep(&path, false).await.unwrap();
    other.get(&seed.sharing.link(&shared)).await.unwrap();
    let counted = async {
        loop {
            let now = seed.sharing.contents().await;
            let [album] = &now[..] else {
                panic!("one thing is kept");
            };
            if album.sent >= 501_000 {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, counted).await.unwrap();
    assert!(seed.sharing.stop(shared.hash).await.unwrap());
    assert_eq!(seed.sharing.contents().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paused_stands_still_and_what_is_cancelled_goes_on_with_the_next_try() {
    let (a, b) = (Node::new().await, Node::new().await);
    let data = data(120_000_000);
    let link = a.link(&a.write("large", &data), false).await;
    let progress = Progress::default();
    let valve = progress.valve();
    let until = async |bytes: u64| {
        while progress.bytes_done() < bytes {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let holding_up = async {
        until(4_000_000).await;
        assert!(valve.pause());
        let still = loop {
            let before = progress.bytes_done();
            // Longer than it takes to be heeded, and than what is under way takes.
            tokio::time::sleep(Duration::from_millis(600)).await;
            if progress.bytes_done() == before {
                break before;
            }
        };
        assert!(still < 110_000_000, "it was not through: {still}");
        let shown = b.sharing.contents().await;
        assert_eq!(shown.first().unwrap().state, ContentState::Paused);
        assert!(valve.resume());
        until(still + 2_000_000).await;
        assert!(valve.pause() && valve.cancel());
    };
    let (got, ()) = tokio::join!(b.watched(&link, &progress), holding_up);
    assert!(matches!(got, Err(GetError::Cancelled)), "{got:?}");
    assert_eq!(b.sharing.contents().await.len(), 0, "it is fetched no more");
    let got = b.get(&link).await.unwrap();
    assert!(got.resumed >= 6_000_000, "{got:?}");
    assert_eq!(fs::read(&got.path).unwrap(), data);
}
