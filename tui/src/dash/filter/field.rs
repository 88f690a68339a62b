//! What a filter may ask about.

use strsim::jaro_winkler;

/// What a filter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Peers,
    Events,
    /// Members of groups, and pairs of them.
    Groups,
    /// Content that is shared and fetched.
    Shares,
    /// Who belongs to the groups that were joined.
    Members,
    /// What was said in them.
    Posts,
    /// What the links are used for: connections, transfers, forwards and servers.
    Flows,
}

/// A field that is words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Name,
    Id,
    /// How the peer is reached, in one word.
    State,
    /// The same, and by what.
    Path,
    /// Why it is not direct.
    Why,
    /// What the address book says of it.
    Trust,
    /// What kind of event it is.
    Event,
    /// Whether somebody should look at it.
    Level,
    /// The sentence that tells of it.
    Text,
    /// The group that a member or a pair is of.
    Group,
    /// The NAT in front of a member.
    Nat,
    /// What a member may do.
    Role,
    /// Whether content is a file or a folder, or which table a flow is in.
    Kind,
    /// A peer that has some of it, or is at its other end.
    Peer,
    /// What a connection is for.
    Protocol,
}

/// A field that is a number, in the unit that is said here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// Milliseconds.
    Rtt,
    /// Percent.
    Loss,
    /// Bytes a second.
    Down,
    /// Bytes a second.
    Up,
    /// Bytes in both directions.
    Total,
    /// Seconds since the state is as it is.
    Age,
    /// Bytes.
    Size,
    /// Percent that is here.
    Done,
    /// Peers that have some of it.
    Holders,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Word(Word),
    Number(Number),
}

/// How close a word must be to be what was meant.
const LIKENESS: f64 = 0.8;

const FIELDS: [(&str, Field); 24] = [
    ("name", Field::Word(Word::Name)),
    ("id", Field::Word(Word::Id)),
    ("state", Field::Word(Word::State)),
    ("path", Field::Word(Word::Path)),
    ("why", Field::Word(Word::Why)),
    ("trust", Field::Word(Word::Trust)),
    ("rtt", Field::Number(Number::Rtt)),
    ("loss", Field::Number(Number::Loss)),
    ("down", Field::Number(Number::Down)),
    ("up", Field::Number(Number::Up)),
    ("total", Field::Number(Number::Total)),
    ("age", Field::Number(Number::Age)),
    ("event", Field::Word(Word::Event)),
    ("level", Field::Word(Word::Level)),
    ("text", Field::Word(Word::Text)),
    ("group", Field::Word(Word::Group)),
    ("nat", Field::Word(Word::Nat)),
    ("role", Field::Word(Word::Role)),
    ("kind", Field::Word(Word::Kind)),
    ("peer", Field::Word(Word::Peer)),
    ("protocol", Field::Word(Word::Protocol)),
    ("size", Field::Number(Number::Size)),
    ("done", Field::Number(Number::Done)),
    ("holders", Field::Number(Number::Holders)),
];

/// What `state` may be.
const STATES: &[&str] = &[
    "direct",
    "suspect",
    "relay",
    "connecting",
    "idle",
    "unreachable",
];
/// What `state` of a member may be.
const PRESENCES: &[&str] = &["here", "fresh", "stale", "left", "silent"];
/// What `state` of content may be.
const CONTENT_STATES: &[&str] = &[
    "fetching", "waiting", "paused", "fetched", "shared", "changed",
];
/// What `state` of a member of a joined group may be, and of who was one.
const MEMBER_STATES: &[&str] = &["here", "online", "away", "left", "removed"];
/// What `state` of a post may be.
const POST_STATES: &[&str] = &["unread", "read"];
/// What `kind` of what the links are used for may be.
const FLOW_KINDS: &[&str] = &["connection", "transfer", "forward", "server"];
/// What `state` of these may be.
const FLOW_STATES: &[&str] = &[
    "open",
    "receiving",
    "sending",
    "fetching",
    "forwarding",
    "paused",
    "ready",
    "waiting",
    "failed",
];
/// What `path` between members may be.
const GROUP_PATHS: &[&str] = &["direct", "relay", "none", "v4", "v6", "lan", "tcp"];
/// What `path` may be.
const PATHS: &[&str] = &[
    "direct",
    "suspect",
    "relay",
    "connecting",
    "idle",
    "unreachable",
    "v4",
    "v6",
    "lan",
    "tcp",
];

