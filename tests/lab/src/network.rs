//! What is between the core and the hosts of a home: its routers, and the outlets into which things are plugged.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use super::{
    Access, LabError, NatKind, nat,
    netns::{Netns, feed},
    upnp::Upnp,
};

/// Inside interface of routers, to which all their cables are bridged.
const LAN: &str = "lan";
/// What is plugged in first has this number; the near end is 1.
const FIRST_NUMBER: u8 = 2;

/// All routers of a home, and where its hosts are plugged in.
#[derive(Clone, Debug)]
pub(super) struct Network {
    access: Access,
    /// From the internet inwards, those of a carrier included.
    routers: Vec<Netns>,
    outlet: Outlet,
    /// The number of the outermost router on its line.
    number: Arc<AtomicU8>,
    upnp: Option<Arc<Upnp>>,
}

impl Network {
    /// Puts the routers that `access` takes behind `outlet`.
    pub(super) fn behind(outlet: Outlet, name: &str, access: Access) -> Result<Self, LabError> {
        let mut network = Self {
            access,
            routers: Vec::new(),
            outlet,
            number: Arc::new(AtomicU8::new(FIRST_NUMBER)),
            upnp: None,
        };
        for (layer, kind) in access.routers().iter().enumerate() {
            let carrier = layer + 1 < access.routers().len();
            network.add_router(&format!("{name}-nat{layer}"), *kind, carrier)?;
        }
        if access.ipv4 == Some(NatKind::SymmetricUpnp)
            && let Some(router) = network.routers.last()
        {
            network.upnp = Some(Arc::new(Upnp::start(router)?));
        }
        Ok(network)
    }

    /// A network whose hosts are routers of others.
    pub(super) fn carrier(outlet: Outlet, name: &str, kind: NatKind) -> Result<Self, LabError> {
        let mut network = Self {
            access: kind.into(),
            routers: Vec::new(),
            outlet,
            number: Arc::new(AtomicU8::new(FIRST_NUMBER)),
            upnp: None,
        };
        for (layer, kind) in kind.routers().iter().enumerate() {
            network.add_router(&format!("{name}-nat{layer}"), *kind, true)?;
        }
        Ok(network)
    }

    /// A home behind this carrier.
    pub(super) fn customer(&self, name: &str, kind: NatKind) -> Result<Self, LabError> {
        let mut home = Self::behind(self.outlet.clone(), name, kind.into())?;
        home.routers.splice(0..0, self.routers.iter().cloned());
        home.number = Arc::clone(&self.number);
        Ok(home)
    }

    fn add_router(&mut self, name: &str, kind: NatKind, carrier: bool) -> Result<(), LabError> {
        let router = Netns::new(name)?;
        self.outlet.plug(&router, "wan", self.access, true)?;
        self.outlet = self.outlet.inside(&router, carrier, self.access)?;
        nat::configure(&router, kind)?;
        self.routers.push(router);
        Ok(())
    }

    /// Plugs a host in.
    pub(super) fn attach(&self, host: &Netns) -> Result<Addrs, LabError> {
        self.outlet.plug(host, "eth0", self.access, false)
    }

    pub(super) fn access(&self) -> Access {
        self.access
    }

    /// Which of the core's lines it is on.
    pub(super) fn line(&self) -> u8 {
        self.outlet.line
    }

    /// The address under which the IPv4 internet sees it.
    pub(super) fn public_addr(&self) -> Ipv4Addr {
        line_addr(self.line(), self.number.load(Ordering::Relaxed))
    }

    /// Gives the outermost router the next address of its line. All of them forget what they know. Returns the former one.
    pub(super) fn renumber(&self) -> Result<Ipv4Addr, LabError> {
        let Some(router) = self.routers.first() else {
            return Err(LabError::NoRouter);
        };
        let former = self.public_addr();
        self.number.fetch_add(1, Ordering::Relaxed);
        let (addr, gateway) = (self.public_addr(), line_addr(self.line(), 1));
        // With its only address the interface loses its routes.
        router.ip(&format!(
            "address del {former}/24 dev wan
             address add {addr}/24 dev wan
             route add default via {gateway}"
        ))?;
        self.flush_conntrack()?;
        Ok(former)
    }

    pub(super) fn flush_conntrack(&self) -> Result<(), LabError> {
        for router in &self.routers {
            feed(router.command("conntrack").arg("-F"), "")?;
        }
        Ok(())
    }

    /// Forgets what its routers know of an address. There may be nothing, which conntrack calls a failure.
    pub(super) fn forget(&self, addr: IpAddr) -> Result<(), LabError> {
        for router in &self.routers {
            for side in ["--orig-src", "--orig-dst"] {
                let mut conntrack = router.command("sh");
                let script = format!("conntrack -D {side} {addr} || conntrack -C");
                feed(conntrack.args(["-c", &script]), "")?;
            }
        }
        Ok(())
    }
}

/// What a host or a router was given when it was plugged in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addrs {
    pub(super) v4: Option<Ipv4Addr>,
    pub(super) v6: Option<Ipv6Addr>,
}

