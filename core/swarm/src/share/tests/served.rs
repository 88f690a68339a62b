//! What is done for those who ask, before it is their turn.

use super::{
    super::serve::{READ_AHEAD, Wanted, find},
    *,
};

#[tokio::test]
async fn what_is_wanted_is_read_ahead_as_long_as_there_is_room_for_all_lanes_together() {
    let (node, peer) = (
        Node::new().await,
        peerway::SecretKey::from_seed(&[9; 32]).id(),
    );
    let link = node.link(&node.write("f", b"short"), true).await;
    let mut ahead = Vec::new();
    for at in 0..READ_AHEAD + 3 {
        let wanted = Arc::new(Wanted::new(link.hash, 0));
        let found = find(&node.sharing, peer, wanted).await.unwrap();
        assert_eq!(found.data.is_some(), at < READ_AHEAD, "{at}");
        ahead.push(found);
    }
    ahead.clear();
    let wanted = Arc::new(Wanted::new(link.hash, 0));
    let found = find(&node.sharing, peer, wanted).await.unwrap();
    assert!(found.data.is_some(), "who is through makes room");
}

#[tokio::test]
async fn what_is_cancelled_is_not_read() {
    let (node, peer) = (
        Node::new().await,
        peerway::SecretKey::from_seed(&[9; 32]).id(),
    );
    let path = node.write("f", b"short");
    let link = node.link(&path, true).await;
    // Who reads it finds it gone.
    fs::remove_file(&path).unwrap();
    for is_cancelled in [true, false] {
        let wanted = Arc::new(Wanted::new(link.hash, 0));
        if is_cancelled {
            wanted.cancel();
        }
        assert!(find(&node.sharing, peer, wanted).await.is_none());
        assert_eq!(node.sharing.is_changed(link.hash), !is_cancelled);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_small_files_of_a_folder_are_served_long_before_the_last_of_them_came() {
    let options = Options {
        limit: Some(100_000),
        ..Options::default()
    };
    // All come in 20 seconds.
    let (slow, node) = (Node::with(true, options).await, Node::new().await);
    for at in 0..200u8 {
        slow.write(&format!("many/{at}"), &[at; 10_000]);
    }
    let link = slow.link(&slow.folder.path().join("many"), true).await;
    let served = async {
        let mut hashes = (0..200).map(|at| Hash::of(&[at; 10_000])).cycle();
        while node.sharing.own(hashes.next().unwrap()).await.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        got = node.get(&link) => panic!("none was before all were: {got:?}"),
        () = served => {}
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_one_also_where_the_fetching_ended_when_it_had_just_come() {
    use std::os::unix::fs::PermissionsExt;
    let (a, b) = (Node::new().await, Node::new().await);
    let program = a.write("tools/run", b"#!/bin/sh");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    a.write("tools/text", b"no program");
    let link = a.link(&a.folder.path().join("tools"), true).await;
    // As it is left behind by who is killed then.
    let place = peerway::services::files::Place::open(b.folder.path(), false).unwrap();
    let part = crate::store::part::Part::file_name(Hash::of(b"#!/bin/sh"));
    let work = place.work(&link.hash.to_string()).unwrap();
    work.write(part, b"#!/bin/sh").unwrap();
    let got = b.get(&link).await.unwrap();
    let is_program = |name| {
        let found = fs::metadata(got.path.join(name)).unwrap();
        found.permissions().mode() & 0o100 != 0
    };
    assert!(is_program("run") && !is_program("text"));
    assert!(got.resumed >= 9, "{got:?}");
}
