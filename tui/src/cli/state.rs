//! The state folder: the key, and who uses it at the moment.

#[cfg(unix)]
use std::path::Path;
use std::{env, path::PathBuf};

pub(super) use peerway::keyfile::Claim;
use peerway::{PeerId, SecretKey, keyfile};

use super::{args::Globals, failure::Failure, peers::Peers};

/// A folder with a key.
#[derive(Debug)]
pub(super) struct StateDir(PathBuf);

impl StateDir {
    /// The folder that `--state-dir` names, or the default one; made when it is first used.
    pub(super) fn open(globals: &Globals) -> Result<Self, Failure> {
        let dir = globals.state_dir.clone().or_else(default_dir);
        Ok(Self(dir.ok_or(Failure::NoHome)?))
    }

    #[cfg(unix)]
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The identity, made at the first use.
    pub(super) fn key(&self) -> Result<SecretKey, Failure> {
        Ok(keyfile::load_or_create(&self.0.join("key"))?)
    }

    pub(super) fn id(&self) -> Result<PeerId, Failure> {
        Ok(self.key()?.id())
    }

    /// Claims the identity for this process; none if another process has it.
    ///
    /// Two nodes of one identity would take each other's place at the relay.
    pub(super) fn claim(&self) -> Result<Option<Claim>, Failure> {
        Ok(keyfile::claim(&self.0.join("lock"))?)
    }

    /// The peers that were dialled from here.
    pub(super) fn peers(&self) -> Peers {
        Peers::in_folder(&self.0)
    }

    pub(super) fn in_use(&self) -> Failure {
        Failure::InUse {
            dir: self.0.clone(),
        }
    }
}

fn default_dir() -> Option<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .or_else(|| absolute("LOCALAPPDATA"))
        .map(|base| base.join("peerway"))
}
