//! Two computers that know nothing of each other but a code of nine letters exchange their tickets.
//!
//! Both know from the code's first letters which key one of them waits with, so that the other dials it as it dials anybody: on the
//! local network, at a relay that both have, or by a record that programs with a directory publish and look up
//! ([`Code::discovery`]). That key is no secret, so the link proves nothing yet. SPAKE2
//! (RFC 9382, by the crate `spake2`) does, with the rest of the code as the password and the keys of both ends of the link as the
//! identities: who stands between them, or guesses, learns only whether a single guess was right. Who waits gives up after
//! one exchange that failed, so that a code cannot be tried twice.
//!
//! | who | sends |
//! |---|---|
//! | the one who types | version, SPAKE2's message (33) |
//! | the one who waits | SPAKE2's message (33) |
//! | the one who types | its confirmation (32) |
//! | the one who waits | its confirmation (32), its [`Card`] |
//! | the one who types | its card |
//! | the one who waits | the end of the stream |

mod code;

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use quinn::{ReadExactError, ReadToEndError, WriteError};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use subtle::ConstantTimeEq;
use tokio::time::timeout;

use super::card;
use crate::{
    ConnectError, Connection, Endpoint, PeerId, RecvStream, RelayUrl, SecretKey, SendStream, Ticket,
};

pub use super::card::Card;
pub use code::{Code, ParseCodeError};

/// The application protocol.
pub const ALPN: &[u8] = b"peerway/pair/1";

const VERSION: u8 = 1;
const MESSAGE_LEN: usize = 33;
const PROOF_LEN: usize = 32;
/// Callers at a time whose first message is waited for; more wait.
const CALLERS: usize = 16;
/// How long an exchange may take, of a few round trips.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the end of it may take to be heard.
const GOODBYE: Duration = Duration::from_secs(5);

/// Why two did not pair.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PairError {
    /// Of who types.
    #[error("{}", unmet(.0))]
    Connect(#[from] ConnectError),
    /// The password is another, or somebody is in between.
    #[error("the code is not the one that is shown there: have a new one made, and type that")]
    WrongCode,
    /// The same, seen from the other side.
    #[error(
        "somebody typed a wrong code, so this one is worth nothing any more: have a new one made"
    )]
    WrongGuess,
    /// The connection broke, or its other end is of another version.
    #[error("the exchange broke off: {0}; have a new code made, and try again")]
    Broken(String),
    /// As it says.
    #[error("the other side does not go on: have a new code made, and try again")]
    Timeout,
    /// Who waits was closed.
    #[error("the node was closed while it waited")]
    Shutdown,
}

/// Two who have the same code.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Met {
    /// What the other side tells of itself.
    pub card: Card,
    /// The link on which both showed that they have the code. What follows on it is with the other side and nobody else, though anybody may have the
    /// key of [`Code::rendezvous`]; who needs it no more closes it.
    pub connection: Connection,
}

/// Waits for who types the code, on an endpoint that is bound with [`Code::rendezvous`] and takes [`ALPN`].
///
/// # Errors
/// See [`PairError`]. After each the code is used up.
pub async fn wait(endpoint: &Endpoint, code: &Code, ours: &Card) -> Result<Met, PairError> {
    let (caller, mut link, message) = first_message(endpoint).await?;
    let party = Party::new(Role::Waits, code, endpoint.id(), caller.peer());
    let exchange = timeout(PATIENCE, answer(party, &mut link, &message, ours)).await;
    let exchange = exchange.unwrap_or(Err(PairError::Timeout));
    // How it ended may have to be said again.
    let heard = async {
        if exchange.is_ok() {
            // Acknowledged, or hung up. To wait for the latter alone takes all the time if that is lost.
            let _ = link.0.stopped().await;
        } else {
            drop(link);
            caller.closed().await;
        }
    };
    let _ = timeout(GOODBYE, heard).await;
    let card = exchange?;
    Ok(Met {
        card,
        connection: caller,
    })
}

/// Exchanges cards with who waits, at one of `relays`, on the local network, or where a program that
/// [searches](Endpoint::searches) for peers finds it.
///
/// # Errors
/// See [`PairError`].
pub async fn type_in(
    endpoint: &Endpoint,
    relays: &[RelayUrl],
    code: &Code,
    ours: &Card,
) -> Result<Met, PairError> {
    let there = Ticket::new(code.rendezvous().id(), relays.to_vec(), Vec::new())
        .with_discovery(Some(code.discovery()));
    let connection = endpoint.connect(there, ALPN).await?;
    let party = Party::new(Role::Types, code, connection.peer(), endpoint.id());
    let exchange = ask(party, &connection, ours);
    let card = timeout(PATIENCE, exchange)
        .await
        .map_err(|_| PairError::Timeout)??;
    Ok(Met { card, connection })
}

/// Who types has no ticket and no id of a peer.
fn unmet(error: &ConnectError) -> String {
    if let ConnectError::CalledInVain { reason } = error {
        return format!("the computer that shows the code was found, and is not reached: {reason}");
    }
    let why = if matches!(error, ConnectError::NoAddress) {
        "it was used, is older than ten minutes, or is shown on another network; from there both have to name the same relay".to_owned()
    } else if let ConnectError::NotFound { reason } = error {
        format!(
            "it was used, is older than ten minutes, or is shown on another network, from which its computer is not found: {reason}"
        )
    } else {
        error.to_string()
    };
    format!("nobody waits with this code: {why}")
}

