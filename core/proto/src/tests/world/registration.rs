//! A node's registrations with relays, as `core`'s task for each keeps them: over a connection that repeats what is lost, that may
//! end unnoticed, and that is made anew.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::Rng;

use super::{Happening, Header, Told, World, relay::AGAIN};
use crate::{
    PeerId, RelayUrl,
    io::{Input, Sock},
    relays::Over,
    timing::{RELAY_ANSWERS_WITHIN, RELAY_KEEPALIVE, RELAY_SILENT_AFTER},
};

/// How long one try to register takes at most.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// The pause before the second try is up to this long, and so on up to the longest; the first comes at once.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A registration, or the tries to get one.
#[derive(Debug)]
pub(super) struct Registration {
    /// Tells what belongs to this try from what belonged to an earlier one.
    number: u64,
    begun: Instant,
    is_up: bool,
    failures: u32,
    /// Since when an answer is owed.
    owed: Option<Instant>,
}

/// What a registration does next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Dial,
    Welcome,
    KeepAlive,
    Ask,
}

impl World {
    /// Registers a node with the first relay, at once unless the world says otherwise.
    pub(crate) fn register(&mut self, at: usize) {
        self.register_at(at, 0);
    }

    /// As [`World::register`], with any relay, which is one of the node's own from now on.
    pub(crate) fn register_at(&mut self, at: usize, relay: usize) {
        let (url, now) = (self.relays[relay].url.clone(), self.clock(at));
        let mut home = self.nodes[at].relays.configured().to_vec();
        if !home.contains(&url) {
            home.push(url);
        }
        self.nodes[at].relays.set_home(now, home);
        let at_once = std::mem::replace(&mut self.at_once, self.prompt);
        self.drive_relays(at);
        if !self.nodes[at].is_registered(relay) {
            self.move_registration(at, relay);
        }
        self.at_once = at_once;
    }

    /// Takes a node off the first relay, for as long as it is not registered again.
    pub(crate) fn unregister(&mut self, at: usize) {
        self.unregister_at(at, 0);
    }

    pub(crate) fn unregister_at(&mut self, at: usize, relay: usize) {
        self.nodes[at].registrations.remove(&relay);
        self.nodes[at].registered.remove(&relay);
        self.tell_down(at, relay);
    }

    pub(super) fn begin_to_register(&mut self, at: usize, url: &RelayUrl) {
        if let Some(relay) = self.relay_at(url) {
            self.move_registration(at, relay);
        }
    }

    pub(super) fn deregister(&mut self, at: usize, url: &RelayUrl) {
        if let Some(relay) = self.relay_at(url) {
            self.nodes[at].registrations.remove(&relay);
            self.nodes[at].registered.remove(&relay);
        }
        let relay = url.clone();
        self.feed(at, Input::RelayDown { relay });
    }

    /// Registers anew, or for the first time. What there is stays until then.
    pub(super) fn move_registration(&mut self, at: usize, relay: usize) {
        let now = self.now;
        let known = self.nodes[at].registrations.entry(relay);
        let registration = known.or_insert(Registration {
            number: 0,
            begun: now,
            is_up: false,
            failures: 0,
            owed: None,
        });
        (registration.number, registration.failures) = (self.serial, 0);
        self.serial += 1;
        self.resolve(at, relay);
    }

    fn resolve(&mut self, at: usize, relay: usize) {
        let now = self.clock(at);
        let known = &self.relays[relay];
        let (url, addr, six) = (known.url.clone(), known.addr, known.six);
        let node = &mut self.nodes[at];
        let local = node.machine.local();
        node.relays.on_resolved(now, &url, addr, Some(six), local);
        self.drive_relays(at);
    }

    pub(super) fn dial_relay(&mut self, at: usize, url: &RelayUrl) {
        let Some(relay) = self.relay_at(url) else {
            return;
        };
        let (now, round_trip) = (self.now, self.round_trip(at));
        let Some(registration) = self.nodes[at].registrations.get_mut(&relay) else {
            return;
        };
        (registration.begun, registration.owed) = (now, None);
        if self.at_once {
            return self.greet(at, relay);
        }
        self.step_after(2 * round_trip, at, relay, Step::Welcome);
    }

    fn round_trip(&self, at: usize) -> Duration {
        let site = &self.net.sites[self.nodes[at].site];
        site.up.delay + site.down.delay
    }

