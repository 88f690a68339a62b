//! What a node that ends at any moment, or whose disk is full, has of its groups.

use std::sync::atomic::Ordering::Relaxed;

use tempfile::TempDir;

use super::{
    join::{AdmitError, Guest},
    *,
};
use crate::group::RedeemError;

fn builder() -> Builder {
    let builder = Endpoint::builder().bind_addr(([127, 0, 0, 1], 0).into());
    builder.lan_discovery(false).port_mapping(false)
}

async fn groups(folder: &TempDir) -> Groups {
    groups_of(folder, peerway::SecretKey::from_seed(&[3; 32])).await
}

async fn groups_of(folder: &TempDir, key: peerway::SecretKey) -> Groups {
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
    disk.store(true, Relaxed);
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
    disk.store(false, Relaxed);
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
    let records = said_elsewhere(&folder, group, &["hello"]).await;
    let disk = node.0.store.is_full();
    // What is in memory alone is lost with the database, and comes back.
    node.0.store.keep(group, records).unwrap();
    disk.store(true, Relaxed);
    node.0.store.flush().unwrap_err();
    disk.store(false, Relaxed);
    node.0.store.flush().unwrap();
    assert_eq!(texts(&node, group), ["hello"]);
    let found = after_a_crash(&folder).await;
    assert_eq!(texts(&found, group), ["hello"]);
}

/// Posts of another node of the same key, as others hand them on.
async fn said_elsewhere(folder: &TempDir, group: GroupId, texts: &[&str]) -> Vec<Record> {
    let elsewhere = after_a_crash(folder).await;
    for text in texts {
        elsewhere.post(group, text).unwrap();
    }
    let posts = elsewhere.0.store.last(group, texts.len()).unwrap();
    posts.into_iter().map(Record::Post).collect()
}

#[tokio::test]
async fn what_came_of_others_is_kept_though_the_disk_fails_at_something_else_meanwhile() {
    let folder = TempDir::new().unwrap();
    let node = groups(&folder).await;
    let group = node.create("home").unwrap();
    let records = said_elsewhere(&folder, group, &["one", "two"]).await;
    let [one, two] = &records[..] else {
        panic!("two were posted");
    };
    let (store, disk) = (&node.0.store, node.0.store.is_full());
    for record in [one, two] {
        store.keep(group, vec![record.clone()]).unwrap();
        // Its file is opened anew after that.
        disk.store(true, Relaxed);
        store.set_read_until(group, 1).unwrap_err();
        disk.store(false, Relaxed);
        assert_eq!(store.failing(), None);
    }
    store.flush().unwrap();
    assert_eq!(texts(&node, group), ["one", "two"]);
    let found = after_a_crash(&folder).await;
    assert_eq!(texts(&found, group), ["one", "two"]);
}

#[tokio::test]
async fn what_was_forgotten_does_not_come_back_by_a_disk_that_fails() {
    let folder = TempDir::new().unwrap();
    let node = groups(&folder).await;
    let group = node.create("home").unwrap();
    for text in ["one", "two", "three"] {
        node.post(group, text).unwrap();
    }
    let (store, disk) = (&node.0.store, node.0.store.is_full());
    let posts = store.last(group, 3).unwrap();
    let at = |which: usize| [(posts[which].sent_ms(), posts[which].id())];
    store.forget(group, &at(0)).unwrap();
    disk.store(true, Relaxed);
    store.set_read_until(group, 1).unwrap_err();
    // Nor does what goes while nothing can be written.
    store.flush().unwrap_err();
    store.forget(group, &at(1)).unwrap();
    disk.store(false, Relaxed);
    store.flush().unwrap();
    assert_eq!(texts(&node, group), ["three"]);
    let found = after_a_crash(&folder).await;
    assert_eq!(texts(&found, group), ["three"]);
}

