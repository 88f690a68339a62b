//! Where what is listed goes below a folder: [`layout`].

use std::collections::{BTreeMap, BTreeSet};

use peerway::services::files::{BadName, SafePath, sanitise};

use super::collection::{Entry, File};

/// Folders that are made, and files that are fetched.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) folders: Vec<SafePath>,
    pub(super) files: Vec<(SafePath, File)>,
}

/// Of what would have one name, also where case does not count, all but the first get another.
pub(super) fn layout(entries: &[Entry]) -> Result<Layout, BadName> {
    let mut layout = Layout::default();
    let mut taken = BTreeSet::new();
    // Of each name the number that is tried next, so that many of one name do not each begin at the first.
    let mut next: BTreeMap<String, u32> = BTreeMap::new();
    for entry in entries {
        let mut path = sanitise(&entry.path)?;
        let Some(file) = entry.file else {
            layout.folders.push(path);
            continue;
        };
        let name = path.to_text().to_lowercase();
        if !taken.insert(name.clone()) {
            let number = next.entry(name).or_insert(1);
            path = loop {
                let numbered = path.numbered(*number);
                *number += 1;
                if taken.insert(numbered.to_text().to_lowercase()) {
                    break numbered;
                }
            };
        }
        layout.files.push((path, file));
    }
    Ok(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::Hash;

    fn names(paths: impl IntoIterator<Item = &'static str>) -> Vec<String> {
        let file = File::new(Hash::of(b""), 0, false);
        let entry = |path: &str| Entry::new(path.to_owned(), Some(file));
        let entries: Vec<_> = paths.into_iter().map(entry).collect();
        let files = layout(&entries).unwrap().files;
        files.iter().map(|(path, _)| path.to_text()).collect()
    }

    #[test]
    fn each_file_has_a_name_of_its_own() {
        let listed = ["a.b", "A.b", "a (2).b", "a.b", "x/a.b"];
        let expected = ["a.b", "A (1).b", "a (2).b", "a (3).b", "x/a.b"];
        assert_eq!(names(listed), expected);
    }

    #[test]
    fn as_many_files_of_one_name_as_a_list_may_have_are_named_at_once() {
        // One by one from the first they would be two thousand million tries.
        let names: BTreeSet<_> = names(std::iter::repeat_n("a", 1 << 16))
            .into_iter()
            .collect();
        assert_eq!(names.len(), 1 << 16);
        assert!(names.contains("a (65535)"));
    }
}
