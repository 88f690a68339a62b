//! `peerway up`: a node that others can reach, until it is told to end.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::{Future, pending},
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
};

use futures_util::StreamExt;
use peerway::{EventKind, PeerId, RelayUrl, Router, Ticket, services::files::Inbox};
use serde::Serialize;

#[cfg(all(feature = "subnet", target_os = "linux"))]
use super::link;
use super::{
    answering::Answering,
    args::{Globals, Up},
    clock::shown,
    datagrams, expose,
    failure::Failure,
    invite,
    keep::{Keeper, limited},
    node::Node,
    out,
    own_relay::{OwnRelay, Place},
    receive,
    reunion::Linked,
    share, sharing,
    state::StateDir,
    words,
};
#[cfg(unix)]
use super::{background, logs};
use crate::{Told, all_told, book::Book, kept::Services};

pub(super) async fn run(globals: &Globals, args: &Up) -> Result<(), Failure> {
    #[cfg(unix)]
    if args.in_background {
        background::leave_terminal()?;
    }
    let inbox = args.receive.as_ref().map(Inbox::open).transpose()?;
    let besides = Besides {
        relay: args.serve_relay.as_ref(),
        keeper: Some(Keeper::open(globals)?),
        directory: args.directory,
        folder: inbox.as_ref().map(|inbox| inbox.folder().to_owned()),
    };
    let offer = |router, node: &Node| {
        let router = diagnostics(router, !args.no_diagnostics);
        match inbox {
            Some(inbox) => receive::always(router, node, inbox, globals.json),
            None => router,
        }
    };
    let serving = serve(globals, besides, offer, args.fail_fast, |ticket| {
        vec![format!("peerway ping {ticket}")]
    });
    #[cfg(unix)]
    if args.in_background {
        let log = logs::file(&StateDir::open(globals)?);
        return tokio::select! {
            served = serving => served,
            never = logs::keep_short(&log) => match never {},
        };
    }
    serving.await
}

/// The router that also answers ping and speed, if it is to.
pub(super) fn diagnostics(router: Router, enabled: bool) -> Router {
    if enabled {
        router.diagnostics()
    } else {
        router
    }
}

/// What a node does that only `up` has it do.
#[derive(Default)]
pub(super) struct Besides<'a> {
    /// Where it is a relay as well.
    relay: Option<&'a Place>,
    /// What it exposes and forwards whenever it runs.
    keeper: Option<Keeper>,
    /// Whether it keeps for its groups what members publish.
    directory: bool,
    /// The folder of what it receives, which is told of elsewhere.
    folder: Option<PathBuf>,
}

impl Besides<'_> {
    /// Of a node that receives into this folder, and tells of that itself.
    pub(super) fn receiving(folder: &Path) -> Self {
        Self {
            folder: Some(folder.to_owned()),
            ..Self::default()
        }
    }

    fn services(&self) -> Option<&Services> {
        self.keeper.as_ref().map(Keeper::services)
    }

    async fn keep(&self, globals: &Globals, node: &Node) -> Infallible {
        match &self.keeper {
            Some(keeper) => keeper.run(node).await,
            None => limited(globals, node, out::hint).await,
        }
    }
}

