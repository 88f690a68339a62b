//! What is to be posted: the words of the line, or what comes from stdin.

use std::io::{self, Read};

/// What stands for stdin.
const STDIN: &str = "-";
/// Far more than can be posted: how much too long it is can be said.
const MAX: u64 = 1 << 20;

/// The text that these words mean.
pub(super) fn of(words: &[String]) -> io::Result<String> {
    read(words, io::stdin())
}

fn read(words: &[String], stdin: impl Read) -> io::Result<String> {
    if words != [STDIN] {
        return Ok(words.join(" "));
    }
    let mut text = String::new();
    stdin.take(MAX).read_to_string(&mut text)?;
    // As programs end their last line.
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_alone_is_what_comes_from_stdin_and_other_words_are_meant_as_they_are() {
        let read = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            read(&words, &b"two\nlines\n"[..]).unwrap()
        };
        assert_eq!(read(&["-"]), "two\nlines");
        assert_eq!(read(&["-", "a dash"]), "- a dash");
        assert_eq!(read(&["hello", "there"]), "hello there");
    }
}
