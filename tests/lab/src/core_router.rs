//! The router that stands for the whole internet.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, atomic::AtomicU8},
};

use super::{
    Fault, LabError, Line, Traffic,
    line::{FIRST_IFINDEX, Hop},
    netns::Netns,
    network::Outlet,
};

/// The internet is as wide as a dozen routers: a packet whose hop limit would not carry it across is lost, and one that
/// crosses it looks it. Where packets are measured the lines have already taken the kernel's batches apart.
const TRANSIT: &str = "
table inet internet {
    set cut { type ifname . ifname; }
    set narrow { type ifname . ifname; }
    set too_narrow { type ifname . ifname; }
    set mute { type ifname; }
    set seen { type ipv4_addr . ipv4_addr; size 1024; flags dynamic; counter; }
    set seen6 { type ipv6_addr . ipv6_addr; size 1024; flags dynamic; counter; }
    chain transit {
        type filter hook forward priority mangle; policy accept;
        update @seen { ip saddr . ip daddr counter }
        update @seen6 { ip6 saddr . ip6 daddr counter }
        iifname . oifname @cut drop
        iifname @mute meta l4proto udp drop
        oifname @mute meta l4proto udp drop
        ip ttl < 12 drop
        ip ttl > 52 ip ttl set 52
        ip6 hoplimit < 12 drop
        ip6 hoplimit > 52 ip6 hoplimit set 52
    }
    chain measured {
        type filter hook forward priority security; policy accept;
        iifname . oifname @narrow meta length > 1280 drop
        iifname . oifname @too_narrow meta length > 1000 drop
    }
}";
/// The number of the first host.
const FIRST_HOST: u8 = 100;

#[derive(Debug)]
pub(super) struct Core {
    netns: Netns,
    hop: Hop,
    lines: u8,
    hosts: Arc<AtomicU8>,
}

impl Core {
    pub(super) fn new() -> Result<Self, LabError> {
        let netns = Netns::new("core")?;
        netns.sysctl("ipv4/ip_forward", "1")?;
        netns.sysctl("ipv6/conf/all/forwarding", "1")?;
        netns.nft(TRANSIT)?;
        Ok(Self {
            hop: Hop::new(netns.clone()),
            netns,
            lines: 0,
            hosts: Arc::new(AtomicU8::new(FIRST_HOST)),
        })
    }

    /// Lays a line, into whose far end one router or host can be plugged.
    pub(super) fn lay(&mut self, line: Line) -> Result<Outlet, LabError> {
        let index = self.lines;
        self.lines += 1;
        self.set_line(index, line)?;
        let ifindex = FIRST_IFINDEX + u32::from(index);
        Ok(Outlet::line(
            &self.netns,
            index,
            ifindex,
            self.hosts.clone(),
        ))
    }

    /// Sends nothing more to an address until somebody has it.
    pub(super) fn forget(&self, addr: Ipv4Addr) -> Result<(), LabError> {
        self.netns.ip(&format!("neigh flush to {addr}"))
    }

    pub(super) fn set_line(&self, index: u8, line: Line) -> Result<(), LabError> {
        self.hop.set(index, line)
    }

    pub(super) fn traffic(&self, index: u8) -> Traffic {
        self.hop.traffic(index)
    }

    pub(super) fn overrun(&self) -> Result<u64, LabError> {
        self.hop.overrun()
    }

    pub(super) fn begin(&self, fault: Fault<'_>) -> Result<(), LabError> {
        if matches!(fault, Fault::Narrow(..) | Fault::TooNarrow(..)) {
            self.hop.require()?;
        }
        self.edit("add", fault)
    }

    pub(super) fn end(&self, fault: Fault<'_>) -> Result<(), LabError> {
        self.edit("delete", fault)
    }

    fn edit(&self, verb: &str, fault: Fault<'_>) -> Result<(), LabError> {
        let (set, elements) = fault.elements();
        self.netns.nft(&format!(
            "{verb} element inet internet {set} {{ {elements} }}"
        ))
    }

    /// Packets that entered the internet for an address, from everywhere or from one place.
    pub(super) fn packets(&self, from: Option<IpAddr>, to: IpAddr) -> Result<u64, LabError> {
        let set = if to.is_ipv4() { "seen" } else { "seen6" };
        let listing = self.netns.nft_list(&format!("set inet internet {set}"))?;
        let listing: serde_json::Value = serde_json::from_str(&listing).unwrap_or_default();
        let sets = listing["nftables"].as_array().into_iter().flatten();
        let elements = sets.filter_map(|item| item["set"]["elem"].as_array());
        let counted = elements.flatten().map(|element| &element["elem"]);
        let wanted = counted.filter(|element| {
            let ends = &element["val"]["concat"];
            ends[1] == to.to_string() && from.is_none_or(|from| ends[0] == from.to_string())
        });
        Ok(wanted
            .filter_map(|element| element["counter"]["packets"].as_u64())
            .sum())
    }
}
