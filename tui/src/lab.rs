//! An internet in a box: homes behind real kernel NATs, each in a network namespace of its own, without root.
//!
//! One router, the *core*, joins every line of the lab and is the whole internet. Behind each line is a home: a host, and in
//! front of it the NAT routers of its [`NatKind`]. One home is public and meant for a relay. Lines may have a delay and lose
//! packets; both happen in the core, outside every NAT: a packet that waited inside a router would not be confirmed in its
//! conntrack yet, and the next one of its flow would get another mapping.
//!
//! All of it belongs to the process that entered the namespaces ([`test()`], [`enter()`]) and ends with it, however it ends.

mod core_router;
mod enter;
mod error;
mod home;
mod line;
mod nat;
mod netns;
mod nfqueue;
mod upnp;

use std::net::Ipv4Addr;

pub use self::{
    enter::{enter, permitted, test},
    error::LabError,
    home::Home,
    line::Line,
    nat::NatKind,
};

use self::core_router::Core;

/// The internet of one lab. One lab per process.
#[derive(Debug)]
pub struct Lab {
    core: Core,
    relay: Home,
}

impl Lab {
    /// Another address of the relay's host, for tests of address-dependent behaviour.
    pub const SECOND_RELAY_ADDR: Ipv4Addr = Ipv4Addr::new(62, 10, 0, 3);

    /// An internet with nothing on it but the relay's host.
    ///
    /// # Errors
    /// [`LabError::Outside`] before [`enter()`]; otherwise a missing tool or what the kernel refused.
    pub fn new() -> Result<Self, LabError> {
        enter::require_inside()?;
        let mut core = Core::new()?;
        let relay = Home::build(&mut core, "relay", NatKind::Public, Line::default())?;
        core.add_address(&relay, Self::SECOND_RELAY_ADDR)?;
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
    pub fn home(&mut self, name: &str, nat: NatKind) -> Result<Home, LabError> {
        self.home_on(name, nat, Line::default())
    }

    /// Adds a home on a line with delay or loss.
    ///
    /// # Errors
    /// A missing tool or what the kernel refused.
    pub fn home_on(&mut self, name: &str, nat: NatKind, line: Line) -> Result<Home, LabError> {
        Home::build(&mut self.core, name, nat, line)
    }

    /// Changes a home's line from now on; packets that are on it keep their delay.
    ///
    /// # Errors
    /// A missing tool or what the kernel refused.
    pub fn set_line(&self, home: &Home, line: Line) -> Result<(), LabError> {
        self.core.set_line(home.port(), line)
    }

    /// Drops everything between two homes from now on; both still reach the rest.
    ///
    /// # Errors
    /// What nft refused.
    pub fn cut(&self, a: &Home, b: &Home) -> Result<(), LabError> {
        self.core.cut(a.public_addr(), b.public_addr())
    }

    /// Undoes [`Self::cut`].
    ///
    /// # Errors
    /// The two are not cut, or what nft refused.
    pub fn restore(&self, a: &Home, b: &Home) -> Result<(), LabError> {
        self.core.restore(a.public_addr(), b.public_addr())
    }

    /// How many packets to `addr` have entered the internet so far, those that were cut or died of their hop limit
    /// included.
    ///
    /// # Errors
    /// What nft refused.
    pub fn packets_to(&self, addr: Ipv4Addr) -> Result<u64, LabError> {
        self.core.packets_to(addr)
    }
}
