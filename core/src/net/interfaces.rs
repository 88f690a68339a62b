//! The addresses of this computer, its router, and when they change.
//!
//! Lists come from netdev. Linux says by netlink that something changed; elsewhere the list is read again every ten seconds.
//! netwatch would do both, but waits 250 ms after the last of a flood of messages, and brings an async framework of its own.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    time::Duration,
};

use netdev::interface::{interface::Interface, ipv6_addr_flags::Ipv6AddrFlags};
use tokio::{sync::mpsc, time::sleep};
use tracing::debug;

use crate::addr::{Families, LocalAddr, Scope};

use signal::ChangeSignal;

/// One change of an interface arrives as a flood of messages; this long after the first, the list is read again.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// The pause before the kernel is asked again that could not be asked.
const RETRY: Duration = Duration::from_secs(1);

/// What the devices of the service `subnet` are called, before a number. No peer is offered their addresses: a link
/// that went through itself would end there.
pub(crate) const TUN_PREFIX: &str = "peerway";

/// Addresses that only a default route leads to (RFC 5737, RFC 3849).
const BEYOND: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// How this computer is attached to the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interfaces {
    /// What peers may be told, ordered: loopback only where nothing else is, of an IPv6 network only the temporary addresses
    /// (RFC 8981) if it has any, nothing deprecated or link-local.
    pub(crate) addresses: Vec<LocalAddr>,
    /// The IPv4 router, if it is in a network of ours.
    pub(crate) gateway: Option<Gateway>,
    /// The IPv6 router, with the address of ours that peers are told.
    pub(crate) gateway_v6: Option<Gateway>,
    /// The addresses from which packets to the internet at large leave, at most one of either family.
    pub(crate) sources: Vec<IpAddr>,
    /// The families in which there is a route to the internet at large.
    pub(crate) routes: Families,
    /// The interfaces, by index, and the families in which only neighbours can reach us there.
    pub(crate) secluded: BTreeMap<u32, Families>,
    /// Whether the system does not list its interfaces, as Android and some sandboxes: the addresses are then those that sockets
    /// show, and their networks a guess.
    pub(crate) unread: bool,
}

/// The router that our packets to the internet go to first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gateway {
    pub(crate) router: IpAddr,
    /// The interface that a link-local router is reached through; 0 for others.
    pub(crate) zone: u32,
    /// Our address towards it.
    pub(crate) local: LocalAddr,
}

/// A change of [`Interfaces`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) now: Interfaces,
    /// Packets to the internet leave from elsewhere than before, or not at all.
    pub(crate) rerouted: bool,
}

impl Change {
    /// What it is, for people.
    pub(crate) fn what(&self) -> &'static str {
        if self.now.sources.is_empty() {
            "there is no route to the internet"
        } else if self.rerouted {
            "the route to the internet is another"
        } else {
            "addresses changed"
        }
    }
}

impl Interfaces {
    /// How things are, and every change from then on until the receiver is dropped.
    pub(crate) async fn watch() -> (Self, mpsc::Receiver<Change>) {
        let signal = ChangeSignal::open();
        let current = Self::read().await;
        let (changes, receiver) = mpsc::channel(8);
        #[expect(
            clippy::disallowed_methods,
            reason = "it owns its state and ends with its receiver"
        )]
        tokio::spawn(follow(current.clone(), signal, changes));
        (current, receiver)
    }

    /// How things are, or nothing if they cannot be seen.
    pub(crate) async fn read() -> Self {
        Self::look().await.unwrap_or_default()
    }

    /// How things are; none if the kernel cannot be asked, as for want of descriptors: there is a loopback at least, and one
    /// family of addresses. It is asked on a thread of its own, since netdev also reads files.
    async fn look() -> Option<Self> {
        let look = tokio::task::spawn_blocking(|| {
            let (mut list, sources) = (netdev::get_interfaces(), routed_sources()?);
            #[cfg(target_os = "linux")]
            keep_next_hops(&mut list);
            if list.is_empty() {
                return (!sources.is_empty()).then(|| Self::from_sources(&sources));
            }
            Some(Self::from_list(&list, &sources))
        });
        look.await.ok().flatten()
    }

    fn is_rerouted(&self, before: &Self) -> bool {
        let gone = |source| !self.sources.contains(source);
        before.sources.iter().any(gone)
    }

    fn lost_any_of(&self, before: &Self) -> bool {
        let gone = |addr| !self.addresses.contains(addr);
        self.is_rerouted(before) || before.addresses.iter().any(gone)
    }

    /// How things are as far as sockets show them. A home's network has 8 bits for its hosts, and one of IPv6 has 64 (RFC 4291).
    fn from_sources(sources: &[IpAddr]) -> Self {
        let home = |ip: &IpAddr| local(*ip, if ip.is_ipv4() { 24 } else { 64 });
        Self {
            addresses: sources.iter().map(home).collect(),
            unread: true,
            ..Self::from_list(&[], sources)
        }
    }

    /// `sources` are the addresses from which packets to the internet leave.
    fn from_list(list: &[Interface], sources: &[IpAddr]) -> Self {
        let usable = || list.iter().filter(|one| one.is_up() && one.is_running());
        let mut addresses: Vec<LocalAddr> = usable().flat_map(offered).collect();
        if addresses.is_empty() {
            addresses = usable().flat_map(loopback).collect();
        }
        addresses.sort_unstable();
        addresses.dedup();
        Self {
            addresses,
            gateway: usable().find_map(|one| gateway_of(one, sources)),
            sources: sources.to_vec(),
            gateway_v6: usable().find_map(|one| gateway_v6_of(one, sources)),
            routes: Families {
                v4: sources.iter().any(IpAddr::is_ipv4),
                v6: sources.iter().any(IpAddr::is_ipv6),
            },
            secluded: usable()
                .filter(|one| !offered(one).is_empty())
                .map(|one| (one.index, seclusion(one)))
                .collect(),
            unread: false,
        }
    }
}

