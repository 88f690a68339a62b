//! X25519 by AWS-LC, which is faster than snow's own and is here for TLS anyway.

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use snow::{
    Error,
    types::{Dh, Random},
};
use zeroize::Zeroizing;

const LEN: usize = 32;

/// A key pair; all zeros until it is set.
#[derive(Default)]
pub(super) struct KeyPair {
    secret: Zeroizing<[u8; LEN]>,
    public: [u8; LEN],
    key: Option<PrivateKey>,
}

impl KeyPair {
    fn try_set(&mut self, secret: &[u8]) -> Option<()> {
        let key = PrivateKey::from_private_key(&X25519, secret).ok()?;
        let public = key.compute_public_key().ok()?;
        self.public = *public.as_ref().first_chunk()?;
        self.secret = Zeroizing::new(*secret.first_chunk()?);
        self.key = Some(key);
        Some(())
    }
}

impl Dh for KeyPair {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        LEN
    }

    fn priv_len(&self) -> usize {
        LEN
    }

    fn set(&mut self, secret: &[u8]) {
        // Without a key every exchange fails.
        if self.try_set(secret).is_none() {
            *self = Self::default();
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        let mut secret = Zeroizing::new([0; LEN]);
        rng.try_fill_bytes(&mut secret[..])?;
        self.try_set(&secret[..]).ok_or(Error::Dh)
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.secret[..]
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let key = self.key.as_ref().ok_or(Error::Dh)?;
        let theirs = UnparsedPublicKey::new(&X25519, public.get(..LEN).ok_or(Error::Dh)?);
        let out = out.get_mut(..LEN).ok_or(Error::Dh)?;
        agree(key, theirs, Error::Dh, |shared| {
            out.copy_from_slice(shared);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use snow::{
        params::DHChoice,
        resolvers::{CryptoResolver, DefaultResolver},
    };

    use super::*;

    #[test]
    fn it_computes_what_snows_own_computes() {
        let mut theirs = KeyPair::default();
        theirs.set(&[3; LEN]);
        for secret in 0..=255 {
            let mut ours = KeyPair::default();
            let mut snows = DefaultResolver.resolve_dh(&DHChoice::Curve25519).unwrap();
            ours.set(&[secret; LEN]);
            snows.set(&[secret; LEN]);
            assert_eq!(ours.pubkey(), snows.pubkey());
            assert_eq!(ours.privkey(), snows.privkey());
            let (mut our, mut snow) = ([0; LEN], [1; LEN]);
            ours.dh(theirs.pubkey(), &mut our).unwrap();
            snows.dh(theirs.pubkey(), &mut snow).unwrap();
            assert_eq!(our, snow);
        }
    }

    #[test]
    fn a_key_of_low_order_and_one_that_was_never_set_agree_on_nothing() {
        let mut pair = KeyPair::default();
        assert!(pair.dh(&[9; LEN], &mut [0; LEN]).is_err());
        pair.set(&[3; LEN]);
        assert!(pair.dh(&[0; LEN], &mut [0; LEN]).is_err());
        pair.set(&[3; LEN - 1]);
        assert!(pair.dh(&[9; LEN], &mut [0; LEN]).is_err());
    }
}
