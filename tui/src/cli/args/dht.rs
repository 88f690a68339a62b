//! What the commands have to do with the Mainline DHT.

use clap::builder::FalseyValueParser;

#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::cli) struct DhtArgs {
    /// Neither look peers up in the Mainline DHT nor publish there where this computer is
    #[arg(long, global = true, env = "PEERWAY_NO_DHT", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) no_dht: bool,

    /// Node of a DHT of your own to begin with, as in 192.0.2.7:6881, in place of those that everybody begins with; may be repeated
    #[arg(
        long = "dht-node",
        global = true,
        value_name = "HOST:PORT",
        env = "PEERWAY_DHT_NODE",
        value_delimiter = ','
    )]
    pub(in crate::cli) dht_nodes: Vec<String>,

    /// Publish for everybody who knows this computer's id, and not for those alone who have a ticket
    #[arg(long, global = true, env = "PEERWAY_PUBLIC", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) public: bool,

    /// Publish this computer's public addresses too, and not its relays alone
    #[arg(long, global = true, env = "PEERWAY_PUBLISH_ADDRESSES", value_parser = FalseyValueParser::new(), conflicts_with = "relay_only")]
    pub(in crate::cli) publish_addresses: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct IdArgs {
    /// Have what this computer publishes be found with new tickets only
    #[arg(long, env = "PEERWAY_ROTATE_DISCOVERY", value_parser = FalseyValueParser::new())]
    pub(in crate::cli) rotate_discovery: bool,
}