async fn follow(mut current: Interfaces, signal: ChangeSignal, changes: mpsc::Sender<Change>) {
    loop {
        tokio::select! {
            () = changes.closed() => return,
            () = signal.changed() => {}
        }
        // Losses are told at once; for what takes their place, the rest of the flood is awaited.
        let Some(now) = look_for(&changes).await else {
            return;
        };
        if now.lost_any_of(&current) && tell(&mut current, now, &changes).await.is_err() {
            return;
        }
        sleep(DEBOUNCE).await;
        signal.clear();
        let Some(now) = look_for(&changes).await else {
            return;
        };
        if now != current && tell(&mut current, now, &changes).await.is_err() {
            return;
        }
    }
}

/// How things are, as soon as they can be seen; none when nobody wants to know any more.
async fn look_for(changes: &mpsc::Sender<Change>) -> Option<Interfaces> {
    loop {
        if let Some(now) = Interfaces::look().await {
            return Some(now);
        }
        tokio::select! {
            () = changes.closed() => return None,
            () = sleep(RETRY) => {}
        }
    }
}

async fn tell(
    current: &mut Interfaces,
    now: Interfaces,
    changes: &mpsc::Sender<Change>,
) -> Result<(), mpsc::error::SendError<Change>> {
    let rerouted = now.is_rerouted(current);
    debug!(
        addresses = now.addresses.len(),
        rerouted, "interfaces changed"
    );
    current.clone_from(&now);
    changes.send(Change { now, rerouted }).await
}

fn offered(interface: &Interface) -> Vec<LocalAddr> {
    if is_own_tun(&interface.name) {
        return Vec::new();
    }
    let v4 = interface
        .ipv4
        .iter()
        .map(|net| local(net.addr().into(), net.prefix_len()));
    let flags = |at: usize| interface.ipv6_addr_flags.get(at).copied();
    let v6: Vec<(LocalAddr, bool)> = interface
        .ipv6
        .iter()
        .enumerate()
        .map(|(at, net)| (net, flags(at).unwrap_or_default()))
        .filter(|(net, flags)| {
            is_settled(*flags) && Scope::of(net.addr().into()) != Scope::LinkLocal
        })
        .map(|(net, flags)| {
            let address = local(net.addr().into(), net.prefix_len());
            (address, flags.temporary)
        })
        .collect();
    let replaced = |address: &LocalAddr| {
        v6.iter()
            .any(|(other, temporary)| *temporary && other.shares_prefix(address.ip))
    };
    let v6 = v6
        .iter()
        .filter(|(address, temporary)| *temporary || !replaced(address))
        .map(|(address, _)| *address);
    v4.chain(v6)
        .filter(|address| {
            !matches!(
                Scope::of(address.ip),
                Scope::Loopback | Scope::Unspecified | Scope::Multicast
            )
        })
        .collect()
}

/// Whether an interface has the name of a device that we make.
pub(crate) fn is_own_tun(name: &str) -> bool {
    let number = name.strip_prefix(TUN_PREFIX);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit()))
}

