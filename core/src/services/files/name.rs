//! Where a file that somebody else named may be put: never outside of a folder, and under no name that misleads.

use std::path::PathBuf;

/// The folder for what is not whole yet, below that for what is.
pub(super) const WORK: &str = ".peerway-incoming";

/// Bytes of one part of a path.
const MAX_PART: usize = 240;
/// Folders within folders.
pub(super) const MAX_DEPTH: usize = 64;

/// A path below a folder, of parts that are plain names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafePath(Vec<String>);

impl SafePath {
    pub(super) fn parts(&self) -> &[String] {
        &self.0
    }

    /// The folder or file of the offer that it belongs to.
    pub(super) fn top(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    pub(super) fn with_top(&self, top: &str) -> Self {
        let rest = self.0.iter().skip(1).cloned();
        Self(std::iter::once(top.to_owned()).chain(rest).collect())
    }

    /// As it is written below a folder here.
    #[must_use]
    pub fn to_path(&self) -> PathBuf {
        self.0.iter().collect()
    }

    /// Its parts, divided by `/`.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.0.join("/")
    }

    /// The same with another last part: the `number`th try to find one that is free.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        let mut parts = self.0.clone();
        if let Some(last) = parts.last_mut() {
            *last = numbered(last, number);
        }
        Self(parts)
    }
}

/// `holiday.jpg` becomes `holiday (1).jpg`.
pub(super) fn numbered(name: &str, number: u32) -> String {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && extension.len() < 12 => {
            format!("{stem} ({number}).{extension}")
        }
        _ => format!("{name} ({number})"),
    }
}

/// Why nothing is written under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadName {
    /// It is empty, or a part of it is.
    #[error("a file without a name")]
    Empty,
    /// It is absolute or leads up.
    #[error("a file outside of the folder")]
    Outside,
    /// More than any real tree has.
    #[error("more than {MAX_DEPTH} folders within each other")]
    Deep,
}

/// Makes a path that a peer sent harmless, parts divided by `/`. Names that this system cannot have, or that show as something else
/// than they are, are changed; a path that leads elsewhere is nobody's mistake and refused.
///
/// # Errors
/// See [`BadName`].
pub fn sanitise(path: &str) -> Result<SafePath, BadName> {
    sanitise_for(path, cfg!(windows))
}

fn sanitise_for(path: &str, windows: bool) -> Result<SafePath, BadName> {
    if path.is_empty() {
        return Err(BadName::Empty);
    }
    if path.starts_with(['/', '\\']) || has_drive(path) {
        return Err(BadName::Outside);
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        let is_up = |part: &str| part.trim_end_matches([' ', '.']).is_empty();
        if part.is_empty() {
            return Err(BadName::Empty);
        }
        // Windows reads either as a way up or around, whichever system it was meant for.
        if part == "." || part == ".." || part.split('\\').any(|piece| piece == "..") {
            return Err(BadName::Outside);
        }
        let name = harmless(part, windows);
        parts.push(if is_up(&name) { "_".to_owned() } else { name });
    }
    if parts.len() > MAX_DEPTH {
        return Err(BadName::Deep);
    }
    if let Some(top) = parts
        .first_mut()
        .filter(|top| top.eq_ignore_ascii_case(WORK))
    {
        top.insert(0, '_');
    }
    Ok(SafePath(parts))
}

/// `C:`, or a path that begins with it.
fn has_drive(path: &str) -> bool {
    let mut chars = path.chars();
    let letter = chars.next().is_some_and(|c| c.is_ascii_alphabetic());
    letter && chars.next() == Some(':') && matches!(chars.next(), None | Some('/' | '\\'))
}

fn harmless(part: &str, windows: bool) -> String {
    let replaced = part.chars().map(|c| {
        let forbidden = windows && "<>:\"|?*\\".contains(c);
        if forbidden || misleads(c) { '_' } else { c }
    });
    let mut name = String::new();
    for c in replaced {
        if name.len() + c.len_utf8() > MAX_PART {
            break;
        }
        name.push(c);
    }
    if windows {
        name.truncate(name.trim_end_matches([' ', '.']).len());
    }
    if is_device(&name) {
        name.insert(0, '_');
    }
    name
}

