//! Flows over simulated lines.

mod cases;
mod hostile;
mod sender;
mod world;

use super::line;
