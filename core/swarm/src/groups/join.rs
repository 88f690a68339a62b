//! Comes into a group by an invite, and lets others come.

use std::{error::Error, time::Duration};

use peerway::{
    ConnectError, Connection, Endpoint, PeerId, RecvStream, RelayUrl, SendStream, Ticket,
    quic::{ConnectionError, close},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use thiserror::Error;
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, timeout},
};

use super::{ALPN, GroupError, Groups, MAX_GROUPS, session::NO_GROUP};
use crate::{
    frame::{self, FrameError},
    group::{
        Card, DOORS, GroupId, GroupInvite, Joined, Known, Log, MAX_OPS, Op, Opening, RedeemError,
        Signature, door, is_shown,
    },
};

/// Length of the longest answer.
const MAX_JOINED: usize = 128 << 10;
/// Ops in one answer.
const OPS: usize = 128;
/// How long one member may take to let somebody in.
const PATIENCE: Duration = Duration::from_secs(40);
/// The same once another has refused, who mostly speaks for all.
const PATIENCE_REFUSED: Duration = Duration::from_secs(10);
/// How long whoever comes may take to show the invite.
const SHOWING: Duration = Duration::from_secs(15);
/// Length of what it is shown with.
const MAX_SHOWN: usize = 128;
/// Doors that are tried, as another one may come by the same,
const TRIES: usize = 6;
/// and how long after the first the last may be.
const TRIED_WITHIN: Duration = Duration::from_secs(15);
/// How long relays may take to let in who shows an invite.
const SETTLING: Duration = Duration::from_secs(5);
/// Said of a member that has nobody come in by the invite.
const SHUT: &str = "nobody comes in by this invite any more: it was used up or taken back, or is too old, or its maker has not met this member since it was made";
/// How long the group's key may take once this node is let in.
const KEY_PATIENCE: Duration = Duration::from_secs(15);
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
    /// The words of each member that refused; no other let this node in.
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
    /// Joins a group, which this node may be in already, and waits for its key, which comes by the first link to a member: what is posted
    /// after that can be read by all. Where no key comes within 15 s, or [`run`](Self::run) is not under way, which links to members,
    /// this node is in the group all the same: [`GroupView::has_key`](super::GroupView::has_key) says so, a
    /// [`GroupEvent::Changed`](super::GroupEvent::Changed) when it came, and until then [`post`](Self::post) is refused.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub async fn join(&self, invite: &GroupInvite) -> Result<GroupId, JoinError> {
        let group = invite.group();
        let mut events = self.events();
        let is_removed = self.with(group, |member| member.is_removed).ok();
        if is_removed != Some(false) {
            self.come_in(invite).await?;
        }
        let keyed = async {
            while self.is_running() && self.lacks_key(group) {
                // Also what was missed of them may have been the key.
                if let Err(RecvError::Closed) = events.recv().await {
                    return;
                }
            }
        };
        tokio::select! {
            // It comes later then.
            _ = timeout(KEY_PATIENCE, keyed) => {}
            () = self.0.endpoint.closed() => {}
        }
        Ok(group)
    }

    /// Has a member let this node in.
    async fn come_in(&self, invite: &GroupInvite) -> Result<(), JoinError> {
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
        let known = self.try_doors(invite, &all).await?;
        if known.log.state().role(self.0.endpoint.id()).is_none() {
            return Err(JoinError::Untrue);
        }
        let _writing = self.writing();
        self.keep_new(invite.group(), known)?;
        Ok(())
    }

    fn lacks_key(&self, group: GroupId) -> bool {
        let has_key = self.with(group, |member| member.machine.has_key());
        has_key.is_ok_and(|has_key| !has_key)
    }

    /// Comes by one door after the other, until one is ours alone.
    async fn try_doors(
        &self,
        invite: &GroupInvite,
        relays: &[RelayUrl],
    ) -> Result<Known, JoinError> {
        let begun = Instant::now();
        let mut random = StdRng::from_os_rng();
        let mut tries = 0;
        loop {
            let number = random.random_range(0..DOORS);
            let Unreached {
                trouble,
                may_be_taken,
            } = match self.come(invite, relays, number).await? {
                Ok(known) => return Ok(known),
                Err(unreached) => unreached,
            };
            tries += 1;
            if !may_be_taken || tries == TRIES || begun.elapsed() > TRIED_WITHIN {
                return Err(JoinError::Unreached(trouble));
            }
            tracing::debug!(trouble, "another door of the invite is tried");
        }
    }

    /// Comes by one of the invite's doors.
    async fn come(
        &self,
        invite: &GroupInvite,
        relays: &[RelayUrl],
        number: usize,
    ) -> Result<Result<Known, Unreached>, JoinError> {
        let key = door(invite.invitation().key().id(), number);
        let builder = self.0.builder.clone().secret_key(key).visits(true);
        let builder = builder.relays(relays.to_vec()).port_mapping(false);
        let endpoint = builder.bind().await?;
        // Without a relay a member may be reached all the same.
        let _ = timeout(SETTLING, endpoint.online()).await;
        let asked = self.ask(&endpoint, invite).await;
        endpoint.close().await;
        asked
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        invite: &GroupInvite,
    ) -> Result<Result<Known, Unreached>, JoinError> {
        let (mut trouble, mut may_be_taken) = (Vec::new(), false);
        let (mut refused, mut is_untrue): (Vec<String>, _) = (Vec::new(), false);
        let shunned = self.shunned();
        for member in invite.members() {
            if shunned.contains(member.id()) {
                trouble.push(format!(
                    "{} is one that this node has nothing to do with",
                    member.id().short()
                ));
                continue;
            }
            let patience = match refused.is_empty() {
                true => PATIENCE,
                false => PATIENCE_REFUSED,
            };
            let asked = timeout(
                patience,
                ask_one(endpoint, invite, member, self.0.endpoint.id()),
            )
            .await;
            match asked {
                Ok(Ok(known)) => return Ok(Ok(known)),
                Ok(Err(Asked::Unreached(unreached))) => {
                    may_be_taken |= unreached.may_be_taken;
                    trouble.push(unreached.trouble);
                }
                // The reason may be that member's own.
                Ok(Err(Asked::Refused(reason))) if refused.contains(&reason) => {}
                Ok(Err(Asked::Refused(reason))) => refused.push(reason),
                Ok(Err(Asked::Untrue)) => is_untrue = true,
                Err(_) => trouble.push(format!("{} does not answer", member.id().short())),
            }
        }
        if !refused.is_empty() {
            let reason = refused.join("; ");
            return Err(JoinError::Refused { reason });
        }
        if is_untrue {
            return Err(JoinError::Untrue);
        }
        let trouble = trouble.join("; ");
        Ok(Err(Unreached {
            trouble,
            may_be_taken,
        }))
    }

    /// Somebody shows an invite.
    pub(super) async fn let_in(
        &self,
        connection: &Connection,
        group: GroupId,
        guest: Guest,
        (mut send, mut recv): (SendStream, RecvStream),
    ) {
        let _shown = Shown::begin(self, connection.peer());
        let shown = timeout(
            SHOWING,
            self.is_shown(group, &guest, (&mut send, &mut recv)),
        );
        let redeemed = match shown.await {
            Ok(Some(true)) => self.admit(group, &guest),
            Ok(Some(false)) => Err(RedeemError::NoInvite.into()),
            Ok(None) | Err(_) => return connection.close(NO_GROUP, b"no invite was shown"),
        };
        let answers = match redeemed {
            Ok((ops, cards)) => {
                let ops = ops.chunks(OPS).map(|some| Joined::Ops(some.to_vec()));
                ops.chain([Joined::Done(cards)]).collect()
            }
            Err(error) => vec![Joined::Refused(error.to_string())],
        };
        for answer in answers {
            let told = timeout(PATIENCE, frame::write(&mut send, &answer, MAX_JOINED));
            if !matches!(told.await, Ok(Ok(()))) {
                return;
            }
        }
        let _ = send.finish();
        let _ = timeout(GOODBYE, connection.closed()).await;
    }

    /// Lets somebody in, which is on the disk before it is told: an invite would let in another otherwise once this node was started anew.
    pub(super) fn admit(
        &self,
        group: GroupId,
        guest: &Guest,
    ) -> Result<(Vec<Op>, Vec<Card>), AdmitError> {
        let _writing = self.writing();
        let drafted = self.change(group, |machine, now| {
            machine.draft_admission(guest.invite, guest.member, guest.proof, now)
        });
        if let Some(own) = drafted.ok_or(AdmitError::Left)?? {
            let kept = self.0.store.keep_own(group, &own.records());
            // Why not is logged there, and shown.
            kept.map_err(|_| AdmitError::Unkept)?;
            let published = self.change(group, |machine, now| machine.publish_op(own, now));
            published
                .ok_or(AdmitError::Left)?
                .map_err(RedeemError::from)?;
        }
        let welcome = self.with(group, |member| member.machine.welcome(guest.member));
        Ok(welcome.map_err(|_| AdmitError::Left)??)
    }

    /// Whether whoever comes has the invite's key; none if it does not say.
    async fn is_shown(
        &self,
        group: GroupId,
        guest: &Guest,
        (send, recv): (&mut SendStream, &mut RecvStream),
    ) -> Option<bool> {
        let challenge: [u8; 32] = StdRng::from_os_rng().random();
        let question = Joined::Challenge(challenge);
        let asked = frame::write(send, &question, MAX_JOINED).await;
        asked.ok()?;
        let shown: Signature = frame::read(recv, MAX_SHOWN).await.ok()??;
        let asked = (self.0.endpoint.id(), &challenge);
        Some(is_shown(group, guest.invite, asked, &shown))
    }
}

