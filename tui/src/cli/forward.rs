//! `peerway forward`: a local port that leads to a server at a peer.

use std::{convert::Infallible, future::pending, net::SocketAddr, time::Duration};

use peerway::{
    EventKind,
    services::tunnel::{ForwardError, Forwarder},
};
use serde::Serialize;
use tokio::{net::TcpListener, sync::broadcast::error::RecvError, time::sleep};

use super::{
    args::{Forward, Globals},
    failure::Failure,
    node::{Node, relays_for},
    out, words,
};

/// Between two tries to reach a peer that nobody has asked for yet.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

pub(super) async fn run(globals: &Globals, args: &Forward) -> Result<(), Failure> {
    let failed = |source| Failure::Listen {
        addr: args.listen,
        source,
    };
    let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let node = Node::dialling(globals, relays_for(globals, &args.service.peer)).await?;
    let forwarder = Forwarder::new(
        node.endpoint.clone(),
        args.service.peer.clone(),
        args.service.name.clone(),
    );
    let json = globals.json;
    let refused = move |error: &ForwardError| tell_refusal(error, json);
    let body = async {
        if args.fail_fast {
            node.settled().await;
            check(&node, &forwarder, args).await?;
        }
        announce(addr, args, json)?;
        let paths = print_paths(&node, args, json);
        tokio::select! {
            () = forwarder.run(listener, refused) => Ok(()),
            Err(failure) = paths => Err(failure),
            Err(failure) = reach(&node, &forwarder, args) => Err(failure),
        }
    };
    node.run(body).await?;
    Ok(())
}

fn announce(addr: SocketAddr, args: &Forward, json: bool) -> Result<(), Failure> {
    if json {
        return Ok(out::json(&Line::Listening { addr })?);
    }
    let (peer, name) = (args.service.peer.id.short(), &args.service.name);
    Ok(out::text(format!("{addr} leads to {name} at {peer}"))?)
}

async fn check(node: &Node, forwarder: &Forwarder, args: &Forward) -> Result<(), Failure> {
    let checking = forwarder.check();
    let checked = node.answer(&args.service.peer, Duration::MAX, checking);
    checked.await.map(drop)
}

/// Tries until the peer and its server are there, and says what is in the way. Ends only where trying on is of no use.
async fn reach(node: &Node, forwarder: &Forwarder, args: &Forward) -> Result<Infallible, Failure> {
    node.settled().await;
    let mut told = String::new();
    while let Err(failure) = check(node, forwarder, args).await {
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

/// By which path the peer is reached, whenever that changes.
async fn print_paths(node: &Node, args: &Forward, json: bool) -> Result<Infallible, Failure> {
    let mut events = node.endpoint.events();
    loop {
        let event = match events.recv().await {
            Ok(event) => event,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => pending().await,
        };
        let is_path = matches!(
            &event.kind,
            EventKind::PathChanged { peer, .. } if *peer == args.service.peer.id
        );
        if is_path && json {
            out::json(&event)?;
        } else if is_path {
            out::text(words::event(&event.kind))?;
        }
    }
}

fn tell_refusal(error: &ForwardError, json: bool) {
    let reason = error.to_string();
    let told = if json {
        out::json(&Line::Refused { reason })
    } else {
        out::text(format!("a connection was refused: {reason}"))
    };
    // Whoever does not read any more is forwarded all the same.
    let _ = told;
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
