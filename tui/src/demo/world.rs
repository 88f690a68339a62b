//! Where the demo runs: in namespaces, or on loopback.

use std::net::{Ipv4Addr, SocketAddr};

use peerway::SecretKey;
use peerway_relay::Config;
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

use super::{DemoError, timeline::Step};

#[cfg(target_os = "linux")]
use std::time::Duration;

#[cfg(target_os = "linux")]
use super::Situation;
#[cfg(target_os = "linux")]
use peerway_lab::{self as lab, Access, Home, Lab, LabError, Line, NatKind};
#[cfg(target_os = "linux")]
use std::net::Ipv6Addr;

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
        let access = NatKind::PortRestricted.into();
        Self::with([access, access], near, far)
    }

    /// The homes of a situation. There is nothing to fall back on.
    #[cfg(target_os = "linux")]
    pub(super) fn of(situation: &Situation) -> Result<Self, DemoError> {
        lab::enter()?;
        let access = [situation.a, situation.b];
        Ok(Self::with(access, situation.line, Line::default())?)
    }

    #[cfg(target_os = "linux")]
    fn with([a, b]: [Access; 2], near: Line, far: Line) -> Result<Self, LabError> {
        let mut lab = Lab::new()?;
        lab.set_line(lab.relay(), far)?;
        let a = lab.home_on("home-a", a, near)?;
        let b = lab.home_on("home-b", b, near)?;
        Ok(Self::Homes(Box::new(Homes { lab, a, b })))
    }

    /// Packets that each home sent straight to the other so far.
    #[cfg(target_os = "linux")]
    pub(super) fn packets(&self) -> Result<[u64; 2], LabError> {
        match self {
            Self::Homes(homes) => Ok([
                homes.lab.packets_between(&homes.a, &homes.b)?,
                homes.lab.packets_between(&homes.b, &homes.a)?,
            ]),
            Self::Loopback { .. } => Ok([0, 0]),
        }
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
                kinds: [&homes.a, &homes.b].map(|home| home.access().to_string()),
            },
            Self::Loopback { why, .. } => Step::Loopback { why: why.clone() },
        }
    }

    /// The same in a line that may be cut, the homes first.
    pub(super) fn setting(&self) -> String {
        match self {
            #[cfg(target_os = "linux")]
            Self::Homes(homes) => {
                let [a, b] = [&homes.a, &homes.b];
                let kinds = if a.access() == b.access() {
                    format!("both behind {} NATs", a.access())
                } else {
                    format!("behind {} and {} NATs", a.access(), b.access())
                };
                let [a, b] = [a.public_addr(), b.public_addr()];
                format!("home A {a}, home B {b}, {kinds}")
            }
            Self::Loopback { why, .. } => format!("home A and home B on loopback, no NATs: {why}"),
        }
    }

    /// Where the relay listens: for IPv6 too, and known by its name, where a home has that.
    pub(super) fn relay_config(&self, key: SecretKey) -> Config {
        match self {
            #[cfg(target_os = "linux")]
            Self::Homes(homes) if homes.a.access().ipv6 || homes.b.access().ipv6 => {
                let mut config = Config::new((Ipv6Addr::UNSPECIFIED, 4433).into(), key);
                config.public_host = Some(Lab::RELAY_NAME.to_owned());
                config
            }
            #[cfg(target_os = "linux")]
            Self::Homes(homes) => Config::new((homes.lab.relay().public_addr(), 4433).into(), key),
            Self::Loopback { .. } => Config::new((Ipv4Addr::LOCALHOST, 0).into(), key),
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
