//! The keys of a run: those of the program, but for what a `keys.toml` says otherwise.

use std::{collections::BTreeMap, fmt::Write};

use crossterm::event::{KeyCode, KeyEvent};

use super::{
    NetworkRequest,
    keymap::{Action, Ask, BINDINGS, Binding, Context, Key, Zoom},
    look::{Glyphs, UNICODE},
    own::{Entry, Mistake, entries},
    speed::Turn,
    tabs::View,
};

/// What a file may give other keys, as it calls it. Movement, Enter, Esc, ^C and what follows the first key of two stay as they are.
const NAMES: [(&str, Action); 54] = [
    ("overview", Action::View(View::Overview)),
    ("peers", Action::View(View::Peers)),
    ("network", Action::View(View::Network)),
    ("flows", Action::View(View::Flows)),
    ("map", Action::View(View::Map)),
    ("events", Action::View(View::Events)),
    ("shares", Action::View(View::Shares)),
    ("groups", Action::View(View::Groups)),
    ("next-panel", Action::NextPanel),
    ("previous-panel", Action::PreviousPanel),
    ("why", Action::Details),
    ("connect", Action::Connect),
    ("ping", Action::Ask(Ask::Ping)),
    ("until-direct", Action::Ask(Ask::UntilDirect)),
    ("retry", Action::Ask(Ask::Retry)),
    ("policy", Action::Ask(Ask::NextPolicy)),
    ("probe-pair", Action::Ask(Ask::ProbePair)),
    ("force-pair", Action::Ask(Ask::ForcePair)),
    ("drop-pair", Action::Ask(Ask::DropPair)),
    ("rename", Action::Ask(Ask::Name)),
    ("disconnect", Action::Ask(Ask::Disconnect)),
    ("block", Action::Ask(Ask::Block)),
    ("accept", Action::Callers),
    ("scale", Action::ToggleScale),
    ("tunnel", Action::Tunnel),
    ("pause", Action::Hold),
    ("cancel", Action::CancelTransfer),
    ("measure", Action::Network(NetworkRequest::Measure)),
    ("renew", Action::Network(NetworkRequest::RenewMappings)),
    ("home", Action::Homes),
    ("help", Action::Help),
    ("filter", Action::Filter),
    ("tree", Action::ToggleTree),
    ("level", Action::Level),
    ("follow", Action::Follow),
    ("wrap", Action::Wrap),
    ("freeze", Action::Freeze),
    ("faster", Action::Speed(Turn::Faster)),
    ("slower", Action::Speed(Turn::Slower)),
    ("command", Action::Prompt),
    ("share", Action::Share),
    ("sort", Action::SortMenu),
    ("reverse", Action::Reverse),
    ("faults", Action::FaultsOnly),
    ("book", Action::Book),
    ("expand", Action::Expand),
    ("shorter", Action::Zoom(Zoom::In)),
    ("longer", Action::Zoom(Zoom::Out)),
    ("default-time", Action::Zoom(Zoom::Reset)),
    ("mask", Action::ToggleMask),
    ("repaint", Action::Repaint),
    ("suspend", Action::Suspend),
    ("quit", Action::Quit),
    ("quit-keeping-screen", Action::QuitKeepingScreen),
];

const HEAD: &str = "\
# Keys of Peerway's dashboard, as keys.toml in its config folder. What is left out keeps its keys; [] leaves it without one.
# A key is \"p\", \"P\", \"^P\" with Ctrl, \"Space\", \"Tab\", \"Shift-Tab\", \"Insert\", \"Delete\", or \"F1\" to \"F12\".
";

/// The keys of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(BTreeMap<&'static str, Vec<Key>>);

