//! Which keys would do something here and now.

use crate::dash::{
    contents, exposed, flows, group, joined, keymap::Action, layout::Panel, map::Toward,
    model::Model, scrub, transfers, view::has_room_for_rings,
};

impl Model {
    /// Why this is not done, whatever is selected; none if it may be.
    pub(in crate::dash) fn refusal(&self, action: Action) -> Option<&'static str> {
        if self.read_only && action.is_change() {
            Some("read-only: nothing is changed from here")
        } else if self.replay && is_asked(action) {
            Some("a recording: nothing is asked of its node")
        } else if !self.replay && matches!(action, Action::Speed(_)) {
            Some("no recording: what is live goes neither faster nor slower")
        } else if self.stopped && matches!(action, Action::Speed(_)) {
            Some("the recording ends here")
        } else {
            None
        }
    }

    /// Whether a key would do something here and now: nothing is asked of a recording, and nothing can be done to a row of a list that
    /// has none.
    pub(in crate::dash) fn has_use_for(&self, action: Action) -> bool {
        let is_of_row = matches!(
            action,
            Action::Ask(_) | Action::Open | Action::Details | Action::Move(_) | Action::Toward(_)
        ) || is_of_transfers(action);
        let is_in_vain = matches!(action, Action::Scrub(_)) && !scrub::has_history(self)
            || is_asked(action) && self.replay
            || matches!(action, Action::Speed(_)) && (!self.replay || self.stopped)
            || matches!(action, Action::Toward(Toward::Left | Toward::Right)) && !self.has_rings()
            || action == Action::ToggleTree && !self.may_have_rings()
            || action == Action::Tunnel && self.focus == Panel::Exposed
            || is_of_row && self.overlay.is_none() && self.is_empty();
        !is_in_vain
    }

    fn has_rings(&self) -> bool {
        !self.as_tree && self.may_have_rings()
    }

    /// Whether the map has room for rings.
    pub(in crate::dash) fn may_have_rings(&self) -> bool {
        let map = self.areas(self.screen).and_then(|areas| areas.map);
        map.is_some_and(has_room_for_rings)
    }

    /// Whether what has the focus lists nothing.
    fn is_empty(&self) -> bool {
        match self.focus {
            Panel::Peers => self.rows.is_empty(),
            Panel::Map => self.rows.is_empty() && group::strangers(self).is_empty(),
            Panel::Events => self.listed_events().next().is_none(),
            Panel::Pairs => self.page_peer().is_none_or(|peer| peer.pairs.is_empty()),
            Panel::Flows => flows::listed(self).is_empty(),
            Panel::Members => group::members(self).is_empty(),
            Panel::Links => group::pairs(self).is_empty(),
            Panel::Transfers => transfers::listed(self).is_empty(),
            Panel::Exposed => exposed::listed(self).is_empty(),
            Panel::Shares => self.share_rows.is_empty(),
            Panel::Holders => contents::peers(self).is_empty(),
            Panel::Groups => joined::all(self.data()).is_empty(),
            Panel::Fellows => joined::fellows(self).is_empty(),
            Panel::Posts => joined::posts(self).is_empty(),
            Panel::Page | Panel::Network => false,
        }
    }
}

/// Whether somebody has to be asked for it.
fn is_asked(action: Action) -> bool {
    let of_links = matches!(
        action,
        Action::Ask(_) | Action::Connect | Action::Network(_)
    );
    of_links || is_of_transfers(action)
}

fn is_of_transfers(action: Action) -> bool {
    matches!(
        action,
        Action::Hold | Action::CancelTransfer | Action::Tunnel
    )
}
