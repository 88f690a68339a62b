//! The rate of the path: the largest delivery rate of the present probe cycle and the one before
//! (draft-ietf-ccwg-bbr section 5.5.5).

/// Bytes per second.
#[derive(Clone, Debug, Default)]
pub(super) struct MaxBw {
    before: f64,
    present: f64,
    /// Whether the present cycle has a sample that only the path limited.
    measured: bool,
}

impl MaxBw {
    pub(super) fn get(&self) -> f64 {
        self.before.max(self.present)
    }

    /// A sender with too little to send says of the path only that it is no slower.
    pub(super) fn observe(&mut self, rate: f64, app_limited: bool) {
        if !app_limited || rate > self.get() {
            self.present = self.present.max(rate);
            self.measured |= !app_limited;
        }
    }

    /// Begins a cycle, unless the present one showed nothing.
    pub(super) fn begin_cycle(&mut self) {
        if self.measured {
            self.before = self.present;
            self.present = 0.0;
            self.measured = false;
        }
    }

    /// The path was full and gave just this.
    pub(super) fn set(&mut self, rate: f64) {
        self.before = rate;
        self.present = rate;
    }
}
