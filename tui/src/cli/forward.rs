//! `peerway forward`: a local port that leads to a server at a peer.

use std::{net::SocketAddr, time::Duration};

use peerway::services::tunnel::Forwarder;
use serde::Serialize;
use tokio::net::TcpListener;

use super::{
    args::{Forward, Globals},
    failure::Failure,
    node::{Node, relays_for},
    out,
};

pub(super) async fn run(globals: &Globals, args: &Forward) -> Result<(), Failure> {
    let failed = |source| Failure::Listen {
        addr: args.listen,
        source,
    };
    let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let service = &args.service;
    let node = Node::dialling(globals, relays_for(globals, &service.peer)).await?;
    let body = async {
        node.settled().await;
        let connecting = Forwarder::connect(
            node.endpoint.clone(),
            service.peer.clone(),
            service.name.clone(),
        );
        let forwarder = node.answer(Duration::MAX, connecting).await?;
        if globals.json {
            out::json(&Line::Listening { addr })?;
        } else {
            let (peer, name) = (service.peer.id.short(), &service.name);
            out::text(format!("{addr} leads to {name} at {peer}"))?;
        }
        forwarder.run(listener).await;
        Ok(())
    };
    node.run(body).await?;
    Ok(())
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Listening { addr: SocketAddr },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listening_line_keeps_its_keys() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 9000));
        assert_eq!(
            serde_json::to_string(&Line::Listening { addr }).unwrap(),
            r#"{"event":"listening","addr":"127.0.0.1:9000"}"#
        );
    }
}
