//! Which paths are proven in their present life: since they last died, and since we last moved.

use std::collections::BTreeSet;

use crate::io::Pair;

#[derive(Default)]
pub(super) struct Paths {
    /// Where something was sent.
    asked: BTreeSet<Pair>,
    /// Where something came from after that.
    proven: BTreeSet<Pair>,
}

impl Paths {
    pub(super) fn sent(&mut self, pair: Pair) {
        self.asked.insert(pair);
    }

    pub(super) fn heard(&mut self, pair: Pair) {
        if self.asked.contains(&pair) {
            self.proven.insert(pair);
        }
    }

    /// The path was given up.
    pub(super) fn died(&mut self, pair: Pair) {
        self.asked.remove(&pair);
        self.proven.remove(&pair);
    }

    /// Our packets leave elsewhere now, or we slept.
    pub(super) fn moved(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_proven(&self, pair: Pair) -> bool {
        self.proven.contains(&pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proven() -> (Paths, Pair) {
        let pair = Pair::main("192.0.2.1:4".parse().unwrap());
        let mut paths = Paths::default();
        paths.heard(pair);
        assert!(!paths.is_proven(pair), "it may be anybody's packet");
        paths.sent(pair);
        assert!(!paths.is_proven(pair), "nothing has come back");
        paths.heard(pair);
        assert!(paths.is_proven(pair));
        (paths, pair)
    }

    #[test]
    fn a_path_that_died_or_that_we_moved_away_from_has_to_prove_itself_anew() {
        for ends in [Paths::died, |paths: &mut Paths, _| paths.moved()] {
            let (mut paths, pair) = proven();
            ends(&mut paths, pair);
            paths.heard(pair);
            assert!(!paths.is_proven(pair), "an answer to what was asked before");
            paths.sent(pair);
            paths.heard(pair);
            assert!(paths.is_proven(pair));
        }
    }
}
