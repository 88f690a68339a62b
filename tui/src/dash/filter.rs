//! What is shown of peers and events: one grammar for the dashboard and the commands.
//!
//! `path=relay rtt>100ms` are peers that both hold for; `or`, `not` and brackets are there too, a bare word is part of a name or
//! an id, and `!word` what has no such part.

mod facts;
mod field;
mod read;

pub(in crate::dash) use self::facts::{
    of_content, of_event, of_fellow, of_flow, of_member, of_pair, of_peer, of_post, of_server,
    of_transfer,
};
pub(crate) use self::{
    facts::Plain,
    field::{About, Number, Word, nearest},
    read::FilterError,
};

/// A rule of who or what is shown; by default everything is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Filter {
    text: String,
    rule: Option<Rule>,
}

/// One of each kind of list.
#[derive(Debug, Default)]
pub(in crate::dash) struct Filters {
    pub(in crate::dash) peers: Filter,
    pub(in crate::dash) events: Filter,
    /// Members of groups that share their links, and these.
    pub(in crate::dash) groups: Filter,
    pub(in crate::dash) shares: Filter,
    /// Who belongs to groups that were joined.
    pub(in crate::dash) members: Filter,
    pub(in crate::dash) posts: Filter,
    /// Of all that the view of flows lists.
    pub(in crate::dash) flows: Filter,
}

