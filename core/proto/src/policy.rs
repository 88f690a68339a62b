//! Which paths lead to a peer, as the user wants it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which paths may carry the data of one peer, for as long as the node runs.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PathPolicy {
    /// The best there is: direct where that can be had, by a relay until then.
    #[default]
    Auto,
    /// By relays alone, also while there is a direct path: from then on none of the peer's addresses is sent to, and this node tells
    /// it none of its own, and has the relay tell it none.
    RelayOnly,
    /// Directly or not at all: relays carry what leads to a direct path, and no data; what the peer sends by them is not taken.
    DirectOnly,
    /// Something that newer versions know; to set it changes nothing.
    #[serde(other)]
    Unknown,
}

/// What is to be done with one of a peer's [pairs](crate::CandidatePair).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PairAction {
    /// It is asked now, whether there is another path or not.
    Probe,
    /// What this node sends goes by it as soon as it answers, until it dies, is released, or the link ends: a pair that is better is
    /// not taken. One that does not answer is released at once.
    Force,
    /// It is as any other again.
    Release,
    /// It is neither used nor probed, and the peer's probes from there are not answered, until somebody has a direct path looked for, the
    /// network changes, or it is probed or forced.
    Drop,
    /// Something that newer versions know; nothing is done.
    #[serde(other)]
    Unknown,
}

/// It is none of the policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no such policy: give auto, relay-only or direct-only")]
#[non_exhaustive]
pub struct ParsePolicyError;

impl PathPolicy {
    /// Whether it is the one that peers have of which nothing else was said.
    #[must_use]
    pub fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

/// As it is written on a command line: `auto`, `relay-only`, `direct-only`.
impl fmt::Display for PathPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::RelayOnly => "relay-only",
            Self::DirectOnly => "direct-only",
            Self::Unknown => "unknown",
        })
    }
}

impl FromStr for PathPolicy {
    type Err = ParsePolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "relay-only" => Ok(Self::RelayOnly),
            "direct-only" => Ok(Self::DirectOnly),
            _ => Err(ParsePolicyError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_as_it_is_written_and_nothing_else_is_one() {
        for policy in [
            PathPolicy::Auto,
            PathPolicy::RelayOnly,
            PathPolicy::DirectOnly,
        ] {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        for other in ["", "unknown", "relay_only", "Auto"] {
            assert_eq!(other.parse::<PathPolicy>(), Err(ParsePolicyError));
        }
    }
}
