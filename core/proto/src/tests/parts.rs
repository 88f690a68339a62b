//! Who needs whom. Parts of the link machine own their data and know nothing of the link; the files of the link that use them call
//! few others each; and no files of the crate need each other in a circle. `cargo test -p peerway-proto parts -- --nocapture`
//! prints it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// How many others a file of the link calls at most, but for the one that puts it together.
const CALLED: usize = 4;
const COMPOSES: &str = "peer";
const FIELDS: usize = 18;

/// What a file needs, by the paths of files.
type Needs<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

#[expect(clippy::print_stdout, reason = "for whoever wants to see it")]
#[test]
fn no_files_need_each_other_in_a_circle() {
    let texts = texts();
    let mut needs = imports(&texts);
    for (file, called) in calls(&texts) {
        println!("{file} calls {} others: {called:?}", called.len());
        needs.entry(file).or_default().extend(called);
    }
    let in_circle = |file: &&&str| reached(&needs, file).contains(**file);
    let circle: Vec<&&str> = needs.keys().filter(in_circle).collect();
    println!("{} files, in a circle: {circle:?}", texts.len());
    // It would also hold where nothing was read.
    assert!(needs["peer/probes"].contains("peer/path"), "it calls that");
    assert!(
        needs["peer/path"].contains("peer/direct"),
        "it imports that"
    );
    assert!(circle.is_empty(), "{circle:?}");
}

#[test]
fn the_link_machine_is_put_together_from_parts_that_know_nothing_of_it() {
    let texts = texts();
    let calls = calls(&texts);
    let others = calls.iter().filter(|(file, _)| **file != COMPOSES);
    let most = others.max_by_key(|(_, called)| called.len()).unwrap();
    assert!((1..=CALLED).contains(&most.1.len()), "{most:?}");
    for (file, text) in &texts {
        let is_part = file.starts_with("peer/") && !text.contains(LINK);
        let knows = words(text).any(|word| word == "Peer");
        assert!(!is_part || !knows, "{file} is a part, and names `Peer`");
    }
    let fields = between(&texts["peer"], "pub(crate) struct Peer {\n");
    let is_field = |line: &&str| !line.trim_start().starts_with("///");
    assert!(fields.lines().filter(is_field).count() <= FIELDS);
}

/// The files of the crate without their tests, by their paths.
fn texts() -> BTreeMap<String, String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![src.clone()];
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
    let is_proof = |name: &str| name.split('/').any(|folder| folder == "tests");
    let texts = files.into_iter().map(text);
    texts.filter(|(name, _)| !is_proof(name)).collect()
}

/// The files that each file imports from. What a folder's own file gives to all in it is not counted.
fn imports(texts: &BTreeMap<String, String>) -> Needs<'_> {
    let imported = |file: &str, text: &str| {
        let uses = text.split("\nuse ").skip(1);
        let uses = uses.flat_map(|rest| paths(rest.split(';').next().unwrap()));
        let files = uses.filter_map(|path| home(texts, &absolute(file, &path)?));
        let is_other = |other: &&str| *other != file && !file.starts_with(&format!("{other}/"));
        files.filter(is_other).collect()
    };
    let files = texts.iter();
    files
        .map(|(file, text)| (file.as_str(), imported(file, text)))
        .collect()
}

/// The paths of a tree of imports.
fn paths(tree: &str) -> Vec<String> {
    let Some((stem, rest)) = tree.split_once('{') else {
        return vec![tree.trim().to_owned()];
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let mut depth = 0;
    let branches = inner.split(|letter: char| {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        letter == ',' && depth == 0
    });
    let branches = branches.filter(|branch| !branch.trim().is_empty());
    branches
        .flat_map(paths)
        .map(|path| format!("{}{path}", stem.trim()))
        .collect()
}

/// A path of ours, from the root of the crate.
fn absolute(file: &str, path: &str) -> Option<String> {
    let (from, rest) = path.split_once("::")?;
    let outer = file.rsplit_once('/').map_or("", |(outer, _)| outer);
    match from {
        "crate" => Some(rest.to_owned()),
        "self" => Some(format!("{file}::{rest}")),
        "super" if rest.starts_with("super::") => absolute(outer, rest),
        "super" => Some(format!("{outer}::{rest}")),
        _ => None,
    }
    .map(|path| path.replace("::", "/"))
}

/// The file in which a path ends.
fn home<'a>(texts: &'a BTreeMap<String, String>, path: &str) -> Option<&'a str> {
    let path = path.trim_start_matches('/');
    let outer = path.rsplit_once('/').map(|(outer, _)| outer);
    match texts.get_key_value(path) {
        Some((file, _)) => Some(file),
        None => home(texts, outer?),
    }
}

/// Where methods of the link are.
const LINK: &str = "\nimpl Peer {\n";

/// The files whose methods of `Peer` each file calls.
fn calls(texts: &BTreeMap<String, String>) -> Needs<'_> {
    let bodies: BTreeMap<&str, String> = texts
        .iter()
        .filter(|(_, text)| text.contains(LINK))
        .map(|(file, text)| {
            let blocks = text.split(LINK).skip(1);
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

/// All files that a file needs, directly or not.
fn reached<'a>(needs: &Needs<'a>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = needs[from].iter().copied().collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(&needs[file]);
        }
    }
    reached
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
}

fn between<'a>(text: &'a str, head: &str) -> &'a str {
    until_brace(text.split(head).nth(1).unwrap())
}

/// Up to the brace at the margin that closes the item.
fn until_brace(text: &str) -> &str {
    text.split("\n}\n").next().unwrap()
}
