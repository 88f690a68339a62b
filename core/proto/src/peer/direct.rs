//! The direct path that carries the data: the questions that are asked on it, and what their answers tell of it.

use std::time::{Duration, Instant};

use crate::{
    explain::Narrow,
    io::Pair,
    timing::{
        DEAD_AFTER, DEAF_FOR, EXPECTED_GAP, LATE, REGULAR_WITHIN, SUSPECT_AFTER, SUSPECT_GAPS,
        TCP_DEAD_AFTER,
    },
    wire::probe::{FULL_LEN, PACKET_LEN, ProbeKind},
};

/// Length of a question that shows that QUIC's packets get through. A TCP connection carries any.
pub(super) fn full_len(pair: Pair) -> usize {
    if pair.sock.is_tcp() {
        PACKET_LEN
    } else {
        FULL_LEN
    }
}

/// The direct path that carries the data, or did until just now.
pub(super) struct DirectPath {
    pub(super) pair: Pair,
    /// Smoothed round trip of probes.
    pub(super) rtt: Duration,
    /// When it was chosen.
    pub(super) since: Instant,
    /// When a probe was last answered.
    pub(super) heard: Instant,
    /// When the peer last asked on it.
    pub(super) asked: Instant,
    /// When a probe last left on it, since it was chosen.
    pub(super) last_probe: Option<Instant>,
    /// When the peer last said that it hears nothing.
    pub(super) deaf: Option<Instant>,
    /// Probes whose answers are still worth something.
    pending: Vec<Pending>,
    /// Whether it is known to carry QUIC's packets both ways; until then the relay carries them too.
    wide: bool,
    /// When that is asked again, and how often it was.
    width: Option<(Instant, u32)>,
    /// When a shorter probe was answered while full ones are what counts, and the longest such probe.
    short: Option<(Instant, usize)>,
    /// When a probe left because QUIC had been waiting for a while: mostly it has merely nothing more to say.
    inquiry: Option<Instant>,
    suspicion: Option<Suspicion>,
}

/// Probes of the path in use that are waited for at a time.
const MAX_PENDING: usize = 16;
/// Full-size questions to a new path before it is suspect.
const WIDTH_QUESTIONS: u32 = 4;

/// A question that waits for an answer.
struct Pending {
    tx: u64,
    sent: Instant,
    len: usize,
}

/// An inquiry into whether the path still works.
struct Suspicion {
    since: Instant,
    doubt: Doubt,
    next: Instant,
    step: usize,
}

/// Why a path is suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// We hear nothing on it.
    Silent,
    /// We moved, or slept: what was sent before tells nothing.
    Moved,
    /// The peer hears nothing, or begins anew.
    Told,
    /// It works, but the peer's mapping is about to die.
    Expected,
}

/// What an answer to a question on the path tells.
pub(super) enum PathEvent {
    /// It was too short to tell more than how much the path carries.
    Short,
    /// The path works both ways.
    Works {
        /// It was not known before to carry QUIC's packets.
        widened: bool,
        /// It was suspect, and is no more.
        trusted: bool,
    },
}

/// How an inquiry into a suspect path goes on.
pub(super) enum Inquiry {
    /// Ask; `lasts` if that has been in vain for a while now.
    Ask {
        kind: ProbeKind,
        lasts: bool,
    },
    /// A path that was about to die works all the time.
    Over,
    /// A path that was about to die fell silent.
    Silent,
    Dead,
}

/// What is known of whether the path carries QUIC's packets.
pub(super) enum Width {
    Asked,
    /// It does not.
    Missing,
}

/// What is done about QUIC's getting nothing back.
pub(super) enum Silence {
    Asked,
    /// The path was asked, in vain.
    Lasts,
}

impl DirectPath {
    pub(super) fn new(now: Instant, pair: Pair, rtt: Duration) -> Self {
        let is_tcp = pair.sock.is_tcp();
        Self {
            pair,
            rtt,
            since: now,
            heard: now,
            asked: now,
            last_probe: None,
            deaf: None,
            pending: Vec::new(),
            wide: is_tcp,
            width: (!is_tcp).then_some((now, 0)),
            short: None,
            inquiry: None,
            suspicion: None,
        }
    }

