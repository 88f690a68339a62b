//! The other way of programs that both dial.

use peerway_tests::computer::Running;

use super::homes::{Home, at};

/// Leads a port at the gate of a home to a service of the other one, by the link that there is: of its path only the first forward
/// tells.
pub(super) fn forward_back(home: &Home, other: &Home, name: &str, listen: &str) -> Running {
    let ticket = other.computer.ticket();
    let addr = at(home.room.gate(), listen);
    let line = format!("peerway forward {ticket}/{name} --listen {addr} --json");
    let running = home.computer.start(&line);
    while !running.line().contains("listening") {}
    running
}
