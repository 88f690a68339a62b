//! The `:` prompt: the words of the command line, for the node that is looked at.

use std::{collections::BTreeMap, mem};

use peerway::{ParsePolicyError, PathPolicy, PeerId};
use tui_input::{Input, InputRequest};

use super::{
    filter::nearest,
    keymap::{Action, Ask},
    sort::Column,
    tabs::View,
};

/// Longer than any ticket.
const MAX_CHARS: usize = 2000;
/// Orders that are remembered.
const KEPT: usize = 50;

#[derive(Debug, Default)]
pub(super) struct Prompt {
    pub(super) input: Input,
    pub(super) error: Option<String>,
    /// How far back in what was ordered before; what was being written is kept meanwhile.
    back: usize,
    draft: String,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Do(Action),
    /// Of a peer, or of the selected one.
    Ask(Option<PeerId>, Ask),
    Show(Option<PeerId>, Action),
    Connect(String),
    Filter(String),
    Name(PeerId, String),
    Sort(Column, bool),
}

/// What follows a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Nothing(Action),
    Ask(Ask),
    Show(Action),
    Ticket,
    Filter,
    PeerAndName,
    Policy,
    Column,
}

#[rustfmt::skip]
const WORDS: [(&str, Takes); 33] = [
    ("accept", Takes::Nothing(Action::Callers)),
    ("block", Takes::Ask(Ask::Block)),
    ("book", Takes::Nothing(Action::Book)),
    ("connect", Takes::Ticket),
    ("disconnect", Takes::Ask(Ask::Disconnect)),
    ("events", Takes::Nothing(Action::View(View::Events))),
    ("faults", Takes::Nothing(Action::FaultsOnly)),
    ("filter", Takes::Filter),
    ("flows", Takes::Nothing(Action::View(View::Flows))),
    ("freeze", Takes::Nothing(Action::Freeze)),
    ("groups", Takes::Nothing(Action::View(View::Groups))),
    ("help", Takes::Nothing(Action::Help)),
    ("home", Takes::Nothing(Action::Homes)),
    ("ls", Takes::Nothing(Action::View(View::Shares))),
    ("map", Takes::Nothing(Action::View(View::Map))),
    ("mask", Takes::Nothing(Action::ToggleMask)),
    ("netcheck", Takes::Nothing(Action::View(View::Network))),
    ("network", Takes::Nothing(Action::View(View::Network))),
    ("open", Takes::Show(Action::Open)),
    ("overview", Takes::Nothing(Action::View(View::Overview))),
    ("peers", Takes::Nothing(Action::View(View::Peers))),
    ("ping", Takes::Ask(Ask::Ping)),
    ("policy", Takes::Policy),
    ("quit", Takes::Nothing(Action::Quit)),
    ("rename", Takes::PeerAndName),
    ("retry", Takes::Ask(Ask::Retry)),
    ("share", Takes::Nothing(Action::Share)),
    ("shares", Takes::Nothing(Action::View(View::Shares))),
    ("sort", Takes::Column),
    ("status", Takes::Nothing(Action::View(View::Overview))),
    ("ticket", Takes::Nothing(Action::Share)),
    ("until-direct", Takes::Ask(Ask::UntilDirect)),
    ("why", Takes::Show(Action::Details)),
];

/// What a peer may be given.
const POLICIES: [PathPolicy; 3] = [
    PathPolicy::Auto,
    PathPolicy::RelayOnly,
    PathPolicy::DirectOnly,
];

/// The peers that can be named.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(pub(super) BTreeMap<PeerId, String>);

