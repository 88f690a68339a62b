//! The `:` prompt: the words of the command line, for the node that is looked at.

mod vocabulary;

use std::{mem, net::SocketAddr};

use peerway::{PairAction, ParsePolicyError, PeerId};
use tui_input::{Input, InputRequest};

use self::vocabulary::{COPIED, ORDERS, Takes, WORDS, split, start_of_last, takes};
use super::{
    columns::Columns,
    filter::nearest,
    keymap::{self, Action, Ask},
    sort::Column,
    tabs::View,
    window::Window,
    words::Level,
};
use crate::TransferOrder;

pub(super) use self::vocabulary::{Known, candidates};

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
    /// The addresses at which a peer was looked for.
    Pairs(Option<PeerId>),
    /// Something with one of these, over TCP or not.
    Pair(Option<PeerId>, (SocketAddr, bool), PairAction),
    Connect(String),
    Filter(String),
    Name(PeerId, String),
    Sort(Column, bool),
    /// Those of the table, or as many as fit.
    Columns(Option<Columns>),
    Level(Level),
    Window(Window),
    /// Of a transfer, or of the selected one.
    Transfer(Option<u64>, TransferOrder),
    /// Choose one of a peer's services.
    Services(Option<PeerId>),
    /// Lead a port to a service.
    Forward(PeerId, String),
}

/// What can be done with a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PairWord {
    Probe,
    Force,
    Release,
    Drop,
    Retry,
}

impl PairWord {
    const ALL: [Self; 5] = [
        Self::Probe,
        Self::Force,
        Self::Release,
        Self::Drop,
        Self::Retry,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Force => "force",
            Self::Release => "release",
            Self::Drop => "drop",
            Self::Retry => "retry",
        }
    }

    fn find(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.word() == word)
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
        (Takes::Ask(_) | Takes::Show(_) | Takes::Services, _) => {
            of_peer(word, takes, &words, known)?
        }
        (Takes::Ticket, [_, ..]) => Order::Connect(rest.to_owned()),
        (Takes::Ticket, []) => Order::Do(Action::Connect),
        (Takes::PeerAndName, [peer, name]) => Order::Name(known.find(peer)?, name.clone()),
        (Takes::PeerAndName, []) => Order::Ask(None, Ask::Name),
        (Takes::PeerAndName, _) => {
            return Err(
                "rename takes a peer and its new name; one with spaces goes in \"\"".into(),
            );
        }
        (Takes::Policy, words) => policy(words, known)?,
        (Takes::Column, []) => Order::Do(Action::SortMenu),
        (Takes::Column, [column, rest @ ..]) => sort(column, rest)?,
        (Takes::Columns, []) => Order::Columns(None),
        (Takes::Columns, _) => {
            let columns = rest.parse::<Columns>();
            Order::Columns(Some(columns.map_err(|error| error.to_string())?))
        }
        (Takes::What, words) => {
            let what = one_of(word, words, &COPIED)?;
            what.map_or(Order::Do(Action::Chord(keymap::Chord::Copy)), |what| {
                Order::Do(Action::Copy(what))
            })
        }
        (Takes::Level, words) => {
            let all = Level::ALL.map(|level| (level.word(), level));
            one_of(word, words, &all)?.map_or(Order::Do(Action::Level), Order::Level)
        }
        (Takes::Window, words) => {
            let all = Window::ALL.map(|window| (window.word(), window));
            let window = one_of(word, words, &all)?;
            Order::Window(window.unwrap_or_default())
        }
        (Takes::Pairs, words) => pairs(words, known)?,
        (Takes::Transfer(order), words) => of_transfer(word, order, words, known)?,
        (Takes::Transfers, []) => Order::Do(Action::View(View::Flows)),
        (Takes::Transfers, [order, rest @ ..]) => {
            let first = std::slice::from_ref(order);
            match one_of(word, first, &ORDERS)? {
                Some(order) => of_transfer(word, order, rest, known)?,
                None => Order::Do(Action::View(View::Flows)),
            }
        }
        (Takes::Forward, words) => forward(words, known)?,
    };
    Ok(Some(order))
}

