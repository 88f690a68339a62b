//! This home's network joined with those of peers by a TUN device: for as long as somebody listens to how that is, or as it is kept.
//!
//! There is one device, for as long as anybody links. Each link has one who holds it, and goes with that one; the others stay. A
//! command's [`Steps`] are data, and the same whether it runs the node itself or the one that runs here does it for it over the
//! control socket. Who drops them ends the command's links.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use peerway::{
    Connection, Endpoint, PeerId, Ticket,
    quic::close,
    services::subnet::{self, IpNet, LinkState, Offer, Status, Subnet, SubnetError},
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc, watch},
    task::JoinSet,
};

pub(crate) use crate::kept::link::{Refused, Route};
use crate::{
    operations::{Failed, FailureKind},
    written::Written,
};

/// What waits for whoever listens.
const AHEAD: usize = 64;

/// Whom to link with, and what of each home the other reaches.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkAsk {
    pub(crate) tickets: Vec<Ticket>,
    #[serde(default)]
    pub(crate) advertise: Vec<Written<IpNet>>,
    #[serde(default)]
    pub(crate) accept: Vec<Written<IpNet>>,
}

/// One after the other. It goes on until [`Step::Failed`], which is the last.
pub(crate) type Steps = BoxStream<'static, Step>;

/// How the links are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Step {
    /// There is a device, and these are this computer's addresses on it.
    Device {
        device: String,
        v4: Ipv4Addr,
        v6: Option<Ipv6Addr>,
        /// What is in the way of those who want to reach this home's network.
        hints: Vec<String>,
    },
    /// How the link to a peer is from now on.
    Link {
        peer: PeerId,
        up: bool,
        addresses: Vec<IpAddr>,
        routes: Vec<Route>,
        refused: Vec<Refused>,
        trouble: Option<String>,
    },
    Failed(Failed),
}

/// Why there are no links.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkingError {
    #[error("{}", words(.0))]
    Subnet(#[from] SubnetError),
    #[error("this node links with {} already, for another command: end that one first", .0.short())]
    Taken(PeerId),
    #[error(
        "the node keeps a link with {0} already: `peerway link list` says how it is, and `peerway link remove {0}` ends it"
    )]
    Kept(String),
    #[error("somebody has removed the network device: link again")]
    Gone,
}

impl LinkingError {
    pub(crate) fn failed(&self) -> Failed {
        let kind = match self {
            Self::Subnet(SubnetError::NotPermitted | SubnetError::NoTun) => {
                FailureKind::NotPermitted
            }
            Self::Subnet(_) | Self::Gone => FailureKind::Failed,
            Self::Taken(_) | Self::Kept(_) => FailureKind::Busy,
        };
        let error = self.to_string();
        Failed { kind, error }
    }
}

/// Why there is no device, and what to do without one.
fn words(error: &SubnetError) -> String {
    if matches!(error, SubnetError::NotPermitted) {
        format!(
            "{error}: `sudo setcap cap_net_admin+ep $(command -v peerway)` gives it to this program for good. Without it, `peerway expose` and `forward` reach single servers"
        )
    } else {
        error.to_string()
    }
}

/// A range of addresses, or one address, that can be linked.
pub(crate) fn range(text: &str) -> Result<IpNet, String> {
    let net = match text.parse::<IpAddr>() {
        Ok(addr) => subnet::host(addr),
        Err(_) => text
            .parse::<IpNet>()
            .map_err(|_| "write a range as in 192.168.7.0/24".to_owned())?,
    };
    subnet::check(net).map_err(|why| why.to_string())?;
    Ok(net.trunc())
}

/// Carries packets of the links that a node has at the moment; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Linker(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Held while the device is being made.
    opening: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct State {
    open: Option<Open>,
    links: BTreeMap<PeerId, By>,
}

/// Who holds a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Command,
    /// As it is kept, with whom is called so.
    Keeper(String),
}

/// The device.
#[derive(Debug)]
struct Open {
    subnet: Subnet,
    /// Ends with it.
    over: watch::Receiver<()>,
    _work: JoinSet<()>,
}

impl Open {
    fn begin(subnet: Subnet) -> Self {
        let (lasts, over) = watch::channel(());
        let mut work = JoinSet::new();
        let running = subnet.clone();
        work.spawn(async move {
            running.run().await;
            drop(lasts);
        });
        Self {
            subnet,
            over,
            _work: work,
        }
    }
}

impl Linker {
    /// Links for as long as somebody listens.
    ///
    /// # Errors
    /// See [`LinkingError`].
    pub(crate) async fn link(
        &self,
        endpoint: Endpoint,
        peers: Vec<Ticket>,
        offer: Offer,
    ) -> Result<Steps, LinkingError> {
        let held = self.hold(endpoint, peers, offer, By::Command).await?;
        let (tell, mut told) = mpsc::channel(AHEAD);
        let work = async move {
            tokio::select! {
                () = follow(held.watch(), &held.peers, &tell) => {}
                () = held.over() => {
                    let gone = Step::Failed(LinkingError::Gone.failed());
                    // Nobody may listen any more.
                    let _ = tell.send(gone).await;
                }
            }
        };
        // Packets are carried by tasks of their own, whether or not anybody reads at the moment.
        let work = stream::once(work).filter_map(async |()| None);
        let told = stream::poll_fn(move |context| told.poll_recv(context));
        Ok(stream::select(told, work).boxed())
    }

