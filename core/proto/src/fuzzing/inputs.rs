//! Inputs that come from the user and from looking at the network, each in a form that bytes can be read as.

use arbitrary::Arbitrary;

use super::names::{Addr, id, relay};
use crate::{
    Access, PairAction, PathPolicy, PeerId,
    addr::Families,
    io::{Input, OfPair},
};

/// What the user wants of a peer, or of all.
#[derive(Arbitrary, Debug)]
pub(super) enum Wish {
    Retry,
    Policy(u8),
    Pair { remote: Addr, tcp: bool, action: u8 },
    Access { who: u8, dialled: bool },
}

impl Wish {
    pub(super) fn input(self, peer: PeerId) -> Input<'static> {
        match self {
            Self::Retry => Input::Retry { peer },
            Self::Policy(at) => Input::Policy {
                peer,
                policy: POLICIES[at as usize % POLICIES.len()],
            },
            Self::Pair {
                remote,
                tcp,
                action,
            } => Input::Pair(OfPair {
                peer,
                remote: remote.get(),
                tcp,
                action: ACTIONS[action as usize % ACTIONS.len()],
            }),
            Self::Access { who, dialled } => Input::Access {
                access: match who % 3 {
                    0 => Access::Anyone,
                    1 => Access::Only(vec![id(who / 3)]),
                    _ => Access::Except(vec![id(who / 3)]),
                },
                dialled: dialled.then_some(peer).into_iter().collect(),
            },
        }
    }
}

const POLICIES: [PathPolicy; 4] = [
    PathPolicy::Auto,
    PathPolicy::RelayOnly,
    PathPolicy::DirectOnly,
    PathPolicy::Unknown,
];
const ACTIONS: [PairAction; 5] = [
    PairAction::Probe,
    PairAction::Force,
    PairAction::Release,
    PairAction::Drop,
    PairAction::Unknown,
];

/// What was found out about the network, or about a peer by other means than a relay's messages.
#[derive(Arbitrary, Debug)]
pub(super) enum News {
    Pinhole(Option<Addr>),
    Routes { v4: bool, v6: bool },
    AlsoObserved { relay: u8, addr: Addr },
    Seen(Option<Addr>),
    RelayMoved { relay: u8, to: u8 },
    Found { peer: u8, addrs: [Addr; 2] },
    Left { peer: u8 },
    CalledBack { peer: u8, addrs: [Addr; 2] },
    Losses { peer: u8 },
}

impl News {
    pub(super) fn input(self) -> Input<'static> {
        let all = |addrs: [Addr; 2]| addrs.map(Addr::get).to_vec();
        match self {
            Self::Pinhole(addr) => Input::Pinhole(addr.map(Addr::get)),
            Self::Routes { v4, v6 } => Input::Routes {
                families: Families { v4, v6 },
                nat64: None,
            },
            Self::AlsoObserved { relay: at, addr } => Input::AlsoObserved {
                relay: relay(at),
                addr: addr.get(),
            },
            Self::Seen(addr) => Input::Seen(addr.map(Addr::get)),
            Self::RelayMoved { relay: at, to } => Input::RelayMoved {
                relay: relay(at),
                to: relay(to),
            },
            Self::Found { peer, addrs } => Input::Found {
                peer: id(peer),
                addrs: all(addrs),
            },
            Self::Left { peer } => Input::Found {
                peer: id(peer),
                addrs: Vec::new(),
            },
            Self::CalledBack { peer, addrs } => Input::CalledBack {
                peer: id(peer),
                addrs: all(addrs),
            },
            Self::Losses { peer } => Input::Losses { peer: id(peer) },
        }
    }
}
