//! `peerway up` of a home, and the services that it keeps.

use std::time::SystemTime;

use peerway_tests::computer::Running;

use super::{Home, at};

/// What the address books of the users call the server's home.
const FAR: &str = "far";

/// A node that exposes and forwards what it keeps whenever it runs.
pub(super) struct Daemon<'a> {
    home: &'a Home,
    ticket: String,
    running: Running,
}

impl<'a> Daemon<'a> {
    /// Of the server's home: what is exposed is named as for [`Home::expose`].
    pub(super) fn exposing(home: &'a Home, services: &[&str]) -> Self {
        let targets = home.targets(services);
        home.computer.run(&format!("peerway expose add{targets}"));
        Self::start(home)
    }

    /// Of a user's home: each service is led to from a port at the room's gate.
    pub(super) fn forwarding(home: &'a Home, far: &Self, services: &[(&str, &str)]) -> Self {
        let ticket = &far.ticket;
        home.computer.run(&format!("peerway add {FAR} {ticket}"));
        for (name, listen) in services {
            let addr = at(home.room.gate(), listen);
            let line = format!("peerway forward add {FAR}/{name} --listen {addr}");
            home.computer.run(&line);
        }
        Self::start(home)
    }

    fn start(home: &'a Home) -> Self {
        let running = home.computer.start("peerway up --json");
        let ready = running.wait_for(|line| line["event"] == "ready");
        Self {
            home,
            ticket: ready["ticket"].as_str().unwrap().to_owned(),
            running,
        }
    }

    /// Ends it as a loss of power does, and lets it begin anew.
    pub(super) fn restart(self) -> Self {
        let Self { home, running, .. } = self;
        drop(running);
        Self::start(home)
    }

    /// Waits until it has met so many of those whom it was linked with before it was ended.
    pub(super) fn until_met(&self, count: usize) {
        for _ in 0..count {
            self.running
                .wait_for(|line| line["event"] == "connected" && line["outgoing"] == true);
        }
    }

    /// Waits until its link has changed to such a path since then.
    pub(super) fn until_path(&self, kind: &str, since: SystemTime) {
        let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        self.running.wait_for(|line| {
            let is_new = line["at_ms"].as_u64() >= u64::try_from(since.as_millis()).ok();
            is_new && line["event"] == "path_changed" && line["path"]["kind"] == kind
        });
    }
}