impl About {
    const ALL: [Self; 7] = [
        Self::Peers,
        Self::Events,
        Self::Groups,
        Self::Shares,
        Self::Members,
        Self::Posts,
        Self::Flows,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Events => "events",
            Self::Groups => "groups",
            Self::Shares => "shares",
            Self::Members => "members of groups",
            Self::Posts => "posts",
            Self::Flows => "flows",
        }
    }
}

impl Field {
    /// The field of this name; or else what to say.
    pub(super) fn named(name: &str, about: About) -> Result<Self, String> {
        let name = name.to_lowercase();
        let found = FIELDS.iter().find(|(known, _)| *known == name);
        match found {
            Some((_, field)) if field.is_of(about) => Ok(*field),
            Some((_, field)) => {
                let of = About::ALL;
                let of = of.into_iter().find(|about| field.is_of(*about));
                let of = of.map_or("nothing", About::word);
                Err(format!("{name} is of {of}, not of {}", about.word()))
            }
            None => {
                let names = Self::names(about);
                Err(match nearest(&name, &names) {
                    Some(near) => format!("there is no field {name}; did you mean {near}?"),
                    None => format!("there is no field {name}; there is {}", names.join(", ")),
                })
            }
        }
    }

    pub(super) fn names(about: About) -> Vec<&'static str> {
        let of = FIELDS.iter().filter(|(_, field)| field.is_of(about));
        of.map(|(name, _)| *name).collect()
    }

    fn is_of(self, about: About) -> bool {
        use About::{Events, Flows, Groups, Members, Peers, Posts, Shares};
        let of: &[About] = match self {
            Self::Word(Word::Name | Word::Id | Word::State) => &About::ALL,
            Self::Word(Word::Path) | Self::Number(Number::Rtt) => {
                &[Peers, Events, Groups, Members, Flows]
            }
            Self::Word(Word::Why) => &[Peers, Events, Groups, Members],
            Self::Word(Word::Protocol) => &[Flows],
            Self::Word(Word::Event | Word::Level) => &[Events],
            Self::Word(Word::Text) => &[Events, Posts, Flows],
            Self::Number(Number::Down | Number::Up) => &[Peers, Groups, Shares, Flows],
            Self::Number(Number::Age) => &[Peers, Groups, Flows],
            Self::Word(Word::Group | Word::Nat) => &[Groups],
            Self::Word(Word::Role) => &[Members],
            Self::Word(Word::Kind | Word::Peer) | Self::Number(Number::Size | Number::Done) => {
                &[Shares, Flows]
            }
            Self::Number(Number::Holders) => &[Shares],
            Self::Number(Number::Total) => &[Peers, Shares, Flows],
            Self::Word(Word::Trust) | Self::Number(Number::Loss) => &[Peers],
        };
        of.contains(&about)
    }
}

impl Word {
    /// Whether a bare word is looked for in it.
    pub(super) fn is_searched(self) -> bool {
        match self {
            Self::Name | Self::Id | Self::Text | Self::Protocol => true,
            Self::State
            | Self::Path
            | Self::Why
            | Self::Trust
            | Self::Event
            | Self::Level
            | Self::Group
            | Self::Nat
            | Self::Role
            | Self::Kind
            | Self::Peer => false,
        }
    }

