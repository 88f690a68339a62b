//! The page that lists a folder.

use std::collections::BTreeMap;

use peerway_swarm::share::Link;

use crate::dash::format;

/// What is directly below `start`, which is empty or ends with a slash.
pub(super) fn page(folder: &str, start: &str, files: &[(String, Link)]) -> String {
    let mut entries: BTreeMap<String, u64> = BTreeMap::new();
    for (path, file) in files {
        let Some(below) = path.strip_prefix(start) else {
            continue;
        };
        let name = match below.split_once('/') {
            Some((folder, _)) => format!("{folder}/"),
            None => below.to_owned(),
        };
        let bytes = entries.entry(name).or_default();
        *bytes = bytes.saturating_add(file.size);
    }
    let title = html(&format!("{folder}/{start}"));
    let mut page = format!(
        "<!doctype html><meta charset=utf-8><title>{title}</title><h1>{title}</h1><table>\n"
    );
    if !start.is_empty() {
        page += "<tr><td><a href=\"../\">../</a></td></tr>\n";
    }
    for (name, bytes) in entries {
        let (href, bytes) = (escaped(&name), format::bytes(bytes));
        let name = html(&name);
        page += &format!("<tr><td><a href=\"./{href}\">{name}</a></td><td>{bytes}</td></tr>\n");
    }
    page + "</table>\n"
}

/// As a part of a path (RFC 3986 section 3.3), whose slashes stay.
pub(super) fn escaped(path: &str) -> String {
    let each = path.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    });
    each.collect()
}

fn html(text: &str) -> String {
    let each = text.chars().map(|letter| match letter {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        _ => letter.to_string(),
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use peerway_swarm::share::{Hash, Kind};

    use super::*;

    fn files(paths: &[&str]) -> Vec<(String, Link)> {
        let link = Link::new(Hash::of(b""), 1500, Kind::File, "");
        let each = paths.iter().map(|path| ((*path).to_owned(), link.clone()));
        each.collect()
    }

    #[test]
    fn a_page_lists_what_is_directly_below_and_folders_once() {
        let files = files(&["a", "b/c", "b/d/e", "x/y"]);
        let top = page("photos", "", &files);
        let links = top.matches("<a href").count();
        assert_eq!(links, 3, "{top}");
        assert!(
            top.contains("<a href=\"./b/\">b/</a></td><td>3.0 kB</td>"),
            "{top}"
        );
        let below = page("photos", "b/", &files);
        assert!(below.contains("./d/") && below.contains("../") && !below.contains("x/"));
    }

    #[test]
    fn names_are_text_and_no_markup() {
        let page = page("<b>", "", &files(&["<script>alert(1)</script>", "a\"b?#%"]));
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
        assert!(page.contains("./a%22b%3F%23%25"), "{page}");
    }
}
