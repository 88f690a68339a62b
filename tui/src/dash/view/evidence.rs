//! What a link's explanation was concluded from, way by way: IPv6, the local network, hole punching, forwarded ports, the relay.

use peerway::{
    Cause, Evidence, How, NatBehavior, NatReport, PeerSnapshot, PortAllocation, SideEvidence,
};
use ratatui::text::{Line, Span};

use crate::dash::{format, look::Role, model::Model, words::nat_class};

/// How one way stands.
enum Verdict {
    Works,
    /// It cannot work here.
    Missing,
    /// It was tried, and so many of so many probes were answered.
    Tried(u32, u32),
    /// There is nothing to say about it.
    Open,
}

/// A line or two for each way; none for a peer that nothing is wanted from.
pub(super) fn evidence(model: &Model, peer: &PeerSnapshot, width: u16) -> Vec<Line<'static>> {
    let words = model.words();
    let Some(why) = words.why(peer) else {
        return Vec::new();
    };
    let evidence = &why.evidence;
    let how = if let Cause::Direct { how } = why.cause {
        Some(how)
    } else {
        None
    };
    let name = words.name(&peer.id);
    let Some(there) = &evidence.there else {
        let text = format!("{name} has not described itself yet");
        return vec![Line::styled(text, model.look.style(Role::Dim))];
    };
    let steps = [
        ("IPv6", ipv6(evidence, there, &name, how)),
        ("LAN", lan(evidence, how)),
        ("Punch", punch(evidence, there, &name, how)),
        ("Mapped", mapped(evidence, there, &name, how)),
        ("Relay", relay(evidence)),
    ];
    let mut lines = Vec::new();
    for (number, (title, (texts, verdict))) in (1..).zip(steps) {
        for (row, text) in texts.into_iter().enumerate() {
            let head = if row == 0 {
                format!("{number} {title:<7}")
            } else {
                " ".repeat(9)
            };
            let mark = if row == 0 {
                verdict.mark(model)
            } else {
                Span::raw("")
            };
            lines.push(step(model, head, &text, mark, width));
        }
    }
    lines
}

fn step(model: &Model, head: String, text: &str, mark: Span<'static>, width: u16) -> Line<'static> {
    let room = usize::from(width).saturating_sub(head.len() + mark.width() + 1);
    let text = format::fit(text, room, model.look.glyphs.ellipsis);
    let used = unicode_width::UnicodeWidthStr::width(text.as_str());
    Line::from(vec![
        Span::styled(head, model.look.style(Role::Dim)),
        Span::raw(text),
        Span::raw(" ".repeat(room.saturating_sub(used) + 1)),
        mark,
    ])
}

impl Verdict {
    fn mark(&self, model: &Model) -> Span<'static> {
        let glyphs = model.look.glyphs;
        match self {
            Self::Works => Span::styled(glyphs.check, model.look.style(Role::Good)),
            Self::Missing => {
                let text = format!("{} n/a", glyphs.unreachable);
                Span::styled(text, model.look.style(Role::Dim))
            }
            Self::Tried(answered, sent) => {
                let (glyph, role) = if *answered > 0 {
                    (glyphs.check, Role::Good)
                } else {
                    (glyphs.unreachable, Role::Bad)
                };
                let text = format!("{glyph} {answered}/{sent}");
                Span::styled(text, model.look.style(role))
            }
            Self::Open => Span::raw(""),
        }
    }
}

type Step = (Vec<String>, Verdict);

fn ipv6(evidence: &Evidence, there: &SideEvidence, name: &str, how: Option<How>) -> Step {
    let text = match (evidence.here.ipv6, there.ipv6) {
        _ if how == Some(How::Ipv6) => "both have IPv6".to_owned(),
        (true, true) => "both have IPv6".to_owned(),
        _ if there.offers.total() == 0 => format!("{name} named no address"),
        (true, false) => format!("{name} named no IPv6 address"),
        (false, true) => "this network has no IPv6".to_owned(),
        (false, false) => "neither side has IPv6".to_owned(),
    };
    let verdict = if how == Some(How::Ipv6) {
        Verdict::Works
    } else if evidence.here.ipv6 && there.ipv6 {
        Verdict::Open
    } else {
        Verdict::Missing
    };
    (vec![text], verdict)
}

