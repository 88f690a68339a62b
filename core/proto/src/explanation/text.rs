//! An explanation in words. Whatever shows one to people gets them here.

use std::{fmt, time::Duration};

use super::{Cause, Evidence, Explanation, How, Side, SideEvidence};
use crate::{NatReport, PathPolicy};

/// What it means that a relay does not reach a peer that it has registered.
const UNREACHED: &str = "The relay has the peer registered, but nothing that it sends is acknowledged. If the peer's router was restarted and forgot it, the peer is back within 20 s, when it next speaks to the relay by itself; else it was switched off or lost its network less than a minute ago.";

/// What it means that the user forced the address in use.
const FORCED: &str =
    "This node was told to send by this address and no other, until it dies or is released.";

/// That a peer is called without a relay, and what that means.
const BY_DHT: &str = "the peer has no relay: it was called by the DHT, and has not said hello yet";
const CALLED: &str = "No relay is known at which the two could meet, so a call was left for the peer in the Mainline DHT: to say hello to the address of this node. A peer looks for calls every five seconds in its first five minutes and for five minutes after a call, and once a minute else; so it takes some ten seconds, and a minute and a half at most.";

/// What it means that this program does not know a cause.
const NEWER: &str = "The node that says so is newer than this program and has a reason that this program has no words for: update it.";

impl Cause {
    /// The cause in at most eleven characters, for a column of a table.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Direct { how } => how.label(),
            Self::Calling => "calling",
            Self::NoAnswer => "no answer",
            Self::PeerOffline => "offline",
            Self::PeerSilent => "no answer",
            Self::PeerBusy => "busy",
            Self::PeerUnreached => "unreached",
            Self::NoRelay => "no relay",
            Self::NoAddress => "no address",
            Self::Called => "by the DHT",
            Self::Trying => "trying",
            Self::RelayOnly { .. } => "relay only",
            Self::Policy { .. } => "forced",
            Self::Dropped => "dropped",
            Self::PathSilent => "silent",
            Self::PathLost => "direct lost",
            Self::PathNarrow { .. } => "too narrow",
            Self::PathOnTrial => "on trial",
            Self::RelayFaster => "relay wins",
            Self::NothingToProbe => "no address",
            Self::NoCommonFamily => "v4 and v6",
            Self::BothRandom | Self::RandomAndSequential { .. } => "hard NATs",
            Self::GuessingOff { .. } => "no guessing",
            Self::Guessing => "guessing",
            Self::GuessingWaits => "guess later",
            Self::GuessingFailed => "not guessed",
            Self::MappingSilent { .. } => "port silent",
            Self::SameRouter => "same router",
            Self::UdpBlocked { .. } => "UDP blocked",
            Self::Firewall { .. } => "firewall",
            Self::NatUnknown { .. } => "NAT unknown",
            Self::Silent => "no answer",
            Self::Unknown => "new reason",
        }
    }
}

