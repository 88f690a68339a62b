//! The words of the `:` prompt, what may follow each, and whom and what they may name.

use std::collections::BTreeMap;

use peerway::{PathPolicy, PeerId};

use super::PairWord;
use crate::{
    TransferOrder,
    dash::{
        NetworkRequest, columns,
        filter::nearest,
        keymap::{Action, Ask, What},
        sort::Column,
        speed::Turn,
        tabs::View,
        window::Window,
        words::Level,
    },
};

/// What follows a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing(Action),
    Ask(Ask),
    Show(Action),
    Ticket,
    Filter,
    PeerAndName,
    Policy,
    Column,
    /// The columns of the table.
    Columns,
    /// What to copy.
    What,
    /// Which events.
    Level,
    /// How much time the charts span.
    Window,
    Pairs,
    /// A transfer.
    Transfer(TransferOrder),
    /// Such an order and a transfer, or neither.
    Transfers,
    /// A peer, of whose services one is chosen.
    Services,
    /// `PEER/SERVICE`.
    Forward,
}

#[rustfmt::skip]
pub(super) const WORDS: [(&str, Takes); 62] = [
    ("accept", Takes::Nothing(Action::Callers)),
    ("allow", Takes::Ask(Ask::LetIn)),
    ("block", Takes::Ask(Ask::Block)),
    ("book", Takes::Nothing(Action::Book)),
    ("cancel", Takes::Transfer(TransferOrder::Cancel)),
    ("columns", Takes::Columns),
    ("connect", Takes::Ticket),
    ("copy", Takes::What),
    ("disconnect", Takes::Ask(Ask::Disconnect)),
    ("events", Takes::Nothing(Action::View(View::Events))),
    ("expand", Takes::Nothing(Action::Expand)),
    ("faster", Takes::Nothing(Action::Speed(Turn::Faster))),
    ("faults", Takes::Nothing(Action::FaultsOnly)),
    ("filter", Takes::Filter),
    ("flows", Takes::Nothing(Action::View(View::Flows))),
    ("follow", Takes::Nothing(Action::Follow)),
    ("forward", Takes::Forward),
    ("freeze", Takes::Nothing(Action::Freeze)),
    ("group", Takes::Nothing(Action::View(View::Groups))),
    ("groups", Takes::Nothing(Action::View(View::Groups))),
    ("help", Takes::Nothing(Action::Help)),
    ("home", Takes::Nothing(Action::Homes)),
    ("level", Takes::Level),
    ("logarithm", Takes::Nothing(Action::ToggleScale)),
    ("ls", Takes::Nothing(Action::View(View::Shares))),
    ("map", Takes::Nothing(Action::View(View::Map))),
    ("mask", Takes::Nothing(Action::ToggleMask)),
    ("measure", Takes::Nothing(Action::Network(NetworkRequest::Measure))),
    ("netcheck", Takes::Nothing(Action::View(View::Network))),
    ("network", Takes::Nothing(Action::View(View::Network))),
    ("open", Takes::Show(Action::Open)),
    ("overview", Takes::Nothing(Action::View(View::Overview))),
    ("pairs", Takes::Pairs),
    ("pause", Takes::Transfer(TransferOrder::Pause)),
    ("peers", Takes::Nothing(Action::View(View::Peers))),
    ("ping", Takes::Ask(Ask::Ping)),
    ("policy", Takes::Policy),
    ("quit", Takes::Nothing(Action::Quit)),
    ("quit-keeping-screen", Takes::Nothing(Action::QuitKeepingScreen)),
    ("rename", Takes::PeerAndName),
    ("renew", Takes::Nothing(Action::Network(NetworkRequest::RenewMappings))),
    ("repaint", Takes::Nothing(Action::Repaint)),
    ("resume", Takes::Transfer(TransferOrder::Resume)),
    ("retry", Takes::Ask(Ask::Retry)),
    ("reverse", Takes::Nothing(Action::Reverse)),
    ("services", Takes::Services),
    ("share", Takes::Nothing(Action::Share)),
    ("shares", Takes::Nothing(Action::View(View::Shares))),
    ("slower", Takes::Nothing(Action::Speed(Turn::Slower))),
    ("sort", Takes::Column),
    ("status", Takes::Nothing(Action::View(View::Overview))),
    ("suspend", Takes::Nothing(Action::Suspend)),
    ("swarm", Takes::Nothing(Action::View(View::Map))),
    ("ticket", Takes::Nothing(Action::Share)),
    ("top", Takes::Nothing(Action::View(View::Overview))),
    ("transfers", Takes::Transfers),
    ("tree", Takes::Nothing(Action::ToggleTree)),
    ("until-direct", Takes::Ask(Ask::UntilDirect)),
    ("why", Takes::Show(Action::Details)),
    ("window", Takes::Window),
    ("wrap", Takes::Nothing(Action::Wrap)),
    ("zoom", Takes::Window),
];

/// What a peer may be given.
const POLICIES: [PathPolicy; 3] = [
    PathPolicy::Auto,
    PathPolicy::RelayOnly,
    PathPolicy::DirectOnly,
];

/// What can be copied, by the word for it.
pub(super) const COPIED: [(&str, What); 6] = [
    ("address", What::Address),
    ("id", What::Id),
    ("panel", What::Panel),
    ("row", What::Row),
    ("ticket", What::Ticket),
    ("why", What::Why),
];

/// What `peerway transfers` is told, too.
pub(super) const ORDERS: [(&str, TransferOrder); 3] = [
    ("cancel", TransferOrder::Cancel),
    ("pause", TransferOrder::Pause),
    ("resume", TransferOrder::Resume),
];

