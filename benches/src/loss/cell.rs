//! One line to be measured.

use std::{fmt, str::FromStr, time::Duration};

use peerway_lab::{Bottleneck, Line};

/// Mbit/s; none is without limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate(Option<f64>);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let rate = text.parse().ok().filter(|rate: &f64| *rate > 0.0);
        let rate = rate.ok_or_else(|| format!("{text} is neither Mbit/s nor `none`"))?;
        Ok(Self(Some(rate)))
    }
}

/// How long the queue is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Queue {
    /// In bandwidth-delay products of the line.
    Bdp(f64),
    /// In bytes.
    Bytes(u64),
}

impl FromStr for Queue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let factor = |text: &str| {
            if text.is_empty() {
                Some(1.0)
            } else {
                positive(text)
            }
        };
        let bytes = |text: &str, unit: f64| positive(text).map(|n| Self::Bytes((n * unit) as u64));
        let queue = if let Some(text) = text.strip_suffix("bdp") {
            factor(text).map(Self::Bdp)
        } else if let Some(text) = text.strip_suffix("kB") {
            bytes(text, 1e3)
        } else if let Some(text) = text.strip_suffix("MB") {
            bytes(text, 1e6)
        } else {
            bytes(text, 1.0)
        };
        queue.ok_or_else(|| format!("{text} is no queue: give `bdp`, `4bdp`, `30kB` or `2MB`"))
    }
}

fn positive(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| *number > 0.0)
}

/// The line between the two homes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cell {
    rate: Rate,
    rtt: u32,
    loss: f64,
    queue: Queue,
}

impl Cell {
    pub(super) fn all(
        rates: &[Rate],
        rtts: &[u32],
        losses: &[f64],
        queues: &[Queue],
    ) -> impl Iterator<Item = Self> {
        queues.iter().flat_map(move |queue| {
            rtts.iter().flat_map(move |rtt| {
                rates.iter().flat_map(move |rate| {
                    losses.iter().map(|loss| Self {
                        rate: *rate,
                        rtt: *rtt,
                        loss: *loss,
                        queue: *queue,
                    })
                })
            })
        })
    }

    /// The sending home's line; the other home's does nothing.
    pub(super) fn line(&self) -> Line {
        Line {
            loss: self.loss / 100.0,
            bottleneck: self.rate.0.map(|rate| Bottleneck {
                rate: (rate * 1e6) as u64,
                queue: self.queue_bytes(rate),
            }),
            ..self.delay()
        }
    }

    /// The same line with nothing but its delay.
    pub(super) fn delay(&self) -> Line {
        Line::delayed(Duration::from_millis(self.rtt.into()) / 2)
    }

    fn queue_bytes(&self, rate: f64) -> u64 {
        match self.queue {
            Queue::Bytes(bytes) => bytes,
            Queue::Bdp(factor) => (factor * rate * 1e6 / 8.0 * f64::from(self.rtt) / 1e3) as u64,
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rtt, loss, .. } = self;
        match self.rate.0 {
            Some(rate) => {
                let queue = self.queue_bytes(rate) as f64 / 1e3;
                write!(f, "{rate:3} Mbit/s {rtt:3} ms {loss:3} % {queue:4.0} kB")
            }
            None => write!(f, "  no limit {rtt:3} ms {loss:3} %   no kB"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_of_one_bdp_holds_what_the_rate_carries_in_a_round_trip() {
        let cell = Cell {
            rate: "50".parse().unwrap(),
            rtt: 40,
            loss: 1.0,
            queue: "bdp".parse().unwrap(),
        };
        let expected = Line {
            delay: Duration::from_millis(20),
            loss: 0.01,
            bottleneck: Some(Bottleneck {
                rate: 50_000_000,
                queue: 250_000,
            }),
        };
        assert_eq!(cell.line(), expected);
    }

    #[test]
    fn queues_are_read_in_bytes_and_in_bdps() {
        let parse = |text: &str| text.parse::<Queue>().ok();
        assert_eq!(parse("4bdp"), Some(Queue::Bdp(4.0)));
        assert_eq!(parse("30kB"), Some(Queue::Bytes(30_000)));
        assert_eq!(parse("2MB"), Some(Queue::Bytes(2_000_000)));
        assert_eq!(parse("0"), None);
        assert_eq!(parse("long"), None);
    }
}
