//! Where the demo plays: in namespaces, or on loopback.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

use super::{DemoError, timeline::Step};

#[cfg(target_os = "linux")]
use std::time::Duration;

#[cfg(target_os = "linux")]
use crate::lab::{self, Home, Lab, LabError, Line, NatKind};

#[derive(Debug)]
pub(super) enum World {
    #[cfg(target_os = "linux")]
    Homes(Box<Homes>),
    Loopback {
        runtime: Runtime,
        why: String,
    },
}

#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(super) struct Homes {
    lab: Lab,
    a: Home,
    b: Home,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Relay,
    HomeA,
    HomeB,
}

impl World {
    #[cfg(target_os = "linux")]
    pub(super) fn build() -> Result<Self, DemoError> {
        match lab::enter() {
            Ok(()) => Ok(Self::homes()?),
            Err(error @ (LabError::Missing { .. } | LabError::Forbidden { .. })) => {
                Self::loopback(error.to_string())
            }
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn build() -> Result<Self, DemoError> {
        Self::loopback("homes of their own need Linux".to_owned())
    }

    /// The relay is farther away than the homes are from each other, as relays are.
    #[cfg(target_os = "linux")]
    fn homes() -> Result<Self, LabError> {
        let near = Line::delayed(Duration::from_millis(10));
        let far = Line::delayed(Duration::from_millis(15));
        let mut lab = Lab::new()?;
        lab.set_line(lab.relay(), far)?;
        let a = lab.home_on("home-a", NatKind::PortRestricted, near)?;
        let b = lab.home_on("home-b", NatKind::PortRestricted, near)?;
        Ok(Self::Homes(Box::new(Homes { lab, a, b })))
    }

    fn loopback(why: String) -> Result<Self, DemoError> {
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(DemoError::Runtime)?;
        Ok(Self::Loopback { runtime, why })
    }

    pub(super) fn describe(&self) -> Step {
        match self {
            #[cfg(target_os = "linux")]
            Self::Homes(homes) => Step::Homes {
                a: homes.a.public_addr(),
                b: homes.b.public_addr(),
            },
            Self::Loopback { why, .. } => Step::Loopback { why: why.clone() },
        }
    }

    pub(super) fn relay_addr(&self) -> SocketAddr {
        match self {
            #[cfg(target_os = "linux")]
            Self::Homes(homes) => (homes.lab.relay().public_addr(), 4433).into(),
            Self::Loopback { .. } => (Ipv4Addr::LOCALHOST, 0).into(),
        }
    }

    /// The address to which nodes bind, where it is not every address they have.
    pub(super) fn node_addr(&self) -> Option<SocketAddr> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Homes(_) => None,
            Self::Loopback { .. } => Some((Ipv4Addr::LOCALHOST, 0).into()),
        }
    }

    pub(super) fn spawn<F>(&self, place: Place, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        match self {
            #[cfg(target_os = "linux")]
            Self::Homes(homes) => match place {
                Place::Relay => homes.lab.relay().spawn(future),
                Place::HomeA => homes.a.spawn(future),
                Place::HomeB => homes.b.spawn(future),
            },
            Self::Loopback { runtime, .. } => runtime.spawn(future),
        }
    }

    /// Runs the demo itself, in home A.
    pub(super) fn run<F: Future<Output: Send> + Send>(&self, future: F) -> F::Output {
        match self {
            #[cfg(target_os = "linux")]
            Self::Homes(homes) => homes.a.block_on(future),
            Self::Loopback { runtime, .. } => runtime.block_on(future),
        }
    }
}
