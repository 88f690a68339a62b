//! How a node's NATs behave, as nobody in the world can know it.

use super::{World, nat::Ports};
use crate::{NatBehavior, NatReport, PortAllocation, io::Input};

impl World {
    /// Tells a machine how its NATs behave.
    pub(crate) fn tell_truth(&mut self, at: usize) {
        let report = self.truth(at);
        self.feed(at, Input::Nat(report));
    }

    /// What a perfect measurement of a node's NATs would find.
    pub(crate) fn truth(&self, at: usize) -> NatReport {
        let chain = self.net.chain(at);
        let styles = || chain.iter().map(|nat| &self.net.nats[*nat].style);
        let worst = |mine: NatBehavior, theirs: NatBehavior| mine.max(theirs);
        let public = self.net.address(at, true).is_some() && chain.is_empty();
        let mut report = NatReport {
            mapping: NatBehavior::EndpointIndependent,
            filtering: if public {
                NatBehavior::EndpointIndependent
            } else {
                NatBehavior::AddressAndPortDependent
            },
            ..NatReport::default()
        };
        for (layer, style) in styles().enumerate() {
            report.filtering = match layer {
                0 => style.filtering,
                _ => worst(report.filtering, style.filtering),
            };
            if style.is_stable() {
                continue;
            }
            report.mapping = worst(report.mapping, style.mapping);
            report.allocation = match style.ports {
                Ports::Preserved => PortAllocation::Unknown,
                Ports::Sequential { step } => PortAllocation::Sequential { step },
                Ports::Random { first, last } => PortAllocation::Random { first, last },
            };
        }
        report
    }
}
