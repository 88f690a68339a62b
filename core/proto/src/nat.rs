//! Classification of the NAT in front of us (RFC 4787) by asking relays what they see (after RFC 5780).
//!
//! A relay is asked over the endpoint's own socket what our address is, and whether an answer from its other port gets
//! through to us (filtering). Behind a NAT a fresh socket then asks both ports of the relay what its address is there
//! (mapping): the endpoint's own must not, because asking opens the way that the filtering test needs closed. Where the
//! mapping depends on the destination, four more sockets ask at two destinations each, all at once, for eight ports that
//! tell how the NAT chooses them (allocation).
//!
//! One [`Classifier`] is one measurement of one address family: three round trips where nothing is lost and nothing is
//! filtered, and two seconds at most.

pub mod observers;
mod ports;
mod question;
mod relay;
pub mod samples;
pub mod schedule;

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use rand_chacha::ChaCha20Rng;

use self::{ports::allocation, question::Question, relay::Relay};
use crate::{
    io::{Pair, Sock},
    snapshot::{NatBehavior, NatEvidence, NatReport, PortAllocation},
};

/// The first of the sockets that measurements send from; the numbers of holes are below, those of streams above.
pub const FIRST_SOCKET: Sock = Sock(0x4000_0000);
/// How many there are.
pub const SOCKETS: u16 = 1 + SAMPLED_SOCKETS;

/// Sockets that ask at two destinations each when the allocation is sampled.
const SAMPLED_SOCKETS: u16 = 4;
/// More relays would tell nothing more.
const MAX_RELAYS: usize = 4;

/// A STUN Binding request to be sent, from a socket that is to be opened for it unless it is the endpoint's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StunRequest {
    pub to: Pair,
    pub tx: [u8; 12],
    pub change_port: bool,
}

/// A STUN Binding success response as it came in: at which socket, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StunResponse {
    pub from: Pair,
    pub tx: [u8; 12],
    pub mapped: SocketAddr,
    pub other_address: Option<SocketAddr>,
}

/// One measurement, from the first request to the report.
#[derive(Debug)]
pub struct Classifier {
    relays: Vec<Relay>,
    local: Vec<IpAddr>,
    /// In the order in which they were sent.
    samples: Vec<Question>,
    outbox: VecDeque<StunRequest>,
    rng: ChaCha20Rng,
}

impl Classifier {
    /// A measurement through relays yet to be [added](Self::add_relay), with `local` the addresses of our interfaces.
    pub fn new(local: Vec<IpAddr>, rng: ChaCha20Rng) -> Self {
        Self {
            relays: Vec::new(),
            local,
            samples: Vec::new(),
            outbox: VecDeque::new(),
            rng,
        }
    }

    /// Measures through this STUN address of a relay too. One at the same IP address as another is left out, and so are
    /// those with IPv6, which has hardly any NATs, once there is one with IPv4.
    pub fn add_relay(&mut self, now: Instant, addr: SocketAddr) {
        if addr.is_ipv4() {
            self.relays.retain(|known| known.addr().is_ipv4());
        }
        let fits = self.relays.first().is_none_or(|first| {
            first.addr().is_ipv4() == addr.is_ipv4()
                && self.relays.len() < MAX_RELAYS
                && self
                    .relays
                    .iter()
                    .all(|known| known.addr().ip() != addr.ip())
        });
        if fits {
            self.relays.push(Relay::new(now, addr, &mut self.rng));
            self.handle_timeout(now);
        }
    }

    /// Takes a response; false if it belongs to no request of this measurement.
    pub fn handle_response(&mut self, now: Instant, response: &StunResponse) -> bool {
        let ours = self
            .relays
            .iter_mut()
            .any(|relay| relay.handle_response(now, response))
            || self
                .samples
                .iter_mut()
                .any(|sample| sample.handle_response(response));
        self.handle_timeout(now);
        ours
    }

