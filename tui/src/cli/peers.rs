//! The peers that were dialled from here before: the first letters of an id are enough to name one of them.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process,
};

use peerway::{ParseIdError, PeerId, Ticket};

use super::{args::PeerName, failure::Failure};

/// So many are remembered; who was dialled longest ago gives way.
const MAX_PEERS: usize = 256;
/// Candidates of an ambiguous name that are shown.
const SHOWN: usize = 4;

/// The file that lists them, the latest last, a ticket a line.
#[derive(Debug)]
pub(super) struct Peers {
    path: PathBuf,
}

impl Peers {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self {
            path: folder.join("peers"),
        }
    }

    /// Who is meant, and where that peer is.
    pub(super) fn find(&self, name: &PeerName) -> Result<Ticket, Failure> {
        match name {
            PeerName::Ticket(ticket) => Ok(ticket.clone()),
            PeerName::Start(start) => self.find_by_start(start),
        }
    }

    fn find_by_start(&self, start: &str) -> Result<Ticket, Failure> {
        let mut meant = self.all();
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

    /// Remembers a peer that was reached by this ticket. Where that does not succeed, it has to be named in full again.
    pub(super) fn remember(&self, ticket: &Ticket) {
        if let Err(error) = self.try_remember(ticket) {
            tracing::debug!(%error, "the peer is not remembered");
        }
    }

    fn try_remember(&self, ticket: &Ticket) -> io::Result<()> {
        let mut known = self.all();
        let before = known.iter().position(|known| known.id() == ticket.id());
        let before = before.map(|at| known.remove(at));
        // An id alone says less than what it was dialled by before.
        let is_bare = ticket.relays().is_empty() && ticket.addrs().is_empty();
        let latest = before.filter(|_| is_bare);
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

fn list(peers: &[Ticket]) -> String {
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
        let peers = Peers::in_folder(folder.path());
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
    fn letters_that_several_peers_begin_with_are_refused_with_their_names() {
        let folder = TempDir::new().unwrap();
        let peers = Peers::in_folder(folder.path());
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
        let start = PeerName::Start(first.to_string()[..1].to_owned());
        let refused = peers.find(&start).unwrap_err().to_string();
        for id in [first, second] {
            assert!(refused.contains(&id.to_string()), "{refused}");
        }
    }

    #[test]
    fn a_peer_that_is_dialled_by_its_id_alone_is_still_known_by_its_ticket() {
        let folder = TempDir::new().unwrap();
        let peers = Peers::in_folder(folder.path());
        let known = ticket(1);
        peers.remember(&known);
        peers.remember(&known.id().into());
        assert_eq!(peers.find(&name(&known.id().short())).unwrap(), known);
    }

    #[test]
    fn who_was_dialled_longest_ago_is_forgotten_first() {
        let folder = TempDir::new().unwrap();
        let peers = Peers::in_folder(folder.path());
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
        let peers = Peers::in_folder(folder.path());
        let known = ticket(1);
        fs::write(&peers.path, format!("\u{0}\n{known}\nPEERWAY1")).unwrap();
        assert_eq!(peers.find(&name(&known.id().short())).unwrap(), known);
    }
}
