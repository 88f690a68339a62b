//! The router that stands for the whole internet.

use std::net::Ipv4Addr;

use super::{
    Home, LabError, Line,
    line::{DelayHop, FIRST_IFINDEX},
    netns::{self, Netns},
};

/// The internet is as wide as a dozen routers: a packet whose hop limit would not carry it across is lost, and one that
/// crosses it looks it.
const TRANSIT: &str = "
table ip internet {
    set cut { type ipv4_addr . ipv4_addr; }
    set seen { type ipv4_addr; size 1024; flags dynamic; counter; }
    chain transit {
        type filter hook forward priority mangle; policy accept;
        update @seen { ip daddr counter }
        ip saddr . ip daddr @cut drop
        ip ttl < 12 drop
        ip ttl > 52 ip ttl set 52
    }
}";

#[derive(Debug)]
pub(super) struct Core {
    netns: Netns,
    delays: DelayHop,
    lines: u8,
}

/// Where a line ends at the core, and which addresses are its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Port {
    pub(super) index: u8,
}

impl Port {
    /// Each line has a /16 of its own: peers that share one are taken for neighbours.
    pub(super) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::new(62, 10 + self.index, 0, 1)
    }

    pub(super) fn public_addr(self) -> Ipv4Addr {
        Ipv4Addr::new(62, 10 + self.index, 0, 2)
    }

    /// The provider's side and the customer's, where the provider translates too.
    pub(super) fn carrier_subnet(self) -> [Ipv4Addr; 2] {
        [1, 2].map(|host| Ipv4Addr::new(100, 64, self.index, host))
    }

    /// Gateway and host: all homes use the same range, as homes do.
    pub(super) fn home_subnet(self) -> [Ipv4Addr; 2] {
        [1, 100 + self.index].map(|host| Ipv4Addr::new(192, 168, 1, host))
    }
}

impl Core {
    pub(super) fn new() -> Result<Self, LabError> {
        let netns = Netns::new("core")?;
        netns.sysctl("ipv4/ip_forward", "1")?;
        netns.nft(TRANSIT)?;
        Ok(Self {
            delays: DelayHop::new(netns.clone()),
            netns,
            lines: 0,
        })
    }

    /// Lays a line whose far end is the interface `wan` in `far`.
    pub(super) fn connect(&mut self, far: &Netns, wan: &str, line: Line) -> Result<Port, LabError> {
        let port = Port { index: self.lines };
        self.lines += 1;
        let near = format!("to-{}", port.index);
        self.netns.ip(&format!(
            "link add {near} index {} type veth peer name {wan} netns {}",
            FIRST_IFINDEX + u32::from(port.index),
            far.path().display(),
        ))?;
        netns::address(
            &self.netns,
            &near,
            far,
            wan,
            [port.gateway(), port.public_addr()],
        )?;
        self.set_line(port, line)?;
        Ok(port)
    }

    pub(super) fn set_line(&self, port: Port, line: Line) -> Result<(), LabError> {
        self.delays.set(port.index, line)
    }

    pub(super) fn add_address(&self, home: &Home, addr: Ipv4Addr) -> Result<(), LabError> {
        home.netns().ip(&format!("address add {addr}/24 dev eth0"))
    }

    pub(super) fn cut(&self, a: Ipv4Addr, b: Ipv4Addr) -> Result<(), LabError> {
        self.edit_cut("add", a, b)
    }

    pub(super) fn restore(&self, a: Ipv4Addr, b: Ipv4Addr) -> Result<(), LabError> {
        self.edit_cut("delete", a, b)
    }

    fn edit_cut(&self, verb: &str, a: Ipv4Addr, b: Ipv4Addr) -> Result<(), LabError> {
        self.netns.nft(&format!(
            "{verb} element ip internet cut {{ {a} . {b}, {b} . {a} }}"
        ))
    }

    pub(super) fn packets_to(&self, addr: Ipv4Addr) -> Result<u64, LabError> {
        let listing = self.netns.nft_list("set ip internet seen")?;
        let count = serde_json::from_str::<serde_json::Value>(&listing)
            .ok()
            .and_then(|listing| {
                let set = listing["nftables"]
                    .as_array()?
                    .iter()
                    .find_map(|item| item.get("set"))?;
                let element = set["elem"]
                    .as_array()?
                    .iter()
                    .map(|element| &element["elem"]);
                element
                    .filter(|element| element["val"] == addr.to_string())
                    .find_map(|element| element["counter"]["packets"].as_u64())
            });
        Ok(count.unwrap_or(0))
    }
}
