//! What the two ends of a link tell each other when it begins: addresses and ranges.
//!
//! Version, IPv4 address (4 bytes, zeros if none), IPv6 address (16), number of ranges, and each of them: its family (4 or 6), the
//! length of its prefix, its address (4 or 16).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use quinn::{ReadExactError, WriteError};

use super::ranges::{is_of_nodes, node_v6};
use crate::{PeerId, RecvStream, SendStream};

const VERSION: u8 = 1;
/// Ranges that a node advertises.
pub(super) const MAX_RANGES: usize = 32;
const MAX_LEN: usize = 22 + MAX_RANGES * 18;

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) v4: Option<Ipv4Addr>,
    pub(super) v6: Option<Ipv6Addr>,
    pub(super) advertised: Vec<IpNet>,
}

/// Why no hello came.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelloError {
    #[error("the peer's side of the link is of another version: bring both to the same")]
    Version,
    #[error("the peer said what makes no sense")]
    Malformed,
    #[error("the peer said nothing: {0}")]
    Read(#[from] ReadExactError),
    #[error("the peer was told nothing: {0}")]
    Write(#[from] WriteError),
}

impl Hello {
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let v4 = self.v4.map(IpAddr::from);
        v4.into_iter().chain(self.v6.map(IpAddr::from)).collect()
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.v4.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
        bytes.extend(self.v6.unwrap_or(Ipv6Addr::UNSPECIFIED).octets());
        let ranges = self.advertised.iter().take(MAX_RANGES);
        bytes.push(ranges.len() as u8);
        for net in ranges {
            match net {
                IpNet::V4(net) => {
                    bytes.extend([4, net.prefix_len()]);
                    bytes.extend(net.network().octets());
                }
                IpNet::V6(net) => {
                    bytes.extend([6, net.prefix_len()]);
                    bytes.extend(net.network().octets());
                }
            }
        }
        bytes
    }

    /// Without addresses that no node has, or that are another's.
    pub(super) fn of_node(mut self, peer: PeerId) -> Self {
        self.v4 = self.v4.filter(|addr| is_of_nodes(*addr));
        self.v6 = self.v6.filter(|addr| *addr == node_v6(peer));
        self
    }

    fn decode(bytes: &[u8]) -> Result<Self, HelloError> {
        let (version, rest) = bytes.split_first().ok_or(HelloError::Malformed)?;
        if *version != VERSION {
            return Err(HelloError::Version);
        }
        Self::decode_body(rest).ok_or(HelloError::Malformed)
    }

    fn decode_body(bytes: &[u8]) -> Option<Self> {
        let (v4, rest) = bytes.split_first_chunk::<4>()?;
        let (v6, rest) = rest.split_first_chunk::<16>()?;
        let (count, mut rest) = rest.split_first()?;
        let mut advertised = Vec::new();
        for _ in 0..*count {
            let ([family, length], after) = rest.split_first_chunk::<2>()?;
            let addr: IpAddr;
            (addr, rest) = match family {
                4 => after
                    .split_first_chunk::<4>()
                    .map(|(it, rest)| ((*it).into(), rest))?,
                6 => after
                    .split_first_chunk::<16>()
                    .map(|(it, rest)| ((*it).into(), rest))?,
                _ => return None,
            };
            advertised.push(IpNet::new(addr, *length).ok()?.trunc());
        }
        let (v4, v6) = (Ipv4Addr::from(*v4), Ipv6Addr::from(*v6));
        (rest.is_empty() && advertised.len() <= MAX_RANGES).then_some(Self {
            v4: (!v4.is_unspecified()).then_some(v4),
            v6: (!v6.is_unspecified()).then_some(v6),
            advertised,
        })
    }

    /// Sends ours and waits for the peer's.
    pub(super) async fn exchange(
        &self,
        send: &mut SendStream,
        recv: &mut RecvStream,
    ) -> Result<Self, HelloError> {
        let ours = self.encode();
        let length = u16::try_from(ours.len()).map_err(|_| HelloError::Malformed)?;
        send.write_all(&length.to_be_bytes()).await?;
        send.write_all(&ours).await?;
        let mut length = [0; 2];
        recv.read_exact(&mut length).await?;
        let mut theirs = [0; MAX_LEN];
        let length = usize::from(u16::from_be_bytes(length));
        let theirs = theirs.get_mut(..length).ok_or(HelloError::Malformed)?;
        recv.read_exact(theirs).await?;
        Self::decode(theirs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SecretKey;

    #[test]
    fn what_is_said_is_understood() {
        let hello = Hello {
            v4: Some(Ipv4Addr::new(100, 64, 1, 2)),
            v6: None,
            advertised: vec![
                "192.168.1.0/24".parse().unwrap(),
                "fd00:1::/64".parse().unwrap(),
            ],
        };
        assert_eq!(Hello::decode(&hello.encode()).unwrap(), hello);
        let many = Hello {
            advertised: vec![hello.advertised[0]; 40],
            ..hello
        };
        assert_eq!(
            Hello::decode(&many.encode()).unwrap().advertised.len(),
            MAX_RANGES
        );
        assert!(matches!(Hello::decode(&[9]), Err(HelloError::Version)));
    }

    #[test]
    fn a_peer_has_no_address_but_one_of_a_node_and_its_own() {
        let [peer, other] = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]).id());
        let hello = |v4: [u8; 4], v6| Hello {
            v4: Some(v4.into()),
            v6: Some(v6),
            advertised: Vec::new(),
        };
        let own = hello([100, 64, 1, 2], node_v6(peer));
        assert_eq!(own.clone().of_node(peer), own);
        for v6 in [node_v6(other), "2001:db8::1".parse().unwrap()] {
            let said = hello([1, 1, 1, 1], v6).of_node(peer);
            assert_eq!(said.addresses(), [] as [IpAddr; 0]);
        }
    }

    proptest! {
        #[test]
        fn anything_may_come(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Hello::decode(&bytes);
            let _ = Hello::decode(&[&[VERSION], &bytes[..]].concat());
        }
    }
}