/// Why somebody is not let in, in words for it.
#[derive(Debug, Error)]
pub(super) enum AdmitError {
    #[error("the member that was asked has left the group")]
    Left,
    #[error(
        "the member that was asked cannot note it, as on a full disk: the invite is as good as before; try again once that is mended there"
    )]
    Unkept,
    #[error(transparent)]
    Redeem(#[from] RedeemError),
}

/// Who comes with an invite.
pub(super) struct Guest {
    invite: PeerId,
    member: PeerId,
    /// By the invite's key, for the member.
    proof: Signature,
}

impl Guest {
    /// None if one of these is no id.
    pub(super) fn new(invite: [u8; 32], member: [u8; 32], proof: Signature) -> Option<Self> {
        let id = |bytes| PeerId::from_bytes(bytes).ok();
        Some(Self {
            invite: id(invite)?,
            member: id(member)?,
            proof,
        })
    }
}

/// A door by which somebody is coming in.
struct Shown<'a> {
    groups: &'a Groups,
    door: PeerId,
}

impl<'a> Shown<'a> {
    fn begin(groups: &'a Groups, door: PeerId) -> Self {
        groups.live().shown.push(door);
        Self { groups, door }
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        let mut live = self.groups.live();
        if let Some(at) = live.shown.iter().position(|it| *it == self.door) {
            live.shown.swap_remove(at);
        }
    }
}

