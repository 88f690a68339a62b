//! What the relay answers.

use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use peerway_proto::{InviteToken, PeerId, RelayUrl};
use peerway_relay::{Invite, InviteId, Sample};
use serde_json::{Map, Value, json};

use super::Request;
use crate::keeper::{Drain, Keeper, unix_ms};

/// Clients and pairs that are named as those who send most.
const NAMED: usize = 10;

/// An answer, or why there is none.
pub(super) async fn answer(keeper: &Keeper, request: Request) -> Result<Value, String> {
    match request {
        Request::Status => Ok(status(keeper)),
        Request::Drain { within_s, to } => drain(keeper, within_s, to.as_deref()),
        Request::Invite { uses, expires_s } => invite(keeper, uses, expires_s).await,
        Request::Invites => Ok(invites(keeper)),
        Request::Revoke { what, members } => revoke(keeper, &what, members).await,
    }
}

fn drain(keeper: &Keeper, within_s: u64, to: Option<&str>) -> Result<Value, String> {
    let to = to.map(str::parse::<RelayUrl>).transpose();
    let to = to.map_err(|error| error.to_string())?;
    let own = keeper.relay().url();
    if to.as_ref().is_some_and(|to| to.key() == own.key()) {
        return Err(
            "that is this relay's own key; name another relay, which has a key of its own"
                .to_owned(),
        );
    }
    let place = to.as_ref().map(RelayUrl::to_string);
    let within = Duration::from_secs(within_s);
    keeper.drain(Drain { within, to });
    Ok(json!({ "draining_within_s": within_s, "to": place }))
}

fn status(keeper: &Keeper) -> Value {
    let relay = keeper.relay();
    let mut status = Map::new();
    status.insert("url".to_owned(), relay.url().to_string().into());
    if let Ok(Value::Object(stats)) = serde_json::to_value(relay.stats()) {
        status.extend(stats);
    }
    let limits = relay.volumes();
    status.insert("client_volume".to_owned(), limits.client.into());
    status.insert("relay_volume".to_owned(), limits.relay.into());
    let Sample { talkers, pairs, .. } = relay.sample(NAMED);
    let talkers = talkers.iter().map(|talker| {
        json!({
            "key": talker.key, "bytes_per_second": talker.rate, "month_bytes": talker.month_bytes
        })
    });
    let pairs = pairs
        .iter()
        .map(|pair| json!({ "keys": pair.ends, "bytes_per_second": pair.rate }));
    status.insert("talkers".to_owned(), talkers.collect());
    status.insert("pairs".to_owned(), pairs.collect());
    Value::Object(status)
}

async fn invite(
    keeper: &Keeper,
    uses: Option<u32>,
    expires_s: Option<u64>,
) -> Result<Value, String> {
    let mut bytes = [0; InviteToken::LEN];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random numbers: {error}"))?;
    let token = InviteToken::from_bytes(bytes);
    let invite = Invite {
        uses_left: uses,
        expires_ms: expires_s.map(|seconds| unix_ms().saturating_add(seconds.saturating_mul(1000))),
    };
    let relay = keeper.relay();
    let id = (relay.invite(&token, invite)).map_err(|error| error.to_string())?;
    Ok(json!({
        "id": id.to_string(),
        "url": relay.url().with_invite(token).with_its_invite(),
        "written": keeper.write().await,
        "open": relay.is_open(),
    }))
}

fn invites(keeper: &Keeper) -> Value {
    let now = unix_ms();
    let list = keeper.relay().invites().into_iter();
    let list = list.map(|(id, invite, members)| {
        let expires_s = invite.and_then(|invite| invite.expires_ms);
        json!({
            "id": id.to_string(),
            "revoked": invite.is_none(),
            "uses_left": invite.and_then(|invite| invite.uses_left),
            "expires_in_s": expires_s.map(|end| end.saturating_sub(now) / 1000),
            "members": members,
        })
    });
    json!({ "invites": list.collect::<Value>() })
}

async fn revoke(keeper: &Keeper, what: &str, members: bool) -> Result<Value, String> {
    let relay = keeper.relay();
    if let Ok(key) = what.parse::<PeerId>() {
        if !relay.expel(key) {
            return Err(
                "nobody with this key was invited; whom the configuration allows is removed there"
                    .to_owned(),
            );
        }
        return Ok(json!({ "key": key, "written": keeper.write().await }));
    }
    let list = relay.invites();
    let mut ids = list.iter().map(|(id, _, _)| *id);
    let is_meant = |id: &InviteId| {
        let text = BASE32_NOPAD.encode(id.as_bytes()).to_ascii_lowercase();
        id.to_string() == what || text == what
    };
    let id = ids.find(is_meant).ok_or_else(|| {
        "there is no such invitation, and this is no key; `peerway-relay invites` lists them"
            .to_owned()
    })?;
    relay.revoke(id, members);
    Ok(json!({ "id": id.to_string(), "written": keeper.write().await }))
}