impl Explanation {
    /// The cause in one line, without a full stop.
    #[must_use]
    pub fn line(&self) -> String {
        match self.cause {
            Cause::Direct { how } => direct(how, &self.evidence),
            Cause::Calling => "the peer was called and has not answered yet".to_owned(),
            Cause::NoAnswer => "the peer does not answer".to_owned(),
            Cause::PeerOffline => "the peer is not registered with its relay".to_owned(),
            Cause::PeerSilent => format!(
                "the peer has been silent for {}; its relay still has it registered",
                span(self.evidence.silent.unwrap_or_default())
            ),
            Cause::PeerBusy => "the peer is busy: too many call it at the moment".to_owned(),
            Cause::PeerUnreached => {
                "the peer's relay has it registered, but does not reach it at the moment".to_owned()
            }
            Cause::NoRelay => "no relay of the peer can be reached".to_owned(),
            Cause::NoAddress => {
                "not found on the local network, and nothing says where else".to_owned()
            }
            Cause::Called => BY_DHT.to_owned(),
            Cause::Trying => "a direct path is being tried".to_owned(),
            Cause::RelayOnly { side } => format!("{} was told to use relays only", node(side)),
            Cause::Policy { policy } => format!("this node was told: {policy} for this peer"),
            Cause::Dropped => format!(
                "this node was told to use {} of the peer no more",
                count(self.evidence.dropped, "address")
            ),
            Cause::PathSilent => "the direct path fell silent a moment ago".to_owned(),
            Cause::PathLost => "the direct path was lost".to_owned(),
            Cause::PathNarrow { carries, needs } => {
                format!("the direct path carries packets of {carries} bytes, but not of {needs}")
            }
            Cause::PathOnTrial => {
                "the direct path died and answers again, but not for long yet".to_owned()
            }
            Cause::RelayFaster => "the direct path is much slower than the relay".to_owned(),
            Cause::NothingToProbe => {
                "the peer named no address that this node may probe".to_owned()
            }
            Cause::NoCommonFamily => {
                let (here, there) = if self.evidence.here.ipv4 {
                    (4, 6)
                } else {
                    (6, 4)
                };
                format!("this node has only IPv{here}, and the peer only IPv{there}")
            }
            Cause::BothRandom => "both routers choose random ports".to_owned(),
            Cause::RandomAndSequential { random } => format!(
                "{} chooses random ports, and {} counts its own",
                router(random),
                router(random.other())
            ),
            Cause::GuessingOff { side } => {
                format!(
                    "a port would have to be guessed, and {} does not want that",
                    node(side)
                )
            }
            Cause::Guessing => "the ports of a router are being guessed".to_owned(),
            Cause::GuessingWaits => "guessing the router's port waits for its turn".to_owned(),
            Cause::GuessingFailed => "guessing the router's port failed".to_owned(),
            Cause::MappingSilent { side } => {
                format!(
                    "{} forwards a port, but nothing comes in through it",
                    router(side)
                )
            }
            Cause::SameRouter => "both are behind one router, which keeps them apart".to_owned(),
            Cause::UdpBlocked { side } => no_udp(&self.evidence, side),
            Cause::Firewall { side } => {
                format!("a firewall in {} drops what comes in", network(side))
            }
            Cause::NatUnknown { side } => {
                format!("it is not known how {} chooses ports", router(side))
            }
            Cause::Silent => "no probe came through in either direction".to_owned(),
            Cause::Unknown => "a reason that only newer versions of this program know".to_owned(),
        }
    }

    /// The cause in some sentences, with what it means and what it was concluded from.
    #[must_use]
    pub fn paragraph(&self) -> String {
        let evidence = &self.evidence;
        let mut meaning = self.meaning();
        if evidence.forced {
            meaning = format!("{meaning} {FORCED}");
        }
        if evidence.dropped > 0 && self.cause != Cause::Dropped {
            let dropped = count(evidence.dropped, "address");
            meaning = format!("{meaning} This node was told to use {dropped} of the peer no more.");
        }
        let calls_only = matches!(
            self.cause,
            Cause::Calling
                | Cause::NoAnswer
                | Cause::PeerOffline
                | Cause::PeerBusy
                | Cause::PeerUnreached
                | Cause::NoRelay
        );
        let complete = matches!(
            self.cause,
            Cause::NoAddress
                | Cause::Called
                | Cause::RelayOnly { .. }
                | Cause::Policy { .. }
                | Cause::PathSilent
                | Cause::Unknown
        );
        let facts = if complete {
            return meaning;
        } else if matches!(self.cause, Cause::Direct { .. }) {
            direct_cost(evidence)
        } else if calls_only {
            calls(evidence)
        } else {
            probing(evidence)
        };
        format!("{meaning} {facts}")
    }

