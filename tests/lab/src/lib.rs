//! An internet in a box: homes behind real kernel NATs, each in a network namespace of its own, without root.
//!
//! One router, the *core*, joins every line of the lab and is the whole internet. Behind each line is a home: a host, and in
//! front of it the NAT routers of its [`NatKind`]. One home is public and meant for a relay. Lines may have a delay, a rate
//! with a queue before it, and lose packets; all of it happens in the core, outside every NAT: a packet that waited inside a
//! router would not be confirmed in its conntrack yet, and the next one of its flow would get another mapping.
//!
//! All of it belongs to the process that entered the namespaces ([`test()`], [`enter()`]) and ends with it, however it ends.

#![cfg(target_os = "linux")]

mod access;
mod core_router;
mod enter;
mod error;
mod fault;
mod home;
mod line;
mod nat;
mod netns;
mod network;
mod nfqueue;
mod room;
mod upnp;

use std::net::{IpAddr, Ipv4Addr};

pub use self::{
    access::{Access, ParseAccessError},
    enter::{enter, permitted, test},
    error::LabError,
    fault::Fault,
    home::Home,
    line::{Bottleneck, Counters, Line, Traffic},
    nat::NatKind,
    room::Room,
};

use self::{core_router::Core, network::Network};

/// The internet of one lab. One lab per process.
#[derive(Debug)]
pub struct Lab {
    core: Core,
    relay: Home,
}

/// A provider's network, all of whose homes have one public IPv4 address.
#[derive(Debug)]
pub struct Carrier {
    network: Network,
}

impl Lab {
    /// The name of the relay's host, for IPv4 and IPv6.
    pub const RELAY_NAME: &str = "relay.lab";
    /// Another address of the relay's host, for tests of address-dependent behaviour.
    pub const SECOND_RELAY_ADDR: Ipv4Addr = Ipv4Addr::new(62, 10, 0, 3);

    /// An internet with nothing on it but the relay's host, which has IPv4 and IPv6.
    ///
    /// # Errors
    /// [`LabError::Outside`] before [`enter()`]; otherwise a missing tool or what the kernel refused.
    pub fn new() -> Result<Self, LabError> {
        enter::require_inside()?;
        let mut core = Core::new()?;
        let access = Access {
            ipv6: true,
            ..NatKind::Public.into()
        };
        let network = Network::behind(core.lay(Line::default())?, "relay", access)?;
        let relay = Home::new("relay", network)?;
        let second = Self::SECOND_RELAY_ADDR;
        relay
            .netns()
            .ip(&format!("address add {second}/24 dev eth0"))?;
        let addrs = [Some(relay.addr()), relay.addr6().map(IpAddr::from)];
        let names: Vec<_> = addrs
            .into_iter()
            .flatten()
            .map(|addr| (addr, Self::RELAY_NAME))
            .collect();
        enter::name_hosts(&names)?;
        Ok(Self { core, relay })
    }

    /// The public host that is meant for the relay.
    pub fn relay(&self) -> &Home {
        &self.relay
    }

    /// Adds a home, its line without delay. Its name must be new.
    ///
    /// # Errors
    /// A missing tool or what the kernel refused.
    pub fn home(&mut self, name: &str, access: impl Into<Access>) -> Result<Home, LabError> {
        self.home_on(name, access, Line::default())
    }

    /// Adds a home on a line with delay or loss.
    ///
    /// # Errors
    /// A missing tool or what the kernel refused.
    pub fn home_on(
        &mut self,
        name: &str,
        access: impl Into<Access>,
        line: Line,
    ) -> Result<Home, LabError> {
        Home::new(name, self.network(name, access.into(), line)?)
    }

    /// Adds a carrier that translates as `nat` does, which must not be [`NatKind::Public`]. It has no IPv6.
    ///
    /// # Errors
    /// A missing tool or what the kernel refused.
    pub fn carrier(&mut self, name: &str, nat: NatKind, line: Line) -> Result<Carrier, LabError> {
        let outlet = self.core.lay(line)?;
        Network::carrier(outlet, name, nat).map(|network| Carrier { network })
    }

