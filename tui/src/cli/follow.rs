//! The address book and the invitations of a node that runs: whoever changes them need not start the node anew.

use std::{convert::Infallible, sync::Arc, time::Duration};

use peerway::{Access, Endpoint};
use peerway_swarm::{Shunned, groups::Groups};
use tokio::{
    sync::{Notify, watch},
    time::{Interval, MissedTickBehavior, interval},
};

use super::{clock::now_ms, failure::Failure, out};
use crate::{
    book::{Book, BookFile},
    files::Stamp,
    invites::{InviteFile, Invites},
};

pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The book and the invitations as they were last understood.
#[derive(Debug)]
pub(super) struct Followed {
    file: BookFile,
    /// Of what was read.
    stamp: Option<Stamp>,
    book: watch::Sender<Arc<Book>>,
    /// Whom the book blocks.
    shunned: Shunned,
    invite_file: InviteFile,
    invites: watch::Sender<Arc<Invites>>,
    /// Whose members are let in too.
    groups: Option<Groups>,
    /// Somebody changed the file, and waits for no look.
    reread: Arc<Notify>,
}

impl Followed {
    pub(super) fn open(file: &BookFile, invites: InviteFile) -> Result<Self, Failure> {
        // First, so that no change after it is missed.
        let stamp = file.stamp();
        let book = file.read()?;
        let (given, lost) = invites.read_or_put_aside()?;
        if let Some(lost) = lost {
            out::hint(lost.to_string());
        }
        Ok(Self::new((file, stamp, book), (invites, given)))
    }

    /// The same for who only shows names, and does without them.
    pub(super) fn open_or_empty(file: &BookFile, invites: InviteFile) -> Self {
        let stamp = file.stamp();
        let book = file.read().unwrap_or_default();
        let given = invites.read().unwrap_or_default();
        Self::new((file, stamp, book), (invites, given))
    }

    fn new(
        (file, stamp, book): (&BookFile, Option<Stamp>, Book),
        (invite_file, invites): (InviteFile, Invites),
    ) -> Self {
        let shunned = Shunned::default();
        shunned.set(book.all_blocked());
        Self {
            file: file.clone(),
            stamp,
            shunned,
            book: watch::Sender::new(Arc::new(book)),
            invite_file,
            invites: watch::Sender::new(Arc::new(invites)),
            groups: None,
            reread: Arc::default(),
        }
    }

    /// Members of these groups are let in too, to what the groups need.
    #[cfg(unix)]
    pub(super) fn let_in(&mut self, groups: Groups) {
        self.groups = Some(groups);
    }

    /// Whom groups, shares and searches have nothing to do with.
    pub(super) fn shunned(&self) -> &Shunned {
        &self.shunned
    }

    /// The groups whose members are let in.
    pub(super) fn groups(&self) -> Option<&Groups> {
        self.groups.as_ref()
    }

    pub(super) fn book(&self) -> Arc<Book> {
        Arc::clone(&self.book.borrow())
    }

    pub(super) fn watch(&self) -> watch::Receiver<Arc<Book>> {
        self.book.subscribe()
    }

    pub(super) fn invites(&self) -> watch::Receiver<Arc<Invites>> {
        self.invites.subscribe()
    }

    /// Whom the book allows, who comes with an invitation, and members of groups whom it does not block.
    pub(super) fn access(&self) -> Access {
        let invites = self.invites.borrow();
        // Also who comes with one that is good no more: to be told so.
        let invited = invites.heard(now_ms());
        let book = self.book.borrow();
        let guests = self.groups.as_ref().map(Groups::guests).unwrap_or_default();
        let guests = guests
            .into_iter()
            .filter(|peer| book.blocked(*peer).is_none());
        match book.access() {
            Access::Only(peers) => {
                Access::Only(peers.into_iter().chain(invited).chain(guests).collect())
            }
            access @ (Access::Anyone | Access::Except(_) | _) => access,
        }
    }

    /// What has the book read at once.
    pub(super) fn reread(&self) -> Arc<Notify> {
        Arc::clone(&self.reread)
    }

    /// Lets in whom the book allows and an invitation brings, from one change to the next. What cannot be understood changes nothing,
    /// and is told.
    pub(super) async fn follow(&self, endpoint: &Endpoint, tell: fn(String)) -> Infallible {
        // What the endpoint was bound with is of another time.
        let mut in_force = None;
        let mut looks = self.looks();
        loop {
            if let Err(error) = looks.next(self).await {
                tell(error);
            }
            // Invitations also end by themselves.
            let access = self.access();
            if in_force.as_ref() != Some(&access) {
                endpoint.set_access(access.clone()).await;
                in_force = Some(access);
            }
        }
    }

    /// The same for who only shows names.
    pub(super) async fn follow_names(&self) -> Infallible {
        let mut looks = self.looks();
        loop {
            if let Err(error) = looks.next(self).await {
                tracing::debug!(error, "the address book stays as it was");
            }
        }
    }

    fn looks(&self) -> Following {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Following {
            ticks,
            book: Looks::after(self.stamp),
            // Read once more.
            invites: Looks::after(None),
        }
    }

