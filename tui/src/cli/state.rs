//! The state folder: the key, and who uses it at the moment.

use std::{
    env,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use peerway::{PeerId, SecretKey, keyfile};

use super::{args::Globals, failure::Failure};

/// A folder with a key.
#[derive(Debug)]
pub(super) struct StateDir(PathBuf);

/// The right to be reached under the folder's identity; ends with the process at the latest.
#[derive(Debug)]
pub(super) struct Claim(#[expect(dead_code, reason = "held for its lock")] File);

impl StateDir {
    /// The folder that `--state-dir` names, or the default one; made if it does not exist.
    pub(super) fn open(globals: &Globals) -> Result<Self, Failure> {
        let dir = match &globals.state_dir {
            Some(dir) => dir.clone(),
            None => default_dir().ok_or(Failure::NoHome)?,
        };
        make_private(&dir).map_err(|source| Failure::StateDir {
            dir: dir.clone(),
            source,
        })?;
        Ok(Self(dir))
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
        let failed = |source| Failure::StateDir {
            dir: self.0.clone(),
            source,
        };
        let file = File::create(self.0.join("lock")).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Claim(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
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

#[cfg(unix)]
fn make_private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

#[cfg(not(unix))]
fn make_private(dir: &Path) -> std::io::Result<()> {
    fs::create_dir_all(dir)
}
