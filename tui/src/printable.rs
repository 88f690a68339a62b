//! Text that other people chose, made fit for a terminal.
//!
//! A terminal obeys control characters, and letters seem to be others or to stand elsewhere by characters that cannot be seen.

use std::fmt::Write as _;

/// Whether a character is a letter, sign or space that is seen as what it is.
pub(crate) fn is_printable(letter: char) -> bool {
    // Those are escaped which are controls, formats, separators, not assigned or for private use; and these three for their own
    // reasons, as are marks that belong to the letter before them.
    matches!(letter, '\'' | '"' | '\\') || is_mark(letter) || letter.escape_debug().len() == 1
}

/// A mark that is drawn over the letter before it.
fn is_mark(letter: char) -> bool {
    let after_a_letter = ['a', letter].iter().collect::<String>();
    after_a_letter.escape_debug().count() == 2
}

/// Makes one sign of the emoji before and after it, such as a family of its members.
pub(crate) const JOINER: char = '\u{200d}';

/// The same text with everything else as `\u{202e}`.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut before = None;
    while let Some(letter) = letters.next() {
        let joins = letter == JOINER
            && before.is_some_and(is_emoji)
            && letters.peek().copied().is_some_and(is_emoji);
        if joins || is_printable(letter) {
            out.push(letter);
        } else {
            out.extend(letter.escape_default());
        }
        before = Some(letter);
    }
    out
}

/// Whether it may be a part of an emoji that consists of several.
fn is_emoji(letter: char) -> bool {
    matches!(letter, '\u{fe0f}' | '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

/// The same JSON with everything else as `\u202e`, which means the same.
pub(crate) fn printable_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        if is_printable(letter) {
            out.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            // A string takes everything.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_of_any_language_is_left_as_it_is() {
        for text in [
            "Annas Rechner: \"nas\\1\", 5 °C",
            "домашний сервер",
            "家のサーバー",
            "שרת",
            "e\u{301}te\u{301}",
            "🦀",
            "👨\u{200d}👩\u{200d}👧 🏳\u{fe0f}\u{200d}🌈 🧑🏽\u{200d}💻",
        ] {
            assert_eq!(printable(text), text);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        for (text, shown) in [
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\rb\nc\td", "a\\rb\\nc\\td"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
            (
                "a\u{200b}b\u{2066}c\u{feff}",
                "a\\u{200b}b\\u{2066}c\\u{feff}",
            ),
            ("\u{7f}\u{0}", "\\u{7f}\\u{0}"),
            // Which would hide that there are two.
            ("a\u{200d}b👨\u{200d}", "a\\u{200d}b👨\\u{200d}"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }

    proptest! {
        #[test]
        fn nothing_else_gets_through_and_json_means_the_same(text in any::<String>()) {
            prop_assert!(printable(&text).chars().all(|it| it == JOINER || is_printable(it)));
            let json = serde_json::to_string(&text).unwrap();
            let safe = printable_json(&json);
            prop_assert!(safe.chars().all(is_printable));
            prop_assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), text);
        }
    }
}
