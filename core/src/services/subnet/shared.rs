//! What the tasks of all links of a node share: the device, the table, and what is shown.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use ipnet::IpNet;
use netdev::NetworkDevice;
use tokio::{
    net::lookup_host,
    sync::{Mutex as AsyncMutex, watch},
    task::{spawn_blocking, yield_now},
    time::timeout,
};
use tracing::debug;

use super::{
    Dropped, LinkState, Offer, Refusal, Status, SubnetError,
    device::Device,
    forwarding::Forwarding,
    frame::{DEVICE_HEADER, Frame, FromDevice, Kind, MAX_PACKET},
    hello::{Hello, MAX_RANGES},
    packet::{Checksum, Header, split_udp},
    plan::{self, Here, Needed, Plan, check},
    ranges::{node_v4, node_v6},
    table::{Counters, Refused, Table},
    uplink::Uplink,
};
use crate::{Connection, Endpoint, PathInfo, PeerId, net::interfaces::is_own_tun};

/// Packets from the device before other tasks have their turn.
const BATCH: usize = 32;
/// How long the names of relays are looked up.
const LOOKUP: Duration = Duration::from_secs(3);

pub(super) struct Shared {
    endpoint: Endpoint,
    device: Device,
    offer: Offer,
    hello: Hello,
    table: ArcSwap<Table>,
    uplinks: ArcSwap<BTreeMap<PeerId, Arc<Uplink>>>,
    /// Which of the connections with a peer carries; a later one takes the place of a former.
    current: Mutex<BTreeMap<PeerId, Connection>>,
    /// Held while routes change.
    planning: AsyncMutex<()>,
    counters: Arc<Counters>,
    status: watch::Sender<Status>,
    _forwarding: Forwarding,
}

impl Shared {
    pub(super) async fn open(endpoint: Endpoint, offer: Offer) -> Result<Self, SubnetError> {
        if offer.advertised.len() > MAX_RANGES {
            return Err(SubnetError::ManyRanges);
        }
        for net in offer.advertised.iter().chain(&offer.accepted) {
            check(*net).map_err(|why| SubnetError::Range { net: *net, why })?;
        }
        let taken = networks().await.0;
        let v4 = node_v4(endpoint.id(), &taken).ok_or(SubnetError::NoAddress)?;
        let device = Device::open(v4, node_v6(endpoint.id()))?;
        let (forwarding, hints) = Forwarding::begin(device.name(), &offer.advertised).await;
        let hello = Hello {
            v4: Some(v4),
            v6: device.v6(),
            advertised: offer.advertised.clone(),
        };
        let table = Table {
            own: hello.addresses(),
            advertised: offer.advertised.clone(),
            ..Table::default()
        };
        let status = Status {
            device: device.name().to_owned(),
            v4,
            v6: device.v6(),
            hints,
            links: BTreeMap::new(),
            dropped: Dropped::default(),
        };
        Ok(Self {
            endpoint,
            device,
            offer,
            hello,
            table: ArcSwap::from_pointee(table),
            uplinks: ArcSwap::default(),
            current: Mutex::default(),
            planning: AsyncMutex::default(),
            counters: Arc::default(),
            status: watch::Sender::new(status),
            _forwarding: forwarding,
        })
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) fn hello(&self) -> &Hello {
        &self.hello
    }

    pub(super) fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(super) fn dropped(&self) -> Dropped {
        self.counters.read()
    }

    /// A peer is meant.
    pub(super) fn name(&self, peer: PeerId) {
        self.show(peer, |_| {});
    }

    pub(super) fn trouble(&self, peer: PeerId, trouble: String) {
        self.show(peer, |link| {
            if !link.is_up {
                link.trouble = Some(trouble);
            }
        });
    }

    /// Waits until no connection carries packets of a peer.
    pub(super) async fn until_unlinked(&self, peer: PeerId) {
        loop {
            let current = self.lock_current().get(&peer).cloned();
            match current.filter(|connection| connection.close_reason().is_none()) {
                Some(connection) => drop(connection.closed().await),
                None => return,
            }
        }
    }

    /// From now on the peer's packets go over this connection. Gives the one that is in its place no longer.
    pub(super) fn attach(
        &self,
        connection: &Connection,
        uplink: &Arc<Uplink>,
    ) -> Option<Connection> {
        let peer = connection.peer();
        let former = self.lock_current().insert(peer, connection.clone());
        self.uplinks.rcu(|uplinks| {
            let mut uplinks = BTreeMap::clone(uplinks);
            uplinks.insert(peer, uplink.clone());
            uplinks
        });
        self.show(peer, |link| (link.is_up, link.trouble) = (true, None));
        former
    }

