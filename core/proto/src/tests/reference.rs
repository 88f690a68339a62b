//! Whether two nodes can have a direct path, from what their homes are made of and nothing else (docs/traversal.md, 1).

use super::world::{Ports, Style, World};
use crate::NatBehavior;

/// What is to be expected of two nodes that want a link, once they have been left alone for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Expect {
    /// They are on the relay.
    Never,
    /// A direct path may turn up or not.
    May,
    /// A direct path is guessed, with a chance of about 99 % per try.
    Likely,
    /// They are direct.
    Must,
}

/// How one side's IPv4 looks from outside.
struct ReferenceSide {
    ports: Mapping,
    filter: NatBehavior,
    /// Anybody can come in by an address that it knows of.
    open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mapping {
    Stable,
    Counting,
    Drawn,
}

/// The two as they live now.
pub(crate) fn expect(world: &World, a: usize, b: usize) -> Expect {
    let (one, other) = (&world.nodes[a], &world.nodes[b]);
    if one.relay_only() || other.relay_only() {
        return Expect::Never;
    }
    if one.site == other.site {
        return Expect::Must;
    }
    let blocked = |site: usize| world.net.sites[site].blocked;
    if blocked(one.site) || blocked(other.site) {
        return Expect::Never;
    }
    let has = |at: usize, v4: bool| world.net.address(at, v4).is_some();
    if has(a, false) && has(b, false) {
        return Expect::Must;
    }
    let translated = |at: usize| world.net.sites[world.nodes[at].site].has_nat64();
    match (has(a, true), has(b, true)) {
        (true, true) => by_v4(world, a, b),
        (false, true) if translated(a) => Expect::May,
        (true, false) if translated(b) => Expect::May,
        _ => Expect::Never,
    }
}

fn by_v4(world: &World, a: usize, b: usize) -> Expect {
    let (ours, theirs) = (world.net.chain(a), world.net.chain(b));
    let Some(nat) = ours.last().filter(|_| ours.last() == theirs.last()) else {
        return by_internet(world, a, b);
    };
    if ours == theirs {
        return Expect::Must;
    }
    let inner = [&ours, &theirs].map(|chain| chain.len() > 1);
    let mapped = [&ours, &theirs].map(|chain| world.net.nats[chain[0]].style.forwards);
    // A gateway's own address in the carrier's network, or that of a host there, leads in without leaving it.
    let neighbours = match mapped.contains(&true) || inner.contains(&false) {
        true => Expect::May,
        false => Expect::Never,
    };
    if world.net.nats[*nat].style.hairpin {
        by_internet(world, a, b).max(neighbours)
    } else {
        neighbours
    }
}

/// By the addresses at which the rest of the world sees them.
fn by_internet(world: &World, a: usize, b: usize) -> Expect {
    let (ours, theirs) = (world.net.chain(a), world.net.chain(b));
    let guess = world.nodes[a].guesses() && world.nodes[b].guesses();
    let (a, b) = (side(world, a, &ours), side(world, b, &theirs));
    if a.open || b.open {
        return Expect::Must;
    }
    let (stable, varying) = if a.ports <= b.ports {
        (&a, &b)
    } else {
        (&b, &a)
    };
    let strict = NatBehavior::AddressAndPortDependent;
    match (stable.ports, varying.ports) {
        (Mapping::Stable, Mapping::Stable) => Expect::Must,
        // The port is learnt from a packet that comes from it.
        (Mapping::Stable, _) if stable.filter != strict => Expect::Must,
        // Nobody guesses, but a NAT may use a port again that the other side knows.
        _ if !guess => Expect::May,
        (Mapping::Stable, _) | (Mapping::Counting, Mapping::Counting) => Expect::Likely,
        _ if stable.filter != strict || varying.filter != strict => Expect::May,
        _ => Expect::Never,
    }
}

/// The worse mapping and the stricter filter of all layers.
fn side(world: &World, at: usize, chain: &[usize]) -> ReferenceSide {
    let styles = || chain.iter().map(|nat| &world.net.nats[*nat].style);
    let filters = styles().map(filtering);
    let filter = filters.max().unwrap_or(NatBehavior::EndpointIndependent);
    let ports = styles().map(mapping).max().unwrap_or(Mapping::Stable);
    let public = world.net.address(at, true).is_some() && chain.is_empty();
    let forwarded = chain.len() == 1 && styles().any(|style| style.forwards);
    let cone = filter == NatBehavior::EndpointIndependent && ports == Mapping::Stable;
    ReferenceSide {
        ports,
        filter,
        open: public || forwarded || cone,
    }
}

/// A forwarded port lets everybody in; it is the port that is used if mappings are stable.
fn filtering(style: &Style) -> NatBehavior {
    if style.forwards && mapping(style) == Mapping::Stable {
        NatBehavior::EndpointIndependent
    } else {
        style.filtering
    }
}

fn mapping(style: &Style) -> Mapping {
    match style.ports {
        Ports::Preserved => Mapping::Stable,
        _ if style.mapping == NatBehavior::EndpointIndependent => Mapping::Stable,
        Ports::Sequential { .. } => Mapping::Counting,
        Ports::Random { .. } => Mapping::Drawn,
    }
}
