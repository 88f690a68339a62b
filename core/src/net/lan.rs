//! Peers on the same network find each other by DNS-SD over multicast DNS (RFC 6763, RFC 6762), service `_peerway._udp`: no
//! relay and no internet are needed.
//!
//! A node that accepts connections announces an [`Alias`], its port and its addresses on each network; somebody who does not
//! know its id learns no more than that some Peerway node is there. Who dials asks, and goes on asking while a dialled peer
//! is not reached directly. What is found is a hint that anybody can forge: only the handshake proves who is there.
//!
//! The daemon would answer the whole internet, and remember whatever is sent to it. So it is given only the interfaces on
//! which nobody but neighbours can reach us, and replaced when it remembers too much.

mod alias;

use std::{
    collections::BTreeMap,
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use mdns_sd::{
    IfKind, IfPredicate, Metrics, Receiver, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent,
    ServiceInfo,
};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::{PeerId, addr::Families};
use alias::Alias;

const SERVICE: &str = "_peerway._udp.local.";
/// Announced nodes that are remembered; on a network with more, the first ones seen, and whoever is looked for.
const MAX_FOUND: usize = 256;
/// Addresses of one node that are remembered.
const MAX_ADDRS: usize = 8;
/// Records that the daemon may remember, and how often they are counted.
const MAX_CACHED: i64 = 4096;
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// For our goodbye to leave.
const GOODBYE: Duration = Duration::from_millis(500);

/// What we announce, and what we hear others announce. It has a thread of its own, which ends with it.
pub(crate) struct Lan {
    id: PeerId,
    daemon: ServiceDaemon,
    secluded: Secluded,
    /// The full name of our announcement, and the addresses in it.
    announced: Option<(String, Vec<SocketAddr>)>,
    search: Option<Receiver<ServiceEvent>>,
    found: BTreeMap<Alias, Vec<SocketAddr>>,
    count: Interval,
    /// Where the counts come that were asked for last.
    counted: Option<Receiver<Metrics>>,
}

/// The interfaces that the daemon may use, by index; it reads them on its own thread.
type Secluded = Arc<ArcSwap<BTreeMap<u32, Families>>>;

/// Somebody came, moved or left.
#[derive(Debug)]
pub(crate) struct Sighting(Alias);

/// Why a node finds nobody on the local network.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LanError {
    /// Allow it by [`Builder::lan_discovery`](crate::Builder::lan_discovery). A node that is to use relays alone, or to stay on this
    /// computer, looks nowhere.
    #[error("this node is not to look there")]
    Off,
    /// Dial tickets: the system keeps the network interfaces secret, as Android does.
    #[error("the system does not list this computer's network interfaces")]
    NoInterfaces,
    /// Allow the program to use multicast on UDP port 5353.
    #[error("multicast DNS is not to be had ({0})")]
    Mdns(#[source] Arc<dyn Error + Send + Sync>),
    /// Start the node again when the operating system is up; it gives no randomness for a name.
    #[error("the operating system has no randomness ({0})")]
    Random(#[source] Arc<io::Error>),
}

impl From<mdns_sd::Error> for LanError {
    fn from(error: mdns_sd::Error) -> Self {
        Self::Mdns(Arc::new(error))
    }
}

impl From<getrandom::Error> for LanError {
    fn from(error: getrandom::Error) -> Self {
        Self::Random(Arc::new(error.into()))
    }
}

impl Lan {
    pub(crate) fn start(id: PeerId) -> Result<Self, LanError> {
        let secluded = Secluded::default();
        let mut count = interval(COUNT_EVERY);
        count.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            id,
            daemon: start_daemon(&secluded)?,
            secluded,
            announced: None,
            search: None,
            found: BTreeMap::new(),
            count,
            counted: None,
        })
    }

    /// From now on these interfaces are used, and no others.
    pub(crate) fn network_changed(&self, secluded: &BTreeMap<u32, Families>) {
        self.secluded.store(Arc::new(secluded.clone()));
        // It looks for itself every five seconds only.
        let _ = self.daemon.enable_interface(Vec::<IfKind>::new());
    }

    /// Announces these addresses instead of those before; each only on the network that it belongs to.
    pub(crate) fn announce(&mut self, addrs: &[SocketAddr]) -> Result<(), LanError> {
        let Some(port) = addrs.first().map(SocketAddr::port) else {
            self.withdraw();
            return Ok(());
        };
        // One announcement has one port; IPv6 has another one only where somebody else held it.
        let addrs: Vec<SocketAddr> = addrs
            .iter()
            .filter(|addr| addr.port() == port)
            .copied()
            .collect();
        if self
            .announced
            .as_ref()
            .is_some_and(|(_, known)| *known == addrs)
        {
            return Ok(());
        }
        self.withdraw();
        let mut salt = [0; 8];
        getrandom::fill(&mut salt)?;
        let alias = Alias::new(self.id, salt);
        let ips: Vec<IpAddr> = addrs.iter().map(SocketAddr::ip).collect();
        let host = format!("{alias}.local.");
        let name = alias.to_string();
        let mut service = ServiceInfo::new(SERVICE, &name, &host, &ips[..], port, None)?;
        // No other node has the same 128 random bits.
        service.set_requires_probe(false);
        let full_name = service.get_fullname().to_owned();
        self.daemon.register(service)?;
        self.announced = Some((full_name, addrs));
        Ok(())
    }

    /// Asks who is there, until [`Self::rest`].
    pub(crate) fn search(&mut self) -> Result<(), LanError> {
        if self.search.is_none() {
            self.search = Some(self.daemon.browse(SERVICE)?);
        }
        Ok(())
    }

    /// Asks no more, and forgets the answers.
    pub(crate) fn rest(&mut self) {
        if self.search.take().is_some() {
            self.found.clear();
            let _ = self.daemon.stop_browse(SERVICE);
        }
    }

    /// Waits for the next change of what was found; forever while nobody asks. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Sighting {
        loop {
            let event = tokio::select! {
                event = heard(self.search.as_ref()) => event,
                _ = self.count.tick() => {
                    self.limit_cache();
                    continue;
                }
            };
            match event {
                Some(event) => {
                    if let Some(alias) = self.take(event) {
                        return Sighting(alias);
                    }
                }
                None => self.search = None,
            }
        }
    }

    /// Where one of `peers` is, if that is whom a sighting was of.
    pub(crate) fn who(
        &mut self,
        Sighting(alias): Sighting,
        mut peers: impl Iterator<Item = PeerId>,
    ) -> Option<(PeerId, Vec<SocketAddr>)> {
        let Some(peer) = peers.find(|peer| alias.is_of(*peer)) else {
            if self.found.len() > MAX_FOUND {
                self.found.remove(&alias);
            }
            return None;
        };
        Some((peer, self.find(peer)))
    }

    /// Where a peer was seen.
    pub(crate) fn find(&self, peer: PeerId) -> Vec<SocketAddr> {
        let theirs = self.found.iter().filter(|(alias, _)| alias.is_of(peer));
        theirs.flat_map(|(_, addrs)| addrs.clone()).collect()
    }

    /// Withdraws the announcement and waits a moment for that to be sent.
    pub(crate) async fn close(mut self) {
        let gone = self
            .announced
            .take()
            .and_then(|(name, _)| self.daemon.unregister(&name).ok());
        if let Some(gone) = gone {
            let _ = timeout(GOODBYE, gone.recv_async()).await;
        }
    }

    /// Looks at the last count, and asks for the next one.
    fn limit_cache(&mut self) {
        let counted = self.counted.take();
        if counted
            .is_some_and(|counted| counted.try_recv().is_ok_and(|of| cached(&of) > MAX_CACHED))
            && let Err(error) = self.begin_anew()
        {
            tracing::debug!(%error, "no discovery on the local network");
        }
        self.counted = self.daemon.get_metrics().ok();
    }

    /// Goes on with a daemon that remembers nothing.
    fn begin_anew(&mut self) -> Result<(), LanError> {
        tracing::debug!("somebody floods the local network with names");
        let daemon = start_daemon(&self.secluded)?;
        let _ = std::mem::replace(&mut self.daemon, daemon).shutdown();
        if let Some((_, addrs)) = self.announced.take() {
            self.announce(&addrs)?;
        }
        if self.search.take().is_some() {
            self.found.clear();
            self.search()?;
        }
        Ok(())
    }

    fn withdraw(&mut self) {
        if let Some((name, _)) = self.announced.take() {
            let _ = self.daemon.unregister(&name);
        }
    }

    fn take(&mut self, event: ServiceEvent) -> Option<Alias> {
        if let ServiceEvent::ServiceRemoved(_, name) = event {
            let alias = alias_of(&name)?;
            return self.found.remove(&alias).map(|_| alias);
        }
        let ServiceEvent::ServiceResolved(service) = event else {
            return None;
        };
        let alias = alias_of(&service.fullname)?;
        let addrs = addrs_of(&service);
        let before = self.found.insert(alias, addrs.clone());
        (before != Some(addrs)).then_some(alias)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        let _ = self.daemon.shutdown();
    }
}

