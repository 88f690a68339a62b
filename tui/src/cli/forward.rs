//! `peerway forward`: a local port that leads to a server at a peer.

mod line;
mod watch;

use std::{convert::Infallible, future::pending, io, net::SocketAddr, time::Duration};

use peerway::{
    Event, Names as _, PeerId, Ticket,
    services::tunnel::{ForwardError, Forwarder},
};
use tokio::{
    net::TcpListener,
    sync::{
        broadcast::{Receiver, error::RecvError},
        mpsc,
    },
    time::{Instant, sleep},
};

use self::{
    line::{Record, Repeats},
    watch::Watch,
};
use super::{
    args::{Forward, Globals, PeerName},
    failure::Failure,
    follow::Followed,
    invite,
    node::{self, Node, Patience, relays_for},
    out, up, words,
};
use crate::book::Book;

/// Between two tries to reach a peer that nobody has asked for yet.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Failed connections that wait to be told of.
const UNREAD: usize = 64;

pub(super) async fn run(globals: &Globals, args: &Forward) -> Result<(), Failure> {
    let failed = |source| Failure::Listen {
        addr: args.listen,
        source,
    };
    let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    let peer = node::meet(globals, &args.service.peer).await?;
    let node = Node::dialling(globals, relays_for(globals, &peer)).await?;
    let forwarder = Forwarder::new(
        node.endpoint.clone(),
        peer.clone(),
        args.service.name.clone(),
    );
    let json = globals.json;
    let events = node.endpoint.events();
    let (failures, told) = mpsc::channel(UNREAD);
    let failed = move |error: &ForwardError| {
        // Whoever does not read is forwarded all the same.
        let _ = failures.try_send(error.clone());
    };
    // Who invites may have been away.
    let retry = async || match &args.service.peer {
        PeerName::Invited(_, invitation) => {
            invite::use_up(globals, &peer, invitation).await.map(drop)
        }
        PeerName::Ticket(_) | PeerName::Called(_) => Ok(()),
    };
    let body = async {
        if args.fail_fast {
            node.settled().await;
            check(&node, &forwarder, &peer).await?;
        }
        announce(addr, &node.book().book(), &peer, args, json)?;
        let printing = print(events, told, node.book(), peer.id(), json);
        tokio::select! {
            () = forwarder.run(listener, failed) => Ok(()),
            printed = up::served_without_reader(printing) => printed,
            Err(failure) = reach(&node, &forwarder, &peer, retry) => Err(failure),
        }
    };
    node.run(body).await?;
    Ok(())
}

fn announce(
    addr: SocketAddr,
    book: &Book,
    peer: &Ticket,
    args: &Forward,
    json: bool,
) -> Result<(), Failure> {
    if json {
        return Ok(out::json(&Record::Listening { addr })?);
    }
    let (peer, name) = (book.peer(&peer.id()), &args.service.name);
    Ok(out::text(format!("{addr} leads to {name} at {peer}"))?)
}

async fn check(node: &Node, forwarder: &Forwarder, peer: &Ticket) -> Result<(), Failure> {
    let checking = forwarder.check();
    let checked = node.answer(peer, Patience::within(None), checking);
    checked.await.map(drop)
}

/// Tries until the peer and its server are there, and says what is in the way. Ends only where trying on is of no use.
async fn reach(
    node: &Node,
    forwarder: &Forwarder,
    peer: &Ticket,
    retry: impl AsyncFn() -> Result<(), Failure>,
) -> Result<Infallible, Failure> {
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
        retry().await?;
    }
    pending().await
}

/// Says by which path the peer is reached and whether it is at all, whenever that changes, and what becomes of connections that
/// fail.
async fn print(
    mut events: Receiver<Event>,
    mut failures: mpsc::Receiver<ForwardError>,
    book: &Followed,
    peer: PeerId,
    json: bool,
) -> Result<(), Failure> {
    let (mut watch, mut repeats) = (Watch::of(peer), Repeats::default());
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) if watch.tells(&event.kind) => {
                    let book = book.book();
                    out::aside(move || print_event(&event, &book, json)).await?;
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
            Some(error) = failures.recv() => {
                let line = Record::of(&error);
                let text = repeats.say(line.text(), Instant::now());
                out::aside(move || print_failure(&line, text, json)).await?;
            }
        }
    }
}

fn print_event(event: &Event, book: &Book, json: bool) -> io::Result<()> {
    if json {
        out::json(event)
    } else {
        out::text(words::event(&event.kind, book))
    }
}

fn print_failure(line: &Record, text: Option<String>, json: bool) -> io::Result<()> {
    match text {
        _ if json => out::json(line),
        Some(text) => out::text(text),
        None => Ok(()),
    }
}