    /// Links until what this gives is dropped. The first makes the device.
    ///
    /// # Errors
    /// See [`LinkingError`].
    pub(crate) async fn hold(
        &self,
        endpoint: Endpoint,
        peers: Vec<Ticket>,
        offer: Offer,
        by: By,
    ) -> Result<Held, LinkingError> {
        let _opening = self.0.opening.lock().await;
        let seats = self.take(peers.iter().map(Ticket::id).collect(), &by)?;
        let open = self.open();
        let (subnet, over) = match open {
            Some(open) => open,
            None => {
                let subnet = Subnet::open(endpoint, [], Offer::default()).await?;
                let open = Open::begin(subnet.clone());
                let over = open.over.clone();
                // Of one that somebody removed.
                let former = self.state().open.replace(open);
                drop(former);
                (subnet, over)
            }
        };
        let held = Held {
            subnet,
            over,
            peers: seats.peers.clone(),
            _seats: seats,
        };
        let mut named = BTreeSet::new();
        for ticket in peers {
            if named.insert(ticket.id()) {
                held.subnet.link(ticket, offer.clone()).await?;
            }
        }
        Ok(held)
    }

    /// Carries packets over a connection that a peer opened, if it is linked with.
    pub(crate) async fn serve(&self, connection: Connection) {
        let Some((subnet, mut over)) = self.open() else {
            connection.close(close::NOT_LET_IN, b"no link with this peer is wanted");
            return;
        };
        tokio::select! {
            () = subnet.serve(connection) => {}
            _ = over.changed() => {}
        }
    }

    /// The device, unless somebody has removed it.
    fn open(&self) -> Option<(Subnet, watch::Receiver<()>)> {
        let state = self.state();
        let open = state.open.as_ref()?;
        let is_there = open.over.has_changed().is_ok();
        is_there.then(|| (open.subnet.clone(), open.over.clone()))
    }

    fn take(&self, peers: BTreeSet<PeerId>, by: &By) -> Result<Seats, LinkingError> {
        let mut state = self.state();
        for peer in &peers {
            match state.links.get(peer) {
                Some(By::Command) => return Err(LinkingError::Taken(*peer)),
                Some(By::Keeper(whom)) => return Err(LinkingError::Kept(whom.clone())),
                None => {}
            }
        }
        state
            .links
            .extend(peers.iter().map(|peer| (*peer, by.clone())));
        drop(state);
        Ok(Seats {
            linker: self.clone(),
            peers,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Links with these peers, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    subnet: Subnet,
    over: watch::Receiver<()>,
    peers: BTreeSet<PeerId>,
    _seats: Seats,
}

impl Held {
    /// How all links are, also those of others.
    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        self.subnet.watch()
    }

    /// Ready when the device is gone.
    pub(crate) fn over(&self) -> impl Future<Output = ()> + use<> {
        let mut over = self.over.clone();
        async move { drop(over.changed().await) }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.has_changed().is_err()
    }

    /// The peer is found by this from now on.
    pub(crate) fn readdress(&self, ticket: &Ticket) {
        self.subnet.readdress(ticket);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for peer in &self.peers {
            self.subnet.unlink(*peer);
        }
    }
}

/// The places of peers with whom one links.
#[derive(Debug)]
struct Seats {
    linker: Linker,
    peers: BTreeSet<PeerId>,
}

impl Drop for Seats {
    fn drop(&mut self) {
        let last = {
            let mut state = self.linker.state();
            state.links.retain(|peer, _| !self.peers.contains(peer));
            match state.links.is_empty() {
                true => state.open.take(),
                false => None,
            }
        };
        // With the device, which is not ended under the lock.
        drop(last);
    }
}

/// Tells of the device, and how each link is whenever that changes. Ends with the subnet.
async fn follow(
    mut status: watch::Receiver<Status>,
    peers: &BTreeSet<PeerId>,
    tell: &mpsc::Sender<Step>,
) {
    let first = status.borrow_and_update().clone();
    // Whoever does not listen any more ends the links.
    let _ = tell
        .send(Step::Device {
            device: first.device,
            v4: first.v4,
            v6: first.v6,
            hints: first.hints,
        })
        .await;
    let mut told: BTreeMap<PeerId, LinkState> = BTreeMap::new();
    loop {
        let now = status.borrow_and_update().clone();
        let links = now.links.into_iter();
        for (peer, link) in links.filter(|(peer, _)| peers.contains(peer)) {
            if told.get(&peer) != Some(&link) {
                let _ = tell.send(Step::of(peer, &link)).await;
                told.insert(peer, link);
            }
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

impl Step {
    fn of(peer: PeerId, link: &LinkState) -> Self {
        Self::Link {
            peer,
            up: link.is_up,
            addresses: link.addresses.clone(),
            routes: routes(link),
            refused: refused(link),
            trouble: link.trouble.clone(),
        }
    }
}

/// What is reached of a peer's home.
pub(crate) fn routes(link: &LinkState) -> Vec<Route> {
    let routes = link.routes.iter().map(|route| Route {
        net: route.net.to_string(),
        seen_as: route.seen_as.to_string(),
    });
    routes.collect()
}

/// What is not.
pub(crate) fn refused(link: &LinkState) -> Vec<Refused> {
    let refused = link.refused.iter().map(|(net, why)| Refused {
        net: net.to_string(),
        why: why.to_string(),
    });
    refused.collect()
}
