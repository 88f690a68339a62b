//! The name under which a node is announced: it tells who knows the node's id that it is here, and others nothing.

use std::{fmt, str::FromStr};

use blake2::{Blake2s256, Digest};
use data_encoding::HEXLOWER_PERMISSIVE as HEX;

use crate::PeerId;

/// A random salt, and a hash of it and the id: new whenever the network changes, so that nobody can follow a node from one
/// network to the next by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alias {
    salt: [u8; 8],
    tag: [u8; 8],
}

impl Alias {
    pub(super) fn new(id: PeerId, salt: [u8; 8]) -> Self {
        let tag = tag(id, salt);
        Self { salt, tag }
    }

    pub(super) fn is_of(&self, id: PeerId) -> bool {
        self.tag == tag(id, self.salt)
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", HEX.encode(&self.salt), HEX.encode(&self.tag))
    }
}

/// The name is none of ours.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an alias: 32 hexadecimal digits were expected")]
pub(super) struct NotAnAlias;

impl FromStr for Alias {
    type Err = NotAnAlias;

    fn from_str(text: &str) -> Result<Self, NotAnAlias> {
        let bytes = HEX.decode(text.as_bytes()).map_err(|_| NotAnAlias)?;
        let bytes: [u8; 16] = bytes.try_into().map_err(|_| NotAnAlias)?;
        let (salt, tag) = bytes.split_at(8);
        let half = |half: &[u8]| half.try_into().map_err(|_| NotAnAlias);
        Ok(Self {
            salt: half(salt)?,
            tag: half(tag)?,
        })
    }
}

fn tag(id: PeerId, salt: [u8; 8]) -> [u8; 8] {
    let hash = Blake2s256::new()
        .chain_update(b"peerway lan")
        .chain_update(salt)
        .chain_update(id.as_bytes())
        .finalize();
    let mut tag = [0; 8];
    tag.copy_from_slice(&hash[..8]);
    tag
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn an_alias_tells_who_it_is_only_to_those_who_know_the_id() {
        let [alice, bob] = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]).id());
        let alias: Alias = Alias::new(alice, [7; 8]).to_string().parse().unwrap();
        assert!(alias.is_of(alice) && !alias.is_of(bob));
        assert!(!alias.to_string().contains(&alice.short()));
    }

    #[test]
    fn two_aliases_of_one_node_have_nothing_in_common() {
        let id = SecretKey::from_seed(&[1; 32]).id();
        let [one, other] = [[7; 8], [8; 8]].map(|salt| Alias::new(id, salt));
        assert!(one.tag != other.tag && other.is_of(id));
    }

    #[test]
    fn names_of_others_are_no_aliases() {
        for name in ["", "printer", "0123", "zz345678901234567890123456789012"] {
            assert_eq!(name.parse::<Alias>(), Err(NotAnAlias), "{name}");
        }
    }
}
