//! `peerway forward`: a local port that leads to a server at a peer.

pub(super) mod bound;
mod line;
#[cfg(unix)]
mod unix;
mod watch;

use std::{convert::Infallible, future::pending, io, time::Duration};

use peerway::{
    Event, Names as _, PeerId, Ticket,
    services::tunnel::{ForwardError, Forwarder, ServiceName, Transport},
};
use tokio::{
    sync::{
        broadcast::{Receiver, error::RecvError},
        mpsc,
        watch::{Sender, channel},
    },
    time::{Instant, sleep},
};

use self::{
    bound::Bound,
    line::{Record, Repeats},
    watch::Watch,
};
use super::{
    args::{Forward, Globals, PeerName, Service},
    datagrams,
    failure::Failure,
    follow::Followed,
    invite, kept,
    node::{self, Node, Patience, relays_for},
    out, up, words,
};
use crate::{book::Book, kept::Local};

/// Between two tries to reach a peer that nobody has asked for yet.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Failed connections that wait to be told of.
const UNREAD: usize = 64;

pub(super) async fn run(globals: &Globals, args: &Forward) -> Result<(), Failure> {
    if let Some(action) = &args.action {
        return kept::forward(globals, action).await;
    }
    // The command line has both where it has no action.
    let (Some(service), Some(listen)) = (&args.service, &args.listen) else {
        return Ok(());
    };
    until_interrupted(globals, service, listen, args.fail_fast).await
}

async fn until_interrupted(
    globals: &Globals,
    service: &Service,
    listen: &Local,
    fail_fast: bool,
) -> Result<(), Failure> {
    let (bound, addr) = Bound::open(listen).await?;
    let peer = node::meet(globals, &service.peer).await?;
    let node = Node::dialling(globals, relays_for(globals, &peer)).await?;
    let forwarder = Forwarder::new(node.endpoint.clone(), peer.clone(), service.name.clone());
    let json = globals.json;
    let events = node.endpoint.events();
    let (failures, told) = mpsc::channel(UNREAD);
    let failed = move |error: &ForwardError| {
        // Whoever does not read is forwarded all the same.
        let _ = failures.try_send(error.clone());
    };
    // Who invites may have been away.
    let retry = async || match &service.peer {
        PeerName::Invited(_, invitation) => {
            invite::use_up(globals, &peer, invitation).await.map(drop)
        }
        PeerName::Ticket(_) | PeerName::Called(_) => Ok(()),
    };
    let wanted = bound.wants();
    let check = async || {
        let found = check(&node, &forwarder, &peer).await?;
        match wanted {
            Some(wanted) if wanted != found => Err(misfit(found, &service.name)),
            _ => Ok(found),
        }
    };
    let body = async {
        let (find, found) = channel(None);
        if fail_fast {
            node.settled().await;
            find.send_replace(Some(check().await?));
        }
        let announce = |addr| announce(addr, &node.book().book(), &peer, &service.name, json);
        announce(addr)?;
        let printing = print(events, told, node.book(), peer.id(), json);
        tokio::select! {
            ran = bound.run(&forwarder, found, announce, failed) => ran,
            printed = up::served_without_reader(printing) => printed,
            Err(failure) = reach(&node, check, retry, &find) => Err(failure),
        }
    };
    let ran = node.run(body).await;
    datagrams::print(forwarder.datagrams(), json)?;
    ran?;
    Ok(())
}

/// What the service takes is not what can be given to it here.
pub(super) fn misfit(found: Transport, name: &ServiceName) -> Failure {
    let name = name.clone();
    Failure::Forward(match found {
        Transport::Stream => ForwardError::IsTcp { name },
        Transport::Datagrams => ForwardError::IsUdp { name },
    })
}

fn announce(
    addr: String,
    book: &Book,
    peer: &Ticket,
    name: &ServiceName,
    json: bool,
) -> Result<(), Failure> {
    if json {
        return Ok(out::json(&Record::Listening { addr })?);
    }
    let peer = book.peer(&peer.id());
    Ok(out::text(format!("{addr} leads to {name} at {peer}"))?)
}

async fn check(node: &Node, forwarder: &Forwarder, peer: &Ticket) -> Result<Transport, Failure> {
    let checking = forwarder.check();
    node.answer(peer, Patience::within(None), checking).await
}

/// Tries until the peer and its server are there, and says what is in the way. Ends only where trying on is of no use.
async fn reach(
    node: &Node,
    check: impl AsyncFn() -> Result<Transport, Failure>,
    retry: impl AsyncFn() -> Result<(), Failure>,
    find: &Sender<Option<Transport>>,
) -> Result<Infallible, Failure> {
    node.settled().await;
    let mut told = String::new();
    loop {
        let failure = match check().await {
            Ok(found) => {
                find.send_replace(Some(found));
                return pending().await;
            }
            Err(failure) => failure,
        };
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
