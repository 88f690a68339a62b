//! `peerway send`: files to a peer, or to whoever types a code.

use std::{
    io::{self, stdin},
    path::PathBuf,
};

use futures_util::StreamExt;
use peerway::{
    Names as _,
    services::{
        files::Selection,
        pair::{Card, Code},
    },
};
use tokio::task::spawn_blocking;

use super::{
    args::{Globals, PeerName, Send},
    failure::Failure,
    node::{self, Node, relays_for},
    out, pair, ticket,
    transfer::{Record, follow_sending},
};
use crate::{
    operations::FailureKind,
    pairing::{self, Passing, host_name},
    transfers::{Recipient, send, send_on},
};

/// What stands for stdin.
const STDIN: &str = "-";

pub(super) async fn run(globals: &Globals, args: &Send) -> Result<(), Failure> {
    match &args.to {
        Some(peer) => to_peer(globals, peer, args).await,
        None => by_code(globals, args).await,
    }
}

/// Files, or what comes from stdin.
async fn select(args: &Send) -> Result<Selection, Failure> {
    if is_stream(args) {
        return Ok(Selection::stream(&args.name, stdin()));
    }
    let paths = args.paths.clone();
    let selecting = spawn_blocking(move || Selection::of(&paths));
    Ok(selecting.await.map_err(io::Error::from)??)
}

fn is_stream(args: &Send) -> bool {
    args.paths == [PathBuf::from(STDIN)]
}

async fn to_peer(globals: &Globals, peer: &PeerName, args: &Send) -> Result<(), Failure> {
    let ticket = node::meet(globals, peer).await?;
    #[cfg(unix)]
    if let Some(client) = super::attach::willing(globals).await? {
        return attached::to_peer(globals, &client, &ticket, args).await;
    }
    let selection = select(args).await?;
    let node = Node::dialling(globals, relays_for(globals, &ticket)).await?;
    let name = node.book().book().peer(&ticket.id());
    let peer = ticket.clone();
    let steps = send(
        node.endpoint.clone(),
        Recipient { ticket, name },
        selection,
        None,
    );
    let reached = || node.peers().remember(&peer);
    let sent = node
        .run(follow_sending(globals, steps.map(Ok), reached))
        .await;
    if let Err(Failure::Operation(failed)) = &sent
        && failed.kind == FailureKind::Unreachable
    {
        node.hint_at_identity();
    }
    sent?.ok_or(Failure::Interrupted)
}

/// Shows a code, and sends to who types it.
async fn by_code(globals: &Globals, args: &Send) -> Result<(), Failure> {
    let selection = select(args).await?;
    #[cfg(unix)]
    let globals = &super::attach::heeding(globals).await?;
    let relays = ticket::own(globals).await?.relays().to_vec();
    let builder = globals.builder().relays(relays.clone()).visits(true);
    let key = pairing::passing_key()?;
    let node = Node::passing(globals, key, builder).await?;
    let body = async {
        node.settled().await;
        let card = Card::new(node.endpoint.ticket(), &host_name());
        let passing = Passing {
            builder: pair::builder(globals),
            directory: node.directory(),
        };
        let waiting = pairing::meet(passing, &relays, &card, |code, hint| {
            print_code(globals, code)?;
            hint.into_iter().for_each(out::hint);
            Ok(())
        });
        let (waits, met) = waiting.await?;
        let Card { ticket, name, .. } = met.card;
        let steps = if pairing::stays_linked(&relays, &ticket) {
            send_on(met.connection, name, selection)
        } else {
            drop(met.connection);
            waits.close().await;
            send(
                node.endpoint.clone(),
                Recipient { ticket, name },
                selection,
                None,
            )
        };
        let sent = follow_sending(globals, steps.map(Ok), || ()).await;
        waits.close().await;
        sent
    };
    node.run(body).await?.ok_or(Failure::Interrupted)
}

fn print_code(globals: &Globals, code: &Code) -> io::Result<()> {
    let code = code.to_string();
    if globals.json {
        return out::json(&Record::Code { code });
    }
    out::text(format!(
        "on the other computer, within ten minutes: peerway receive {code}"
    ))
}

/// By the node that runs here.
#[cfg(unix)]
mod attached {
    use std::{
        fs::File,
        io::{self, Read},
        path::{self, Path},
    };

    use futures_util::{Stream, StreamExt, stream};
    use hyper::body::Bytes;
    use peerway::Ticket;
    use tokio::{sync::mpsc, task::spawn_blocking};

    use crate::{
        cli::{
            args::{Globals, Send},
            failure::Failure,
            node::interrupted,
            out,
            state::StateDir,
            transfer::follow_sending,
        },
        control::{Client, ControlError, Telling},
        transfers::{SendAsk, Step},
    };

    /// Bytes of stdin that are read at a time.
    const PART: usize = 256 << 10;
    /// Of these, so many wait for the node.
    const AHEAD: usize = 2;

    /// The node reads the files with its own rights.
    pub(super) async fn to_peer(
        globals: &Globals,
        client: &Client,
        ticket: &Ticket,
        args: &Send,
    ) -> Result<(), Failure> {
        // Before anything is begun.
        let interrupted = interrupted();
        let peers = StateDir::open(globals)?.peers();
        let sending = async {
            let steps = begin(client, ticket, args).await?;
            let steps = steps.map(|step| step.map_err(Failure::from));
            follow_sending(globals, steps, || peers.remember(ticket)).await
        };
        tokio::select! {
            sent = sending => sent,
            () = interrupted => Err(Failure::Interrupted),
        }
    }

    async fn begin(
        client: &Client,
        ticket: &Ticket,
        args: &Send,
    ) -> Result<Telling<Step>, Failure> {
        if super::is_stream(args) {
            return Ok(client.send_stream(ticket, &args.name, from_stdin()).await?);
        }
        let paths = args.paths.iter().map(path::absolute);
        let ask = SendAsk {
            ticket: ticket.clone(),
            paths: paths.collect::<io::Result<_>>()?,
        };
        let begun = client.send_files(&ask).await;
        if let Err(ControlError::Refused(_)) = &begun
            && args
                .paths
                .iter()
                .all(|path| is_content(path) && File::open(path).is_ok())
        {
            out::hint(
                "this command could read it, and the node that runs here, which would send it, cannot: it runs with other rights, or sees other folders, as services do. Stopped by `peerway down`, it leaves that to the command",
            );
        }
        Ok(begun?)
    }

    /// Whether this is what is sent at all, by whomever.
    fn is_content(path: &Path) -> bool {
        path.metadata()
            .is_ok_and(|found| found.is_file() || found.is_dir())
    }

    /// Read by a thread, which may wait for it for ever.
    fn from_stdin() -> impl Stream<Item = io::Result<Bytes>> + std::marker::Send + 'static {
        let (give, mut given) = mpsc::channel(AHEAD);
        spawn_blocking(move || {
            let mut stdin = io::stdin();
            loop {
                let mut part = vec![0; PART];
                let read = stdin.read(&mut part).map(|len| {
                    part.truncate(len);
                    Bytes::from(part)
                });
                let is_last = read.as_ref().map_or(true, Bytes::is_empty);
                if give.blocking_send(read).is_err() || is_last {
                    return;
                }
            }
        });
        stream::poll_fn(move |context| given.poll_recv(context))
    }
}
