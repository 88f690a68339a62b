//! The peers that a command can name: those of the address book, and those that were dialled from here before, of whose ids the
//! first letters are enough.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process,
};

use peerway::{ParseIdError, PeerId, Ticket};

use super::{
    args::{PeerName, is_start_of_id},
    clock::now_ms,
    failure::Failure,
    out,
};
use crate::{
    book::{Book, BookError, BookFile, Name, Seen, SeenFile, is_bare},
    kept::{KeptError, KeptFile},
};

/// So many are remembered; who was dialled longest ago gives way.
const MAX_PEERS: usize = 256;
/// Candidates of an ambiguous name that are shown.
const SHOWN: usize = 4;

/// The address book, and the file that lists who was dialled, the latest last, a ticket a line.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    path: PathBuf,
    book: BookFile,
    seen: SeenFile,
    kept: KeptFile,
}

/// A name was given in the address book, and is to be in what is kept for the peer.
#[derive(Debug)]
pub(super) struct Renamed {
    pub(super) book: Book,
    /// Whether something is kept for it, or why that has the old name still, which means nobody.
    pub(super) kept: Result<bool, KeptError>,
}

impl Peers {
    pub(super) fn in_folders(state: &Path, config: &Path) -> Self {
        Self {
            path: state.join("peers"),
            book: BookFile::in_folder(config),
            seen: SeenFile::in_folder(state),
            kept: KeptFile::in_folder(config),
        }
    }

    /// Gives a peer of the address book another name, also in what is kept for it.
    pub(super) fn rename(&self, old: &Name, new: &Name) -> Result<Renamed, BookError> {
        let book = self.book.change(|draft| {
            draft.rename(old, new)?;
            Ok(draft.book().clone())
        })?;
        let kept = match self.kept.stamp() {
            Some(_) => self.kept.change(|draft| draft.rename(old, new)),
            None => Ok(false),
        };
        Ok(Renamed { book, kept })
    }

    pub(super) fn book(&self) -> &BookFile {
        &self.book
    }

    /// When those of the book were last seen.
    pub(super) fn seen(&self) -> &SeenFile {
        &self.seen
    }

    /// Who is to be dialled, and where that peer is.
    pub(super) fn find(&self, name: &PeerName) -> Result<Ticket, Failure> {
        let book = match self.book.read() {
            Err(error) if matches!(name, PeerName::Ticket(_) | PeerName::Invited(..)) => {
                // Whoever has a ticket does without.
                out::hint(error.to_string());
                Book::default()
            }
            read => read?,
        };
        let ticket = self.meant(name, &book)?;
        match book.blocked(ticket.id()) {
            Some(name) => Err(Failure::Blocked(name.clone())),
            None => Ok(ticket),
        }
    }

    /// Who is meant, whatever is thought of that peer.
    pub(super) fn meant(&self, name: &PeerName, book: &Book) -> Result<Ticket, Failure> {
        let text = match name {
            PeerName::Ticket(ticket) if is_bare(ticket) => {
                let mut known = self.known(book).into_iter();
                let known = known.find(|known| known.id() == ticket.id());
                return Ok(known.unwrap_or_else(|| ticket.clone()));
            }
            PeerName::Ticket(ticket) | PeerName::Invited(ticket, _) => return Ok(ticket.clone()),
            PeerName::Called(text) => text,
        };
        if let Some(entry) = book.called(text) {
            let id = PeerName::Ticket(entry.ticket.clone());
            return self.meant(&id, book);
        }
        if is_start_of_id(text) {
            return self.find_by_start(&text.to_ascii_lowercase(), book);
        }
        Err(Failure::UnknownName {
            name: text.clone(),
            nearest: book.nearest(text).cloned(),
        })
    }

    fn find_by_start(&self, start: &str, book: &Book) -> Result<Ticket, Failure> {
        let mut meant = self.known(book);
        meant.retain(|known| known.id().to_string().starts_with(start));
        match &mut meant[..] {
            [] => Err(Failure::UnknownPeer {
                start: start.to_owned(),
                length: ParseIdError::Length { found: start.len() },
            }),
            [one] => Ok(one.clone()),
            several => Err(Failure::SeveralPeers {
                start: start.to_owned(),
                candidates: list(several),
            }),
        }
    }

    /// Everybody once, with the ticket that says most: the book's, but for one that is an id and nothing else.
    pub(super) fn known(&self, book: &Book) -> Vec<Ticket> {
        let mut known = self.all();
        for (_, entry) in book.entries() {
            let before = known.iter_mut().find(|it| it.id() == entry.ticket.id());
            match before {
                Some(before) if !is_bare(&entry.ticket) => *before = entry.ticket.clone(),
                Some(_) => {}
                None => known.push(entry.ticket.clone()),
            }
        }
        known
    }

