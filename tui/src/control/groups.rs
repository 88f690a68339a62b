//! The groups that the node has joined.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json,
    extract::{RawQuery, State, rejection::JsonRejection},
    http::StatusCode,
    response::sse::{Event as Sent, Sse},
};
use futures_util::{Stream, stream};
use peerway::PeerId;
use peerway_swarm::{
    group::{GroupId, GroupInvite, Role},
    groups::{GroupError, GroupEvent, GroupView, Groups, JoinError, PostView},
};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;

use super::{
    path::Path,
    refusal::Refusal,
    server::{Control, understood},
    streams,
};
use crate::printable::printable;

/// Posts that are told at once, if nobody says how many.
const LAST: usize = 50;
const MAX_LAST: usize = 10_000;

impl Control {
    fn groups(&self) -> Result<&Groups, Refusal> {
        let groups = self.groups_of_host();
        groups.ok_or_else(|| match self.groups_trouble() {
            Some(trouble) => {
                let reason =
                    format!("{trouble}, and start the node anew: it is in no group meanwhile");
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, reason)
            }
            None => {
                let reason = "this node keeps no groups: it has a temporary identity";
                Refusal::new(StatusCode::CONFLICT, reason)
            }
        })
    }

    /// With what this node keeps for its members.
    fn shown(&self, mut group: GroupView) -> GroupView {
        let id = group.id.parse();
        group.published = id.ok().and_then(|id| self.search().published(id));
        group
    }

    pub(super) fn group(&self, name: &str) -> Result<(&Groups, GroupId), Refusal> {
        let groups = self.groups()?;
        Ok((groups, groups.find(name)?))
    }
}

impl From<GroupError> for Refusal {
    fn from(error: GroupError) -> Self {
        let status = match &error {
            GroupError::Unknown | GroupError::NoMember => StatusCode::NOT_FOUND,
            GroupError::NoAdmin | GroupError::Founder => StatusCode::FORBIDDEN,
            GroupError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            GroupError::Name
            | GroupError::TooMany
            | GroupError::Taken(_)
            | GroupError::Ambiguous
            | GroupError::Log(_)
            | GroupError::Post(_)
            | _ => StatusCode::CONFLICT,
        };
        Self::new(status, error.to_string())
    }
}

impl From<JoinError> for Refusal {
    fn from(error: JoinError) -> Self {
        let status = match &error {
            JoinError::Refused { .. } => StatusCode::FORBIDDEN,
            JoinError::Here(_) => StatusCode::CONFLICT,
            JoinError::Unreached(_) | JoinError::Untrue | JoinError::Bind(_) | _ => {
                StatusCode::BAD_GATEWAY
            }
        };
        Self::new(status, error.to_string())
    }
}

type Answer<T> = Result<Json<T>, Refusal>;
type Body<T> = Result<Json<T>, JsonRejection>;

pub(super) async fn all(State(control): State<Control>) -> Answer<Vec<GroupView>> {
    let groups = control.groups()?.all().into_iter();
    Ok(Json(groups.map(|group| control.shown(group)).collect()))
}

pub(super) async fn one(
    State(control): State<Control>,
    Path(name): Path<String>,
) -> Answer<GroupView> {
    let (groups, group) = control.group(&name)?;
    Ok(Json(control.shown(groups.view(group)?)))
}

pub(super) async fn create(
    State(control): State<Control>,
    body: Body<Create>,
) -> Answer<GroupView> {
    let Create { name } = understood(body)?;
    if printable(&name) != name {
        let reason = "characters that cannot be seen as what they are cannot be in a name";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, reason));
    }
    let groups = control.groups()?;
    Ok(Json(groups.view(groups.create(&name)?)?))
}

pub(super) async fn join(State(control): State<Control>, body: Body<Join>) -> Answer<GroupView> {
    let Join { invite } = understood(body)?;
    let invite: GroupInvite =
        invite
            .parse()
            .map_err(|error: peerway_swarm::group::ParseGroupInviteError| {
                Refusal::new(StatusCode::BAD_REQUEST, error.to_string())
            })?;
    let groups = control.groups()?;
    Ok(Json(groups.view(groups.join(&invite).await?)?))
}

pub(super) async fn invite(
    State(control): State<Control>,
    Path(name): Path<String>,
    body: Body<Invite>,
) -> Answer<Invited> {
    let Invite {
        role,
        uses,
        expires_s,
    } = understood(body)?;
    let (groups, group) = control.group(&name)?;
    let invite = groups.invite(group, role, uses, Duration::from_secs(expires_s))?;
    Ok(Json(Invited {
        invite: invite.to_string(),
    }))
}

/// Adds somebody, or changes what somebody may do.
pub(super) async fn add(
    State(control): State<Control>,
    Path(name): Path<String>,
    body: Body<Add>,
) -> Answer<GroupView> {
    let Add { member, role } = understood(body)?;
    let (groups, group) = control.group(&name)?;
    groups.add(group, member, role)?;
    Ok(Json(groups.view(group)?))
}

pub(super) async fn remove(
    State(control): State<Control>,
    Path(name): Path<String>,
    body: Body<Remove>,
) -> Answer<GroupView> {
    let Remove { member } = understood(body)?;
    let (groups, group) = control.group(&name)?;
    groups.remove(group, member)?;
    Ok(Json(groups.view(group)?))
}

pub(super) async fn leave(
    State(control): State<Control>,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    let (groups, group) = control.group(&name)?;
    groups.leave(group).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn post(
    State(control): State<Control>,
    Path(name): Path<String>,
    body: Body<Post>,
) -> Answer<Posted> {
    let Post { text, reply_to } = understood(body)?;
    let (groups, group) = control.group(&name)?;
    let id = match reply_to {
        Some(reply_to) => groups.reply(group, &text, &reply_to)?,
        None => groups.post(group, &text)?,
    };
    let id = id.to_string();
    Ok(Json(Posted { id }))
}

pub(super) async fn posts(
    State(control): State<Control>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer<Vec<PostView>> {
    let last = query.as_deref().map_or(Ok(LAST), last)?.min(MAX_LAST);
    let (groups, group) = control.group(&name)?;
    Ok(Json(groups.posts(group, last, false)?))
}

/// How many of the last are wanted.
pub(super) fn last(query: &str) -> Result<usize, Refusal> {
    let last = query.strip_prefix("last=").and_then(|it| it.parse().ok());
    last.ok_or_else(|| {
        let reason = "nothing but `?last=N` may follow, N being how many of the last are wanted";
        Refusal::new(StatusCode::BAD_REQUEST, reason)
    })
}

/// What was posted so far counts as read.
pub(super) async fn read(
    State(control): State<Control>,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    let (groups, group) = control.group(&name)?;
    groups.posts(group, 1, true)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Each post as it comes, until the node ends. Who reads too slowly loses the oldest.
pub(super) async fn follow(
    State(control): State<Control>,
    Path(name): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Refusal> {
    let (groups, group) = control.group(&name)?;
    let posts = stream::unfold(groups.events(), move |mut events| async move {
        loop {
            match events.recv().await {
                Ok(GroupEvent::Posted(of, post)) if of == group => return Some((post, events)),
                Ok(GroupEvent::Removed(of)) if of == group => return None,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    Ok(streams::each(posts, control.ending()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Join {
    invite: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Invite {
    role: Role,
    uses: u32,
    expires_s: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Add {
    member: PeerId,
    role: Role,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Remove {
    member: PeerId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Post {
    text: String,
    #[serde(default)]
    reply_to: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Invited {
    invite: String,
}

#[derive(Serialize)]
pub(super) struct Posted {
    id: String,
}