#[tokio::test]
async fn a_group_that_was_left_while_the_disk_was_full_goes_once_it_is_not() {
    let folder = TempDir::new().unwrap();
    let node = groups(&folder).await;
    let [left, other] = ["left", "other"].map(|name| node.create(name).unwrap());
    let disk = node.0.store.is_full();
    disk.store(true, Relaxed);
    let mut events = node.events();
    node.leave(left).await.unwrap_err();
    let told = std::iter::from_fn(|| events.try_recv().ok()).last();
    assert!(matches!(told, Some(GroupEvent::Removed(it)) if it == left));
    disk.store(false, Relaxed);
    node.0.store.flush().unwrap();
    let found = after_a_crash(&folder).await.all();
    let found: Vec<_> = found.iter().map(|group| group.id.clone()).collect();
    assert_eq!(found, [other.to_string()]);
}

#[tokio::test]
async fn a_group_that_is_joined_anew_while_the_disk_is_full_stays_as_it_was() {
    let folder = TempDir::new().unwrap();
    let node = groups(&folder).await;
    let group = node.create("home").unwrap();
    // As a member tells it.
    let known = || {
        let (_, mut known) = node.0.store.groups().unwrap().remove(0);
        known.kept = crate::group::Kept::default();
        known
    };
    node.post(group, "one").unwrap();
    let disk = node.0.store.is_full();
    disk.store(true, Relaxed);
    node.keep_new(group, known()).unwrap_err();
    assert_eq!(node.all().len(), 1);
    disk.store(false, Relaxed);
    node.0.store.flush().unwrap();
    assert_eq!(texts(&node, group), ["one"]);
    assert_eq!(texts(&after_a_crash(&folder).await, group), ["one"]);
    let posts = |node: &Groups| node.view(group).unwrap().posts;
    node.keep_new(group, known()).unwrap();
    assert_eq!((node.all().len(), texts(&node, group).len()), (1, 0));
    assert_eq!(posts(&after_a_crash(&folder).await), 0);
}

#[tokio::test]
async fn what_was_posted_is_there_once_though_the_node_is_killed_before_anybody_hears_of_it() {
    let folder = TempDir::new().unwrap();
    let node = groups(&folder).await;
    let group = node.create("home").unwrap();
    let draft = |machine: &mut Machine, now| machine.draft("mine", None, now);
    let post = node.change(group, draft).unwrap().unwrap();
    let kept = [Record::Post(post.clone())];
    node.0.store.keep_own(group, &kept).unwrap();
    let found = after_a_crash(&folder).await;
    assert_eq!(texts(&found, group), ["mine"]);
    // It is told to whoever lacks it, and the next one is another.
    let is_kept = |member: &Member| member.machine.kept().sent_ms(post.id()).is_some();
    assert!(found.with(group, is_kept).unwrap());
    found.post(group, "next").unwrap();
    let last = found.0.store.last(group, 2).unwrap();
    assert_eq!(last[1].seq(), post.seq() + 1);
}