    pub(super) fn next_probe(&self) -> Option<Instant> {
        let width = self.width.map(|(at, _)| at);
        self.suspicion
            .as_ref()
            .map_or(width, |suspicion| Some(suspicion.next))
    }

    /// Whether it is yet unknown if QUIC's packets get through.
    pub(super) fn is_untested(&self) -> bool {
        !self.wide
    }

    /// How long the next question is: as long as QUIC's packets while it is about these.
    pub(super) fn question_len(&self) -> usize {
        let doubted = self
            .suspicion
            .as_ref()
            .is_some_and(|suspicion| suspicion.doubt != Doubt::Expected);
        if self.wide && self.width.is_none() && self.inquiry.is_none() && !doubted {
            PACKET_LEN
        } else {
            full_len(self.pair)
        }
    }

    /// Whether it carries datagrams, as far as we know.
    pub(super) fn has_datagrams(&self) -> bool {
        !self.pair.sock.is_tcp() && !self.is_suspect()
    }

    /// Whether the data goes by a TCP connection, and datagrams are still to be tried for.
    pub(super) fn is_next_best(&self) -> bool {
        self.pair.sock.is_tcp() && !self.is_suspect()
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.suspicion.is_some()
    }

    /// How narrow the path is, if small packets got through since it is suspect.
    pub(super) fn narrow(&self) -> Option<Narrow> {
        let doubted = self.suspicion.as_ref().map(|suspicion| suspicion.since);
        let (_, longest) = self.short.filter(|(at, _)| Some(*at) > doubted)?;
        let headers = if self.pair.addr.is_ipv6() { 48 } else { 28 };
        Some(Narrow {
            carries: (longest + headers) as u16,
            needs: (FULL_LEN + headers) as u16,
        })
    }

    pub(super) fn note_question(&mut self, now: Instant, tx: u64, len: usize) {
        if self.pending.len() >= MAX_PENDING {
            self.pending.remove(0);
        }
        let sent = now;
        self.last_probe = Some(now);
        self.pending.push(Pending { tx, sent, len });
    }

    /// Takes an answer, if it is one to a question that waits for it.
    pub(super) fn on_answer(&mut self, now: Instant, tx: u64, full: bool) -> Option<PathEvent> {
        let mut pending = self.pending.iter();
        let found = pending.position(|pending| pending.tx == tx)?;
        let Pending { sent, len, .. } = self.pending.swap_remove(found);
        let full = full && len == FULL_LEN || self.pair.sock.is_tcp();
        let rtt = now.saturating_duration_since(sent);
        if !full && self.question_len() == FULL_LEN {
            let longest = self.short.map_or(len, |(_, longest)| longest.max(len));
            self.short = Some((now, longest));
            return Some(PathEvent::Short);
        }
        let widened = full && !self.wide;
        if full {
            self.width = None;
            self.wide = true;
        }
        self.rtt = (self.rtt * 7 + rtt) / 8;
        self.heard = now;
        self.inquiry = None;
        let trusted = self.allay(now);
        Some(PathEvent::Works { widened, trusted })
    }

    /// The path answered, which ends most suspicions. Returns whether it did.
    fn allay(&mut self, now: Instant) -> bool {
        let is_deaf = self.deaf.is_some_and(|at| now < at + DEAF_FOR);
        match &mut self.suspicion {
            None => false,
            Some(suspicion) if suspicion.doubt == Doubt::Expected => false,
            Some(suspicion) if is_deaf && suspicion.doubt == Doubt::Told => {
                (suspicion.since, suspicion.next) = (now, now + EXPECTED_GAP);
                suspicion.step = suspicion.step.min(1);
                false
            }
            Some(_) => true,
        }
    }

