//! All lines at a glance.

use super::{cell::Cell, run::Outcome};

/// What was measured, by line and by what flowed over it.
#[derive(Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
}

struct Entry {
    cell: Cell,
    title: String,
    outcomes: Vec<Outcome>,
}

impl Table {
    pub(super) fn add(&mut self, cell: &Cell, title: &str, outcome: Outcome) {
        let known = |entry: &&mut Entry| entry.cell == *cell && entry.title == title;
        match self.entries.iter_mut().find(known) {
            Some(entry) => entry.outcomes.push(outcome),
            None => self.entries.push(Entry {
                cell: *cell,
                title: title.to_owned(),
                outcomes: vec![outcome],
            }),
        }
    }

    /// In Markdown, if there is more to it than the lines printed before.
    pub(super) fn print<'a>(&self, titles: impl Iterator<Item = &'a str>) {
        if self.entries.len() < 2 {
            return;
        }
        let titles: Vec<_> = titles.collect();
        println!(
            "\nMbit/s, in brackets % dropped by the queue, then ping p50/p95 in ms; medians\n"
        );
        println!("| line | {} |", titles.join(" | "));
        println!("|---|{}", "---|".repeat(titles.len()));
        let mut cells: Vec<_> = self.entries.iter().map(|entry| entry.cell).collect();
        cells.dedup();
        for cell in cells {
            let of = |title: &&str| {
                let known = |entry: &&Entry| entry.cell == cell && entry.title == *title;
                let entry = self.entries.iter().find(known);
                entry.map_or_else(String::new, |entry| summary(&entry.outcomes))
            };
            let figures: Vec<_> = titles.iter().map(of).collect();
            println!("| {cell} | {} |", figures.join(" | "));
        }
    }
}

fn summary(outcomes: &[Outcome]) -> String {
    let flows = outcomes.first().map_or(0, |outcome| outcome.goodput.len());
    let goodput: Vec<_> = (0..flows)
        .map(|flow| format!("{:.1}", median(outcomes, |outcome| outcome.goodput[flow])))
        .collect();
    let share = if flows > 1 {
        let share = median(outcomes, |outcome| outcome.goodput[0] / outcome.total());
        format!(" = {:.0} %", 100.0 * share)
    } else {
        String::new()
    };
    format!(
        "{}{share} ({:.1}) {:.0}/{:.0}",
        goodput.join(" + "),
        median(outcomes, |outcome| outcome.dropped),
        median(outcomes, |outcome| outcome.rtt[0]),
        median(outcomes, |outcome| outcome.rtt[1]),
    )
}

fn median(outcomes: &[Outcome], of: impl Fn(&Outcome) -> f64) -> f64 {
    let mut values: Vec<_> = outcomes.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let n = values.len();
    let at = |i: usize| values.get(i).copied().unwrap_or(f64::NAN);
    f64::midpoint(at(n.saturating_sub(1) / 2), at(n / 2))
}
