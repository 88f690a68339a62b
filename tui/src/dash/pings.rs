//! The answers to pings, beside the peers that they are of, until a while after the last one.

use std::time::Duration;

use peerway::{PathInfo, PeerId};
use ratatui::text::{Line, Span};

use super::{
    format,
    look::{Look, Role},
};

/// All pings that go on, or did until just now.
#[derive(Debug, Default)]
pub(super) struct Pings(Vec<Ping>);

/// One of them, of which there is one for a peer.
#[derive(Debug)]
pub(super) struct Ping {
    peer: PeerId,
    /// The last ones.
    pongs: Vec<Pong>,
    /// All of them, and how long these took together.
    count: u32,
    sum: Duration,
    /// When it is shown no more, once it is over.
    until: Option<Duration>,
}

#[derive(Debug)]
struct Pong {
    rtt: Duration,
    path: Option<PathInfo>,
}

/// As many as a row has room for.
const KEPT: usize = 20;

impl Pings {
    pub(super) fn begin(&mut self, peer: PeerId) {
        self.0.retain(|ping| ping.peer != peer);
        self.0.push(Ping {
            peer,
            pongs: Vec::new(),
            count: 0,
            sum: Duration::ZERO,
            until: None,
        });
    }

    /// An answer has come.
    pub(super) fn note(&mut self, peer: PeerId, rtt: Duration, path: Option<PathInfo>) -> &Ping {
        let found = self.0.iter().position(|ping| ping.peer == peer);
        let at = found.unwrap_or_else(|| {
            self.begin(peer);
            self.0.len() - 1
        });
        let ping = &mut self.0[at];
        if ping.pongs.len() >= KEPT {
            ping.pongs.remove(0);
        }
        ping.pongs.push(Pong { rtt, path });
        ping.count = ping.count.saturating_add(1);
        ping.sum = ping.sum.saturating_add(rtt);
        ping
    }

    /// No more will come; those that came stay until then.
    pub(super) fn end(&mut self, peer: PeerId, until: Duration) {
        for ping in self.0.iter_mut().filter(|ping| ping.peer == peer) {
            ping.until = Some(until);
        }
    }

    /// Returns whether one is shown no more.
    pub(super) fn pass(&mut self, now: Duration) -> bool {
        let before = self.0.len();
        self.0
            .retain(|ping| ping.until.is_none_or(|until| until > now));
        self.0.len() < before
    }

    /// Of this peer, once something was answered.
    pub(super) fn of(&self, peer: PeerId) -> Option<&Ping> {
        let mut pings = self.0.iter();
        pings.find(|ping| ping.peer == peer && !ping.pongs.is_empty())
    }
}

impl Ping {
    pub(super) fn mean(&self) -> Duration {
        self.sum / self.count.max(1)
    }

    /// The last ones, in milliseconds.
    pub(super) fn last(&self, count: usize) -> Vec<String> {
        let first = self.pongs.len().saturating_sub(count);
        self.pongs.iter().skip(first).map(Pong::text).collect()
    }

    /// `◐ 61 58 ● 38 41 · 49 ms`: what each answer came by, and the mean; as many of the last as fit.
    pub(super) fn strip(&self, look: &Look, width: usize) -> Line<'static> {
        let mean = format!(" {} {}", look.glyphs.dot, format::rtt(self.mean()));
        let all = (0..self.pongs.len()).map(|first| {
            let mut line = Line::default();
            let mut before = None;
            for pong in &self.pongs[first..] {
                let (glyph, role) = pong.by(look);
                if before.replace(glyph) != Some(glyph) {
                    let gap = if line.spans.is_empty() { "" } else { " " };
                    line.push_span(Span::raw(gap));
                    line.push_span(Span::styled(glyph, look.style(role)));
                }
                line.push_span(Span::raw(format!(" {}", pong.text())));
            }
            line.push_span(Span::raw(mean.clone()));
            line
        });
        let last = all.clone().next_back();
        let mut fitting = all.filter(|line| line.width() <= width);
        fitting.next().or(last).unwrap_or_default()
    }
}

impl Pong {
    fn text(&self) -> String {
        format!("{:.0}", self.rtt.as_secs_f64() * 1e3)
    }

    fn by(&self, look: &Look) -> (&'static str, Role) {
        match &self.path {
            Some(PathInfo::Direct { .. }) => (look.glyphs.direct, Role::Good),
            Some(PathInfo::Relay { .. }) => (look.glyphs.relay, Role::Warn),
            Some(PathInfo::Unknown | _) | None => (look.glyphs.connecting, Role::Dim),
        }
    }
}
