//! What counts as a word, in names and in questions alike.

use unicode_normalization::UnicodeNormalization;

/// Words of one text that are looked at.
const MAX_WORDS: usize = 64;

/// The words of a text: what lies between anything that is neither letter nor digit, in Unicode's form NFKC and in lower case.
pub(super) fn words(text: &str) -> Vec<String> {
    let folded: String = text.nfkc().flat_map(char::to_lowercase).collect();
    // Lower case may have come apart.
    let folded: String = folded.nfkc().collect();
    folded
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(MAX_WORDS)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_however_they_are_written() {
        assert_eq!(
            words("Holiday_2024-ÄRGER.mp4"),
            ["holiday", "2024", "ärger", "mp4"]
        );
        // Composed and not, and the letters of East Asian keyboards.
        assert_eq!(words("a\u{308}rger"), words("ärger"));
        assert_eq!(words("ＦＩＬＭ"), ["film"]);
        assert_eq!(words("ﬁlm"), ["film"]);
        assert_eq!(words("..., \u{202e}\u{7}"), [""; 0]);
        assert_eq!(words(&"a ".repeat(1000)).len(), MAX_WORDS);
    }
}