/// Serves what `offer` adds to a router until Ctrl-C; `commands` are what the other side has to type. Without a relay the network
/// around is served, unless the node is to fail fast.
pub(super) async fn serve(
    globals: &Globals,
    besides: Besides<'_>,
    offer: impl FnOnce(Router, &Node) -> Router,
    fail_fast: bool,
    commands: impl Fn(&Ticket) -> Vec<String>,
) -> Result<(), Failure> {
    let node = Node::listening(globals).await?;
    if besides.directory
        && let Some(groups) = node.groups()
    {
        node.search().be_directory(groups);
        groups.be_directory();
    }
    let answering = Answering::open(globals, &node, besides.services()).await?;
    let relay = match besides.relay {
        Some(place) => {
            let state = StateDir::open(globals)?;
            let directory = node.directory();
            Some(OwnRelay::open(place, state.relay_key()?, directory.as_ref()).await?)
        }
        None => None,
    };
    let router = offer(Router::new(node.endpoint.clone()), &node);
    let router = expose::serve(share::serve(router, &node), &node);
    let router = receive::serve(router, &node);
    #[cfg(all(feature = "subnet", target_os = "linux"))]
    let router = link::serve(router, &node);
    let router = invite::host(router, globals, &node, out::hint)?;
    let router = answering.afar(sharing::accept(router, &node));
    let linked = Linked::in_folder(&StateDir::open(globals)?);
    let mut events = pin!(all_told(node.endpoint.events(), besides.services()));
    let body = async {
        if let Some(relay) = &relay {
            relay.say_what_it_needs();
            relay.admit(&node.endpoint, &globals.relays).await;
        }
        if fail_fast {
            node.reachable().await?;
        }
        let ticket = node.endpoint.ticket();
        if let Some(hint) = reach(&ticket, has_fixed_port(globals)) {
            out::hint(hint);
        }
        if let Some(blindness) = words::blindness(&node.endpoint.snapshot().network) {
            out::hint(blindness);
        }
        let commands = commands(&ticket);
        let print = async {
            let socket = answering.socket().map(ToOwned::to_owned);
            let relay = relay.as_ref().map(OwnRelay::url);
            print_ready(ticket, socket, relay, commands, globals.json).await?;
            let mut printer = Printer::new(globals.json).without(besides.folder.as_deref());
            while let Some(told) = events.next().await {
                printer.print(told, node.book().book()).await?;
            }
            Ok(())
        };
        let serving = async { tokio::join!(router.run(), complain(&node, globals)) };
        tokio::select! {
            _ = serving => Ok(()),
            () = answering.serve(&node) => Ok(()),
            never = node.book().follow(&node.endpoint, out::hint) => match never {},
            never = sharing::share(&node) => match never {},
            never = node.sharing().tend() => match never {},
            never = linked.tend(&node) => match never {},
            never = besides.keep(globals, &node) => match never {},
            result = served_without_reader(print) => result,
        }
    };
    let running = node.run(body);
    let ran = match &relay {
        Some(relay) => relay.during(node.book().watch(), running).await,
        None => running.await,
    };
    linked.forget();
    ran?;
    let datagrams = node.servers().exposed().datagrams();
    Ok(datagrams::print(datagrams.into(), globals.json)?)
}

/// Says once why no relay could be reached so far.
async fn complain(node: &Node, globals: &Globals) {
    if let Err(failure) = node.reachable().await {
        let is_hidden = globals.no_lan || globals.relay_only;
        let is_found = !is_hidden && node.endpoint.snapshot().network.lan_trouble.is_none();
        let meanwhile = if is_found {
            "Peers on this network reach this node meanwhile, and it keeps trying"
        } else {
            "Nobody reaches this node meanwhile; it keeps trying"
        };
        out::hint(format!("{failure}. {meanwhile}"));
    }
}

/// What a node whose reader goes away has to tell is told to nobody, and its peers are served on.
pub(super) async fn served_without_reader(
    print: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    match print.await {
        Err(failure) if failure.is_silent() => pending().await,
        printed => printed,
    }
}

/// Whether the node is at the same port whenever it is started.
pub(super) fn has_fixed_port(globals: &Globals) -> bool {
    globals.bind.is_some_and(|addr| addr.port() != 0)
}

