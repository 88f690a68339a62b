//! Flows over simulated lines.

mod cases;
mod hostile;
mod line;
#[cfg(feature = "net")]
mod real;
mod sender;
mod world;
