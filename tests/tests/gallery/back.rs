//! The other way of programs that both dial.

use peerway_tests::computer::Running;

use super::homes::Home;

/// Leads a port at the gate of a home to a service of the other one, by the link that there is: of its path only the first forward
/// tells.
pub(super) fn forward_back(home: &Home, other: &Home, name: &str, port: u16) -> Running {
    let ticket = other.computer.ticket();
    let gate = home.room.gate();
    let line = format!("peerway forward {ticket}/{name} --listen {gate}:{port} --json");
    let running = home.computer.start(&line);
    while !running.line().contains("listening") {}
    running
}