/// The peers and transfers that can be named.
#[derive(Clone, Debug, Default)]
pub(in crate::dash) struct Known {
    pub(in crate::dash) peers: BTreeMap<PeerId, String>,
    /// Each by its number.
    pub(in crate::dash) transfers: Vec<(u64, String)>,
}

impl Known {
    /// By name, whatever its case, or by id or its first letters.
    pub(super) fn find(&self, text: &str) -> Result<PeerId, String> {
        let named = |(_, name): &(&PeerId, &String)| name.to_lowercase() == text.to_lowercase();
        if let Some((id, _)) = self.peers.iter().find(named) {
            return Ok(*id);
        }
        let start = text.to_lowercase();
        let mut meant = self
            .peers
            .keys()
            .filter(|id| start.len() >= PeerId::SHORT_LEN && id.to_string().starts_with(&start));
        match (meant.next(), meant.next()) {
            (Some(id), None) => Ok(*id),
            (Some(_), Some(_)) => Err(format!("several ids begin with {text}: type more of it")),
            (None, _) => {
                let names: Vec<_> = self.peers.values().map(String::as_str).collect();
                Err(match nearest(text, &names) {
                    Some(near) => format!("no peer is called {text}; did you mean {near}?"),
                    None => format!("no peer is called {text}"),
                })
            }
        }
    }

    /// By its number, or by its name, or the beginning of one, where one alone has that.
    pub(super) fn transfer(&self, text: &str) -> Result<u64, String> {
        let number = text.parse::<u64>();
        let numbered = self
            .transfers
            .iter()
            .find(|(id, _)| number.as_ref() == Ok(id));
        if let Some((id, _)) = numbered {
            return Ok(*id);
        }
        let wanted = text.to_lowercase();
        let named = |is_meant: &dyn Fn(&str) -> bool| -> Vec<&(u64, String)> {
            let each = self.transfers.iter();
            each.filter(|(_, name)| is_meant(&name.to_lowercase()))
                .collect()
        };
        let mut meant = named(&|name| name == wanted);
        if meant.is_empty() {
            meant = named(&|name| name.starts_with(&wanted));
        }
        let mut meant = meant.into_iter();
        match (meant.next(), meant.next()) {
            (Some((id, _)), None) => Ok(*id),
            (Some((one, _)), Some((other, _))) => Err(format!(
                "several transfers are called {text}: say which by its number, such as {one} or {other}"
            )),
            (None, _) => {
                let names: Vec<_> = self.transfers.iter().map(|(_, it)| it.as_str()).collect();
                Err(match nearest(text, &names) {
                    Some(near) => format!("no transfer is called {text}; did you mean {near}?"),
                    None => format!("no transfer is called {text}; Tab shows those that go on"),
                })
            }
        }
    }
}

/// What may stand in the place of the last word.
pub(in crate::dash) fn candidates(text: &str, known: &Known) -> Vec<String> {
    let start = start_of_last(text);
    let last: String = text.chars().skip(start).collect();
    let last = last.trim_start_matches('"').to_lowercase();
    let first = text.split_whitespace().next().filter(|_| start > 0);
    let all: Vec<String> = match first.map(takes) {
        None => own(WORDS.iter().map(|(word, _)| *word)),
        Some(Some(takes)) => following(takes, known),
        Some(None) => Vec::new(),
    };
    let begins = |candidate: &String| {
        let bare = candidate.trim_start_matches('"').to_lowercase();
        bare.starts_with(&last)
    };
    all.into_iter().filter(begins).collect()
}

fn own<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    words.map(str::to_owned).collect()
}

/// Words that may follow.
fn following(takes: Takes, known: &Known) -> Vec<String> {
    let peers = || known.peers.values().map(|name| quoted(name));
    let transfers = || known.transfers.iter().map(|(_, name)| quoted(name));
    match takes {
        Takes::Ask(_) | Takes::Show(_) | Takes::PeerAndName | Takes::Services => peers().collect(),
        Takes::Forward => peers().map(|name| format!("{name}/")).collect(),
        Takes::Nothing(Action::View(View::Peers)) => peers().collect(),
        Takes::Pairs => {
            let actions = PairWord::ALL.map(|it| it.word().to_owned());
            peers().chain(actions).collect()
        }
        Takes::Policy => {
            let policies = POLICIES.map(|it| it.to_string());
            peers().chain(policies).collect()
        }
        Takes::Column => {
            let columns = Column::ALL.iter().map(|column| column.word().to_owned());
            columns.chain(["reverse".to_owned()]).collect()
        }
        Takes::Columns => own(columns::Column::ALL.iter().map(|column| column.word())),
        Takes::What => own(COPIED.iter().map(|(word, _)| *word)),
        Takes::Level => own(Level::ALL.iter().map(|level| level.word())),
        Takes::Window => own(Window::ALL.iter().map(|window| window.word())),
        Takes::Transfer(_) => transfers().collect(),
        Takes::Transfers => {
            let orders = ORDERS.iter().map(|(word, _)| (*word).to_owned());
            orders.chain(transfers()).collect()
        }
        Takes::Nothing(_) | Takes::Ticket | Takes::Filter => Vec::new(),
    }
}

pub(super) fn takes(word: &str) -> Option<Takes> {
    let (_, takes) = WORDS.iter().find(|(known, _)| *known == word)?;
    Some(*takes)
}

/// In characters; within quotation marks spaces divide nothing.
pub(super) fn start_of_last(text: &str) -> usize {
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
pub(super) fn split(text: &str) -> Vec<String> {
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
