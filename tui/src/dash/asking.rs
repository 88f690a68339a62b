//! What is asked of the node about a peer, from the key to the answer.

use std::{sync::Arc, time::Duration};

use peerway::{
    CandidatePair, Cause, Event, EventKind, HomeReason, NodeSnapshot, PairAction, PathInfo,
    PathPolicy, PeerId, RelaySnapshot, Side,
};
use tui_input::Input;

use super::{
    Answer, NetworkRequest, Request, contents, format, group, joined,
    keymap::{Action, Ask, Context},
    layout::Panel,
    look::Role,
    model::{Model, Overlay},
    msg::Effect,
    update::{NOTICE_TIME, notify},
    words::{Address, chosen, reached},
};

/// Round trips of one ping that are told of.
const SHOWN: usize = 10;

/// Whom a key is about: whose page is open, or who is selected.
pub(super) fn subject(model: &Model) -> Option<PeerId> {
    if model.focus == Panel::Members {
        let members = group::members(model);
        let member = members.get(model.members.at).map(|member| member.it.id);
        return member.filter(|id| *id != model.data().snapshot.id);
    }
    if let Some(Overlay::Stranger(peer)) = model.overlay {
        return Some(peer);
    }
    if model.focus == Panel::Holders {
        return contents::peer_at(model, model.holders.at);
    }
    if model.focus == Panel::Fellows {
        let fellows = joined::fellows(model);
        let fellow = fellows.get(model.fellows.at).map(|fellow| fellow.id);
        return fellow.filter(|id| *id != model.data().snapshot.id);
    }
    let stranger = model.stranger.filter(|_| model.focus == Panel::Map);
    let selected = || model.selected().map(|peer| peer.id);
    model.page.or(stranger).or_else(selected)
}

/// Begins what the key stands for: some ask back first.
pub(super) fn begin(
    model: &mut Model,
    peer: PeerId,
    ask: Ask,
    now: Duration,
    effects: &mut Vec<Effect>,
) {
    if matches!(ask, Ask::Retry | Ask::UntilDirect)
        && let Some(said) = forbidden(model, peer)
    {
        return notify(model, said, Role::Warn, now);
    }
    match ask {
        Ask::Ping => send(
            model,
            peer,
            Request::Ping {
                until_direct: false,
            },
            now,
            effects,
        ),
        Ask::UntilDirect => send(
            model,
            peer,
            Request::Ping { until_direct: true },
            now,
            effects,
        ),
        Ask::Retry => send(model, peer, Request::Retry, now, effects),
        Ask::NextPolicy => {
            let next = next_policy(model, peer);
            send(model, peer, Request::Policy(next), now, effects);
        }
        Ask::Policy(policy) => send(model, peer, Request::Policy(policy), now, effects),
        Ask::ProbePair => of_pair(model, peer, PairAction::Probe, now, effects),
        Ask::ForcePair => of_pair(model, peer, PairAction::Force, now, effects),
        Ask::DropPair => of_pair(model, peer, PairAction::Drop, now, effects),
        Ask::Disconnect => confirm(model, peer, Request::Disconnect),
        Ask::Block if model.blocked.contains(&peer) => confirm(model, peer, Request::LetIn),
        Ask::Block => confirm(model, peer, Request::Block),
        Ask::LetIn => confirm(model, peer, Request::LetIn),
        Ask::Name => {
            let name = model.names.get(&peer).cloned().unwrap_or_default();
            model.overlay = Some(Overlay::Name {
                peer,
                input: Input::new(name),
            });
        }
    }
}

/// Why no direct path to the peer is looked for however often one is asked for, and what would change that.
fn forbidden(model: &Model, peer: PeerId) -> Option<String> {
    let name = model.words().name(&peer);
    let shown = model.data().snapshot.peer(peer)?;
    let given = model.given.filter(|(to, _)| *to == peer);
    let policy = given.map_or(shown.policy, |(_, policy)| policy);
    if policy == PathPolicy::RelayOnly {
        let key = model.keys.first(
            Context::Page,
            Action::Ask(Ask::NextPolicy),
            model.look.glyphs,
        );
        let how = key.map_or_else(
            || ":policy PEER auto".to_owned(),
            |key| format!("{key} twice"),
        );
        return Some(format!(
            "{name} is kept to relays, so nothing direct is tried: {how} allows it again"
        ));
    }
    let Cause::RelayOnly { side } = shown.why.as_ref()?.cause else {
        return None;
    };
    Some(match side {
        Side::Here => {
            "this node keeps to relays, so nothing direct is tried: start it without --relay-only"
                .to_owned()
        }
        Side::There => format!(
            "{name} keeps to relays, so nothing direct is tried until it is told otherwise over there"
        ),
    })
}

