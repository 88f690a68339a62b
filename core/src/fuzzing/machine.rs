//! Sequences of inputs to the endpoint machine, by strangers and by a peer that holds a key and means harm.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use arbitrary::{Arbitrary, Unstructured};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use crate::{
    Access, NatBehavior, NatReport, PeerId, PortAllocation, RelayUrl, SecretKey,
    addr::LocalAddr,
    proto::{
        endpoint::Settings,
        handshake::{Initiation, Opened},
        io::{Input, Output, Pair, Sock},
        local::Ports,
        session::Session,
        watched::Watched,
    },
    wire::{
        candidate::{Candidate, CandidateKind, MAX_CANDIDATES},
        intro::{AckPacket, Description, IntroBody, IntroPacket},
        probe::{Probe, ProbeKind},
    },
};

const UNIX_MS: u64 = 1_790_000_000_000;
/// Steps of one case; more find nothing that these do not.
const MAX_STEPS: usize = 200;
/// Addresses worth naming: public, local, forbidden, and other services' ports.
const ADDRS: [&str; 16] = [
    "81.2.0.1:40000",
    "81.2.0.1:40001",
    "81.2.0.2:40000",
    "80.1.0.1:40000",
    "192.168.1.5:40000",
    "192.168.1.6:40000",
    "10.9.9.9:40000",
    "127.0.0.1:40000",
    "224.0.0.1:40000",
    "255.255.255.255:40000",
    "0.0.0.0:40000",
    "81.2.0.1:53",
    "81.2.0.1:1900",
    "[::ffff:127.0.0.1]:40000",
    "[2a00::1]:40000",
    "[64:ff9b::7f00:1]:40000",
];

