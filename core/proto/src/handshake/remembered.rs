//! X25519 that remembers its results, for worlds and fuzzing, where the same few keys meet again and again: the same results,
//! but most of them without computing.

use std::{cell::RefCell, collections::BTreeMap};

use snow::{
    Error,
    params::DHChoice,
    types::{Dh, Random},
};

use super::resolve_dh;

/// Results that are remembered at a time, some 200 bytes each.
const MAX_KNOWN: usize = 1 << 16;

type Bytes = [u8; 32];

thread_local! {
    static PUBLIC: RefCell<BTreeMap<Bytes, Bytes>> = const { RefCell::new(BTreeMap::new()) };
    static SHARED: RefCell<BTreeMap<(Bytes, Bytes), Bytes>> = const { RefCell::new(BTreeMap::new()) };
}

/// A key pair.
pub(super) struct Remembered {
    real: Box<dyn Dh>,
    secret: Bytes,
    public: Bytes,
}

impl Remembered {
    pub(super) fn new(choice: &DHChoice) -> Option<Self> {
        let real = resolve_dh(choice)?;
        Some(Self {
            real,
            secret: [0; 32],
            public: [0; 32],
        })
    }
}

impl Dh for Remembered {
    fn name(&self) -> &'static str {
        self.real.name()
    }

    fn pub_len(&self) -> usize {
        self.real.pub_len()
    }

    fn priv_len(&self) -> usize {
        self.real.priv_len()
    }

    fn set(&mut self, secret: &[u8]) {
        self.secret.copy_from_slice(secret);
        let secret = self.secret;
        let compute = || {
            self.real.set(&secret);
            let mut public = [0; 32];
            public.copy_from_slice(self.real.pubkey());
            Ok(public)
        };
        if let Ok(public) = recall(&PUBLIC, secret, compute) {
            self.public = public;
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        let mut secret = [0; 32];
        rng.try_fill_bytes(&mut secret)?;
        self.set(&secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.secret
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let theirs = *public.first_chunk().ok_or(Error::Dh)?;
        let shared = recall(&SHARED, (self.secret, theirs), || {
            let mut real = resolve_dh(&DHChoice::Curve25519).ok_or(Error::Dh)?;
            real.set(&self.secret);
            let mut shared = [0; 32];
            real.dh(&theirs, &mut shared)?;
            Ok(shared)
        })?;
        out.get_mut(..32).ok_or(Error::Dh)?.copy_from_slice(&shared);
        Ok(())
    }
}

fn recall<K: Ord + Copy>(
    known: &'static std::thread::LocalKey<RefCell<BTreeMap<K, Bytes>>>,
    key: K,
    compute: impl FnOnce() -> Result<Bytes, Error>,
) -> Result<Bytes, Error> {
    if let Some(result) = known.with_borrow(|known| known.get(&key).copied()) {
        return Ok(result);
    }
    let result = compute()?;
    known.with_borrow_mut(|known| {
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(key, result);
    });
    Ok(result)
}
