//! The eight views, as the tab line and the keys `1` to `8` name them.

use super::layout::Panel;

/// One screenful of the node; the peer page belongs to the peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum View {
    #[default]
    Overview,
    Peers,
    Network,
    Flows,
    Map,
    Events,
    Shares,
    Groups,
}

impl View {
    /// In the order of their keys.
    pub(super) const ALL: [Self; 8] = [
        Self::Overview,
        Self::Peers,
        Self::Network,
        Self::Flows,
        Self::Map,
        Self::Events,
        Self::Shares,
        Self::Groups,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Peers => "Peers",
            Self::Network => "Network",
            Self::Flows => "Flows",
            Self::Map => "Map",
            Self::Events => "Events",
            Self::Shares => "Shares",
            Self::Groups => "Groups",
        }
    }

    /// The name where there is little room.
    pub(super) fn short(self) -> &'static str {
        match self {
            Self::Overview => "Over",
            Self::Network => "Net",
            Self::Peers | Self::Flows | Self::Map => self.name(),
            Self::Events => "Event",
            Self::Shares => "Share",
            Self::Groups => "Group",
        }
    }

    /// The panels that can have the focus, in the order of Tab.
    pub(super) fn panels(self) -> &'static [Panel] {
        match self {
            Self::Overview => &[Panel::Peers, Panel::Events],
            Self::Peers => &[Panel::Peers],
            Self::Network => &[Panel::Network],
            Self::Flows => &[Panel::Transfers, Panel::Flows, Panel::Exposed],
            Self::Map => &[Panel::Map, Panel::Members, Panel::Links],
            Self::Events => &[Panel::Events],
            Self::Shares => &[Panel::Shares, Panel::Holders],
            Self::Groups => &[Panel::Groups, Panel::Fellows, Panel::Posts],
        }
    }

    /// So many views on, or back, round and round.
    pub(super) fn step(self, by: isize) -> Self {
        let all = Self::ALL;
        let at = all.iter().position(|view| *view == self).unwrap_or(0);
        let to = at.cast_signed() + by;
        let to = to.rem_euclid(all.len().cast_signed()).cast_unsigned();
        all.get(to).copied().unwrap_or_default()
    }
}