    /// What it may be, where that is a closed list.
    pub(super) fn values(self, about: About) -> Option<&'static [&'static str]> {
        match self {
            Self::State if about == About::Groups => Some(PRESENCES),
            Self::State if about == About::Shares => Some(CONTENT_STATES),
            Self::State if about == About::Members => Some(MEMBER_STATES),
            Self::State if about == About::Posts => Some(POST_STATES),
            Self::Role => Some(&["reader", "member", "admin", "founder"]),
            Self::State if about == About::Flows => Some(FLOW_STATES),
            Self::Kind if about == About::Flows => Some(FLOW_KINDS),
            Self::Kind => Some(&["file", "folder"]),
            Self::Path if about == About::Groups => Some(GROUP_PATHS),
            Self::State => Some(STATES),
            Self::Path => Some(PATHS),
            Self::Trust => Some(&["allow", "ask", "block"]),
            Self::Level => Some(&["info", "warn"]),
            Self::Name
            | Self::Id
            | Self::Why
            | Self::Event
            | Self::Text
            | Self::Group
            | Self::Nat
            | Self::Peer
            | Self::Protocol => None,
        }
    }
}

impl Number {
    /// How far what is shown as `value` may be from it: half of its last digit.
    pub(super) fn tolerance(self, value: f64) -> f64 {
        match self {
            Self::Rtt | Self::Age | Self::Done | Self::Holders => 0.5,
            Self::Loss => 0.05,
            Self::Down | Self::Up | Self::Total | Self::Size => {
                let mut scale = 1.0;
                while value >= 999.5 * scale {
                    scale *= 1000.0;
                }
                if scale > 1.0 && value < 99.95 * scale {
                    scale *= 0.1;
                }
                scale * 0.5
            }
        }
    }

    /// The number in its own unit; or else what to write.
    pub(super) fn read(self, text: &str) -> Result<f64, &'static str> {
        let (units, what): (&[(&str, f64)], _) = match self {
            Self::Rtt => (
                &[("ms", 1.0), ("s", 1000.0), ("", 1.0)],
                "a time is wanted, as in 100ms or 1s",
            ),
            Self::Loss | Self::Done => (&[("%", 1.0), ("", 1.0)], "percent are wanted, as in 1%"),
            Self::Holders => (&[("", 1.0)], "a number is wanted, as in 3"),
            Self::Down | Self::Up => (
                &[
                    ("kb/s", 1e3),
                    ("mb/s", 1e6),
                    ("gb/s", 1e9),
                    ("b/s", 1.0),
                    ("k", 1e3),
                    ("m", 1e6),
                    ("g", 1e9),
                    ("", 1.0),
                ],
                "bytes a second are wanted, as in 100k or 1.5M",
            ),
            Self::Total | Self::Size => (
                &[
                    ("kb", 1e3),
                    ("mb", 1e6),
                    ("gb", 1e9),
                    ("k", 1e3),
                    ("m", 1e6),
                    ("g", 1e9),
                    ("b", 1.0),
                    ("", 1.0),
                ],
                "bytes are wanted, as in 100k or 1.5G",
            ),
            Self::Age => (
                &[
                    ("s", 1.0),
                    ("m", 60.0),
                    ("h", 3600.0),
                    ("d", 86_400.0),
                    ("", 1.0),
                ],
                "a time is wanted, as in 90s, 5m, 2h or 1d",
            ),
        };
        let text = text.to_lowercase();
        units
            .iter()
            .find_map(|(unit, factor)| {
                let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
                (number.is_finite() && number >= 0.0).then_some(number * factor)
            })
            .ok_or(what)
    }
}

/// The word of a list that was probably meant.
pub(crate) fn nearest<'a>(word: &str, of: &[&'a str]) -> Option<&'a str> {
    let likeness = |known: &str| jaro_winkler(word, known);
    of.iter()
        .copied()
        .filter(|known| likeness(known) >= LIKENESS)
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}
