//! Services of a peer, of which one is led to a port of this computer.

use std::time::Duration;

use peerway::PeerId;

use super::{
    asking,
    flows::flows,
    layout::Panel,
    look::Role,
    model::{Model, Overlay},
    msg::Effect,
    transfers,
    update::notify,
};
use crate::printable::printable;

/// Asks what the peer at the other end of the selected flow exposes.
pub(super) fn look(model: &mut Model, now: Duration, effects: &mut Vec<Effect>) {
    let peer = if model.focus == Panel::Transfers {
        transfers::selected(model).and_then(|it| it.peer)
    } else {
        let flows = flows(&model.data().snapshot);
        flows.get(model.flows.at).map(|(peer, _)| peer.id)
    };
    let Some(peer) = peer else {
        let text = "nothing with one peer at its other end is selected".to_owned();
        return notify(model, text, Role::Warn, now);
    };
    ask_it(model, peer, now, effects);
}

/// The same of this peer, or of the one that is selected.
pub(super) fn ask(
    model: &mut Model,
    peer: Option<PeerId>,
    now: Duration,
    effects: &mut Vec<Effect>,
) {
    let is_of_flow = matches!(model.focus, Panel::Flows | Panel::Transfers);
    match peer {
        Some(peer) => ask_it(model, peer, now, effects),
        None if is_of_flow => look(model, now, effects),
        None => match asking::subject(model) {
            Some(peer) => ask_it(model, peer, now, effects),
            None => notify(model, "no peer is selected".to_owned(), Role::Warn, now),
        },
    }
}

fn ask_it(model: &mut Model, peer: PeerId, now: Duration, effects: &mut Vec<Effect>) {
    let name = model.words().name(&peer);
    let text = format!("asking {name} what it exposes to this node");
    notify(model, text, Role::Info, now);
    effects.push(Effect::Services(peer));
}

/// The peer has said what it exposes, or why not.
pub(super) fn offered(
    model: &mut Model,
    peer: PeerId,
    services: Result<Vec<String>, String>,
    now: Duration,
) {
    model.dirty = true;
    let name = model.words().name(&peer);
    match services {
        Err(reason) => {
            let reason = model.words().foreign(&reason);
            notify(model, format!("{name}: {reason}"), Role::Bad, now);
        }
        Ok(services) if services.is_empty() => {
            let text = format!("{name} exposes nothing to this node: `peerway expose` does, there");
            notify(model, text, Role::Warn, now);
        }
        // Something else is being done by now.
        Ok(_) if model.overlay.is_some() && !matches!(model.overlay, Some(Overlay::Flow)) => {}
        Ok(services) => {
            // The keys of the list stand there.
            model.notice = None;
            model.overlay = Some(Overlay::Services {
                peer,
                services,
                at: 0,
            });
        }
    }
}

/// Has a port lead to a service, unless one does already.
pub(super) fn choose(
    model: &mut Model,
    peer: PeerId,
    service: String,
    now: Duration,
    effects: &mut Vec<Effect>,
) {
    match model.tunnels.get(&(peer, service.clone())).cloned() {
        Some(addr) => opened(model, peer, &service, Ok(addr), now),
        None => effects.push(Effect::Tunnel(peer, service)),
    }
}

/// A port leads to a service, or does not.
pub(super) fn opened(
    model: &mut Model,
    peer: PeerId,
    service: &str,
    addr: Result<String, String>,
    now: Duration,
) {
    model.dirty = true;
    let key = (peer, service.to_owned());
    match &addr {
        Ok(addr) => drop(model.tunnels.insert(key, addr.clone())),
        Err(_) => drop(model.tunnels.remove(&key)),
    }
    let (name, service) = (model.words().name(&peer), printable(service));
    let (text, role) = match addr {
        Ok(addr) => (
            format!("{addr} leads to {service} of {name} while this window is open"),
            Role::Good,
        ),
        Err(reason) => {
            let reason = model.words().foreign(&reason);
            (format!("{service} of {name}: {reason}"), Role::Bad)
        }
    };
    notify(model, text, role, now);
}