/// A daemon that neither sends to nor hears any interface but these.
fn start_daemon(secluded: &Secluded) -> mdns_sd::Result<ServiceDaemon> {
    let daemon = ServiceDaemon::new()?;
    let secluded = secluded.clone();
    let is_open = IfPredicate::new(move |one| {
        let secluded = secluded.load();
        let families = one.index.and_then(|index| secluded.get(&index).copied());
        !families.unwrap_or_default().has(one.ip())
    });
    daemon.disable_interface(IfKind::Predicate(is_open))?;
    Ok(daemon)
}

/// What a search finds next; none if it is over.
async fn heard(search: Option<&Receiver<ServiceEvent>>) -> Option<ServiceEvent> {
    match search {
        Some(search) => search.recv_async().await.ok(),
        None => std::future::pending().await,
    }
}

/// The records of others that a daemon remembers.
fn cached(metrics: &Metrics) -> i64 {
    ["ptr", "srv", "addr", "txt", "nsec", "subtype"]
        .iter()
        .filter_map(|kind| metrics.get(&format!("cached-{kind}")))
        .sum()
}

fn alias_of(full_name: &str) -> Option<Alias> {
    let name = full_name.strip_suffix(SERVICE)?.strip_suffix('.')?;
    name.parse().ok()
}

fn addrs_of(service: &ResolvedService) -> Vec<SocketAddr> {
    let at = |ip: &ScopedIp| SocketAddr::new(ip.to_ip_addr(), service.port);
    let mut addrs: Vec<SocketAddr> = service.addresses.iter().map(at).collect();
    addrs.sort_unstable();
    addrs.truncate(MAX_ADDRS);
    addrs
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
