//! The exposing side: streams of a peer, each led to the server that it names.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quinn::{ReadExactError, WriteError};
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tracing::debug;

use super::{
    DatagramCounts, ServiceName, Target, Transport,
    limit::{Limit, Share},
    list,
    local::Local,
    request::{Answer, Obstacle, Purpose, Request},
    splice::{Broken, ResetOnDrop, StopOnDrop, splice_within},
    target::Host,
    udp::{Flows, Part, Served},
    usage::{Meter, Usage, Using},
};
use crate::{Connection, PeerId, RecvStream, SendStream, services::Rate};

/// TCP connections carried for one QUIC connection; more wait.
const MAX_STREAMS: usize = 4096;
/// What a peer may take to say what it wants.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// What an exposed server may take to accept; less than the forwarding side's patience.
const TARGET_TIMEOUT: Duration = Duration::from_secs(3);
/// So many TCP connections are known again when they are asked for once more.
const REMEMBERED: usize = 4096;

/// The servers that peers may reach, by name. Clones share them: what is inserted or removed later is so for peers that are connected too.
#[derive(Clone, Debug, Default)]
pub struct Exposed {
    services: Arc<Mutex<BTreeMap<ServiceName, Service>>>,
    begun: Arc<Mutex<Begun>>,
    flows: Arc<Flows>,
}

struct Service {
    offer: Offer,
    limit: Option<Arc<Limit>>,
    meter: Arc<Meter>,
    /// Dropped with the service, which ends what is open to it.
    lives: watch::Sender<()>,
}

/// Whether a peer may reach a server.
type May = Arc<dyn Fn(PeerId) -> bool + Send + Sync>;

/// A server, and what it is exposed for.
#[derive(Clone)]
pub struct Offer {
    target: Target,
    may: Option<May>,
    limit: Option<Rate>,
}

impl Offer {
    /// For whoever is let in, without a limit.
    #[must_use]
    pub fn new(target: impl Into<Target>) -> Self {
        Self {
            target: target.into(),
            may: None,
            limit: None,
        }
    }

    /// For the peers for which `may` says so, whenever one of them asks for it.
    #[must_use]
    pub fn only_for(mut self, may: impl Fn(PeerId) -> bool + Send + Sync + 'static) -> Self {
        self.may = Some(Arc::new(may));
        self
    }

    /// Lets so much pass each way, of all peers together. Those that use it at once have equal parts of it: connections wait for theirs,
    /// datagrams beyond it are dropped, and count as [overflowed](DatagramCounts::overflowed).
    #[must_use]
    pub fn limited_to(mut self, rate: Rate) -> Self {
        self.limit = Some(rate);
        self
    }
}