impl Known {
    /// By name, whatever its case, or by id or its first letters.
    fn find(&self, text: &str) -> Result<PeerId, String> {
        let named = |(_, name): &(&PeerId, &String)| name.to_lowercase() == text.to_lowercase();
        if let Some((id, _)) = self.0.iter().find(named) {
            return Ok(*id);
        }
        let start = text.to_lowercase();
        let mut meant = self
            .0
            .keys()
            .filter(|id| start.len() >= PeerId::SHORT_LEN && id.to_string().starts_with(&start));
        match (meant.next(), meant.next()) {
            (Some(id), None) => Ok(*id),
            (Some(_), Some(_)) => Err(format!("several ids begin with {text}: type more of it")),
            (None, _) => {
                let names: Vec<_> = self.0.values().map(String::as_str).collect();
                Err(match nearest(text, &names) {
                    Some(near) => format!("no peer is called {text}; did you mean {near}?"),
                    None => format!("no peer is called {text}"),
                })
            }
        }
    }
}

impl Prompt {
    pub(super) fn edit(&mut self, request: InputRequest) {
        self.input.handle(request);
        self.error = None;
        self.back = 0;
    }

    pub(super) fn insert(&mut self, text: &str) {
        let room = MAX_CHARS.saturating_sub(self.input.value().chars().count());
        for c in text.chars().filter(|c| !c.is_control()).take(room) {
            self.edit(InputRequest::InsertChar(c));
        }
    }

    /// To an older order, or to a newer one and what was being written.
    pub(super) fn recall(&mut self, history: &[String], older: bool) {
        if self.back == 0 {
            self.input.value().clone_into(&mut self.draft);
        }
        let back = if older {
            (self.back + 1).min(history.len())
        } else {
            self.back.saturating_sub(1)
        };
        self.back = back;
        let at = history.len().checked_sub(back);
        let line = match at.and_then(|at| history.get(at)) {
            Some(line) if back > 0 => line.clone(),
            _ => mem::take(&mut self.draft),
        };
        self.input = Input::new(line);
        self.error = None;
    }

    /// Writes what all candidates have in common.
    pub(super) fn complete(&mut self, known: &Known) {
        let text = self.input.value();
        let candidates = candidates(text, known);
        let start = start_of_last(text);
        let Some(mut common) = candidates.first().cloned() else {
            return;
        };
        for candidate in &candidates {
            let same = common.chars().zip(candidate.chars());
            let length = same.take_while(|(a, b)| a == b).count();
            common = common.chars().take(length).collect();
        }
        let last: String = text.chars().skip(start).collect();
        if candidates.len() == 1 {
            common.push(' ');
        } else if common.chars().count() < last.chars().count() {
            return;
        }
        let before: String = text.chars().take(start).collect();
        self.input = Input::new(before + &common);
        self.error = None;
    }
}

/// What may stand in the place of the last word.
pub(super) fn candidates(text: &str, known: &Known) -> Vec<String> {
    let start = start_of_last(text);
    let last: String = text.chars().skip(start).collect();
    let last = last.trim_start_matches('"').to_lowercase();
    let first = text.split_whitespace().next().filter(|_| start > 0);
    let all: Vec<String> = match first.map(takes) {
        None => WORDS.iter().map(|(word, _)| (*word).to_owned()).collect(),
        Some(Some(Takes::Ask(_) | Takes::Show(_) | Takes::PeerAndName)) => {
            known.0.values().map(|name| quoted(name)).collect()
        }
        Some(Some(Takes::Policy)) => {
            let names = known.0.values().map(|name| quoted(name));
            names.chain(POLICIES.map(|it| it.to_string())).collect()
        }
        Some(Some(Takes::Column)) => {
            let columns = Column::ALL.iter().map(|column| column.word().to_owned());
            columns.chain(["reverse".to_owned()]).collect()
        }
        Some(Some(Takes::Nothing(_) | Takes::Ticket | Takes::Filter) | None) => Vec::new(),
    };
    let begins = |candidate: &String| {
        let bare = candidate.trim_start_matches('"').to_lowercase();
        bare.starts_with(&last)
    };
    all.into_iter().filter(begins).collect()
}

fn takes(word: &str) -> Option<Takes> {
    let (_, takes) = WORDS.iter().find(|(known, _)| *known == word)?;
    Some(*takes)
}

