//! Boxes that ask for something.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};

use peerway::PeerId;
use tui_input::Input;

use super::{header::split_at_char, popup, typing};
use crate::dash::{
    Request,
    connect::{Connect, Progress, Reading},
    format,
    look::Role,
    model::Model,
    transfers,
};

pub(super) fn connect(model: &Model, connect: &Connect, frame: &mut Frame<'_>, body: Rect) {
    let inside = popup(model, frame, body, (64, 10), "Connect");
    let (look, dot) = (model.look, model.look.glyphs.dot);
    let keys = match connect.progress {
        Progress::Typing | Progress::Failed(_) => format!("Enter dials {dot} Esc cancels"),
        Progress::Dialling(_) => format!("Esc closes {dot} the dial goes on"),
    };
    let mut lines = vec![
        Line::raw("Paste a ticket, an id, or a known peer's name or 8 letters:"),
        Line::default(),
        input_line(model, connect, usize::from(inside.width)),
        Line::default(),
    ];
    // Blank lines are the first to go.
    lines.retain(|line| inside.height >= 8 || line.width() > 0);
    lines.extend(verdict(model, connect));
    let text = Paragraph::new(lines).wrap(Wrap { trim: false });
    let [text_area, key_area] = inside.layout(&Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(1),
    ]));
    frame.render_widget(text, text_area);
    frame.render_widget(Line::styled(keys, look.style(Role::Dim)), key_area);
}

/// The end of the text up to the caret, and how long all of it is.
fn input_line(model: &Model, connect: &Connect, width: usize) -> Line<'static> {
    let (before, after) = split_at_char(connect.text(), connect.cursor());
    let count = format!("  {} chars", connect.text().chars().count());
    let room = width.saturating_sub(3 + count.len());
    let skipped = before.chars().count().saturating_sub(room);
    let seen_before: String = before.chars().skip(skipped).collect();
    let seen_after: String = after
        .chars()
        .take(room.saturating_sub(seen_before.chars().count()))
        .collect();
    Line::from(vec![
        Span::styled("> ", model.look.style(Role::Accent)),
        Span::raw(seen_before),
        Span::styled(model.look.glyphs.caret, model.look.style(Role::Accent)),
        Span::raw(seen_after),
        Span::styled(count, model.look.style(Role::Dim)),
    ])
}

fn verdict(model: &Model, connect: &Connect) -> Vec<Line<'static>> {
    let (look, glyphs) = (model.look, model.look.glyphs);
    match &connect.progress {
        Progress::Dialling(peer) => {
            let name = model.words().name(peer);
            let text = format!("{} dialling {name}", glyphs.connecting);
            return vec![Line::styled(text, look.style(Role::Info))];
        }
        Progress::Failed(reason) => {
            let text = format!("{} {}", glyphs.unreachable, model.words().foreign(reason));
            return vec![Line::styled(text, look.style(Role::Bad))];
        }
        Progress::Typing => {}
    }
    match connect.reading(model.data().snapshot.id, &model.known(), &model.names) {
        Reading::Nothing => vec![Line::styled(
            "The other side shows its ticket with Y, or with `peerway ticket`.",
            look.style(Role::Dim),
        )],
        Reading::Wrong(error) => vec![Line::styled(
            format!("{} {error}", glyphs.unreachable),
            look.style(Role::Bad),
        )],
        Reading::Ticket { ticket, bare } => {
            let what = if bare { "id" } else { "ticket of" };
            let relays: Vec<_> = ticket
                .relays()
                .iter()
                .map(|relay| model.words().relay(relay))
                .collect();
            let relays = if relays.is_empty() {
                "no relay".to_owned()
            } else {
                format!("relay {}", relays.join(", "))
            };
            let addresses = match ticket.addrs().len() {
                0 => "no addresses".to_owned(),
                1 => "1 address".to_owned(),
                count => format!("{count} addresses"),
            };
            let mut lines = vec![
                Line::styled(
                    format!("{} {what} {}", glyphs.check, ticket.id().short()),
                    look.style(Role::Good),
                ),
                Line::raw(format!("  {relays} {} {addresses}", glyphs.dot)),
            ];
            let own = &model.data().snapshot.relays;
            if own.is_empty() && ticket.relays().is_empty() && ticket.is_local() {
                let text = if ticket.discovery().is_some() {
                    "  without a relay: on this network, or by the Mainline DHT"
                } else {
                    "  without a relay it is found on this network only"
                };
                lines.push(Line::styled(text, look.style(Role::Warn)));
            }
            lines
        }
    }
}

pub(super) fn confirm_quit(model: &Model, frame: &mut Frame<'_>, body: Rect) {
    let inside = popup(model, frame, body, (54, 6), "Quit?");
    let text = format!("This window runs the node. {}", quitting(model));
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), inside);
}

/// What quitting would end, and the keys that do it or not.
pub(super) fn quitting(model: &Model) -> String {
    let open: u32 = model
        .data()
        .snapshot
        .peers
        .iter()
        .fold(0, |sum, peer| sum.saturating_add(peer.connections));
    let ends = if open == 1 {
        "1 open connection".to_owned()
    } else {
        format!("{open} open connections")
    };
    format!("Quitting ends {ends}.\n\nq quits, Esc stays.")
}

pub(super) fn name(model: &Model, peer: &PeerId, input: &Input, frame: &mut Frame<'_>, body: Rect) {
    let inside = popup(model, frame, body, (54, 5), "Name");
    let line = typing::line(model, '>', input, None, usize::from(inside.width));
    let lines = vec![
        Line::raw(format!("What is {} to be called?", peer.short())),
        line,
        Line::styled(
            "Enter writes it into the address book, Esc cancels",
            model.look.style(Role::Dim),
        ),
    ];
    frame.render_widget(Paragraph::new(lines), inside);
}

/// Whether a transfer is to end.
pub(super) fn cancel(model: &Model, id: u64, frame: &mut Frame<'_>, body: Rect) {
    let found = transfers::all(model.data()).iter().find(|it| it.id == id);
    let name = found.map_or_else(|| "It".to_owned(), |it| transfers::shown(model, it));
    let name = format::fit(&name, 40, model.look.glyphs.ellipsis);
    let inside = popup(model, frame, body, (54, 7), "Cancel?");
    let text = format!(
        "This ends the transfer of {name}. What is there stays: the same command goes on with it.\n\ny does it, Esc leaves it."
    );
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), inside);
}

/// What a second key is wanted for.
pub(super) fn confirm(
    model: &Model,
    peer: &PeerId,
    request: &Request,
    frame: &mut Frame<'_>,
    body: Rect,
) {
    let name = model.words().name(peer);
    let (title, what) = match request {
        Request::Disconnect => (
            "Disconnect?",
            format!("This ends all connections with {name}. It may dial again."),
        ),
        Request::Block => (
            "Block?",
            format!("{name} gets no answer any more, and is not dialled."),
        ),
        Request::LetIn if !model.blocked.contains(peer) => {
            ("Allow?", format!("{name} is let in whenever it calls."))
        }
        Request::LetIn => (
            "Allow?",
            format!("{name} is blocked. This lets it in again, and it may be dialled."),
        ),
        Request::Ping { .. }
        | Request::Retry
        | Request::Policy(_)
        | Request::Pair { .. }
        | Request::Rename(_) => ("Sure?", name),
    };
    let inside = popup(model, frame, body, (54, 6), title);
    let text = format!("{what}\n\ny does it, Esc cancels.");
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), inside);
}