fn is_for(may: Option<&May>, peer: PeerId) -> bool {
    may.is_none_or(|may| may(peer))
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.offer.fmt(f)
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

impl Exposed {
    /// Lets peers reach the server at `target` under `name`. What is open to another one of that name ends.
    pub fn insert(&self, name: ServiceName, target: impl Into<Target>) {
        self.offer(name, Offer::new(target));
    }

    /// The same for the peers for which `may` says so, whenever one of them asks for it.
    pub fn insert_for(
        &self,
        name: ServiceName,
        target: impl Into<Target>,
        may: impl Fn(PeerId) -> bool + Send + Sync + 'static,
    ) {
        self.offer(name, Offer::new(target).only_for(may));
    }

    /// The same as the offer says.
    pub fn offer(&self, name: ServiceName, offer: Offer) {
        let service = Service {
            limit: offer.limit.map(|rate| Arc::new(Limit::new(rate))),
            offer,
            meter: Arc::default(),
            lives: watch::Sender::new(()),
        };
        self.services().insert(name, service);
    }

    /// Lets peers reach the server of this name no more, and ends what is open to it. False if there is none.
    pub fn remove(&self, name: &ServiceName) -> bool {
        self.services().remove(name).is_some()
    }

    /// Leads TCP connections and UDP datagrams to the servers until the connection ends: a handler for a
    /// [`Router`](crate::Router).
    pub async fn serve(self, connection: Connection) {
        serve(&connection, &self).await;
    }

    /// Who uses which server, and what went through since it was exposed.
    #[must_use]
    pub fn usage(&self) -> BTreeMap<ServiceName, Usage> {
        let services = self.services();
        let all = services.iter();
        all.map(|(name, it)| (name.clone(), it.meter.read()))
            .collect()
    }

    /// What became of UDP datagrams so far, of all peers.
    #[must_use]
    pub fn datagrams(&self) -> DatagramCounts {
        self.flows.counts()
    }

    fn list(&self, peer: PeerId) -> Vec<u8> {
        let services = self.services();
        let all = services.iter();
        let all: Vec<_> = all
            .map(|(name, it)| (name.clone(), it.offer.clone()))
            .collect();
        // Whoever decides may want to change them.
        drop(services);
        let theirs = all.iter().filter(|(_, it)| is_for(it.may.as_ref(), peer));
        list::emit(theirs.map(|(name, it)| (name, it.target.transport())))
    }

    fn services(&self) -> MutexGuard<'_, BTreeMap<ServiceName, Service>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server that the peer asks for, if that is for it, and on what terms it is.
    fn target(&self, name: &ServiceName, peer: PeerId) -> Result<(Target, Terms), Answer> {
        let services = self.services();
        let service = services.get(name).ok_or(Answer::UnknownService)?;
        let Offer { target, may, .. } = service.offer.clone();
        let share = service.limit.clone().map(|limit| Share { limit, peer });
        let lives = service.lives.subscribe();
        let meter = service.meter.clone();
        drop(services);
        if !is_for(may.as_ref(), peer) {
            return Err(Answer::NotAllowed);
        }
        let terms = Terms {
            share,
            meter,
            lives,
        };
        Ok((target, terms))
    }

    /// False if the peer's TCP connection was begun before.
    fn begin(&self, peer: PeerId, id: u64) -> bool {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.insert((peer, id))
    }
}

/// How much a peer may have of a service, and for how long.
struct Terms {
    share: Option<Share>,
    meter: Arc<Meter>,
    lives: watch::Receiver<()>,
}

/// The latest TCP connections, oldest first.
#[derive(Debug, Default)]
struct Begun {
    order: VecDeque<(PeerId, u64)>,
    known: HashSet<(PeerId, u64)>,
}

impl Begun {
    fn insert(&mut self, key: (PeerId, u64)) -> bool {
        if !self.known.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

pub(super) async fn serve(connection: &Connection, exposed: &Exposed) {
    let datagrams = Arc::new(Served::new(connection, &exposed.flows));
    let mut streams = JoinSet::new();
    let served = datagrams.clone();
    // On a thread of its own where there is one: it hands over what the streams' tasks do not see.
    let mut carrying = JoinSet::new();
    carrying.spawn(async move { served.run().await });
    while let Ok((send, recv)) = connection.accept_bi().await {
        while streams.try_join_next().is_some() {}
        if streams.len() >= MAX_STREAMS {
            streams.join_next().await;
        }
        let (peer, exposed, datagrams) = (connection.peer(), exposed.clone(), datagrams.clone());
        streams.spawn(async move {
            if let Err(error) = serve_stream((send, recv), peer, &exposed, &datagrams).await {
                debug!(%error, "tunnelled connection ended early");
            }
        });
    }
}

async fn serve_stream(
    (mut send, mut recv): (SendStream, RecvStream),
    peer: PeerId,
    exposed: &Exposed,
    datagrams: &Served,
) -> Result<(), StreamError> {
    let request = timeout(REQUEST_TIMEOUT, Request::read(&mut recv))
        .await
        .map_err(|_| StreamError::Timeout)??;
    let led = lead(request, peer, exposed).await;
    match led.unwrap_or_else(Led::Answer) {
        Led::Answer(answer) => Ok(send.write_all(&[answer.to_byte()]).await?),
        Led::List(list) => {
            send.write_all(&[Answer::Ok.to_byte()]).await?;
            send.write_all(&list).await?;
            let _ = send.finish();
            Ok(())
        }
        Led::To(local, mut terms) => {
            send.write_all(&[Answer::Ok.to_byte()]).await?;
            let using = Using::begin(terms.meter.clone(), peer);
            let part = (terms.share.as_ref(), &using);
            tokio::select! {
                spliced = splice_within(part, local, ResetOnDrop(send), StopOnDrop(recv)) => Ok(spliced?),
                _ = terms.lives.changed() => Err(StreamError::Removed),
            }
        }
        Led::Datagrams(host, mut terms) => {
            let using = Using::begin(terms.meter, peer);
            let part = Part {
                share: terms.share,
                using: Arc::new(using),
            };
            tokio::select! {
                served = datagrams.serve((&host, part), send, recv) => Ok(served?),
                _ = terms.lives.changed() => Err(StreamError::Removed),
            }
        }
    }
}

/// Where a stream leads, for as long as the service lives.
enum Led {
    Answer(Answer),
    List(Vec<u8>),
    To(Local, Terms),
    Datagrams(Host, Terms),
}

async fn lead(request: Option<Request>, peer: PeerId, exposed: &Exposed) -> Result<Led, Answer> {
    let Request { kind, name, id } = request.ok_or(Answer::Malformed)?;
    match kind {
        Purpose::List => Ok(Led::List(exposed.list(peer))),
        Purpose::Check => {
            let (target, _) = exposed.target(&name, peer)?;
            match (target.transport(), target.obstacle()) {
                (Transport::Datagrams, _) => Err(Answer::IsUdp),
                (Transport::Stream, Some(obstacle)) => Err(Answer::NoTarget(obstacle)),
                (Transport::Stream, None) => Ok(Led::Answer(Answer::Ok)),
            }
        }
        Purpose::Connect => {
            let (target, terms) = exposed.target(&name, peer)?;
            if target.transport() == Transport::Datagrams {
                return Err(Answer::IsUdp);
            }
            if !exposed.begin(peer, id) {
                return Err(Answer::Repeated);
            }
            let connected = timeout(TARGET_TIMEOUT, target.connect()).await;
            let connected = connected.unwrap_or(Err(Obstacle::Silence));
            let local = connected.map_err(Answer::NoTarget)?;
            Ok(Led::To(local, terms))
        }
        Purpose::Datagrams => match exposed.target(&name, peer)? {
            (Target::Udp(host), terms) => Ok(Led::Datagrams(host, terms)),
            (Target::Tcp(_), _) => Err(Answer::IsTcp),
            #[cfg(unix)]
            (Target::Unix(_), _) => Err(Answer::IsTcp),
        },
    }
}

#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("no request came")]
    Timeout,
    #[error("the service was removed")]
    Removed,
    #[error("while reading the request: {0}")]
    Request(#[from] ReadExactError),
    #[error("while answering: {0}")]
    Answer(#[from] WriteError),
    #[error(transparent)]
    Broken(#[from] Broken),
}
