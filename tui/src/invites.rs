//! The invitations that this node gave away, and those that it has used itself. Of the former it keeps ids, so that nobody who
//! reads the file can come in with them.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use peerway::PeerId;
use serde::{Deserialize, Serialize};

use crate::{book::Stamp, files};

/// Invitations at a time.
const MAX_OPEN: usize = 256;
/// So many used ones are known again.
const MAX_USED: usize = 256;

/// An invitation that was given away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invite {
    /// Of the key that comes with it.
    pub(crate) id: PeerId,
    /// What whoever comes is called, if that is settled.
    pub(crate) name: Option<String>,
    /// When it ends, milliseconds since the Unix epoch.
    pub(crate) expires_at_ms: u64,
    /// How many may still come.
    pub(crate) uses: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invites {
    #[serde(default)]
    given: Vec<Invite>,
    /// Of others.
    #[serde(default)]
    used: Vec<PeerId>,
}

impl Invites {
    /// Those that are good at this time.
    pub(crate) fn open(&self, now_ms: u64) -> impl Iterator<Item = &Invite> {
        let is_open = move |invite: &&Invite| invite.expires_at_ms > now_ms && invite.uses > 0;
        self.given.iter().filter(is_open)
    }

    /// Gives one more away; false if there are too many.
    pub(crate) fn give(&mut self, invite: Invite, now_ms: u64) -> bool {
        self.tidy(now_ms);
        let has_room = self.given.len() < MAX_OPEN;
        if has_room {
            self.given.push(invite);
        }
        has_room
    }

    /// Takes back those whose id begins so, or that are for this name. Which they were.
    pub(crate) fn revoke(&mut self, which: &str, now_ms: u64) -> Vec<Invite> {
        self.tidy(now_ms);
        let start = which.to_ascii_lowercase();
        let is_meant = |invite: &Invite| {
            let begins_so =
                start.len() >= PeerId::SHORT_LEN && invite.id.to_string().starts_with(&start);
            begins_so || invite.name.as_deref() == Some(which)
        };
        let meant = self.given.iter().filter(|it| is_meant(it)).cloned();
        let meant = meant.collect();
        self.given.retain(|invite| !is_meant(invite));
        meant
    }

    /// Somebody came with it: one use less. None if it is good no more.
    pub(crate) fn take(&mut self, id: PeerId, now_ms: u64) -> Option<Invite> {
        self.tidy(now_ms);
        let invite = self.given.iter_mut().find(|invite| invite.id == id)?;
        invite.uses -= 1;
        let taken = invite.clone();
        self.tidy(now_ms);
        Some(taken)
    }

    /// What it was taken for did not come about.
    pub(crate) fn give_back(&mut self, invite: Invite) {
        self.given.retain(|known| known.id != invite.id);
        self.given.push(invite);
    }

    /// Whether this one of somebody else's was used here.
    pub(crate) fn is_used(&self, id: PeerId) -> bool {
        self.used.contains(&id)
    }

    pub(crate) fn note_used(&mut self, id: PeerId) {
        self.used.push(id);
        let beyond = self.used.len().saturating_sub(MAX_USED);
        self.used.drain(..beyond);
    }

    fn tidy(&mut self, now_ms: u64) {
        let open: Vec<_> = self.open(now_ms).cloned().collect();
        self.given = open;
    }
}

/// Where they are kept.
#[derive(Clone, Debug)]
pub(crate) struct InviteFile {
    path: PathBuf,
}

impl InviteFile {
    pub(crate) fn in_folder(state: &Path) -> Self {
        Self {
            path: state.join("invites"),
        }
    }

    /// All of them; none if there is no file.
    pub(crate) fn read(&self) -> Result<Invites, InviteFileError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Invites::default()),
            Err(error) => return Err(self.failed("read", error)),
        };
        serde_json::from_str(&text).map_err(|error| self.failed("understand", error.into()))
    }

    /// Changes them. Who does so at the same time waits.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut Invites) -> T,
    ) -> Result<T, InviteFileError> {
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        let lock = files::create_folder(folder)
            .and_then(|()| files::lock(&self.path.with_extension("lock")));
        let _lock = lock.map_err(|error| self.failed("lock", error))?;
        let mut invites = self.read()?;
        let before = invites.clone();
        let done = change(&mut invites);
        if invites != before {
            let text = serde_json::to_string(&invites).map_err(io::Error::from);
            let written = text.and_then(|text| files::replace(&self.path, &format!("{text}\n")));
            written.map_err(|error| self.failed("write", error))?;
        }
        Ok(done)
    }

    /// None if there is no file.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        Stamp::of(&self.path)
    }

    fn failed(&self, action: &'static str, source: io::Error) -> InviteFileError {
        InviteFileError {
            action,
            path: self.path.clone(),
            source,
        }
    }
}

