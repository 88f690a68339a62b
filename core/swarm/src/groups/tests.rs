//! What a node that ends at any moment, or whose disk is full, has of its groups.

use tempfile::TempDir;

use super::*;

fn builder() -> Builder {
    let builder = Endpoint::builder().bind_addr(([127, 0, 0, 1], 0).into());
    builder.lan_discovery(false).port_mapping(false)
}

async fn groups(folder: &TempDir) -> Groups {
    let key = peerway::SecretKey::from_seed(&[3; 32]);
    let endpoint = builder().secret_key(key).bind().await.unwrap();
    Groups::open(folder.path(), endpoint, builder()).unwrap()
}

/// What the next start of a node finds that is killed now.
async fn after_a_crash(folder: &TempDir) -> Groups {
    let copy = TempDir::new().unwrap();
    let file = "groups.redb";
    std::fs::copy(folder.path().join(file), copy.path().join(file)).unwrap();
    groups(&copy).await
}

fn texts(groups: &Groups, group: GroupId) -> Vec<String> {
    let posts = groups.posts(group, 10, false).unwrap().into_iter();
    posts.filter_map(|post| post.text).collect()
}

#[tokio::test]
async fn what_a_command_was_told_is_done_is_on_the_disk() {
    let folder = TempDir::new().unwrap();
    let node = groups(&folder).await;
    let group = node.create("home").unwrap();
    let guest = peerway::SecretKey::from_seed(&[4; 32]).id();
    node.invite(group, Role::Member, 1, Duration::from_secs(60))
        .unwrap();
    node.add(group, guest, Role::Member).unwrap();
    node.post(group, "one").unwrap();
    let found = after_a_crash(&folder).await;
    assert_eq!(texts(&found, group), ["one"]);
    let view = found.view(group).unwrap();
    assert_eq!((view.members.len(), view.invites), (2, 1));
    node.remove(group, guest).unwrap();
    node.post(group, "two").unwrap();
    let found = after_a_crash(&folder).await;
    assert_eq!(texts(&found, group), ["one", "two"], "with the new key");
    assert_eq!(found.view(group).unwrap().members.len(), 1);
}

#[tokio::test]
async fn what_a_full_disk_does_not_take_is_refused_and_not_told_and_what_comes_later_is() {
    let folder = TempDir::new().unwrap();
    let node = groups(&folder).await;
    let group = node.create("home").unwrap();
    node.post(group, "one").unwrap();
    let mut events = node.events();
    let disk = node.0.store.is_full();
    disk.store(true, std::sync::atomic::Ordering::Relaxed);
    let guest = peerway::SecretKey::from_seed(&[4; 32]).id();
    let refused = [
        node.post(group, "two").unwrap_err(),
        node.create("other").unwrap_err(),
        node.add(group, guest, Role::Member).unwrap_err(),
    ];
    for error in refused {
        assert!(matches!(error, GroupError::Store(_)), "{error:?}");
        let error = error.to_string();
        assert!(error.contains("groups.redb"), "{error}");
        assert!(!error.contains("move it away"), "{error}");
    }
    assert!(events.try_recv().is_err(), "nobody hears of it");
    let view = node.view(group).unwrap();
    assert_eq!((view.posts, view.members.len()), (1, 1));
    assert!(view.unkept.is_some());
    assert_eq!(node.all().len(), 1);
    disk.store(false, std::sync::atomic::Ordering::Relaxed);
    node.post(group, "three").unwrap();
    assert_eq!(node.view(group).unwrap().unkept, None);
    assert_eq!(texts(&node, group), ["one", "three"]);
    let found = after_a_crash(&folder).await;
    assert_eq!(texts(&found, group), ["one", "three"]);
}

#[tokio::test]
async fn what_came_of_others_while_the_disk_was_full_is_there_once_it_is_not() {
    let folder = TempDir::new().unwrap();
    let node = groups(&folder).await;
    let group = node.create("home").unwrap();
    // Of another node of the same key, as others hand posts on.
    let other = TempDir::new().unwrap();
    let file = "groups.redb";
    std::fs::copy(folder.path().join(file), other.path().join(file)).unwrap();
    let elsewhere = groups(&other).await;
    elsewhere.post(group, "hello").unwrap();
    let posts = elsewhere.0.store.last(group, 1).unwrap();
    let records: Vec<_> = posts.into_iter().map(Record::Post).collect();
    let disk = node.0.store.is_full();
    // What is in memory alone is lost with the database, and comes back.
    node.0.store.keep(group, records).unwrap();
    disk.store(true, std::sync::atomic::Ordering::Relaxed);
    node.0.store.flush().unwrap_err();
    disk.store(false, std::sync::atomic::Ordering::Relaxed);
    node.0.store.flush().unwrap();
    assert_eq!(texts(&node, group), ["hello"]);
    let found = after_a_crash(&folder).await;
    assert_eq!(texts(&found, group), ["hello"]);
}

#[tokio::test]
async fn those_of_a_feed_have_no_group_in_common_with_whoever_follows_it_or_writes_it() {
    let folder = TempDir::new().unwrap();
    let node = groups(&folder).await;
    let group = node.create("news").unwrap();
    let [one, two] = [5, 6].map(|seed| peerway::SecretKey::from_seed(&[seed; 32]).id());
    assert!(!node.is_feed(group), "nobody follows it yet");
    node.add(group, one, Role::Reader).unwrap();
    assert!(node.is_feed(group));
    assert_eq!(node.common(one), None);
    node.add(group, two, Role::Member).unwrap();
    assert!(!node.is_feed(group));
    assert_eq!(node.common(one), Some(group));
}
