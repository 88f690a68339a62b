//! `peerway receive`: takes files that peers send, each offer when somebody agrees.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::StreamExt;
use peerway::{
    Connection, Names, PeerId, Router,
    services::{
        files::{self, Inbox},
        pair::{self, Card, Code},
    },
};
use tokio::time::timeout;

use super::{
    args::{Globals, Receive},
    failure::Failure,
    node::Node,
    out,
    state::StateDir,
    ticket,
    transfer::{amount, is_at_terminal},
    up,
};
use crate::{
    pairing::{self, host_name},
    transfers::{Step, Whom},
};
use taking::{Answers, Taking, Until};

mod taking;

/// Transfers at a time, of which one peer has a quarter at most.
const TRANSFERS: usize = 16;
/// How long who gave its card may take to connect.
const MEETING: Duration = Duration::from_secs(60);

pub(super) async fn run(globals: &Globals, args: &Receive) -> Result<(), Failure> {
    let (code, folder) = args.code_and_folder()?;
    let asks = !args.yes && (is_at_terminal() && !globals.json);
    if let Some(code) = code {
        let inbox = Inbox::open(folder)?.overwrite(args.overwrite);
        return by_code(globals, &code, inbox.any_sender(true), asks).await;
    }
    if !asks && !args.yes {
        return Err(Failure::NobodyToAsk);
    }
    let from = match &args.from {
        Some(peer) => Some(StateDir::open(globals)?.peers().find(peer)?.id()),
        None => None,
    };
    let until = if args.once { Until::First } else { Until::Told };
    #[cfg(unix)]
    if let Some(client) = super::attach::running(globals).await? {
        let ask = crate::transfers::ReceiveAsk {
            folder: std::path::absolute(&folder)?,
            overwrite: args.overwrite,
            from,
            ask: asks,
        };
        return attached::receive(globals, &client, &ask, until).await;
    }
    let inbox = Inbox::open(folder)?.overwrite(args.overwrite);
    say_where(inbox.folder());
    by_itself(globals, inbox, from, asks, until).await
}

/// A node for the duration of the command.
async fn by_itself(
    globals: &Globals,
    inbox: Inbox,
    from: Option<PeerId>,
    asks: bool,
    until: Until,
) -> Result<(), Failure> {
    let (give, given) = tokio::sync::oneshot::channel();
    let besides = up::Besides::receiving(inbox.folder());
    let offer = move |router: Router, node: &Node| {
        let from = from.map_or(Whom::Anyone, Whom::Only);
        let desk = node.desk().clone();
        // It is waited for below, for as long as the node runs.
        let _ = give.send((desk.receive(inbox, from, asks), desk));
        up::diagnostics(router, true)
    };
    let serving = up::serve(globals, besides, offer, false, |ticket| {
        vec![format!("peerway send FILE --to {ticket}")]
    });
    let taking = async {
        let Ok((steps, desk)) = given.await else {
            return std::future::pending().await;
        };
        let asking = asks.then_some(Answers::Desk(desk));
        let taking = Taking::new(globals.json, until);
        taking.follow(steps?.map(Ok), asking).await
    };
    tokio::select! {
        served = serving => served,
        taken = taking => taken,
    }
}

/// The router that also takes files, for whoever receives at the moment.
pub(super) fn serve(router: Router, node: &Node) -> Router {
    let desk = node.desk().clone();
    router.accept_up_to(TRANSFERS, files::ALPN, move |connection| {
        let desk = desk.clone();
        async move { desk.serve(connection).await }
    })
}

/// What a node does with files that peers offer while it runs for other things: takes those of peers in the address book.
pub(super) fn always(router: Router, node: &Node, inbox: Inbox, json: bool) -> Router {
    if let Ok(steps) = node.desk().receive(inbox, Whom::Known, false) {
        // It is known where that is.
        let mut steps = steps.skip(1).map(Ok).fuse();
        let book = node.book().watch();
        #[expect(clippy::disallowed_methods, reason = "the shell")]
        tokio::spawn(async move {
            let taking = Taking::new(json, Until::Told);
            let _ = taking.follow(&mut steps, None).await;
            // Nobody reads that any more, as of a node in the background, whose log says it.
            while let Some(Ok(step)) = steps.next().await {
                let line = logged(&step, &**book.borrow());
                if let Some(line) = line {
                    out::hint(line);
                }
            }
        });
    }
    router
}

/// What came of a transfer, in one line; none while it goes on.
fn logged(step: &Step, names: &impl Names) -> Option<String> {
    match step {
        Step::Received {
            peer, folder, end, ..
        } => {
            let (what, from) = (amount(end), names.peer(peer));
            let mut line = format!("received {what}, from {from} into {}", folder.display());
            if end.missing > 0 {
                line += &format!("; {} files did not arrive", end.missing);
            }
            Some(line)
        }
        Step::Failed {
            peer: Some(peer),
            error,
            ..
        } => Some(format!("from {}: {error}", names.peer(peer))),
        Step::Failed { peer: None, .. }
        | Step::Hint { .. }
        | Step::Receiving { .. }
        | Step::Offering { .. }
        | Step::Offered { .. }
        | Step::Withdrawn { .. }
        | Step::Declined { .. }
        | Step::Progress { .. }
        | Step::Sent { .. } => None,
    }
}

fn say_where(folder: &Path) {
    out::hint(format!("what comes is put into {}", folder.display()));
}