/// Why invitations could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot {action} the invitations in {}: {source}; check its permissions, or move it away, by which all of them end",
    path.display()
)]
pub(crate) struct InviteFileError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use std::thread;

    use peerway::SecretKey;
    use tempfile::TempDir;

    use super::*;

    fn id(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    fn invite(seed: u8, uses: u32) -> Invite {
        Invite {
            id: id(seed),
            name: None,
            expires_at_ms: 100,
            uses,
        }
    }

    #[test]
    fn an_invitation_is_good_until_it_is_used_up_or_too_old() {
        let mut invites = Invites::default();
        assert!(invites.give(invite(1, 2), 0) && invites.give(invite(2, 1), 0));
        assert_eq!(invites.take(id(3), 0), None);
        assert_eq!(invites.take(id(1), 99).unwrap().uses, 1);
        assert_eq!(invites.take(id(1), 99).unwrap().uses, 0);
        assert_eq!(invites.take(id(1), 99), None);
        assert_eq!(invites.open(99).count(), 1);
        assert_eq!(invites.take(id(2), 100), None);
        assert_eq!(invites.open(100).count(), 0);
    }

    #[test]
    fn one_is_taken_back_by_eight_letters_or_its_name() {
        let mut invites = Invites::default();
        let named = |name: &str| Some(name.to_owned());
        for (seed, name) in [(1, None), (2, named("anna")), (3, named("anna")), (4, None)] {
            let invite = Invite {
                name,
                ..invite(seed, 1)
            };
            assert!(invites.give(invite, 0));
        }
        assert_eq!(invites.revoke(&id(1).to_string()[..7], 0), []);
        assert_eq!(invites.revoke(&id(1).short().to_uppercase(), 0).len(), 1);
        assert_eq!(invites.revoke("anna", 0).len(), 2);
        assert_eq!(invites.open(0).map(|it| it.id).collect::<Vec<_>>(), [id(4)]);
    }

    #[test]
    fn there_are_bounds_and_old_ones_make_room() {
        let mut invites = Invites::default();
        for _ in 0..MAX_OPEN {
            assert!(invites.give(invite(1, 1), 0));
        }
        assert!(!invites.give(invite(2, 1), 0));
        assert!(invites.give(invite(2, 1), 100));
        for seed in 0..=255 {
            invites.note_used(id(seed));
        }
        invites.note_used(SecretKey::from_seed(&[1; 32]).id());
        assert!(!invites.is_used(id(0)) && invites.is_used(id(255)));
    }

    #[test]
    fn those_who_come_at_once_do_not_both_use_the_last() {
        let folder = TempDir::new().unwrap();
        let file = InviteFile::in_folder(folder.path());
        file.change(|invites| invites.give(invite(1, 1), 0))
            .unwrap();
        let taken: usize = thread::scope(|scope| {
            let each = (0..8).map(|_| {
                scope.spawn(|| {
                    let take = |invites: &mut Invites| invites.take(id(1), 0);
                    usize::from(file.change(take).unwrap().is_some())
                })
            });
            let each: Vec<_> = each.collect();
            each.into_iter().map(|each| each.join().unwrap()).sum()
        });
        assert_eq!(taken, 1);
    }

    #[test]
    fn a_damaged_file_is_said_to_be_and_left_alone() {
        let folder = TempDir::new().unwrap();
        let file = InviteFile::in_folder(folder.path());
        fs::write(&file.path, "nonsense").unwrap();
        let said = file.change(|_| ()).unwrap_err().to_string();
        assert!(said.contains("cannot understand the invitations"), "{said}");
        assert_eq!(fs::read_to_string(&file.path).unwrap(), "nonsense");
    }
}