    /// Asks, repeats and gives up what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        for relay in &mut self.relays {
            relay.handle_timeout(now, &self.local, &mut self.rng, &mut self.outbox);
        }
        if self.samples.is_empty() {
            self.begin_sampling(now);
        }
        let pace = self.pace();
        for sample in &mut self.samples {
            sample.run(now, pace, &mut self.outbox);
        }
    }

    /// When [`Self::handle_timeout`] has work; never again once the measurement is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let pace = self.pace();
        let samples = self.samples.iter().filter_map(|s| s.deadline(pace));
        self.relays
            .iter()
            .filter_map(Relay::poll_timeout)
            .chain(samples)
            .min()
    }

    /// The next request to send.
    pub fn poll_transmit(&mut self) -> Option<StunRequest> {
        self.outbox.pop_front()
    }

    /// Whether nothing more can be learnt.
    pub fn is_over(&self) -> bool {
        self.poll_timeout().is_none()
    }

    /// What is known so far and, until the measurement [is over](Self::is_over), the rest as it was `before`.
    ///
    /// Relays with one IP address each cannot tell everything. Mapping: one relay tells address-and-port-dependent from
    /// the rest, and the rest is reported as endpoint-independent; a second relay tells that from address-dependent.
    /// Filtering: a NAT that lets answers from a relay's other port in is reported as endpoint-independent, though it may
    /// look at the address. Allocation: see [`allocation`].
    pub fn report(&self, before: NatReport) -> NatReport {
        let before = if self.is_over() {
            NatReport::default()
        } else {
            before
        };
        NatReport {
            mapping: known_or(self.mapping(), before.mapping),
            filtering: known_or(self.filtering(), before.filtering),
            allocation: known_or(self.allocation(), before.allocation),
        }
    }

    /// What the report is concluded from.
    pub fn evidence(&self) -> NatEvidence {
        let count = |is_so: fn(&Relay) -> bool| {
            self.relays.iter().filter(|relay| is_so(relay)).count() as u32
        };
        let samples = self.samples.iter().filter_map(Question::answer);
        NatEvidence {
            asked: self.relays.len() as u32,
            answered: count(|relay| relay.mapped().is_some()),
            two_ports: count(|relay| relay.other().is_some()),
            ports: samples.map(|addr| addr.port()).collect(),
        }
    }

    /// Our address as the first relay that answered sees it.
    fn mapped(&self) -> Option<SocketAddr> {
        self.relays.iter().find_map(Relay::mapped)
    }

    fn mapping(&self) -> NatBehavior {
        let Some(mapped) = self.mapped() else {
            return NatBehavior::Unknown;
        };
        if self.local.contains(&mapped.ip()) {
            return NatBehavior::EndpointIndependent;
        }
        let by_port: Vec<bool> = self.relays.iter().filter_map(Relay::same_on_both).collect();
        if by_port.contains(&false) {
            return NatBehavior::AddressAndPortDependent;
        }
        let mut others = self.relays.iter().filter_map(Relay::mapped).skip(1);
        let several = others.clone().next().is_some();
        let same = others.all(|other| other == mapped);
        match (same, several) {
            (true, true) => NatBehavior::EndpointIndependent,
            _ if self.relays.iter().any(Relay::is_mapping) => NatBehavior::Unknown,
            (true, false) if by_port.is_empty() => NatBehavior::Unknown,
            (true, false) => NatBehavior::EndpointIndependent,
            // It may depend on the port as well, and the worse is the safe assumption.
            (false, _) if by_port.is_empty() => NatBehavior::AddressAndPortDependent,
            (false, _) => NatBehavior::AddressDependent,
        }
    }

    fn filtering(&self) -> NatBehavior {
        let seen: Vec<NatBehavior> = self.relays.iter().filter_map(Relay::filtering).collect();
        if seen.contains(&NatBehavior::EndpointIndependent) {
            NatBehavior::EndpointIndependent
        } else if seen.is_empty() || seen.contains(&NatBehavior::Unknown) {
            NatBehavior::Unknown
        } else {
            NatBehavior::AddressAndPortDependent
        }
    }

    fn allocation(&self) -> PortAllocation {
        if self.samples.iter().any(Question::is_running) {
            return PortAllocation::Unknown;
        }
        let port = |sample: &Question| Some(sample.answer()?.port());
        let ports: Vec<Option<u16>> = self.samples.iter().map(port).collect();
        allocation(&ports)
    }

    /// Once two destinations are known to see different ports: has fresh sockets ask both.
    fn begin_sampling(&mut self, now: Instant) {
        let (NatBehavior::AddressDependent | NatBehavior::AddressAndPortDependent, Some(dests)) =
            (self.mapping(), self.told_apart())
        else {
            return;
        };
        for socket in 1..=SAMPLED_SOCKETS {
            let sock = Sock(FIRST_SOCKET.0 + u32::from(socket));
            for addr in dests {
                let to = Pair { sock, addr };
                self.samples
                    .push(Question::new(now, to, false, &mut self.rng));
            }
        }
    }

    /// Two destinations for which the NAT has different ports.
    fn told_apart(&self) -> Option<[SocketAddr; 2]> {
        let by_port = |relay: &Relay| Some([relay.addr(), relay.other()?]);
        let mut differ = self
            .relays
            .iter()
            .filter(|relay| relay.same_on_both() == Some(false));
        if let Some(dests) = differ.find_map(by_port) {
            return Some(dests);
        }
        let mut seen = self
            .relays
            .iter()
            .filter_map(|relay| Some((relay.addr(), relay.mapped()?)));
        let (first, mapped) = seen.next().filter(|(addr, _)| addr.is_ipv4())?;
        let (second, _) = seen.find(|(_, other)| *other != mapped)?;
        Some([first, second])
    }

    /// The slowest relay's.
    fn pace(&self) -> Duration {
        let paces = self.relays.iter().map(Relay::pace);
        paces.max().unwrap_or_default()
    }
}

/// Both have a default that says that nothing is known.
fn known_or<T: Default + PartialEq>(found: T, before: T) -> T {
    if found == T::default() { before } else { found }
}

#[cfg(test)]
mod tests;
