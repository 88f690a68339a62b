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
    Dropped, LinkState, Refusal, Status, SubnetError,
    device::Device,
    forwarding::Forwarding,
    frame::{DEVICE_HEADER, Frame, FromDevice, Kind, MAX_PACKET},
    hello::Hello,
    members::{Member, Members},
    packet::{Checksum, Header, split_udp},
    plan::{self, Here, Needed, Plan},
    ranges::{node_v4, node_v6},
    table::{Counters, Refused, Table},
    uplink::Uplink,
};
use crate::{Connection, Endpoint, PathInfo, PeerId, net::interfaces::is_own_tun, quic::close};

/// Packets from the device before other tasks have their turn.
const BATCH: usize = 32;
/// How long the names of relays are looked up.
const LOOKUP: Duration = Duration::from_secs(3);

/// What a peer is told that is not, or no longer, linked with.
pub(super) const UNWANTED: &[u8] = b"no link with this peer is wanted";
/// Application error code: another connection carries the packets now.
const REPLACED: u32 = 1;

pub(super) struct Shared {
    endpoint: Endpoint,
    device: Device,
    /// What every peer is told of this node.
    own: Hello,
    members: Arc<Members>,
    table: ArcSwap<Table>,
    uplinks: ArcSwap<BTreeMap<PeerId, Arc<Uplink>>>,
    /// Which of the connections with a peer carries; a later one takes the place of a former.
    current: Mutex<BTreeMap<PeerId, Current>>,
    /// Held while routes change.
    planning: AsyncMutex<()>,
    counters: Arc<Counters>,
    status: watch::Sender<Status>,
    forwarding: Arc<Mutex<Forwarding>>,
}

/// What carries a peer's packets.
struct Current {
    connection: Connection,
    member: Arc<Member>,
    theirs: Hello,
}

impl Shared {
    pub(super) async fn open(endpoint: Endpoint) -> Result<Self, SubnetError> {
        let taken = networks().await.0;
        let v4 = node_v4(endpoint.id(), &taken).ok_or(SubnetError::NoAddress)?;
        let device = Device::open(v4, node_v6(endpoint.id()))?;
        let own = Hello {
            v4: Some(v4),
            v6: device.v6(),
            advertised: Vec::new(),
        };
        let table = Table {
            own: own.addresses(),
            ..Table::default()
        };
        let status = Status {
            device: device.name().to_owned(),
            v4,
            v6: device.v6(),
            hints: Vec::new(),
            links: BTreeMap::new(),
            dropped: Dropped::default(),
        };
        Ok(Self {
            endpoint,
            device,
            own,
            members: Arc::default(),
            table: ArcSwap::from_pointee(table),
            uplinks: ArcSwap::default(),
            current: Mutex::default(),
            planning: AsyncMutex::default(),
            counters: Arc::default(),
            status: watch::Sender::new(status),
            forwarding: Arc::default(),
        })
    }

    pub(super) fn members(&self) -> &Members {
        &self.members
    }

