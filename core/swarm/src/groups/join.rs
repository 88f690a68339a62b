//! Comes into a group by an invite, and lets others come.

use std::time::Duration;

use peerway::{ConnectError, Connection, Endpoint, PeerId, RelayUrl, SendStream, Ticket};
use thiserror::Error;
use tokio::time::timeout;

use super::{ALPN, GroupError, Groups, MAX_GROUPS, session::NO_GROUP};
use crate::{
    frame::{self, FrameError},
    group::{Card, GroupId, GroupInvite, Joined, Known, Log, MAX_OPS, Op, Opening, Signature},
};

/// Length of the longest answer.
const MAX_JOINED: usize = 128 << 10;
/// Ops in one answer.
const OPS: usize = 128;
/// How long one member may take to let somebody in.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long relays may take to let in who shows an invite.
const SETTLING: Duration = Duration::from_secs(5);
/// How long the end of it may take to be heard.
const GOODBYE: Duration = Duration::from_secs(5);

/// Why an invite brought nobody in.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// None of those that the invite names could be reached.
    #[error(
        "no member that the invite names can be reached: {0}; try again when one of them is there"
    )]
    Unreached(String),
    /// The member's words.
    #[error("not let in: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// What came is no group's log.
    #[error(
        "the member that was asked does not tell the truth about the group, or is of another version"
    )]
    Untrue,
    /// The computer has no room for one more endpoint.
    #[error("cannot show the invite: {0}")]
    Bind(#[from] peerway::BindError),
    /// Here.
    #[error(transparent)]
    Here(#[from] GroupError),
}

impl Groups {
    /// Joins a group, which this node may be in already.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub async fn join(&self, invite: &GroupInvite) -> Result<GroupId, JoinError> {
        let group = invite.group();
        let known = self.with(group, |member| member.is_removed).ok();
        if known == Some(false) {
            return Ok(group);
        }
        if self.live().groups.len() >= MAX_GROUPS {
            return Err(GroupError::TooMany.into());
        }
        let members = invite.members();
        let own = self.0.endpoint.snapshot();
        let theirs = members
            .iter()
            .flat_map(|member| member.relays().iter().cloned());
        let ours = own.relays.iter().map(|relay| relay.url.clone());
        let mut all: Vec<RelayUrl> = Vec::new();
        for relay in theirs.chain(ours) {
            if !all.contains(&relay) {
                all.push(relay);
            }
        }
        let builder = self.0.builder.clone().secret_key(invite.invitation().key());
        let endpoint = builder
            .visits(true)
            .relays(all)
            .port_mapping(false)
            .bind()
            .await?;
        // Without a relay a member may be reached all the same.
        let _ = timeout(SETTLING, endpoint.online()).await;
        let asked = self.ask(&endpoint, invite, members).await;
        endpoint.close().await;
        let known = asked?;
        if known.log.state().role(self.0.endpoint.id()).is_none() {
            return Err(JoinError::Untrue);
        }
        // What was kept of a time before.
        self.live().groups.remove(&group);
        self.0.store.drop_group(group).map_err(GroupError::from)?;
        Ok(self.keep_new(group, known)?)
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        invite: &GroupInvite,
        members: &[Ticket],
    ) -> Result<Known, JoinError> {
        let mut trouble = Vec::new();
        for member in members {
            let asked = timeout(
                PATIENCE,
                ask_one(endpoint, invite, member, self.0.endpoint.id()),
            )
            .await;
            match asked {
                Ok(Ok(known)) => return Ok(known),
                Ok(Err(Asked::Unreached(error))) => trouble.push(error),
                Ok(Err(Asked::Failed(error))) => return Err(error),
                Err(_) => trouble.push(format!("{} does not answer", member.id().short())),
            }
        }
        Err(JoinError::Unreached(trouble.join("; ")))
    }

    /// Somebody shows an invite.
    pub(super) async fn let_in(
        &self,
        connection: &Connection,
        group: GroupId,
        (member, proof): ([u8; 32], Signature),
        send: &mut SendStream,
    ) {
        let Ok(member) = PeerId::from_bytes(member) else {
            return connection.close(NO_GROUP, b"not the id of a member");
        };
        let invite = connection.peer();
        let _shown = Shown::begin(self, invite);
        let redeemed = self.change(group, |machine, now| {
            machine.redeem(invite, member, proof, now)
        });
        let answers = match redeemed {
            Some(Ok((ops, cards))) => {
                let ops = ops.chunks(OPS).map(|some| Joined::Ops(some.to_vec()));
                ops.chain([Joined::Done(cards)]).collect()
            }
            Some(Err(error)) => vec![Joined::Refused(error.to_string())],
            None => vec![Joined::Refused(
                "the member that was asked has left the group".to_owned(),
            )],
        };
        for answer in answers {
            let told = timeout(PATIENCE, frame::write(send, &answer, MAX_JOINED));
            if !matches!(told.await, Ok(Ok(()))) {
                return;
            }
        }
        let _ = send.finish();
        let _ = timeout(GOODBYE, connection.closed()).await;
    }
}

