//! A node's own record, kept up to date in the [`Directory`]: [`Publisher`].

mod schedule;

use std::net::SocketAddr;

use peerway::{DiscoverySecret, Endpoint, NodeSnapshot, Observed, RelayState, RelayUrl, SecretKey};
use tokio::sync::watch;

use self::schedule::Schedule;
use crate::{
    call::{listen::needs_calls, ports_vary},
    clock::{now, until},
    directory::{Directory, DirectoryError},
    record::{Period, Record},
    unix_seconds,
};

/// What is published, and for whom.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Audience {
    /// Whoever has one of these and the id finds the record; [`DiscoverySecret::PUBLIC`] is for whoever has the id.
    pub secrets: Vec<DiscoverySecret>,
    /// Whether they learn the node's public addresses too, and not its relays alone.
    pub addresses: bool,
}

impl Audience {
    /// Those who have one of these secrets, who learn the relays alone.
    #[must_use]
    pub fn new(secrets: Vec<DiscoverySecret>) -> Self {
        Self {
            secrets,
            addresses: false,
        }
    }
}

/// Keeps the record of a node up to date: it is written 5 s after a change, every hour in any case, and once a minute at most.
#[derive(Debug)]
pub struct Publisher {
    key: SecretKey,
    audience: Audience,
    directory: Directory,
    is_prompt: bool,
    /// Whether a record was stored.
    stored: watch::Sender<bool>,
}

impl Publisher {
    /// The key is the endpoint's: what it signs are records.
    #[must_use]
    pub fn new(key: SecretKey, audience: Audience, directory: Directory) -> Self {
        Self {
            key,
            audience,
            directory,
            is_prompt: false,
            stored: watch::Sender::new(false),
        }
    }

    /// What changes is written at once, as somebody waits to be found.
    #[must_use]
    pub fn prompt(self) -> Self {
        Self {
            is_prompt: true,
            ..self
        }
    }

    /// Waits until a record is stored.
    pub async fn stored(&self) {
        // It cannot end before this.
        let _ = self.stored.subscribe().wait_for(|stored| *stored).await;
    }

    /// Publishes as long as the endpoint runs, or until the future is dropped, and has its snapshots tell how that goes. What was
    /// published is found for three hours more.
    pub async fn run(&self, endpoint: &Endpoint) {
        let directory = self.directory.by_relays_of(endpoint);
        let (mut told, mut is_published) = ("", false);
        let mut snapshots = endpoint.snapshots();
        let seed = self.key.derive("peerway record schedule");
        let mut schedule =
            Schedule::new(u64::from_le_bytes(*seed.first_chunk().unwrap_or(&[0; 8])));
        if self.is_prompt {
            schedule.be_prompt();
        }
        loop {
            let place = self.place(&snapshots.borrow_and_update());
            schedule.set(now(), place);
            if let Some(place) = schedule.handle_timeout(now()) {
                let result = self.publish(&directory, &place).await;
                schedule.on_done(now(), result.is_ok());
                is_published = true;
                if result.is_ok() {
                    self.stored.send_replace(true);
                }
                endpoint.show_publishing(words(&result)).await;
            } else if !is_published {
                let now = waiting(&snapshots.borrow());
                if std::mem::replace(&mut told, now) != now {
                    endpoint.show_publishing(now).await;
                }
            }
            let due = schedule.poll_timeout();
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() {
                    return;
                },
                () = until(due) => {}
            }
        }
    }

    fn place(&self, snapshot: &NodeSnapshot) -> Place {
        let own = snapshot.ticket.relays();
        let up = snapshot.relays.iter();
        let up = up.filter(|relay| relay.state == RelayState::Up && own.contains(&relay.url));
        let relays = up.map(|relay| relay.url.clone()).collect();
        if needs_calls(snapshot) {
            return place_without_relay(snapshot);
        }
        let addrs = if self.audience.addresses {
            addresses(snapshot)
        } else {
            Vec::new()
        };
        let to_call = Vec::new();
        Place {
            relays,
            addrs,
            to_call,
        }
    }

    /// Stores a record for each secret and period. How many nodes took the one that the fewest took.
    async fn publish(&self, directory: &Directory, place: &Place) -> Result<u32, DirectoryError> {
        let now = unix_seconds();
        let periods = Period::to_publish(self.key.id(), now);
        let mut fewest = u32::MAX;
        for secret in &self.audience.secrets {
            for period in &periods {
                let nodes = self.put(directory, place, *secret, *period, now).await?;
                fewest = fewest.min(nodes);
            }
        }
        Ok(fewest)
    }

    /// Stores one. Where there is one of a later time, ours takes its place once: a clock was wrong.
    async fn put(
        &self,
        directory: &Directory,
        place: &Place,
        secret: DiscoverySecret,
        period: Period,
        now: u64,
    ) -> Result<u32, DirectoryError> {
        let sealed = |written_at| {
            let record = Record::new(written_at, &place.relays, &place.addrs);
            let record = record.to_call(&place.to_call);
            let sealed = record.seal(&self.key, secret, period);
            // No record of `new` is too long.
            sealed.map_err(|_| peerway_dht::DirectoryError::TooLong { len: 0 })
        };
        let item = sealed(now)?;
        let key = item.key;
        match directory.put(item).await {
            Err(DirectoryError::Dht(peerway_dht::DirectoryError::Outdated)) => {}
            stored => return stored,
        }
        let mut lookup = directory.get(key).await;
        let mut newest = now;
        while let Some(Ok(item)) = lookup.next().await {
            if item.key == key && item.is_signed() {
                newest = newest.max(u64::try_from(item.seq).unwrap_or_default());
            }
        }
        directory.put(sealed(newest + 1)?).await
    }
}

