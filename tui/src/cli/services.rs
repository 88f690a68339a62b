//! `peerway services`: what a peer exposes to this computer.

use peerway::services::tunnel::{self, ForwardError, Transport};
use serde::Serialize;

use super::{
    args::{Globals, Services},
    failure::Failure,
    node::{self, Node, Patience, relays_for},
    out,
};

pub(super) async fn run(globals: &Globals, args: &Services) -> Result<(), Failure> {
    let peer = node::meet(globals, &args.peer).await?;
    let node = Node::dialling(globals, relays_for(globals, &peer)).await?;
    let body = async {
        node.settled().await;
        let asking = async {
            let connected = node.endpoint.connect(peer.clone(), tunnel::ALPN).await;
            let connection = connected.map_err(ForwardError::from)?;
            tunnel::list(&connection).await
        };
        node.answer(&peer, Patience::within(None), asking).await
    };
    let Some(services) = node.run(body).await? else {
        return Err(Failure::Interrupted);
    };
    if services.is_empty() && !globals.json {
        out::hint("the peer exposes nothing to this computer");
    }
    for (name, takes) in &services {
        let record = Record {
            service: name.as_str(),
            transport: match takes {
                Transport::Stream => "tcp",
                Transport::Datagrams => "udp",
            },
        };
        if globals.json {
            out::json(&record)?;
        } else {
            out::text(format!("{} {}", record.transport, record.service))?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Record<'a> {
    service: &'a str,
    transport: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::documented::assert_keys;

    #[test]
    fn the_lines_keep_their_keys() {
        let record = Record {
            service: "web",
            transport: "tcp",
        };
        assert_keys("services", &record);
    }
}
