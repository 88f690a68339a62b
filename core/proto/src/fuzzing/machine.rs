//! Sequences of inputs to the endpoint machine, in any order and at any time.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use arbitrary::{Arbitrary, Unstructured};

use super::{
    inputs::{News, Wish},
    names::{Addr, id, key, relay},
};
use crate::{
    Access, NatBehavior, NatReport, PeerId, PortAllocation, RelayUrl,
    addr::LocalAddr,
    endpoint::Settings,
    io::{Input, Output, Pair, Sock},
    local::Ports,
    watched::Watched,
};

pub(super) const UNIX_MS: u64 = 1_790_000_000_000;
/// Steps of one case; more find nothing that these do not.
pub(super) const MAX_STEPS: usize = 200;

#[derive(Arbitrary, Debug)]
pub(super) enum Step {
    RelayUp {
        relay: u8,
        unix_ms: Option<u64>,
    },
    RelayDown {
        relay: u8,
    },
    Observed {
        relay: u8,
        addr: Addr,
    },
    Message {
        relay: u8,
        from: u8,
        attested: Option<Addr>,
        bytes: Vec<u8>,
    },
    Gone {
        relay: u8,
        peer: u8,
    },
    Datagram {
        sock: u32,
        source: Addr,
        bytes: Vec<u8>,
    },
    Interfaces {
        count: u8,
        lost_route: bool,
    },
    PortMapped(Option<Addr>),
    Nat {
        mapping: u8,
        filtering: u8,
        step: i8,
        range: Option<(u16, u16)>,
    },
    Hops(u8),
    Connect {
        peer: u8,
        relays: u8,
        addr: Option<Addr>,
    },
    Connected {
        peer: u8,
    },
    Release {
        peer: u8,
    },
    Silence {
        peer: u8,
        since_ms: u32,
        sent_ms: u32,
        rtt_ms: u32,
    },
    Traffic {
        peer: u8,
        heard: bool,
    },
    SocketsOpened {
        first: u32,
        count: u16,
    },
    Sampled {
        sock: u32,
        addr: Addr,
    },
    Resumed,
    Time(Time),
    Shutdown,
    Tcp {
        peer: u8,
        tcp: TcpNumber,
        what: OnTcp,
    },
    Listening(bool),
    Wish {
        peer: u8,
        what: Wish,
    },
    News(News),
}

#[derive(Arbitrary, Debug)]
pub(super) enum Time {
    Wait(u32),
    WaitForNext,
    FarFuture(u32),
}

#[derive(Arbitrary, Debug)]
pub(super) enum OnTcp {
    Up { dialled: bool },
    Datagram(Vec<u8>),
    Down,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) struct TcpNumber {
    number: u8,
    addr: Addr,
}

impl TcpNumber {
    fn pair(self) -> Pair {
        Pair {
            sock: Sock::tcp(self.number.into()),
            addr: self.addr.get(),
        }
    }
}

/// Any inputs in any order, at any time.
pub fn machine(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let relay_only = data.arbitrary().unwrap_or_default();
    let mut scene = Scene::new(relay_only, Access::Anyone);
    for _ in 0..MAX_STEPS {
        let Ok(step) = data.arbitrary::<Step>() else {
            return;
        };
        scene.step(step);
        if data.is_empty() {
            return;
        }
    }
}

pub(super) struct Scene {
    now: Instant,
    watched: Watched,
}