    /// Adds a home behind a carrier.
    ///
    /// # Errors
    /// A missing tool or what the kernel refused.
    pub fn home_behind(
        &self,
        carrier: &Carrier,
        name: &str,
        nat: NatKind,
    ) -> Result<Home, LabError> {
        Home::new(name, carrier.network.customer(name, nat)?)
    }

    /// Adds a host to the local network of a home that is not public.
    ///
    /// # Errors
    /// A missing tool or what the kernel refused.
    pub fn host_beside(&self, home: &Home, name: &str) -> Result<Home, LabError> {
        Home::new(name, home.network().clone())
    }

    /// Adds a computer behind the host of a home, one to each.
    ///
    /// # Errors
    /// A missing tool or what the kernel refused.
    pub fn room_behind(&self, home: &Home) -> Result<Room, LabError> {
        Room::new(home.netns(), home.line())
    }

    /// Moves a host to a new place: its address, its router and its line are others from now on. `name` is the new router's.
    ///
    /// # Errors
    /// A missing tool or what the kernel refused.
    pub fn relocate(
        &mut self,
        home: &mut Home,
        name: &str,
        access: impl Into<Access>,
        line: Line,
    ) -> Result<(), LabError> {
        home.replug(self.network(name, access.into(), line)?)
    }

    /// Gives a home another public IPv4 address, as providers do when a router dials in again: its routers forget all
    /// connections, and whoever is at home is told nothing.
    ///
    /// # Errors
    /// It has no router, a missing tool or what the kernel refused.
    pub fn renumber(&self, home: &Home) -> Result<(), LabError> {
        let former = home.network().renumber()?;
        self.core.forget(former)
    }

    /// Changes a home's line from now on; packets that are on it keep their delay.
    ///
    /// # Errors
    /// A missing tool or what the kernel refused.
    pub fn set_line(&self, home: &Home, line: Line) -> Result<(), LabError> {
        self.core.set_line(home.line(), line)
    }

    /// What passed a home's line so far, if any line of the lab does something to packets.
    pub fn traffic(&self, home: &Home) -> Traffic {
        self.core.traffic(home.line())
    }

    /// How many packets were lost because this computer was too busy to hold them for their lines. Nothing that was measured
    /// meanwhile says anything about the lines.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn overrun(&self) -> Result<u64, LabError> {
        self.core.overrun()
    }

    /// Lets a fault last from now on.
    ///
    /// # Errors
    /// What nft refused.
    pub fn begin(&self, fault: Fault<'_>) -> Result<(), LabError> {
        self.core.begin(fault)
    }

    /// Ends a fault.
    ///
    /// # Errors
    /// It never began, or what nft refused.
    pub fn end(&self, fault: Fault<'_>) -> Result<(), LabError> {
        self.core.end(fault)
    }

    /// How many packets to `addr` have entered the internet so far, those that were cut or died of their hop limit
    /// included.
    ///
    /// # Errors
    /// What nft refused.
    pub fn packets_to(&self, addr: impl Into<IpAddr>) -> Result<u64, LabError> {
        self.core.packets(None, addr.into())
    }

    /// The same, of packets from one home straight to the other's public address, IPv4 and IPv6 together.
    ///
    /// # Errors
    /// What nft refused.
    pub fn packets_between(&self, from: &Home, to: &Home) -> Result<u64, LabError> {
        let mut packets = 0;
        for (from, to) in from.public_addrs().zip(to.public_addrs()) {
            if let (Some(from), Some(to)) = (from, to) {
                packets += self.core.packets(Some(from), to)?;
            }
        }
        Ok(packets)
    }

    fn network(&mut self, name: &str, access: Access, line: Line) -> Result<Network, LabError> {
        Network::behind(self.core.lay(line)?, name, access)
    }
}
