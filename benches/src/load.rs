//! Relays under load: clients in numbers, and those who mean no good.
//!
//! The clients speak the real protocol, by QUIC's state machine and one task each, from many addresses of this computer, so that
//! what a relay grants each network is what it grants. The relay is the real one, with its limits, in a process of its own. A run
//! that misses a goal fails.

mod client;
mod fair;
mod flood;
mod flow;
mod goals;
mod idle;
mod line;
mod registered;
mod rude;
mod slow;
mod soak;
mod storm;
mod target;
mod times;

use clap::Subcommand;
use tokio::runtime::Builder;

use crate::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Load {
    /// Memory and processor time that idle clients cost a relay.
    Idle(idle::Args),
    /// Registrations at a steady rate: how long each takes, and what those notice who are there.
    Storm(storm::Storm),
    /// A relay is killed without a word: how long until its clients are at another, and how that one fares.
    Failover(storm::Failover),
    /// Datagrams of nobody in numbers: how long others' take through the relay meanwhile, and what is answered.
    Flood(flood::Args),
    /// TCP connections that say nothing or a byte at a time: whether real clients get in beside them.
    Slow(slow::Args),
    /// Clients that break the protocol, and such that never read: what they cost the relay and others.
    Rude(rude::Args),
    /// Pairs that send more than a relay forwards: whether each gets as much.
    Fair(fair::Args),
    /// Clients that come and go in all ways: whether the relay's memory stays what it is.
    Soak(soak::Args),
    /// The relay of the others.
    #[command(hide = true)]
    Relay(target::Args),
}

pub(crate) fn run(load: &Load) -> Result<(), Failure> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match load {
            Load::Idle(args) => idle::run(args).await,
            Load::Storm(args) => storm::storm(args).await,
            Load::Failover(args) => storm::failover(args).await,
            Load::Flood(args) => flood::run(args).await,
            Load::Slow(args) => slow::run(args).await,
            Load::Rude(args) => rude::run(args).await,
            Load::Fair(args) => fair::run(args).await,
            Load::Soak(args) => soak::run(args).await,
            Load::Relay(args) => target::serve(args).await,
        }
    })
}
