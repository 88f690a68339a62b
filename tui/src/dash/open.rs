//! What Enter leads to: what is known of a flow, the page of the peer that the selected row is about, or what is known of one that has none.

use std::time::Duration;

use peerway::{Event, PeerId};

use super::{
    contents, exposed, flows, group, joined,
    layout::Panel,
    look::Role,
    model::{Model, Overlay},
    scrub, transfers,
    update::notify,
};

/// The page of the peer that the selected row is about.
pub(super) fn open(model: &mut Model, now: Duration) {
    let event = selected_event(model).filter(|_| model.focus == Panel::Events);
    let happened = event.map(|event| event.at_ms);
    let peer = match model.focus {
        Panel::Flows | Panel::Transfers | Panel::Exposed => {
            let is_there = if model.focus == Panel::Transfers {
                transfers::selected(model).is_some()
            } else if model.focus == Panel::Exposed {
                exposed::selected(model).is_some()
            } else {
                !flows::listed(model).is_empty()
            };
            if is_there {
                model.overlay = Some(Overlay::Flow);
            }
            return;
        }
        Panel::Events => selected_event(model).and_then(|event| event.kind.peer()),
        Panel::Members => {
            let members = group::members(model);
            members.get(model.members.at).map(|member| member.it.id)
        }
        Panel::Links => {
            let pairs = group::pairs(model);
            let ends = pairs.get(model.links.at).map(|pair| pair.ends());
            // The end that has a page, and is not this node.
            let snapshot = &model.data().snapshot;
            let has_page = |end: &PeerId| snapshot.peer(*end).is_some();
            ends.map(|[here, there]| {
                let found = [here, there].into_iter().find(has_page);
                found.unwrap_or(if here == snapshot.id { there } else { here })
            })
        }
        Panel::Map if model.stranger.is_some() => model.stranger,
        Panel::Shares => return model.focus = Panel::Holders,
        Panel::Groups => return model.focus = Panel::Fellows,
        Panel::Holders => contents::peer_at(model, model.holders.at),
        Panel::Fellows => joined::fellows(model).get(model.fellows.at).map(|it| it.id),
        Panel::Posts => {
            let posts = joined::posts(model);
            posts.get(model.posts.at).map(|(post, _)| post.author)
        }
        Panel::Peers | Panel::Page | Panel::Pairs | Panel::Network | Panel::Map => {
            model.selected().map(|peer| peer.id)
        }
    };
    let Some(peer) = peer else { return };
    let may_be_none = matches!(
        model.focus,
        Panel::Members | Panel::Links | Panel::Map | Panel::Holders | Panel::Fellows | Panel::Posts
    );
    let may_be_none = may_be_none || model.is_absent(peer);
    if may_be_none && model.data().snapshot.peer(peer).is_none() {
        return without_link(model, peer, now);
    }
    model.select(peer);
    model.open_page();
    if let Some(at_ms) = happened {
        scrub::go_to_event(model, at_ms);
    }
}

fn selected_event(model: &Model) -> Option<&Event> {
    model.listed_events().nth(model.events.at)
}

/// The page of the peer at the other end of the selected flow.
pub(super) fn open_other_end(model: &mut Model, now: Duration) {
    let peer = if model.focus == Panel::Transfers {
        transfers::selected(model).and_then(|it| it.peer)
    } else if model.focus == Panel::Exposed {
        exposed::first_client(model)
    } else {
        let flows = flows::listed(model);
        flows.get(model.flows.at).map(|(peer, _)| peer.id)
    };
    match peer {
        Some(peer) if model.data().snapshot.peer(peer).is_some() => {
            model.select(peer);
            model.open_page();
        }
        None if model.focus == Panel::Exposed => {
            let text = "nobody uses it now".to_owned();
            notify(model, text, Role::Info, now);
        }
        Some(_) | None => {
            let text = "it comes from many, or from whom there is no link: 7 shows with whom";
            notify(model, text.to_owned(), Role::Warn, now);
        }
    }
}

/// Members of a group may be linked to others alone: there is no page of them, but what those say.
pub(super) fn without_link(model: &mut Model, peer: PeerId, now: Duration) {
    if peer == model.data().snapshot.id {
        let text = "this is the node that is shown; its peers have pages".to_owned();
        return notify(model, text, Role::Warn, now);
    }
    model.overlay = Some(Overlay::Stranger(peer));
}
