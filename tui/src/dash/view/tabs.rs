//! The second line: the views with what is in each, and how many peers there are of each kind. Below it, if need be, a note.

use std::collections::BTreeMap;

use ratatui::{
    Frame,
    layout::{Margin, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};

use super::sides;
use crate::dash::{
    contents, format, joined, look::Role, model::Model, note::note, tabs::View, words::Standing,
};

/// How much is said of the views, most first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    /// `[1 Overview]  2 Peers 12`
    Long,
    /// `[1]Over 2 Peers`
    Short,
    /// ` 1 [2]Peers 3`
    #[default]
    Digits,
}

pub(super) fn tabs(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let (form, right) = form(model, area);
    sides(frame, area, Line::from(views(model, form).concat()), right);
}

/// The view whose name stands at this column.
pub(in crate::dash) fn tab_at(model: &Model, area: Rect, x: u16) -> Option<View> {
    let (form, _) = form(model, area);
    let mut left = usize::from(area.x);
    for (view, spans) in View::ALL.into_iter().zip(views(model, form)) {
        let right = left + Line::from(spans).width();
        if (left..right).contains(&usize::from(x)) {
            return Some(view);
        }
        left = right;
    }
    None
}

/// The most that fits.
fn form(model: &Model, area: Rect) -> (Form, Line<'static>) {
    let room = usize::from(area.width);
    let forms = [
        (Form::Long, totals(model, true)),
        (Form::Long, totals(model, false)),
        (Form::Short, totals(model, false)),
        (Form::Digits, totals(model, false)),
    ];
    forms
        .into_iter()
        .find(|(form, right)| {
            let left = Line::from(views(model, *form).concat());
            left.width() + right.width() < room
        })
        .unwrap_or_default()
}

pub(super) fn note_line(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    if let Some((text, role)) = note(model) {
        if area.height > 1 {
            let text = Paragraph::new(text).wrap(Wrap { trim: true });
            let text = text.style(model.look.style(role));
            return frame.render_widget(text, area.inner(Margin::new(1, 0)));
        }
        let room = usize::from(area.width).saturating_sub(2);
        let text = format::fit(&text, room, model.look.glyphs.ellipsis);
        let line = Line::styled(format!(" {text}"), model.look.style(role));
        frame.render_widget(line, area);
    }
}

/// What is said of each view.
fn views(model: &Model, form: Form) -> Vec<Vec<Span<'static>>> {
    let mut all = Vec::new();
    for (view, number) in View::ALL.into_iter().zip(1..) {
        let here = view == model.view;
        let text = match (form, here) {
            (Form::Long, true) => format!(" [{number} {}{}]", view.name(), count(model, view)),
            (Form::Long, false) => format!("  {number} {}{} ", view.name(), count(model, view)),
            (Form::Short, true) => format!(" [{number}]{}", view.short()),
            (Form::Short, false) => format!(" {number} {}", view.short()),
            (Form::Digits, true) => format!(" [{number}]{}", view.name()),
            (Form::Digits, false) => format!(" {number}"),
        };
        let role = if here { Role::Accent } else { Role::Text };
        let mut spans = vec![Span::styled(text, model.look.style(role))];
        if view == View::Events && model.data().unread > 0 {
            let text = match form {
                Form::Long => format!("{}!", model.data().unread),
                Form::Short | Form::Digits => "!".to_owned(),
            };
            spans.push(Span::styled(text, model.look.style(Role::Warn)));
        }
        let unread = joined::unread(model.data());
        if view == View::Groups && unread > 0 {
            let text = match form {
                Form::Long => format!("{}{unread} ", model.look.glyphs.dot),
                Form::Short | Form::Digits => model.look.glyphs.dot.to_owned(),
            };
            spans.push(Span::styled(text, model.look.style(Role::Info)));
        }
        all.push(spans);
    }
    all
}

/// How many things a view is about, where that says something.
fn count(model: &Model, view: View) -> String {
    let peers = &model.data().snapshot.peers;
    let count: usize = match view {
        View::Peers => peers.len(),
        View::Flows => peers.iter().map(|peer| peer.flows.len()).sum(),
        View::Shares => contents::told(model.data()).len(),
        View::Groups => joined::all(model.data()).len(),
        View::Overview | View::Network | View::Map | View::Events => 0,
    };
    if count == 0 {
        String::new()
    } else {
        format!(" {count}")
    }
}

fn totals(model: &Model, with_words: bool) -> Line<'static> {
    let words = model.words();
    let mut counts = BTreeMap::<Standing, usize>::new();
    for peer in &model.data().snapshot.peers {
        *counts.entry(words.kind(peer)).or_default() += 1;
    }
    let spans = counts.into_iter().map(|(kind, count)| {
        let glyph = kind.glyph(model.look.glyphs);
        let word = if kind == Standing::Relay {
            "relayed"
        } else {
            kind.word()
        };
        let text = if with_words {
            format!("{glyph} {count} {word}  ")
        } else {
            format!("{glyph}{count} ")
        };
        Span::styled(text, model.look.style(kind.role()))
    });
    Line::from_iter(spans)
}
