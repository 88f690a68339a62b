//! Who has content of which its hash alone is known.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use peerway::Ticket;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    ALPN, GetError, Hash, Kind, Link, Outline, Sharing,
    collection::Root,
    session::Session,
    wire::{Ask, Described, MAX_ANSWER, Told},
};
use crate::frame;

/// Peers that are asked, and how many at once.
const MAX_ASKED: usize = 512;
const AT_ONCE: usize = 32;
/// How long one may take to be reached, and to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long others may take after the first that has it.
const MORE: Duration = Duration::from_millis(500);

/// A peer that has some of it, and of how much.
struct Holder {
    ticket: Ticket,
    session: Arc<Session>,
    size: u64,
    is_whole: bool,
}

impl Sharing {
    /// A link to what has this hash, to be had from those of these peers that have some of it, who all hear what is looked for. They
    /// have to show that its size is right, and that it is the list of a folder if it seems to be one. The hash says nothing of a name,
    /// nor whom it is meant for: it is called by its beginning, and is not public.
    ///
    /// # Errors
    /// [`GetError::Nowhere`] if none has it, or lets this node have it, and [`GetError::NoProvider`] without peers.
    pub async fn locate(&self, hash: Hash, mut peers: Vec<Ticket>) -> Result<Link, GetError> {
        let own = self.endpoint().id();
        peers.retain(|peer| peer.id() != own && !self.is_liar(peer.id()));
        peers.truncate(MAX_ASKED);
        if peers.is_empty() {
            return Err(GetError::NoProvider);
        }
        let asked = peers.len();
        let asking = peers.into_iter().map(|peer| self.ask_for(hash, peer));
        let mut answers = stream::iter(asking).buffer_unordered(AT_ONCE);
        let (mut holders, mut reached) = (Vec::new(), 0);
        let mut until = None;
        loop {
            let next = match until {
                Some(until) => timeout_at(until, answers.next()).await.ok().flatten(),
                None => answers.next().await,
            };
            let Some(answer) = next else { break };
            reached += usize::from(answer.is_some());
            if let Some(Some(holder)) = answer {
                holders.push(holder);
                until.get_or_insert_with(|| Instant::now() + MORE);
            }
        }
        for (size, holders) in by_size(holders) {
            if let Some(kind) = shown(hash, size, &holders).await {
                let link = Link::new(hash, size, kind, &hash.short());
                let providers = holders.into_iter().map(|it| it.ticket);
                return Ok(link.from_providers(providers.collect()));
            }
        }
        Err(GetError::Nowhere { asked, reached })
    }

    /// Whether a peer has some of it; none if it does not answer.
    async fn ask_for(&self, hash: Hash, ticket: Ticket) -> Option<Option<Holder>> {
        let asking = async {
            let connection = self.endpoint().connect(ticket.clone(), ALPN).await.ok()?;
            let session = self.session(connection);
            let described = described(&session, hash).await?;
            let holder = described.map(|described| Holder {
                ticket,
                session,
                size: described.size,
                is_whole: described.held.is_none(),
            });
            Some(holder)
        };
        timeout(PATIENCE, asking).await.ok().flatten()
    }
}

/// What a peer says that it has of some content; none if it says nothing.
async fn described(session: &Session, hash: Hash) -> Option<Option<Described>> {
    let ticket = Vec::new();
    let (mut send, mut recv) = session.open(&Ask::Follow { hash, ticket }).await.ok()?;
    let _ = send.finish();
    match frame::read::<Told>(&mut recv, MAX_ANSWER).await.ok()?? {
        Told::Object(described) => Some(Some(described)),
        Told::Nothing => Some(None),
        Told::Gained(_)
        | Told::Holders(_)
        | Told::Place(_)
        | Told::Withdrawn
        | Told::Suggest(_) => None,
    }
}

/// The sizes that were told, those first that most tell, and of each those who do, who has all of it first.
fn by_size(holders: Vec<Holder>) -> Vec<(u64, Vec<Holder>)> {
    let mut sizes: BTreeMap<u64, Vec<Holder>> = BTreeMap::new();
    for holder in holders {
        sizes.entry(holder.size).or_default().push(holder);
    }
    let mut sizes: Vec<_> = sizes.into_iter().collect();
    sizes.sort_by_key(|(_, holders)| std::cmp::Reverse(holders.len()));
    for (_, holders) in &mut sizes {
        holders.sort_by_key(|holder| !holder.is_whole);
    }
    sizes
}

/// What it is, if one of these shows that content of this hash and size is there.
async fn shown(hash: Hash, size: u64, holders: &[Holder]) -> Option<Kind> {
    let outline = Outline::of_small(hash, size);
    for Holder { session, .. } in holders {
        let showing = async {
            let Some(outline) = &outline else {
                return session.outline(hash, size).await.ok().map(|_| Kind::File);
            };
            let data = match outline.is_empty() {
                true => Vec::new(),
                false => session.unit(hash, 0, size as usize).await.ok()?,
            };
            if Hash::of(&data) != hash {
                return None;
            }
            Some(kind(session, &data).await)
        };
        if let Ok(Some(kind)) = timeout(PATIENCE, showing).await {
            return Some(kind);
        }
    }
    None
}

/// A list of a folder names pages, of which whoever has it has the first; a file that looks like one does not.
async fn kind(session: &Session, data: &[u8]) -> Kind {
    let first = Root::read(data)
        .ok()
        .and_then(|it| it.pages.first().copied());
    let Some((page, size)) = first else {
        return Kind::File;
    };
    match described(session, page).await {
        Some(Some(described)) if described.size == size => Kind::Folder,
        _ => Kind::File,
    }
}
