//! How a host learns about its NAT: told the truth, or by measuring as it is done outside of tests.

use std::net::SocketAddr;

use rand::{Rng, SeedableRng};

use super::{Happening, Header, Load, World, nat::Ports};
use crate::{
    NatBehavior, NatReport, PortAllocation, RelayUrl,
    io::{Input, Pair, Sock},
    nat::{self, Classifier, StunResponse},
};

/// A relay's two ports for STUN.
const STUN: [u16; 2] = [3478, 3479];

/// A classification under way.
pub(super) struct Measurement {
    classifier: Classifier,
    known: NatReport,
}

impl World {
    /// What a perfect measurement of a node's NATs would find.
    pub(crate) fn truth(&self, at: usize) -> NatReport {
        let chain = self.net.chain(at);
        let styles = || chain.iter().map(|nat| &self.net.nats[*nat].style);
        let worst = |mine: NatBehavior, theirs: NatBehavior| mine.max(theirs);
        let public = self.net.address(at, true).is_some() && chain.is_empty();
        let mut report = NatReport {
            mapping: NatBehavior::EndpointIndependent,
            filtering: if public {
                NatBehavior::EndpointIndependent
            } else {
                NatBehavior::AddressAndPortDependent
            },
            ..NatReport::default()
        };
        for (layer, style) in styles().enumerate() {
            report.filtering = match layer {
                0 => style.filtering,
                _ => worst(report.filtering, style.filtering),
            };
            if style.is_stable() {
                continue;
            }
            report.mapping = worst(report.mapping, style.mapping);
            report.allocation = match style.ports {
                Ports::Preserved => PortAllocation::Unknown,
                Ports::Sequential { step } => PortAllocation::Sequential { step },
                Ports::Random { first, last } => PortAllocation::Random { first, last },
            };
        }
        report
    }

    /// Has a node measure its NATs by the relays that it is registered with.
    pub(crate) fn measure(&mut self, at: usize) {
        let local: Vec<_> = self
            .net
            .interfaces(at)
            .iter()
            .map(|local| local.ip)
            .collect();
        let registered: Vec<usize> = self.nodes[at].registered.keys().copied().collect();
        let stun: Vec<SocketAddr> = registered
            .iter()
            .map(|relay| SocketAddr::new(self.relay_addr(at, *relay).ip(), STUN[0]))
            .collect();
        let rng = rand_chacha::ChaCha20Rng::from_rng(&mut self.rng);
        let mut classifier = Classifier::new(local, rng);
        for addr in stun {
            classifier.add_relay(self.now, addr);
        }
        self.nodes[at].measurement = Some(Measurement {
            classifier,
            known: NatReport::default(),
        });
        self.drive(at);
    }

    pub(super) fn drive(&mut self, at: usize) {
        let now = self.now;
        let Some(measurement) = &mut self.nodes[at].measurement else {
            return;
        };
        let classifier = &mut measurement.classifier;
        classifier.handle_timeout(now);
        let requests: Vec<_> = std::iter::from_fn(|| classifier.poll_transmit()).collect();
        let (report, next) = (
            classifier.report(measurement.known),
            classifier.poll_timeout(),
        );
        let news = std::mem::replace(&mut measurement.known, report) != report;
        for request in requests {
            let ask = Load::Ask {
                tx: request.tx,
                change_port: request.change_port,
            };
            if request.to.sock != Sock::MAIN {
                self.nodes[at].open(request.to.sock, 1);
            }
            self.send(at, request.to.sock, request.to.addr, 64, ask);
        }
        if let Some(next) = next {
            let wait = next.saturating_duration_since(now);
            self.push(wait, Happening::Measure { node: at });
        } else {
            self.nodes[at].measurement = None;
            self.nodes[at].close(nat::FIRST_SOCKET, nat::SOCKETS);
        }
        if news || next.is_none() {
            self.feed(at, Input::Nat(report));
        }
    }

    /// Asks a relay where it sees one of a node's sockets.
    pub(super) fn sample(&mut self, at: usize, sock: Sock, url: &RelayUrl) {
        let Some(relay) = self.relays.iter().position(|relay| relay.url == *url) else {
            return;
        };
        let to = SocketAddr::new(self.relay_addr(at, relay).ip(), STUN[0]);
        let tx = self.rng.random();
        self.nodes[at].samples.insert(tx, sock);
        let change_port = false;
        self.send(at, sock, to, 64, Load::Ask { tx, change_port });
    }

    /// A question is at a relay's STUN port: answered from there, or from the other one.
    pub(super) fn answer(&mut self, relay: usize, asked: &Header, load: Load) {
        let Load::Ask { tx, change_port } = load else {
            return;
        };
        let Some(position) = STUN.iter().position(|port| *port == asked.to.port()) else {
            return;
        };
        if !self.relays[relay].up {
            return;
        }
        let by = |position: usize| SocketAddr::new(asked.to.ip(), STUN[position]);
        let from = by(if change_port { 1 - position } else { position });
        let answer = Load::Answer {
            tx,
            mapped: asked.from,
            other: by(1 - position),
        };
        let header = Header {
            from,
            to: asked.from,
            ttl: 64,
        };
        self.beyond(None, super::net::Place::Core, header, answer);
    }

    pub(super) fn on_answer(&mut self, at: usize, from: Pair, load: Load) {
        let Load::Answer { tx, mapped, other } = load else {
            return;
        };
        let now = self.now;
        if let Some(sock) = self.nodes[at].samples.remove(&tx) {
            return self.feed(at, Input::Sampled { sock, addr: mapped });
        }
        if let Some(measurement) = &mut self.nodes[at].measurement {
            let response = StunResponse {
                from,
                tx,
                mapped,
                other_address: Some(other),
            };
            measurement.classifier.handle_response(now, &response);
            self.drive(at);
        }
    }
}
