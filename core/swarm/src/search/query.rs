//! What is searched for: [`Query`].

use std::{fmt, str::FromStr};

use super::{
    category::{Category, ParseCategoryError},
    words::words,
};
use crate::share::Kind;

/// Bytes of a query's text.
pub const MAX_QUERY: usize = 256;
/// Words of a query, those of phrases and those that may not be there among them.
pub const MAX_QUERY_WORDS: usize = 5;
/// A word of so many letters also finds words that begin with it.
const PREFIX: usize = 3;

/// What is searched for. All words have to be in a name, in any order; `"a phrase"` as it stands; `-word` not at all. `kind:video` and
/// `size:10M-2G` narrow it down.
///
/// A word of three letters or more also finds words that begin with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    text: String,
    words: Vec<String>,
    phrases: Vec<Vec<String>>,
    without: Vec<String>,
    category: Option<Category>,
    least: u64,
    most: u64,
}

/// Why a text is no [`Query`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseQueryError {
    /// As it says.
    #[error("there is no word to look for: a word has letters or digits")]
    NoWord,
    /// As it says.
    #[error(
        "a search takes {MAX_QUERY_WORDS} words at most, those in quotes and those that may not be there among them: leave some out"
    )]
    Words,
    /// As it says.
    #[error("a search takes {MAX_QUERY} bytes at most: leave some words out")]
    Long,
    /// As it says.
    #[error("a quotation mark is missing: a phrase stands between two of them")]
    Quote,
    /// Of `kind:`.
    #[error(transparent)]
    Category(#[from] ParseCategoryError),
    /// Of `size:`.
    #[error("a size is written as in size:10M-2G, size:10M- or size:-2G, with k, M, G or T")]
    Size,
}

impl Query {
    /// How it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Words of which each has to be found, those of phrases among them.
    pub(super) fn needed(&self) -> impl Iterator<Item = &str> {
        let phrases = self.phrases.iter().flatten();
        self.words.iter().chain(phrases).map(String::as_str)
    }

    /// Whether content of this name, kind and size is what is searched for.
    #[must_use]
    pub fn takes(&self, name: &str, kind: Kind, size: u64) -> bool {
        self.takes_words(&words(name)) && self.takes_rest(name, kind, size)
    }

    /// Whether a name of these words is.
    pub(super) fn takes_words(&self, name: &[String]) -> bool {
        let has = |word: &String| name.iter().any(|other| is_found_by(other, word));
        let has_phrase =
            |phrase: &Vec<String>| name.windows(phrase.len()).any(|part| part == &phrase[..]);
        self.words.iter().all(has)
            && self.phrases.iter().all(has_phrase)
            && !self.without.iter().any(|word| name.contains(word))
    }

    pub(super) fn takes_rest(&self, name: &str, kind: Kind, size: u64) -> bool {
        let is_of = |category: Category| category.takes(kind, name);
        // That of a folder is of the list of what is in it.
        let is_wanted = match kind {
            Kind::File => (self.least..=self.most).contains(&size),
            Kind::Folder => (self.least, self.most) == (0, u64::MAX),
        };
        self.category.is_none_or(is_of) && is_wanted
    }

    /// How many of the words are in a name as they are, and not as the beginning of another.
    pub(super) fn exact(&self, name: &[String]) -> usize {
        self.words.iter().filter(|word| name.contains(word)).count()
    }
}

/// Whether a word of a name is found by one that is searched for.
pub(super) fn is_found_by(word: &str, by: &str) -> bool {
    word == by || (is_prefix(by) && word.starts_with(by))
}

/// Whether a word also finds those that begin with it.
pub(super) fn is_prefix(word: &str) -> bool {
    word.chars().count() >= PREFIX
}

impl FromStr for Query {
    type Err = ParseQueryError;

    fn from_str(text: &str) -> Result<Self, ParseQueryError> {
        let text = text.trim();
        if text.len() > MAX_QUERY {
            return Err(ParseQueryError::Long);
        }
        let mut query = Self {
            text: text.to_owned(),
            words: Vec::new(),
            phrases: Vec::new(),
            without: Vec::new(),
            category: None,
            least: 0,
            most: u64::MAX,
        };
        // What stands at odd places is between quotation marks.
        let parts: Vec<_> = text.split('"').collect();
        if parts.len().is_multiple_of(2) {
            return Err(ParseQueryError::Quote);
        }
        for (place, part) in parts.into_iter().enumerate() {
            if place % 2 == 1 {
                let phrase = words(part);
                if !phrase.is_empty() {
                    query.phrases.push(phrase);
                }
            } else {
                part.split_whitespace().try_for_each(|it| query.add(it))?;
            }
        }
        let needed = query.needed().count();
        if needed == 0 {
            return Err(ParseQueryError::NoWord);
        }
        if needed + query.without.len() > MAX_QUERY_WORDS {
            return Err(ParseQueryError::Words);
        }
        Ok(query)
    }
}