/// From where a node can be dialled that has no relay, and what would change that.
pub(super) fn reach(ticket: &Ticket, is_fixed: bool) -> Option<String> {
    if !ticket.relays().is_empty() {
        return None;
    }
    let public = ticket.public_addrs().find(SocketAddr::is_ipv4);
    Some(match public.map(|addr| (addr.ip(), addr.port())) {
        Some((ip, port)) if is_fixed => format!(
            "no relay is needed: the ticket names the public address of this computer, {ip}. Let UDP port {port} in at its firewall"
        ),
        Some((ip, _)) => format!(
            "no relay is needed: this computer has a public address, {ip}. With --bind PORT, here and for the node, tickets name it and stay valid"
        ),
        None if ticket.is_local() && ticket.discovery().is_some() => "no relay is named, so this ticket works on this network only, or by way of the Mainline DHT while `up` runs here and both routers are ordinary ones: name one with --relay URL to be reached from everywhere".to_owned(),
        None if ticket.is_local() => "no relay is named, so this ticket works on this network only: name one with --relay URL to be reached from elsewhere".to_owned(),
        None => "no relay is named, so this ticket works where the addresses in it can be reached: name one with --relay URL for the rest".to_owned(),
    })
}

/// How many lines say that the node is ready.
#[cfg(unix)]
pub(super) fn ready_lines(globals: &Globals, args: &Up) -> usize {
    if globals.json {
        1
    } else {
        2 + usize::from(args.serve_relay.is_some())
    }
}

pub(super) async fn print_ready(
    ticket: Ticket,
    socket: Option<PathBuf>,
    relay: Option<RelayUrl>,
    commands: Vec<String>,
    json: bool,
) -> Result<(), Failure> {
    let ready = move || {
        if json {
            return out::json(&Record::Ready {
                id: ticket.id(),
                ticket: &ticket,
                socket: socket.as_deref(),
                relay: relay.as_ref(),
            });
        }
        out::text(format!("ready as {}", ticket.id()))?;
        if let Some(relay) = &relay {
            out::text(format!("a relay for others: --relay {relay}"))?;
        }
        commands
            .iter()
            .try_for_each(|command| out::text(format!("on the other side: {command}")))
    };
    Ok(out::aside(ready).await?)
}

/// Prints what happens on a node, a line each.
pub(super) struct Printer {
    json: bool,
    /// Whether lines begin with the time of what they tell.
    dated: bool,
    lasting: Lasting,
    /// What is received into it is not printed.
    folder: Option<String>,
}

impl Printer {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            dated: false,
            lasting: Lasting::default(),
            folder: None,
        }
    }

    /// Says when.
    pub(super) fn dated(self, dated: bool) -> Self {
        Self { dated, ..self }
    }

    /// Does not print what is received into this folder.
    fn without(self, folder: Option<&Path>) -> Self {
        let folder = folder.map(|folder| folder.display().to_string());
        Self { folder, ..self }
    }

    pub(super) async fn print(&mut self, told: Told, book: Arc<Book>) -> Result<(), Failure> {
        let (json, dated) = (self.json, self.dated);
        if let Told::Event(event) = &told
            && let EventKind::Received { what, .. } = &event.kind
            && what.folder.is_some()
            && what.folder == self.folder
        {
            return Ok(());
        }
        let lasts = match &told {
            Told::Event(event) => self.lasting.goes_on(&event.kind),
            Told::Service(_) | Told::Missed(_) => false,
        };
        let print = move || match told {
            Told::Event(event) if json => out::json(&event),
            Told::Event(event) => {
                let when = dated.then(|| shown(event.at_ms)).flatten();
                let when = when.map(|when| when + "  ").unwrap_or_default();
                let still = if lasts { "still: " } else { "" };
                let text = words::event(&event.kind, &book);
                out::text(format!("{when}{still}{text}"))
            }
            Told::Service(change) if json => out::json(&change),
            Told::Service(change) => out::text(change.words()),
            Told::Missed(count) if json => out::json(&Record::Missed { count }),
            Told::Missed(count) => out::text(format!("{count} events were missed")),
        };
        Ok(out::aside(print).await?)
    }
}

