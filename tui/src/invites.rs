//! The invitations that this node gave away, and those that it has used itself. Of the former it keeps ids, so that nobody who
//! reads the file can come in with them.

use std::{
    fmt,
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use peerway::PeerId;
use serde::{Deserialize, Serialize};

use crate::files::{self, Stamp};

/// Invitations at a time.
const MAX_OPEN: usize = 256;
/// So many used ones are known again.
const MAX_USED: usize = 256;
/// And so many that were given away and are good no more.
const MAX_FORMER: usize = 256;
/// What fails where the file was not written by a node.
const UNDERSTAND: &str = "understand";
/// For how long whoever comes with one of them is told why.
const TOLD_FOR_MS: u64 = 24 * 3600 * 1000;

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

impl Invite {
    fn is_open(&self, now_ms: u64) -> bool {
        self.expires_at_ms > now_ms && self.uses > 0
    }

    /// Whether it is too old, and that is still told.
    fn is_told(&self, now_ms: u64) -> bool {
        self.expires_at_ms <= now_ms && now_ms < self.told_until_ms()
    }

    fn told_until_ms(&self) -> u64 {
        self.expires_at_ms.saturating_add(TOLD_FOR_MS)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invites {
    #[serde(default)]
    given: Vec<Invite>,
    /// Of others.
    #[serde(default)]
    used: Vec<PeerId>,
    /// Given away, and good no more; none that was taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<Former>,
    /// Uses whose guests are being written into the address book; one that is found is of a node that ended meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pending: Vec<Pending>,
}

/// An invitation that is good no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Former {
    id: PeerId,
    name: Option<String>,
    end: End,
    /// Until then whoever comes with it is told so.
    until_ms: u64,
}

/// Why an invitation is good no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    UsedUp,
    TooOld,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UsedUp => "is used up",
            Self::TooOld => "is too old",
        })
    }
}

/// A use that was taken, with what is left of its invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    invite: Invite,
    guest: PeerId,
}

impl Invites {
    /// Those that are good at this time.
    pub(crate) fn open(&self, now_ms: u64) -> impl Iterator<Item = &Invite> {
        self.given.iter().filter(move |it| it.is_open(now_ms))
    }

    /// Why one is good no more, and for whom it was, as far as that is to be told.
    pub(crate) fn end(&self, id: PeerId, now_ms: u64) -> Option<(End, Option<&str>)> {
        if let Some(invite) = self.given.iter().find(|invite| invite.id == id) {
            let is_told = invite.is_told(now_ms);
            return is_told.then_some((End::TooOld, invite.name.as_deref()));
        }
        let mut former = self.former.iter();
        let former = former.find(|it| it.id == id && it.until_ms > now_ms)?;
        Some((former.end, former.name.as_deref()))
    }

    /// Whether this is the key of one that was given away, and no peer's.
    pub(crate) fn is_key(&self, id: PeerId) -> bool {
        let given = self.given.iter().map(|invite| invite.id);
        let former = self.former.iter().map(|former| former.id);
        given.chain(former).any(|known| known == id)
    }

    /// The keys of those that are good at this time, or whose end is told.
    pub(crate) fn heard(&self, now_ms: u64) -> impl Iterator<Item = PeerId> {
        let is_heard = move |invite: &&Invite| invite.is_open(now_ms) || invite.is_told(now_ms);
        let given = self.given.iter().filter(is_heard).map(|invite| invite.id);
        let is_told = move |former: &&Former| former.until_ms > now_ms;
        let former = self.former.iter().filter(is_told);
        given.chain(former.map(|former| former.id))
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
        self.pending.retain(|pending| !is_meant(&pending.invite));
        meant
    }

    /// Somebody comes with it: one use less, until [`settle`](Self::settle) says what came of it. None if it is good no more.
    fn take(&mut self, id: PeerId, guest: PeerId, now_ms: u64) -> Option<Invite> {
        self.tidy(now_ms);
        let invite = self.given.iter_mut().find(|invite| invite.id == id)?;
        invite.uses -= 1;
        let taken = invite.clone();
        self.pending.push(Pending {
            invite: taken.clone(),
            guest,
        });
        self.tidy(now_ms);
        Some(taken)
    }

    /// What was taken is used up if its guest came, and is else given back.
    fn settle(&mut self, came: impl Fn(PeerId) -> bool) {
        for Pending { invite, guest } in std::mem::take(&mut self.pending) {
            if came(guest) {
                continue;
            }
            self.former.retain(|former| former.id != invite.id);
            match self.given.iter_mut().find(|known| known.id == invite.id) {
                Some(known) => known.uses += 1,
                None => self.given.push(Invite { uses: 1, ..invite }),
            }
        }
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
        let ended = self.given.iter().filter(|invite| !open.contains(invite));
        let ended = ended.map(|invite| {
            let (end, until_ms) = match invite.uses {
                0 => (End::UsedUp, now_ms.saturating_add(TOLD_FOR_MS)),
                // That it was found only now gives it no other day.
                _ => (End::TooOld, invite.told_until_ms()),
            };
            let (id, name) = (invite.id, invite.name.clone());
            Former {
                id,
                name,
                end,
                until_ms,
            }
        });
        self.former.extend(ended);
        self.former.retain(|former| former.until_ms > now_ms);
        let beyond = self.former.len().saturating_sub(MAX_FORMER);
        self.former.drain(..beyond);
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
        serde_json::from_str(&text).map_err(|error| self.failed(UNDERSTAND, error.into()))
    }