    /// Remembers a peer that was reached by this ticket. Where that does not succeed, it has to be named in full again.
    pub(super) fn remember(&self, ticket: &Ticket) {
        if let Err(error) = self.try_remember(ticket) {
            tracing::debug!(%error, "the peer is not remembered");
        }
        if let Err(error) = self.book.reached(ticket) {
            tracing::debug!(%error, "the address book is not brought up to date");
        }
        let is_known = |book: Book| book.of(ticket.id()).is_some();
        if self.book.read().is_ok_and(is_known)
            && let Err(error) = self.seen.merge(&Seen::one(ticket.id(), now_ms()))
        {
            tracing::debug!(%error, "it is not noted when the peer was seen");
        }
    }

    fn try_remember(&self, ticket: &Ticket) -> io::Result<()> {
        let mut known = self.all();
        let before = known.iter().position(|known| known.id() == ticket.id());
        let before = before.map(|at| known.remove(at));
        // An id alone says less than what it was dialled by before.
        let latest = before.filter(|_| is_bare(ticket));
        known.push(latest.unwrap_or_else(|| ticket.clone()));
        let first = known.len().saturating_sub(MAX_PEERS);
        let lines = known.iter().skip(first).map(|known| format!("{known}\n"));
        self.replace(&lines.collect::<String>())
    }