/// What is asked or shown of one peer, or of the selected one.
fn of_peer(word: &str, takes: Takes, words: &[String], known: &Known) -> Result<Order, String> {
    let (peer, takes) = match (takes, words) {
        (_, []) => (None, takes),
        (_, [peer]) => (Some(known.find(peer)?), takes),
        (Takes::Ask(Ask::Ping), [peer, flag]) if flag == "--until-direct" => {
            (Some(known.find(peer)?), Takes::Ask(Ask::UntilDirect))
        }
        _ => {
            return Err(format!(
                "{word} takes one peer; a name with spaces goes in \"\""
            ));
        }
    };
    Ok(if let Takes::Ask(ask) = takes {
        Order::Ask(peer, ask)
    } else if let Takes::Show(action) = takes {
        Order::Show(peer, action)
    } else {
        Order::Services(peer)
    })
}

fn policy(words: &[String], known: &Known) -> Result<Order, String> {
    let parse = |policy: &String| {
        let policy = policy.parse();
        policy.map_err(|error: ParsePolicyError| error.to_string())
    };
    match words {
        [] => Ok(Order::Ask(None, Ask::NextPolicy)),
        // Of the selected one.
        [policy] if parse(policy).is_ok() => Ok(Order::Ask(None, Ask::Policy(parse(policy)?))),
        [peer] => Ok(Order::Ask(Some(known.find(peer)?), Ask::NextPolicy)),
        [peer, policy] => {
            let peer = known.find(peer)?;
            Ok(Order::Ask(Some(peer), Ask::Policy(parse(policy)?)))
        }
        _ => Err(
            "policy takes a peer and auto, relay-only or direct-only; a name with spaces goes in \"\""
                .to_owned(),
        ),
    }
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

/// One of these words, or none at all.
fn one_of<T: Copy>(
    word: &str,
    words: &[String],
    all: &[(&'static str, T)],
) -> Result<Option<T>, String> {
    let known: Vec<_> = all.iter().map(|(known, _)| *known).collect();
    let wrong = || format!("{word} takes one of {}", known.join(", "));
    match words {
        [] => Ok(None),
        [one] => {
            let found = all.iter().find(|(known, _)| known == one);
            let (_, found) = found.ok_or_else(wrong)?;
            Ok(Some(*found))
        }
        _ => Err(wrong()),
    }
}

/// As `peerway pairs` takes it: a peer, and what to do with which of its addresses.
fn pairs(words: &[String], known: &Known) -> Result<Order, String> {
    let (peer, rest) = match words {
        [] => return Ok(Order::Pairs(None)),
        [first, ..] if PairWord::find(first).is_some() => (None, words),
        [first, rest @ ..] => (Some(known.find(first)?), rest),
    };
    let action = |word: &String| {
        let all = PairWord::ALL.map(PairWord::word).join(", ");
        PairWord::find(word)
            .ok_or_else(|| format!("pairs takes a peer, one of {all}, and an address"))
    };
    match rest {
        [] => Ok(Order::Pairs(peer)),
        [word] => {
            let ask = match action(word)? {
                PairWord::Retry => Ask::Retry,
                PairWord::Probe if peer.is_none() => Ask::ProbePair,
                PairWord::Force if peer.is_none() => Ask::ForcePair,
                PairWord::Drop if peer.is_none() => Ask::DropPair,
                PairWord::Probe | PairWord::Force | PairWord::Drop | PairWord::Release => {
                    return Err(format!(
                        "{word} which of its addresses? write IP:PORT or tcp://IP:PORT behind it"
                    ));
                }
            };
            Ok(Order::Ask(peer, ask))
        }
        [word, addr] => {
            let over_tcp = addr.strip_prefix("tcp://");
            let remote = over_tcp.unwrap_or(addr).parse();
            let remote: SocketAddr =
                remote.map_err(|_| format!("{addr} is no address: IP:PORT or tcp://IP:PORT"))?;
            let action = match action(word)? {
                PairWord::Probe => PairAction::Probe,
                PairWord::Force => PairAction::Force,
                PairWord::Release => PairAction::Release,
                PairWord::Drop => PairAction::Drop,
                PairWord::Retry => return Err("retry is for all addresses of a peer".to_owned()),
            };
            Ok(Order::Pair(peer, (remote, over_tcp.is_some()), action))
        }
        _ => Err("pairs takes a peer, what to do, and one address".to_owned()),
    }
}

fn of_transfer(
    word: &str,
    order: TransferOrder,
    words: &[String],
    known: &Known,
) -> Result<Order, String> {
    match words {
        [] => Ok(Order::Transfer(None, order)),
        [one] => Ok(Order::Transfer(Some(known.transfer(one)?), order)),
        _ => Err(format!(
            "{word} takes one transfer; a name with spaces goes in \"\""
        )),
    }
}

fn forward(words: &[String], known: &Known) -> Result<Order, String> {
    match words {
        [] => Ok(Order::Services(None)),
        [one] => match one.rsplit_once('/') {
            Some((peer, service)) if !service.is_empty() => {
                Ok(Order::Forward(known.find(peer)?, service.to_owned()))
            }
            Some((peer, _)) => Ok(Order::Services(Some(known.find(peer)?))),
            None => Ok(Order::Services(Some(known.find(one)?))),
        },
        // A name in quotation marks ends before the service.
        [peer, service] if service.starts_with('/') => {
            let service = service.trim_start_matches('/').to_owned();
            Ok(Order::Forward(known.find(peer)?, service))
        }
        _ => Err("forward takes PEER/SERVICE; a port that is free leads there".to_owned()),
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
    use peerway::{PathPolicy, SecretKey};

    use super::*;
    use crate::dash::{
        NetworkRequest,
        keymap::{BINDINGS, What, Zoom},
        speed::Turn,
    };

    fn id(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn known() -> Known {
        let names = [(1, "nas"), (2, "nap"), (3, "Anna's laptop")];
        let transfers = [(3, "holiday.mov"), (4, "backup.tar"), (7, "backup.tar")];
        Known {
            peers: names.map(|(seed, name)| (id(seed), name.to_owned())).into(),
            transfers: transfers.map(|(id, name)| (id, name.to_owned())).into(),
        }
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
            ("pause backup.tar", "such as 4 or 7"),
            ("pause holidy.mov", "did you mean holiday.mov?"),
            ("pause 9", "Tab shows"),
            ("copy everything", "one of address, id"),
            ("pairs nas force", "which of its addresses"),
            ("pairs nas force there", "IP:PORT"),
            ("columns nam", "did you mean name?"),
            ("window 3h", "one of 30s"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn transfers_pairs_and_what_is_shown_are_chosen_in_words() {
        let read = |text: &str| read(text, &known());
        for (text, order) in [
            (
                "policy relay-only",
                Order::Ask(None, Ask::Policy(PathPolicy::RelayOnly)),
            ),
            ("allow nas", Order::Ask(Some(id(1)), Ask::LetIn)),
            ("pause", Order::Transfer(None, TransferOrder::Pause)),
            (
                "resume Holiday.mov",
                Order::Transfer(Some(3), TransferOrder::Resume),
            ),
            ("cancel 7", Order::Transfer(Some(7), TransferOrder::Cancel)),
            ("pause hol", Order::Transfer(Some(3), TransferOrder::Pause)),
            (
                "transfers pause 4",
                Order::Transfer(Some(4), TransferOrder::Pause),
            ),
            ("transfers", Order::Do(Action::View(View::Flows))),
            ("pairs", Order::Pairs(None)),
            ("pairs nas", Order::Pairs(Some(id(1)))),
            ("pairs nas retry", Order::Ask(Some(id(1)), Ask::Retry)),
            ("pairs force", Order::Ask(None, Ask::ForcePair)),
            (
                "pairs nas force tcp://192.0.2.1:5000",
                Order::Pair(
                    Some(id(1)),
                    ("192.0.2.1:5000".parse().unwrap(), true),
                    PairAction::Force,
                ),
            ),
            (
                "pairs drop 192.0.2.1:5000",
                Order::Pair(
                    None,
                    ("192.0.2.1:5000".parse().unwrap(), false),
                    PairAction::Drop,
                ),
            ),
            ("services nas", Order::Services(Some(id(1)))),
            ("forward nas/", Order::Services(Some(id(1)))),
            ("forward nas/web", Order::Forward(id(1), "web".to_owned())),
            (
                "forward \"Anna's laptop\"/web",
                Order::Forward(id(3), "web".to_owned()),
            ),
            ("copy ticket", Order::Do(Action::Copy(What::Ticket))),
            ("level warnings", Order::Level(Level::Warnings)),
            ("window 10min", Order::Window(Window::TenMinutes)),
            (
                "columns name,rtt why",
                Order::Columns(Some("name rtt why".parse().unwrap())),
            ),
            ("columns", Order::Columns(None)),
        ] {
            assert_eq!(read(text), Ok(Some(order)), "{text}");
        }
    }

    /// The command for what a key does; none for keys that move about, write, or answer what was asked.
    fn command(action: Action) -> Option<String> {
        let word = match action {
            Action::Accept
            | Action::Back
            | Action::Chord(_)
            | Action::Complete
            | Action::Filter
            | Action::Move(_)
            | Action::NextPanel
            | Action::PreviousPanel
            | Action::Prompt
            | Action::Recall(_)
            | Action::Scrub(_)
            | Action::Toward(_)
            | Action::Zoom(Zoom::In | Zoom::Out) => return None,
            Action::Ask(ask) => match ask {
                Ask::Ping => "ping",
                Ask::UntilDirect => "until-direct",
                Ask::Retry => "retry",
                Ask::NextPolicy | Ask::Policy(_) => "policy",
                Ask::ProbePair => "pairs probe",
                Ask::ForcePair => "pairs force",
                Ask::DropPair => "pairs drop",
                Ask::Disconnect => "disconnect",
                Ask::Block => "block",
                Ask::LetIn => "allow",
                Ask::Name => "rename",
            },
            Action::Book => "book",
            Action::Callers => "accept",
            Action::CancelTransfer => "cancel",
            Action::Connect => "connect",
            Action::Copy(what) => {
                let copied = COPIED.iter().find(|(_, it)| *it == what);
                let (word, _) = copied.unwrap_or_else(|| panic!("{what:?} has no word"));
                return Some(format!("copy {word}"));
            }
            Action::Details => "why",
            Action::Expand => "expand",
            Action::FaultsOnly => "faults",
            Action::Follow => "follow",
            Action::Freeze => "freeze",
            Action::Help => "help",
            Action::Hold => "pause",
            Action::Homes => "home",
            Action::Level => "level",
            Action::Network(NetworkRequest::Measure) => "measure",
            Action::Network(NetworkRequest::RenewMappings) => "renew",
            Action::Network(NetworkRequest::PreferHome(_)) => "home",
            Action::Open => "open",
            Action::Quit => "quit",
            Action::QuitKeepingScreen => "quit-keeping-screen",
            Action::Repaint => "repaint",
            Action::Reverse => "reverse",
            Action::Share => "share",
            Action::SortBy(column) => return Some(format!("sort {}", column.word())),
            Action::SortMenu => "sort",
            Action::Speed(Turn::Faster) => "faster",
            Action::Speed(Turn::Slower) => "slower",
            Action::Suspend => "suspend",
            Action::ToggleMask => "mask",
            Action::ToggleScale => "logarithm",
            Action::ToggleTree => "tree",
            Action::Tunnel => "services",
            Action::Wrap => "wrap",
            Action::View(view) => {
                let order = Order::Do(Action::View(view));
                let is_it = |word: &&str| read(word, &known()) == Ok(Some(order.clone()));
                return WORDS
                    .iter()
                    .map(|(word, _)| *word)
                    .find(is_it)
                    .map(str::to_owned);
            }
            Action::Zoom(Zoom::Reset) => "window",
        };
        Some(word.to_owned())
    }

    #[test]
    fn whatever_has_a_key_can_be_written_too() {
        for binding in BINDINGS {
            let is_view = matches!(binding.action, Action::View(_));
            match command(binding.action) {
                Some(line) => {
                    let order = read(&line, &known());
                    assert!(matches!(order, Ok(Some(_))), "{line}: {order:?}");
                }
                None => assert!(!is_view, "{:?} has no word", binding.action),
            }
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
            ("pause h", "pause holiday.mov "),
            ("pairs f", "pairs force "),
            ("forward nas", "forward nas/ "),
            ("level w", "level warnings "),
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
