//! TCP and UDP over a link: a peer exposes local servers by name, another forwards a local port to one of them.
//!
//! Every TCP connection, and every one of a Unix socket, is one QUIC stream. The forwarding side opens it with a request (see `request`) and, in the same flight,
//! the first bytes of the connection; the exposing side answers with one byte, and both copy: a FIN becomes the end of the
//! stream and back, a TCP reset becomes a stream reset and back. Bytes arrive once and in order, or both ends see an error:
//! also when a node is killed. UDP goes in QUIC's datagrams, a flow for each client (see `udp`).

mod begin;
mod error;
mod expose;
mod forward;
mod held;
mod limit;
mod list;
mod local;
mod pace;
mod proxy;
mod request;
mod splice;
mod target;
mod udp;
mod usage;

#[cfg(test)]
mod tests;

pub use error::{ForwardError, Loss};
pub use expose::{Exposed, Offer};
pub use forward::{Forwarder, Transport};
pub use list::list;
pub use proxy::{AssociateCounts, Proxy, ProxyError};
pub use request::Obstacle;
pub use target::{Host, ParseTargetError, Target};
pub use udp::DatagramCounts;
pub use usage::Usage;

use std::{fmt, str::FromStr};

/// The application protocol.
pub const ALPN: &[u8] = b"peerway/tcp/2";

/// The name of an exposed server: 1 to 63 letters, digits, dots, hyphens and underscores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(String);

impl ServiceName {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 63;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceName {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, ParseNameError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if let Some(character) = text.chars().find(|c| !allowed(*c)) {
            return Err(ParseNameError::Character { character });
        }
        match text.len() {
            1..=Self::MAX_LEN => Ok(Self(text.to_owned())),
            found => Err(ParseNameError::Length { found }),
        }
    }
}

/// Why a text is no [`ServiceName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseNameError {
    /// Choose a shorter name, or any at all.
    #[error("a service name has 1 to 63 characters, this has {found}")]
    Length {
        /// Characters found.
        found: usize,
    },
    /// Leave the named character out.
    #[error(
        "{character:?} cannot be in a service name, which is made of letters, digits, dots, hyphens and underscores"
    )]
    Character {
        /// The first wrong one.
        character: char,
    },
}
