//! The machines in small worlds with virtual time: homes behind NATs, a relay, links with delay and loss.
//!
//! In every world each machine is a [`super::watched::Watched`], so that the promises hold in all of these tests.

mod abuse;
mod call_back;
mod choice;
mod clocks;
mod crowd;
mod explain;
mod failover;
mod families;
mod faults;
mod figures;
mod hard;
mod hello;
mod holding;
mod json;
mod lan;
mod lifetime;
mod lines;
mod mobility;
mod neighbours;
mod pairs;
mod parts;
mod policy;
mod probed;
mod random;
mod reference;
mod relays;
mod size;
mod stalls;
mod standing;
mod tcp;
mod world;