/// Types a code, and takes what the one who shows it sends.
async fn by_code(globals: &Globals, code: &Code, inbox: Inbox, asks: bool) -> Result<(), Failure> {
    #[cfg(unix)]
    let globals = &super::attach::heeding(globals).await?;
    let relays = ticket::own(globals).await?.relays().to_vec();
    let builder = globals.builder().relays(relays.clone());
    let builder = builder.alpns([files::ALPN]).port_mapping(false);
    let key = pairing::passing_key()?;
    let node = Node::passing(globals, key, builder).await?;
    let body = async {
        if !relays.is_empty() {
            node.reachable().await?;
        }
        let ours = Card::new(node.endpoint.ticket(), &host_name());
        let typing = pair::type_in(&node.endpoint, &relays, code, &ours);
        let by_dht = node.directory().is_some();
        let hint = |text: &str| out::hint(text);
        let met = pairing::sought(&node.endpoint, code, by_dht, &hint, typing).await?;
        let theirs = met.card;
        let connection = if pairing::stays_linked(&relays, &theirs.ticket) {
            met.connection
        } else {
            met.connection.close(0, b"paired");
            let meeting = timeout(MEETING, caller(&node, theirs.ticket.id())).await;
            meeting.map_err(|_| Failure::NobodyCame)??
        };
        let desk = node.desk();
        let steps = desk.receive(inbox, Whom::Anyone, asks)?.map(Ok);
        let asking = asks.then(|| Answers::Desk(desk.clone()));
        let taking = Taking::new(globals.json, Until::Outcome).called(theirs.name);
        let (taken, ()) = tokio::join!(taking.follow(steps, asking), desk.serve(connection));
        taken
    };
    node.run(body).await?.ok_or(Failure::Interrupted)
}

/// The one who has shown the code. Nobody else is listened to.
async fn caller(node: &Node, id: PeerId) -> Result<Connection, Failure> {
    loop {
        let connection = node.endpoint.accept().await.ok_or(Failure::Interrupted)?;
        if connection.peer() == id {
            return Ok(connection);
        }
        connection.close(
            peerway::quic::close::NOT_LET_IN,
            b"somebody else is waited for",
        );
    }
}

/// Of an argument that may be either: a code has a dash behind four of its nine letters.
pub(super) fn is_like_a_code(text: &str) -> bool {
    text.len() == 10 && text.as_bytes()[4] == b'-' && !PathBuf::from(text).exists()
}

/// By the node that runs here.
#[cfg(unix)]
mod attached {
    use futures_util::StreamExt;

    use super::{Answers, Taking, Until, say_where};
    use crate::{
        cli::{args::Globals, attach, failure::Failure, node::interrupted, out, up},
        control::{Client, ControlError},
        transfers::{ReceiveAsk, Step},
    };

    /// The node writes the files with its own rights.
    pub(super) async fn receive(
        globals: &Globals,
        client: &Client,
        ask: &ReceiveAsk,
        until: Until,
    ) -> Result<(), Failure> {
        if let Some(option) = attach::lacking(globals, client).await? {
            return Err(Failure::Lacks(option));
        }
        // Before anything is begun.
        let interrupted = interrupted();
        let receiving = async {
            let begun = client.receive(ask).await;
            if let Err(ControlError::Refused(_)) = &begun
                && peerway::services::files::Inbox::open(&ask.folder).is_ok()
            {
                out::hint(
                    "this command could write there, and the node that runs here, which receives, cannot: it runs with other rights, or sees other folders, as services do",
                );
            }
            let mut steps = begun?;
            if let Some(Step::Receiving { folder }) = steps.next().await.transpose()? {
                say_where(&folder);
            }
            let ticket = client.status().await?.ticket;
            let socket = attach::socket(globals)?;
            let commands = vec![format!("peerway send FILE --to {ticket}")];
            up::print_ready(ticket, socket, None, commands, globals.json).await?;
            let steps = steps.map(|step| step.map_err(Failure::from));
            let asking = ask.ask.then_some(Answers::Node(client));
            Taking::new(globals.json, until).follow(steps, asking).await
        };
        tokio::select! {
            received = receiving => received,
            () = interrupted => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;

    use super::*;
    use crate::{operations::FailureKind, transfers::End};

    struct Attic;

    impl Names for Attic {
        fn peer(&self, _: &PeerId) -> String {
            "attic".to_owned()
        }
    }

    #[test]
    fn the_log_says_what_came_of_whom_and_nothing_of_what_goes_on() {
        let (transfer, peer) = (1, SecretKey::from_seed(&[1; 32]).id());
        let received = |missing| Step::Received {
            transfer,
            peer,
            name: peer.short(),
            folder: "/in".into(),
            end: End {
                files: 1,
                bytes: 5,
                resumed: 0,
                missing,
                problems: Vec::new(),
            },
        };
        let failed = |peer| Step::Failed {
            transfer,
            peer,
            kind: FailureKind::Failed,
            error: "the disk is full".to_owned(),
        };
        let all = [
            (
                received(0),
                Some("received 1 file, 5 B, from attic into /in"),
            ),
            (
                received(2),
                Some("received 1 file, 5 B, from attic into /in; 2 files did not arrive"),
            ),
            (failed(Some(peer)), Some("from attic: the disk is full")),
            (failed(None), None),
            (Step::Withdrawn { transfer }, None),
        ];
        for (step, line) in all {
            assert_eq!(logged(&step, &Attic).as_deref(), line);
        }
    }
}
