//! How things look: roles instead of colours, and glyphs with an ASCII twin each.

use ratatui::{style::Style, symbols::border};

use super::{ColorChoice, Options, palette::Palette, theme::Theme};

/// The theme and the glyphs of one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) glyphs: &'static Glyphs,
    pub(super) colored: bool,
    palette: Palette,
}

impl Look {
    /// Decides by options first, then by the environment: `NO_COLOR` (non-empty) and the locale.
    pub(super) fn resolve(options: &Options, env: impl Fn(&str) -> Option<String>) -> Self {
        let &Options {
            color,
            ascii,
            palette,
            ..
        } = options;
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        let colored = match color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => set("NO_COLOR").is_none(),
        };
        let locale = set("LC_ALL")
            .or_else(|| set("LC_CTYPE"))
            .or_else(|| set("LANG"))
            .map(|locale| locale.to_ascii_lowercase());
        let utf8 = locale.is_none_or(|locale| locale.contains("utf-8") || locale.contains("utf8"));
        let has_more = set("COLORTERM").is_some_and(|it| it == "truecolor" || it == "24bit");
        let palette = match (colored, has_more) {
            (false, _) => Palette::from(Theme::Mono),
            (true, true) => palette,
            (true, false) => palette.in_sixteen_colors(),
        };
        Self {
            glyphs: if ascii || !utf8 { &ASCII } else { &UNICODE },
            colored: palette.is_colored(),
            palette,
        }
    }

    /// The style of a role. Without colours only modifiers are used: crossterm 0.29 answers `NO_COLOR` by resets in the
    /// middle of a line, which would wipe the selection bar out.
    pub(super) fn style(&self, role: Role) -> Style {
        self.palette.style(role)
    }
}

/// What a piece of the screen means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Text,
    Good,
    Warn,
    Info,
    Bad,
    Dim,
    Accent,
    Title,
    Selected,
    /// One of the peers in the throughput chart.
    Series(usize),
}

/// Shapes; each is one column wide.
#[derive(Debug)]
pub(super) struct Glyphs {
    pub(super) direct: &'static str,
    pub(super) relay: &'static str,
    pub(super) connecting: &'static str,
    pub(super) idle: &'static str,
    pub(super) unreachable: &'static str,
    pub(super) warning: &'static str,
    pub(super) down: &'static str,
    pub(super) up: &'static str,
    pub(super) right: &'static str,
    pub(super) left: &'static str,
    pub(super) ascending: &'static str,
    pub(super) descending: &'static str,
    pub(super) cursor: &'static str,
    pub(super) caret: &'static str,
    pub(super) ellipsis: &'static str,
    /// Where a line ended that is shown in one with the next.
    pub(super) line_end: &'static str,
    pub(super) none: &'static str,
    pub(super) dot: &'static str,
    /// Behind how many times as fast something goes.
    pub(super) times: &'static str,
    pub(super) check: &'static str,
    pub(super) tick: &'static str,
    pub(super) axis: &'static str,
    pub(super) hanging: &'static str,
    /// This node on the map, and a relay.
    pub(super) center: &'static str,
    pub(super) hub: &'static str,
    /// Of a ring.
    pub(super) point: &'static str,
    /// Lines that go up and down to the right, and the one from a relay to a peer.
    pub(super) rising: &'static str,
    pub(super) falling: &'static str,
    pub(super) via: &'static str,
    /// Of a line between two others that goes by a relay.
    pub(super) double: &'static str,
    /// Of a tree.
    pub(super) fork: &'static str,
    pub(super) last: &'static str,
    /// Whether a cell can hold dots of its own.
    pub(super) has_braille: bool,
    /// From empty to full in eighths.
    pub(super) levels: [&'static str; 9],
    /// One per series of the throughput chart.
    pub(super) shades: [&'static str; 5],
    pub(super) border: border::Set<'static>,
}

pub(super) static UNICODE: Glyphs = Glyphs {
    direct: "●",
    relay: "◐",
    connecting: "◌",
    idle: "○",
    unreachable: "✗",
    warning: "!",
    down: "↓",
    up: "↑",
    right: "→",
    left: "←",
    ascending: "▲",
    descending: "▼",
    cursor: "▌",
    caret: "▏",
    ellipsis: "…",
    line_end: "↵",
    none: "–",
    dot: "·",
    times: "×",
    check: "✓",
    tick: "┤",
    axis: "┼",
    hanging: "▀",
    center: "◉",
    hub: "◇",
    point: "·",
    rising: "╱",
    falling: "╲",
    via: "║",
    double: "═",
    fork: "├",
    last: "└",
    has_braille: true,
    levels: [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    shades: ["█", "▓", "▒", "░", "·"],
    border: border::PLAIN,
};

pub(super) static ASCII: Glyphs = Glyphs {
    direct: "*",
    relay: "~",
    connecting: ".",
    idle: "-",
    unreachable: "x",
    warning: "!",
    down: "v",
    up: "^",
    right: ">",
    left: "<",
    ascending: "^",
    descending: "v",
    cursor: ">",
    caret: "_",
    ellipsis: "~",
    line_end: "/",
    none: "-",
    dot: "|",
    times: "x",
    check: "+",
    tick: "|",
    axis: "+",
    hanging: "'",
    center: "@",
    hub: "o",
    point: ".",
    rising: "/",
    falling: "\\",
    via: "|",
    double: "=",
    fork: "+",
    last: "+",
    has_braille: false,
    levels: [" ", "_", "_", ".", "-", "=", "+", "*", "#"],
    shades: ["#", "%", "=", "-", "."],
    border: border::Set {
        top_left: "+",
        top_right: "+",
        bottom_left: "+",
        bottom_right: "+",
        vertical_left: "|",
        vertical_right: "|",
        horizontal_top: "-",
        horizontal_bottom: "-",
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_before_the_environment() {
        let look = |color, ascii, pairs: &[(&str, &str)]| {
            let options = Options {
                color,
                ascii,
                ..Options::default()
            };
            let look = Look::resolve(&options, |name| {
                pairs
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| (*value).to_owned())
            });
            (look.colored, look.glyphs.direct)
        };
        assert_eq!(look(ColorChoice::Auto, false, &[]), (true, "●"));
        assert_eq!(
            look(ColorChoice::Auto, false, &[("NO_COLOR", "1")]),
            (false, "●")
        );
        assert_eq!(
            look(ColorChoice::Auto, false, &[("NO_COLOR", "")]),
            (true, "●")
        );
        assert_eq!(
            look(ColorChoice::Always, false, &[("NO_COLOR", "1")]),
            (true, "●")
        );
        assert_eq!(look(ColorChoice::Never, true, &[]), (false, "*"));
        let latin = [("LANG", "en_US.UTF-8"), ("LC_ALL", "en_US.ISO-8859-1")];
        assert_eq!(look(ColorChoice::Auto, false, &latin), (true, "*"));
    }
}
