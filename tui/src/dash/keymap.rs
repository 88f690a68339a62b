//! Every key and what it does, as data: dispatch, footer and help are made of it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::look::Glyphs;

/// What has the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    Overview,
    Details,
    Share,
    Help,
    /// After `y`, until the next key.
    Copy,
    /// A line of text is being written.
    Typing,
    /// Leaving would end connections.
    Confirm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Accept,
    Back,
    Connect,
    Copy(What),
    CopyChord,
    Details,
    Expand,
    Filter,
    Freeze,
    Help,
    Move(Step),
    NextPanel,
    Quit,
    QuitKeepingScreen,
    Repaint,
    Reverse,
    Share,
    Sort,
    ToggleMask,
    Zoom(Zoom),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Id,
    Ticket,
    Address,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Up,
    Down,
    HalfPageUp,
    HalfPageDown,
    PageUp,
    PageDown,
    First,
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zoom {
    In,
    Out,
    Reset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) code: KeyCode,
    pub(super) control: bool,
}

/// One line of the key table.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) keys: &'static [Key],
    pub(super) contexts: &'static [Context],
    pub(super) action: Action,
    pub(super) help: &'static str,
    /// The word in the footer, for the keys one needs first.
    pub(super) footer: Option<&'static str>,
}

/// What the key does in this context.
pub(super) fn find(context: Context, event: &KeyEvent) -> Option<Action> {
    BINDINGS
        .iter()
        .filter(|binding| binding.contexts.contains(&context))
        .find(|binding| binding.keys.iter().any(|key| key.matches(event)))
        .map(|binding| binding.action)
}

/// The bindings of a context that belong into its footer, most useful first.
pub(super) fn footer(context: Context) -> impl Iterator<Item = (&'static Binding, &'static str)> {
    BINDINGS
        .iter()
        .filter(move |binding| binding.contexts.contains(&context))
        .filter_map(|binding| Some((binding, binding.footer?)))
}

impl Key {
    /// Shift is in the character already, and terminals do not agree on whether to report it.
    fn matches(&self, event: &KeyEvent) -> bool {
        self.code == event.code
            && self.control == event.modifiers.contains(KeyModifiers::CONTROL)
            && !event.modifiers.contains(KeyModifiers::ALT)
    }

    fn label(&self, glyphs: &Glyphs) -> String {
        let name = match (self.code, self.control) {
            (KeyCode::Char(' '), _) => "Space",
            (KeyCode::Char(c), true) => return format!("^{}", c.to_ascii_uppercase()),
            (KeyCode::Char(c), false) => return c.to_string(),
            (KeyCode::Up, _) => glyphs.up,
            (KeyCode::Down, _) => glyphs.down,
            (KeyCode::PageUp, _) => "PgUp",
            (KeyCode::PageDown, _) => "PgDn",
            (KeyCode::BackTab, _) => "Shift-Tab",
            (code, _) => return code.to_string(),
        };
        name.to_owned()
    }
}

impl Binding {
    pub(super) fn labels(&self, glyphs: &Glyphs) -> String {
        let labels: Vec<_> = self.keys.iter().map(|key| key.label(glyphs)).collect();
        labels.join(" ")
    }

    /// The first key only, for the footer.
    pub(super) fn label(&self, glyphs: &Glyphs) -> String {
        self.keys
            .first()
            .map(|key| key.label(glyphs))
            .unwrap_or_default()
    }
}

const fn key(code: KeyCode) -> Key {
    Key {
        code,
        control: false,
    }
}

const fn char(c: char) -> Key {
    key(KeyCode::Char(c))
}

const fn control(c: char) -> Key {
    Key {
        code: KeyCode::Char(c),
        control: true,
    }
}

const fn bind(
    keys: &'static [Key],
    contexts: &'static [Context],
    action: Action,
    help: &'static str,
    footer: Option<&'static str>,
) -> Binding {
    Binding {
        keys,
        contexts,
        action,
        help,
        footer,
    }
}

use Context as C;

const LIST: &[Context] = &[C::Overview, C::Details];
const MOVING: &[Context] = &[C::Overview, C::Details, C::Help];
const CALM: &[Context] = &[C::Overview, C::Details, C::Share, C::Help];