/// In characters; within quotation marks spaces divide nothing.
fn start_of_last(text: &str) -> usize {
    let (mut start, mut is_quoted) = (0, false);
    for (at, letter) in text.chars().enumerate() {
        match letter {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => start = at + 1,
            _ => {}
        }
    }
    start
}

fn quoted(name: &str) -> String {
    if name.contains(' ') {
        format!("\"{name}\"")
    } else {
        name.to_owned()
    }
}

/// The words of a line; what is in quotation marks is one.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(inside) => inside.split_once('"').unwrap_or((inside, "")),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// What a line orders; or else what is wrong with it. Nothing is ordered by an empty one.
pub(super) fn read(text: &str, known: &Known) -> Result<Option<Order>, String> {
    let text = text.trim();
    let Some((word, rest)) = text
        .split_once(' ')
        .map(|(word, rest)| (word, rest.trim()))
        .or_else(|| (!text.is_empty()).then_some((text, "")))
    else {
        return Ok(None);
    };
    // As it is written for vi and k9s.
    let word = if word == "q" { "quit" } else { word };
    let Some(takes) = takes(word) else {
        let words = WORDS.map(|(word, _)| word);
        return Err(match nearest(word, &words) {
            Some(near) => format!("there is no command {word}; did you mean {near}?"),
            None => format!("there is no command {word}; Tab shows what there is"),
        });
    };
    let words = split(rest);
    let order = match (takes, &words[..]) {
        (Takes::Filter, _) => Order::Filter(rest.to_owned()),
        (Takes::Nothing(action), []) => Order::Do(action),
        (Takes::Nothing(Action::View(View::Peers)), [peer]) => {
            Order::Show(Some(known.find(peer)?), Action::Open)
        }
        (Takes::Nothing(_), _) => return Err(format!("{word} takes nothing more")),
        (Takes::Ask(ask), []) => Order::Ask(None, ask),
        (Takes::Ask(Ask::Ping), [peer, flag]) if flag == "--until-direct" => {
            Order::Ask(Some(known.find(peer)?), Ask::UntilDirect)
        }
        (Takes::Ask(ask), [peer]) => Order::Ask(Some(known.find(peer)?), ask),
        (Takes::Show(action), []) => Order::Show(None, action),
        (Takes::Show(action), [peer]) => Order::Show(Some(known.find(peer)?), action),
        (Takes::Ask(_) | Takes::Show(_), _) => {
            return Err(format!(
                "{word} takes one peer; a name with spaces goes in \"\""
            ));
        }
        (Takes::Ticket, [_, ..]) => Order::Connect(rest.to_owned()),
        (Takes::Ticket, []) => Order::Do(Action::Connect),
        (Takes::PeerAndName, [peer, name]) => Order::Name(known.find(peer)?, name.clone()),
        (Takes::PeerAndName, _) => {
            return Err(
                "rename takes a peer and its new name; one with spaces goes in \"\"".into(),
            );
        }
        (Takes::Policy, []) => Order::Ask(None, Ask::NextPolicy),
        (Takes::Policy, [peer]) => Order::Ask(Some(known.find(peer)?), Ask::NextPolicy),
        (Takes::Policy, [peer, policy]) => {
            let policy = policy
                .parse()
                .map_err(|error: ParsePolicyError| error.to_string())?;
            Order::Ask(Some(known.find(peer)?), Ask::Policy(policy))
        }
        (Takes::Policy, _) => {
            return Err(
                "policy takes a peer and auto, relay-only or direct-only; a name with spaces goes in \"\""
                    .into(),
            );
        }
        (Takes::Column, []) => Order::Do(Action::SortMenu),
        (Takes::Column, [column, rest @ ..]) => sort(column, rest)?,
    };
    Ok(Some(order))
}