/// Does something with the pair under the cursor; one that is forced is released.
fn of_pair(
    model: &mut Model,
    peer: PeerId,
    action: PairAction,
    now: Duration,
    effects: &mut Vec<Effect>,
) {
    let Some(pair) = pair_at(model) else {
        let text = "no address of this peer is being probed";
        return notify(model, text.to_owned(), Role::Warn, now);
    };
    let action = if action == PairAction::Force && pair.forced {
        PairAction::Release
    } else {
        action
    };
    let request = Request::Pair {
        remote: pair.remote,
        tcp: pair.is_tcp(),
        action,
    };
    send(model, peer, request, now, effects);
}

/// The node as it is now: what was asked may show in it, and the cursor stays on its pair, wherever that stands among the others.
pub(super) fn record(model: &mut Model, snapshot: Arc<NodeSnapshot>) {
    let before = pair_at(model).map(|pair| (pair.remote, pair.is_tcp()));
    model.record(snapshot);
    let is_it = |it: &CandidatePair| Some((it.remote, it.is_tcp())) == before;
    let pairs = model.page_peer().map(|peer| &peer.pairs);
    if let Some(at) = pairs.and_then(|pairs| pairs.iter().position(is_it)) {
        model.pairs.at = at;
    }
    look_at_given(model);
}

/// The pair under the cursor.
fn pair_at(model: &Model) -> Option<&CandidatePair> {
    model.page_peer()?.pairs.get(model.pairs.at)
}

/// Says so where a pair that was forced is so no more by itself.
pub(super) fn hear_of_pair(model: &mut Model, event: &Event, now: Duration) {
    if matches!(event.kind, EventKind::PairReleased { .. }) {
        let said = model.words().sentence(&event.kind);
        let text = format!("{}: {}", said.subject, said.text);
        notify(model, text, Role::Warn, now);
    }
}

/// The policy after the one that the peer has, or was given a moment ago: auto, relay-only, direct-only.
fn next_policy(model: &Model, peer: PeerId) -> PathPolicy {
    let shown = model.data().snapshot.peer(peer).map(|peer| peer.policy);
    let given = model.given.filter(|(to, _)| *to == peer);
    match given.map(|(_, policy)| policy).or(shown) {
        None | Some(PathPolicy::Auto) => PathPolicy::RelayOnly,
        Some(PathPolicy::RelayOnly) => PathPolicy::DirectOnly,
        Some(_) => PathPolicy::Auto,
    }
}

/// A snapshot may show the policy that was given to a peer.
fn look_at_given(model: &mut Model) {
    let snapshot = &model.data().snapshot;
    let is_shown = |(to, policy): &(PeerId, PathPolicy)| {
        let shown = snapshot.peer(*to);
        shown.is_some_and(|peer| peer.policy == *policy)
    };
    if model.given.as_ref().is_some_and(is_shown) {
        model.given = None;
    }
}

fn confirm(model: &mut Model, peer: PeerId, request: Request) {
    model.overlay = Some(Overlay::Confirm { peer, request });
}

pub(super) fn send(
    model: &mut Model,
    peer: PeerId,
    request: Request,
    now: Duration,
    effects: &mut Vec<Effect>,
) {
    let name = model.words().name(&peer);
    let said = match &request {
        Request::Ping { until_direct } => {
            model.pings.begin(peer);
            if *until_direct {
                format!("pinging {name} until it is direct")
            } else {
                format!("pinging {name}")
            }
        }
        Request::Retry => format!("asking for a direct path to {name}"),
        Request::Policy(policy) => {
            model.given = Some((peer, *policy));
            format!("{name}: {policy}")
        }
        Request::Pair { remote, action, .. } => {
            let addr = model.words().addr(*remote);
            let doing = match action {
                PairAction::Probe => "probing",
                PairAction::Release => "releasing",
                PairAction::Drop => "dropping",
                PairAction::Force | PairAction::Unknown | _ => "forcing",
            };
            format!("{name}: {doing} {addr}")
        }
        Request::Disconnect => format!("disconnecting {name}"),
        Request::Block => format!("blocking {name}"),
        Request::LetIn => format!("letting {name} in"),
        Request::Rename(new) => format!("naming {name} {new}"),
    };
    notify(model, said, Role::Info, now);
    effects.push(Effect::Ask(peer, request));
}

