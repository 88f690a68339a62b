//! Where programs live that are to reach nothing but what the host of a home forwards to them.

use std::{net::Ipv4Addr, process::Command};

use super::{
    LabError,
    netns::{Netns, feed},
};

/// What came over the wire, and what left by it for anybody but the host.
const WATCH: &str = "
table inet room {
    counter carried { }
    counter strayed { }
    chain input {
        type filter hook input priority 0; policy accept;
        iifname wire counter name carried
    }
    chain output {
        type filter hook output priority 0; policy accept;
        oifname wire counter name carried
        oifname wire ip daddr != GATE counter name strayed
    }
}";

/// A computer whose only cable leads to the host of a home, which passes nothing on: it has no route to anywhere else. Its
/// addresses look public, as some programs refuse to talk with private ones.
#[derive(Debug)]
pub struct Room {
    netns: Netns,
    addr: Ipv4Addr,
    gate: Ipv4Addr,
}

impl Room {
    pub(super) fn new(host: &Netns, number: u8) -> Result<Self, LabError> {
        let netns = Netns::new(&format!("{}-room", host.name()))?;
        let [gate, addr] = [1, 2].map(|end| Ipv4Addr::new(62, 200, number, end));
        host.sysctl("ipv4/ip_forward", "0")?;
        host.ip(&format!(
            "link add wire type veth peer name wire netns {}
             link set wire addrgenmode none
             address add {gate}/30 dev wire
             link set wire up",
            netns.name()
        ))?;
        netns.ip(&format!(
            "link set wire addrgenmode none
             address add {addr}/30 dev wire
             link set wire up"
        ))?;
        netns.nft(&WATCH.replace("GATE", &gate.to_string()))?;
        Ok(Self { netns, addr, gate })
    }

    /// Its own address.
    pub fn addr(&self) -> Ipv4Addr {
        self.addr
    }

    /// Where the host is reached from here, and nowhere else.
    pub fn gate(&self) -> Ipv4Addr {
        self.gate
    }

    /// A command that will run here.
    pub fn command(&self, program: &str) -> Command {
        self.netns.command(program)
    }

    /// Runs a closure on a thread of this computer and waits for it.
    ///
    /// # Errors
    /// The kernel refused the thread the namespace.
    ///
    /// # Panics
    /// When the closure does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        let failed = LabError::system(format!("run a thread in {}", self.netns.name()));
        self.netns.run(work).map_err(failed)
    }

    /// Bytes that came and went so far by its cable, from the IP header on.
    ///
    /// # Errors
    /// What nft refused.
    pub fn carried(&self) -> Result<u64, LabError> {
        self.counter("carried", "bytes")
    }

    /// Packets that left so far for anybody but the host.
    ///
    /// # Errors
    /// What nft refused.
    pub fn strayed(&self) -> Result<u64, LabError> {
        self.counter("strayed", "packets")
    }

    /// Its routes, a line each.
    ///
    /// # Errors
    /// What ip refused.
    pub fn routes(&self) -> Result<String, LabError> {
        feed(self.netns.command("ip").arg("route"), "")
    }

    fn counter(&self, name: &str, unit: &str) -> Result<u64, LabError> {
        let listing = self.netns.nft_list(&format!("counter inet room {name}"))?;
        let listing: serde_json::Value = serde_json::from_str(&listing).unwrap_or_default();
        let items = listing["nftables"].as_array().into_iter().flatten();
        Ok(items.filter_map(|it| it["counter"][unit].as_u64()).sum())
    }
}
