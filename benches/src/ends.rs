//! The two computers of a measurement.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
};

#[cfg(target_os = "linux")]
use peerway_lab::Home;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

/// Two computers, of which one sends to the other.
#[derive(Debug)]
pub struct Ends {
    /// Where the bulk comes from. It dials.
    pub sending: End,
    /// Where it goes.
    pub receiving: End,
}

impl Ends {
    /// Both on loopback, with a runtime of one thread each.
    ///
    /// # Errors
    /// What the system refused.
    pub fn loopback() -> io::Result<Self> {
        Ok(Self {
            sending: End::loopback()?,
            receiving: End::loopback()?,
        })
    }

    /// Two homes of a lab.
    #[cfg(target_os = "linux")]
    pub fn between(sending: &Home, receiving: &Home) -> Self {
        Self {
            sending: End::home(sending),
            receiving: End::home(receiving),
        }
    }
}

/// One computer.
#[derive(Debug)]
pub struct End {
    /// The address of its sockets.
    pub addr: IpAddr,
    handle: Handle,
    _runtime: Option<Runtime>,
}

impl End {
    fn loopback() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        Ok(Self {
            addr: Ipv4Addr::LOCALHOST.into(),
            handle: runtime.handle().clone(),
            _runtime: Some(runtime),
        })
    }

    #[cfg(target_os = "linux")]
    fn home(home: &Home) -> Self {
        Self {
            addr: home.addr(),
            handle: home.runtime(),
            _runtime: None,
        }
    }

    /// Runs a future there.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.handle.spawn(future)
    }
}
