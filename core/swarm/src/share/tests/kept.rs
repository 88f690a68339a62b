//! Content that nodes keep, and that is read while it comes.

use peerway::services::files::Progress;

use super::*;
use crate::{
    share::KeepError,
    store::{StoreError, sweep::Extent},
};

fn store(folder: &TempDir) -> Options {
    Options {
        limit: None,
        catalog: Some(Catalog::at(&folder.path().join("shares.redb"))),
        ..Options::default()
    }
}

async fn pin(node: &Node, link: &Link, name: &str) -> Result<crate::store::Pin, KeepError> {
    let progress = Progress::default();
    let pinned = node.sharing.pin(link, name, None, &progress);
    timeout(PATIENCE, pinned).await.expect("it takes no minute")
}

async fn read(node: &Node, link: &Link, bytes: std::ops::Range<u64>) -> Result<Vec<u8>, KeepError> {
    let reading = async {
        let mut reader = node.sharing.read(link, link, bytes).await?;
        let mut all = Vec::new();
        while let Some(bytes) = reader.next().await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    };
    timeout(PATIENCE, reading)
        .await
        .expect("it takes no minute")
}

/// A node, and the link to a folder that it shares: two files, of which one is twice there.
async fn folder_of(node: &Node) -> (Vec<u8>, Link) {
    let large = data(700_000);
    node.write("photos/a", &large);
    node.write("photos/b", &large);
    node.write("photos/sub/c", b"c");
    let link = node.link(&node.folder.path().join("photos"), true).await;
    (large, link)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pinned_is_served_after_a_start_anew_when_the_one_it_came_from_has_gone() {
    let (seed, kept) = (Node::new().await, TempDir::new().unwrap());
    let (large, link) = folder_of(&seed).await;
    let keeper = Node::with(true, store(&kept)).await;
    let pinned = pin(&keeper, &link, "photos").await.unwrap();
    assert!(pinned.whole);
    assert_eq!((pinned.files, pinned.bytes), (2, 700_001));
    drop((seed, keeper));
    let keeper = loop {
        let node = Node::with(true, store(&kept)).await;
        // The one before may hold it for a moment.
        if node.sharing.pins().await.is_ok() {
            break node;
        }
    };
    let (pins, room) = keeper.sharing.pins().await.unwrap();
    assert_eq!(pins.len(), 1);
    assert!(
        room.bytes > 700_001 && room.pinned == room.bytes,
        "{room:?}"
    );
    let link = pins[0].link(Some(keeper.endpoint.ticket()));
    let getter = Node::new().await;
    let got = getter.get(&link).await.unwrap();
    assert_eq!((got.files, got.bytes), (3, 1_400_001));
    assert_eq!(fs::read(got.path.join("b")).unwrap(), large);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pinned_stays_whatever_is_freed_and_goes_once_the_pin_is_taken_away() {
    let (seed, kept) = (Node::new().await, TempDir::new().unwrap());
    let (large, link) = folder_of(&seed).await;
    let keeper = Node::with(true, store(&kept)).await;
    pin(&keeper, &link, "one").await.unwrap();
    pin(&keeper, &link, "two").await.unwrap();
    let own = keeper.write("own", b"in place");
    let shared = keeper.sharing.keep(&own, true).await.unwrap();
    let sharing = &keeper.sharing;
    let all = sharing.sweep(Extent::All, Some(0)).await.unwrap();
    assert_eq!((all.contents, all.room.quota), (0, 0));
    assert_eq!(sharing.unpin("one").await.unwrap().len(), 1);
    let one_left = sharing.sweep(Extent::All, None).await.unwrap();
    assert_eq!(one_left.contents, 0, "the other pin keeps all of it");
    assert_eq!(
        sharing
            .unpin(&link.hash.to_string()[..8])
            .await
            .unwrap()
            .len(),
        1
    );
    let graced = sharing.sweep(Extent::Tidy, None).await.unwrap();
    assert_eq!(graced.contents, 0, "it was used within a day");
    let freed = sharing.sweep(Extent::All, None).await.unwrap();
    assert_eq!((freed.contents, freed.room.bytes), (4, 0));
    let blobs = fs::read_dir(kept.path().join("blobs")).unwrap();
    assert_eq!(blobs.count(), 0, "nothing is left of it");
    // What is shared in place is there as it was, and served.
    assert_eq!(fs::read(own).unwrap(), b"in place");
    let link = sharing.link(&shared);
    Node::new().await.get(&link).await.unwrap();
    assert!(!large.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_room_is_refused_before_anything_is_fetched() {
    let (seed, kept) = (Node::new().await, TempDir::new().unwrap());
    let keeper = Node::with(true, store(&kept)).await;
    let quota = Some(1_000_000);
    keeper.sharing.sweep(Extent::Tidy, quota).await.unwrap();
    let [small, large] = [600_000, 700_000].map(data);
    let first = seed.link(&seed.write("small", &small), true).await;
    let second = seed.link(&seed.write("large", &large), true).await;
    pin(&keeper, &first, "small").await.unwrap();
    let sent = seed.sharing.sent_bytes();
    let refused = pin(&keeper, &second, "large").await.unwrap_err();
    let KeepError::Store(error) = &refused else {
        panic!("{refused}");
    };
    assert!(
        matches!(
            **error,
            StoreError::NoRoom {
                lacking: 300_000,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(seed.sharing.sent_bytes(), sent);
    let (pins, _) = keeper.sharing.pins().await.unwrap();
    let pins: Vec<_> = pins.iter().map(|pin| &*pin.name).collect();
    assert_eq!(pins, ["small"], "what was refused is no pin");
    // What nobody pins any more gives way, though it was used just now.
    keeper.sharing.unpin("small").await.unwrap();
    pin(&keeper, &second, "large").await.unwrap();
    let (_, room) = keeper.sharing.pins().await.unwrap();
    assert_eq!(room.bytes, 700_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_sent_takes_no_room_though_it_is_pinned() {
    let (strict, kept) = (Node::letting(false).await, TempDir::new().unwrap());
    let keeper = Node::with(true, store(&kept)).await;
    let quota = Some(1_000_000);
    keeper.sharing.sweep(Extent::Tidy, quota).await.unwrap();
    for (name, len) in [("one unit", 200_000), ("many", 900_000)] {
        let link = strict.link(&strict.write(name, &data(len)), false).await;
        let refused = pin(&keeper, &link, name).await.unwrap_err();
        assert!(matches!(refused, KeepError::Get(_)), "{refused}");
        let (pins, room) = keeper.sharing.pins().await.unwrap();
        assert!(pins.iter().all(|pin| !pin.whole));
        assert_eq!((room.bytes, room.pinned), (0, 0), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_freed_is_told_as_what_was_there_of_it() {
    let (seed, kept) = (Node::new().await, TempDir::new().unwrap());
    let link = seed
        .link(&seed.write("film", &data(60_000_000)), true)
        .await;
    let viewer = Node::with(true, store(&kept)).await;
    read(&viewer, &link, 59_000_000..60_000_000).await.unwrap();
    let freed = loop {
        let freed = viewer.sharing.sweep(Extent::All, None).await.unwrap();
        // Whoever fetched it may hold it for a moment.
        if freed.contents > 0 {
            break freed;
        }
        tokio::task::yield_now().await;
    };
    assert!((1_000_000..15_000_000).contains(&freed.bytes), "{freed:?}");
    assert_eq!(freed.room.bytes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_of_one_content_and_a_pin_expires() {
    let (seed, kept) = (Node::new().await, TempDir::new().unwrap());
    let keeper = Node::with(true, store(&kept)).await;
    let first = seed.link(&seed.write("a", b"a"), true).await;
    let second = seed.link(&seed.write("b", b"b"), true).await;
    let progress = Progress::default();
    pin(&keeper, &first, "it").await.unwrap();
    let taken = pin(&keeper, &second, "it").await.unwrap_err();
    assert!(taken.to_string().contains("another pin is called it"));
    for bad in ["", "a\u{1b}"] {
        assert!(pin(&keeper, &first, bad).await.is_err());
    }
    let past = keeper.sharing.pin(&second, "past", Some(1000), &progress);
    past.await.unwrap();
    let freed = keeper.sharing.sweep(Extent::All, None).await.unwrap();
    assert_eq!(freed.contents, 1);
    let (pins, _) = keeper.sharing.pins().await.unwrap();
    assert_eq!(
        pins.iter().map(|pin| &*pin.name).collect::<Vec<_>>(),
        ["it"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_read_is_fetched_and_little_else() {
    let (seed, kept) = (Node::new().await, TempDir::new().unwrap());
    let data = data(40_000_000);
    let link = seed.link(&seed.write("film", &data), true).await;
    let viewer = Node::with(true, store(&kept)).await;
    let end = read(&viewer, &link, 39_000_000..40_000_000).await.unwrap();
    assert_eq!(end, data[39_000_000..]);
    let middle = read(&viewer, &link, 20_000_001..20_300_000).await.unwrap();
    assert_eq!(middle, data[20_000_001..20_300_000]);
    let sent = seed.sharing.sent_bytes();
    assert!(sent < 4_000_000, "{sent} were sent for 1.3 MB");
    // What was read is there, and the rest comes with a pin.
    pin(&viewer, &link, "film").await.unwrap();
    let again = seed.sharing.sent_bytes();
    assert!(again < 41_500_000, "{again} were sent for 40 MB");
    drop(seed);
    assert_eq!(read(&viewer, &link, 0..40_000_000).await.unwrap(), data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_has_nothing_more_fetched() {
    let (seed, kept) = (Node::new().await, TempDir::new().unwrap());
    let link = seed
        .link(&seed.write("film", &data(60_000_000)), true)
        .await;
    let viewer = Node::with(true, store(&kept)).await;
    let all = 0..60_000_000;
    let mut reader = viewer.sharing.read(&link, &link, all).await.unwrap();
    reader.next().await.unwrap().unwrap();
    drop(reader);
    // Another one shows that the fetching goes on as far as it is wanted.
    read(&viewer, &link, 59_000_000..60_000_000).await.unwrap();
    let sent = seed.sharing.sent_bytes();
    assert!(sent < 12_000_000, "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_behind_the_nodes_back_is_fetched_again() {
    let (seed, kept) = (Node::new().await, TempDir::new().unwrap());
    let data = data(700_000);
    let link = seed.link(&seed.write("f", &data), true).await;
    let keeper = Node::with(true, store(&kept)).await;
    pin(&keeper, &link, "f").await.unwrap();
    let blob = kept.path().join("blobs").join(link.hash.to_string());
    assert_eq!(fs::read(&blob).unwrap(), data);
    fs::write(&blob, b"something else").unwrap();
    assert!(read(&keeper, &link, 0..700_000).await.is_err());
    pin(&keeper, &link, "f").await.unwrap();
    assert_eq!(fs::read(&blob).unwrap(), data);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_here_and_of_nobody_is_not_known() {
    let kept = TempDir::new().unwrap();
    let node = Node::with(true, store(&kept)).await;
    let unknown = node.sharing.known(Hash::of(b"x")).await.unwrap_err();
    assert!(matches!(unknown, KeepError::Unknown), "{unknown}");
    let path = node.write("a", b"abc");
    let shared = node.sharing.keep(&path, false).await.unwrap();
    let known = node.sharing.known(shared.hash).await.unwrap();
    assert_eq!((known.name.as_str(), known.size), ("a", 3));
    assert_eq!(read(&node, &known, 1..3).await.unwrap(), b"bc");
    let none = Node::new().await.sharing.pins().await;
    assert!(matches!(none, Err(KeepError::NoStore)));
}
