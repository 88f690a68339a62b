//! This home's network joined with those of peers by a TUN device, for as long as somebody listens to how that is.
//!
//! The [`Steps`] are data, and the same whether a command runs the node itself or the one that runs here does it for it over the
//! control socket. Who drops them ends the links, and the device with them.

use std::{
    collections::BTreeMap,
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
    services::subnet::{IpNet, LinkState, Offer, Status, Subnet, SubnetError},
};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

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

/// A range of a peer's home, and as what it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) net: String,
    pub(crate) seen_as: String,
}

/// A range that is not reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) net: String,
    pub(crate) why: String,
}

/// Why there are no links.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkingError {
    #[error("{}", words(.0))]
    Subnet(#[from] SubnetError),
    #[error(
        "this node links networks already, for another command: end that one first, or name all peers in one command"
    )]
    Taken,
}

impl LinkingError {
    pub(crate) fn failed(&self) -> Failed {
        let kind = match self {
            Self::Subnet(SubnetError::NotPermitted | SubnetError::NoTun) => {
                FailureKind::NotPermitted
            }
            Self::Subnet(_) => FailureKind::Failed,
            Self::Taken => FailureKind::Busy,
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

/// Carries packets of the links that a node has at the moment; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Linker(Arc<Mutex<State>>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Free,
    /// The device is being made.
    Taken,
    Open(Subnet, watch::Receiver<()>),
}

impl Linker {
    /// Makes the device, and has it be for as long as somebody listens.
    ///
    /// # Errors
    /// See [`LinkingError`].
    pub(crate) async fn link(
        &self,
        endpoint: Endpoint,
        peers: Vec<Ticket>,
        offer: Offer,
    ) -> Result<Steps, LinkingError> {
        let seat = self.take()?;
        let subnet = Subnet::open(endpoint, peers, offer).await?;
        let (lasts, over) = watch::channel(());
        *self.state() = State::Open(subnet.clone(), over);
        let (tell, mut told) = mpsc::channel(AHEAD);
        let work = async move {
            // The last of these ends what peers opened, and makes room for another device.
            let _held = (seat, lasts);
            let status = subnet.watch();
            tokio::select! {
                () = subnet.run() => {}
                () = follow(status, &tell) => {}
            }
        };
        // Its packets are carried by tasks of its own, whether or not anybody reads at the moment.
        let work = stream::once(work).filter_map(async |()| None);
        let told = stream::poll_fn(move |context| told.poll_recv(context));
        Ok(stream::select(told, work).boxed())
    }

    /// Carries packets over a connection that a peer opened, if it is linked with.
    pub(crate) async fn serve(&self, connection: Connection) {
        let open = match &*self.state() {
            State::Open(subnet, over) => Some((subnet.clone(), over.clone())),
            State::Free | State::Taken => None,
        };
        let Some((subnet, mut over)) = open else {
            connection.close(close::NOT_LET_IN, b"no link with this peer is wanted");
            return;
        };
        tokio::select! {
            () = subnet.serve(connection) => {}
            _ = over.changed() => {}
        }
    }

    fn take(&self) -> Result<Seat, LinkingError> {
        let mut state = self.state();
        match &*state {
            State::Free => *state = State::Taken,
            State::Taken | State::Open(..) => return Err(LinkingError::Taken),
        }
        Ok(Seat(self.clone()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of the one who links.
struct Seat(Linker);

impl Drop for Seat {
    fn drop(&mut self) {
        let last = std::mem::take(&mut *self.0.state());
        // With the device, which is not ended under the lock.
        drop(last);
    }
}

/// Tells of the device, and how each link is whenever that changes. Ends with the subnet.
async fn follow(mut status: watch::Receiver<Status>, tell: &mpsc::Sender<Step>) {
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
        for (peer, link) in now.links {
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
        let routes = link.routes.iter().map(|route| Route {
            net: route.net.to_string(),
            seen_as: route.seen_as.to_string(),
        });
        let refused = link.refused.iter().map(|(net, why)| Refused {
            net: net.to_string(),
            why: why.to_string(),
        });
        Self::Link {
            peer,
            up: link.is_up,
            addresses: link.addresses.clone(),
            routes: routes.collect(),
            refused: refused.collect(),
            trouble: link.trouble.clone(),
        }
    }
}