    /// All of them, the latest last. What cannot be read is as if it was not there.
    pub(super) fn all(&self) -> Vec<Ticket> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// The whole text or nothing of it: other commands may read at any time.
    fn replace(&self, text: &str) -> io::Result<()> {
        let temporary = self.path.with_extension(process::id().to_string());
        let written = create(&temporary)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            // There may be none.
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

/// A new file that only its owner can read.
fn create(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

/// The ids of those of whom one is meant.
pub(super) fn list(peers: &[Ticket]) -> String {
    let ids = peers.iter().rev().take(SHOWN).map(|peer| peer.id());
    let mut list = ids.map(|id: PeerId| id.to_string()).collect::<Vec<_>>();
    if peers.len() > SHOWN {
        list.push(format!("{} more", peers.len() - SHOWN));
    }
    list.join(", ")
}

#[cfg(test)]
mod tests {
    use peerway::{RelayUrl, SecretKey};
    use tempfile::TempDir;

    use super::*;
    use crate::book::{Draft, Trust};

    fn ticket(seed: u8) -> Ticket {
        let id = SecretKey::from_seed(&[seed; 32]).id();
        let relay = RelayUrl::new(id, "relay.example.org", 4433).unwrap();
        Ticket::new(id, vec![relay], Vec::new())
    }

    fn name(text: &str) -> PeerName {
        text.parse().unwrap()
    }

    #[test]
    fn eight_letters_name_a_peer_that_was_dialled_before() {
        let folder = TempDir::new().unwrap();
        let peers = Peers::in_folders(folder.path(), folder.path());
        let (one, other) = (ticket(1), ticket(2));
        peers.remember(&one);
        peers.remember(&other);
        assert_eq!(peers.find(&name(&one.id().short())).unwrap(), one);
        let upper = other.id().short().to_ascii_uppercase();
        assert_eq!(peers.find(&name(&upper)).unwrap(), other);
        let unknown = peers.find(&name(&ticket(3).id().short())).unwrap_err();
        assert!(unknown.to_string().contains("52 characters"), "{unknown}");
    }

    #[test]
    fn what_is_kept_for_a_peer_goes_by_its_new_name() {
        let folder = TempDir::new().unwrap();
        let peers = Peers::in_folders(folder.path(), folder.path());
        let (old, new): (Name, Name) = ("nas".parse().unwrap(), "attic".parse().unwrap());
        let add = |draft: &mut Draft| draft.add(&old, &ticket(1), None).map(drop);
        peers.book().change(add).unwrap();
        let renamed = peers.rename(&old, &new).unwrap();
        assert!(!renamed.kept.unwrap(), "nothing is kept");
        let services = folder.path().join("services.toml");
        let kept = "[forward.\"attic/web\"]\nlisten = \"127.0.0.1:9000\"\n";
        fs::write(&services, kept).unwrap();
        let renamed = peers.rename(&new, &old).unwrap();
        assert!(renamed.book.has_name(&old) && renamed.kept.unwrap());
        let kept = fs::read_to_string(&services).unwrap();
        assert!(kept.contains("\"nas/web\""), "{kept}");
        fs::write(&services, "[").unwrap();
        assert!(peers.rename(&old, &new).unwrap().kept.is_err());
    }

    #[test]
    fn letters_that_several_peers_begin_with_are_refused_with_their_names() {
        let folder = TempDir::new().unwrap();
        let peers = Peers::in_folders(folder.path(), folder.path());
        // Ids are shorter than the letters that tell them apart: these begin alike.
        let mut ids = (0_u64..).map(|number| {
            let mut seed = [7; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            SecretKey::from_seed(&seed).id()
        });
        let first = ids.next().unwrap();
        let alike = |id: &PeerId| id.as_bytes()[0] == first.as_bytes()[0];
        let second = ids.find(alike).unwrap();
        for id in [first, second] {
            peers.remember(&id.into());
        }
        let start = &first.to_string()[..1];
        let refused = peers.find_by_start(start, &Book::default());
        let refused = refused.unwrap_err().to_string();
        for id in [first, second] {
            assert!(refused.contains(&id.to_string()), "{refused}");
        }
    }

    #[test]
    fn a_peer_that_is_dialled_by_its_id_alone_is_still_known_by_its_ticket() {
        let folder = TempDir::new().unwrap();
        let peers = Peers::in_folders(folder.path(), folder.path());
        let known = ticket(1);
        peers.remember(&known);
        peers.remember(&known.id().into());
        assert_eq!(peers.find(&name(&known.id().short())).unwrap(), known);
    }

    #[test]
    fn a_peer_of_the_address_book_is_found_by_name_id_and_eight_letters() {
        let folder = TempDir::new().unwrap();
        let peers = Peers::in_folders(folder.path(), folder.path());
        let (full, bare) = (ticket(1), Ticket::from(ticket(2).id()));
        for (name, ticket) in [("nas", &full), ("buildbox", &bare)] {
            let name = name.parse().unwrap();
            let added = peers.book().change(|draft| draft.add(&name, ticket, None));
            added.unwrap();
        }
        let id = full.id();
        for text in ["nas", &id.short(), &id.to_string()] {
            assert_eq!(peers.find(&name(text)).unwrap(), full);
        }
        // Eight letters that may begin an id.
        assert_eq!(peers.find(&name("buildbox")).unwrap(), bare);
        peers.remember(&ticket(2));
        assert_eq!(peers.find(&name("buildbox")).unwrap(), ticket(2));
        let noted = peers.book().read().unwrap();
        assert_eq!(noted.get("buildbox").unwrap().ticket, ticket(2));
    }

    #[test]
    fn a_name_is_found_in_the_small_letters_that_ssh_makes_of_it() {
        let folder = TempDir::new().unwrap();
        let peers = Peers::in_folders(folder.path(), folder.path());
        let add = |name: &str, seed| {
            let (name, ticket) = (name.parse().unwrap(), ticket(seed));
            let added = peers.book().change(|draft| draft.add(&name, &ticket, None));
            added.unwrap();
        };
        add("Nas", 1);
        assert_eq!(peers.find(&name("nas")).unwrap(), ticket(1));
        add("NAS", 2);
        assert!(peers.find(&name("nas")).is_err(), "either");
        assert_eq!(peers.find(&name("NAS")).unwrap(), ticket(2));
    }

    #[test]
    fn who_is_blocked_is_not_dialled_by_whatever_name() {
        let folder = TempDir::new().unwrap();
        let peers = Peers::in_folders(folder.path(), folder.path());
        let blocked = ticket(1);
        let change = |draft: &mut Draft| draft.trust(&blocked, Trust::Block);
        peers.book().change(change).unwrap();
        let id = blocked.id();
        for text in [id.short(), id.to_string(), blocked.to_string()] {
            let refused = peers.find(&name(&text)).unwrap_err();
            assert!(matches!(refused, Failure::Blocked(_)), "{refused}");
        }
    }

    #[test]
    fn a_book_that_cannot_be_read_is_in_the_way_of_names_and_not_of_tickets() {
        let folder = TempDir::new().unwrap();
        let peers = Peers::in_folders(folder.path(), folder.path());
        fs::write(folder.path().join("book.toml"), "nonsense").unwrap();
        assert!(matches!(peers.find(&name("nas")), Err(Failure::Book(_))));
        let whole = ticket(1);
        assert_eq!(peers.find(&name(&whole.to_string())).unwrap(), whole);
    }

    #[test]
    fn who_was_dialled_longest_ago_is_forgotten_first() {
        let folder = TempDir::new().unwrap();
        let peers = Peers::in_folders(folder.path(), folder.path());
        for seed in 0..=255 {
            peers.remember(&ticket(seed));
        }
        peers.remember(&ticket(0));
        let id = SecretKey::from_seed(&[0x55; 32]).derive("one more");
        peers.remember(&SecretKey::from_seed(&id).id().into());
        assert!(peers.find(&name(&ticket(0).id().short())).is_ok());
        assert!(peers.find(&name(&ticket(1).id().short())).is_err());
    }

    #[test]
    fn a_damaged_list_hides_none_of_the_others() {
        let folder = TempDir::new().unwrap();
        let peers = Peers::in_folders(folder.path(), folder.path());
        let known = ticket(1);
        fs::write(&peers.path, format!("\u{0}\n{known}\nPEERWAY1")).unwrap();
        assert_eq!(peers.find(&name(&known.id().short())).unwrap(), known);
    }
}