impl Scene {
    pub(super) fn new(relay_only: bool, access: Access) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let now = Instant::now();
        let settings = Settings {
            key: key(0),
            access,
            relay_only,
            lan: true,
            guess_ports: true,
            tcp: true,
            bound: None,
            ports: Ports {
                v4: 40000,
                v6: 40000,
            },
            seed: [7; 32],
            now,
            unix_ms: UNIX_MS,
        };
        Self {
            now,
            watched: Watched::new(&settings),
        }
    }

    pub(super) fn handle(&mut self, input: Input<'_>) -> Vec<Output> {
        let mut out = self.watched.handle(self.now, input);
        out.extend(self.settle());
        out
    }

    /// What is due now, as the loop around a machine does it.
    fn settle(&mut self) -> Vec<Output> {
        let due = self.watched.poll_timeout().is_some_and(|at| at <= self.now);
        if due {
            self.watched.handle_timeout(self.now)
        } else {
            Vec::new()
        }
    }

    pub(super) fn wait(&mut self, time: Duration) -> Vec<Output> {
        self.now += time;
        self.settle()
    }

    pub(super) fn wait_for_next(&mut self) -> Vec<Output> {
        let next = self.watched.poll_timeout().unwrap_or(self.now);
        self.now = self.now.max(next);
        self.settle()
    }

    pub(super) fn step(&mut self, step: Step) {
        let bytes;
        let input = match step {
            Step::Time(time) => return self.pass(time),
            Step::RelayUp { relay: at, unix_ms } => relay_up(at, unix_ms.unwrap_or(UNIX_MS)),
            Step::RelayDown { relay: at } => Input::RelayDown { relay: relay(at) },
            Step::Observed { relay: at, addr } => Input::Observed {
                relay: relay(at),
                addr: addr.get(),
            },
            Step::Message {
                relay: at,
                from,
                attested,
                bytes: raw,
            } => {
                bytes = raw;
                Input::RelayMessage {
                    relay: relay(at),
                    from: id(from),
                    attested: attested.map(Addr::get),
                    bytes: &bytes,
                }
            }
            Step::Gone { relay: at, peer } => turned_away(relay(at), id(peer), at / 43),
            Step::Datagram {
                sock,
                source,
                bytes: raw,
            } => {
                bytes = raw;
                Input::Datagram {
                    sock: Sock(sock % 4),
                    source: source.get(),
                    bytes: &bytes,
                }
            }
            Step::Interfaces { count, lost_route } => interfaces(count, lost_route),
            Step::PortMapped(addr) => Input::PortMapped(addr.map(Addr::get)),
            Step::Nat {
                mapping,
                filtering,
                step,
                range,
            } => nat(mapping, filtering, step, range),
            Step::SocketsOpened { first, count } => Input::SocketsOpened {
                first: Sock(first % 1024),
                count,
            },
            Step::Sampled { sock, addr } => Input::Sampled {
                sock: Sock(sock % 1024),
                addr: addr.get(),
            },
            Step::Resumed => Input::Resumed,
            Step::Hops(hops) => Input::Hops(hops),
            Step::Connect { peer, relays, addr } => Input::Connect {
                peer: id(peer),
                relays: (0..relays % 6).map(relay).collect(),
                addrs: addr.map(Addr::get).into_iter().collect(),
            },
            Step::Connected { peer } => Input::Connected { peer: id(peer) },
            Step::Release { peer } => Input::Release { peer: id(peer) },
            Step::Silence {
                peer,
                since_ms,
                sent_ms,
                rtt_ms,
            } => self.silence(peer, [since_ms, sent_ms, rtt_ms]),
            Step::Traffic { peer, heard } => Input::Traffic {
                peer: id(peer),
                heard,
            },
            Step::Shutdown => Input::Shutdown,
            Step::Tcp { peer, tcp, what } => {
                return self.on_tcp(id(peer), tcp.pair(), what);
            }
            Step::Listening(listening) => Input::Listening(listening),
            Step::Wish { peer, what } => what.input(id(peer)),
            Step::News(news) => news.input(),
        };
        self.handle(input);
    }

    fn pass(&mut self, time: Time) {
        match time {
            Time::Wait(ms) => self.wait(ago(ms % 10_000)),
            Time::WaitForNext => self.wait_for_next(),
            Time::FarFuture(s) => self.wait(Duration::from_secs(s.into())),
        };
    }

    fn on_tcp(&mut self, peer: PeerId, tcp: Pair, what: OnTcp) {
        let bytes;
        self.handle(match what {
            OnTcp::Up { dialled } => Input::TcpUp { peer, tcp, dialled },
            OnTcp::Down => Input::TcpDown { peer, tcp },
            OnTcp::Datagram(raw) => {
                bytes = raw;
                Input::Datagram {
                    sock: tcp.sock,
                    source: tcp.addr,
                    bytes: &bytes,
                }
            }
        });
    }

    fn silence(&self, peer: u8, [since, sent, rtt]: [u32; 3]) -> Input<'static> {
        let before = |time: u32| self.now.checked_sub(ago(time)).unwrap_or(self.now);
        Input::Silence {
            peer: id(peer),
            since: before(since),
            sent: before(sent),
            rtt: ago(rtt),
        }
    }
}

fn ago(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

fn turned_away(relay: RelayUrl, peer: PeerId, why: u8) -> Input<'static> {
    match why {
        0 => Input::RelayGone { relay, peer },
        1 => Input::RelayBusy { relay, peer },
        2 => Input::RelayUnreached { relay, peer },
        3 | 4 => Input::RelaySilent {
            relay,
            silent: why == 3,
        },
        _ => Input::RelayDraining { relay },
    }
}

pub(super) fn relay_up(at: u8, unix_ms: u64) -> Input<'static> {
    Input::RelayUp {
        relay: relay(at),
        addr: SocketAddr::from(([5, 9, 0, 1], 4433)),
        observed: SocketAddr::from(([80, 1, 0, 1], 40000)),
        unix_ms,
        own_ms: UNIX_MS,
    }
}

pub(super) fn interfaces(count: u8, lost_route: bool) -> Input<'static> {
    let addrs = (0..count % 4).map(|at| LocalAddr {
        ip: [192, 168, at, 7].into(),
        prefix_len: 24,
    });
    Input::Interfaces {
        addrs: addrs.collect(),
        lost_route,
    }
}

fn nat(mapping: u8, filtering: u8, step: i8, range: Option<(u16, u16)>) -> Input<'static> {
    Input::Nat(NatReport {
        mapping: behavior(mapping),
        filtering: behavior(filtering),
        allocation: match range {
            Some((a, b)) => PortAllocation::Random {
                first: a.min(b),
                last: a.max(b),
            },
            None if step != 0 => PortAllocation::Sequential { step },
            None => PortAllocation::Unknown,
        },
    })
}

fn behavior(at: u8) -> NatBehavior {
    [
        NatBehavior::EndpointIndependent,
        NatBehavior::AddressDependent,
        NatBehavior::AddressAndPortDependent,
        NatBehavior::Unknown,
    ][at as usize % 4]
}
