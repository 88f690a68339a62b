//! How what is written for an argument is read.

use std::{
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use peerway::{
    ParseIdError, ParseTicketError, PeerId, Ticket,
    services::{
        ParseRateError, Rate,
        invite::{Invitation, ParseInvitationError},
        tunnel::{ParseNameError, ParseTargetError, ServiceName, Target},
    },
};

use crate::{
    book::{Name, NameError, is_like_a_ticket},
    dash::filter::{About, Filter, FilterError},
    kept::{LimitError, LimitPart, Local, ParseLocalError},
};

/// What a peer is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum PeerName {
    /// By a ticket or its id.
    Ticket(Ticket),
    /// By a ticket with an invitation, which lets in whoever dials with it.
    Invited(Ticket, Invitation),
    /// By its name in the address book, or the first letters of its id.
    Called(String),
}

/// A code of `peerway send`, or a folder. What comes is files with names, which stdout has no place for.
pub(super) fn code_or_folder(text: &str) -> Result<String, &'static str> {
    match text {
        "-" => {
            Err("files go into a folder, not to stdout: name one, or `./-` for one of that name")
        }
        _ => Ok(text.to_owned()),
    }
}

/// What a file is called that has no name yet.
pub(super) fn file_name(text: &str) -> Result<String, &'static str> {
    match text.trim().is_empty() {
        true => Err("a file has a name of a letter at least"),
        false => Ok(text.to_owned()),
    }
}

/// Whether this may be the beginning of an id, of at least [`PeerId::SHORT_LEN`] letters.
pub(in crate::cli) fn is_start_of_id(text: &str) -> bool {
    (PeerId::SHORT_LEN..PeerId::TEXT_LEN).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'2'..=b'7'))
}

impl FromStr for PeerName {
    type Err = ArgError;