    fn meaning(&self) -> String {
        let evidence = &self.evidence;
        match self.cause {
            Cause::Direct { how } => how.meaning().to_owned(),
            Cause::Calling => "This node said hello to the peer and waits for its answer.".to_owned(),
            Cause::NoAnswer => {
                "Nobody answered: the peer may be switched off, or it does not let this node in.".to_owned()
            }
            Cause::PeerOffline => {
                "The relay that the peer is to be met at answers, but does not know the peer: it is switched off, without a network, or registered elsewhere.".to_owned()
            }
            Cause::PeerSilent => {
                "The peer answers neither directly nor through its relay, which still has it registered: it was ended without a goodbye, sleeps, or has lost its network. A relay drops whom it does not hear of after about a minute.".to_owned()
            }
            Cause::PeerBusy => {
                "The peer is registered with its relay. So many call it without being answered that the relay lets no more calls through, and from no network more than its share.".to_owned()
            }
            Cause::PeerUnreached => UNREACHED.to_owned(),
            Cause::NoRelay => {
                "The peer can be met at its relay only, and this node could not register there.".to_owned()
            }
            Cause::NoAddress => {
                "An id alone says who the peer is, but not where: it was not found on the local network, and neither a relay nor another address of it is known.".to_owned()
            }
            Cause::Called => CALLED.to_owned(),
            Cause::Trying => {
                "Both sides know each other's addresses and probe them; data goes by the relay meanwhile.".to_owned()
            }
            Cause::RelayOnly { side } => relays_only(side).to_owned(),
            Cause::Policy { policy } => forced(policy).to_owned(),
            Cause::Dropped => {
                "The user dropped addresses of the peer, which are neither used nor probed until that is asked for or the network changes, and no other one answers. So data goes by the relay.".to_owned()
            }
            Cause::PathSilent => {
                "Nothing came back on the direct path for a moment. Data goes by the relay as well while the path is probed.".to_owned()
            }
            Cause::PathLost => {
                "There was a direct path; it stopped answering and was given up, and data goes by the relay. It comes back by itself when an address answers again.".to_owned()
            }
            Cause::PathNarrow { carries, needs } => format!(
                "Packets of {carries} bytes get through on the direct path, those of {needs} do not, which is what QUIC needs at the least. Something on the way has an MTU below that, a tunnel or VPN mostly, so data goes by the relay."
            ),
            Cause::PathOnTrial => {
                "There was a direct path that died. It answers again, and has to go on for some time before data is trusted to it; longer each time it dies.".to_owned()
            }
            Cause::RelayFaster => rtts(evidence),
            Cause::NothingToProbe => format!(
                "The peer named {}, of which this node may probe none: ports of other services and addresses inside of networks are never probed because a peer says so.",
                count(evidence.there.map_or(0, |there| there.offers.total()), "address")
            ),
            Cause::NoCommonFamily => {
                "IPv4 and IPv6 do not reach each other, and nothing here translates between them.".to_owned()
            }
            Cause::BothRandom => ports_so(evidence, "Neither side can be told where to send, and guessing both ports would take some hundred thousand packets. So data stays on the relay."),
            Cause::RandomAndSequential { .. } => ports_so(evidence, "Guessing would take tens of thousands of packets, because each of them changes the other port too. So data stays on the relay."),
            Cause::GuessingOff { .. } => ports_so(evidence, "The port could be guessed, but only if both sides agree to it."),
            Cause::Guessing => ports_so(evidence, "A port is being guessed; data goes by the relay meanwhile."),
            Cause::GuessingWaits => ports_so(evidence, "The port can be guessed, but either side does that for one peer at a time."),
            Cause::GuessingFailed => ports_so(evidence, "Guessing the port was in vain, and is not repeated at once so that nobody takes it for an attack."),
            Cause::MappingSilent { side } => mapping_silent(evidence, side),
            Cause::SameRouter => {
                "The relay sees both at one public address, so they are behind the same router. It lets its clients neither see each other nor meet at its public address.".to_owned()
            }
            Cause::UdpBlocked { side } => blocked(evidence, side),
            Cause::Firewall { side } => format!(
                "Probes from {} arrive, but those to it do not: its side lets UDP out and not in.",
                node(side)
            ),
            Cause::NatUnknown { side } => format!(
                "{} was not measured, because no relay answered from a second port. If it gives every destination another port, the peer's probes went to the wrong one.",
                capital(router(side))
            ),
            Cause::Silent => {
                "Both routers keep their ports, so the probes should have met. A firewall on either side drops UDP between strangers.".to_owned()
            }
            Cause::Unknown => NEWER.to_owned(),
        }
    }
}