impl Query {
    fn add(&mut self, part: &str) -> Result<(), ParseQueryError> {
        if let Some(kind) = part.strip_prefix("kind:") {
            self.category = Some(kind.parse()?);
        } else if let Some(sizes) = part.strip_prefix("size:") {
            let (least, most) = sizes.split_once('-').ok_or(ParseQueryError::Size)?;
            if least.is_empty() && most.is_empty() {
                return Err(ParseQueryError::Size);
            }
            self.least = bytes(least, 0)?;
            self.most = bytes(most, u64::MAX)?;
            if self.least > self.most {
                return Err(ParseQueryError::Size);
            }
        } else if let Some(without) = part.strip_prefix('-') {
            self.without.extend(words(without));
        } else {
            self.words.extend(words(part));
        }
        Ok(())
    }
}

fn bytes(text: &str, otherwise: u64) -> Result<u64, ParseQueryError> {
    if text.is_empty() {
        return Ok(otherwise);
    }
    let units = [
        ('k', 1_000),
        ('m', 1_000_000),
        ('g', 1_000_000_000),
        ('t', 1_000_000_000_000),
    ];
    let last = text.chars().next_back().map(|it| it.to_ascii_lowercase());
    let unit = units.iter().find(|(letter, _)| Some(*letter) == last);
    let digits = unit.map_or(text, |_| &text[..text.len() - 1]);
    let number: u64 = digits.parse().map_err(|_| ParseQueryError::Size)?;
    number
        .checked_mul(unit.map_or(1, |it| it.1))
        .ok_or(ParseQueryError::Size)
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn takes(query: &str, name: &str) -> bool {
        query
            .parse::<Query>()
            .unwrap()
            .takes(name, Kind::File, 5_000_000)
    }

    #[test]
    fn all_words_have_to_be_there_and_a_phrase_as_it_stands() {
        let name = "Our Holiday at Sea - 2024.MP4";
        for query in [
            "sea holiday",
            "HOLI",
            "\"at sea\"",
            "\"holiday at\" 2024",
            "holiday -snow",
            "sea kind:video",
            "sea size:1M-",
            "sea size:-5M",
            "sea size:4999k-5001k",
            "sea size:5000000-5000000",
            "\"\" sea",
        ] {
            assert!(takes(query, name), "{query}");
        }
        for query in [
            "sea mountain",
            "liday",
            "\"sea at\"",
            "\"holi\"",
            "holiday -sea",
            "sea kind:audio",
            "sea kind:folder",
            "sea size:6M-",
            "sea size:-4M",
            "se",
        ] {
            assert!(!takes(query, name), "{query}");
        }
        // What may not be there is meant as it is written.
        assert!(takes("holiday -holi", name));
    }

    #[test]
    fn what_cannot_be_asked_is_refused_and_says_what_is_wrong() {
        let wrong = |text: &str| text.parse::<Query>().unwrap_err();
        for text in ["", "-a", "...", "kind:video", "\"!\""] {
            assert_eq!(wrong(text), ParseQueryError::NoWord, "{text}");
        }
        assert_eq!(wrong("a b c d e f"), ParseQueryError::Words);
        assert_eq!(wrong("a \"b c\" d e -f"), ParseQueryError::Words);
        assert_eq!(wrong("a \"b"), ParseQueryError::Quote);
        assert_eq!(
            wrong("a kind:film"),
            ParseQueryError::Category(ParseCategoryError)
        );
        for text in [
            "size:5M",
            "size:-",
            "size:2-1",
            "size:x-",
            "size:-1é",
            "size:99999999999T-",
        ] {
            assert_eq!(wrong(&format!("a {text}")), ParseQueryError::Size, "{text}");
        }
        assert_eq!(wrong(&"a".repeat(MAX_QUERY + 1)), ParseQueryError::Long);
    }

    proptest! {
        #[test]
        fn nothing_that_is_written_is_a_panic(text in ".*", name in ".*") {
            if let Ok(query) = text.parse::<Query>() {
                let _ = query.takes(&name, Kind::File, 1);
                prop_assert_eq!(query.text().parse::<Query>(), Ok(query.clone()));
                prop_assert!(query.needed().count() <= MAX_QUERY_WORDS);
            }
        }
    }
}