/// What was asked about the network.
pub(super) fn of_network(
    model: &mut Model,
    request: NetworkRequest,
    result: Result<(), String>,
    now: Duration,
) {
    let (said, role) = match (result, request) {
        (Err(reason), _) => (model.words().foreign(&reason), Role::Bad),
        (Ok(()), NetworkRequest::Measure) => {
            let text = "the NAT is measured anew; what was found stands here in a few seconds";
            (text.to_owned(), Role::Good)
        }
        (Ok(()), NetworkRequest::RenewMappings) => {
            let text = "the router is asked anew for its forwarded port";
            (text.to_owned(), Role::Good)
        }
        (Ok(()), NetworkRequest::PreferHome(None)) => {
            let text = "the nearest relay is the home relay";
            (text.to_owned(), Role::Good)
        }
        (Ok(()), NetworkRequest::PreferHome(Some(key))) => {
            let relays = own_relays(model);
            let of_key = relays.iter().find(|relay| relay.url.key() == key);
            let name = of_key.map_or_else(|| key.short(), |relay| model.words().relay(&relay.url));
            let text = format!("{name} is the home relay whenever it is up");
            (text, Role::Good)
        }
    };
    notify(model, said, role, now);
}

/// The node's own relays, of which one is the home relay.
pub(super) fn own_relays(model: &Model) -> Vec<&RelaySnapshot> {
    let relays = model.data().snapshot.relays.iter();
    relays.filter(|relay| relay.home).collect()
}

/// Lists them, for one to be preferred.
pub(super) fn list_homes(model: &mut Model, now: Duration) {
    let relays = own_relays(model);
    if relays.is_empty() {
        let text = "this node has no relay of its own: start it with --relay URL";
        return notify(model, text.to_owned(), Role::Warn, now);
    }
    let is_preferred = |relay: &&RelaySnapshot| relay.home_reason == Some(HomeReason::Preferred);
    let at = relays.iter().position(is_preferred);
    // The first row stands for the nearest.
    model.overlay = Some(Overlay::Homes {
        at: at.map_or(0, |at| at + 1),
    });
}

/// One of the answers; only pings have several.
pub(super) fn answered(
    model: &mut Model,
    peer: PeerId,
    request: &Request,
    answer: Result<Answer, String>,
    now: Duration,
) {
    let name = model.words().name(&peer);
    let goes_on = matches!(answer, Ok(Answer::Pong { .. }));
    if matches!(request, Request::Ping { .. }) && !goes_on {
        model.pings.end(peer, now + NOTICE_TIME);
    }
    let (said, role) = match (answer, request) {
        (Err(reason), _) => {
            if matches!(request, Request::Policy(_)) {
                model.given = None;
            }
            let reason = model.words().foreign(&reason);
            (format!("{name}: {reason}"), Role::Bad)
        }
        (Ok(Answer::Pong { rtt, path }), _) => pong(model, peer, rtt, path),
        // What the pongs said stands there already.
        (Ok(Answer::Done), Request::Ping { .. }) => return,
        (Ok(Answer::Done), Request::Retry) => {
            (format!("looking for a direct path to {name}"), Role::Good)
        }
        (Ok(Answer::Done), Request::Policy(policy)) => (given(&name, *policy), Role::Good),
        (Ok(Answer::Done), Request::Pair { remote, action, .. }) => {
            let addr = model.words().addr(*remote);
            (chosen(&name, &addr, *action), Role::Good)
        }
        (Ok(Answer::Done), Request::Disconnect) => {
            (format!("disconnected from {name}"), Role::Good)
        }
        (Ok(Answer::Done), Request::Block) => {
            model.blocked.insert(peer);
            model.decided.insert(peer);
            let key = model
                .keys
                .first(Context::Page, Action::Ask(Ask::Block), model.look.glyphs);
            let how = key.map_or_else(
                || "`peerway allow`".to_owned(),
                |key| format!("{key} on it"),
            );
            let text = format!("{name} is blocked: {how} lets it in again");
            (text, Role::Good)
        }
        (Ok(Answer::Done), Request::LetIn) => {
            let text = if model.blocked.remove(&peer) {
                format!("{name} is blocked no more, and let in from now on")
            } else {
                format!("{name} is let in from now on; a names it once it is linked")
            };
            (text, Role::Good)
        }
        (Ok(Answer::Done), Request::Rename(new)) => {
            model.names.insert(peer, new.clone());
            (format!("{name} is called {new} from now on"), Role::Good)
        }
    };
    notify(model, said, role, now);
}

fn given(name: &str, policy: PathPolicy) -> String {
    let again = if policy.is_auto() { " again" } else { "" };
    format!("{name} is reached {}{again}", reached(policy))
}

/// `phone 38 41 37 · 39 ms direct v4`: the last ones, the mean of all, and the path of the last.
fn pong(model: &mut Model, peer: PeerId, rtt: Duration, path: Option<PathInfo>) -> (String, Role) {
    let words = model.words();
    let by = path.as_ref();
    let by = by.map(|path| format!(" {}", words.path(path, Address::None)));
    let name = words.name(&peer);
    let ping = model.pings.note(peer, rtt, path);
    let said = format!(
        "{name} {} {} {}{}",
        ping.last(SHOWN).join(" "),
        model.look.glyphs.dot,
        format::rtt(ping.mean()),
        by.unwrap_or_default()
    );
    (said, Role::Good)
}