#[derive(Clone, Debug, PartialEq)]
enum Rule {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Test(Test),
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    /// Part of a name, an id or a text.
    Contains(String),
    Is(Word, String),
    Has(Word, String),
    /// What is not known is neither more nor less.
    Compare(Number, Comparison, f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

/// What is known of a peer or an event; of a field there may be several words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    words: Vec<(Word, String)>,
    numbers: Vec<(Number, f64)>,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// [`FilterError`] says what part of the text is wrong, and why.
    pub(crate) fn parse(text: &str, about: About) -> Result<Self, FilterError> {
        Ok(Self {
            text: text.trim().to_owned(),
            rule: read::rule(text, about)?,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rule.is_none()
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn shows(&self, facts: &Facts) -> bool {
        self.rule.as_ref().is_none_or(|rule| rule.holds(facts))
    }
}

impl Filters {
    pub(in crate::dash) fn of(&mut self, about: About) -> &mut Filter {
        match about {
            About::Peers => &mut self.peers,
            About::Events => &mut self.events,
            About::Groups => &mut self.groups,
            About::Shares => &mut self.shares,
            About::Members => &mut self.members,
            About::Posts => &mut self.posts,
            About::Flows => &mut self.flows,
        }
    }
}

impl Rule {
    fn holds(&self, facts: &Facts) -> bool {
        match self {
            Self::All(rules) => rules.iter().all(|rule| rule.holds(facts)),
            Self::Any(rules) => rules.iter().any(|rule| rule.holds(facts)),
            Self::Not(rule) => !rule.holds(facts),
            Self::Test(test) => test.holds(facts),
        }
    }
}

impl Test {
    fn holds(&self, facts: &Facts) -> bool {
        match self {
            Self::Contains(part) => facts
                .words
                .iter()
                .any(|(word, text)| word.is_searched() && text.contains(part.as_str())),
            Self::Is(field, value) => facts.of(*field).any(|text| text == value),
            Self::Has(field, part) => facts.of(*field).any(|text| text.contains(part.as_str())),
            Self::Compare(field, comparison, than) => facts
                .numbers
                .iter()
                .filter(|(number, _)| number == field)
                .any(|(_, value)| comparison.holds(*field, *value, *than)),
        }
    }
}

impl Comparison {
    fn holds(self, number: Number, value: f64, than: f64) -> bool {
        match self {
            Self::Less => value < than,
            Self::AtMost => value <= than,
            Self::Equal => (value - than).abs() <= number.tolerance(than),
            Self::AtLeast => value >= than,
            Self::More => value > than,
        }
    }
}

impl Facts {
    /// Case is not told apart.
    pub(crate) fn word(&mut self, field: Word, text: &str) {
        self.words.push((field, text.to_lowercase()));
    }

    pub(crate) fn number(&mut self, field: Number, value: f64) {
        self.numbers.push((field, value));
    }

    fn of(&self, field: Word) -> impl Iterator<Item = &String> {
        let words = self.words.iter();
        words
            .filter(move |(word, _)| *word == field)
            .map(|(_, text)| text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A relayed laptop, 120 ms away.
    fn laptop() -> Facts {
        let mut facts = Facts::default();
        for (field, text) in [
            (Word::Name, "Anna's Laptop"),
            (Word::Id, "q9xa4k7m"),
            (Word::State, "relay"),
            (Word::Path, "relay"),
            (Word::Path, "fra1"),
            (Word::Why, "hard NATs"),
        ] {
            facts.word(field, text);
        }
        for (field, value) in [
            (Number::Rtt, 120.0),
            (Number::Loss, 1.5),
            (Number::Down, 92_000.0),
            (Number::Age, 240.0),
        ] {
            facts.number(field, value);
        }
        facts
    }

    fn shows(text: &str) -> bool {
        let filter = Filter::parse(text, About::Peers);
        filter
            .unwrap_or_else(|error| panic!("{text}: {error:?}"))
            .shows(&laptop())
    }

    #[test]
    fn each_form_of_a_condition_holds_for_whom_it_says() {
        for text in [
            "",
            "  ",
            "lap",
            "LAPTOP",
            "q9xa",
            "!nas",
            "not nas",
            "path=relay",
            "path:relay",
            "state=relay",
            "state:RELAY",
            "state!=idle",
            "name~lap",
            "name!~nas",
            "name=\"Anna's Laptop\"",
            "\"anna's l\"",
            "why~hard",
            "path~fra",
            "rtt>100",
            "rtt>100ms",
            "rtt>0.1s",
            "rtt > 100ms",
            "rtt>=120",
            "rtt<=120",
            "rtt=120",
            "rtt!=100",
            "rtt<1s",
            "loss>1%",
            "loss>1",
            "loss=1.5%",
            "loss!=1.9",
            "down=92k",
            "down=92.02k",
            "down!=93k",
            "down>90k",
            "down<0.1M",
            "down>90kB/s",
            "age<5m",
            "age>=4m",
            "age<1h",
            "lap rtt>100",
            "lap and rtt>100",
            "lap AND rtt>100",
            "nas or lap",
            "nas || lap",
            "lap && !nas",
            "not (nas or seed)",
            "!(nas or seed)",
            "(nas or lap) and (path=direct or rtt>100)",
            "nas and seed or lap",
            "not not lap",
        ] {
            assert!(shows(text), "{text}");
        }
        for text in [
            "nas",
            "!lap",
            "path=direct",
            "path!=relay",
            "path:v6",
            "state:idle",
            "rtt>200",
            "rtt<100ms",
            "up>0",
            "not up<1 and nas",
            "loss=1.2",
            "down=92.1k",
            "loss<1%",
            "age>5m",
            "lap nas",
            "lap and nas",
            "nas or seed",
            "lap and (nas or seed)",
            "relay",
        ] {
            assert!(!shows(text), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_marked_and_said() {
        for (text, marked, said) in [
            ("path=reley", "reley", "did you mean relay"),
            ("lap stat=idle", "stat", "did you mean state"),
            ("color=red", "color", "there is name"),
            ("rtt>fast", "fast", "100ms"),
            ("rtt>", "rtt>", "after >"),
            ("loss>5ms", "5ms", "percent"),
            ("name>5", ">", "name has = and ~"),
            ("rtt~5", "~", "rtt has"),
            ("(lap", "(", "is not closed"),
            ("lap)", ")", "opens nothing"),
            ("lap or", "or", "follows or"),
            ("and lap", "and", "before and"),
            ("lap not", "not", "follows not"),
            ("()", ")", "inside"),
            ("\"lap", "\"lap", "closed"),
            ("level=warn", "level", "of events"),
        ] {
            let error = Filter::parse(text, About::Peers).unwrap_err();
            let chars: Vec<char> = text.chars().collect();
            let found: String = chars[error.at.clone()].iter().collect();
            assert_eq!(found, marked, "{text}: {error}");
            assert!(error.to_string().contains(said), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_within_itself(text in r#"([a-z=~<>!:()"& |0-9.%µ]|and|or|not|rtt|path=relay| ){0,40}"#) {
            match Filter::parse(&text, About::Peers) {
                Ok(filter) => { filter.shows(&laptop()); }
                Err(error) => prop_assert!(error.at.end <= text.chars().count()),
            }
        }
    }
}
