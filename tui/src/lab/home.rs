//! One home: a host, its NAT routers, and the ways to run things on the host.

use std::{io, net::Ipv4Addr, panic, process::Command, sync::mpsc, thread};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
    task::JoinHandle,
};

use super::{
    LabError, Line, NatKind,
    core_router::{Core, Port},
    nat,
    netns::{self, Netns, feed},
    upnp::Upnp,
};

/// A host on the lab's internet behind the NAT of its kind.
#[derive(Debug)]
pub struct Home {
    nat: NatKind,
    addr: Ipv4Addr,
    port: Port,
    netns: Netns,
    /// From the internet inwards.
    routers: Vec<Netns>,
    runtime: Handle,
    _runtime_end: oneshot::Sender<()>,
    _upnp: Option<Upnp>,
}

impl Home {
    /// What stands between this host and the internet.
    pub fn nat(&self) -> NatKind {
        self.nat
    }

    /// The host's own address.
    pub fn addr(&self) -> Ipv4Addr {
        self.addr
    }

    /// The address under which the internet sees this home.
    pub fn public_addr(&self) -> Ipv4Addr {
        self.port.public_addr()
    }

    /// Runs a future on this host's own runtime; sockets it opens belong to this host.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.runtime.spawn(future)
    }

    /// Runs a future on a thread of this host, in its runtime, and waits for it.
    ///
    /// # Panics
    /// When the future does.
    pub fn block_on<F: Future<Output: Send> + Send>(&self, future: F) -> F::Output {
        self.run(|| self.runtime.block_on(future))
    }

    /// Runs a closure on a thread of this host and waits for it.
    ///
    /// # Panics
    /// When the closure does, and when the kernel refuses the thread.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match self.netns.run(work) {
            Ok(value) => value,
            Err(error) => panic!("cannot run a thread in {}: {error}", self.netns.name()),
        }
    }

    /// A command that will run on this host.
    pub fn command(&self, program: &str) -> Command {
        self.netns.command(program)
    }

    /// Forgets all connections in all of this home's routers, as a reboot does.
    ///
    /// # Errors
    /// The package conntrack is not installed.
    pub fn flush_conntrack(&self) -> Result<(), LabError> {
        for router in &self.routers {
            feed(router.command("conntrack").arg("-F"), "")?;
        }
        Ok(())
    }

    pub(super) fn build(
        core: &mut Core,
        name: &str,
        kind: NatKind,
        line: Line,
    ) -> Result<Self, LabError> {
        let netns = Netns::new(name)?;
        let kinds = kind.routers();
        let routers = (0..kinds.len())
            .map(|layer| Netns::new(&format!("{name}-nat{layer}")))
            .collect::<Result<Vec<_>, _>>()?;
        let port = match routers.first() {
            None => core.connect(&netns, "eth0", line)?,
            Some(outermost) => core.connect(outermost, "wan", line)?,
        };
        let mut addr = port.public_addr();
        for (layer, router) in routers.iter().enumerate() {
            let (inner, inner_if, [gateway, inner_addr]) = match routers.get(layer + 1) {
                Some(inner) => (inner, "wan", port.carrier_subnet()),
                None => (&netns, "eth0", port.home_subnet()),
            };
            netns::plug(router, "lan", inner, inner_if, [gateway, inner_addr])?;
            nat::configure(router, kinds[layer])?;
            addr = inner_addr;
        }
        let upnp = match (kind, routers.first()) {
            (NatKind::SymmetricUpnp, Some(router)) => Some(Upnp::start(router)?),
            _ => None,
        };
        let (runtime, runtime_end) = start_runtime(&netns)?;
        Ok(Self {
            nat: kind,
            addr,
            port,
            netns,
            routers,
            runtime,
            _runtime_end: runtime_end,
            _upnp: upnp,
        })
    }

    pub(super) fn port(&self) -> Port {
        self.port
    }

    pub(super) fn netns(&self) -> &Netns {
        &self.netns
    }
}

/// A runtime all of whose threads live in `netns`. It ends with the sender, on a thread where it may block.
fn start_runtime(netns: &Netns) -> Result<(Handle, oneshot::Sender<()>), LabError> {
    let (end, ended) = oneshot::channel();
    let (built, handle) = mpsc::sync_channel(1);
    let netns = netns.clone();
    thread::spawn(move || match build_runtime(netns) {
        Err(error) => built.send(Err(error)).unwrap_or_default(),
        Ok(runtime) => {
            built.send(Ok(runtime.handle().clone())).unwrap_or_default();
            runtime.block_on(ended).unwrap_or_default();
            runtime.shutdown_background();
        }
    });
    let handle = handle
        .recv()
        .unwrap_or_else(|lost| Err(io::Error::other(lost)));
    let handle = handle.map_err(LabError::system("start a home's runtime"))?;
    Ok((handle, end))
}

fn build_runtime(netns: Netns) -> io::Result<Runtime> {
    netns.enter()?;
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        // Threads for blocking work are started by whoever asks for them, maybe from elsewhere.
        .on_thread_start(move || {
            if let Err(error) = netns.enter() {
                panic!("cannot enter {}: {error}", netns.name());
            }
        })
        .build()
}
