//! Questions to relays where they see one of our sockets, for the machine.

use std::collections::VecDeque;

use crate::io::Pair;

/// Questions that may be under way at once; an answer to an older one counts as lost.
const MAX_SAMPLES: usize = 64;

/// The questions that are under way.
#[derive(Debug, Default)]
pub struct Samples(VecDeque<([u8; 12], Pair)>);

impl Samples {
    /// A request with this transaction id goes to a relay, `pair`.
    pub fn ask(&mut self, tx: [u8; 12], pair: Pair) {
        if self.0.len() >= MAX_SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back((tx, pair));
    }

    /// Whether a response with this transaction id, which came from there, is the answer to one of them, which then is answered.
    pub fn take(&mut self, tx: [u8; 12], pair: Pair) -> bool {
        let asked = self.0.iter().position(|it| *it == (tx, pair));
        asked.is_some_and(|at| self.0.remove(at).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_once_from_where_it_was_asked_and_unless_it_is_old() {
        let at = |port| Pair::main(([192, 0, 2, 1], port).into());
        let mut samples = Samples::default();
        samples.ask([1; 12], at(1));
        assert!(!samples.take([1; 12], at(2)), "somebody else");
        assert!(!samples.take([2; 12], at(1)), "another question");
        assert!(samples.take([1; 12], at(1)));
        assert!(!samples.take([1; 12], at(1)), "again");
        samples.ask([1; 12], at(1));
        for number in 0..MAX_SAMPLES as u16 {
            samples.ask([2; 12], at(number));
        }
        assert!(!samples.take([1; 12], at(1)), "too old");
        assert!(samples.take([2; 12], at(0)));
    }
}