fn direct(how: How, evidence: &Evidence) -> String {
    let tried = &evidence.tried;
    let forced = if evidence.forced { ", forced" } else { "" };
    let (took, packets) = (span(tried.took), count(tried.packets(), "packet"));
    format!("direct {how}, after {took} and {packets}{forced}")
}

fn mapping_silent(evidence: &Evidence, side: Side) -> String {
    let second = match of(evidence, side).and_then(|side| side.mapping_public) {
        Some(false) => {
            "The router's own address is not a public one: it is behind another router, mostly the provider's, which forwards nothing."
        }
        _ => "There is a firewall, or another router, that does not let it in.",
    };
    format!(
        "{} agreed to forward a port, but no probe of the other side came in through it. {second}",
        capital(router(side))
    )
}

fn relays_only(side: Side) -> &'static str {
    match side {
        Side::Here => {
            "This node was started so that it uses relays only and tells nobody its addresses. So no direct path is tried."
        }
        Side::There => {
            "The peer uses relays only, for all or for this node, and tells it no address. So no direct path is tried."
        }
    }
}

/// What it means that the user wants these paths for a peer.
fn forced(policy: PathPolicy) -> &'static str {
    match policy {
        PathPolicy::RelayOnly => {
            "This node was told to use relays only for this peer, and tells it no address. So no direct path is tried, and where no relay leads to the peer it is not reached. Other peers are not concerned."
        }
        PathPolicy::DirectOnly => {
            "This node was told to send nothing to this peer through relays but what leads to a direct path, and there is none yet. So the peer is not reached. Other peers are not concerned."
        }
        PathPolicy::Auto | PathPolicy::Unknown => NEWER,
    }
}

impl How {
    fn label(self) -> &'static str {
        match self {
            Self::Lan => "LAN",
            Self::Ipv6 => "IPv6",
            Self::Public => "public",
            Self::Mapped => "mapped",
            Self::Punched => "punched",
            Self::Predicted => "predicted",
            Self::Birthday => "birthday",
            Self::Tcp => "TCP",
            Self::Unknown => "direct",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Lan => "Both are in one local network.",
            Self::Ipv6 => "Both have IPv6, where no router changes addresses.",
            Self::Public => {
                "One side has a public address of its own, without a router that translates."
            }
            Self::Mapped => "A router forwards a port to one side, so the other can send there.",
            Self::Punched => {
                "Both sides sent at the same time, which opened both routers for each other."
            }
            Self::Predicted => "A router counts its ports, so the next one could be foretold.",
            Self::Birthday => {
                "One side opened many ports at its router and the other guessed until it hit one."
            }
            Self::Tcp => "UDP does not come through, but one side can be reached over TCP.",
            Self::Unknown => "It is so in a way that only newer versions of this program know.",
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lan => "in the local network",
            Self::Ipv6 => "over IPv6",
            Self::Public => "at a public address",
            Self::Mapped => "through a forwarded port",
            Self::Punched => "by hole punching",
            Self::Predicted => "by foretelling a port",
            Self::Birthday => "by guessing ports",
            Self::Tcp => "over TCP",
            Self::Unknown => "in a new way",
        })
    }
}

fn node(side: Side) -> &'static str {
    match side {
        Side::Here => "this node",
        Side::There => "the peer",
    }
}

fn router(side: Side) -> &'static str {
    match side {
        Side::Here => "your router",
        Side::There => "the peer's router",
    }
}

fn network(side: Side) -> &'static str {
    match side {
        Side::Here => "your network",
        Side::There => "the peer's network",
    }
}