/// No member let us in or said why not.
struct Unreached {
    trouble: String,
    /// Whether the reason may be somebody else who comes by the same door.
    may_be_taken: bool,
}

/// Why one member did not let us in.
enum Asked {
    Unreached(Unreached),
    /// Its words.
    Refused(String),
    /// What it told is no group's log.
    Untrue,
}

impl Asked {
    /// The connection ended before all was said.
    fn broken(connection: &Connection, trouble: &dyn Error) -> Self {
        let is_shut = connection.close_reason().as_ref().is_some_and(is_shut);
        Self::Unreached(Unreached {
            trouble: if is_shut {
                SHUT.to_owned()
            } else {
                trouble.to_string()
            },
            may_be_taken: !is_shut,
        })
    }
}

impl From<ConnectError> for Asked {
    fn from(error: ConnectError) -> Self {
        let is_shut = matches!(&error, ConnectError::Closed(why) if is_shut(why));
        let known = if let ConnectError::NowhereElse { failure, .. } = &error {
            failure
        } else {
            &error
        };
        let may_be_taken = matches!(
            known,
            ConnectError::Timeout { .. }
                | ConnectError::Relay { .. }
                | ConnectError::Closed(_)
                | ConnectError::Handshake(_)
                | ConnectError::Busy
        );
        Self::Unreached(Unreached {
            trouble: if is_shut {
                SHUT.to_owned()
            } else {
                error.to_string()
            },
            may_be_taken: may_be_taken && !is_shut,
        })
    }
}

