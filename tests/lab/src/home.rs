//! One home: a host, its NAT routers, and the ways to run things on the host.

use std::{
    io,
    net::{IpAddr, Ipv6Addr},
    panic,
    process::Command,
    sync::mpsc,
    thread,
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
    task::JoinHandle,
};

use super::{
    Access, LabError,
    netns::Netns,
    network::{Addrs, Network},
};

/// A host on the lab's internet behind the NAT of its kind.
#[derive(Debug)]
pub struct Home {
    netns: Netns,
    network: Network,
    addrs: Addrs,
    runtime: Handle,
    _runtime_end: oneshot::Sender<()>,
}

impl Home {
    /// What stands between this host and the internet.
    pub fn access(&self) -> Access {
        self.network.access()
    }

    /// The host's own address, IPv4 where it has both.
    pub fn addr(&self) -> IpAddr {
        self.addrs.any()
    }

    /// The host's own IPv6 address, if it has any.
    pub fn addr6(&self) -> Option<Ipv6Addr> {
        self.addrs.v6
    }

    /// The address under which the internet sees this home, IPv4 where it has both.
    pub fn public_addr(&self) -> IpAddr {
        let addrs = self.public_addrs();
        addrs.flatten().next().unwrap_or_else(|| self.addr())
    }

    /// For IPv4 and for IPv6.
    pub(super) fn public_addrs(&self) -> impl Iterator<Item = Option<IpAddr>> {
        let v4 = self.addrs.v4.map(|_| self.network.public_addr().into());
        [v4, self.addrs.v6.map(IpAddr::from)].into_iter()
    }

    /// Runs a future on this host's own runtime; sockets it opens belong to this host.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.runtime.spawn(future)
    }

    /// This host's own runtime.
    pub fn runtime(&self) -> Handle {
        self.runtime.clone()
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
        self.network.flush_conntrack()
    }

    /// Forgets all connections with another home in all of this home's routers.
    ///
    /// # Errors
    /// The package conntrack is not installed.
    pub fn forget(&self, other: &Self) -> Result<(), LabError> {
        let mut addrs = other.public_addrs().flatten();
        addrs.try_for_each(|addr| self.network.forget(addr))
    }

    pub(super) fn new(name: &str, network: Network) -> Result<Self, LabError> {
        let netns = Netns::new(name)?;
        let addrs = network.attach(&netns)?;
        let (runtime, runtime_end) = start_runtime(&netns)?;
        Ok(Self {
            netns,
            network,
            addrs,
            runtime,
            _runtime_end: runtime_end,
        })
    }

    /// Pulls the host's cable and plugs it in elsewhere.
    pub(super) fn replug(&mut self, network: Network) -> Result<(), LabError> {
        self.netns.ip("link delete eth0")?;
        self.addrs = network.attach(&self.netns)?;
        self.network = network;
        Ok(())
    }

    pub(super) fn line(&self) -> u8 {
        self.network.line()
    }

    pub(super) fn network(&self) -> &Network {
        &self.network
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
