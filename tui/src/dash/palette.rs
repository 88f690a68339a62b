//! The colours of a run: those of a theme, but for what a `theme.toml` says otherwise.

use std::fmt::Write;

use clap::ValueEnum;
use ratatui::style::{Color, Modifier, Style};

use super::{
    look::Role,
    own::{Entry, Mistake, entries},
    theme::Theme,
};

/// What a file may give another look, as it calls it.
const ROLES: [(&str, Role); 9] = [
    ("text", Role::Text),
    ("good", Role::Good),
    ("warn", Role::Warn),
    ("info", Role::Info),
    ("bad", Role::Bad),
    ("dim", Role::Dim),
    ("accent", Role::Accent),
    ("title", Role::Title),
    ("selected", Role::Selected),
];
/// Peers of the throughput chart that have a colour each.
const SERIES: usize = 5;

#[rustfmt::skip]
const COLORS: [(&str, Color); 16] = [
    ("black", Color::Black), ("red", Color::Red), ("green", Color::Green), ("yellow", Color::Yellow),
    ("blue", Color::Blue), ("magenta", Color::Magenta), ("cyan", Color::Cyan), ("gray", Color::Gray),
    ("dark-gray", Color::DarkGray), ("light-red", Color::LightRed), ("light-green", Color::LightGreen),
    ("light-yellow", Color::LightYellow), ("light-blue", Color::LightBlue),
    ("light-magenta", Color::LightMagenta), ("light-cyan", Color::LightCyan), ("white", Color::White),
];
const MODIFIERS: [(&str, Modifier); 5] = [
    ("bold", Modifier::BOLD),
    ("dim", Modifier::DIM),
    ("italic", Modifier::ITALIC),
    ("underlined", Modifier::UNDERLINED),
    ("reversed", Modifier::REVERSED),
];

const HEAD: &str = "\
# Colours of Peerway's dashboard, as theme.toml in its config folder. What is left out is as in the theme that it begins with.
# A look is a colour, words for emphasis, or both: \"bold light-red\", \"#ff8800\", \"reversed\"; \"\" is the terminal's own.
";

/// A theme, and what is otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Palette {
    base: Theme,
    own: [Option<Style>; ROLES.len() + SERIES],
}

impl From<Theme> for Palette {
    fn from(base: Theme) -> Self {
        Self {
            base,
            ..Self::default()
        }
    }
}

impl Palette {
    /// What the file says.
    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        let mut palette = Self::default();
        for entry in entries(text)? {
            match entry.key.as_str() {
                "begin" => {
                    palette.base = theme(&entry).map_err(|it| it.behind("begin"))?;
                }
                "series" => {
                    if entry.values.len() > SERIES {
                        return Err(entry.wrong(format!("series has {SERIES} looks at most")));
                    }
                    let places = palette.own.iter_mut().skip(ROLES.len());
                    for (place, look) in places.zip(&entry.values) {
                        let look = style(&entry, look).map_err(|it| it.behind("series"))?;
                        *place = Some(look);
                    }
                }
                name => {
                    let at = ROLES.iter().position(|(role, _)| *role == name);
                    let place = at.and_then(|at| palette.own.get_mut(at));
                    let Some(place) = place else {
                        let roles = ROLES.iter().map(|(role, _)| *role);
                        let known: Vec<_> = roles.chain(["series", "begin"]).collect();
                        return Err(entry.unknown("look for", name, &known));
                    };
                    let look = style(&entry, entry.text()?).map_err(|it| it.behind(name))?;
                    *place = Some(look);
                }
            }
        }
        Ok(palette)
    }

    /// Whether there are colours in it.
    pub(super) fn is_colored(&self) -> bool {
        let is_colored = |style: &Style| style.fg.is_some();
        self.base != Theme::Mono || self.own.iter().flatten().any(is_colored)
    }

    /// The same for a terminal that has the sixteen colours alone: what needs more is as in the theme.
    pub(super) fn in_sixteen_colors(mut self) -> Self {
        for own in &mut self.own {
            *own = own.filter(|style| !matches!(style.fg, Some(Color::Rgb(..))));
        }
        self
    }

    pub(super) fn style(&self, role: Role) -> Style {
        let at = if let Role::Series(index) = role {
            Some(index)
                .filter(|at| *at < SERIES)
                .map(|at| ROLES.len() + at)
        } else {
            ROLES.iter().position(|(_, known)| *known == role)
        };
        let own = at.and_then(|at| self.own.get(at).copied().flatten());
        own.unwrap_or_else(|| self.base.style(role))
    }

    /// All of it as a file.
    pub(crate) fn to_toml(self) -> String {
        let mut text = HEAD.to_owned();
        let begin = self.base.to_possible_value();
        let begin = begin.map_or_else(String::new, |begin| begin.get_name().to_owned());
        let words = |role| words(self.style(role));
        // Nothing fails that writes into a text.
        let _ = writeln!(text, "begin = {begin:?}");
        for (name, role) in ROLES {
            let _ = writeln!(text, "{name} = {:?}", words(role));
        }
        let series: Vec<_> = (0..SERIES).map(|at| words(Role::Series(at))).collect();
        let _ = writeln!(text, "series = {series:?}");
        text
    }
}