    /// Has the system pass packets of what is advertised by now.
    pub(super) async fn adapt(&self) {
        let (forwarding, members) = (self.forwarding.clone(), self.members.clone());
        let device = self.device.name().to_owned();
        let adapted = spawn_blocking(move || {
            let mut forwarding = forwarding.lock().unwrap_or_else(PoisonError::into_inner);
            forwarding.adapt(&device, &members.advertised())
        });
        let hints = adapted.await.unwrap_or_default();
        self.status.send_if_modified(|status| {
            let is_news = status.hints != hints;
            status.hints = hints;
            is_news
        });
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What a peer is told.
    pub(super) fn hello(&self, member: &Member) -> Hello {
        Hello {
            advertised: member.offer.advertised.clone(),
            ..self.own.clone()
        }
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
        self.status.send_modify(|status| {
            status.links.entry(peer).or_default();
        });
    }

    pub(super) fn trouble(&self, peer: PeerId, trouble: String) {
        self.show(peer, |link| {
            if !link.is_up {
                link.trouble = Some(trouble);
            }
        });
    }

    pub(super) fn is_linked(&self, peer: PeerId) -> bool {
        self.connection(peer).is_some()
    }

    /// Waits until no connection carries packets of a peer.
    pub(super) async fn until_unlinked(&self, peer: PeerId) {
        while let Some(connection) = self.connection(peer) {
            connection.closed().await;
        }
    }

    fn connection(&self, peer: PeerId) -> Option<Connection> {
        let current = self.lock_current();
        let connection = &current.get(&peer)?.connection;
        (connection.close_reason().is_none()).then(|| connection.clone())
    }

    /// Takes over what a peer says it has; from now on its packets go over this connection, and over no former one. False if it is not
    /// linked with on these terms any more.
    pub(super) async fn attach(
        &self,
        connection: &Connection,
        member: &Arc<Member>,
        theirs: Hello,
        uplink: &Arc<Uplink>,
    ) -> bool {
        let _planning = self.planning.lock().await;
        let peer = connection.peer();
        if !self.members.has(peer, member) {
            return false;
        }
        // Nobody chooses where else this computer's packets go.
        let theirs = theirs.of_node(peer);
        self.learn(connection, member, &theirs).await;
        let current = Current {
            connection: connection.clone(),
            member: member.clone(),
            theirs,
        };
        let former = self.lock_current().insert(peer, current);
        self.uplinks.rcu(|uplinks| {
            let mut uplinks = BTreeMap::clone(uplinks);
            uplinks.insert(peer, uplink.clone());
            uplinks
        });
        self.show(peer, |link| (link.is_up, link.trouble) = (true, None));
        if let Some(former) = former {
            let reason = b"another connection carries the link";
            former.connection.close(REPLACED, reason);
        }
        true
    }

    pub(super) fn detach(&self, connection: &Connection) {
        let peer = connection.peer();
        let mut current = self.lock_current();
        let is_ours = |it: &Current| it.connection.quic.stable_id() == connection.quic.stable_id();
        if current.get(&peer).is_some_and(is_ours) {
            current.remove(&peer);
            self.detach_uplink(peer);
            drop(current);
            self.show(peer, |link| link.is_up = false);
        }
    }

    fn detach_uplink(&self, peer: PeerId) {
        self.uplinks.rcu(|uplinks| {
            let mut uplinks = BTreeMap::clone(uplinks);
            uplinks.remove(&peer);
            uplinks
        });
    }

    /// Those whose connections carry, and on which terms.
    pub(super) fn carrying(&self) -> Vec<(PeerId, Arc<Member>)> {
        let current = self.lock_current();
        let carrying = current.iter();
        carrying
            .map(|(peer, current)| (*peer, current.member.clone()))
            .collect()
    }

    /// A peer is not linked with on these terms any more: it has no routes, and no connection. What another could not have because of
    /// it, that one has now.
    pub(super) async fn forget(&self, peer: PeerId, member: &Arc<Member>) {
        // At once, as it may take long until routes can change: names are looked up for others.
        self.close(peer, member);
        let _planning = self.planning.lock().await;
        let former = {
            let mut current = self.lock_current();
            let is_other = |it: &Current| !Arc::ptr_eq(&it.member, member);
            if current.get(&peer).is_some_and(is_other) {
                return;
            }
            current.remove(&peer)
        };
        self.detach_uplink(peer);
        if let Some(former) = former {
            former.connection.close(close::NOT_LET_IN, UNWANTED);
        }
        let before = self.table.load_full();
        self.carry_out(peer, &before, &mut Plan::default());
        let mut table = Table::clone(&before);
        table.routes.retain(|route| route.peer != peer);
        table.advertised.remove(&peer);
        self.table.store(Arc::new(table));
        let is_meant = self.members.get(peer).is_some();
        self.status.send_modify(|status| {
            status.links.remove(&peer);
            if is_meant {
                status.links.insert(peer, LinkState::default());
            }
        });
        self.reconsider().await;
    }

    /// Closes what carries a peer's packets on these terms.
    fn close(&self, peer: PeerId, member: &Arc<Member>) {
        let current = self.lock_current();
        let current = current.get(&peer);
        if let Some(current) = current.filter(|it| Arc::ptr_eq(&it.member, member)) {
            current.connection.close(close::NOT_LET_IN, UNWANTED);
        }
    }

    /// Plans anew for those who lack a range that another had.
    async fn reconsider(&self) {
        let lacks = |link: &LinkState| {
            let mut refused = link.refused.iter();
            refused.any(|(_, why)| matches!(why, Refusal::Taken { .. } | Refusal::System { .. }))
        };
        let lacking: Vec<_> = {
            let status = self.status.borrow();
            let links = status.links.iter();
            let lacking = links.filter(|(_, link)| link.is_up && lacks(link));
            lacking.map(|(peer, _)| *peer).collect()
        };
        for peer in lacking {
            let current = {
                let current = self.lock_current();
                let known = current.get(&peer);
                known.map(|it| (it.connection.clone(), it.member.clone(), it.theirs.clone()))
            };
            if let Some((connection, member, theirs)) = current {
                self.learn(&connection, &member, &theirs).await;
            }
        }
    }

    /// Takes over what a peer says it has, while routes change for nobody else.
    async fn learn(&self, connection: &Connection, member: &Member, theirs: &Hello) {
        let peer = connection.peer();
        let (networks, mut needed) = networks().await;
        needed.extend(self.needed(connection).await);
        let own = self.own.addresses().into_iter().map(IpNet::from);
        let networks: Vec<_> = networks
            .into_iter()
            .chain(own)
            .chain(self.members.advertised())
            .collect();
        let before = self.table.load_full();
        let here = Here {
            networks: &networks,
            routes: &before.routes,
            needed: &needed,
            accepted: &member.offer.accepted,
        };
        let addresses = theirs.addresses();
        let mut plan = plan::plan(peer, &addresses, &theirs.advertised, here);
        self.carry_out(peer, &before, &mut plan);
        let mut table = Table::clone(&before);
        let advertised = member.offer.advertised.clone();
        table.advertised.insert(peer, advertised);
        table.routes.retain(|route| route.peer != peer);
        table.routes.extend(&plan.routes);
        let local = &self.endpoint.snapshot().network.local;
        table.ports = local.iter().map(std::net::SocketAddr::port).collect();
        table.ports.dedup();
        self.table.store(Arc::new(table));
        let is_address = |net: IpNet| addresses.iter().any(|addr| IpNet::from(*addr) == net);
        let (own, homes): (Vec<super::Route>, Vec<_>) =
            plan.routes.iter().partition(|route| is_address(route.net));
        // Of several peers, each may have its own part of what is accepted of all.
        let unmet = member.offer.accepted.iter().filter(|net| {
            let mut theirs = theirs.advertised.iter();
            !theirs.any(|it| super::ranges::overlap(**net, *it))
                && !self.members.is_accepted_of_another(peer, **net)
        });
        let unmet = unmet.map(|net| (*net, Refusal::NotAdvertised { net: *net }));
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

    /// Gives what the system sends to whom it is for, until somebody removes the device.
    pub(super) async fn read_device(&self) {
        let mut buffer = vec![0; DEVICE_HEADER + MAX_PACKET];
        while self.device.readable().await.is_ok() {
            for _ in 0..BATCH {
                match self.device.read(&mut buffer) {
                    Ok(length) => self.send(&mut buffer[..length]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if is_gone(&error) => return,
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
            if let Some(link) = status.links.get_mut(&peer) {
                change(link);
            }
            status.dropped = dropped;
        });
    }

    fn lock_current(&self) -> std::sync::MutexGuard<'_, BTreeMap<PeerId, Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the device was removed by others than its node.
fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::EBADFD)
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
