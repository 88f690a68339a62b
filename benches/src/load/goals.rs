//! What is to be reached: a run that misses any of it fails.

use crate::Failure;

/// Prints what was measured beside its goal, and remembers what was missed.
#[derive(Debug, Default)]
pub(super) struct Goals {
    missed: Vec<String>,
}

impl Goals {
    pub(super) fn at_most(&mut self, what: &str, measured: f64, goal: f64) {
        self.note(what, measured, measured <= goal, format!("at most {goal}"));
    }

    pub(super) fn at_least(&mut self, what: &str, measured: f64, goal: f64) {
        self.note(what, measured, measured >= goal, format!("at least {goal}"));
    }

    /// # Errors
    /// What was missed.
    pub(super) fn reached(self) -> Result<(), Failure> {
        if self.missed.is_empty() {
            return Ok(());
        }
        Err(format!("missed: {}", self.missed.join("; ")).into())
    }

    fn note(&mut self, what: &str, measured: f64, is_reached: bool, goal: String) {
        println!("{what}: {measured:.3} (goal: {goal})");
        if !is_reached {
            self.missed.push(format!("{what}: {measured:.3}, {goal}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_fails_with_what_it_missed() {
        let mut goals = Goals::default();
        goals.at_most("KiB", 15.0, 16.0);
        goals.at_least("fairness", 0.8, 0.9);
        let missed = goals.reached().unwrap_err().to_string();
        assert_eq!(missed, "missed: fairness: 0.800, at least 0.9");
    }
}