    pub(super) fn detach(&self, connection: &Connection) {
        let peer = connection.peer();
        let mut current = self.lock_current();
        let is_ours = |it: &Connection| it.quic.stable_id() == connection.quic.stable_id();
        if current.get(&peer).is_some_and(is_ours) {
            current.remove(&peer);
            self.uplinks.rcu(|uplinks| {
                let mut uplinks = BTreeMap::clone(uplinks);
                uplinks.remove(&peer);
                uplinks
            });
            drop(current);
            self.show(peer, |link| link.is_up = false);
        }
    }

    /// Takes over what a peer says it has.
    pub(super) async fn learn(&self, connection: &Connection, theirs: &Hello) {
        let _planning = self.planning.lock().await;
        let peer = connection.peer();
        let (networks, mut needed) = networks().await;
        needed.extend(self.needed(connection).await);
        let own = self.hello.addresses().into_iter().map(IpNet::from);
        let networks: Vec<_> = networks
            .into_iter()
            .chain(own)
            .chain(self.offer.advertised.iter().copied())
            .collect();
        let before = self.table.load_full();
        let here = Here {
            networks: &networks,
            routes: &before.routes,
            needed: &needed,
            accepted: &self.offer.accepted,
        };
        let addresses = theirs.addresses();
        let mut plan = plan::plan(peer, &addresses, &theirs.advertised, here);
        self.carry_out(peer, &before, &mut plan);
        let mut table = Table::clone(&before);
        table.routes.retain(|route| route.peer != peer);
        table.routes.extend(&plan.routes);
        let local = &self.endpoint.snapshot().network.local;
        table.ports = local.iter().map(std::net::SocketAddr::port).collect();
        table.ports.dedup();
        self.table.store(Arc::new(table));
        let is_address = |net: IpNet| addresses.iter().any(|addr| IpNet::from(*addr) == net);
        let (own, homes): (Vec<super::Route>, Vec<_>) =
            plan.routes.iter().partition(|route| is_address(route.net));
        let unmet = self.offer.accepted.iter().filter(|net| {
            !theirs
                .advertised
                .iter()
                .any(|it| super::ranges::overlap(**net, *it))
        });
        let unmet: Vec<_> = unmet
            .map(|net| (*net, Refusal::NotAdvertised { net: *net }))
            .collect();
        // With several peers, each may have its own part of what is accepted.
        let unmet = if self.status.borrow().links.len() > 1 {
            Vec::new()
        } else {
            unmet
        };
        self.show(peer, |link| {
            link.addresses = own.iter().map(|route| route.seen_as.addr()).collect();
            link.routes = homes;
            link.refused = plan.refused;
            link.refused.extend(unmet);
        });
    }

    /// Brings the system's routes to what the plan says.
    fn carry_out(&self, peer: PeerId, before: &Table, plan: &mut Plan) {
        let theirs = |routes: &[super::Route]| -> Vec<IpNet> {
            let routes = routes.iter().filter(|route| route.peer == peer);
            routes.map(|route| route.seen_as).collect()
        };
        let (old, new) = (theirs(&before.routes), theirs(&plan.routes));
        for net in old.iter().filter(|net| !new.contains(net)) {
            if let Err(error) = self.device.remove_route(*net) {
                debug!(%error, %net, "the route was gone");
            }
        }
        for net in new.iter().filter(|net| !old.contains(net)) {
            let Err(error) = self.device.add_route(*net) else {
                continue;
            };
            let reason = if error.kind() == ErrorKind::AlreadyExists {
                "there is another route to it".to_owned()
            } else {
                error.to_string()
            };
            plan.routes.retain(|route| route.seen_as != *net);
            plan.refused.push((*net, Refusal::System { reason }));
        }
    }

    /// Without what this link would not be.
    async fn needed(&self, connection: &Connection) -> Vec<Needed> {
        let mut needed = Vec::new();
        if let Some(PathInfo::Direct { remote, .. }) = connection.status().path {
            needed.push(Needed {
                what: "the peer",
                addr: remote.ip(),
            });
        }
        let relays = self.endpoint.snapshot();
        for relay in &relays.relays {
            let lookup = lookup_host((relay.url.host(), relay.url.port()));
            if let Ok(Ok(addrs)) = timeout(LOOKUP, lookup).await {
                needed.extend(addrs.map(|addr| Needed {
                    what: "the relay",
                    addr: addr.ip(),
                }));
            }
        }
        needed
    }

