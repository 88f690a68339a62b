//! `peerway receive`: takes files that peers send, each offer when somebody agrees.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use peerway::{
    Connection, Names as _, PeerId, Router,
    services::{
        files::{self, Inbox, Offered, Progress, ReceiveError, Refusal},
        pair::{self, Card, Code},
    },
};
use tokio::{
    sync::{Mutex, Notify, mpsc},
    task::spawn_blocking,
    time::{Instant, timeout},
};

use super::{
    args::{Globals, Receive},
    failure::Failure,
    node::Node,
    out, pair as pairing, ticket,
    transfer::{self, Record, Told, is_at_terminal, shown},
    up,
};

/// Transfers at a time, of which one peer has a quarter at most.
const TRANSFERS: usize = 16;
/// How long a question waits for its answer.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long who gave its card may take to connect.
const MEETING: Duration = Duration::from_secs(60);

pub(super) async fn run(globals: &Globals, args: &Receive) -> Result<(), Failure> {
    let (code, folder) = args.code_and_folder()?;
    let inbox = Inbox::open(folder)?.overwrite(args.overwrite);
    let asks = !args.yes && (is_at_terminal() && !globals.json);
    if let Some(code) = code {
        return by_code(globals, &code, inbox.any_sender(true), asks).await;
    }
    if !asks && !args.yes {
        return Err(Failure::NobodyToAsk);
    }
    let from = match &args.from {
        Some(peer) => Some(
            super::state::StateDir::open(globals)?
                .peers()
                .find(peer)?
                .id(),
        ),
        None => None,
    };
    let done = Arc::new(Notify::new());
    let once = args.once.then(|| done.clone());
    let shared = inbox.clone();
    let offer = move |router: Router, node: &Node| {
        let desk = Arc::new(Desk {
            book: node.book().watch(),
            inbox: shared,
            asks: asks.then(Asking::default),
            json: globals.json,
            once,
        });
        let router = up::diagnostics(router, true);
        let router = match from {
            Some(from) => router.guard(move |peer, alpn| alpn != files::ALPN || peer == from),
            None => router,
        };
        router.accept_up_to(TRANSFERS, files::ALPN, move |connection| {
            let desk = desk.clone();
            async move { desk.serve(connection).await }
        })
    };
    out::hint(format!(
        "what comes is put into {}",
        inbox.folder().display()
    ));
    let serving = up::serve(globals, up::Besides::default(), offer, false, |ticket| {
        vec![format!("peerway send FILE --to {ticket}")]
    });
    tokio::select! {
        served = serving => served,
        () = done.notified() => Ok(()),
    }
}

/// What a node does with files that peers offer while it runs for other things: takes those of peers in the address book.
pub(super) fn always(router: Router, node: &Node, inbox: Inbox, json: bool) -> Router {
    let known = node.book().watch();
    let desk = Arc::new(Desk {
        book: node.book().watch(),
        inbox,
        asks: None,
        json,
        once: None,
    });
    router
        .guard(move |peer, alpn| alpn != files::ALPN || known.borrow().of(peer).is_some())
        .accept_up_to(TRANSFERS, files::ALPN, move |connection| {
            let desk = desk.clone();
            async move { desk.serve(connection).await }
        })
}

