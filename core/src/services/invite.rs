//! An invitation that a node gives away, and that lets whoever has it in for once, to say who they are.
//!
//! An [`Invitation`] is a secret of 128 bits, and the seed of a key. Who gives it away lets that key's id in
//! ([`Access`](crate::Access)), and keeps nothing else of it; who has it dials with that key. So the handshake itself proves the
//! invitation: nothing of it is sent, who stands between learns nothing, who has none, or one that was revoked, gets no answer, and
//! there is nothing to guess at. Over the link who was invited shows its [`Card`], with the ticket that it is to be let in by from
//! then on.
//!
//! | who | sends |
//! |---|---|
//! | who was invited | version, its card |
//! | who invites | one byte, 0 if it is let in by that ticket from now on, or 1 and why not, as text to the end of the stream |

use std::{future::Future, io, str::FromStr, time::Duration};

use tokio::time::timeout;

use super::card;
use crate::{
    ConnectError, Connection, Endpoint, InviteToken, ParseInviteError, PeerId, SecretKey, Ticket,
};

pub use super::card::Card;

/// The application protocol.
pub const ALPN: &[u8] = b"peerway/invite/1";

const VERSION: u8 = 1;
const LET_IN: u8 = 0;
const REFUSED: u8 = 1;
/// Bytes of a reason.
const MAX_REASON: usize = 512;
/// How long an exchange may take, of a few round trips.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the end of it may take to be heard.
const GOODBYE: Duration = Duration::from_secs(5);

/// A secret that lets in whoever has it, once or a few times. `Debug` shows nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation(InviteToken);

impl Invitation {
    /// A new one.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn generate() -> io::Result<Self> {
        let seed = SecretKey::generate()?.derive("peerway invitation");
        let mut token = [0; InviteToken::LEN];
        token.copy_from_slice(&seed[..InviteToken::LEN]);
        Ok(Self(InviteToken::from_bytes(token)))
    }

    /// The key that it is dialled with: its id is what is let in.
    #[must_use]
    pub fn key(&self) -> SecretKey {
        let mut seed = [0; 32];
        seed[..InviteToken::LEN].copy_from_slice(self.0.as_bytes());
        SecretKey::from_seed(&SecretKey::from_seed(&seed).derive("peerway invite 1"))
    }

    /// Its text form, which is secret: 26 letters and digits, in either case.
    #[must_use]
    pub fn reveal(&self) -> String {
        self.0.reveal()
    }
}

impl FromStr for Invitation {
    type Err = ParseInvitationError;

    fn from_str(text: &str) -> Result<Self, ParseInvitationError> {
        text.parse()
            .map(Self)
            .map_err(|_: ParseInviteError| ParseInvitationError)
    }
}

/// A text is no [`Invitation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the invitation after the ticket is damaged: 26 letters and digits are expected")]
#[non_exhaustive]
pub struct ParseInvitationError;

/// Why an invitation could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// Nobody is let in with it any more, or nobody is there: neither gets an answer.
    #[error("the invitation may be used up, revoked or too old, or the peer away: {0}")]
    Connect(#[from] ConnectError),
    /// As it says.
    #[error("the peer refuses the invitation: {reason}")]
    Refused {
        /// The peer's words.
        reason: String,
    },
    /// The connection broke, or its other end is of another version.
    #[error("the invitation was not taken, as the exchange broke off: {0}; try again")]
    Broken(String),
}

/// Uses an invitation of the node that `peer` names, on an endpoint that is bound with [`Invitation::key`]: `ours` is let in there
/// from then on.
///
/// # Errors
/// See [`InviteError`].
pub async fn accept(endpoint: &Endpoint, peer: Ticket, ours: &Card) -> Result<(), InviteError> {
    let connection = endpoint.connect(peer, ALPN).await?;
    let asked = timeout(PATIENCE, ask(&connection, ours)).await;
    connection.close(0, b"done");
    asked.unwrap_or_else(|_| Err(InviteError::Broken("no answer".to_owned())))
}

async fn ask(connection: &Connection, ours: &Card) -> Result<(), InviteError> {
    let broken = |error: String| InviteError::Broken(error);
    let opened = connection.open_bi().await;
    let (mut send, mut recv) = opened.map_err(|error| broken(error.to_string()))?;
    let written = send.write_all(&[VERSION]).await;
    written.map_err(|error| broken(error.to_string()))?;
    card::write(&mut send, ours).await.map_err(broken)?;
    let answer = recv.read_to_end(1 + MAX_REASON).await;
    let answer = answer.map_err(|error| broken(error.to_string()))?;
    match answer.split_first() {
        Some((&LET_IN, [])) => Ok(()),
        Some((&REFUSED, reason)) => Err(InviteError::Refused {
            reason: String::from_utf8_lossy(reason).into_owned(),
        }),
        _ => Err(broken("its answer is none".to_owned())),
    }
}

