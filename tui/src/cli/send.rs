//! `peerway send`: files to a peer, or to whoever types a code.

use std::{io::stdin, path::PathBuf};

use peerway::{
    ConnectError, Connection, Names as _, RelayUrl, Ticket,
    services::{
        files::{self, Progress, Selection},
        pair::{self, Card, Code},
    },
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout},
};

use super::{
    args::{Globals, PeerName, Send},
    failure::Failure,
    node::{self, Node, Patience, relays_for},
    out, pair as pairing, ticket,
    transfer::{self, Record, Told, shown},
};
use crate::operations::DialError;

/// What stands for stdin.
const STDIN: &str = "-";
/// Things left out that are said one by one.
const SAID: usize = 10;

pub(super) async fn run(globals: &Globals, args: &Send) -> Result<(), Failure> {
    let selection = select(args).await?;
    match &args.to {
        Some(peer) => to_peer(globals, peer, selection).await,
        None => by_code(globals, selection).await,
    }
}

async fn select(args: &Send) -> Result<Selection, Failure> {
    if args.paths == [PathBuf::from(STDIN)] {
        return Ok(Selection::stream(&args.name, stdin()));
    }
    let paths = args.paths.clone();
    let selecting = spawn_blocking(move || Selection::of(&paths));
    let selection = selecting.await.map_err(std::io::Error::from)??;
    let skipped = selection.skipped();
    for it in skipped.iter().take(SAID) {
        out::hint(format!("left out: {}: {}", it.path.display(), it.reason));
    }
    if skipped.len() > SAID {
        out::hint(format!("left out: {} more", skipped.len() - SAID));
    }
    Ok(selection)
}

async fn to_peer(globals: &Globals, peer: &PeerName, selection: Selection) -> Result<(), Failure> {
    let peer = node::meet(globals, peer).await?;
    let node = Node::dialling(globals, relays_for(globals, &peer)).await?;
    let name = node.book().book().peer(&peer.id());
    let body = async {
        node.settled().await;
        let connection = dial(&node, &peer).await?;
        give(globals, &connection, name, selection).await
    };
    node.run(body).await?.ok_or(Failure::Interrupted)
}

/// Shows a code, and sends to who types it.
async fn by_code(globals: &Globals, selection: Selection) -> Result<(), Failure> {
    let relays = ticket::own(globals).await?.relays().to_vec();
    let builder = globals.builder().relays(relays.clone()).visits(true);
    let node = Node::passing(globals, builder).await?;
    let body = async {
        node.settled().await;
        let card = Card::new(node.endpoint.ticket(), &pairing::host_name());
        let theirs = meet(globals, &relays, &card).await?;
        let connection = dial(&node, &theirs.ticket).await?;
        give(globals, &connection, theirs.name, selection).await
    };
    node.run(body).await?.ok_or(Failure::Interrupted)
}

/// By the node of a code, which anybody may call.
async fn meet(globals: &Globals, relays: &[RelayUrl], ours: &Card) -> Result<Card, Failure> {
    let code = Code::generate()?;
    let builder = globals.builder().secret_key(code.rendezvous());
    let node = pairing::meeting(globals, builder, relays).await?;
    let waiting = async {
        if !relays.is_empty() {
            node.reachable().await?;
        }
        let shown = code.to_string();
        if globals.json {
            out::json(&Record::Code { code: shown })?;
        } else {
            out::text(format!(
                "on the other computer, within ten minutes: peerway receive {shown}"
            ))?;
        }
        pairing::say_where(relays);
        let waiting = timeout(pairing::VALID, pair::wait(&node.endpoint, &code, ours));
        Ok(waiting.await.map_err(|_| Failure::CodeExpired)??)
    };
    let met = waiting.await;
    node.endpoint.close().await;
    met
}

async fn dial(node: &Node, peer: &Ticket) -> Result<Connection, Failure> {
    let connecting = node.endpoint.connect(peer.clone(), files::ALPN);
    let connecting = async { connecting.await.map_err(DialError::from) };
    match node.answer(peer, Patience::within(None), connecting).await {
        Err(Failure::Dial(DialError::Connect(ConnectError::NoSuchService))) => {
            Err(Failure::NoReceiver)
        }
        dialled => dialled,
    }
}

async fn give(
    globals: &Globals,
    connection: &Connection,
    name: String,
    selection: Selection,
) -> Result<(), Failure> {
    let progress = Progress::default();
    let began = Instant::now();
    if !globals.json {
        let offered = transfer::offered(&selection.offer());
        out::hint(format!("offering {offered}, to {name}"));
    }
    let sending = files::send(connection, selection, &progress);
    let report = shown(globals.json, &progress, sending).await?;
    let peer = connection.peer();
    let told = Told {
        peer,
        name,
        report: &report,
        began,
    };
    told.sent(globals.json)?;
    if report.is_complete() {
        Ok(())
    } else {
        Err(Failure::NotAll(report.problems.len()))
    }
}