type Link = (SendStream, RecvStream);

/// The first caller who begins an exchange. Who merely calls takes no code away.
async fn first_message(
    endpoint: &Endpoint,
) -> Result<(Connection, Link, [u8; MESSAGE_LEN]), PairError> {
    let mut callers = FuturesUnordered::new();
    loop {
        let has_room = callers.len() < CALLERS;
        tokio::select! {
            accepted = endpoint.accept(), if has_room => {
                let caller = accepted.ok_or(PairError::Shutdown)?;
                callers.push(async move {
                    let (link, message) = timeout(PATIENCE, begin(&caller)).await.ok()??;
                    Some((caller, link, message))
                });
            }
            Some(begun) = callers.next() => if let Some(begun) = begun {
                return Ok(begun);
            },
        }
    }
}

async fn begin(caller: &Connection) -> Option<(Link, [u8; MESSAGE_LEN])> {
    let mut link = caller.accept_bi().await.ok()?;
    let mut first = [0; 1 + MESSAGE_LEN];
    link.1.read_exact(&mut first).await.ok()?;
    let (version, message) = first.split_first()?;
    let message = message.try_into().ok()?;
    (*version == VERSION).then_some((link, message))
}

async fn answer(
    party: Party,
    (send, recv): &mut Link,
    message: &[u8],
    ours: &Card,
) -> Result<Card, PairError> {
    send.write_all(party.message()).await?;
    // What is no message of SPAKE2's is a guess too.
    let proofs = party.finish(message).ok_or(PairError::WrongGuess)?;
    let mut theirs = [0; PROOF_LEN];
    // Who finds that the code is wrong hangs up; here, the end of the stream says so.
    let read = recv.read_exact(&mut theirs).await;
    if read.is_err() || !proofs.is_right(&theirs) {
        return Err(PairError::WrongGuess);
    }
    send.write_all(&proofs.ours).await?;
    card::write(send, ours).await.map_err(PairError::Broken)?;
    let card = card::read(recv).await.map_err(PairError::Broken)?;
    // The last to be said.
    let _ = send.finish();
    Ok(card)
}

async fn ask(party: Party, connection: &Connection, ours: &Card) -> Result<Card, PairError> {
    let broken = |error: quinn::ConnectionError| PairError::Broken(error.to_string());
    let (mut send, mut recv) = connection.open_bi().await.map_err(broken)?;
    send.write_all(&[VERSION]).await?;
    send.write_all(party.message()).await?;
    let mut message = [0; MESSAGE_LEN];
    recv.read_exact(&mut message).await?;
    let proofs = party.finish(&message).ok_or(PairError::WrongCode)?;
    send.write_all(&proofs.ours).await?;
    let mut theirs = [0; PROOF_LEN];
    // Who finds that the code is wrong says nothing more.
    let read = recv.read_exact(&mut theirs).await;
    if read.is_err() || !proofs.is_right(&theirs) {
        return Err(PairError::WrongCode);
    }
    let card = card::read(&mut recv).await.map_err(PairError::Broken)?;
    card::write(&mut send, ours)
        .await
        .map_err(PairError::Broken)?;
    recv.read_to_end(0).await?;
    Ok(card)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Waits,
    Types,
}

/// One side of SPAKE2.
struct Party {
    role: Role,
    state: Spake2<Ed25519Group>,
    message: Vec<u8>,
}

impl Party {
    /// Both ends of the link are part of it: somebody in between is at the end of two links.
    fn new(role: Role, code: &Code, waits: PeerId, types: PeerId) -> Self {
        let password = Password::new(code.password());
        let (waits, types) = (
            Identity::new(waits.as_bytes()),
            Identity::new(types.as_bytes()),
        );
        let (state, message) = match role {
            Role::Waits => Spake2::start_a(&password, &waits, &types),
            Role::Types => Spake2::start_b(&password, &waits, &types),
        };
        Self {
            role,
            state,
            message,
        }
    }

    fn message(&self) -> &[u8] {
        &self.message
    }

    /// Both proofs; none if `message` is no message of the other side's.
    fn finish(self, message: &[u8]) -> Option<Proofs> {
        let shared = self.state.finish(message).ok()?;
        let shared = SecretKey::from_seed(&shared.try_into().ok()?);
        let [waits, types] =
            ["waits", "types"].map(|role| shared.derive(&format!("peerway pair 1 {role}")));
        Some(match self.role {
            Role::Waits => Proofs {
                ours: waits,
                theirs: types,
            },
            Role::Types => Proofs {
                ours: types,
                theirs: waits,
            },
        })
    }
}

/// What each shows the other to have used the same password.
struct Proofs {
    ours: [u8; PROOF_LEN],
    theirs: [u8; PROOF_LEN],
}

impl Proofs {
    fn is_right(&self, shown: &[u8; PROOF_LEN]) -> bool {
        self.theirs.ct_eq(shown).into()
    }
}

impl From<WriteError> for PairError {
    fn from(error: WriteError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<ReadExactError> for PairError {
    fn from(error: ReadExactError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<ReadToEndError> for PairError {
    fn from(error: ReadToEndError) -> Self {
        Self::Broken(error.to_string())
    }
}

#[cfg(test)]
mod tests;