    /// What a node measures to a relay.
    fn relay_rtt(&self, at: usize, relay: usize) -> Duration {
        self.round_trip(at) + self.relays[relay].beyond
    }

    fn step_after(&mut self, after: Duration, at: usize, relay: usize, step: Step) {
        let Some(registration) = self.nodes[at].registrations.get(&relay) else {
            return;
        };
        let next = Happening::Registration {
            node: at,
            relay,
            number: registration.number,
            step,
        };
        self.push(after, next);
    }

    pub(super) fn on_step(&mut self, at: usize, relay: usize, number: u64, step: Step) {
        let registration = self.nodes[at].registrations.get(&relay);
        if registration.is_none_or(|known| known.number != number) {
            return;
        }
        match step {
            Step::Dial => self.resolve(at, relay),
            Step::Welcome => self.greet(at, relay),
            Step::KeepAlive => {
                self.check_relay(at, relay);
                self.step_after(RELAY_KEEPALIVE, at, relay, Step::KeepAlive);
            }
            Step::Ask => self.ask(at, relay),
        }
    }

    /// Where a relay sees a node that sends to it now; nowhere if nothing gets there.
    fn reaches(&mut self, at: usize, relay: usize) -> Option<SocketAddr> {
        let site = &self.net.sites[self.nodes[at].site];
        if !self.relays[relay].up || site.up.dead || site.down.dead {
            return None;
        }
        self.observed(at, relay)
    }

    pub(super) fn observed(&mut self, at: usize, relay: usize) -> Option<SocketAddr> {
        let to = self.nodes[at].relays.get(&self.relays[relay].url)?.addr?;
        let to = self.outward(at, to);
        let from = self.source(at, Sock::MAIN, to)?;
        let mut packet = Header { from, to, ttl: 64 };
        self.route(at, &mut packet)?;
        Some(packet.from)
    }

    /// A relay takes a node in, if the node reaches it.
    fn greet(&mut self, at: usize, relay: usize) {
        if self.relays[relay].is_draining && self.relays[relay].up {
            return self.lose(at, relay);
        }
        let Some(observed) = self.reaches(at, relay) else {
            let (now, registration) = (self.now, self.nodes[at].registrations.get(&relay));
            let begun = registration.map_or(now, |known| known.begun);
            if now - begun >= CONNECT_TIMEOUT {
                return self.lose(at, relay);
            }
            return self.step_after(AGAIN, at, relay, Step::Welcome);
        };
        if let Some(registration) = self.nodes[at].registrations.get_mut(&relay) {
            (registration.is_up, registration.failures) = (true, 0);
        }
        self.nodes[at].registered.insert(relay, observed);
        let own_ms = self.unix_ms();
        let unix_ms = self.relays[relay].lies.time_ms.unwrap_or(own_ms);
        let url = self.relays[relay].url.clone();
        let (now, rtt) = (self.clock(at), self.relay_rtt(at, relay));
        let known = &mut self.nodes[at].relays;
        if let Some(addr) = known.on_up(now, &url, rtt, observed, Over::Udp) {
            let up = Input::RelayUp {
                relay: url,
                addr,
                observed,
                unix_ms,
                own_ms,
            };
            self.feed(at, up);
        }
        self.drive_relays(at);
        self.step_after(RELAY_KEEPALIVE, at, relay, Step::KeepAlive);
    }

