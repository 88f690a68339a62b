//! What is asked of one relay.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use rand::RngCore;

use super::{FIRST_SOCKET, StunRequest, StunResponse, question::Question};
use crate::{io::Pair, snapshot::NatBehavior};

/// The pace of repetitions as long as the round trip is not known, and at the slowest.
const SLOW: Duration = Duration::from_millis(200);
/// On top of two round trips.
const MARGIN: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Relay {
    addr: SocketAddr,
    /// From its OTHER-ADDRESS, of which only the port counts: a relay must not aim us at another host.
    other_port: Option<u16>,
    pace: Duration,
    /// Where are we?
    plain: Question,
    /// The same, to be answered from the other port.
    filter: Question,
    /// Where is a fresh socket, at either port? Asked once we are known to be behind a NAT; IPv4 only.
    fresh: Option<[Question; 2]>,
}

impl Relay {
    pub(super) fn new(now: Instant, addr: SocketAddr, rng: &mut impl RngCore) -> Self {
        Self {
            addr,
            other_port: None,
            pace: SLOW,
            plain: Question::new(now, Pair::main(addr), false, rng),
            filter: Question::new(now, Pair::main(addr), true, rng),
            fresh: None,
        }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its other port, at the address that we know.
    pub(super) fn other(&self) -> Option<SocketAddr> {
        let port = self.other_port?;
        Some(SocketAddr::new(self.addr.ip(), port))
    }

    /// The time between repetitions.
    pub(super) fn pace(&self) -> Duration {
        self.pace
    }

    /// Where it sees our own socket.
    pub(super) fn mapped(&self) -> Option<SocketAddr> {
        self.plain.answer()
    }

    /// Whether both of its ports see the fresh socket at one address.
    pub(super) fn same_on_both(&self) -> Option<bool> {
        let [here, there] = self.fresh.as_ref()?;
        Some(here.answer()? == there.answer()?)
    }

    /// Whether it may yet tell something about the mapping.
    pub(super) fn is_mapping(&self) -> bool {
        let mut fresh = self.fresh.iter().flatten();
        self.plain.is_running() || fresh.any(Question::is_running)
    }

    /// Whether what its other port sends gets in; none if it has no other.
    pub(super) fn filtering(&self) -> Option<NatBehavior> {
        self.other_port?;
        Some(match self.filter.answer() {
            Some(_) => NatBehavior::EndpointIndependent,
            None if self.filter.is_running() => NatBehavior::Unknown,
            None => NatBehavior::AddressAndPortDependent,
        })
    }

    pub(super) fn handle_response(&mut self, now: Instant, response: &StunResponse) -> bool {
        let asked = self.plain.asked_once();
        if self.plain.handle_response(response) {
            if let Some(asked) = asked {
                let rtt = now.saturating_duration_since(asked);
                self.pace = SLOW.min(rtt * 2 + MARGIN);
            }
            let port = response.other_address.map(|other| other.port());
            let other = port.filter(|port| *port != 0 && *port != self.addr.port());
            self.other_port = self.other_port.or(other);
            return true;
        }
        let fresh = self.fresh.iter_mut().flatten();
        fresh
            .chain([&mut self.filter])
            .any(|question| question.handle_response(response))
    }

    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        local: &[IpAddr],
        rng: &mut impl RngCore,
        outbox: &mut VecDeque<StunRequest>,
    ) {
        let behind_nat = self
            .mapped()
            .is_some_and(|mapped| !local.contains(&mapped.ip()));
        if behind_nat
            && self.fresh.is_none()
            && self.addr.is_ipv4()
            && let Some(other) = self.other()
        {
            let from = |addr| Pair {
                sock: FIRST_SOCKET,
                addr,
            };
            self.fresh =
                Some([self.addr, other].map(|addr| Question::new(now, from(addr), false, rng)));
        }
        let fresh = self.fresh.iter_mut().flatten();
        for question in [&mut self.plain, &mut self.filter].into_iter().chain(fresh) {
            question.run(now, self.pace, outbox);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let fresh = self.fresh.iter().flatten();
        [&self.plain, &self.filter]
            .into_iter()
            .chain(fresh)
            .filter_map(|question| question.deadline(self.pace))
            .min()
    }
}
