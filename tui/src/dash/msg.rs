//! What happens to the dashboard, and what it wants done.

use std::sync::Arc;

use crossterm::event::{KeyEvent, MouseEvent};
use peerway::{Event, NodeSnapshot, PeerId, SwarmSnapshot, Ticket};
use ratatui::layout::Rect;

use super::{Answer, NetworkRequest, Outage, People, Request, Speed};
use crate::{Commons, ServiceChange, TransferOrder};

#[derive(Clone, Debug)]
pub(super) enum Msg {
    Key(KeyEvent),
    Paste(String),
    Mouse(MouseEvent),
    Resize(u16, u16),
    Sample(Arc<NodeSnapshot>),
    /// What the node knows of its groups.
    Swarm(Arc<SwarmSnapshot>),
    /// What the node shares, and what is said in its groups.
    Commons(Arc<Commons>),
    Event(Event),
    /// A service that the node keeps fares otherwise than before.
    Service(ServiceChange),
    /// So many events were dropped because they came faster than they were read.
    Lagged(u64),
    /// The user knows others, or by other names.
    People(People),
    /// A dial that was asked for has ended.
    Dialled(PeerId, Result<(), String>),
    /// One of the answers to what was asked of a peer.
    Answered(PeerId, Request, Result<Answer, String>),
    /// What was asked about the network is under way, or why not.
    OfNetwork(NetworkRequest, Result<(), String>),
    /// What was wanted of a transfer is so, or why not.
    Ordered(u64, TransferOrder, Result<(), String>),
    /// What a peer exposes to this node, or why that is not known.
    Services(PeerId, Result<Vec<String>, String>),
    /// Where a service of a peer is found now, or why it is not.
    Tunnel(PeerId, String, Result<String, String>),
    /// Nothing more is recorded, for this reason.
    Unrecorded(String),
    /// The dashboard was to be suspended, and there is no shell that would continue it.
    NoShell,
    /// The screen has stood still for another second.
    Second,
    /// Nothing is heard of the node, or it is there again.
    Outage(Option<Outage>),
    /// The node has stopped: nothing new will come.
    Stopped,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    Connect(Ticket),
    Ask(PeerId, Request),
    AskNetwork(NetworkRequest),
    /// Ask what a peer exposes.
    Services(PeerId),
    /// Lead a port to one of its services.
    Tunnel(PeerId, String),
    /// Pause, resume or cancel a transfer.
    Order(u64, TransferOrder),
    /// What was said in this group counts as read.
    HaveRead(String),
    /// Play the recording at this speed.
    Play(Speed),
    Copy(String),
    /// Copy what stands in this part of the screen, as text.
    CopyScreen(Rect),
    /// Paint every cell anew.
    Repaint,
    /// Give the terminal back and stop until the shell says otherwise.
    Suspend,
    Quit {
        keep_screen: bool,
    },
}