    /// A registration is lost, or not to be had; another try follows.
    fn lose(&mut self, at: usize, relay: usize) {
        let number = self.serial;
        self.serial += 1;
        let Some(registration) = self.nodes[at].registrations.get_mut(&relay) else {
            return;
        };
        let tries = registration.failures;
        registration.failures += 1;
        (registration.number, registration.is_up, registration.owed) = (number, false, None);
        self.nodes[at].registered.remove(&relay);
        let bound = match tries.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => (PAUSE * (1 << doublings.min(6))).min(LONGEST_PAUSE),
        };
        let pause = self.rng.random_range(Duration::ZERO..=bound);
        self.step_after(pause, at, relay, Step::Dial);
        self.tell_down(at, relay);
    }

    fn tell_down(&mut self, at: usize, relay: usize) {
        let (url, now) = (self.relays[relay].url.clone(), self.clock(at));
        let reason = "no answer".to_owned();
        self.nodes[at].relays.on_down(now, &url, reason, false);
        self.feed(at, Input::RelayDown { relay: url });
    }

    /// Has the relays of a peer's link prove that they are still there.
    pub(super) fn check_relays(&mut self, at: usize, peer: PeerId) {
        let urls = self.nodes[at].relays.of_link(peer);
        let relays: Vec<usize> = urls.filter_map(|url| self.relay_at(url)).collect();
        for relay in relays {
            self.check_relay(at, relay);
        }
    }

    fn check_relay(&mut self, at: usize, relay: usize) {
        let now = self.now;
        let Some(registration) = self.nodes[at].registrations.get_mut(&relay) else {
            return;
        };
        if registration.is_up && registration.owed.is_none() {
            registration.owed = Some(now);
            self.step_after(Duration::ZERO, at, relay, Step::Ask);
        }
    }

    /// Asks a relay whether it is there, until it answers.
    fn ask(&mut self, at: usize, relay: usize) {
        let (now, reached) = (self.now, self.reaches(at, relay).is_some());
        let is_known = self.nodes[at].registered.contains_key(&relay);
        let Some(registration) = self.nodes[at].registrations.get_mut(&relay) else {
            return;
        };
        let Some(since) = registration.owed else {
            return;
        };
        match (reached, is_known) {
            (true, true) => {
                registration.owed = None;
                self.sees(at, relay);
                let url = self.relays[relay].url.clone();
                self.feed_silence(at, relay, false);
                let (now, rtt) = (self.clock(at), self.relay_rtt(at, relay));
                self.nodes[at].relays.on_rtt(now, &url, rtt);
            }
            // It began anew, and says so.
            (true, false) => self.lose(at, relay),
            (false, _) if now - since >= RELAY_ANSWERS_WITHIN => self.lose(at, relay),
            (false, _) => {
                let silent = (now - since).checked_sub(RELAY_SILENT_AFTER);
                if silent.is_some_and(|silent| silent < AGAIN) {
                    self.feed_silence(at, relay, true);
                }
                self.step_after(AGAIN, at, relay, Step::Ask);
            }
        }
    }

    fn feed_silence(&mut self, at: usize, relay: usize, silent: bool) {
        let relay = self.relays[relay].url.clone();
        self.feed(at, Input::RelaySilent { relay, silent });
    }

    /// A relay ends: in good order, which everybody registered with it hears, or by a cut that each has to find out.
    pub(crate) fn relay_fails(&mut self, relay: usize, says_so: bool) {
        self.relays[relay].up = false;
        self.relays[relay].forget_lanes();
        for at in 0..self.nodes.len() {
            let was = self.nodes[at].registered.remove(&relay).is_some();
            if was && says_so && !self.is_absent(at) {
                self.lose(at, relay);
            }
        }
    }

    /// A relay is about to end, and names another one for its place.
    pub(crate) fn relay_moves(&mut self, relay: usize, to: usize) {
        for node in 0..self.nodes.len() {
            let after = self.round_trip(node) / 2;
            let what = Told::Moved(to);
            self.push(after, Happening::Told { node, relay, what });
        }
        self.relay_drains(relay);
    }

    /// A relay is about to end, and says so.
    pub(crate) fn relay_drains(&mut self, relay: usize) {
        self.relays[relay].is_draining = true;
        for node in 0..self.nodes.len() {
            let after = self.round_trip(node) / 2;
            let what = Told::Draining;
            self.push(after, Happening::Told { node, relay, what });
        }
    }

    /// Takes a node off a relay that asked for it.
    pub(super) fn leave(&mut self, at: usize, url: &RelayUrl) {
        if let Some(relay) = self.relay_at(url) {
            self.nodes[at].registered.remove(&relay);
            self.lose(at, relay);
        }
    }

    /// The relay is there again, and knows nobody. Who was registered has to find that out too.
    pub(crate) fn relay_recovers(&mut self, relay: usize) {
        self.relays[relay].up = true;
        self.relays[relay].is_draining = false;
    }

    /// The first relay dies. Everybody notices, and tries nothing until it [returns](Self::relay_returns).
    pub(crate) fn relay_dies(&mut self) {
        self.relays[0].up = false;
        self.relays[0].forget_lanes();
        for at in 0..self.nodes.len() {
            self.unregister(at);
        }
    }

    /// The first relay is back, and everybody registers again.
    pub(crate) fn relay_returns(&mut self) {
        self.relays[0].up = true;
        for at in 0..self.nodes.len() {
            self.register(at);
        }
    }
}

impl Registration {
    pub(super) fn is_up(&self) -> bool {
        self.is_up
    }
}
