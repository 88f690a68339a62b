//! `peerway forward`: a local port that leads to a server at a peer.

use std::{convert::Infallible, future::pending, io, net::SocketAddr, time::Duration};

use peerway::{
    Event, EventKind, PeerId, Ticket,
    services::tunnel::{ForwardError, Forwarder},
};
use serde::Serialize;
use tokio::{
    net::TcpListener,
    sync::{
        broadcast::{Receiver, error::RecvError},
        mpsc,
    },
    time::sleep,
};

use super::{
    args::{Forward, Globals},
    failure::Failure,
    node::{self, Node, relays_for},
    out, up, words,
};

/// Between two tries to reach a peer that nobody has asked for yet.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Refusals that wait to be printed.
const UNREAD: usize = 64;

pub(super) async fn run(globals: &Globals, args: &Forward) -> Result<(), Failure> {
    let failed = |source| Failure::Listen {
        addr: args.listen,
        source,
    };
    let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let peer = node::find(globals, &args.service.peer)?;
    let node = Node::dialling(globals, relays_for(globals, &peer)).await?;
    let forwarder = Forwarder::new(
        node.endpoint.clone(),
        peer.clone(),
        args.service.name.clone(),
    );
    let json = globals.json;
    let events = node.endpoint.events();
    let (refusals, told) = mpsc::channel(UNREAD);
    let refused = move |error: &ForwardError| {
        // Whoever does not read is forwarded all the same.
        let _ = refusals.try_send(error.to_string());
    };
    let body = async {
        if args.fail_fast {
            node.settled().await;
            check(&node, &forwarder, &peer).await?;
        }
        announce(addr, &peer, args, json)?;
        let printing = print(events, told, peer.id, json);
        tokio::select! {
            () = forwarder.run(listener, refused) => Ok(()),
            printed = up::served_without_reader(printing) => printed,
            Err(failure) = reach(&node, &forwarder, &peer) => Err(failure),
        }
    };
    node.run(body).await?;
    Ok(())
}

fn announce(addr: SocketAddr, peer: &Ticket, args: &Forward, json: bool) -> Result<(), Failure> {
    if json {
        return Ok(out::json(&Line::Listening { addr })?);
    }
    let (peer, name) = (peer.id.short(), &args.service.name);
    Ok(out::text(format!("{addr} leads to {name} at {peer}"))?)
}

async fn check(node: &Node, forwarder: &Forwarder, peer: &Ticket) -> Result<(), Failure> {
    let checking = forwarder.check();
    let checked = node.answer(peer, Duration::MAX, checking);
    checked.await.map(drop)
}

/// Tries until the peer and its server are there, and says what is in the way. Ends only where trying on is of no use.
async fn reach(node: &Node, forwarder: &Forwarder, peer: &Ticket) -> Result<Infallible, Failure> {
    node.settled().await;
    let mut told = String::new();
    while let Err(failure) = check(node, forwarder, peer).await {
        if !failure.may_pass() {
            return Err(failure);
        }
        let reason = failure.to_string();
        if reason != told {
            out::hint(format!("not reached yet, trying on: {reason}"));
            told = reason;
        }
        sleep(RETRY_PAUSE).await;
    }
    pending().await
}

/// Says by which path the peer is reached, whenever that changes, and why connections are refused.
async fn print(
    mut events: Receiver<Event>,
    mut refusals: mpsc::Receiver<String>,
    peer: PeerId,
    json: bool,
) -> Result<(), Failure> {
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) if is_path_of(peer, &event.kind) => {
                    out::aside(move || print_path(&event, json)).await?;
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
            Some(reason) = refusals.recv() => {
                out::aside(move || print_refusal(reason, json)).await?;
            }
        }
    }
}

fn is_path_of(peer: PeerId, event: &EventKind) -> bool {
    matches!(event, EventKind::PathChanged { peer: whose, .. } if *whose == peer)
}

fn print_path(event: &Event, json: bool) -> io::Result<()> {
    if json {
        out::json(event)
    } else {
        out::text(words::event(&event.kind))
    }
}

fn print_refusal(reason: String, json: bool) -> io::Result<()> {
    if json {
        out::json(&Line::Refused { reason })
    } else {
        out::text(format!("a connection was refused: {reason}"))
    }
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Listening { addr: SocketAddr },
    Refused { reason: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_keep_their_keys() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 9000));
        let reason = "the peer is away".to_owned();
        for (line, expected) in [
            (
                Line::Listening { addr },
                r#"{"event":"listening","addr":"127.0.0.1:9000"}"#,
            ),
            (
                Line::Refused { reason },
                r#"{"event":"refused","reason":"the peer is away"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&line).unwrap(), expected);
        }
    }
}