    /// The same for a node that starts: a file that nobody can understand is put aside, so that it starts without invitations, and what
    /// is to be told of that.
    pub(crate) fn read_or_put_aside(&self) -> Result<(Invites, Option<PutAside>), InviteFileError> {
        match self.read() {
            Err(error) if error.is_of_content() => {}
            read => return Ok((read?, None)),
        }
        let _lock = self.lock()?;
        // Another node may have done it meanwhile.
        let why = match self.read() {
            Err(error) if error.is_of_content() => error.source.to_string(),
            read => return Ok((read?, None)),
        };
        let path = self.path.clone();
        let aside = self.free_name();
        fs::rename(&path, &aside).map_err(|error| self.failed("put aside", error))?;
        Ok((Invites::default(), Some(PutAside { path, aside, why })))
    }

    /// For a damaged file: none that has the name of another one.
    fn free_name(&self) -> PathBuf {
        let mut name = self.path.with_extension("damaged");
        let mut number = 1;
        while name.exists() {
            number += 1;
            name = self.path.with_extension(format!("damaged-{number}"));
        }
        name
    }

    /// Changes them. Who does so at the same time waits.
    pub(crate) fn change<T>(
        &self,
        change: impl FnOnce(&mut Invites) -> T,
    ) -> Result<T, InviteFileError> {
        let _lock = self.lock()?;
        let mut invites = self.read()?;
        self.write_after(&mut invites, change)
    }

    /// Has `welcome` write a guest down for one use of an invitation; none if that is good no more. If it fails the use is given
    /// back. A node that ends before either is known leaves that to [`settle`](Self::settle).
    pub(crate) fn spend<T, E>(
        &self,
        id: PeerId,
        guest: PeerId,
        now_ms: u64,
        welcome: impl FnOnce(&Invite) -> Result<T, E>,
    ) -> Result<Option<Result<T, E>>, InviteFileError> {
        let _lock = self.lock()?;
        let mut invites = self.read()?;
        let taken = self.write_after(&mut invites, |all| all.take(id, guest, now_ms))?;
        let Some(taken) = taken else { return Ok(None) };
        let welcomed = welcome(&taken);
        let came = welcomed.is_ok();
        self.write_after(&mut invites, |all| all.settle(|of| of == guest && came))?;
        Ok(Some(welcomed))
    }

    /// What nodes left open that ended while guests came.
    pub(crate) fn settle(&self, came: impl Fn(PeerId) -> bool) -> Result<(), InviteFileError> {
        self.change(|invites| invites.settle(came))
    }

    fn lock(&self) -> Result<File, InviteFileError> {
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        let lock = files::create_folder(folder)
            .and_then(|()| files::lock(&self.path.with_extension("lock")));
        lock.map_err(|error| self.failed("lock", error))
    }

    fn write_after<T>(
        &self,
        invites: &mut Invites,
        change: impl FnOnce(&mut Invites) -> T,
    ) -> Result<T, InviteFileError> {
        let before = invites.clone();
        let done = change(invites);
        if *invites != before {
            let text = serde_json::to_string(invites).map_err(io::Error::from);
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

/// That the file was damaged, and what became of it.
#[derive(Debug)]
pub(crate) struct PutAside {
    path: PathBuf,
    aside: PathBuf,
    why: String,
}

impl fmt::Display for PutAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, aside, why } = self;
        let (path, aside) = (path.display(), aside.display());
        write!(
            f,
            "the invitations in {path} are damaged ({why}) and now in {aside}: those that you gave away before are good no more, so give new ones"
        )
    }
}

impl InviteFileError {
    /// What is there was not written by a node, or not all of it is.
    fn is_of_content(&self) -> bool {
        self.action == UNDERSTAND || self.source.kind() == ErrorKind::InvalidData
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
        let guest = id(9);
        assert_eq!(invites.take(id(3), guest, 0), None);
        assert_eq!(invites.take(id(1), guest, 99).unwrap().uses, 1);
        assert_eq!(invites.take(id(1), guest, 99).unwrap().uses, 0);
        assert_eq!(invites.take(id(1), guest, 99), None);
        assert_eq!(invites.open(99).count(), 1);
        assert_eq!(invites.take(id(2), guest, 100), None);
        assert_eq!(invites.open(100).count(), 0);
    }

