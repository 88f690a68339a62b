//! The dashboard as a whole: what it shows, what keys do, and that nothing makes it panic.

mod fixtures;
mod keys;
mod robustness;
mod screens;