#[derive(Arbitrary, Debug)]
enum Step {
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
        attested: Addr,
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
    Hold {
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
    Wait(u32),
    WaitForNext,
    FarFuture(u32),
    Shutdown,
    Stream {
        peer: u8,
        stream: Stream,
        what: OnStream,
    },
    Listening(bool),
}

#[derive(Arbitrary, Debug)]
enum OnStream {
    Up { dialled: bool },
    Datagram(Vec<u8>),
    Down,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Stream {
    number: u8,
    addr: Addr,
}

impl Stream {
    fn pair(self) -> Pair {
        Pair {
            sock: Sock::stream(self.number.into()),
            addr: self.addr.get(),
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Addr {
    Known(u8),
    Any(SocketAddr),
}

impl Addr {
    fn get(self) -> SocketAddr {
        match self {
            Self::Known(at) => known(at),
            Self::Any(addr) => addr,
        }
    }
}

fn known(at: u8) -> SocketAddr {
    #[expect(clippy::unwrap_used, reason = "the texts are constants")]
    ADDRS[at as usize % ADDRS.len()].parse().unwrap()
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

struct Scene {
    now: Instant,
    watched: Watched,
}

impl Scene {
    fn new(relay_only: bool, access: Access) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let now = Instant::now();
        let settings = Settings {
            key: key(0),
            access,
            relay_only,
            lan: true,
            guess_ports: true,
            streams: true,
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

    fn handle(&mut self, input: Input<'_>) -> Vec<Output> {
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

    fn wait(&mut self, time: Duration) -> Vec<Output> {
        self.now += time;
        self.settle()
    }

    fn wait_for_next(&mut self) -> Vec<Output> {
        let next = self.watched.poll_timeout().unwrap_or(self.now);
        self.now = self.now.max(next);
        self.settle()
    }

    fn step(&mut self, step: Step) {
        let bytes;
        let input = match step {
            Step::Wait(ms) => return drop(self.wait(ago(ms % 10_000))),
            Step::WaitForNext => return drop(self.wait_for_next()),
            Step::FarFuture(s) => return drop(self.wait(Duration::from_secs(s.into()))),
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
                    attested: attested.get(),
                    bytes: &bytes,
                }
            }
            Step::Gone { relay: at, peer } => Input::RelayGone {
                relay: relay(at),
                peer: id(peer),
            },
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
            Step::Hold { peer } => Input::Hold { peer: id(peer) },
            Step::Release { peer } => Input::Release { peer: id(peer) },
            Step::Silence {
                peer,
                since_ms,
                sent_ms,
                rtt_ms,
            } => self.silence(peer, [since_ms, sent_ms, rtt_ms]),
            Step::Traffic { peer } => Input::Traffic { peer: id(peer) },
            Step::Shutdown => Input::Shutdown,
            Step::Stream { peer, stream, what } => {
                return self.on_stream(id(peer), stream.pair(), what);
            }
            Step::Listening(listening) => Input::Listening(listening),
        };
        self.handle(input);
    }

    fn on_stream(&mut self, peer: PeerId, stream: Pair, what: OnStream) {
        let bytes;
        self.handle(match what {
            OnStream::Up { dialled } => Input::StreamUp {
                peer,
                stream,
                dialled,
            },
            OnStream::Down => Input::StreamDown { peer, stream },
            OnStream::Datagram(raw) => {
                bytes = raw;
                Input::Datagram {
                    sock: stream.sock,
                    source: stream.addr,
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

/// A few keys: the machine's own is the first.
fn key(at: u8) -> SecretKey {
    SecretKey::from_seed(&[at % 4; 32])
}

fn id(at: u8) -> PeerId {
    key(at).id()
}

fn relay(at: u8) -> RelayUrl {
    #[expect(clippy::unwrap_used, reason = "an IP address is a host")]
    RelayUrl::new(key(3).id(), "5.9.0.1", 4433 + u16::from(at % 3)).unwrap()
}

fn relay_up(at: u8, unix_ms: u64) -> Input<'static> {
    Input::RelayUp {
        relay: relay(at),
        addr: SocketAddr::from(([5, 9, 0, 1], 4433)),
        observed: SocketAddr::from(([80, 1, 0, 1], 40000)),
        unix_ms,
        own_ms: UNIX_MS,
    }
}

fn interfaces(count: u8, lost_route: bool) -> Input<'static> {
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

#[derive(Arbitrary, Debug)]
enum Act {
    Dial,
    Intro {
        way: Way,
        ahead_ms: i64,
        body: Words,
    },
    Answer {
        way: Way,
        body: Words,
    },
    Ask {
        way: Way,
        tx: u64,
    },
    EchoLast {
        way: Way,
    },
    News {
        way: Way,
        body: Vec<u8>,
    },
    Update {
        way: Way,
        body: Words,
    },
    Replay {
        way: Way,
        back: u8,
    },
    Victim(Step),
    Wait(u16),
    WaitForNext,
}

/// By which way a message comes.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Way {
    Relay { attested: Addr },
    Direct { source: Addr },
}

/// What the peer says of itself.
#[derive(Arbitrary, Debug)]
struct Words {
    direct: bool,
    relay_rtt_ms: u16,
    candidates: Vec<(Addr, u8, bool)>,
    opened: Vec<Addr>,
}

impl Words {
    fn description(&self) -> Description {
        let kinds = [
            CandidateKind::Host,
            CandidateKind::Mapped,
            CandidateKind::Reflexive,
            CandidateKind::Stream,
        ];
        let candidates = self.candidates.iter().take(MAX_CANDIDATES);
        Description {
            nat: NatReport::default(),
            direct: self.direct,
            guess: self.direct,
            relay_rtt_ms: self.relay_rtt_ms,
            heard: 0,
            candidates: candidates
                .map(|(addr, kind, open)| Candidate {
                    addr: addr.get(),
                    kind: kinds[*kind as usize % kinds.len()],
                    open: *open,
                })
                .collect(),
            opened: self
                .opened
                .iter()
                .take(MAX_CANDIDATES)
                .map(|addr| addr.get())
                .collect(),
        }
    }
}

/// A peer that holds a key and says what it likes, in authentic messages.
pub fn hostile(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let mut attack = Attack::new();
    for _ in 0..MAX_STEPS {
        let Ok(act) = data.arbitrary::<Act>() else {
            return;
        };
        attack.act(act);
        if data.is_empty() {
            return;
        }
    }
}

struct Attack {
    scene: Scene,
    key: SecretKey,
    victim: PeerId,
    rng: ChaCha20Rng,
    intros: u64,
    initiation: Option<Initiation>,
    session: Option<Session>,
    /// The victim's last INTRO, and the last question in a probe of it.
    intro: Option<Vec<u8>>,
    asked: Option<u64>,
    sent: Vec<Vec<u8>>,
}

impl Attack {
    fn new() -> Self {
        let mut scene = Scene::new(false, Access::Anyone);
        scene.handle(relay_up(0, UNIX_MS));
        scene.handle(interfaces(2, false));
        Self {
            scene,
            key: key(1),
            victim: key(0).id(),
            rng: ChaCha20Rng::from_seed([1; 32]),
            intros: 0,
            initiation: None,
            session: None,
            intro: None,
            asked: None,
            sent: Vec::new(),
        }
    }

    fn act(&mut self, act: Act) {
        let out = match act {
            Act::Dial => self.scene.handle(Input::Connect {
                peer: self.key.id(),
                relays: vec![relay(0)],
                addrs: Vec::new(),
            }),
            Act::Intro {
                way,
                ahead_ms,
                body,
            } => self.intro(way, ahead_ms, &body),
            Act::Answer { way, body } => self.answer(way, &body),
            Act::Ask { way, tx } => self.probe(way, ProbeKind::Request, tx),
            Act::EchoLast { way } => self.probe(way, ProbeKind::Answer, self.asked.unwrap_or(0)),
            Act::News { way, body } => self.news(way, &body),
            Act::Update { way, body } => {
                let news = crate::wire::sealed::News::Update(body.description());
                self.news(way, &news.emit())
            }
            Act::Replay { way, back } => {
                let at = self.sent.len().wrapping_sub(1 + usize::from(back));
                let bytes = self.sent.get(at).cloned().unwrap_or_default();
                self.deliver(way, &bytes)
            }
            Act::Victim(step) => return self.scene.step(step),
            Act::Wait(ms) => self.scene.wait(Duration::from_millis(ms.into())),
            Act::WaitForNext => self.scene.wait_for_next(),
        };
        self.listen(out);
    }

    fn send(&mut self, way: Way, bytes: Vec<u8>) -> Vec<Output> {
        let out = self.deliver(way, &bytes);
        self.sent.push(bytes);
        out
    }

    fn deliver(&mut self, way: Way, bytes: &[u8]) -> Vec<Output> {
        self.scene.handle(match way {
            Way::Relay { attested } => Input::RelayMessage {
                relay: relay(0),
                from: self.key.id(),
                attested: attested.get(),
                bytes,
            },
            Way::Direct { source } => Input::Datagram {
                sock: Sock::MAIN,
                source: source.get(),
                bytes,
            },
        })
    }

    fn intro(&mut self, way: Way, ahead_ms: i64, body: &Words) -> Vec<Output> {
        self.intros += 1;
        let body = IntroBody {
            id: self.key.id(),
            timestamp_ms: (UNIX_MS + self.intros).saturating_add_signed(ahead_ms),
            conv: self.intros,
            probe_secret: [1; 32],
            description: body.description(),
        };
        let made = Initiation::new(&self.key, self.victim, &body, &mut self.rng);
        let Ok(initiation) = made else {
            return Vec::new();
        };
        let packet = initiation.packet.clone();
        self.session = Some(Session::new(body.conv, &body.probe_secret, true));
        self.initiation = Some(initiation);
        self.send(way, packet)
    }

    fn answer(&mut self, way: Way, body: &Words) -> Vec<Output> {
        let Some(intro) = self.intro.take() else {
            return Vec::new();
        };
        let opened = IntroPacket::parse(&intro)
            .ok()
            .and_then(|packet| Opened::open(&self.key, packet, &mut self.rng).ok());
        let Some(Ok((session, packet))) = opened.map(|opened| opened.answer(&body.description()))
        else {
            return Vec::new();
        };
        self.session = Some(session);
        self.send(way, packet)
    }

    fn probe(&mut self, way: Way, kind: ProbeKind, tx: u64) -> Vec<Output> {
        let probe = Probe {
            kind,
            tx,
            observed: known(0),
        };
        let sealed = self.session.as_mut().and_then(|s| s.seal_probe(&probe));
        sealed.map_or_else(Vec::new, |bytes| self.send(way, bytes))
    }

    fn news(&mut self, way: Way, body: &[u8]) -> Vec<Output> {
        let body = &body[..body.len().min(1100)];
        let sealed = self.session.as_mut().and_then(|s| s.seal_news(body));
        sealed.map_or_else(Vec::new, |bytes| self.send(way, bytes))
    }

    /// Takes what the victim sends to anybody: the peer hears everything.
    fn listen(&mut self, out: Vec<Output>) {
        for output in out {
            let (Output::SendDatagram { bytes, .. } | Output::SendRelay { bytes, .. }) = output
            else {
                continue;
            };
            if IntroPacket::parse(&bytes).is_ok() {
                self.intro = Some(bytes);
            } else if let Ok(ack) = AckPacket::parse(&bytes) {
                self.establish(ack);
            } else if let Some(probe) = self.session.as_mut().and_then(|s| s.open_probe(&bytes)) {
                self.asked = Some(probe.tx);
            }
        }
    }

    fn establish(&mut self, ack: AckPacket<'_>) {
        let Some(mut initiation) = self.initiation.take() else {
            return;
        };
        if initiation.read(&self.key, ack).is_ok() {
            self.session = initiation.into_session().ok();
        }
    }
}