    fn from_str(text: &str) -> Result<Self, ArgError> {
        if is_like_a_ticket(text) {
            return Ok(match text.split_once('+') {
                Some((ticket, invitation)) => Self::Invited(ticket.parse()?, invitation.parse()?),
                None => Self::Ticket(text.parse()?),
            });
        }
        if is_start_of_id(text) {
            return Ok(Self::Called(text.to_owned()));
        }
        match text.parse::<Name>() {
            Ok(_) => Ok(Self::Called(text.to_owned())),
            // Too long for a name, so it was to be an id.
            Err(NameError::Length { chars: 1.. }) => {
                Ok(Self::Ticket(text.parse::<PeerId>()?.into()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A server to expose, with its name if it has one here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Offered {
    pub(in crate::cli) name: Option<ServiceName>,
    pub(in crate::cli) target: Target,
}

pub(super) fn offered(text: &str) -> Result<Offered, ArgError> {
    let (name, target) = named(text)?;
    let target = target.parse()?;
    Ok(Offered { name, target })
}

/// Who may reach a server, or any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Allowed {
    pub(in crate::cli) service: Option<ServiceName>,
    pub(in crate::cli) who: Name,
}

pub(super) fn allowed(text: &str) -> Result<Allowed, ArgError> {
    let (service, who) = named(text)?;
    let who = who.strip_prefix('@').unwrap_or(who).parse()?;
    Ok(Allowed { service, who })
}

/// How much may pass to a server and back, or to each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Limited {
    pub(in crate::cli) service: Option<ServiceName>,
    pub(in crate::cli) rate: Rate,
}

pub(super) fn limited(text: &str) -> Result<Limited, ArgError> {
    let (service, rate) = named(text)?;
    let rate = rate.parse()?;
    Ok(Limited { service, rate })
}

/// How much is sent of what is shared, at some hours or always; none for no limit.
pub(super) fn upload_limit(text: &str) -> Result<Option<LimitPart>, LimitError> {
    match text {
        "none" => Ok(None),
        _ => Ok(Some(text.parse()?)),
    }
}

/// What stands before the first `=`, and the rest.
fn named(text: &str) -> Result<(Option<ServiceName>, &str), ArgError> {
    match text.split_once('=') {
        // A path may contain one.
        Some((name, rest)) if !name.contains(':') => Ok((Some(name.parse()?), rest)),
        _ => Ok((None, text)),
    }
}

/// A named server at a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Service {
    pub(in crate::cli) peer: PeerName,
    pub(in crate::cli) name: ServiceName,
}

impl FromStr for Service {
    type Err = ArgError;

    fn from_str(text: &str) -> Result<Self, ArgError> {
        let (peer, name) = text.split_once('/').ok_or(ArgError::NoSlash)?;
        Ok(Self {
            peer: peer.parse()?,
            name: service_name(name)?,
        })
    }
}

#[cfg(unix)]
pub(super) fn event_filter(text: &str) -> Result<Filter, FilterError> {
    Filter::parse(text, About::Events)
}

pub(super) fn peer_filter(text: &str) -> Result<Filter, FilterError> {
    Filter::parse(text, About::Peers)
}

pub(super) fn service_name(text: &str) -> Result<ServiceName, ArgError> {
    Ok(text.parse()?)
}

/// Without an address it is every one of this computer.
pub(super) fn address(text: &str) -> Result<SocketAddr, ArgError> {
    let port: Option<u16> = text.strip_prefix(':').unwrap_or(text).parse().ok();
    let everywhere = port.map(|port| (Ipv4Addr::UNSPECIFIED, port).into());
    everywhere
        .map_or_else(|| text.parse(), Ok)
        .map_err(|_| ArgError::Address)
}

pub(super) fn server(text: &str) -> Result<SocketAddr, ArgError> {
    Local::addr(text).map_err(|_| ArgError::Server)
}

/// Of what is to be shown.
pub(super) fn count(text: &str) -> Result<usize, ArgError> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or(ArgError::Count)
}

/// A day.
const MAX_SECONDS: f64 = 86_400.0;
/// A year.
const MAX_TIME_S: u64 = 366 * 86_400;

pub(super) fn seconds(text: &str) -> Result<Duration, ArgError> {
    text.parse()
        .ok()
        .filter(|seconds| *seconds > 0.0 && *seconds <= MAX_SECONDS)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or(ArgError::Seconds)
}

/// With its unit, as people say it.
pub(super) fn time(text: &str) -> Result<Duration, ArgError> {
    let (number, unit) =
        text.split_at(text.len() - text.chars().next_back().map_or(0, char::len_utf8));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(ArgError::Time),
    };
    let number: u64 = number.parse().map_err(|_| ArgError::Time)?;
    let seconds = number.checked_mul(seconds);
    let seconds = seconds.filter(|seconds| (1..=MAX_TIME_S).contains(seconds));
    seconds.map(Duration::from_secs).ok_or(ArgError::Time)
}

/// Bytes, with a unit of a thousand of the next smaller one each.
pub(super) fn size(text: &str) -> Result<u64, ArgError> {
    let end = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor = match &text[end.len()..] {
        "" => 1,
        "k" | "K" => 1_000,
        "m" | "M" => 1_000_000,
        "g" | "G" => 1_000_000_000,
        "t" | "T" => 1_000_000_000_000,
        _ => return Err(ArgError::Size),
    };
    let number: u64 = end.parse().map_err(|_| ArgError::Size)?;
    number.checked_mul(factor).ok_or(ArgError::Size)
}

pub(super) fn measurement(text: &str) -> Result<Duration, ArgError> {
    match seconds(text) {
        Ok(duration) if duration <= peerway::services::speed::MAX_DURATION => Ok(duration),
        _ => Err(ArgError::Measurement),
    }
}

#[cfg(all(feature = "demo", target_os = "linux"))]
pub(super) fn percent(text: &str) -> Result<f64, ArgError> {
    let percent = text.parse().map_err(|_| ArgError::Percent)?;
    if (0.0..=100.0).contains(&percent) {
        Ok(percent)
    } else {
        Err(ArgError::Percent)
    }
}

/// Why an argument cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::cli) enum ArgError {
    #[error(
        "a peer is a ticket (PEERWAY1…), an id (52 characters) or a name in the address book: {0}"
    )]
    Peer(#[from] ParseIdError),
    #[error(
        "a peer is a ticket (PEERWAY1…), an id (52 characters) or a name in the address book: {0}"
    )]
    Called(#[from] NameError),
    #[error("{0}; the expected form is PEERWAY1…, as `peerway ticket` prints it")]
    Ticket(#[from] ParseTicketError),
    #[error("{0}; the expected form is PEERWAY1…+…, as `peerway invite` prints it")]
    Invitation(#[from] ParseInvitationError),
    #[error(
        "a service is PEER/NAME: the peer's name, ticket or id, a slash, and the name it exposes"
    )]
    NoSlash,
    #[error(
        "what a peer shares is PEER/NAME: the peer's name, ticket or id, a slash, and the name that `peerway browse PEER` shows"
    )]
    #[cfg(unix)]
    NoName,
    #[error(transparent)]
    Name(#[from] ParseNameError),
    #[error(
        "an address is IP:PORT, as in 127.0.0.1:8080 or [::1]:8080, or a port alone, as in 41641"
    )]
    Address,
    #[error(
        "a local address is IP:PORT, as in 127.0.0.1:8080 or [::1]:8080, or a port of this computer, as in 8080"
    )]
    Server,
    #[error("expected a number above 0")]
    Count,
    #[error(transparent)]
    Target(#[from] ParseTargetError),
    #[error(transparent)]
    Rate(#[from] ParseRateError),
    #[error(transparent)]
    Local(#[from] ParseLocalError),
    #[error("expected a number of seconds above 0 and at most 86400, as in 10 or 0.5")]
    Seconds,
    #[error("expected a time of up to a year, as in 30m, 24h or 7d")]
    Time,
    #[error("expected a number of bytes, as in 500M, 20G or 1T")]
    Size,
    #[error("expected a number of seconds above 0 and at most 60, as in 5")]
    Measurement,
    #[cfg(all(feature = "demo", target_os = "linux"))]
    #[error("expected a share of packets from 0 to 100, as in 5")]
    Percent,
}
