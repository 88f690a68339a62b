//! Links of networks that are kept: [`Whom`] with, and on which [`LinkTerms`].

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{State, check_peer};

/// A peer: a name of the address book, a ticket or an id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Whom(String);

impl Whom {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Whom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        check_peer(text)?;
        Ok(Self(text.to_owned()))
    }
}

/// What the peer may reach of this home, and what is reached of that which it advertises.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkTerms {
    pub(crate) advertise: Vec<Range>,
    pub(crate) accept: Vec<Range>,
}

/// A range of addresses that can be linked. Where this program cannot link, any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range(String);

impl Range {
    #[cfg(all(feature = "subnet", target_os = "linux"))]
    pub(crate) fn net(&self) -> Option<peerway::services::subnet::IpNet> {
        self.0.parse().ok()
    }
}

#[cfg(all(feature = "subnet", target_os = "linux"))]
impl From<peerway::services::subnet::IpNet> for Range {
    fn from(net: peerway::services::subnet::IpNet) -> Self {
        Self(net.to_string())
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Range {
    type Err = String;

    #[cfg(all(feature = "subnet", target_os = "linux"))]
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(crate::linking::range(text)?.to_string()))
    }

    #[cfg(not(all(feature = "subnet", target_os = "linux")))]
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

/// A link; no state while no node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkLine {
    pub(crate) peer: String,
    pub(crate) advertise: Vec<String>,
    pub(crate) accept: Vec<String>,
    pub(crate) state: Option<State>,
    pub(crate) reason: Option<String>,
    #[serde(flatten)]
    pub(crate) linked: Linked,
}

impl LinkLine {
    pub(super) fn of(whom: &Whom, terms: &LinkTerms) -> Self {
        let texts = |ranges: &[Range]| ranges.iter().map(Range::to_string).collect();
        Self {
            peer: whom.to_string(),
            advertise: texts(&terms.advertise),
            accept: texts(&terms.accept),
            state: None,
            reason: None,
            linked: Linked::default(),
        }
    }
}

/// What there is of a link; nothing while there is no device, or while the peer was not there yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Linked {
    pub(crate) device: Option<String>,
    /// Addresses of this computer on it.
    pub(crate) own: Vec<IpAddr>,
    /// Those of the peer, as they are reached from here.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) routes: Vec<Route>,
    pub(crate) refused: Vec<Refused>,
}

/// A range of a peer's home, and as what it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) net: String,
    pub(crate) seen_as: String,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { net, seen_as } = self;
        if net == seen_as {
            return write!(f, "{net} is reached");
        }
        write!(
            f,
            "{net} is reached as {seen_as}: this side has such addresses too, so each host there has the same place in that range"
        )
    }
}

/// A range that is not reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) net: String,
    pub(crate) why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not reached: {}", self.net, self.why)
    }
}