    /// QUIC got nothing back since then, though it sent.
    pub(super) fn on_silence(
        &mut self,
        now: Instant,
        since: Instant,
        rtt: Duration,
    ) -> Option<Silence> {
        let since = since.max(self.heard);
        let patience = SUSPECT_AFTER.max(self.rtt.max(rtt) * 3);
        let silence = now.saturating_duration_since(since);
        match self.inquiry.filter(|asked| *asked >= since) {
            // Not before the answer had its time: we may have been too busy to look for it.
            Some(asked) if now.saturating_duration_since(asked) >= patience / 2 => {
                Some(Silence::Lasts)
            }
            None if silence >= patience / 2 => {
                self.inquiry = Some(now);
                Some(Silence::Asked)
            }
            _ => None,
        }
    }

    /// Whether it is to be asked anew if it carries QUIC's packets.
    pub(super) fn doubt_width(&mut self, now: Instant) -> bool {
        let is_new = self.width.is_none() && !self.pair.sock.is_tcp();
        if is_new {
            self.width = Some((now, 0));
        }
        is_new
    }

    pub(super) fn ask_width(&mut self, now: Instant) -> Option<Width> {
        let (at, asked) = self.width.filter(|(at, _)| *at <= now)?;
        if self.is_suspect() {
            self.width = None;
            None
        } else if asked >= WIDTH_QUESTIONS && now <= at + LATE {
            self.width = None;
            Some(Width::Missing)
        } else {
            let pause = (SUSPECT_AFTER / 2).max(self.rtt * 2);
            self.width = Some((now + pause, asked + 1));
            Some(Width::Asked)
        }
    }

    pub(super) fn suspect(&mut self, now: Instant, doubt: Doubt) {
        if doubt == Doubt::Moved {
            self.pending.clear();
        }
        self.suspicion = Some(Suspicion {
            since: now,
            doubt,
            next: now,
            step: 0,
        });
    }

    pub(super) fn trust(&mut self) {
        self.suspicion = None;
    }

    /// Goes on with the inquiry into a suspect path, when that is due.
    pub(super) fn inquire(&mut self, now: Instant) -> Option<Inquiry> {
        let suspicion = self.suspicion.as_mut();
        let suspicion = suspicion.filter(|suspicion| suspicion.next <= now)?;
        if suspicion.doubt == Doubt::Expected {
            return self.expect_death(now);
        }
        let late = now > suspicion.next + LATE;
        let dead_after = if self.pair.sock.is_tcp() {
            TCP_DEAD_AFTER
        } else {
            DEAD_AFTER
        };
        let dead_at = suspicion.since + dead_after.max(self.rtt * 2);
        if suspicion.step > SUSPECT_GAPS.len() && now >= dead_at && !late {
            return Some(Inquiry::Dead);
        }
        suspicion.next = match SUSPECT_GAPS.get(suspicion.step) {
            Some(gap) => now + *gap,
            None if late => now + SUSPECT_AFTER.max(self.rtt * 3),
            None => dead_at.max(now),
        };
        suspicion.step += 1;
        let lasts = suspicion.step == SUSPECT_GAPS.len();
        let kind = match suspicion.doubt {
            Doubt::Silent | Doubt::Moved | Doubt::Expected => ProbeKind::NotReceiving,
            Doubt::Told => ProbeKind::Nominated,
        };
        Some(Inquiry::Ask { kind, lasts })
    }

    /// Asks a path that is about to die, all the time until that is over.
    fn expect_death(&mut self, now: Instant) -> Option<Inquiry> {
        let suspicion = self.suspicion.as_mut()?;
        let heard = self.heard.max(suspicion.since);
        if now.saturating_duration_since(heard) >= SUSPECT_AFTER.max(self.rtt * 3) {
            return Some(Inquiry::Silent);
        }
        if now.saturating_duration_since(suspicion.since) >= REGULAR_WITHIN * 2 {
            return Some(Inquiry::Over);
        }
        suspicion.next = now + EXPECTED_GAP;
        // Has the peer give everything to the relay too.
        let (kind, lasts) = (ProbeKind::NotReceiving, false);
        Some(Inquiry::Ask { kind, lasts })
    }

    #[cfg(any(test, feature = "_fuzzing"))]
    pub(super) fn footprint(&self) -> usize {
        super::footprint::of(&self.pending)
    }
}
