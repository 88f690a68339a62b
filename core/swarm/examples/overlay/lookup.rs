//! One search for a key: who was told of, who was asked, who is asked next. Pure, and the same for both overlays.

use std::time::Duration;

use super::table::{Answer, Id, Table};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fresh,
    Asked,
    /// At this time.
    Answered(Duration),
    Lost,
}

#[derive(Debug)]
struct Candidate {
    id: Id,
    /// Hops from the node that searches.
    depth: u32,
    state: State,
}

/// A search that goes on.
#[derive(Debug)]
pub(crate) struct Lookup {
    key: Id,
    /// Those that the search goes by, the best first.
    candidates: Vec<Candidate>,
    in_flight: usize,
    /// Nodes that were asked.
    pub(crate) asked: u32,
}

impl Lookup {
    /// Begins with what the searcher's own table says. `own` is its id, if it may be the one that is looked for.
    pub(crate) fn new<T: Table>(key: Id, own: Option<Id>, table: Answer) -> Self {
        let mut lookup = Self {
            key,
            candidates: Vec::new(),
            in_flight: 0,
            asked: 0,
        };
        if let Some(id) = own {
            lookup.candidates.push(Candidate {
                id,
                depth: 0,
                state: State::Answered(Duration::ZERO),
            });
        }
        lookup.learn::<T>(table, 1);
        lookup
    }

    /// Whom to ask now; none while answers have to come first, or when it is over.
    pub(crate) fn next<T: Table>(&mut self) -> Option<Id> {
        if self.in_flight >= T::WIDTH {
            return None;
        }
        let at = match self.first_fresh::<T>() {
            Some(at) => at,
            // The way there is known: only now the one at its end is asked.
            None if self.in_flight == 0 => {
                let nearest = self.nearest::<T>()?;
                (self.candidates[nearest].state == State::Fresh).then_some(nearest)?
            }
            None => return None,
        };
        self.candidates[at].state = State::Asked;
        self.in_flight += 1;
        self.asked += 1;
        Some(self.candidates[at].id)
    }

    /// Whether nobody is left to be asked.
    pub(crate) fn is_over(&self) -> bool {
        self.in_flight == 0
    }

    pub(crate) fn answered<T: Table>(&mut self, by: Id, answer: Answer, now: Duration) {
        if let Some(depth) = self.ends(by, State::Answered(now)) {
            self.learn::<T>(answer, depth + 1);
        }
    }

    pub(crate) fn lost(&mut self, by: Id) {
        self.ends(by, State::Lost);
    }

    /// The node that answers for the key as far as was found, its distance in hops, and when it answered.
    pub(crate) fn found<T: Table>(&self) -> Option<(Id, u32, Duration)> {
        let nearest = &self.candidates[self.nearest::<T>()?];
        match nearest.state {
            State::Answered(at) => Some((nearest.id, nearest.depth, at)),
            State::Fresh | State::Asked | State::Lost => None,
        }
    }

    fn ends(&mut self, by: Id, state: State) -> Option<u32> {
        let candidate = self.candidates.iter_mut().find(|it| it.id == by)?;
        if candidate.state != State::Asked {
            return None;
        }
        candidate.state = state;
        self.in_flight -= 1;
        Some(candidate.depth)
    }

    fn learn<T: Table>(&mut self, answer: Answer, depth: u32) {
        for id in answer.closer.into_iter().chain(answer.around) {
            if self.candidates.iter().any(|it| it.id == id) {
                continue;
            }
            let rank = T::rank(self.key, id);
            let at = self
                .candidates
                .partition_point(|it| T::rank(self.key, it.id) < rank);
            let state = State::Fresh;
            self.candidates.insert(at, Candidate { id, depth, state });
        }
    }

    /// The first of the best that was not asked yet.
    fn first_fresh<T: Table>(&self) -> Option<usize> {
        let living = self.candidates.iter().enumerate();
        let mut best = living
            .filter(|(_, it)| it.state != State::Lost)
            .take(T::ASKED);
        best.find(|(_, it)| it.state == State::Fresh)
            .map(|(at, _)| at)
    }

    fn nearest<T: Table>(&self) -> Option<usize> {
        let living = self.candidates.iter().enumerate();
        let living = living.filter(|(_, it)| it.state != State::Lost);
        living
            .min_by_key(|(_, it)| T::distance(self.key, it.id))
            .map(|(at, _)| at)
    }
}
