//! What the demo prints, with the time since its start.

use std::{
    fmt,
    io::{self, Write as _},
    net::IpAddr,
    time::Duration,
};

use peerway::{
    Event, EventKind, Explanation, NatReport, PathInfo, PeerId, PortAllocation, RelayUrl,
};
use serde::Serialize;
use tokio::time::Instant;

/// Stdout, unless a dashboard has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeline {
    form: Form,
    started: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Silent,
    Text,
    /// Text that also tells what is tried and why.
    Attempts,
    Json,
}

/// Something the demo did itself; in JSON the tag is `event`, as with the events of nodes.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Step {
    Homes {
        a: IpAddr,
        b: IpAddr,
        kinds: [String; 2],
    },
    Loopback {
        why: String,
    },
    Relay {
        url: RelayUrl,
    },
    Ready {
        home: char,
        id: PeerId,
    },
    Unregistered {
        home: char,
    },
    Exchanged {
        bytes: usize,
        hash: String,
        took_ms: f64,
        path_kind: &'static str,
    },
    Summary(Summary),
    Nat {
        home: char,
        nat: NatReport,
    },
    Outcome(Box<Outcome>),
}

/// What one dial came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    /// From the dial to the established connection.
    pub(super) connected_ms: f64,
    /// From the dial to the direct path, if there was one.
    pub(super) direct_ms: Option<f64>,
    /// Sent straight to the other home, by A and by B.
    pub(super) packets: [u64; 2],
    /// Why it is so, as the node in home A sees it.
    pub(super) a: Option<Explanation>,
    /// The same in home B.
    pub(super) b: Option<Explanation>,
}

/// The last line.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Summary {
    /// From the dial to the established connection.
    pub(super) connected_ms: f64,
    /// From the dial to the direct path.
    pub(super) direct_ms: f64,
    /// Sent both ways together, and proven to have arrived.
    pub(super) bytes: usize,
    pub(super) path_kind: &'static str,
}

impl Timeline {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            started: Instant::now(),
        }
    }

    pub(super) fn step(&self, step: &Step) {
        match self.form {
            Form::Silent => {}
            Form::Text | Form::Attempts => self.text(step),
            Form::Json => self.object(None, step),
        }
    }

    /// An event of the node in a home. Text leaves out those that only matter to scripts.
    pub(super) fn node(&self, home: char, event: &Event) {
        let words = match self.form {
            Form::Silent => None,
            Form::Json => return self.object(Some(home), event),
            Form::Text => words(&event.kind),
            Form::Attempts => words(&event.kind).or_else(|| reason(&event.kind)),
        };
        if let Some(words) = words {
            self.text(&format!("home {home}: {words}"));
        }
    }

    fn text(&self, line: &impl fmt::Display) {
        self.line(format!(
            "{:7.3} s  {line}\n",
            self.started.elapsed().as_secs_f64()
        ));
    }

    fn object(&self, home: Option<char>, what: &impl Serialize) {
        #[derive(Serialize)]
        struct Line<'a, T> {
            elapsed_ms: f64,
            #[serde(skip_serializing_if = "Option::is_none")]
            home: Option<char>,
            #[serde(flatten)]
            what: &'a T,
        }
        let elapsed_ms = milliseconds(self.started.elapsed());
        match serde_json::to_string(&Line {
            elapsed_ms,
            home,
            what,
        }) {
            Ok(line) => self.line(line + "\n"),
            Err(error) => tracing::error!(%error, "an event cannot be shown"),
        }
    }

    /// Whole lines at once. Where nobody reads any more, the exit code still tells.
    fn line(&self, line: String) {
        let mut stdout = io::stdout().lock();
        let _ = stdout
            .write_all(line.as_bytes())
            .and_then(|()| stdout.flush());
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Homes { a, b, kinds } => write!(
                f,
                "home A ({}) at {a}, home B ({}) at {b}, and a relay, in namespaces of this computer",
                kinds[0], kinds[1]
            ),
            Self::Loopback { why } => {
                write!(f, "two nodes and a relay on loopback, without NATs: {why}")
            }
            Self::Relay { url } => write!(f, "relay: {url}"),
            Self::Ready { home, id } => write!(
                f,
                "home {home}: registered with the relay as {}",
                id.short()
            ),
            Self::Unregistered { home } => {
                write!(f, "home {home}: nothing came back from the relay")
            }
            Self::Exchanged {
                bytes,
                hash,
                took_ms,
                path_kind,
            } => write!(
                f,
                "{} MiB each way in {took_ms:.0} ms, now {path_kind}, intact: blake2s {}…",
                bytes >> 20,
                hash.get(..16).unwrap_or_default()
            ),
            Self::Summary(summary) => write!(
                f,
                "connected {:.0} ms after the dial, direct after {:.0} ms; {} MiB arrived intact",
                summary.connected_ms,
                summary.direct_ms,
                summary.bytes >> 20
            ),
            Self::Nat { home, nat } => write!(f, "home {home}: {}", behavior(nat)),
            Self::Outcome(outcome) => outcome.fmt(f),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = self.packets;
        match self.direct_ms {
            Some(direct) => write!(f, "direct {direct:.0} ms after the dial")?,
            None => f.write_str("not direct: the relay carries the data")?,
        }
        write!(f, "; packets straight to each other: {a} by A, {b} by B")?;
        for (home, why) in [('A', &self.a), ('B', &self.b)] {
            if let Some(why) = why {
                write!(f, "\n  home {home}: {}. {}", why.line(), why.paragraph())?;
            }
        }
        Ok(())
    }
}

/// A NAT in the words of RFC 4787.
fn behavior(nat: &NatReport) -> String {
    let ports = match nat.allocation {
        PortAllocation::Unknown => String::new(),
        PortAllocation::Sequential { step } => format!(", ports in steps of {step}"),
        PortAllocation::Random { first, last } => {
            format!(", ports at random from {first} to {last}")
        }
    };
    format!(
        "NAT with {} mapping and {} filtering{ports}",
        nat.mapping, nat.filtering
    )
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 100.0
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other events only matter to scripts"
)]
fn words(event: &EventKind) -> Option<String> {
    match event {
        EventKind::PublicAddress { addr } => Some(format!("seen from the internet as {addr}")),
        EventKind::PathChanged {
            path: Some(PathInfo::Relay { .. }),
            ..
        } => Some("data goes through the relay".to_owned()),
        EventKind::PathChanged {
            path: Some(PathInfo::Direct { remote, tcp, .. }),
            ..
        } => Some(format!(
            "data goes directly to {remote}{}",
            if *tcp { " over TCP" } else { "" }
        )),
        EventKind::PathChanged { path: None, .. } => Some("no path left".to_owned()),
        EventKind::Connected { outgoing: true, .. } => Some("connected".to_owned()),
        _ => None,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other events have no reasons"
)]
fn reason(event: &EventKind) -> Option<String> {
    match event {
        EventKind::PeerState { why: Some(why), .. } | EventKind::Explained { why, .. } => {
            Some(why.line())
        }
        EventKind::PortMapped {
            mapping: Some(mapping),
        } => Some(format!("the router forwards {}", mapping.external)),
        _ => None,
    }
}
