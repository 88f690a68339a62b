//! What is fetched where something is in the way.

use super::*;

async fn over(node: &Node, link: &Link, name: &str) -> Result<Got, GetError> {
    let mut target = Target::folder(node.folder.path());
    target.name = Some(name.to_owned());
    target.overwrite = true;
    let progress = Progress::default();
    let got = timeout(PATIENCE, node.sharing.get(link, &target, &progress)).await;
    got.expect("it takes no minute")
}

/// What is in the way, by its path below the node's folder.
fn barred(node: &Node, got: Result<Got, GetError>) -> Vec<String> {
    let Err(GetError::InTheWay(paths)) = got else {
        panic!("something is in the way: {got:?}");
    };
    let below = paths
        .iter()
        .map(|path| path.strip_prefix(node.folder.path()).unwrap());
    below.map(|path| path.display().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_stays_and_is_named_and_all_else_comes() {
    let (a, b) = (Node::new().await, Node::new().await);
    a.write("all/file", b"a file at the peer");
    a.write("all/large", &data(600_000));
    a.write("all/emptied", b"a file where nothing is lost");
    a.write("all/folder/sub/in", b"within");
    a.write("all/other/in", b"elsewhere");
    let own = [
        b.write("all/file/own", b"own"),
        b.write("all/large/own", b"own too"),
        b.write("all/folder/sub", b"a file here"),
    ];
    fs::create_dir(b.folder.path().join("all/emptied")).unwrap();
    let before = own.clone().map(|path| fs::read(path).unwrap());
    let link = a.link(&a.folder.path().join("all"), false).await;
    let got = over(&b, &link, "all").await;
    let words = got.as_ref().unwrap_err().to_string();
    assert!(words.contains("all/file, "), "{words}");
    let bars = ["all/file", "all/folder/sub", "all/large"];
    assert_eq!(barred(&b, got), bars);
    assert_eq!(own.map(|path| fs::read(path).unwrap()), before);
    let read = |name: &str| fs::read(b.folder.path().join("all").join(name)).unwrap();
    assert_eq!(read("other/in"), b"elsewhere");
    assert_eq!(read("emptied"), b"a file where nothing is lost");
    let left: Vec<_> = fs::read_dir(b.folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing is left of the try: {left:?}");

    // The next state comes where that was moved away.
    fs::remove_dir_all(b.folder.path().join("all/file")).unwrap();
    fs::remove_dir_all(b.folder.path().join("all/large")).unwrap();
    fs::remove_file(b.folder.path().join("all/folder/sub")).unwrap();
    a.write("all/other/in", b"later");
    let link = a.link(&a.folder.path().join("all"), false).await;
    over(&b, &link, "all").await.unwrap();
    assert_eq!(read("other/in"), b"later");
    assert_eq!(read("file"), b"a file at the peer");
    assert_eq!(read("folder/sub/in"), b"within");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_over_no_folder_with_something_in_it() {
    let (a, b) = (Node::new().await, Node::new().await);
    let link = a.link(&a.write("it", b"a file"), false).await;
    let own = b.write("it/own", b"own");
    assert_eq!(barred(&b, over(&b, &link, "it").await), ["it"]);
    assert_eq!(fs::read(&own).unwrap(), b"own");
    assert_eq!(fs::read_dir(b.folder.path()).unwrap().count(), 1);
    fs::remove_file(own).unwrap();
    over(&b, &link, "it").await.unwrap();
    assert_eq!(fs::read(b.folder.path().join("it")).unwrap(), b"a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_goes_over_no_file_and_over_no_folder_of_another_name() {
    let (a, b) = (Node::new().await, Node::new().await);
    a.write("it/in", b"of the peer");
    let link = a.link(&a.folder.path().join("it"), false).await;
    let own = [b.write("it", b"own"), b.write("it (1)/in", b"own too")];
    assert_eq!(barred(&b, over(&b, &link, "it").await), ["it"]);
    assert_eq!(fs::read(&own[0]).unwrap(), b"own");
    fs::remove_file(&own[0]).unwrap();
    over(&b, &link, "it").await.unwrap();
    assert_eq!(fs::read(&own[1]).unwrap(), b"own too");
    let came = b.folder.path().join("it/in");
    assert_eq!(fs::read(came).unwrap(), b"of the peer");
}