fn lan(evidence: &Evidence, how: Option<How>) -> Step {
    if how == Some(How::Lan) {
        return (vec!["both are in one network".to_owned()], Verdict::Works);
    }
    if evidence.same_router {
        let text = "relays see both at one public address".to_owned();
        return (vec![text], Verdict::Open);
    }
    (vec!["different networks".to_owned()], Verdict::Missing)
}

fn punch(evidence: &Evidence, there: &SideEvidence, name: &str, how: Option<How>) -> Step {
    let tried = &evidence.tried;
    let mut texts = vec![
        format!("your NAT: {}", behavior(evidence.here.nat)),
        format!("{name}'s NAT: {}", behavior(there.nat)),
    ];
    let addresses = tried.probed.host + tried.probed.mapped + tried.probed.reflexive;
    if tried.sent > 0 {
        let plural = if addresses == 1 { "" } else { "es" };
        let probes = if tried.sent == 1 { "probe" } else { "probes" };
        texts.push(format!(
            "{} {probes} to {addresses} address{plural} in {}, {} came in",
            tried.sent,
            format::span(tried.took),
            evidence.here.heard
        ));
    }
    let punched = [How::Punched, How::Predicted, How::Birthday, How::Public];
    let verdict = match how {
        Some(how) if punched.contains(&how) => Verdict::Works,
        Some(_) => Verdict::Open,
        None if !evidence.here.direct || !there.direct => {
            texts.push("one side was told to use relays only".to_owned());
            Verdict::Missing
        }
        None if tried.sent > 0 => Verdict::Tried(tried.answered, tried.sent),
        None => Verdict::Open,
    };
    (texts, verdict)
}

fn mapped(evidence: &Evidence, there: &SideEvidence, name: &str, how: Option<How>) -> Step {
    let says = |who: &str, side: &SideEvidence| match side.mapping_public {
        None => format!("{who} forwards no port"),
        Some(true) => format!("{who} forwards a port"),
        Some(false) => format!("{who} forwards a port, behind a second NAT"),
    };
    let any = evidence.here.mapping_public.is_some() || there.mapping_public.is_some();
    let texts = if any {
        vec![
            says("your router", &evidence.here),
            says(&format!("{name}'s router"), there),
        ]
    } else {
        vec!["neither router forwards a port".to_owned()]
    };
    let verdict = match how {
        Some(How::Mapped) => Verdict::Works,
        _ if !any => Verdict::Missing,
        None if evidence.tried.probed.mapped > 0 && evidence.tried.sent > 0 => {
            Verdict::Tried(evidence.tried.answered, evidence.tried.sent)
        }
        Some(_) | None => Verdict::Open,
    };
    (texts, verdict)
}

fn relay(evidence: &Evidence) -> Step {
    let over = match (
        evidence.here.tcp,
        evidence.there.and_then(|there| there.tcp),
    ) {
        (None, None) => "",
        (Some(_), None) => ", from here over TCP",
        (None, Some(_)) => ", from there over TCP",
        (Some(_), Some(_)) => ", from both sides over TCP",
    };
    match evidence.tried.relay_rtt {
        Some(rtt) => {
            let text = format!("{} round trip{over}", format::rtt(rtt));
            (vec![text], Verdict::Works)
        }
        None => (vec![format!("not measured{over}")], Verdict::Open),
    }
}

/// Its kind, and how it chooses ports where that matters.
fn behavior(nat: NatReport) -> String {
    let kind = nat_class(nat);
    match (nat.mapping, nat.allocation) {
        (NatBehavior::Unknown, _) => "not measured".to_owned(),
        (NatBehavior::EndpointIndependent, _) | (_, PortAllocation::Unknown) => kind.to_owned(),
        (_, PortAllocation::Random { .. }) => format!("{kind}, random ports"),
        (_, PortAllocation::Sequential { .. }) => format!("{kind}, counted ports"),
    }
}
