//! A server of one computer, TCP or UDP, on a port of another.
//!
//! ```text
//! tunnel expose relay://KEY@HOST:PORT udp://127.0.0.1:53     prints a ticket
//! tunnel forward TICKET 127.0.0.1:5353                       leads there
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;

use peerway::{
    Endpoint, Router, Ticket,
    services::tunnel::{self, Exposed, ForwardError, Forwarder, Target, Transport},
};
use tokio::net::{TcpListener, UdpSocket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["expose", relay, server] => expose(relay, server.parse()?).await,
        ["forward", ticket, addr] => forward(ticket.parse()?, addr).await,
        _ => Err("usage: tunnel expose RELAY SERVER | tunnel forward TICKET ADDR".into()),
    }
}

async fn expose(relay: &str, server: Target) -> Result<(), Box<dyn Error>> {
    let endpoint = Endpoint::builder().relays([relay.parse()?]).bind().await?;
    endpoint.online().await?;
    println!("{}", endpoint.ticket());
    let exposed = Exposed::default();
    exposed.insert("server".parse()?, server);
    let serve = move |connection| exposed.clone().serve(connection);
    Router::new(endpoint)
        .accept(tunnel::ALPN, serve)
        .run()
        .await;
    Ok(())
}

async fn forward(peer: Ticket, addr: &str) -> Result<(), Box<dyn Error>> {
    let endpoint = Endpoint::builder().bind().await?;
    let forwarder = Forwarder::new(endpoint, peer, "server".parse()?);
    let failed = |error: &ForwardError| println!("{error}");
    match forwarder.check().await? {
        Transport::Stream => forwarder.run(TcpListener::bind(addr).await?, failed).await,
        Transport::Datagrams => {
            forwarder
                .run_udp(UdpSocket::bind(addr).await?, failed)
                .await
        }
    }
    Ok(())
}