#[tokio::test]
async fn what_a_full_disk_cannot_take_and_too_much_waits_for_goes_of_whoever_said_most() {
    let (folder, flooded) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let node = groups(&folder).await;
    let group = node.create("home").unwrap();
    let flood = said_elsewhere(&folder, group, &["1", "2", "3", "4", "5"]).await;
    let ben = peerway::SecretKey::from_seed(&[4; 32]);
    let quiet = groups_of(&flooded, ben.clone()).await;
    let theirs = quiet.create("theirs").unwrap();
    quiet.post(theirs, "quiet").unwrap();
    let quiet: Vec<_> = quiet.0.store.last(theirs, 1).unwrap();
    let quiet = quiet.into_iter().map(Record::Post);
    let guest = Body::Add {
        member: ben.id(),
        role: Role::Member,
    };
    let op = node.change(group, |machine, now| machine.draft_op(guest, now));
    let op = op.unwrap().unwrap().records().remove(0);
    let kept = store::left_of(quiet.chain([op]).chain(flood), 3);
    let text = |record: &Record| match record {
        Record::Post(post) => Some(post.author() == ben.id()),
        Record::Op(_) | Record::Card(_) | Record::Key(..) => None,
    };
    let kept: Vec<_> = kept.iter().map(text).collect();
    assert_eq!(kept, [Some(true), None, Some(false), Some(false)]);
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

/// Whoever comes by the invite, as a member that it shows it to sees it.
fn guest(invite: &GroupInvite, seed: u8) -> Guest {
    let member = peerway::SecretKey::from_seed(&[seed; 32]).id();
    let key = *invite.invitation().key().id().as_bytes();
    Guest::new(key, *member.as_bytes(), invite.prove(member)).unwrap()
}

#[tokio::test]
async fn who_was_let_in_is_a_member_though_the_node_is_killed_then_and_the_invite_is_used_up() {
    let folder = TempDir::new().unwrap();
    let node = groups(&folder).await;
    let group = node.create("home").unwrap();
    let minute = Duration::from_secs(60);
    let invite = node.invite(group, Role::Member, 1, minute).unwrap();
    node.admit(group, &guest(&invite, 4)).unwrap();
    let found = after_a_crash(&folder).await;
    let view = found.view(group).unwrap();
    assert_eq!((view.members.len(), view.invites), (2, 0));
    let other = found.admit(group, &guest(&invite, 5)).unwrap_err();
    let is_used_up = matches!(other, AdmitError::Redeem(RedeemError::UsedUp));
    assert!(is_used_up, "{other:?}");
    found.admit(group, &guest(&invite, 4)).unwrap();
}

#[tokio::test]
async fn who_cannot_be_noted_on_a_full_disk_is_told_so_and_the_invite_stays_good() {
    let folder = TempDir::new().unwrap();
    let node = groups(&folder).await;
    let group = node.create("home").unwrap();
    let minute = Duration::from_secs(60);
    let invite = node.invite(group, Role::Member, 1, minute).unwrap();
    let disk = node.0.store.is_full();
    disk.store(true, Relaxed);
    let refused = node.admit(group, &guest(&invite, 4)).unwrap_err();
    let words = refused.to_string();
    assert!(
        words.contains("full disk") && !words.contains(".redb"),
        "{words}"
    );
    assert_eq!(node.view(group).unwrap().members.len(), 1);
    disk.store(false, Relaxed);
    node.admit(group, &guest(&invite, 5)).unwrap();
    let found = after_a_crash(&folder).await;
    assert_eq!(found.view(group).unwrap().members.len(), 2);
}

#[tokio::test]
async fn an_epoch_that_is_begun_is_on_the_disk_with_its_key() {
    let (folder, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let node = groups(&folder).await;
    let group = node.create("home").unwrap();
    let ben = peerway::SecretKey::from_seed(&[4; 32]);
    node.add(group, ben.id(), Role::Member).unwrap();
    let (_, known) = node.0.store.groups().unwrap().remove(0);
    let other = groups_of(&elsewhere, ben).await;
    other.keep_new(group, known).unwrap();
    let left = other.change(group, |machine, now| machine.draft_op(Body::Leave, now));
    let left = left.unwrap().unwrap();
    node.0.store.keep_own(group, &left.records()).unwrap();
    let taken = node.change(group, |machine, now| machine.publish_op(left, now));
    taken.unwrap().unwrap();
    let epoch = |node: &Groups| {
        let epoch = |member: &Member| member.machine.log().state().epoch;
        node.with(group, epoch).unwrap()
    };
    let first = epoch(&node);
    tokio::time::pause();
    let disk = node.0.store.is_full();
    for (is_full, begins) in [(true, false), (false, true)] {
        disk.store(is_full, Relaxed);
        tokio::time::advance(Duration::from_secs(11)).await;
        node.look();
        assert_eq!(epoch(&node) != first, begins, "full: {is_full}");
    }
    tokio::time::resume();
    let found = after_a_crash(&folder).await;
    assert_eq!(epoch(&found), epoch(&node));
    assert!(found.view(group).unwrap().has_key);
}

/// Takes part in its groups until the node ends.
async fn lives(groups: &Groups) {
    let served = groups.clone();
    let serve = move |connection| served.clone().serve(connection);
    let router = peerway::Router::new(groups.0.endpoint.clone()).accept(ALPN, serve);
    tokio::join!(router.run(), groups.run());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_joined_can_post_at_once() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let founder = groups(&one).await;
    let joins = groups_of(&two, peerway::SecretKey::from_seed(&[4; 32])).await;
    let group = founder.create("home").unwrap();
    let minute = Duration::from_secs(60);
    let invite = founder.invite(group, Role::Member, 1, minute).unwrap();
    let posts = async {
        joins.join(&invite).await.unwrap();
        joins.post(group, "hello").unwrap()
    };
    tokio::select! {
        posted = timeout(minute, posts) => drop(posted.unwrap()),
        () = lives(&founder) => panic!("the founder ended"),
        () = lives(&joins) => panic!("whoever joins ended"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_without_the_key_and_joins_once_more_can_post_at_once_too() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let founder = groups(&one).await;
    let joins = groups_of(&two, peerway::SecretKey::from_seed(&[4; 32])).await;
    let group = founder.create("home").unwrap();
    let minute = Duration::from_secs(60);
    let invite = founder.invite(group, Role::Member, 1, minute).unwrap();
    let ticket = founder.0.endpoint.ticket();
    founder.change(group, |machine, now| machine.met_at(&ticket, now));
    let (ops, cards) = founder.admit(group, &guest(&invite, 4)).unwrap();
    let known = join::known(group, ops, cards).unwrap();
    joins.keep_new(group, known).unwrap();
    let posts = async {
        while !joins.is_running() {
            tokio::task::yield_now().await;
        }
        joins.join(&invite).await.unwrap();
        joins.post(group, "hello").unwrap()
    };
    tokio::select! {
        posted = timeout(minute, posts) => drop(posted.unwrap()),
        () = lives(&founder) => panic!("the founder ended"),
        () = lives(&joins) => panic!("whoever joins ended"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_for_a_reason_of_one_members_own_is_let_in_by_the_next() {
    let folders = [(); 3].map(|()| TempDir::new().unwrap());
    let founder = groups(&folders[0]).await;
    let ben = peerway::SecretKey::from_seed(&[4; 32]);
    let other = groups_of(&folders[1], ben.clone()).await;
    let joins = groups_of(&folders[2], peerway::SecretKey::from_seed(&[5; 32])).await;
    let group = founder.create("home").unwrap();
    founder.add(group, ben.id(), Role::Member).unwrap();
    let minute = Duration::from_secs(60);
    let invite = founder.invite(group, Role::Member, 1, minute).unwrap();
    let (_, known) = founder.0.store.groups().unwrap().remove(0);
    other.keep_new(group, known).unwrap();
    founder.0.store.is_full().store(true, Relaxed);
    let secret = || invite.invitation().clone();
    let tickets = [&founder, &other].map(|node| node.0.endpoint.ticket());
    let to = |members: &[Ticket]| GroupInvite::new(group, secret(), members.to_vec());
    let joining = async {
        let refused = joins.join(&to(&tickets[..1])).await.unwrap_err();
        assert!(refused.to_string().contains("full disk"), "{refused}");
        joins.join(&to(&tickets)).await.unwrap();
    };
    tokio::select! {
        joined = timeout(2 * minute, joining) => joined.unwrap(),
        () = lives(&founder) => panic!("the founder ended"),
        () = lives(&other) => panic!("the other ended"),
        () = lives(&joins) => panic!("whoever joins ended"),
    }
}
