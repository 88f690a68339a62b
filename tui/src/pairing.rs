//! Two computers that get to know each other by a code, for whoever has a node do so.
//!
//! The [`Steps`] are data; who drops them ends the waiting, and the code with it.

mod afar;

use std::{io, time::Duration};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use peerway::{
    BindError, Endpoint, PeerId, RelayUrl, Ticket,
    services::pair::{self, Card, Code, Met, PairError},
};
use peerway_swarm::discovery::Discovery;
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, task::spawn_blocking, time::timeout};

use self::afar::Whereabouts;
pub(crate) use self::afar::{Passing, passing_key, sought};
use crate::{
    book::{Book, BookError, BookFile, Draft, EditError, Name, Trust},
    operations::{DialError, Dialling, Failed, FailureKind, dial_kind, reachable},
};

/// How long a code is shown.
const VALID: Duration = Duration::from_secs(600);
/// Steps that wait for whoever listens: there are no more.
const AHEAD: usize = 8;

/// Whom to pair with, and as what.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PairAsk {
    /// The one that the other computer shows; without it, one is shown here.
    #[serde(default)]
    pub(crate) code: Option<String>,
    /// What the other computer is to call this one.
    #[serde(default)]
    pub(crate) name: Option<String>,
}

/// One after the other, the last is [`Step::Paired`] or [`Step::Failed`].
pub(crate) type Steps = BoxStream<'static, Step>;

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Step {
    Hint {
        text: String,
    },
    /// What to type on the other computer, within ten minutes.
    Code {
        code: String,
    },
    /// It is in the address book by this name.
    Paired {
        name: String,
        id: PeerId,
        ticket: Ticket,
    },
    Failed(Failed),
}

/// What of a node it takes.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    pub(crate) endpoint: Endpoint,
    pub(crate) book: BookFile,
    /// Of nodes that are like it, with other keys.
    pub(crate) passing: Passing,
}

/// Why two computers did not get to know each other.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PairingError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    NoRelay(#[from] DialError),
    #[error(transparent)]
    Pair(#[from] PairError),
    #[error("nobody typed the code for ten minutes: have a new one made")]
    Expired,
    #[error("this is the id of this computer's own node: type the code on the other one")]
    OwnPeer,
    #[error(transparent)]
    Book(#[from] BookError),
    #[error("{0}")]
    System(#[from] io::Error),
}

impl PairingError {
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Pair(PairError::Connect(error)) => dial_kind(error),
            Self::NoRelay(error) => error.kind(),
            Self::OwnPeer => FailureKind::Usage,
            Self::Bind(_) | Self::Pair(_) | Self::Expired | Self::Book(_) | Self::System(_) => {
                FailureKind::Failed
            }
        }
    }
}

/// Has a node pair, as long as somebody listens. The code is one that was read already.
pub(crate) fn pair(party: Party, code: Option<Code>, name: String) -> Steps {
    let (tell, told) = mpsc::channel(AHEAD);
    let listened = tell.clone();
    let work = async move {
        let last = match run(&party, code, &name, &tell).await {
            Ok(paired) => paired,
            Err(error) => Step::Failed(Failed {
                kind: error.kind(),
                error: error.to_string(),
            }),
        };
        // Nobody may listen any more.
        let _ = tell.send(last).await;
    };
    #[expect(clippy::disallowed_methods, reason = "the shell")]
    tokio::spawn(async move {
        tokio::select! {
            () = work => {}
            () = listened.closed() => {}
        }
    });
    let steps = stream::unfold(told, |mut told| async {
        let step: Step = told.recv().await?;
        Some((step, told))
    });
    steps.boxed()
}