/// The families in which no address of an interface can be reached from beyond its network; a carrier's is no such network.
fn seclusion(interface: &Interface) -> Families {
    let secluded = |is_family: fn(&IpAddr) -> bool| {
        let addresses = interface.ip_addrs();
        let mut scopes = addresses.into_iter().filter(is_family).map(Scope::of);
        scopes.all(|scope| scope.is_local() && scope != Scope::Shared)
    };
    Families {
        v4: secluded(IpAddr::is_ipv4),
        v6: secluded(IpAddr::is_ipv6),
    }
}

fn loopback(interface: &Interface) -> Vec<LocalAddr> {
    interface
        .ip_addrs()
        .into_iter()
        .filter(IpAddr::is_loopback)
        .map(|ip| local(ip, if ip.is_ipv4() { 8 } else { 128 }))
        .collect()
}

fn is_settled(flags: Ipv6AddrFlags) -> bool {
    !(flags.deprecated || flags.tentative || flags.duplicated)
}

fn gateway_of(interface: &Interface, sources: &[IpAddr]) -> Option<Gateway> {
    let routers = &interface.gateway.as_ref()?.ipv4;
    interface
        .ipv4
        .iter()
        .map(|net| local(net.addr().into(), net.prefix_len()))
        .filter(|local| sources.contains(&local.ip))
        .find_map(|local| {
            routers
                .iter()
                .map(|router| IpAddr::V4(*router))
                .find(|router| local.shares_prefix(*router))
                .map(|router| Gateway {
                    router,
                    zone: 0,
                    local,
                })
        })
}

fn gateway_v6_of(interface: &Interface, sources: &[IpAddr]) -> Option<Gateway> {
    let router = *interface.gateway.as_ref()?.ipv6.first()?;
    let global = |local: &LocalAddr| local.ip.is_ipv6() && Scope::of(local.ip) == Scope::Global;
    let local = offered(interface)
        .into_iter()
        .filter(global)
        .max_by_key(|local| sources.contains(&local.ip))?;
    let zone = if router.is_unicast_link_local() {
        interface.index
    } else {
        0
    };
    Some(Gateway {
        router: router.into(),
        zone,
        local,
    })
}

fn local(ip: IpAddr, prefix_len: u8) -> LocalAddr {
    LocalAddr { ip, prefix_len }
}

/// Leaves each interface those routers that packets to the internet go to, in families for which the kernel says it.
#[cfg(target_os = "linux")]
fn keep_next_hops(list: &mut [Interface]) {
    for beyond in BEYOND {
        match route::next_hop(beyond) {
            Ok(hop) => list
                .iter_mut()
                .for_each(|one| keep_next_hop(one, beyond, hop)),
            Err(error) => debug!(%error, %beyond, "the kernel does not say where this goes"),
        }
    }
}

#[cfg(target_os = "linux")]
fn keep_next_hop(interface: &mut Interface, beyond: IpAddr, hop: Option<route::NextHop>) {
    let here = hop.filter(|hop| hop.interface == interface.index);
    let router = here.and_then(|hop| hop.router);
    let gateway = interface
        .gateway
        .get_or_insert_with(netdev::NetworkDevice::new);
    match beyond {
        IpAddr::V4(_) => gateway.ipv4.clear(),
        IpAddr::V6(_) => gateway.ipv6.clear(),
    }
    match router {
        Some(IpAddr::V4(router)) => gateway.ipv4.push(router),
        Some(IpAddr::V6(router)) => gateway.ipv6.push(router),
        None => {}
    }
}

/// The addresses the kernel would send from to addresses that only a default route leads to; none if it has no socket for us.
/// Connecting sends nothing.
fn routed_sources() -> Option<Vec<IpAddr>> {
    let any: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    let sockets = any.map(|any| UdpSocket::bind((any, 0)).ok());
    let some = sockets.iter().any(Option::is_some);
    let source = |(socket, beyond): (Option<UdpSocket>, IpAddr)| {
        let socket = socket?;
        socket.connect((beyond, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let sources = sockets.into_iter().zip(BEYOND).filter_map(source);
    some.then(|| sources.collect())
}

#[cfg(target_os = "linux")]
mod route;
#[cfg_attr(target_os = "linux", path = "interfaces/netlink.rs")]
#[cfg_attr(not(target_os = "linux"), path = "interfaces/poll.rs")]
mod signal;

#[cfg(test)]
mod tests;
