//! Who calls whom in the link machine. Parts own their data and know no other part; the files that still act on the whole link call
//! each other in a circle, which may only become smaller. `cargo test -p peerway-proto parts -- --nocapture` prints it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Files that call each other in a circle, and how many others one of them calls at most.
const CIRCLE: usize = 12;
const CALLED: usize = 9;
const FIELDS: usize = 20;

#[expect(clippy::print_stdout, reason = "for whoever wants to see the circle")]
#[test]
fn the_link_machine_is_put_together_from_parts_in_ever_fewer_files() {
    let texts = texts();
    let calls = calls(&texts);
    for (file, called) in &calls {
        println!("{file} calls {} others: {called:?}", called.len());
    }
    let circle: Vec<&str> = calls
        .keys()
        .filter(|file| reached(&calls, file).contains(**file))
        .copied()
        .collect();
    println!("the circle: {circle:?}");
    // Both would also hold where nothing was read.
    assert!(texts.len() > 20 && calls.values().any(|called| !called.is_empty()));
    assert!(circle.len() <= CIRCLE, "{circle:?}");
    let most = calls.values().map(BTreeSet::len).max();
    assert!(most <= Some(CALLED), "{most:?}");
    let fields = between(&texts["peer"], "pub(crate) struct Peer {\n");
    let is_field = |line: &&str| !line.trim_start().starts_with("///");
    assert!(fields.lines().filter(is_field).count() <= FIELDS);
}

/// The files of the link machine without their tests, by their paths in it.
fn texts() -> BTreeMap<String, String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![src.join("peer.rs")];
    let mut folders = vec![src.join("peer")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let of = if path.is_dir() {
                &mut folders
            } else {
                &mut files
            };
            of.push(path);
        }
    }
    let text = |path: PathBuf| {
        let name = path.strip_prefix(&src).unwrap().with_extension("");
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        (name.to_string_lossy().into_owned(), code.to_owned())
    };
    files.into_iter().map(text).collect()
}

/// The files whose methods of `Peer` each file calls.
fn calls(texts: &BTreeMap<String, String>) -> BTreeMap<&str, BTreeSet<&str>> {
    let bodies: BTreeMap<&str, String> = texts
        .iter()
        .map(|(file, text)| {
            let blocks = text.split("\nimpl Peer {\n").skip(1);
            let body: String = blocks.map(until_brace).collect();
            (file.as_str(), body)
        })
        .collect();
    let homes: BTreeMap<&str, &str> = bodies
        .iter()
        .flat_map(|(file, body)| methods(body).map(|method| (method, *file)))
        .collect();
    let called = |file: &str, body: &str| {
        let words: String = body.split_whitespace().collect();
        let is_called = |method: &str| {
            words.contains(&format!("self.{method}(")) || words.contains(&format!("Self::{method}"))
        };
        let homes = homes.iter();
        let others = homes.filter(|(method, home)| **home != file && is_called(method));
        others.map(|(_, home)| *home).collect()
    };
    bodies
        .iter()
        .map(|(file, body)| (*file, called(file, body)))
        .collect()
}

/// The names of the methods in the body of an `impl`.
fn methods(body: &str) -> impl Iterator<Item = &str> {
    body.lines().filter_map(|line| {
        let item = line
            .strip_prefix("    ")
            .filter(|item| !item.starts_with(' '))?;
        let (before, rest) = item.split_once("fn ")?;
        let is_method = before.is_empty() || before.starts_with("pub");
        rest.split(['(', '<']).next().filter(|_| is_method)
    })
}

/// All files that a file calls, directly or not.
fn reached<'a>(calls: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = calls[from].iter().copied().collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(&calls[file]);
        }
    }
    reached
}

fn between<'a>(text: &'a str, head: &str) -> &'a str {
    until_brace(text.split(head).nth(1).unwrap())
}

/// Up to the brace at the margin that closes the item.
fn until_brace(text: &str) -> &str {
    text.split("\n}\n").next().unwrap()
}