impl Addrs {
    /// The IPv4 address where there is one.
    pub(super) fn any(self) -> IpAddr {
        match self.v4 {
            Some(v4) => v4.into(),
            None => self.v6.unwrap_or(Ipv6Addr::UNSPECIFIED).into(),
        }
    }
}

/// Where something can be plugged in: a line of the core, or the inside of a router.
#[derive(Clone, Debug)]
pub(super) struct Outlet {
    near: Netns,
    /// The interface at the near end, or none where each cable gets one of its own on the bridge.
    interface: Option<(String, u32)>,
    line: u8,
    /// How many routers are between this and the core.
    depth: u16,
    v4: [u8; 3],
    /// The host number that is given to whatever is plugged in next.
    next: Arc<AtomicU8>,
    /// For the hosts of all homes together: no two of them have the same address by chance.
    hosts: Arc<AtomicU8>,
}

impl Outlet {
    /// The far end of line `line`. Each line has a /16 of its own: peers that share one are taken for neighbours.
    pub(super) fn line(core: &Netns, line: u8, ifindex: u32, hosts: Arc<AtomicU8>) -> Self {
        Self {
            near: core.clone(),
            interface: Some((line_interface(line), ifindex)),
            line,
            depth: 0,
            v4: line_net(line),
            next: Arc::new(AtomicU8::new(FIRST_NUMBER)),
            hosts,
        }
    }

    /// What a router has on its inside. All homes use the same range, as homes do.
    fn inside(&self, router: &Netns, carrier: bool, access: Access) -> Result<Self, LabError> {
        let inside = Self {
            near: router.clone(),
            interface: None,
            line: self.line,
            depth: self.depth + 1,
            v4: if carrier {
                [100, 64, self.line]
            } else {
                [192, 168, 1]
            },
            next: if carrier {
                Arc::new(AtomicU8::new(2))
            } else {
                self.hosts.clone()
            },
            hosts: self.hosts.clone(),
        };
        router.ip(&format!("link add {LAN} type bridge mcast_snooping 0\n"))?;
        router.ip(&inside.addresses(LAN, 1, access))?;
        Ok(inside)
    }

    /// Lays a cable to `far`, whose gateway the near end is. A router leads on to further addresses of the line.
    fn plug(
        &self,
        far: &Netns,
        far_if: &str,
        access: Access,
        router: bool,
    ) -> Result<Addrs, LabError> {
        let host = self.next.fetch_add(1, Ordering::Relaxed);
        let netns = far.path();
        let netns = netns.display();
        let near = match &self.interface {
            Some((name, index)) => format!(
                "link add {name} index {index} type veth peer name {far_if} netns {netns}\n{}",
                self.addresses(name, 1, access)
            ),
            None => format!(
                "link add {LAN}{host} type veth peer name {far_if} netns {netns}\n\
                 link set {LAN}{host} master {LAN} up\n"
            ),
        };
        self.near.ip(&near)?;
        let mut script = self.addresses(far_if, host, access);
        let addrs = self.addrs(host, access);
        let gateway = self.addrs(1, access);
        for gateway in [gateway.v4.map(IpAddr::from), gateway.v6.map(IpAddr::from)]
            .into_iter()
            .flatten()
        {
            script += &format!("route add default via {gateway}\n");
        }
        far.ip(&script)?;
        if let (true, Some(v6)) = (router, addrs.v6) {
            self.near
                .ip(&format!("route add {}/48 via {v6}\n", self.v6(0, 0)))?;
        }
        Ok(addrs)
    }

    /// Commands that give an interface its addresses here. Nobody else has them: there is no need to look for duplicates.
    fn addresses(&self, interface: &str, host: u8, access: Access) -> String {
        let Addrs { v4, v6 } = self.addrs(host, access);
        let v4 = v4.map(|addr| format!("address add {addr}/24 dev {interface}\n"));
        let v6 = v6.map(|addr| format!("address add {addr}/64 dev {interface} nodad\n"));
        format!(
            "{}{}link set {interface} up\n",
            v4.unwrap_or_default(),
            v6.unwrap_or_default()
        )
    }

    fn addrs(&self, host: u8, access: Access) -> Addrs {
        let [a, b, c] = self.v4;
        Addrs {
            v4: access.ipv4.map(|_| Ipv4Addr::new(a, b, c, host)),
            v6: access.ipv6.then(|| self.v6(self.depth, host)),
        }
    }

    /// Each line has a /48, each depth in it a /64.
    fn v6(&self, depth: u16, host: u8) -> Ipv6Addr {
        Ipv6Addr::new(
            0x2a0f,
            10 + u16::from(self.line),
            0,
            depth,
            0,
            0,
            0,
            host.into(),
        )
    }
}

fn line_net(line: u8) -> [u8; 3] {
    [62, 10 + line, 0]
}

fn line_addr(line: u8, number: u8) -> Ipv4Addr {
    let [a, b, c] = line_net(line);
    Ipv4Addr::new(a, b, c, number)
}

/// The core's end of a line.
pub(super) fn line_interface(line: u8) -> String {
    format!("to-{line}")
}