fn theme(entry: &Entry) -> Result<Theme, Mistake> {
    let found = entry.text()?;
    let known = Theme::value_variants().iter();
    let known: Vec<_> = known.filter_map(ValueEnum::to_possible_value).collect();
    let known: Vec<&str> = known.iter().map(|value| value.get_name()).collect();
    Theme::from_str(found, true).map_err(|_| entry.unknown("theme", found, &known))
}

/// A look as words.
fn style(entry: &Entry, text: &str) -> Result<Style, Mistake> {
    let mut style = Style::new();
    for word in text.split_whitespace() {
        let modifier = MODIFIERS.iter().find(|(name, _)| *name == word);
        if let Some((_, modifier)) = modifier {
            style = style.add_modifier(*modifier);
            continue;
        }
        let color = COLORS.iter().find(|(name, _)| *name == word);
        let color = color.map(|(_, color)| *color).or_else(|| rgb(word));
        let Some(color) = color else {
            let colors = COLORS.iter().map(|(name, _)| *name);
            let modifiers = MODIFIERS.iter().map(|(name, _)| *name);
            let known: Vec<_> = colors.chain(modifiers).chain(["#rrggbb"]).collect();
            return Err(entry.unknown("colour", word, &known));
        };
        if style.fg.is_some() {
            return Err(entry.wrong(format!(
                "{text:?} has two colours: there is one for the text alone"
            )));
        }
        style = style.fg(color);
    }
    Ok(style)
}

/// `#rrggbb`.
fn rgb(word: &str) -> Option<Color> {
    let digits = word.strip_prefix('#')?;
    let is_one = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
    is_one.then_some(Color::Rgb(red, green, blue))
}

fn words(style: Style) -> String {
    let modifiers = MODIFIERS.iter();
    let modifiers = modifiers.filter(|(_, modifier)| style.add_modifier.contains(*modifier));
    let mut words: Vec<String> = modifiers.map(|(name, _)| (*name).to_owned()).collect();
    if let Some(Color::Rgb(red, green, blue)) = style.fg {
        words.push(format!("#{red:02x}{green:02x}{blue:02x}"));
    }
    let color = COLORS.iter().find(|(_, color)| style.fg == Some(*color));
    words.extend(color.map(|(name, _)| (*name).to_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_changes_what_it_names_and_leaves_the_rest_to_its_theme() {
        let text = "begin = \"high-contrast\"\ngood = \"bold #10f0A0\"\nseries = [\"red\", \"\"]\n";
        let palette = Palette::parse(text).unwrap();
        let bold = Style::new().add_modifier(Modifier::BOLD);
        assert_eq!(palette.style(Role::Good), bold.fg(Color::Rgb(16, 240, 160)));
        assert_eq!(palette.style(Role::Series(0)), Style::new().fg(Color::Red));
        assert_eq!(palette.style(Role::Series(1)), Style::new());
        for role in [Role::Bad, Role::Series(2), Role::Series(9)] {
            assert_eq!(palette.style(role), Theme::HighContrast.style(role));
        }
        let narrow = palette.in_sixteen_colors();
        assert_eq!(
            narrow.style(Role::Good),
            Theme::HighContrast.style(Role::Good)
        );
    }

    #[test]
    fn what_is_printed_is_read_as_the_same() {
        for theme in Theme::value_variants() {
            let printed = Palette::from(*theme).to_toml();
            let read = Palette::parse(&printed).unwrap();
            for (_, role) in ROLES {
                assert_eq!(read.style(role), theme.style(role), "{theme:?} {role:?}");
            }
            assert_eq!(read.to_toml(), printed);
            assert_eq!(read.is_colored(), *theme != Theme::Mono);
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_what_was_meant() {
        let said = |text: &str| Palette::parse(text).unwrap_err().to_string();
        assert_eq!(
            said("good = \"green\"\ngod = \"red\""),
            "line 2: there is no look for god; did you mean good?"
        );
        assert_eq!(
            said("bad = \"bold redd\""),
            "line 1: bad: there is no colour redd; did you mean red?"
        );
        assert!(said("bad = \"#12345\"").contains("#rrggbb"));
        assert!(said("bad = \"#12345g\"").contains("#rrggbb"));
        assert!(said("bad = \"red blue\"").contains("two colours"));
        assert_eq!(
            said("begin = \"monochrome\""),
            "line 1: begin: there is no theme monochrome; did you mean mono?"
        );
        assert!(said("\n\nbad = 3").starts_with("line 3: bad is a text"));
        assert!(said("bad = [\"red\", \"blue\"]").contains("bad is one text"));
        assert!(said("series = [\"\", \"\", \"\", \"\", \"\", \"\"]").contains("5 looks at most"));
        assert!(said("[good]\ncolor = \"red\"").starts_with("line 1: good is a text"));
        assert!(said("good =").starts_with("line 1: this is not TOML"));
    }
}
