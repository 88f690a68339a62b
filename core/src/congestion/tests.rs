//! Flows over simulated lines.

mod cases;
mod line;
mod sender;
mod world;