    /// Gives what the system sends to whom it is for.
    pub(super) async fn read_device(&self) {
        let mut buffer = vec![0; DEVICE_HEADER + MAX_PACKET];
        while self.device.readable().await.is_ok() {
            for _ in 0..BATCH {
                match self.device.read(&mut buffer) {
                    Ok(length) => self.send(&mut buffer[..length]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => {
                        debug!(%error, "the device gives nothing");
                        break;
                    }
                }
            }
            yield_now().await;
        }
    }

    fn send(&self, bytes: &mut [u8]) {
        let Some((said, length)) = FromDevice::read(bytes) else {
            return self.counters.refused(Refused::Malformed);
        };
        let sent = bytes
            .get_mut(length..)
            .map_or(Err(Refused::Malformed), |packet| self.pass(said, packet));
        if let Err(why) = sent {
            self.counters.refused(why);
        }
    }

    fn pass(&self, said: FromDevice, packet: &mut [u8]) -> Result<(), Refused> {
        let header = Header::read(packet).ok_or(Refused::Malformed)?;
        match said.kind(packet, &header).ok_or(Refused::Malformed)? {
            Kind::Tcp { segment, checksum } => {
                let uplink = self.lead(packet, &header, checksum)?;
                let flow = header.flow(packet);
                self.counters
                    .late(uplink.tcp(flow, segment, checksum, packet));
            }
            Kind::Single => {
                let uplink = self.lead(packet, &header, Checksum::Complete)?;
                let flow = header.flow(packet);
                self.counters
                    .late(uplink.single(flow, Bytes::copy_from_slice(packet)));
            }
            Kind::ManyUdp { payload } => {
                for mut packet in split_udp(packet, payload.into()).ok_or(Refused::Malformed)? {
                    let header = Header::read(&packet).ok_or(Refused::Malformed)?;
                    let uplink = self.lead(&mut packet, &header, Checksum::Complete)?;
                    let flow = header.flow(&packet);
                    self.counters.late(uplink.single(flow, packet.into()));
                }
            }
        }
        Ok(())
    }

    fn lead(
        &self,
        packet: &mut [u8],
        header: &Header,
        checksum: Checksum,
    ) -> Result<Arc<Uplink>, Refused> {
        let peer = self.table.load().outgoing(packet, header, checksum)?;
        self.uplinks
            .load()
            .get(&peer)
            .cloned()
            .ok_or(Refused::NoRoute)
    }

    /// Gives a peer's packet to the system, unless it may not pass.
    pub(super) async fn receive(&self, peer: PeerId, frame: Frame, packet: &mut [u8]) {
        let passed = self.let_in(peer, frame, packet);
        match passed {
            Ok(said) => {
                if let Err(error) = self.device.write(&said, packet).await {
                    self.written(&error);
                }
            }
            Err(why) => self.counters.refused(why),
        }
    }

    fn let_in(
        &self,
        peer: PeerId,
        frame: Frame,
        packet: &mut [u8],
    ) -> Result<[u8; DEVICE_HEADER], Refused> {
        let header = Header::read(packet).ok_or(Refused::Malformed)?;
        self.table
            .load()
            .incoming(peer, packet, &header, frame.checksum)?;
        let header = Header::read(packet).ok_or(Refused::Malformed)?;
        frame.for_device(packet, &header).ok_or(Refused::Malformed)
    }

    fn written(&self, error: &io::Error) {
        debug!(%error, "the system does not take a packet");
        self.counters.refused(Refused::Malformed);
    }

    fn show(&self, peer: PeerId, change: impl FnOnce(&mut LinkState)) {
        let dropped = self.counters.read();
        self.status.send_modify(|status| {
            change(status.links.entry(peer).or_default());
            status.dropped = dropped;
        });
    }

    fn lock_current(&self) -> std::sync::MutexGuard<'_, BTreeMap<PeerId, Connection>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Networks of this computer's interfaces, and what its own way out needs.
async fn networks() -> (Vec<IpNet>, Vec<Needed>) {
    let look = spawn_blocking(|| {
        let (mut networks, mut needed) = (Vec::new(), Vec::new());
        for interface in netdev::get_interfaces() {
            if interface.is_loopback() || is_own_tun(&interface.name) {
                continue;
            }
            networks.extend(interface.ipv4.iter().map(|net| IpNet::V4(net.trunc())));
            let v6 = interface
                .ipv6
                .iter()
                .filter(|net| !net.addr().is_unicast_link_local());
            networks.extend(v6.map(|net| IpNet::V6(net.trunc())));
            let router = interface.gateway.unwrap_or_else(NetworkDevice::new);
            let v4 = router.ipv4.into_iter().map(IpAddr::from);
            let v6 = router.ipv6.into_iter().map(IpAddr::from);
            needed.extend(v4.chain(v6).map(|addr| Needed {
                what: "the router",
                addr,
            }));
        }
        (networks, needed)
    });
    look.await.unwrap_or_default()
}