impl Keys {
    /// What the file says.
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        let mut keys = Self::default();
        let entries = entries(text)?;
        for entry in &entries {
            let named = NAMES.iter().find(|(name, _)| *name == entry.key);
            let Some((name, action)) = named else {
                let known = NAMES.map(|(name, _)| name);
                return Err(entry.unknown("action", &entry.key, &known));
            };
            let read = entry.values.iter().map(|text| key(entry, text));
            let read: Result<Vec<Key>, _> = read.collect();
            let read = read.map_err(|it: Mistake| it.behind(name))?;
            let is_written_over = |binding: &&Binding| {
                binding.action == *action && binding.contexts.iter().any(|it| it.is_written())
            };
            let typed = read.iter().find(|key| key.is_typed());
            if let Some(typed) = typed.filter(|_| BINDINGS.iter().any(|it| is_written_over(&it))) {
                let typed = typed.label(&UNICODE);
                let wrong =
                    format!("{typed} is typed in texts, where {name} works too: take one with ^");
                return Err(entry.wrong(wrong));
            }
            keys.0.insert(*name, read);
        }
        for entry in &entries {
            keys.check(entry)?;
        }
        Ok(keys)
    }

    /// Whether nothing else that the file names, or that has no name, has the keys of an entry where it works. What it does not name gives way.
    fn check(&self, entry: &Entry) -> Result<(), Mistake> {
        let is_its = |binding: &&Binding| name(binding.action) == Some(entry.key.as_str());
        for it in BINDINGS.iter().filter(is_its) {
            let here = |binding: &&Binding| {
                let shared = binding
                    .contexts
                    .iter()
                    .any(|context| it.contexts.contains(context));
                shared && binding.action != it.action && !self.gives_way(binding)
            };
            for other in BINDINGS.iter().filter(here) {
                let taken = self.of(it).iter().find(|key| self.of(other).contains(key));
                let Some(taken) = taken else { continue };
                let taken = taken.label(&UNICODE);
                let its = &entry.key;
                return Err(entry.wrong(match (name(other.action), other.action) {
                    (Some(other), _) => format!(
                        "{taken} is the key of {other} where {its} works: give {other} another one"
                    ),
                    (None, Action::Chord(chord)) => {
                        let title = chord.title();
                        format!(
                            "{taken} is the first of two keys ({title}) where {its} works: take another one"
                        )
                    }
                    (None, _) => format!(
                        "{taken} moves about or leads back where {its} works: take another one"
                    ),
                }));
            }
        }
        Ok(())
    }

    /// The keys of a line of the table.
    pub(super) fn of<'a>(&'a self, binding: &'a Binding) -> &'a [Key] {
        let own = name(binding.action).and_then(|name| self.0.get(name));
        own.map_or(binding.keys, Vec::as_slice)
    }

    fn is_named(&self, binding: &Binding) -> bool {
        name(binding.action).is_some_and(|name| self.0.contains_key(name))
    }

    /// Whether a file that came before this action keeps the keys that it gives to others.
    fn gives_way(&self, binding: &Binding) -> bool {
        name(binding.action).is_some() && !self.is_named(binding)
    }

    /// Whether the file gives a key of this line to something else there.
    fn is_taken(&self, binding: &Binding, context: Context, key: &Key) -> bool {
        !self.0.is_empty()
            && self.gives_way(binding)
            && BINDINGS.iter().any(|other| {
                other.contexts.contains(&context)
                    && self.is_named(other)
                    && self.of(other).contains(key)
            })
    }

    /// The keys of a line of the table that are its own in this context.
    pub(super) fn within<'a>(
        &'a self,
        binding: &'a Binding,
        context: Context,
    ) -> impl Iterator<Item = &'a Key> {
        let keys = self.of(binding).iter();
        keys.filter(move |key| !self.is_taken(binding, context, key))
    }

    /// What the key does in this context.
    pub(super) fn find(&self, context: Context, event: &KeyEvent) -> Option<Action> {
        BINDINGS
            .iter()
            .filter(|binding| binding.contexts.contains(&context))
            .find(|binding| self.within(binding, context).any(|key| key.matches(event)))
            .map(|binding| binding.action)
    }

    /// The first key that does this in this context; none if there is none.
    pub(super) fn first(
        &self,
        context: Context,
        action: Action,
        glyphs: &Glyphs,
    ) -> Option<String> {
        let its =
            |binding: &&Binding| binding.action == action && binding.contexts.contains(&context);
        let its = BINDINGS.iter().filter(its);
        let mut all = its.flat_map(|it| self.within(it, context));
        all.next().map(|key| key.label(glyphs))
    }

    pub(super) fn labels(&self, binding: &Binding, glyphs: &Glyphs) -> String {
        let is_somewhere = |key: &&Key| {
            let mut contexts = binding.contexts.iter();
            contexts.any(|context| !self.is_taken(binding, *context, key))
        };
        let keys = self.of(binding).iter().filter(is_somewhere);
        let labels: Vec<_> = keys.map(|key| key.label(glyphs)).collect();
        format!("{}{}", binding.before(), labels.join(" "))
    }

    /// The first key only, for menus; empty if there is none.
    pub(super) fn label(&self, binding: &Binding, glyphs: &Glyphs) -> String {
        let first = self.of(binding).first();
        first.map(|key| key.label(glyphs)).unwrap_or_default()
    }

    /// All of them as a file, in which nothing has a key that something else has where both work.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = HEAD.to_owned();
        for (name, action) in NAMES {
            let binding = BINDINGS.iter().find(|binding| binding.action == action);
            let keys = binding.map_or(&[][..], |binding| self.of(binding));
            let keys = keys.iter().filter(|key| !self.is_lost(action, key));
            let keys: Vec<_> = keys.map(|key| key.label(&UNICODE)).collect();
            // Nothing fails that writes into a text.
            let _ = match &keys[..] {
                [one] => writeln!(text, "{name} = {one:?}"),
                all => writeln!(text, "{name} = {all:?}"),
            };
        }
        text
    }

    /// Whether the file gives a key of this action to another one anywhere.
    fn is_lost(&self, action: Action, key: &Key) -> bool {
        let its = BINDINGS.iter().filter(|binding| binding.action == action);
        let mut places = its.flat_map(|it| it.contexts.iter().map(move |context| (it, *context)));
        places.any(|(it, context)| self.is_taken(it, context, key))
    }
}