/// What is told before anything was published.
fn waiting(snapshot: &NodeSnapshot) -> &'static str {
    if !needs_calls(snapshot) {
        return "nothing is published yet: the node is registered with no relay";
    }
    match snapshot.network.observed {
        Observed::Varies => {
            "nothing is published: there is no relay, and the router gives each destination another port, so nobody gets in: name a relay with --relay"
        }
        Observed::Silent => {
            "nothing is published: there is no relay, and no node of the Mainline DHT answers: UDP may be blocked here, so name a relay with --relay"
        }
        Observed::Untold => {
            "nothing is published: there is no relay, and too few nodes of the Mainline DHT say where they see this computer; it is tried again"
        }
        Observed::Same => {
            "about to be published: the address at which nodes of the Mainline DHT see this computer"
        }
        Observed::Unasked | Observed::Asking | Observed::Unknown | _ => {
            "nothing is published yet: there is no relay, and nodes of the Mainline DHT are asked where they see this computer"
        }
    }
}

fn words(result: &Result<u32, DirectoryError>) -> String {
    match result {
        Ok(nodes) => format!("published at {nodes} nodes of the Mainline DHT"),
        Err(error) => format!("not published: {error}"),
    }
}

/// Where a node is to be met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    relays: Vec<RelayUrl>,
    addrs: Vec<SocketAddr>,
    /// Where the node is behind a NAT, if it reads calls.
    to_call: Vec<SocketAddr>,
}

impl Place {
    fn is_nowhere(&self) -> bool {
        self.relays.is_empty() && self.addrs.is_empty() && self.to_call.is_empty()
    }
}

/// A node that has no relay can be met at its addresses only: those that let everybody in, and the one at which strangers see it.
fn place_without_relay(snapshot: &NodeSnapshot) -> Place {
    let network = &snapshot.network;
    let mapped = network.port_mapping.map(|mapping| mapping.external);
    let is_shut = |addr: &SocketAddr| {
        network.public_v4 == Some(*addr) && mapped != Some(*addr) && !network.local.contains(addr)
    };
    let (mut to_call, addrs): (Vec<_>, Vec<_>) = addresses(snapshot).into_iter().partition(is_shut);
    if ports_vary(network) {
        to_call.clear();
    }
    Place {
        relays: Vec::new(),
        addrs,
        to_call,
    }
}

/// Those at which the internet may reach a node: what a router forwards, what relays see, its own.
fn addresses(snapshot: &NodeSnapshot) -> Vec<SocketAddr> {
    let network = &snapshot.network;
    let mapped = network.port_mapping.map(|mapping| mapping.external);
    let seen = [mapped, network.public_v4, network.public_v6]
        .into_iter()
        .flatten();
    let mut addrs: Vec<SocketAddr> = Vec::new();
    for addr in seen.chain(snapshot.ticket.public_addrs()) {
        if !addrs.contains(&addr) {
            addrs.push(addr);
        }
    }
    addrs
}
