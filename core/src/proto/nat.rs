//! Classification of the NAT in front of us (RFC 4787) by asking relays what they see (after RFC 5780).
//!
//! Every relay is asked three things over the endpoint's own socket: what our address is at its STUN port, whether an answer from
//! its other port gets through to us (filtering), and only after that, because asking opens the way, what our address is at that
//! other port (mapping). One [`Classifier`] is one measurement of one address family; it is over within about two seconds.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use rand::RngCore;

use crate::snapshot::{NatBehavior, NatReport, PortAllocation};

/// When a request is sent and repeated, after the start of its test.
const TRIES: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(200),
    Duration::from_millis(600),
];

/// When a test counts as unanswered, after its start.
const GIVE_UP: Duration = Duration::from_secs(1);

/// More relays would tell nothing more.
const MAX_RELAYS: usize = 4;

/// A STUN Binding request to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StunRequest {
    pub(crate) to: SocketAddr,
    pub(crate) tx: [u8; 12],
    pub(crate) change_port: bool,
}

/// A STUN Binding success response as it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StunResponse {
    pub(crate) from: SocketAddr,
    pub(crate) tx: [u8; 12],
    pub(crate) mapped: SocketAddr,
    pub(crate) other_address: Option<SocketAddr>,
}

/// One measurement, from the first request to the report.
#[derive(Debug)]
pub(crate) struct Classifier {
    relays: Vec<Relay>,
    local: Vec<IpAddr>,
    outbox: VecDeque<StunRequest>,
}

impl Classifier {
    /// Starts measuring through the given STUN addresses of relays, with `local` the addresses of our interfaces.
    ///
    /// Relays of another family than the first one's, and second ones at the same IP address, are left out. The filtering test is
    /// only right if nothing was sent to a relay's other port from this socket within the NAT's memory, which is why measurements
    /// through the same NAT should be minutes apart.
    pub(crate) fn new(
        now: Instant,
        relays: &[SocketAddr],
        local: &[IpAddr],
        rng: &mut impl RngCore,
    ) -> Self {
        let mut chosen: Vec<Relay> = Vec::new();
        for addr in relays {
            let fits = chosen.first().is_none_or(|first| {
                first.addr.is_ipv4() == addr.is_ipv4()
                    && chosen.len() < MAX_RELAYS
                    && chosen.iter().all(|known| known.addr.ip() != addr.ip())
            });
            if fits {
                chosen.push(Relay::new(now, *addr, rng));
            }
        }
        let mut classifier = Self {
            relays: chosen,
            local: local.to_vec(),
            outbox: VecDeque::new(),
        };
        classifier.handle_timeout(now);
        classifier
    }

    /// Takes a response; false if it belongs to no request of this measurement.
    pub(crate) fn handle_response(&mut self, now: Instant, response: StunResponse) -> bool {
        let ours = self
            .relays
            .iter_mut()
            .any(|relay| relay.handle_response(&response));
        self.handle_timeout(now);
        ours
    }

    /// Repeats and gives up what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for relay in &mut self.relays {
            relay.handle_timeout(now, &self.local, &mut self.outbox);
        }
    }

    /// When [`Self::handle_timeout`] has work; never again once the report is there.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.relays
            .iter()
            .flat_map(Relay::tests)
            .filter_map(Test::deadline)
            .min()
    }

    /// The next request to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<StunRequest> {
        self.outbox.pop_front()
    }

    /// Our address as the first relay that answered sees it.
    pub(crate) fn mapped(&self) -> Option<SocketAddr> {
        self.relays.iter().find_map(|relay| relay.plain.answer())
    }

    /// The result, once every test is over.
    ///
    /// Relays with one IP address each cannot tell everything. Mapping: one relay tells address-and-port-dependent from the rest,
    /// and the rest is reported as endpoint-independent; a second relay tells that from address-dependent. Filtering: a NAT that
    /// lets answers from a relay's other port in is reported as endpoint-independent, though it may look at the address.
    pub(crate) fn report(&self) -> Option<NatReport> {
        self.poll_timeout().is_none().then(|| NatReport {
            mapping: self.mapping(),
            filtering: self.filtering(),
            allocation: PortAllocation::Unknown,
        })
    }

    fn mapping(&self) -> NatBehavior {
        let answered = || self.relays.iter().filter_map(|relay| relay.plain.answer());
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
        match (answered().all(|other| other == mapped), by_port.is_empty()) {
            (true, true) if answered().count() < 2 => NatBehavior::Unknown,
            (true, _) => NatBehavior::EndpointIndependent,
            (false, false) => NatBehavior::AddressDependent,
            // It may depend on the port as well, and the worse is the safe assumption.
            (false, true) => NatBehavior::AddressAndPortDependent,
        }
    }

    fn filtering(&self) -> NatBehavior {
        let mut tested = self
            .relays
            .iter()
            .filter(|relay| relay.other_port.is_some())
            .peekable();
        if tested.peek().is_none() {
            NatBehavior::Unknown
        } else if tested.any(|relay| relay.filter.answer().is_some()) {
            NatBehavior::EndpointIndependent
        } else {
            NatBehavior::AddressAndPortDependent
        }
    }
}