/// Types a code, and takes what the one who shows it sends.
async fn by_code(globals: &Globals, code: &Code, inbox: Inbox, asks: bool) -> Result<(), Failure> {
    let relays = ticket::own(globals).await?.relays().to_vec();
    let builder = globals.builder().relays(relays.clone());
    let builder = builder.alpns([files::ALPN]).port_mapping(false);
    let node = Node::passing(globals, builder).await?;
    let body = async {
        if !relays.is_empty() {
            node.reachable().await?;
        }
        let ours = Card::new(node.endpoint.ticket(), &pairing::host_name());
        let theirs = pair::type_in(&node.endpoint, &relays, code, &ours).await?;
        let meeting = timeout(MEETING, caller(&node, theirs.ticket.id())).await;
        let connection = meeting.map_err(|_| Failure::NobodyCame)??;
        let offered = inbox.offered(&connection).await?;
        let name = theirs.name;
        say_offer(globals.json, connection.peer(), &name, &offered)?;
        if asks && !Asking::default().agrees(&offered, inbox.folder()).await {
            offered.refuse(Refusal::Declined).await;
            return Err(ReceiveError::Refused.into());
        }
        take(globals.json, name, offered, inbox.folder()).await
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

/// Where offers arrive.
struct Desk {
    book: tokio::sync::watch::Receiver<Arc<crate::book::Book>>,
    inbox: Inbox,
    asks: Option<Asking>,
    json: bool,
    /// Told after the first transfer that came to its end.
    once: Option<Arc<Notify>>,
}

impl Desk {
    async fn serve(&self, connection: Connection) {
        let peer = connection.peer();
        if let Err(failure) = self.try_serve(&connection).await {
            let name = self.book.borrow().peer(&peer);
            let reason = failure.to_string();
            let _ = if self.json {
                out::json(&Record::Failed { peer, reason })
            } else {
                out::text(format!("from {name}: {reason}"))
            };
        }
    }

    async fn try_serve(&self, connection: &Connection) -> Result<(), Failure> {
        let offered = self.inbox.offered(connection).await?;
        let name = self.book.borrow().peer(&connection.peer());
        say_offer(self.json, connection.peer(), &name, &offered)?;
        let agrees = match &self.asks {
            Some(asking) => asking.agrees(&offered, self.inbox.folder()).await,
            None => true,
        };
        if !agrees {
            offered.refuse(Refusal::Declined).await;
            return Ok(());
        }
        take(self.json, name, offered, self.inbox.folder()).await?;
        if let Some(once) = &self.once {
            once.notify_one();
        }
        Ok(())
    }
}

fn say_offer(json: bool, peer: PeerId, name: &str, offered: &Offered) -> io::Result<()> {
    let offer = offered.offer();
    if json {
        return out::json(&Record::Offered {
            peer,
            names: &offer.names,
            files: offer.files,
            bytes: offer.bytes,
        });
    }
    out::text(format!("{name} offers {}", transfer::offered(offer)))
}

async fn take(json: bool, name: String, offered: Offered, folder: &Path) -> Result<(), Failure> {
    let (progress, began, peer) = (Progress::default(), Instant::now(), offered.peer());
    let report = shown(json, &progress, offered.accept(&progress)).await?;
    let told = Told {
        peer,
        name,
        report: &report,
        began,
    };
    told.received(json, &folder.display().to_string())?;
    if report.is_complete() {
        Ok(())
    } else {
        Err(Failure::NotAll(report.problems.len()))
    }
}

/// The person at the terminal, who is asked one thing at a time.
#[derive(Default)]
struct Asking(Mutex<Option<mpsc::Receiver<String>>>);

impl Asking {
    /// Whether what is offered is to be taken; not, if nobody answers or it is not offered any more.
    async fn agrees(&self, offered: &Offered, folder: &Path) -> bool {
        let mut lines = self.0.lock().await;
        let lines = lines.get_or_insert_with(read_lines);
        // What was typed before the question answers none.
        while lines.try_recv().is_ok() {}
        out::hint(format!("put it into {}? [y/N]", folder.display()));
        let answer = tokio::select! {
            line = timeout(PATIENCE, lines.recv()) => line.ok().flatten(),
            () = offered.withdrawn() => {
                out::hint("it is not offered any more");
                None
            }
        };
        let answer = answer.unwrap_or_default();
        matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }
}

/// Lines of stdin, from a thread that may wait for them for ever.
fn read_lines() -> mpsc::Receiver<String> {
    let (tell, lines) = mpsc::channel(1);
    spawn_blocking(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if tell.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Of an argument that may be either: a code has a dash behind four of its nine letters.
pub(super) fn is_like_a_code(text: &str) -> bool {
    text.len() == 10 && text.as_bytes()[4] == b'-' && !PathBuf::from(text).exists()
}