/// Whether the member has nobody come in by the invite.
fn is_shut(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::ApplicationClosed(closed)
        if closed.error_code == close::NOT_LET_IN.into())
}

async fn ask_one(
    endpoint: &Endpoint,
    invite: &GroupInvite,
    member: &Ticket,
    me: PeerId,
) -> Result<Known, Asked> {
    let connection = endpoint.connect(member.clone(), ALPN).await?;
    let opened = connection.open_bi().await;
    let streams = opened.map_err(|error| Asked::broken(&connection, &error))?;
    let told = hear(streams, invite, (member.id(), me)).await;
    let (ops, cards) = match told.map_err(|error| Asked::broken(&connection, &error))? {
        Told::All(ops, cards) => (ops, cards),
        Told::Refused(reason) => return Err(Asked::Refused(reason)),
        Told::Nonsense => return Err(Asked::Untrue),
    };
    connection.close(0, b"done");
    let known = known(invite.group(), ops, cards);
    known.ok_or(Asked::Untrue)
}

/// What a member says to who shows an invite.
enum Told {
    All(Vec<Op>, Vec<Card>),
    /// Why not.
    Refused(String),
    Nonsense,
}

async fn hear(
    (mut send, mut recv): (SendStream, RecvStream),
    invite: &GroupInvite,
    (member, me): (PeerId, PeerId),
) -> Result<Told, FrameError> {
    let opening = Opening::Join {
        group: invite.group(),
        invite: *invite.invitation().key().id().as_bytes(),
        member: *me.as_bytes(),
        proof: invite.prove(me),
    };
    frame::write(&mut send, &opening, MAX_JOINED).await?;
    let mut ops: Vec<Op> = Vec::new();
    loop {
        match frame::read::<Joined>(&mut recv, MAX_JOINED).await? {
            Some(Joined::Challenge(challenge)) => {
                let shown = invite.show(member, &challenge);
                frame::write(&mut send, &shown, MAX_SHOWN).await?;
            }
            Some(Joined::Ops(more)) if ops.len() + more.len() <= MAX_OPS => ops.extend(more),
            Some(Joined::Done(cards)) => return Ok(Told::All(ops, cards)),
            Some(Joined::Refused(reason)) => return Ok(Told::Refused(reason)),
            Some(Joined::Ops(_)) | None => return Ok(Told::Nonsense),
        }
    }
}

/// What was told, as far as it is true.
pub(super) fn known(group: GroupId, ops: Vec<Op>, cards: Vec<Card>) -> Option<Known> {
    let mut ops = ops.into_iter();
    let mut log = Log::begun_by(group, ops.next()?).ok()?;
    // Whoever told them may have made some up.
    log.insert_all(ops);
    let cards = cards.into_iter().filter(|card| card.is_of(&log));
    let cards = cards.collect();
    Some(Known::of(log, cards, Vec::new()))
}
