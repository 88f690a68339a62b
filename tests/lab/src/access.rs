//! How a home is connected, and how that is written.

use std::{fmt, str::FromStr};

use super::NatKind;

const WITH_IPV6: &str = "+ipv6";
const ONLY_IPV6: &str = "ipv6-only";

/// How a home is connected: what its NAT does to IPv4, and whether it has IPv6 too. IPv6 is never translated: hosts have
/// global addresses behind a firewall that lets answers in, public ones none.
///
/// Written as the name of the NAT with `+ipv6` behind it, or `ipv6-only`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_structs,
    reason = "there are these two versions of IP"
)]
pub struct Access {
    /// What stands before the IPv4 internet, or none where there is no IPv4.
    pub ipv4: Option<NatKind>,
    /// Whether there is IPv6.
    pub ipv6: bool,
}

impl Access {
    /// No IPv4 at all.
    pub const IPV6_ONLY: Self = Self {
        ipv4: None,
        ipv6: true,
    };

    /// The routers in front of the host, from the internet inwards. Without IPv4 it is one that has nothing to translate.
    pub(super) fn routers(self) -> &'static [NatKind] {
        self.ipv4.unwrap_or(NatKind::PortRestricted).routers()
    }
}

impl From<NatKind> for Access {
    fn from(nat: NatKind) -> Self {
        Self {
            ipv4: Some(nat),
            ipv6: false,
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(nat) = self.ipv4 else {
            return f.write_str(ONLY_IPV6);
        };
        f.write_str(nat.name())?;
        f.write_str(if self.ipv6 { WITH_IPV6 } else { "" })
    }
}

impl FromStr for Access {
    type Err = ParseAccessError;

    fn from_str(text: &str) -> Result<Self, ParseAccessError> {
        if text == ONLY_IPV6 {
            return Ok(Self::IPV6_ONLY);
        }
        let (name, ipv6) = match text.strip_suffix(WITH_IPV6) {
            Some(name) => (name, true),
            None => (text, false),
        };
        let nat = NatKind::ALL.into_iter().find(|nat| nat.name() == name);
        let ipv4 = Some(nat.ok_or(ParseAccessError)?);
        Ok(Self { ipv4, ipv6 })
    }
}

/// A word that names no kind of home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a kind of home: the kinds are {}, each with {WITH_IPV6} after it if there is IPv6 beside it, and {ONLY_IPV6}",
    kinds()
)]
#[non_exhaustive]
pub struct ParseAccessError;

fn kinds() -> String {
    NatKind::ALL.map(NatKind::name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_home_is_read_as_it_is_written() {
        let written = NatKind::ALL.into_iter().flat_map(|nat| {
            let plain = Access::from(nat);
            [
                plain,
                Access {
                    ipv6: true,
                    ..plain
                },
            ]
        });
        for access in written.chain([Access::IPV6_ONLY]) {
            assert_eq!(access.to_string().parse(), Ok(access));
        }
    }

    #[test]
    fn other_words_name_no_home() {
        for text in ["", "cone", "+ipv6", "ipv6-only+ipv6", "Public"] {
            assert_eq!(text.parse::<Access>(), Err(ParseAccessError), "{text}");
        }
    }
}