/// Hears who was invited: part of a handler for a [`Router`](crate::Router), which takes the connection of a peer that is an
/// invitation's. `let_in` gets the invitation's id and the card, and says in words why not.
pub async fn serve<F, R>(connection: Connection, let_in: F)
where
    F: FnOnce(PeerId, Card) -> R,
    R: Future<Output = Result<(), String>>,
{
    let exchange = async {
        let (mut send, mut recv) = connection.accept_bi().await.ok()?;
        let mut version = [0];
        recv.read_exact(&mut version).await.ok()?;
        if version != [VERSION] {
            return None;
        }
        let card = card::read(&mut recv).await.ok()?;
        let answer = match let_in(connection.peer(), card).await {
            Ok(()) => vec![LET_IN],
            Err(reason) => {
                let reason = reason.bytes().take(MAX_REASON);
                std::iter::once(REFUSED).chain(reason).collect()
            }
        };
        send.write_all(&answer).await.ok()?;
        send.finish().ok()
    };
    if let Ok(Some(())) = timeout(PATIENCE, exchange).await {
        // Who was invited hangs up when it has heard the answer.
        let _ = timeout(GOODBYE, connection.closed()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::{super::testing, *};

    fn card() -> Card {
        let id = SecretKey::from_seed(&[7; 32]).id();
        Card::new(Ticket::from(id), "Anna's laptop")
    }

    #[test]
    fn an_invitation_is_written_as_26_letters_and_shown_as_none() {
        let invitation = Invitation::generate().unwrap();
        let text = invitation.reveal();
        assert_eq!(text.len(), 26);
        assert_eq!(text.parse(), Ok(invitation.clone()));
        assert_eq!(text.to_uppercase().parse(), Ok(invitation.clone()));
        assert!(!format!("{invitation:?}").contains(&text));
        assert_ne!(Invitation::generate().unwrap(), invitation);
        let damaged = text[1..].parse::<Invitation>();
        assert_eq!(damaged, Err(ParseInvitationError));
    }

    #[test]
    fn each_has_a_key_of_its_own() {
        let invitation: Invitation = "aaaaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap();
        let other: Invitation = "caaaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap();
        assert_eq!(invitation.key().id(), invitation.key().id());
        assert_ne!(invitation.key().id(), other.key().id());
    }

    #[tokio::test]
    async fn who_invites_hears_who_came_with_which_invitation() {
        let pair = testing::pair(ALPN).await;
        let guest = pair.server.peer();
        let (ours, mut came) = (card(), None);
        let serving = serve(pair.server.clone(), |invitation, card| {
            came = Some((invitation, card));
            ready(Ok(()))
        });
        let asking = async {
            let asked = ask(&pair.client, &ours).await;
            pair.client.close(0, b"done");
            asked
        };
        let ((), asked) = tokio::join!(serving, asking);
        asked.unwrap();
        assert_eq!(came, Some((guest, ours)));
    }

    #[tokio::test]
    async fn who_is_refused_hears_why() {
        let pair = testing::pair(ALPN).await;
        let ours = card();
        let serving = serve(pair.server.clone(), |_, _| ready(Err("used up".to_owned())));
        let asking = async {
            let asked = ask(&pair.client, &ours).await;
            pair.client.close(0, b"done");
            asked
        };
        let ((), asked) = tokio::join!(serving, asking);
        let said = asked.unwrap_err().to_string();
        assert_eq!(said, "the peer refuses the invitation: used up");
    }

    #[tokio::test]
    async fn whoever_speaks_otherwise_is_let_go_and_nobody_comes_in() {
        for noise in [
            &[9, 0, 0][..],
            &[VERSION, 0xff, 0xff],
            &[VERSION, 0, 1, b'x', 0, 0],
        ] {
            let pair = testing::pair(ALPN).await;
            let serving = serve(pair.server.clone(), |_, _| async {
                panic!("somebody came in with {noise:?}")
            });
            let asking = async {
                let (mut send, _recv) = pair.client.open_bi().await.unwrap();
                send.write_all(noise).await.unwrap();
                send.finish().unwrap();
            };
            tokio::join!(serving, asking);
        }
    }
}