/// Control characters, and those that change the order in which others show or show as nothing.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// What Windows takes for a device in every folder, with whatever extension. Folders are shared between systems.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    let upper = stem.to_ascii_uppercase();
    let numbered = |prefix: &str| {
        let rest = upper.strip_prefix(prefix);
        rest.is_some_and(|rest| {
            matches!(rest, "¹" | "²" | "³")
                || (rest.len() == 1 && rest.chars().all(|c| c.is_ascii_digit()))
        })
    };
    matches!(
        upper.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"
    ) || numbered("COM")
        || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    fn text(path: &str) -> Result<String, BadName> {
        sanitise_for(path, false).map(|path| path.to_text())
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        for path in [
            "/etc/passwd",
            "../a",
            "a/../b",
            "a/..",
            ".",
            "./a",
            "..",
            "\\\\host\\share",
            "C:",
            "c:/a",
            "C:\\a",
            "a/..\\..\\b",
        ] {
            assert_eq!(text(path), Err(BadName::Outside), "{path}");
        }
        for path in ["", "a//b", "a/"] {
            assert_eq!(text(path), Err(BadName::Empty), "{path}");
        }
        assert_eq!(text(&"a/".repeat(65)[..129]), Err(BadName::Deep));
    }

    #[test]
    fn names_that_are_no_danger_stay_as_they_are() {
        for path in [
            "a/b.txt",
            "Müll/日本.txt",
            "1234.host:2,S",
            "a b",
            ".bashrc",
            "...a",
            "C:olon",
        ] {
            assert_eq!(text(path).unwrap(), path);
        }
    }

    #[test]
    fn names_that_mislead_or_mean_a_device_are_changed() {
        assert_eq!(text("exe\u{202e}gpj.scr").unwrap(), "exe_gpj.scr");
        assert_eq!(text("a\n\u{1b}[2Jb\u{0}").unwrap(), "a__[2Jb_");
        assert_eq!(
            text("con/NUL.txt/com1/lpt9.tar.gz/console").unwrap(),
            "_con/_NUL.txt/_com1/_lpt9.tar.gz/console"
        );
        assert_eq!(text(". ./a").unwrap(), "_/a");
        assert_eq!(text(".Peerway-Incoming/a").unwrap(), "_.Peerway-Incoming/a");
        let on_windows = sanitise_for("a:b?/c./d\\e ", true).unwrap();
        assert_eq!(on_windows.to_text(), "a_b_/c/d_e");
        assert!(text(&"ä".repeat(300)).unwrap().len() <= MAX_PART);
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number_before_its_extension() {
        for (name, other) in [
            ("a.txt", "a (1).txt"),
            ("a", "a (1)"),
            (".bashrc", ".bashrc (1)"),
            ("a.tar.gz", "a.tar (1).gz"),
        ] {
            assert_eq!(numbered(name, 1), other);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_ends_below_the_folder(path in ".*|(\\.\\.|[a-z/\\\\:. ]|CON|\u{202e}){0,12}", windows: bool) {
            if let Ok(safe) = sanitise_for(&path, windows) {
                prop_assert!(safe.to_path().components().all(|part| matches!(part, Component::Normal(_))));
                for part in safe.parts() {
                    prop_assert!(!part.is_empty() && part != "." && part != ".." && part.len() <= MAX_PART + 1);
                    prop_assert!(!part.contains('/') && !part.chars().any(misleads) && !is_device(part));
                    prop_assert!(!windows || !part.contains(['\\', ':']) && !part.ends_with(['.', ' ']));
                }
                // What was made harmless once stays as it is.
                prop_assert_eq!(sanitise_for(&safe.to_text(), windows), Ok(safe));
            }
        }
    }
}
