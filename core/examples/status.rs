//! What a node sees: its network, then whatever happens with one peer, and why its link is not direct.
//!
//! ```text
//! status TICKET
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::{error::Error, time::Duration};

use peerway::{Endpoint, Ticket, services::ping};
use tokio::time::timeout;

/// Those who can be direct are so by then.
const PATIENCE: Duration = Duration::from_secs(12);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ticket = std::env::args().nth(1).ok_or("usage: status TICKET")?;
    let peer: Ticket = ticket.parse()?;
    let relays = peer.relays().to_vec();
    let endpoint = Endpoint::builder().relays(relays).bind().await?;
    let report = endpoint.network_report().await;
    let network = &report.network;
    println!("local addresses: {:?}", network.local);
    println!(
        "public address: {:?}",
        network.public_v4.or(network.public_v6)
    );
    println!("NAT: {:?}", network.nat);

    let connection = endpoint.connect(peer, ping::ALPN).await?;
    match timeout(PATIENCE, connection.until_direct()).await {
        Ok(path) => println!("{}", path?),
        Err(_) => println!("still {}", connection.status()),
    }
    if let Some(why) = connection.status().why {
        println!("{}", why.paragraph());
    }
    let reply = ping::ping(&connection, 1, PATIENCE).await?;
    println!("round trip: {:?}", reply.map(|reply| reply.rtt));
    endpoint.close().await;
    Ok(())
}
