//! A peer that turns out to be on our own network: it is said hello to there, with no relay in between.
//!
//! Anybody on the network can claim to have seen it anywhere, so what is done about it is bounded, and stays on the network.

use std::net::SocketAddr;

use super::{Context, Peer};
use crate::PeerState;

/// Addresses at which a peer may be found at the same time.
const MAX_FOUND: usize = 8;

impl Peer {
    /// The peer was found on our network, at these addresses and nowhere else; none if it left.
    pub(crate) fn on_found(&mut self, ctx: &mut Context<'_>, mut addrs: Vec<SocketAddr>) {
        addrs.retain(|addr| ctx.local.is_neighbour(*addr));
        addrs.truncate(MAX_FOUND);
        let is_news = addrs.iter().any(|addr| !self.found.contains(addr));
        self.found = addrs;
        if !is_news || !self.wanted {
            return;
        }
        match self.state {
            PeerState::Intro => self.greet_soon(ctx),
            PeerState::Failed => self.dial(ctx),
            PeerState::Punch | PeerState::Relayed => self.round_soon(ctx),
            PeerState::Idle | PeerState::Direct | PeerState::Suspect => {}
        }
    }

    /// Addresses to say hello to without a relay.
    pub(super) fn direct_addrs(&self) -> Vec<SocketAddr> {
        let mut addrs = self.addrs.clone();
        addrs.extend(self.found.iter().filter(|addr| !self.addrs.contains(addr)));
        addrs
    }

    /// Whether to look for the peer: we dialled it, and no direct path leads to it.
    pub(crate) fn is_missed(&self) -> bool {
        let direct = matches!(self.state, PeerState::Direct | PeerState::Suspect);
        self.wanted && self.dialled && !direct
    }

    pub(super) fn has_direct_addrs(&self) -> bool {
        !(self.addrs.is_empty() && self.found.is_empty())
    }
}