    fn look_at_book(&self, due: Due) -> Result<(), String> {
        match due {
            Due::Nothing => Ok(()),
            Due::Gone => Err("the address book is gone: it stays in force as it was".to_owned()),
            Due::Read => {
                let book = self.file.read();
                let book = book.map_err(|error| format!("{error}. It stays in force as it was"))?;
                self.shunned.set(book.all_blocked());
                self.book.send_replace(Arc::new(book));
                Ok(())
            }
        }
    }

    fn look_at_invites(&self, due: Due) -> Result<(), String> {
        let read = match due {
            Due::Nothing => return Ok(()),
            Due::Gone => Ok(Invites::default()),
            Due::Read => self.invite_file.read(),
        };
        let invites = read.map_err(|error| error.to_string())?;
        self.invites.send_replace(Arc::new(invites));
        Ok(())
    }
}

/// One look after the other.
struct Following {
    ticks: Interval,
    book: Looks,
    invites: Looks,
}

impl Following {
    /// Waits for the next look; the error is why what has changed is not in force.
    async fn next(&mut self, followed: &Followed) -> Result<(), String> {
        // Who says that something has changed has written all of it.
        let at_once = tokio::select! {
            _ = self.ticks.tick() => false,
            () = followed.reread.notified() => true,
        };
        let due = |looks: &mut Looks, stamp| {
            if at_once {
                looks.now(stamp)
            } else {
                looks.due(stamp)
            }
        };
        let invites = due(&mut self.invites, followed.invite_file.stamp());
        let book = due(&mut self.book, followed.file.stamp());
        let of_invites = followed.look_at_invites(invites);
        followed.look_at_book(book).and(of_invites)
    }
}

/// When a file is to be read again: once it has changed and whoever writes it has come to an end.
#[derive(Debug)]
pub(super) struct Looks {
    /// Of what was last dealt with.
    done: Option<Stamp>,
    last: Option<Stamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Read,
    Gone,
}

impl Looks {
    pub(super) fn after(stamp: Option<Stamp>) -> Self {
        Self {
            done: stamp,
            last: stamp,
        }
    }

    /// The same at once.
    pub(super) fn now(&mut self, now: Option<Stamp>) -> Due {
        self.last = now;
        self.due(now)
    }

    pub(super) fn due(&mut self, now: Option<Stamp>) -> Due {
        let before = std::mem::replace(&mut self.last, now);
        if now == self.done || now != before {
            return Due::Nothing;
        }
        self.done = now;
        now.map_or(Due::Gone, |_| Due::Read)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn stamp(len: usize) -> Option<Stamp> {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("book.toml"), "#".repeat(len)).unwrap();
        let stamp = BookFile::in_folder(folder.path()).stamp();
        assert!(stamp.is_some());
        stamp
    }

    #[test]
    fn a_book_is_read_once_when_it_has_changed_and_rests() {
        let (old, half, new) = (stamp(1), stamp(2), stamp(3));
        let mut looks = Looks::after(old);
        let due = [old, half, new, new, new, old].map(|now| looks.due(now));
        let (nothing, read) = (Due::Nothing, Due::Read);
        assert_eq!(due, [nothing, nothing, nothing, read, nothing, nothing]);
    }

    #[test]
    fn who_says_that_it_has_changed_does_not_wait_for_it_to_rest() {
        let (old, new) = (stamp(1), stamp(2));
        let mut looks = Looks::after(old);
        assert_eq!(looks.now(new), Due::Read);
        assert_eq!([looks.due(new), looks.now(new)], [Due::Nothing; 2]);
    }

    #[test]
    fn whom_the_book_blocks_is_shunned_from_when_it_was_read() {
        let folder = TempDir::new().unwrap();
        let file = BookFile::in_folder(folder.path());
        let peer = peerway::SecretKey::from_seed(&[1; 32]).id();
        let write = |trust: &str| {
            let text = format!("[peers.a]\npeer = \"{peer}\"\ntrust = \"{trust}\"\n");
            fs::write(folder.path().join("book.toml"), text).unwrap();
        };
        write("block");
        let followed = Followed::open(&file, InviteFile::in_folder(folder.path())).unwrap();
        let shunned = followed.shunned().clone();
        assert!(shunned.contains(peer));
        write("allow");
        followed.look_at_book(Due::Read).unwrap();
        assert!(!shunned.contains(peer));
        write("block");
        followed.look_at_book(Due::Read).unwrap();
        assert!(shunned.contains(peer));
    }

    #[test]
    fn an_editor_that_replaces_the_file_does_not_make_it_seem_gone() {
        let (old, new) = (stamp(1), stamp(2));
        let mut looks = Looks::after(old);
        let due = [None, new, new].map(|now| looks.due(now));
        assert_eq!(due, [Due::Nothing, Due::Nothing, Due::Read]);
        let due = [None, None, None].map(|now| looks.due(now));
        assert_eq!(due, [Due::Nothing, Due::Gone, Due::Nothing]);
    }

    #[test]
    fn the_first_book_of_a_node_that_runs_is_read() {
        let new = stamp(1);
        let mut looks = Looks::after(None);
        let due = [None, new, new].map(|now| looks.due(now));
        assert_eq!(due, [Due::Nothing, Due::Nothing, Due::Read]);
    }
}