/// An invite that is being shown.
struct Shown<'a> {
    groups: &'a Groups,
    invite: PeerId,
}

impl<'a> Shown<'a> {
    fn begin(groups: &'a Groups, invite: PeerId) -> Self {
        groups.live().shown.push(invite);
        Self { groups, invite }
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        let mut live = self.groups.live();
        if let Some(at) = live.shown.iter().position(|it| *it == self.invite) {
            live.shown.swap_remove(at);
        }
    }
}

/// Why one member did not let us in.
enum Asked {
    /// Another may.
    Unreached(String),
    Failed(JoinError),
}

impl From<ConnectError> for Asked {
    fn from(error: ConnectError) -> Self {
        Self::Unreached(error.to_string())
    }
}

impl From<FrameError> for Asked {
    fn from(error: FrameError) -> Self {
        Self::Unreached(error.to_string())
    }
}

async fn ask_one(
    endpoint: &Endpoint,
    invite: &GroupInvite,
    member: &Ticket,
    me: PeerId,
) -> Result<Known, Asked> {
    let connection = endpoint.connect(member.clone(), ALPN).await?;
    let opened = connection.open_bi().await;
    let (mut send, mut recv) = opened.map_err(|error| Asked::Unreached(error.to_string()))?;
    let opening = Opening::Join {
        group: invite.group(),
        member: *me.as_bytes(),
        proof: invite.prove(me),
    };
    frame::write(&mut send, &opening, MAX_JOINED).await?;
    let (mut ops, mut cards): (Vec<Op>, Option<Vec<Card>>) = (Vec::new(), None);
    while cards.is_none() {
        match frame::read::<Joined>(&mut recv, MAX_JOINED).await? {
            Some(Joined::Ops(more)) if ops.len() + more.len() <= MAX_OPS => ops.extend(more),
            Some(Joined::Done(known)) => cards = Some(known),
            Some(Joined::Refused(reason)) => {
                return Err(Asked::Failed(JoinError::Refused { reason }));
            }
            Some(Joined::Ops(_)) | None => return Err(Asked::Failed(JoinError::Untrue)),
        }
    }
    connection.close(0, b"done");
    let known = known(invite.group(), ops, cards.unwrap_or_default());
    known.ok_or(Asked::Failed(JoinError::Untrue))
}

/// What was told, as far as it is true.
fn known(group: GroupId, ops: Vec<Op>, cards: Vec<Card>) -> Option<Known> {
    let mut ops = ops.into_iter();
    let mut log = Log::begun_by(group, ops.next()?).ok()?;
    // Whoever told them may have made some up.
    log.insert_all(ops);
    let cards = cards.into_iter().filter(|card| card.is_of(&log));
    let cards = cards.collect();
    Some(Known::of(log, cards, Vec::new()))
}
