//! The dashboard as a whole: what it shows, what keys do, and that nothing makes it panic.

pub(super) mod fixtures;
mod keys;
mod mouse;
mod robustness;
mod screens;
mod views;
