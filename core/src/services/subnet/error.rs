//! Why there is no device: [`SubnetError`].

use std::io;

use ipnet::IpNet;

use super::{MAX_PEERS, Refusal, hello::MAX_RANGES};
use crate::PeerId;

/// Why a node has no device for its links.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubnetError {
    /// Give the program the capability, or use what needs none.
    #[error("a network device needs root or the capability CAP_NET_ADMIN")]
    NotPermitted,
    /// Load the module, or have the container see the file.
    #[error(
        "there is no /dev/net/tun here: `sudo modprobe tun`; a container needs `--device /dev/net/tun`"
    )]
    NoTun,
    /// Name another range.
    #[error("{net} cannot be linked: {why}")]
    Range {
        /// Which.
        net: IpNet,
        /// Why.
        why: Refusal,
    },
    /// Use larger ones.
    #[error("at most {MAX_RANGES} ranges can be advertised")]
    ManyRanges,
    /// Use several nodes.
    #[error("at most {MAX_PEERS} peers can be linked")]
    ManyPeers,
    /// End that link first, or leave it.
    #[error("there is a link with {} already", peer.short())]
    Linked {
        /// Whom.
        peer: PeerId,
    },
    /// Interfaces of this computer have all of it.
    #[error("no address in 100.64.0.0/10 is free on this computer")]
    NoAddress,
    /// See the inner error.
    #[error("cannot make a network device: {0}")]
    Device(#[source] io::Error),
}

impl From<io::Error> for SubnetError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::PermissionDenied {
            Self::NotPermitted
        } else if error.kind() == io::ErrorKind::NotFound
            || error.raw_os_error() == Some(nix::libc::ENODEV)
        {
            Self::NoTun
        } else {
            Self::Device(error)
        }
    }
}
