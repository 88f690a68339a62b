//! Which paths the node that runs here takes to a peer.

use std::{net::SocketAddr, str::FromStr};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap_complete::ArgValueCandidates;
use peerway::{PairAction, PathPolicy};

use super::{super::completion, values::PeerName};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PolicyArgs {
    /// Name in the address book, ticket or id; of a peer that was dialled before, 8 letters of its id
    #[arg(add = ArgValueCandidates::new(completion::names))]
    pub(in crate::cli) peer: PeerName,

    /// Which paths may carry its data, as long as the node runs; without one, those that may are printed
    #[arg(value_parser = policies())]
    pub(in crate::cli) policy: Option<PathPolicy>,
}

fn policies() -> impl TypedValueParser<Value = PathPolicy> {
    let words = [
        PossibleValue::new("auto").help("the best there is"),
        PossibleValue::new("relay-only").help("relays alone"),
        PossibleValue::new("direct-only").help("direct ones or none"),
    ];
    PossibleValuesParser::new(words).try_map(|word| word.parse::<PathPolicy>())
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct PairsArgs {
    /// Name in the address book, ticket or id; of a peer that was dialled before, 8 letters of its id
    #[arg(add = ArgValueCandidates::new(completion::names))]
    pub(in crate::cli) peer: PeerName,

    /// What to do with one of them, as long as the link lasts; without it, they are listed
    action: Option<PairWord>,

    /// Its address, as it is listed
    #[arg(
        value_name = "ADDR",
        required_if_eq_any([("action", "probe"), ("action", "force"), ("action", "release"), ("action", "drop")]),
        add = ArgValueCandidates::new(completion::pairs)
    )]
    addr: Option<PairAddr>,
}

/// What is wanted of a peer's pairs.
pub(in crate::cli) enum PairsAsk {
    List,
    /// That a direct path is looked for at all of them.
    Retry,
    Choose(PairAction, PairAddr),
}

impl PairsArgs {
    pub(in crate::cli) fn ask(&self) -> PairsAsk {
        let action = match self.action {
            None => return PairsAsk::List,
            Some(PairWord::Retry) => return PairsAsk::Retry,
            Some(PairWord::Probe) => PairAction::Probe,
            Some(PairWord::Force) => PairAction::Force,
            Some(PairWord::Release) => PairAction::Release,
            Some(PairWord::Drop) => PairAction::Drop,
        };
        // clap asks for it.
        self.addr
            .map_or(PairsAsk::List, |addr| PairsAsk::Choose(action, addr))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum PairWord {
    /// Ask whether it answers
    Probe,
    /// Send to the peer by this address, until it dies
    Force,
    /// Send to it by the best address again
    Release,
    /// Leave it alone, until retry or until the network changes
    Drop,
    /// Look for a direct path at all of them, dropped ones too
    Retry,
}

/// The address of a pair, over TCP or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct PairAddr {
    pub(in crate::cli) remote: SocketAddr,
    pub(in crate::cli) tcp: bool,
}

impl FromStr for PairAddr {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let over_tcp = text.strip_prefix("tcp://");
        let addr = over_tcp.unwrap_or(text).parse();
        let remote = addr.map_err(
            |_| "give an address as `peerway pairs PEER` lists it: IP:PORT or tcp://IP:PORT",
        )?;
        Ok(Self {
            remote,
            tcp: over_tcp.is_some(),
        })
    }
}
