//! Services of a peer, of which one is led to a port of this computer.

use std::time::Duration;

use peerway::PeerId;

use super::{
    asking, flows,
    layout::Panel,
    look::Role,
    model::{Model, Overlay},
    msg::Effect,
    transfers,
    update::notify,
};
use crate::printable::printable;

/// Asks what the selected peer exposes, or the one at the other end of the selected flow.
pub(super) fn look(model: &mut Model, now: Duration, effects: &mut Vec<Effect>) {
    let is_of_flow = matches!(
        model.focus,
        Panel::Flows | Panel::Transfers | Panel::Exposed
    );
    let (peer, otherwise) = if model.focus == Panel::Transfers {
        let peer = transfers::selected(model).and_then(|it| it.peer);
        (peer, "nothing with one peer at its other end is selected")
    } else if is_of_flow {
        let flows = flows::listed(model);
        let flow = flows.get(model.flows.at).map(|(peer, _)| peer.id);
        let peer = flow.filter(|_| model.focus == Panel::Flows);
        (peer, "nothing with one peer at its other end is selected")
    } else {
        (asking::subject(model), "no peer is selected")
    };
    match peer {
        Some(peer) => ask_it(model, peer, now, effects),
        None => notify(model, otherwise.to_owned(), Role::Warn, now),
    }
}

/// The same of this peer, if one is named.
pub(super) fn ask(
    model: &mut Model,
    peer: Option<PeerId>,
    now: Duration,
    effects: &mut Vec<Effect>,
) {
    match peer {
        Some(peer) => ask_it(model, peer, now, effects),
        None => look(model, now, effects),
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
        Ok(_) if !gives_way(model.overlay.as_ref()) => {}
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

/// Whether what is seen of a peer is what it was asked from.
fn gives_way(overlay: Option<&Overlay>) -> bool {
    overlay.is_none_or(|overlay| {
        matches!(
            overlay,
            Overlay::Flow | Overlay::Details | Overlay::Stranger(_)
        )
    })
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
