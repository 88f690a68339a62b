//! What can go wrong between homes, while it lasts.

use super::{Home, network::line_interface};

/// A fault of the internet, between [`Lab::begin`](super::Lab::begin) and [`Lab::end`](super::Lab::end). Homes behind the
/// same carrier are not affected by those between them.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "tests name faults, they do not match on them"
)]
pub enum Fault<'a> {
    /// Nothing passes between the two; both still reach the rest.
    Cut(&'a Home, &'a Home),
    /// Nothing passes from the first to the second.
    OneWay(&'a Home, &'a Home),
    /// Packets of more than 1,280 bytes vanish between the two, and nobody is told.
    Narrow(&'a Home, &'a Home),
    /// The same for packets of more than 1,000 bytes, which is too narrow for QUIC.
    TooNarrow(&'a Home, &'a Home),
    /// UDP from and to the home vanishes.
    NoUdp(&'a Home),
}

impl Fault<'_> {
    /// The core's set that has the fault, and its elements.
    pub(super) fn elements(self) -> (&'static str, String) {
        let name = |home: &Home| line_interface(home.line());
        let both = |a, b| {
            let (a, b) = (name(a), name(b));
            format!("{a} . {b}, {b} . {a}")
        };
        match self {
            Self::Cut(a, b) => ("cut", both(a, b)),
            Self::OneWay(from, to) => ("cut", format!("{} . {}", name(from), name(to))),
            Self::Narrow(a, b) => ("narrow", both(a, b)),
            Self::TooNarrow(a, b) => ("too_narrow", both(a, b)),
            Self::NoUdp(home) => ("mute", name(home)),
        }
    }
}
