//! Which paths the node that runs here takes to a peer.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap_complete::ArgValueCandidates;
use peerway::PathPolicy;

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