fn name(action: Action) -> Option<&'static str> {
    let named = NAMES.iter().find(|(_, named)| *named == action);
    named.map(|(name, _)| *name)
}

fn key(entry: &Entry, text: &str) -> Result<Key, Mistake> {
    let named = |code| Key {
        code,
        control: false,
    };
    let mut chars = text.chars();
    Ok(match (chars.next(), chars.next(), chars.next()) {
        (Some(c), None, _) if !c.is_control() && c != ' ' => named(KeyCode::Char(c)),
        (Some('^'), Some(c), None) if c.is_ascii_alphabetic() => {
            let c = c.to_ascii_lowercase();
            if c == 'c' {
                return Err(entry.wrong("^C always quits: take another key"));
            }
            // Terminals have the same byte for these.
            if matches!(c, 'i' | 'm' | 'j' | 'h') {
                return Err(entry.wrong(format!(
                    "{text} is Tab, Enter or Backspace to a terminal: take another key"
                )));
            }
            Key {
                code: KeyCode::Char(c),
                control: true,
            }
        }
        _ => match text {
            "Space" => named(KeyCode::Char(' ')),
            "Tab" => named(KeyCode::Tab),
            "Shift-Tab" => named(KeyCode::BackTab),
            "Insert" | "Ins" => named(KeyCode::Insert),
            "Delete" | "Del" => named(KeyCode::Delete),
            _ => {
                let number = text
                    .strip_prefix('F')
                    .and_then(|number| number.parse().ok());
                let Some(number) = number.filter(|number| (1..=12).contains(number)) else {
                    let wrong = format!(
                        "there is no key {text:?}; there is p, P, ^P, Space, Tab, Shift-Tab, Insert, Delete, F1 to F12"
                    );
                    return Err(entry.wrong(wrong));
                };
                named(KeyCode::F(number))
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(c: char) -> KeyEvent {
        KeyEvent::from(KeyCode::Char(c))
    }

    #[test]
    fn a_file_changes_the_keys_that_it_names() {
        let keys = Keys::parse("ping = [\"i\", \"F5\"]\nshare = []\n").unwrap();
        let of = |event| keys.find(Context::Peers, &event);
        assert_eq!(of(pressed('i')), Some(Action::Ask(Ask::Ping)));
        assert_eq!(
            of(KeyEvent::from(KeyCode::F(5))),
            Some(Action::Ask(Ask::Ping))
        );
        assert_eq!([of(pressed('p')), of(pressed('Y'))], [None, None]);
        assert_eq!(of(pressed('x')), Some(Action::Ask(Ask::Disconnect)));
    }

    #[test]
    fn two_actions_may_change_their_keys_with_each_other() {
        let keys = Keys::parse("ping = \"b\"\nblock = \"p\"\n").unwrap();
        let found = keys.find(Context::Page, &pressed('b'));
        assert_eq!(found, Some(Action::Ask(Ask::Ping)));
    }

    #[test]
    fn a_key_of_the_file_goes_before_that_of_an_action_which_it_does_not_name() {
        let keys = Keys::parse("ping = [\"o\", \"F5\"]\nlevel = \"w\"\n").unwrap();
        let ping = Some(Action::Ask(Ask::Ping));
        for context in [Context::Peers, Context::Page, Context::Stranger] {
            assert_eq!(keys.find(context, &pressed('o')), ping);
            assert_eq!(keys.first(context, Action::Tunnel, &UNICODE), None);
        }
        let of = |context, key| keys.find(context, &pressed(key));
        assert_eq!(of(Context::Flows, 'o'), Some(Action::Tunnel));
        assert_eq!(of(Context::Events, 'w'), Some(Action::Level));
        assert_eq!(of(Context::Peers, 'w'), Some(Action::Details));
        let printed = keys.to_toml();
        assert!(printed.contains("\ntunnel = []\n"), "{printed}");
        assert_eq!(Keys::parse(&printed).unwrap().to_toml(), printed);
    }

    #[test]
    fn all_keys_are_printed_as_they_are_read() {
        let printed = Keys::default().to_toml();
        let read = Keys::parse(&printed).unwrap();
        assert_eq!(read.to_toml(), printed);
        for binding in BINDINGS {
            let same = read.of(binding).first() == binding.keys.first();
            assert!(same, "{:?}", binding.action);
        }
    }

    #[test]
    fn every_name_is_one_of_an_action_that_has_keys() {
        for (name, action) in NAMES {
            let has = BINDINGS.iter().any(|binding| binding.action == action);
            assert!(has, "{name}");
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_what_would_do() {
        let said = |text: &str| Keys::parse(text).unwrap_err().to_string();
        assert_eq!(
            said("\npnig = \"o\""),
            "line 2: there is no action pnig; did you mean ping?"
        );
        assert_eq!(
            said("ping = \"x\"\ndisconnect = \"x\""),
            "line 1: x is the key of disconnect where ping works: give disconnect another one"
        );
        assert_eq!(
            said("ping = \"j\""),
            "line 1: j moves about or leads back where ping works: take another one"
        );
        for (key, title) in [("y", "copy"), ("g", "go")] {
            let wrong = format!(
                "line 1: {key} is the first of two keys ({title}) where ping works: take another one"
            );
            assert_eq!(said(&format!("ping = {key:?}")), wrong);
        }
        assert!(
            said("ping = \"Enter\"")
                .starts_with("line 1: ping: there is no key \"Enter\"; there is p,")
        );
        for (key, part) in [
            ("^C", "always quits"),
            ("^M", "to a terminal"),
            ("F13", "F1 to F12"),
            ("", "no key"),
            ("pp", "no key"),
        ] {
            assert!(said(&format!("ping = {key:?}")).contains(part), "{key}");
        }
        assert!(said("suspend = \"z\"").contains("typed in texts"));
    }
}
