//! A cause between two others, in words.

use super::{Cause, Side};

impl Cause {
    /// The cause in one line without a full stop, for who is neither end of the link: `here` is what the end is called that found
    /// it out, `there` the other one.
    #[must_use]
    pub fn between(&self, here: &str, there: &str) -> String {
        let node = |side: Side| match side {
            Side::Here => here,
            Side::There => there,
        };
        match *self {
            Self::Direct { how } => format!("direct {how}"),
            Self::Calling => format!("{there} was called and has not answered yet"),
            Self::NoAnswer => format!("{there} does not answer"),
            Self::PeerOffline => format!("{there} is not registered with its relay"),
            Self::PeerSilent => {
                format!("{there} is silent; its relay still has it registered")
            }
            Self::PeerBusy => format!("{there} is busy: too many call it at the moment"),
            Self::PeerUnreached => {
                format!("the relay of {there} has it registered, but does not reach it")
            }
            Self::NoRelay => format!("{here} reaches no relay of {there}"),
            Self::NoAddress => format!("{here} does not know where {there} is"),
            Self::Called => format!("{here} called {there} by the DHT, as it has no relay"),
            Self::Trying => "a direct path is being tried".to_owned(),
            Self::RelayOnly { side } => format!("{} was told to use relays only", node(side)),
            Self::Policy { policy } => format!("{here} was told: {policy} for {there}"),
            Self::Dropped => format!("{here} was told to use addresses of {there} no more"),
            Self::PathSilent => "the direct path fell silent a moment ago".to_owned(),
            Self::PathLost => "the direct path was lost".to_owned(),
            Self::PathNarrow { .. } => "the direct path is too narrow for QUIC".to_owned(),
            Self::PathOnTrial => {
                "the direct path died and answers again, but not for long yet".to_owned()
            }
            Self::RelayFaster => "the direct path is much slower than the relay".to_owned(),
            Self::NothingToProbe => format!("{there} named no address that {here} may probe"),
            Self::NoCommonFamily => "one of them has only IPv4, and the other only IPv6".to_owned(),
            Self::BothRandom => "both routers choose random ports".to_owned(),
            Self::RandomAndSequential { random } => format!(
                "the router of {} chooses random ports, and that of {} counts its own",
                node(random),
                node(random.other())
            ),
            Self::GuessingOff { side } => format!(
                "a port would have to be guessed, and {} does not want that",
                node(side)
            ),
            Self::Guessing => "the ports of a router are being guessed".to_owned(),
            Self::GuessingWaits => "guessing the router's port waits for its turn".to_owned(),
            Self::GuessingFailed => "guessing the router's port failed".to_owned(),
            Self::MappingSilent { side } => format!(
                "the router of {} forwards a port, but nothing comes in through it",
                node(side)
            ),
            Self::SameRouter => "both are behind one router, which keeps them apart".to_owned(),
            Self::UdpBlocked { side } => format!("the network of {} blocks UDP", node(side)),
            Self::Firewall { side } => {
                format!("a firewall at {} drops what comes in", node(side))
            }
            Self::NatUnknown { side } => {
                format!(
                    "it is not known how the router of {} chooses ports",
                    node(side)
                )
            }
            Self::Silent => "no probe came through in either direction".to_owned(),
            Self::Unknown => "a reason that only newer versions of this program know".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_called_by_its_name_whoever_looks() {
        let cause = Cause::Firewall { side: Side::There };
        let told = cause.between("nas", "laptop");
        assert_eq!(told, "a firewall at laptop drops what comes in");
        let cause = Cause::RandomAndSequential { random: Side::Here };
        let told = cause.between("nas", "laptop");
        assert_eq!(
            told,
            "the router of nas chooses random ports, and that of laptop counts its own"
        );
    }
}