fn sort(column: &str, rest: &[String]) -> Result<Order, String> {
    let words = Column::ALL.map(Column::word);
    let found = Column::ALL.into_iter().find(|it| it.word() == column);
    let found = found
        .ok_or_else(|| format!("there is no column {column}; there is {}", words.join(", ")))?;
    match rest {
        [] => Ok(Order::Sort(found, false)),
        [reverse] if reverse == "reverse" => Ok(Order::Sort(found, true)),
        _ => Err("sort takes a column, and reverse".to_owned()),
    }
}

/// Remembers an order, the latest last, and each once.
pub(super) fn remember(history: &mut Vec<String>, line: &str) {
    history.retain(|known| known != line);
    history.push(line.to_owned());
    let first = history.len().saturating_sub(KEPT);
    history.drain(..first);
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;

    fn id(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn known() -> Known {
        let names = [(1, "nas"), (2, "nap"), (3, "Anna's laptop")];
        Known(names.map(|(seed, name)| (id(seed), name.to_owned())).into())
    }

    #[test]
    fn lines_are_read_as_the_command_line_would() {
        let read = |text: &str| read(text, &known());
        for (text, order) in [
            ("ping nas", Order::Ask(Some(id(1)), Ask::Ping)),
            ("ping", Order::Ask(None, Ask::Ping)),
            (
                "ping nas --until-direct",
                Order::Ask(Some(id(1)), Ask::UntilDirect),
            ),
            (
                "why \"anna's laptop\"",
                Order::Show(Some(id(3)), Action::Details),
            ),
            ("  map ", Order::Do(Action::View(View::Map))),
            ("q", Order::Do(Action::Quit)),
            ("sort rtt reverse", Order::Sort(Column::Rtt, true)),
            (
                "filter path=relay or rtt>5",
                Order::Filter("path=relay or rtt>5".to_owned()),
            ),
            ("filter", Order::Filter(String::new())),
            (
                "connect PEERWAY1 X",
                Order::Connect("PEERWAY1 X".to_owned()),
            ),
            ("rename nas attic", Order::Name(id(1), "attic".to_owned())),
        ] {
            assert_eq!(read(text), Ok(Some(order)), "{text}");
        }
        assert_eq!(
            read(&format!("ping {}", id(2).short())),
            Ok(Some(Order::Ask(Some(id(2)), Ask::Ping)))
        );
        assert_eq!(read("  "), Ok(None));
        for (text, said) in [
            ("pong nas", "did you mean ping?"),
            ("ping nass", "did you mean nas?"),
            ("ping nas nap", "takes one peer"),
            ("quit now", "takes nothing"),
            ("sort colour", "there is state"),
            ("rename nas", "its new name"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn what_candidates_have_in_common_is_completed() {
        let complete = |text: &str| {
            let mut prompt = Prompt::default();
            prompt.insert(text);
            prompt.complete(&known());
            prompt.input.value().to_owned()
        };
        for (text, completed) in [
            ("pi", "ping "),
            ("ping n", "ping na"),
            ("ping na", "ping na"),
            ("ping nas", "ping nas "),
            ("ping anna", "ping \"Anna's laptop\" "),
            ("sort r", "sort r"),
            ("sort rt", "sort rtt "),
            ("sort rtt r", "sort rtt r"),
            ("nothing ", "nothing "),
            ("so", "sort "),
        ] {
            assert_eq!(complete(text), completed, "{text}");
        }
        let mut shown = candidates("ping na", &known());
        shown.sort();
        assert_eq!(shown, ["nap", "nas"]);
    }

    #[test]
    fn earlier_orders_come_back_and_what_was_being_written_too() {
        let mut history = Vec::new();
        for line in ["map", "ping nas", "map"] {
            remember(&mut history, line);
        }
        assert_eq!(history, ["ping nas", "map"]);
        let mut prompt = Prompt::default();
        prompt.insert("so");
        let mut seen = Vec::new();
        for older in [true, true, true, false, false, false] {
            prompt.recall(&history, older);
            seen.push(prompt.input.value().to_owned());
        }
        assert_eq!(seen, ["map", "ping nas", "ping nas", "map", "so", "so"]);
    }
}
