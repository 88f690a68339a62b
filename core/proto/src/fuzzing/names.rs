//! The few keys, relays and addresses that inputs name, so that those of one case are about the same.

use std::{net::SocketAddr, sync::LazyLock};

use arbitrary::Arbitrary;

use crate::{PeerId, RelayUrl, SecretKey};

/// Addresses worth naming: public, local, forbidden, and other services' ports.
const ADDRS: [&str; 16] = [
    "81.2.0.1:40000",
    "81.2.0.1:40001",
    "81.2.0.2:40000",
    "80.1.0.1:40000",
    "192.168.1.5:40000",
    "192.168.1.6:40000",
    "10.9.9.9:40000",
    "127.0.0.1:40000",
    "224.0.0.1:40000",
    "255.255.255.255:40000",
    "0.0.0.0:40000",
    "81.2.0.1:53",
    "81.2.0.1:1900",
    "[::ffff:127.0.0.1]:40000",
    "[2a00::1]:40000",
    "[64:ff9b::7f00:1]:40000",
];

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Addr {
    Known(u8),
    Any(SocketAddr),
}

impl Addr {
    pub(super) fn get(self) -> SocketAddr {
        match self {
            Self::Known(at) => known(at),
            Self::Any(addr) => addr,
        }
    }
}

pub(super) fn known(at: u8) -> SocketAddr {
    #[expect(clippy::unwrap_used, reason = "the texts are constants")]
    static KNOWN: LazyLock<[SocketAddr; ADDRS.len()]> =
        LazyLock::new(|| ADDRS.map(|addr| addr.parse().unwrap()));
    KNOWN[at as usize % ADDRS.len()]
}

/// A few keys: the machine's own is the first. Each takes long to make, so all cases use the same.
pub(super) fn key(at: u8) -> SecretKey {
    static KEYS: LazyLock<[SecretKey; 4]> =
        LazyLock::new(|| [0, 1, 2, 3].map(|at| SecretKey::from_seed(&[at; 32])));
    KEYS[at as usize % KEYS.len()].clone()
}

pub(super) fn id(at: u8) -> PeerId {
    key(at).id()
}

pub(super) fn relay(at: u8) -> RelayUrl {
    #[expect(clippy::unwrap_used, reason = "an IP address is a host")]
    static RELAYS: LazyLock<[RelayUrl; 3]> = LazyLock::new(|| {
        [4433, 4434, 4435].map(|port| RelayUrl::new(key(3).id(), "5.9.0.1", port).unwrap())
    });
    RELAYS[at as usize % RELAYS.len()].clone()
}
