//! The direct path: chosen when an answer proves it, suspected when it falls silent, given up when it stays so.

use std::time::{Duration, Instant};

use rand::Rng;

use super::{Context, Peer, guess::End, send};
use crate::{
    PeerState,
    proto::{
        io::Pair,
        timing::{DEAD_AFTER, STREAM_DEAD_AFTER, SUSPECT_AFTER, SUSPECT_GAPS},
    },
    wire::probe::{Probe, ProbeKind},
};

/// The direct path that carries the data, or did until just now.
pub(super) struct DirectPath {
    pub(super) pair: Pair,
    /// Smoothed round trip of probes.
    pub(super) rtt: Duration,
    /// When a probe was last answered.
    heard: Instant,
    /// A probe sent when QUIC has been waiting for a while: mostly it has merely nothing more to say.
    inquiry: Option<(u64, Instant)>,
    suspicion: Option<Suspicion>,
}

/// An inquiry into whether the path still works.
struct Suspicion {
    since: Instant,
    next: Instant,
    step: usize,
    pending: Vec<(u64, Instant)>,
}

impl DirectPath {
    pub(super) fn next_probe(&self) -> Option<Instant> {
        self.suspicion.as_ref().map(|suspicion| suspicion.next)
    }
}

/// What makes one direct path better than another, best first: derived order is the policy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    Lan,
    Internet,
    Stream,
}

impl Peer {
    /// An answer came back from this address: it belongs to the peer and carries packets both ways.
    pub(super) fn proven(&mut self, ctx: &mut Context<'_>, pair: Pair, rtt: Duration) {
        let tier = |pair: Pair| {
            if pair.sock.is_stream() {
                Tier::Stream
            } else if ctx.local.is_lan(pair.addr) {
                Tier::Lan
            } else {
                Tier::Internet
            }
        };
        let take = match &self.path {
            None if !pair.sock.is_stream() && self.rounds.in_quarantine(pair.addr, ctx.now) => {
                false
            }
            None => self
                .relay_rtt
                .is_none_or(|relay| rtt <= relay * 2 + Duration::from_millis(50)),
            Some(path) if path.pair == pair => false,
            Some(path) if path.suspicion.is_some() => true,
            Some(path) => {
                let clearly_faster = rtt + Duration::from_millis(10).max(path.rtt / 5) < path.rtt;
                (tier(pair), !clearly_faster) < (tier(path.pair), true)
            }
        };
        if take {
            self.select(ctx, pair, rtt);
        }
    }

    fn select(&mut self, ctx: &mut Context<'_>, pair: Pair, rtt: Duration) {
        self.path = Some(DirectPath {
            pair,
            rtt,
            heard: ctx.now,
            inquiry: None,
            suspicion: None,
        });
        self.rounds.direct();
        self.end_guessing(ctx, End::Found);
        self.streams.dial = None;
        self.lost_direct = false;
        self.admit(ctx, pair);
        self.become_(ctx, PeerState::Direct);
        self.announce_route(ctx);
        self.announce_path(ctx);
        if self.on_stream() {
            self.schedule_round(ctx);
        }
    }

    /// QUIC got nothing back on the direct path since `since`, though it sent until `sent`. Asks first, then suspects.
    pub(crate) fn on_silence(
        &mut self,
        ctx: &mut Context<'_>,
        since: Instant,
        sent: Instant,
        rtt: Duration,
    ) {
        let Some(path) = self.path.as_mut().filter(|path| {
            self.state == PeerState::Direct && self.wanted && !self.left && sent > path.heard
        }) else {
            return;
        };
        let since = since.max(path.heard);
        let patience = SUSPECT_AFTER.max(path.rtt.max(rtt) * 3);
        let silence = ctx.now.saturating_duration_since(since);
        match path.inquiry.filter(|(_, asked)| *asked >= since) {
            // Not before the answer had its time: we may have been too busy to look for it.
            Some((_, asked)) if ctx.now.saturating_duration_since(asked) >= patience / 2 => {
                self.suspect(ctx);
            }
            None if silence >= patience / 2 => {
                let tx = ctx.rng.random();
                path.inquiry = Some((tx, ctx.now));
                let pair = path.pair;
                self.ask(ctx, pair, tx);
            }
            _ => {}
        }
    }

    fn ask(&mut self, ctx: &mut Context<'_>, pair: Pair, tx: u64) {
        let probe = Probe {
            kind: ProbeKind::Request,
            tx,
            observed: pair.addr,
        };
        if let Some(bytes) = self
            .session
            .as_mut()
            .and_then(|session| session.seal_probe(&probe))
        {
            send(ctx, pair, None, bytes);
        }
    }

    /// Has every packet take the relay as well, and asks whether the path still works.
    pub(crate) fn suspect(&mut self, ctx: &mut Context<'_>) {
        let Some(path) = &mut self.path else { return };
        path.suspicion = Some(Suspicion {
            since: ctx.now,
            next: ctx.now,
            step: 0,
            pending: Vec::new(),
        });
        self.checks.wake_proven(ctx.now);
        self.become_(ctx, PeerState::Suspect);
        self.announce_route(ctx);
        self.suspect_timeout(ctx);
    }

    pub(super) fn suspect_timeout(&mut self, ctx: &mut Context<'_>) {
        let Some(path) = &mut self.path else { return };
        let Some(suspicion) = path
            .suspicion
            .as_mut()
            .filter(|suspicion| suspicion.next <= ctx.now)
        else {
            return;
        };
        let dead_at = suspicion.since
            + if path.pair.sock.is_stream() {
                STREAM_DEAD_AFTER
            } else {
                DEAD_AFTER
            };
        if suspicion.step > SUSPECT_GAPS.len() && ctx.now >= dead_at {
            return self.dead(ctx);
        }
        suspicion.next = match SUSPECT_GAPS.get(suspicion.step) {
            Some(gap) => ctx.now + *gap,
            None => dead_at.max(ctx.now),
        };
        suspicion.step += 1;
        let (pair, tx) = (path.pair, ctx.rng.random());
        suspicion.pending.push((tx, ctx.now));
        self.ask(ctx, pair, tx);
    }

    /// Whether this answers a probe of the path in use, which ends any suspicion.
    pub(super) fn path_answered(&mut self, ctx: &mut Context<'_>, source: Pair, tx: u64) -> bool {
        let Some(path) = self.path.as_mut().filter(|path| path.pair == source) else {
            return false;
        };
        let asked = path
            .suspicion
            .iter()
            .flat_map(|suspicion| &suspicion.pending)
            .chain(&path.inquiry);
        let Some((_, sent)) = asked.copied().find(|(pending, _)| *pending == tx) else {
            return false;
        };
        let rtt = ctx.now.saturating_duration_since(sent);
        path.rtt = (path.rtt * 7 + rtt) / 8;
        path.heard = ctx.now;
        path.inquiry = None;
        if path.suspicion.take().is_some() {
            self.become_(ctx, PeerState::Direct);
            self.announce_route(ctx);
        }
        true
    }

    pub(super) fn dead(&mut self, ctx: &mut Context<'_>) {
        let Some(path) = self.path.take() else { return };
        if path.pair.sock.is_stream() {
            self.drop_stream(ctx, path.pair);
        } else {
            self.rounds.quarantine(path.pair.addr, ctx.now);
        }
        self.checks.settle();
        self.release_sockets(ctx);
        self.lost_direct = true;
        if self.live_via(ctx.local).is_some() {
            self.relayed(ctx);
        } else if self.wanted {
            self.dial(ctx);
        } else {
            self.end(ctx);
        }
    }
}
