//! What the roles of a screen look like. Only the 16 colours that the user's terminal has a palette for, and its own background.

use ratatui::style::{Color, Modifier, Style};

use super::look::Role;

/// A set of colours, each with what stands for it where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Theme {
    #[default]
    Default,
    /// No colours: bold, dim, reverse and underlined text.
    Mono,
    /// Bright colours, and nothing dim.
    HighContrast,
    /// For eyes that do not tell red from green.
    Deuteranopia,
}

impl Theme {
    pub(super) fn style(self, role: Role) -> Style {
        let (color, modifier) = match self {
            Self::Default => plain(role),
            Self::Mono => (None, mono(role)),
            Self::HighContrast => high_contrast(role),
            Self::Deuteranopia => deuteranopia(role),
        };
        let style = color.map_or_else(Style::new, |color| Style::new().fg(color));
        style.add_modifier(modifier)
    }
}

fn plain(role: Role) -> (Option<Color>, Modifier) {
    let color = match role {
        Role::Text | Role::Title | Role::Selected => None,
        Role::Good => Some(Color::Green),
        Role::Warn => Some(Color::Yellow),
        Role::Info | Role::Accent => Some(Color::Cyan),
        Role::Bad => Some(Color::Red),
        Role::Dim => Some(Color::DarkGray),
        Role::Series(index) => {
            const SERIES: [Color; 5] = [
                Color::Blue,
                Color::Green,
                Color::Magenta,
                Color::Yellow,
                Color::Gray,
            ];
            SERIES.get(index).copied()
        }
    };
    (color, emphasis(role))
}

fn emphasis(role: Role) -> Modifier {
    match role {
        Role::Accent | Role::Title | Role::Bad => Modifier::BOLD,
        Role::Selected => Modifier::REVERSED,
        Role::Text | Role::Good | Role::Warn | Role::Info | Role::Dim | Role::Series(_) => {
            Modifier::empty()
        }
    }
}

fn mono(role: Role) -> Modifier {
    match role {
        Role::Warn | Role::Bad | Role::Accent | Role::Title => Modifier::BOLD,
        Role::Dim => Modifier::DIM,
        Role::Selected => Modifier::REVERSED,
        Role::Text | Role::Good | Role::Info | Role::Series(_) => Modifier::empty(),
    }
}

fn high_contrast(role: Role) -> (Option<Color>, Modifier) {
    let (color, modifier) = match role {
        Role::Text | Role::Dim => (None, Modifier::empty()),
        Role::Title => (None, Modifier::BOLD),
        Role::Selected => (None, Modifier::REVERSED.union(Modifier::BOLD)),
        Role::Good => (Some(Color::LightGreen), Modifier::BOLD),
        Role::Warn => (Some(Color::LightYellow), Modifier::BOLD),
        Role::Info => (Some(Color::LightCyan), Modifier::BOLD),
        Role::Bad => (
            Some(Color::LightRed),
            Modifier::BOLD.union(Modifier::UNDERLINED),
        ),
        Role::Accent => (Some(Color::LightCyan), Modifier::BOLD),
        Role::Series(index) => {
            const SERIES: [Color; 5] = [
                Color::LightBlue,
                Color::LightGreen,
                Color::LightMagenta,
                Color::LightYellow,
                Color::White,
            ];
            (SERIES.get(index).copied(), Modifier::empty())
        }
    };
    (color, modifier)
}

/// Blue and yellow in the places of green and red, which differ in brightness too.
fn deuteranopia(role: Role) -> (Option<Color>, Modifier) {
    let color = match role {
        Role::Text | Role::Title | Role::Selected => None,
        Role::Good => Some(Color::LightBlue),
        Role::Warn => Some(Color::Yellow),
        Role::Info => Some(Color::White),
        Role::Bad => Some(Color::LightMagenta),
        Role::Accent => Some(Color::LightCyan),
        Role::Dim => Some(Color::DarkGray),
        Role::Series(index) => {
            const SERIES: [Color; 5] = [
                Color::Blue,
                Color::Yellow,
                Color::LightMagenta,
                Color::White,
                Color::Gray,
            ];
            SERIES.get(index).copied()
        }
    };
    (color, emphasis(role))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Role; 10] = [
        Role::Text,
        Role::Good,
        Role::Warn,
        Role::Info,
        Role::Bad,
        Role::Dim,
        Role::Accent,
        Role::Title,
        Role::Selected,
        Role::Series(1),
    ];

    #[test]
    fn every_theme_uses_the_16_colours_alone_and_mono_none() {
        for theme in [
            Theme::Default,
            Theme::Mono,
            Theme::HighContrast,
            Theme::Deuteranopia,
        ] {
            for role in ROLES {
                let style = theme.style(role);
                assert_eq!(style.bg, None, "{theme:?} {role:?}");
                let is_ansi = !matches!(style.fg, Some(Color::Rgb(..) | Color::Indexed(_)));
                assert!(is_ansi, "{theme:?} {role:?}");
                if theme == Theme::Mono {
                    assert_eq!(style.fg, None, "{role:?}");
                }
            }
            assert!(
                theme
                    .style(Role::Selected)
                    .add_modifier
                    .contains(Modifier::REVERSED)
            );
        }
    }

    #[test]
    fn good_and_bad_are_told_apart_without_red_and_green() {
        let of = |role| Theme::Deuteranopia.style(role).fg;
        for role in ROLES {
            let hard = [Color::Red, Color::Green, Color::LightRed, Color::LightGreen];
            assert!(
                !of(role).is_some_and(|color| hard.contains(&color)),
                "{role:?}"
            );
        }
        assert_ne!(of(Role::Good), of(Role::Bad));
        assert_ne!(of(Role::Good), of(Role::Warn));
    }
}