async fn run(
    party: &Party,
    code: Option<Code>,
    name: &str,
    tell: &mpsc::Sender<Step>,
) -> Result<Step, PairingError> {
    let endpoint = &party.endpoint;
    let ticket = endpoint.ticket();
    let relays = ticket.relays().to_vec();
    let ours = Card::new(ticket, name);
    // There is room for all that is told before the end.
    let say = |step| drop(tell.try_send(step));
    let theirs = match code {
        Some(code) => {
            let hint = |text: &str| {
                let text = text.to_owned();
                say(Step::Hint { text });
            };
            type_in(party.passing.clone(), &relays, &code, &ours, &hint).await?
        }
        None => {
            let show = |code: &Code, hint: Option<&str>| {
                say(Step::Code {
                    code: code.to_string(),
                });
                if let Some(hint) = hint {
                    let text = hint.to_owned();
                    say(Step::Hint { text });
                }
                Ok(())
            };
            wait(party.passing.clone(), &relays, &ours, show).await?
        }
    };
    let (book, own) = (party.book.clone(), endpoint.id());
    let (name, ticket) = {
        let ticket = theirs.ticket.clone();
        let keeping = spawn_blocking(move || keep(&book, own, &theirs)).await;
        (keeping.map_err(io::Error::from)??, ticket)
    };
    Ok(Step::Paired {
        name: name.to_string(),
        id: ticket.id(),
        ticket,
    })
}

/// Has a new code shown, with what there is to say of where it works, and waits for who types it.
pub(crate) async fn wait(
    passing: Passing,
    relays: &[RelayUrl],
    ours: &Card,
    show: impl FnOnce(&Code, Option<&str>) -> io::Result<()>,
) -> Result<Card, PairingError> {
    let (waits, met) = meet(passing, relays, ours, show).await?;
    waits.close().await;
    Ok(met.card)
}

/// The same, and the node that waited: the link ends with it.
pub(crate) async fn meet(
    passing: Passing,
    relays: &[RelayUrl],
    ours: &Card,
    show: impl FnOnce(&Code, Option<&str>) -> io::Result<()>,
) -> Result<(Endpoint, Met), PairingError> {
    let code = Code::generate()?;
    let builder = passing.builder.secret_key(code.rendezvous());
    let builder = builder.relays(relays.to_vec()).alpns([pair::ALPN]);
    let waits = builder.port_mapping(false).bind().await?;
    let met = if relays.is_empty()
        && let Some(directory) = passing.directory
    {
        let whereabouts = Whereabouts::begin(&waits, &code, directory).await;
        let waiting = async {
            let hint = whereabouts.published(&waits).await;
            show(&code, Some(&hint))?;
            met(&waits, &code, ours).await
        };
        tokio::select! {
            met = waiting => met,
            never = whereabouts.run(&waits) => match never {},
        }
    } else {
        let waiting = async {
            reachable(&waits).await?;
            show(&code, relays.is_empty().then_some(afar::NEARBY))?;
            met(&waits, &code, ours).await
        };
        waiting.await
    };
    match met {
        Ok(met) => Ok((waits, met)),
        Err(error) => {
            waits.close().await;
            Err(error)
        }
    }
}

async fn met(waits: &Endpoint, code: &Code, ours: &Card) -> Result<Met, PairingError> {
    let met = timeout(VALID, pair::wait(waits, code, ours)).await;
    Ok(met.map_err(|_| PairingError::Expired)??)
}

/// Types the code that another computer shows. Its key is one that others can have too, so it learns whom it met from nothing but the
/// card: the node that meets it has another key than the one that `ours` tells of.
pub(crate) async fn type_in(
    passing: Passing,
    relays: &[RelayUrl],
    code: &Code,
    ours: &Card,
    hint: &(dyn Fn(&str) + Send + Sync),
) -> Result<Card, PairingError> {
    let key = passing_key()?;
    let builder = passing.builder.secret_key(key.clone()).visits(true);
    let builder = builder.relays(relays.to_vec()).port_mapping(false);
    let types = builder.bind().await?;
    let finding = match passing.directory {
        Some(directory) => Some(Discovery::start(&types, key, directory).await),
        None => None,
    };
    let dialling = Dialling {
        endpoint: &types,
        hint,
    };
    dialling.settled().await;
    let typing = pair::type_in(&types, relays, code, ours);
    let met = sought(&types, code, finding.is_some(), hint, typing).await;
    if let Ok(met) = &met {
        met.connection.close(0, b"paired");
    }
    types.close().await;
    Ok(met?.card)
}

