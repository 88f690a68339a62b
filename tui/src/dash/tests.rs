//! The dashboard as a whole: what it shows, what keys do, and that nothing makes it panic.

mod asked;
mod changes;
pub(super) mod commons;
mod diagnoses;
mod exposed;
pub(super) mod fixtures;
mod groups;
mod hints;
mod keys;
// A build for debugging is too slow for it.
#[cfg(not(debug_assertions))]
mod large;
mod moments;
mod mouse;
mod robustness;
mod screens;
mod transfers;
mod truth;
mod views;
