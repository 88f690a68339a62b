//! When the NAT is measured, and through which relays.

use std::{
    collections::{BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use super::{Classifier, StunRequest, StunResponse};
use crate::{
    snapshot::{NatEvidence, NatReport},
    timing::{NAT_CHECK_EVERY, NAT_CHECK_FRESH, NAT_CHECK_SOON},
};

/// See the [module](self).
#[derive(Debug)]
pub struct Schedule {
    classifier: Option<Classifier>,
    next: Option<Instant>,
    /// When the latest measurement began, and through which relays it goes.
    began: Option<Instant>,
    asked: Vec<SocketAddr>,
    /// Who answered.
    answered: BTreeSet<IpAddr>,
    report: NatReport,
    evidence: NatEvidence,
    events: VecDeque<Event>,
    rng: ChaCha20Rng,
}

/// What a measurement begins with.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The addresses of our interfaces.
    pub local: Vec<IpAddr>,
    /// The relays that may be asked.
    pub relays: Vec<SocketAddr>,
}

/// Something came of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The sockets of measurements are to be closed.
    CloseSockets,
    /// A measurement is complete.
    Complete,
    /// What was known may be false.
    Forgotten,
    /// This is known of the NAT.
    Report(NatReport),
}

impl Schedule {
    /// Nothing is measured before there is a relay or the network changes. The seed has to be unknown to others.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            classifier: None,
            next: None,
            began: None,
            asked: Vec::new(),
            answered: BTreeSet::new(),
            report: NatReport::default(),
            evidence: NatEvidence::default(),
            events: VecDeque::new(),
            rng: ChaCha20Rng::from_seed(seed),
        }
    }

    /// What the latest complete report was concluded from.
    pub fn evidence(&self) -> &NatEvidence {
        &self.evidence
    }

    /// The network may be another one. Such changes come in bursts, and it is measured after them.
    pub fn on_network_changed(&mut self, now: Instant) {
        self.next = Some(now + NAT_CHECK_SOON);
    }

    /// A relay can be asked: the measurement that is under way goes through it too, or a new one begins. One that was asked
    /// a moment ago would tell the same.
    pub fn on_relay(&mut self, now: Instant, relay: SocketAddr) {
        let is_fresh = |began| now.saturating_duration_since(began) < NAT_CHECK_FRESH;
        if self.began.is_some_and(is_fresh) && self.asked.contains(&relay) {
            return;
        }
        match &mut self.classifier {
            Some(classifier) => {
                classifier.add_relay(now, relay);
                self.asked.push(relay);
            }
            None => self.next = Some(now),
        }
    }

    /// Whoever answers at this address is not known to be the relay that it was taken for. If it was among those that
    /// answered, all that was learnt is forgotten, and measured anew through the others, if there are any.
    pub fn on_distrust(&mut self, now: Instant, relay: SocketAddr) {
        if !self.answered.contains(&relay.ip()) {
            return;
        }
        self.classifier = None;
        self.report = NatReport::default();
        self.evidence = NatEvidence::default();
        self.events.extend([
            Event::CloseSockets,
            Event::Forgotten,
            Event::Report(self.report),
        ]);
        self.next = Some(now);
    }

    /// Takes a response, if it belongs to a request of the measurement.
    pub fn on_stun(&mut self, now: Instant, response: &StunResponse) {
        if let Some(classifier) = &mut self.classifier
            && classifier.handle_response(now, response)
        {
            self.answered.insert(response.from.addr.ip());
            self.conclude();
        }
    }

    /// When [`Self::handle_timeout`] has work.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let measuring = self.classifier.as_ref().and_then(Classifier::poll_timeout);
        [measuring, self.next].into_iter().flatten().min()
    }

    /// Begins and continues measurements; asks for the surroundings when one begins.
    pub fn handle_timeout(&mut self, now: Instant, surroundings: impl FnOnce() -> Surroundings) {
        if self.next.is_some_and(|at| at <= now) {
            self.begin(now, surroundings());
        }
        if let Some(classifier) = &mut self.classifier
            && classifier.poll_timeout().is_some_and(|at| at <= now)
        {
            classifier.handle_timeout(now);
            self.conclude();
        }
    }

    /// The next request to send, after what [`Self::poll_event`] says.
    pub fn poll_transmit(&mut self) -> Option<StunRequest> {
        self.classifier.as_mut()?.poll_transmit()
    }

    /// What came of it next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn begin(&mut self, now: Instant, surroundings: Surroundings) {
        let Surroundings { local, relays } = surroundings;
        self.next = Some(now + NAT_CHECK_EVERY);
        self.events.push_back(Event::CloseSockets);
        let mut classifier = Classifier::new(local, ChaCha20Rng::from_rng(&mut self.rng));
        for relay in &relays {
            classifier.add_relay(now, *relay);
        }
        self.classifier = (!relays.is_empty()).then_some(classifier);
        self.asked = relays;
        self.answered.clear();
        self.began = Some(now);
    }

    /// Takes over what the measurement has found so far.
    fn conclude(&mut self) {
        let Some(classifier) = &self.classifier else {
            return;
        };
        let report = classifier.report(self.report);
        let is_over = classifier.is_over();
        if is_over {
            self.evidence = classifier.evidence();
            self.classifier = None;
            self.events.extend([Event::CloseSockets, Event::Complete]);
        }
        if std::mem::replace(&mut self.report, report) != report || is_over {
            self.events.push_back(Event::Report(report));
        }
    }
}

#[cfg(test)]
mod tests;