#[rustfmt::skip]
pub(super) const BINDINGS: &[Binding] = &[
    bind(&[char('?')], CALM, Action::Help, "this help", Some("help")),
    bind(&[char('/')], &[C::Overview], Action::Filter, "filter peers: part of a name, or path=relay", Some("filter")),
    bind(&[key(KeyCode::Enter), char('w')], LIST, Action::Details, "details of the selected peer, and why it is not direct", Some("details")),
    bind(&[char('c')], LIST, Action::Connect, "connect: paste a ticket or an id", Some("connect")),
    bind(&[char('f'), char(' ')], LIST, Action::Freeze, "freeze the screen, or let it run again", Some("freeze")),
    bind(&[char('Y')], LIST, Action::Share, "share this node: ticket and QR code", Some("share")),
    bind(&[char('j'), key(KeyCode::Down)], MOVING, Action::Move(Step::Down), "next row", None),
    bind(&[char('k'), key(KeyCode::Up)], MOVING, Action::Move(Step::Up), "previous row", None),
    bind(&[char('g'), key(KeyCode::Home)], MOVING, Action::Move(Step::First), "first row", None),
    bind(&[char('G'), key(KeyCode::End)], MOVING, Action::Move(Step::Last), "last row", None),
    bind(&[control('d')], MOVING, Action::Move(Step::HalfPageDown), "half a page down", None),
    bind(&[control('u')], MOVING, Action::Move(Step::HalfPageUp), "half a page up", None),
    bind(&[key(KeyCode::PageDown)], MOVING, Action::Move(Step::PageDown), "a page down", None),
    bind(&[key(KeyCode::PageUp)], MOVING, Action::Move(Step::PageUp), "a page up", None),
    bind(&[key(KeyCode::Tab), key(KeyCode::BackTab)], &[C::Overview], Action::NextPanel, "peers or events", None),
    bind(&[char('e')], &[C::Overview], Action::Expand, "this panel alone, or all of them", None),
    bind(&[char('s')], &[C::Overview], Action::Sort, "sort by the next column", None),
    bind(&[char('S')], &[C::Overview], Action::Reverse, "sort the other way round", None),
    bind(&[char('+'), char('=')], &[C::Overview], Action::Zoom(Zoom::In), "shorter time in the charts", None),
    bind(&[char('-')], &[C::Overview], Action::Zoom(Zoom::Out), "longer time in the charts", None),
    bind(&[char('0')], &[C::Overview], Action::Zoom(Zoom::Reset), "two minutes in the charts", None),
    bind(&[char('y')], LIST, Action::CopyChord, "copy: then i id, t ticket, a address", None),
    bind(&[char('v')], LIST, Action::ToggleMask, "hide addresses, for sharing the screen", None),
    bind(&[control('l')], CALM, Action::Repaint, "paint the screen anew", None),
    bind(&[char('i')], &[C::Copy], Action::Copy(What::Id), "copy the selected peer's id (after y)", Some("id")),
    bind(&[char('t')], &[C::Copy], Action::Copy(What::Ticket), "copy this node's ticket (after y)", Some("ticket")),
    bind(&[char('a')], &[C::Copy], Action::Copy(What::Address), "copy the selected peer's address (after y)", Some("address")),
    bind(&[key(KeyCode::Enter)], &[C::Typing], Action::Accept, "accept what was typed", Some("accept")),
    bind(&[char('q'), char('y'), key(KeyCode::Enter)], &[C::Confirm], Action::Accept, "quit although connections are open", Some("quit")),
    bind(&[char('y')], &[C::Share], Action::Copy(What::Ticket), "copy the ticket (while it is shown)", Some("copy")),
    bind(&[key(KeyCode::Esc)], &[C::Overview], Action::Back, "one step back", None),
    bind(&[key(KeyCode::Esc)], &[C::Details, C::Share, C::Help, C::Copy, C::Typing, C::Confirm], Action::Back, "close, or cancel", Some("back")),
    bind(&[char('q')], CALM, Action::Quit, "quit", Some("quit")),
    bind(&[char('Q')], CALM, Action::QuitKeepingScreen, "quit, leaving the screen in the terminal", None),
];
