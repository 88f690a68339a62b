//! Which relay is meant, and where it is: [`RelayUrl`].

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    net::IpAddr,
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    identity::{ParseIdError, PeerId},
    invite::{InviteToken, ParseInviteError},
};

/// Where a relay is and which key it must have: `relay://KEY@HOST:PORT`.
///
/// The host is a DNS name or an IP address (IPv6 in brackets); the port defaults to [`RelayUrl::DEFAULT_PORT`].
///
/// The relay's operator may have added an invitation, `?invite=TOKEN`. It is for whoever got it and for the relay alone: neither the
/// text form nor a [`Ticket`](crate::Ticket) has it, and URLs that differ in nothing else are equal.
#[derive(Clone)]
pub struct RelayUrl {
    key: PeerId,
    host: Box<str>,
    port: u16,
    invite: Option<Box<InviteToken>>,
}

impl RelayUrl {
    /// The UDP and TCP port of a relay that names no other.
    pub const DEFAULT_PORT: u16 = 4433;

    /// A relay by key, host and port.
    ///
    /// # Errors
    /// [`ParseRelayUrlError::Host`] if the host is neither an IP address nor a DNS name (RFC 1123).
    pub fn new(key: PeerId, host: &str, port: u16) -> Result<Self, ParseRelayUrlError> {
        if host.parse::<IpAddr>().is_err() && !is_dns_name(host) {
            return Err(ParseRelayUrlError::Host {
                host: host.to_owned(),
            });
        }
        Ok(Self {
            key,
            host: host.into(),
            port,
            invite: None,
        })
    }

    /// The same relay with an invitation to it.
    #[must_use]
    pub fn with_invite(mut self, token: InviteToken) -> Self {
        self.invite = Some(Box::new(token));
        self
    }

    /// The invitation that came with the URL.
    #[must_use]
    pub fn invite(&self) -> Option<&InviteToken> {
        self.invite.as_deref()
    }

    /// The URL with its invitation, which is a secret, for whoever is to use it.
    #[doc(hidden)]
    #[must_use]
    pub fn with_its_invite(&self) -> String {
        match &self.invite {
            Some(token) => format!("{self}?invite={}", token.reveal()),
            None => self.to_string(),
        }
    }

    pub(crate) fn forget_invite(&mut self) {
        self.invite = None;
    }

    fn identity(&self) -> (&PeerId, &str, u16) {
        (&self.key, &self.host, self.port)
    }

    /// The relay's key.
    #[must_use]
    pub fn key(&self) -> PeerId {
        self.key
    }

    /// Its DNS name or IP address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is, for people: host and port, an IPv6 address in brackets.
    #[must_use]
    pub fn place(&self) -> String {
        let brackets = self.host.contains(':');
        let (open, close) = if brackets { ("[", "]") } else { ("", "") };
        format!("{open}{}{close}:{}", self.host, self.port)
    }
}

/// RFC 1123 section 2.1: labels of letters, digits and hyphens; an all-numeric name would be a mistyped address.
fn is_dns_name(host: &str) -> bool {
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253
        && host
            .strip_suffix('.')
            .unwrap_or(host)
            .split('.')
            .all(label_ok)
        && host.bytes().any(|b| b.is_ascii_alphabetic())
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "relay://{}@{}", self.key, self.place())
    }
}

impl FromStr for RelayUrl {
    type Err = ParseRelayUrlError;

    fn from_str(text: &str) -> Result<Self, ParseRelayUrlError> {
        let rest = text
            .strip_prefix("relay://")
            .ok_or(ParseRelayUrlError::Scheme)?;
        let (key, authority) = rest.split_once('@').ok_or(ParseRelayUrlError::NoKey)?;
        let key = key.parse()?;
        let (authority, invite) = match authority.split_once("?invite=") {
            Some((authority, token)) => (authority, Some(Box::new(token.parse()?))),
            None => (authority, None),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = if let Some(v6) = authority.strip_prefix('[') {
            let (host, after) = v6.split_once(']').ok_or_else(|| ParseRelayUrlError::Host {
                host: authority.to_owned(),
            })?;
            (host, after.strip_prefix(':'))
        } else {
            match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            }
        };
        let port = match port {
            None => Self::DEFAULT_PORT,
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => {
                    return Err(ParseRelayUrlError::Port {
                        port: port.to_owned(),
                    });
                }
            },
        };
        let url = Self::new(key, host, port)?;
        Ok(Self { invite, ..url })
    }
}

impl fmt::Debug for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelayUrl({self})")
    }
}

impl PartialEq for RelayUrl {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for RelayUrl {}

impl PartialOrd for RelayUrl {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RelayUrl {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl Hash for RelayUrl {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl Serialize for RelayUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RelayUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Why a text is no [`RelayUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseRelayUrlError {
    /// Write the URL as the relay printed it.
    #[error("a relay URL starts with relay://, as in relay://KEY@relay.example.org:4433")]
    Scheme,
    /// The key is what makes the relay trustworthy; copy the whole URL that it printed.
    #[error("the relay URL has no key before an @, as in relay://KEY@relay.example.org:4433")]
    NoKey,
    /// The part before the @ is damaged.
    #[error("in the relay URL's key: {0}")]
    Key(#[from] ParseIdError),
    /// Name a host by DNS name or IP address.
    #[error("the relay URL's host {host:?} is neither a DNS name nor an IP address")]
    Host {
        /// What stood there.
        host: String,
    },
    /// Copy the whole URL that the operator gave you.
    #[error("in the relay URL: {0}")]
    Invite(#[from] ParseInviteError),
    /// Ports are numbers from 1 to 65535.
    #[error("the relay URL's port {port:?} is not a number from 1 to 65535")]
    Port {
        /// What stood there.
        port: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    fn id(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    #[test]
    fn a_relay_url_survives_its_text_form() {
        for host in ["relay.example.org", "192.0.2.7", "2001:db8::7"] {
            let url = RelayUrl::new(id(2), host, 443).unwrap();
            assert_eq!(url.to_string().parse(), Ok(url));
        }
        let without_port: RelayUrl = format!("relay://{}@relay.example.org", id(2))
            .parse()
            .unwrap();
        assert_eq!(without_port.port(), RelayUrl::DEFAULT_PORT);
    }

    #[test]
    fn a_malformed_relay_url_names_its_wrong_part() {
        let key = id(2);
        let error = |text: &str| text.parse::<RelayUrl>().unwrap_err();
        assert_eq!(
            error("https://relay.example.org"),
            ParseRelayUrlError::Scheme
        );
        assert_eq!(
            error("relay://relay.example.org"),
            ParseRelayUrlError::NoKey
        );
        assert!(matches!(
            error("relay://abc@relay.example.org"),
            ParseRelayUrlError::Key(_)
        ));
        assert!(matches!(
            error(&format!("relay://{key}@a b")),
            ParseRelayUrlError::Host { .. }
        ));
        assert!(matches!(
            error(&format!("relay://{key}@1.2.3")),
            ParseRelayUrlError::Host { .. }
        ));
        assert!(matches!(
            error(&format!("relay://{key}@host:0")),
            ParseRelayUrlError::Port { .. }
        ));
    }
}