    #[test]
    fn it_is_known_for_a_day_why_one_is_good_no_more_unless_it_was_taken_back() {
        let mut invites = Invites::default();
        let guest = id(9);
        for seed in [1, 2, 3] {
            assert!(invites.give(invite(seed, 1), 0));
        }
        let heard = |invites: &Invites, at| invites.heard(at).collect::<Vec<_>>();
        assert_eq!(invites.end(id(1), 0), None, "it is good");
        assert!(invites.take(id(1), guest, 0).is_some());
        assert_eq!(invites.end(id(1), 0), Some((End::UsedUp, None)));
        assert_eq!(invites.revoke(&id(2).short(), 0).len(), 1);
        assert_eq!(invites.end(id(2), 0), None);
        assert_eq!(invites.end(id(3), 100), Some((End::TooOld, None)));
        assert_eq!(heard(&invites, 100), [id(3), id(1)]);
        assert_eq!(heard(&invites, 100 + TOLD_FOR_MS), []);
        // Also where it is found to be too old only later.
        assert!(invites.give(invite(4, 1), TOLD_FOR_MS / 2));
        assert_eq!(
            invites.end(id(3), 99 + TOLD_FOR_MS),
            Some((End::TooOld, None))
        );
        assert_eq!(invites.end(id(3), 100 + TOLD_FOR_MS), None);
        invites.settle(|_| false);
        assert_eq!(invites.end(id(1), 0), None, "it was given back");
        for seed in 0..=255 {
            assert!(invites.give(invite(seed, 1), 0) && invites.take(id(seed), guest, 0).is_some());
        }
        assert!(invites.former.len() <= MAX_FORMER);
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
                    let spent = file.spend(id(1), id(9), 0, |_| Ok::<_, ()>(()));
                    usize::from(spent.unwrap().is_some())
                })
            });
            let each: Vec<_> = each.collect();
            each.into_iter().map(|each| each.join().unwrap()).sum()
        });
        assert_eq!(taken, 1);
    }

    /// As of a node that was killed between its two files.
    #[test]
    fn a_use_whose_node_ended_meanwhile_is_given_back_unless_its_guest_came() {
        let folder = TempDir::new().unwrap();
        let file = InviteFile::in_folder(folder.path());
        for uses in [1, 2] {
            let given = |invites: &mut Invites| {
                *invites = Invites::default();
                assert!(invites.give(invite(1, uses), 0));
            };
            for came in [true, false] {
                file.change(given).unwrap();
                let take = |invites: &mut Invites| invites.take(id(1), id(9), 0);
                assert!(file.change(take).unwrap().is_some());
                file.settle(|guest| came && guest == id(9)).unwrap();
                let left = file.read().unwrap();
                let left: u32 = left.open(0).map(|it| it.uses).sum();
                assert_eq!(left, uses - u32::from(came));
                // Once is enough.
                file.settle(|_| false).unwrap();
                let again = file.read().unwrap();
                assert_eq!(again.open(0).map(|it| it.uses).sum::<u32>(), left);
            }
        }
        file.change(|invites| invites.take(id(1), id(9), 0))
            .unwrap();
        file.change(|invites| invites.revoke(&id(1).short(), 0))
            .unwrap();
        file.settle(|_| false).unwrap();
        assert_eq!(file.read().unwrap().open(0).count(), 0, "it was revoked");
    }

    #[test]
    fn a_guest_that_is_not_written_down_uses_nothing_up() {
        let folder = TempDir::new().unwrap();
        let file = InviteFile::in_folder(folder.path());
        file.change(|invites| invites.give(invite(1, 1), 0))
            .unwrap();
        let spent = file
            .spend(id(1), id(9), 0, |_| Err::<(), _>("full"))
            .unwrap();
        assert_eq!(spent, Some(Err("full")));
        assert_eq!(file.read().unwrap().open(0).count(), 1);
        let spent = file.spend(id(1), id(9), 0, |_| Ok::<_, ()>(7)).unwrap();
        assert_eq!(spent, Some(Ok(7)));
        assert_eq!(file.read().unwrap().pending, []);
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

    #[test]
    fn a_node_starts_without_the_invitations_of_a_damaged_file_which_is_kept_under_another_name() {
        let folder = TempDir::new().unwrap();
        let file = InviteFile::in_folder(folder.path());
        for (content, aside) in [
            (&b"nonsense"[..], "invites.damaged"),
            (b"\xff", "invites.damaged-2"),
            (b"", "invites.damaged-3"),
        ] {
            fs::write(&file.path, content).unwrap();
            let (invites, lost) = file.read_or_put_aside().unwrap();
            assert_eq!(invites, Invites::default());
            let said = lost.unwrap().to_string();
            let aside = folder.path().join(aside);
            for name in [&file.path, &aside] {
                assert!(said.contains(name.to_str().unwrap()), "{said}");
            }
            assert_eq!(fs::read(aside).unwrap(), content);
            assert!(file.change(|all| all.give(invite(1, 1), 0)).unwrap());
            let (invites, lost) = file.read_or_put_aside().unwrap();
            assert!(invites.open(0).count() == 1 && lost.is_none());
        }
    }
}