/// The three tests through one relay.
#[derive(Debug)]
struct Relay {
    addr: SocketAddr,
    /// From its OTHER-ADDRESS, of which only the port counts: a relay must not aim us at another host.
    other_port: Option<u16>,
    plain: Test,
    filter: Test,
    other: Test,
}

impl Relay {
    fn new(now: Instant, addr: SocketAddr, rng: &mut impl RngCore) -> Self {
        Self {
            addr,
            other_port: None,
            plain: Test::new(
                Progress::Running {
                    since: now,
                    tries: 0,
                },
                rng,
            ),
            filter: Test::new(
                Progress::Running {
                    since: now,
                    tries: 0,
                },
                rng,
            ),
            other: Test::new(Progress::NotStarted, rng),
        }
    }

    fn tests(&self) -> [&Test; 3] {
        [&self.plain, &self.filter, &self.other]
    }

    fn other(&self) -> Option<SocketAddr> {
        self.other_port
            .map(|port| SocketAddr::new(self.addr.ip(), port))
    }

    /// Whether both ports of the relay see us at one address.
    fn same_on_both(&self) -> Option<bool> {
        Some(self.plain.answer()? == self.other.answer()?)
    }

    fn handle_response(&mut self, response: &StunResponse) -> bool {
        let (from, tx) = (response.from, response.tx);
        if tx == self.plain.tx && from == self.addr {
            self.plain.settle(response.mapped);
            self.other_port = response
                .other_address
                .map(|other| other.port())
                .filter(|port| *port != 0 && *port != self.addr.port());
        } else if tx == self.filter.tx
            && from.ip() == self.addr.ip()
            && from.port() != self.addr.port()
        {
            self.filter.settle(response.mapped);
        } else if tx == self.other.tx && Some(from) == self.other() {
            self.other.settle(response.mapped);
        } else {
            return false;
        }
        true
    }

    fn handle_timeout(
        &mut self,
        now: Instant,
        local: &[IpAddr],
        outbox: &mut VecDeque<StunRequest>,
    ) {
        let other = self.other();
        let behind_nat = self
            .plain
            .answer()
            .is_some_and(|mapped| !local.contains(&mapped.ip()));
        self.plain.run(now, self.addr, false, outbox);
        self.filter.run(now, self.addr, true, outbox);
        let Some(other) = other else { return };
        if behind_nat && self.filter.is_settled() && self.other.progress == Progress::NotStarted {
            self.other.progress = Progress::Running {
                since: now,
                tries: 0,
            };
        }
        self.other.run(now, other, false, outbox);
    }
}

/// One question, its repetitions and its answer.
#[derive(Debug)]
struct Test {
    tx: [u8; 12],
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    NotStarted,
    Running { since: Instant, tries: usize },
    Answered(SocketAddr),
    Silent,
}

impl Test {
    fn new(progress: Progress, rng: &mut impl RngCore) -> Self {
        let mut tx = [0; 12];
        rng.fill_bytes(&mut tx);
        Self { tx, progress }
    }

    fn settle(&mut self, mapped: SocketAddr) {
        if matches!(self.progress, Progress::Running { .. }) {
            self.progress = Progress::Answered(mapped);
        }
    }

    fn is_settled(&self) -> bool {
        matches!(self.progress, Progress::Answered(_) | Progress::Silent)
    }

    fn answer(&self) -> Option<SocketAddr> {
        match self.progress {
            Progress::Answered(mapped) => Some(mapped),
            Progress::NotStarted | Progress::Running { .. } | Progress::Silent => None,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.progress {
            Progress::Running { since, tries } => {
                Some(since + TRIES.get(tries).copied().unwrap_or(GIVE_UP))
            }
            Progress::NotStarted | Progress::Answered(_) | Progress::Silent => None,
        }
    }

    fn run(
        &mut self,
        now: Instant,
        to: SocketAddr,
        change_port: bool,
        outbox: &mut VecDeque<StunRequest>,
    ) {
        let Progress::Running { since, tries } = self.progress else {
            return;
        };
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= GIVE_UP {
            self.progress = Progress::Silent;
            return;
        }
        let due = TRIES.iter().take_while(|at| **at <= elapsed).count();
        if due > tries {
            outbox.push_back(StunRequest {
                to,
                tx: self.tx,
                change_port,
            });
            self.progress = Progress::Running { since, tries: due };
        }
    }
}

#[cfg(test)]
mod tests;