/// Whether files go by the link on which the code was typed, as nothing else leads from one to the other. By a relay they meet anew: who finds out where
/// two meet, which is no secret, could take the place of one there, and end the link.
pub(crate) fn stays_linked(ours: &[RelayUrl], theirs: &Ticket) -> bool {
    ours.is_empty() && theirs.relays().is_empty()
}

/// Puts the other one into the address book of a node, by the name that it wishes if that is one and free.
pub(crate) fn keep(book: &BookFile, own: PeerId, theirs: &Card) -> Result<Name, PairingError> {
    let id = theirs.ticket.id();
    if id == own {
        return Err(PairingError::OwnPeer);
    }
    Ok(book.change(|draft| {
        let known = draft.book().of(id).map(|(name, _)| name.clone());
        let name = known.unwrap_or_else(|| free_name(draft.book(), &theirs.name, id));
        add(draft, &name, &theirs.ticket)?;
        Ok(name)
    })?)
}

fn add(draft: &mut Draft, name: &Name, ticket: &Ticket) -> Result<(), EditError> {
    draft.add(name, ticket, None)?;
    let is_kept_out = draft
        .book()
        .get(name.as_str())
        .is_some_and(|entry| entry.trust != Trust::Allow);
    if is_kept_out {
        draft.trust(ticket, Trust::Allow)?;
    }
    Ok(())
}

/// The wish, or as near to it as may be. A group's name is not free: `expose --allow` takes either.
pub(crate) fn free_name(book: &Book, wish: &str, id: PeerId) -> Name {
    let short: String = wish.chars().take(Name::MAX_CHARS - 3).collect();
    let numbered = (2..100).map(|number| format!("{short}-{number}"));
    let whole = wish.chars().take(Name::MAX_CHARS).collect();
    let mut names = std::iter::once(whole)
        .chain(numbered)
        .filter_map(|name| name.parse().ok());
    let free = names.find(|name: &Name| !book.has_name(name) && !book.shares(name));
    free.unwrap_or_else(|| Name::short(id))
}

/// What this computer is called among its owner's.
pub(crate) fn host_name() -> String {
    #[cfg(unix)]
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    let name = name.split('.').next().unwrap_or_default();
    if name.is_empty() { "computer" } else { name }.to_owned()
}

#[cfg(test)]
mod tests {
    use peerway::SecretKey;
    use tempfile::TempDir;

    use super::*;

    fn id(seed: u8) -> PeerId {
        SecretKey::from_seed(&[seed; 32]).id()
    }

    #[test]
    fn who_paired_is_called_as_it_wishes_unless_another_is_or_the_wish_is_no_name() {
        let folder = TempDir::new().unwrap();
        let book = BookFile::in_folder(folder.path());
        let card = |seed, wish: &str| Card::new(id(seed).into(), wish);
        let keep = |seed, wish: &str| keep(&book, id(9), &card(seed, wish)).unwrap();
        assert_eq!(keep(1, "laptop").as_str(), "laptop");
        assert_eq!(keep(2, "laptop").as_str(), "laptop-2");
        assert_eq!(
            keep(1, "attic").as_str(),
            "laptop",
            "who is known keeps its name"
        );
        assert_eq!(keep(3, "\u{1b}[2J").as_str(), id(3).short());
        assert_eq!(keep(4, "").as_str(), id(4).short());
        assert_eq!(keep(5, &"x".repeat(64)).as_str(), "x".repeat(32));
        assert_eq!(
            keep(6, &"x".repeat(64)).as_str(),
            format!("{}-2", "x".repeat(29))
        );
    }

    #[test]
    fn who_was_blocked_and_is_paired_with_is_let_in_again() {
        let folder = TempDir::new().unwrap();
        let book = BookFile::in_folder(folder.path());
        let card = Card::new(id(1).into(), "laptop");
        keep(&book, id(9), &card).unwrap();
        book.change(|draft| draft.trust(&card.ticket, Trust::Block))
            .unwrap();
        keep(&book, id(9), &card).unwrap();
        let kept = book.read().unwrap();
        assert_eq!(kept.get("laptop").unwrap().trust, Trust::Allow);
        let own = keep(&book, id(1), &card);
        assert!(matches!(own, Err(PairingError::OwnPeer)), "{own:?}");
    }
}