/// Why relays are down, as was said last.
#[derive(Default)]
struct Lasting(BTreeMap<RelayUrl, String>);

impl Lasting {
    /// Whether an event tells what was told before, which nodes do after a longer while.
    fn goes_on(&mut self, event: &EventKind) -> bool {
        if let EventKind::RelayUp { relay, .. } = event {
            self.0.remove(relay);
        }
        let EventKind::RelayDown { relay, reason } = event else {
            return false;
        };
        self.0.insert(relay.clone(), reason.clone()).as_ref() == Some(reason)
    }
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Record<'a> {
    Ready {
        id: PeerId,
        ticket: &'a Ticket,
        /// Where it is asked; none if it cannot be.
        socket: Option<&'a Path>,
        /// Which it is itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        relay: Option<&'a RelayUrl>,
    },
    Missed {
        count: u64,
    },
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use peerway::SecretKey;

    use super::{super::documented::assert_keys, *};

    #[test]
    fn who_has_no_relay_is_told_from_where_the_ticket_works() {
        let id = SecretKey::from_seed(&[1; 32]).id();
        let told = |addrs: &[&str], is_fixed| {
            let addrs = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
            reach(&Ticket::new(id, Vec::new(), addrs), is_fixed).unwrap()
        };
        let public = ["192.168.1.5:41641", "62.10.0.2:41641"];
        let needless = told(&public, true);
        assert!(needless.starts_with("no relay is needed"), "{needless}");
        assert!(
            needless.contains("62.10.0.2. Let UDP port 41641"),
            "{needless}"
        );
        assert!(told(&public, false).contains("--bind PORT"));
        assert!(told(&public[..1], true).contains("on this network only"));
        assert!(told(&[], true).contains("on this network only"));
        let secret = peerway::DiscoverySecret::from_bytes([1; 16]);
        let found = Ticket::from(id).with_discovery(Some(secret));
        assert!(reach(&found, true).unwrap().contains("Mainline DHT"));
        let six = told(&["[2a01:4f8::1]:41641"], true);
        assert!(six.contains("where the addresses in it"), "{six}");
        let relay = RelayUrl::new(id, "relay.example.org", 4433).unwrap();
        assert_eq!(reach(&Ticket::new(id, vec![relay], Vec::new()), true), None);
    }

    #[test]
    fn a_relay_that_is_down_for_the_same_reason_as_before_is_still_down() {
        let relay = RelayUrl::new(SecretKey::from_seed(&[1; 32]).id(), "192.0.2.9", 4433).unwrap();
        let down = |reason: &str| EventKind::RelayDown {
            relay: relay.clone(),
            reason: reason.to_owned(),
        };
        let up = EventKind::RelayUp {
            relay: relay.clone(),
            rtt: Duration::from_millis(1),
        };
        let mut lasting = Lasting::default();
        let told = [down("a"), down("a"), down("b"), down("a"), up, down("a")];
        let goes_on = told.map(|event| lasting.goes_on(&event));
        assert_eq!(goes_on, [false, true, false, false, false, false]);
    }

    #[test]
    fn the_ready_line_keeps_its_keys() {
        let id = SecretKey::from_seed(&[1; 32]).id();
        let ticket = Ticket::from(id);
        let ready = |relay| Record::Ready {
            id,
            ticket: &ticket,
            socket: Some(Path::new("/run/a.sock")),
            relay,
        };
        assert_eq!(
            serde_json::to_string(&ready(None)).unwrap(),
            format!(
                r#"{{"event":"ready","id":"{id}","ticket":"{ticket}","socket":"/run/a.sock"}}"#
            )
        );
        let relay = RelayUrl::new(id, "relay.example.org", 4433).unwrap();
        assert_keys("up", &ready(Some(&relay)));
        for command in ["up", "expose"] {
            assert_keys(command, &ready(None));
            assert_keys(command, &Record::Missed { count: 1 });
        }
    }
}