fn capital(words: &str) -> String {
    let mut chars = words.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

fn of(evidence: &Evidence, side: Side) -> Option<&SideEvidence> {
    match side {
        Side::Here => Some(&evidence.here),
        Side::There => evidence.there.as_ref(),
    }
}

/// What both routers do with ports, and what follows.
fn ports_so(evidence: &Evidence, conclusion: &str) -> String {
    format!("{} {conclusion}", routers(evidence))
}

fn routers(evidence: &Evidence) -> String {
    let here = evidence.here.nat.to_string();
    let there = evidence
        .there
        .map_or_else(NatReport::default, |there| there.nat)
        .to_string();
    if here == there {
        format!(
            "Both routers {}.",
            here.replacen("gives", "give", 1)
                .replacen("keeps", "keep", 1)
        )
    } else {
        format!("Your router {here}; the peer's {there}.")
    }
}

fn no_udp(evidence: &Evidence, side: Side) -> String {
    match evidence.here.tcp {
        Some(port) if side == Side::Here => {
            format!("UDP is blocked on this network: relayed over TCP {port}")
        }
        Some(_) | None => format!("{} blocks UDP", network(side)),
    }
}

fn blocked(evidence: &Evidence, side: Side) -> String {
    let there = evidence.there.as_ref();
    match side {
        Side::Here if evidence.here.tcp.is_some() => {
            return "Nothing comes back of what is sent to the relay by UDP, so it is reached over TCP. Only a peer with a public address can be reached directly in this way.".to_owned();
        }
        Side::There if there.is_some_and(|there| there.tcp.is_some()) => {
            return "The peer reaches its relay over TCP, as it does where UDP does not come through.".to_owned();
        }
        Side::Here | Side::There => {}
    }
    match side {
        Side::There => format!(
            "No probe came through in either direction, while {} directly from here: it is the peer's network that lets no UDP through but that to its relay.",
            others(evidence.others_direct, "is linked", "are linked")
        ),
        Side::Here => format!(
            "No probe came through in either direction, nor with {}: it is your network that lets no UDP through but that to the relay.",
            count(evidence.others_silent, "other peer")
        ),
    }
}

fn others(number: u32, one: &str, more: &str) -> String {
    format!(
        "{} {}",
        count(number, "other peer"),
        if number == 1 { one } else { more }
    )
}

fn rtts(evidence: &Evidence) -> String {
    let ms = |time: Option<Duration>| time.map_or_else(|| "an unknown time".to_owned(), span);
    format!(
        "There is a direct path, but a round trip takes {} on it and {} by the relay. Data stays where it is faster.",
        ms(evidence.tried.direct_rtt),
        ms(evidence.tried.relay_rtt)
    )
}

fn direct_cost(evidence: &Evidence) -> String {
    let tried = &evidence.tried;
    let parts: Vec<String> = [
        (tried.hellos, "hello"),
        (tried.sent, "probe"),
        (tried.guesses(), "guess"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, thing)| count(number, thing))
    .collect();
    format!("It took {} and {}.", span(tried.took), parts.join(", "))
}

fn calls(evidence: &Evidence) -> String {
    let tried = &evidence.tried;
    let time = span(tried.took);
    match tried.hellos {
        0 => format!("Nothing could be sent for {time}."),
        hellos => format!("{} sent in {time}.", count(hellos, "hello")),
    }
}

fn probing(evidence: &Evidence) -> String {
    let tried = &evidence.tried;
    let answered = match tried.answered {
        0 => "none answered".to_owned(),
        answered => format!("{answered} answered"),
    };
    let heard = match evidence.here.heard {
        0 => "none of the peer's came in".to_owned(),
        heard => format!("{heard} of the peer's came in"),
    };
    if tried.packets() == tried.hellos {
        return "No probe was sent.".to_owned();
    }
    let guessing = match tried.guesses() {
        0 => String::new(),
        guesses => format!(", and {}", count(guesses, "guess")),
    };
    format!(
        "Tried for {}: {} to {}{guessing}; {answered}, {heard}.",
        span(tried.took),
        count(tried.sent, "probe"),
        count(tried.probed.total(), "address"),
    )
}

fn count(number: u32, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ if thing.ends_with("ss") => format!("{number} {thing}es"),
        _ => format!("{number} {thing}s"),
    }
}

/// A time as people say it.
pub(super) fn span(time: Duration) -> String {
    let ms = time.as_millis() as u64;
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..10_000 => format!("{:.1} s", ms as f64 / 1e3),
        10_000..120_000 => format!("{} s", ms / 1000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}
