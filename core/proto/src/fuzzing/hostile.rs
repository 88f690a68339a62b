//! A peer that holds a key and means harm: every message is authentic, and none is what it should be.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;

use super::{
    machine::{MAX_STEPS, Scene, Step, UNIX_MS, interfaces, relay_up},
    names::{Addr, key, known, relay},
};
use crate::{
    Access, NatReport, PeerId, SecretKey,
    handshake::{Initiation, Opened},
    io::{Input, Output, Sock},
    session::Session,
    wire::{
        candidate::{Candidate, CandidateKind, MAX_CANDIDATES},
        intro::{AckPacket, Description, IntroBody, IntroPacket},
        probe::{Probe, ProbeKind},
    },
};

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
    Control {
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
            Act::Control { way, body } => self.control(way, &body),
            Act::Update { way, body } => {
                let control = crate::wire::sealed::Control::Update(body.description());
                self.control(way, &control.emit())
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
                attested: Some(attested.get()),
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
            session_index: self.intros,
            probe_secret: [1; 32],
            description: body.description(),
        };
        let made = Initiation::new(&self.key, self.victim, &body, &mut self.rng);
        let Ok(initiation) = made else {
            return Vec::new();
        };
        let packet = initiation.packet.clone();
        self.session = Some(Session::new(body.session_index, &body.probe_secret, true));
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

    fn control(&mut self, way: Way, body: &[u8]) -> Vec<Output> {
        let body = &body[..body.len().min(1100)];
        let sealed = self.session.as_mut().and_then(|s| s.seal_control(body));
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
