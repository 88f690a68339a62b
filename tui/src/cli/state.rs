//! The state folder: the key, and who uses it at the moment; and where the address book is.

use std::{
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

pub(super) use peerway::keyfile::Claim;
use peerway::{DiscoverySecret, PeerId, SecretKey, keyfile, keyfile::KeyFileError};

use peerway_swarm::store::catalog::Catalog;

use super::{args::Globals, failure::Failure, peers::Peers};
#[cfg(unix)]
use crate::feeds::FeedFile;
use crate::{book::Book, invites::InviteFile, kept::KeptFile};

/// A folder with a key, and the one of its owner's address book.
#[derive(Debug)]
pub(super) struct StateDir {
    path: PathBuf,
    config: PathBuf,
}

impl StateDir {
    /// The folder that `--state-dir` names, or the default one; made when it is first used.
    pub(super) fn open(globals: &Globals) -> Result<Self, Failure> {
        let Globals {
            state_dir,
            config_dir,
            ..
        } = globals;
        let path = state_dir.clone().or_else(default_dir);
        // Whoever has an identity elsewhere has other peers too.
        let config = config_dir.clone().or_else(|| state_dir.clone());
        Ok(Self {
            path: path.ok_or(Failure::NoHome)?,
            config: config.or_else(default_config).ok_or(Failure::NoHome)?,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the address book is, and what else people edit.
    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    /// The identity, made at the first use.
    pub(super) fn key(&self) -> Result<SecretKey, Failure> {
        Ok(keyfile::load_or_create(&self.path.join("key"))?)
    }

    /// The identity of the relay that a node is besides, made at the first use.
    pub(super) fn relay_key(&self) -> Result<SecretKey, Failure> {
        Ok(keyfile::load_or_create(&self.path.join("relay-key"))?)
    }

    /// What the published record of this identity is found with, made at the first use.
    pub(super) fn discovery(&self) -> Result<DiscoverySecret, Failure> {
        let secret = keyfile::load_or_create(&self.discovery_file())?;
        let [bytes @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
            secret.derive("peerway discovery secret");
        Ok(DiscoverySecret::from_bytes(bytes))
    }

    /// Has the record be found with another secret from now on.
    pub(super) fn rotate_discovery(&self) -> Result<DiscoverySecret, Failure> {
        let path = self.discovery_file();
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(KeyFileError::Io {
                action: "remove",
                path,
                source,
            }
            .into()),
            Ok(()) | Err(_) => self.discovery(),
        }
    }

    fn discovery_file(&self) -> PathBuf {
        self.path.join("discovery-key")
    }

    pub(super) fn id(&self) -> Result<PeerId, Failure> {
        Ok(self.key()?.id())
    }

    /// Claims the identity for this process; none if another process has it.
    ///
    /// Two nodes of one identity would take each other's place at the relay.
    pub(super) fn claim(&self) -> Result<Option<Claim>, Failure> {
        Ok(keyfile::claim(&self.path.join("lock"))?)
    }

    /// Whether this is the folder's own id; no if it has none yet.
    pub(super) fn is_own(&self, id: PeerId) -> Result<bool, Failure> {
        let key = keyfile::load(&self.path.join("key"))?;
        Ok(key.is_some_and(|key| key.id() == id))
    }

    /// The peers that have a name or were dialled from here.
    pub(super) fn peers(&self) -> Peers {
        Peers::in_folders(&self.path, &self.config)
    }

    /// What is shared whenever the node runs.
    pub(super) fn shares(&self) -> Catalog {
        Catalog::at(&self.path.join("shares.redb"))
    }

    /// What the node exposes and forwards whenever it runs.
    pub(super) fn kept(&self) -> KeptFile {
        KeptFile::in_folder(&self.config)
    }

    /// The invitations that were given away.
    pub(super) fn invites(&self) -> InviteFile {
        InviteFile::in_folder(&self.path)
    }

    /// The feeds that are written and followed here.
    #[cfg(unix)]
    pub(super) fn feeds(&self) -> FeedFile {
        FeedFile::in_folder(&self.path)
    }

    /// The address book, for who only shows names, and does without where it cannot be read.
    pub(super) fn names(&self) -> Book {
        self.peers().book().read().unwrap_or_default()
    }

    pub(super) fn in_use(&self) -> Failure {
        Failure::InUse {
            dir: self.path.clone(),
        }
    }
}

fn default_dir() -> Option<PathBuf> {
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .or_else(|| absolute("LOCALAPPDATA"))
        .map(|base| base.join("peerway"))
}

fn default_config() -> Option<PathBuf> {
    absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))
        .or_else(|| absolute("APPDATA"))
        .map(|base| base.join("peerway"))
}

fn absolute(name: &str) -> Option<PathBuf> {
    let path = env::var_os(name).map(PathBuf::from);
    path.filter(|path| path.is_absolute())
}
