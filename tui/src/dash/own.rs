//! Files that make the dashboard one's own: lines `what = "text"`, or with a list of texts.

use toml_edit::{Document, Item, Value};

use super::filter::nearest;
use crate::toml::{line_of, span_of};

/// What cannot be understood, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {wrong}")]
pub struct Mistake {
    line: usize,
    wrong: String,
}

impl Mistake {
    /// In what stands behind this key.
    pub(super) fn behind(self, key: &str) -> Self {
        let wrong = format!("{key}: {}", self.wrong);
        Self { wrong, ..self }
    }
}

/// One line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    line: usize,
    pub(super) key: String,
    /// One, unless it is a list.
    pub(super) values: Vec<String>,
}

impl Entry {
    pub(super) fn wrong(&self, wrong: impl Into<String>) -> Mistake {
        Mistake {
            line: self.line,
            wrong: wrong.into(),
        }
    }

    /// That there is no such thing, and what may be meant.
    pub(super) fn unknown(&self, what: &str, found: &str, known: &[&str]) -> Mistake {
        let wrong = match nearest(&found.to_lowercase(), known) {
            Some(near) => format!("there is no {what} {found}; did you mean {near}?"),
            None => format!("there is no {what} {found}; there is {}", known.join(", ")),
        };
        self.wrong(wrong)
    }

    /// The text of a key that has no list.
    pub(super) fn text(&self) -> Result<&str, Mistake> {
        match &self.values[..] {
            [text] => Ok(text),
            _ => Err(self.wrong(format!("{} is one text", self.key))),
        }
    }
}

/// All lines of a file, in their order.
pub(super) fn entries(text: &str) -> Result<Vec<Entry>, Mistake> {
    let document = Document::parse(text).map_err(|error| Mistake {
        line: line_of(text, error.span()),
        wrong: format!("this is not TOML: {}", error.message().replace('\n', ", ")),
    })?;
    let root = document.as_table();
    let mut entries = Vec::new();
    for (key, item) in root.iter() {
        let mut entry = Entry {
            line: line_of(text, span_of(root, key).or_else(|| item.span())),
            key: key.to_owned(),
            values: Vec::new(),
        };
        let Some(values) = texts(item) else {
            return Err(entry.wrong(format!("{key} is a text in \"\", or a list of them in []")));
        };
        entry.values = values;
        entries.push(entry);
    }
    Ok(entries)
}

fn texts(item: &Item) -> Option<Vec<String>> {
    match item.as_value()? {
        Value::String(text) => Some(vec![text.value().clone()]),
        Value::Array(list) => {
            let texts = list.iter().map(|value| value.as_str().map(str::to_owned));
            texts.collect()
        }
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::InlineTable(_) => None,
    }
}
