//! One screen, from what the relay said: pure.

use std::time::Duration;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style, Stylize},
    text::{Line, Span},
    widgets::Paragraph,
};
use serde_json::{Map, Value};

use crate::cli::bytes;

/// Characters of a key that are shown.
const KEY: usize = 10;
/// Below this width, columns that can be done without are left out.
const WIDE: u16 = 60;

/// Why there is nothing new.
#[derive(Debug, Default)]
pub(super) struct Trouble(pub(super) String);

/// What is shown.
#[derive(Debug, Default)]
pub(super) struct Screen {
    url: String,
    clients: u64,
    tcp_clients: u64,
    channels: u64,
    /// Bytes a second that are forwarded.
    rate: Option<u64>,
    /// Bytes and frames a second that are dropped.
    dropped: Option<(u64, u64)>,
    lane_bytes: u64,
    dropped_bytes: u64,
    dropped_frames: u64,
    month_bytes: u64,
    relay_volume: Option<u64>,
    client_volume: Option<u64>,
    talkers: Vec<(String, u64, u64)>,
    pairs: Vec<(String, u64)>,
    pub(super) trouble: Option<Trouble>,
}

impl Screen {
    /// Takes over a status that came so long after the last.
    pub(super) fn take(&mut self, status: &Map<String, Value>, since: Option<Duration>) {
        let number = |name: &str| status.get(name).and_then(Value::as_u64);
        let count = |names: &[&str]| names.iter().filter_map(|name| number(name)).sum::<u64>();
        let per_second = |new: u64, old: u64| {
            let ms = since?.as_millis().max(1) as u64;
            Some(new.saturating_sub(old).saturating_mul(1000) / ms)
        };
        let lane_bytes = count(&["lane_bytes"]);
        let dropped_bytes = count(&["over_budget_bytes", "stranger_bytes"]);
        let dropped_frames = count(&[
            "frames_dropped",
            "signals_dropped",
            "sends_dropped",
            "quic_dropped",
        ]);
        let dropped = per_second(dropped_bytes, self.dropped_bytes)
            .zip(per_second(dropped_frames, self.dropped_frames));
        let url = status.get("url").and_then(Value::as_str);
        *self = Self {
            url: url.unwrap_or_default().to_owned(),
            clients: count(&["clients"]),
            tcp_clients: count(&["tcp_clients"]),
            channels: count(&["channels"]),
            rate: per_second(lane_bytes, self.lane_bytes),
            dropped,
            lane_bytes,
            dropped_bytes,
            dropped_frames,
            month_bytes: count(&["month_bytes"]),
            relay_volume: number("relay_volume"),
            client_volume: number("client_volume"),
            talkers: talkers(status),
            pairs: pairs(status),
            trouble: None,
        };
    }
}

fn list<'a>(status: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Value> {
    let list = status.get(name).and_then(Value::as_array);
    list.into_iter().flatten()
}

fn talkers(status: &Map<String, Value>) -> Vec<(String, u64, u64)> {
    let talker = |value: &Value| {
        let number = |name: &str| value[name].as_u64().unwrap_or_default();
        let (rate, month) = (number("bytes_per_second"), number("month_bytes"));
        (short(&value["key"]), rate, month)
    };
    list(status, "talkers").map(talker).collect()
}

fn pairs(status: &Map<String, Value>) -> Vec<(String, u64)> {
    let pair = |value: &Value| {
        let rate = value["bytes_per_second"].as_u64().unwrap_or_default();
        let ends = format!("{} {}", short(&value["keys"][0]), short(&value["keys"][1]));
        (ends, rate)
    };
    list(status, "pairs").map(pair).collect()
}

fn short(key: &Value) -> String {
    key.as_str().unwrap_or("?").chars().take(KEY).collect()
}

/// Draws it, at any size.
pub(super) fn view(frame: &mut Frame<'_>, screen: &Screen) {
    let area = frame.area();
    let head = head(screen, area.width);
    let [top, lists, foot] = Layout::vertical([
        Constraint::Length(head.len() as u16),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(head), top);
    lists_view(frame, screen, lists);
    frame.render_widget(Paragraph::new(foot_line(screen)), foot);
}

fn head(screen: &Screen, width: u16) -> Vec<Line<'static>> {
    let rate = |rate: Option<u64>| {
        rate.map_or_else(|| "…".to_owned(), |rate| format!("{}/s", bytes(rate)))
    };
    let mut lines = Vec::new();
    if width >= WIDE {
        lines.push(Line::from(place(&screen.url)).bold());
    }
    lines.push(Line::from(format!(
        "{} client{} ({} by TCP)  {} channel{}",
        screen.clients,
        plural(screen.clients),
        screen.tcp_clients,
        screen.channels,
        plural(screen.channels)
    )));
    let (bytes_dropped, frames_dropped) = screen.dropped.unzip();
    let frames = frames_dropped.map_or_else(|| "…".to_owned(), |count| format!("{count}/s"));
    lines.push(Line::from(format!(
        "carries {}  drops {} + {frames}",
        rate(screen.rate),
        rate(bytes_dropped)
    )));
    lines.push(month(screen, width));
    lines
}

/// Where the relay is, and the beginning of its key.
fn place(url: &str) -> String {
    let url = url.trim_start_matches("relay://");
    let (key, place) = url.split_once('@').unwrap_or(("", url));
    format!("{place}  {}", key.chars().take(KEY).collect::<String>())
}

fn month(screen: &Screen, width: u16) -> Line<'static> {
    let sent = bytes(screen.month_bytes);
    let Some(volume) = screen.relay_volume else {
        return Line::from(format!("{sent} this month"));
    };
    let part = screen.month_bytes as f64 / volume.max(1) as f64;
    let words = format!(
        "{sent} of {} this month ({:.0} %) ",
        bytes(volume),
        part * 100.0
    );
    let room = usize::from(width).saturating_sub(words.len()).min(30);
    let full = ((part * room as f64) as usize).min(room);
    let (bar, rest) = ("█".repeat(full), "░".repeat(room - full));
    Line::from(vec![
        Span::from(words),
        Span::from(bar),
        Span::from(rest).dim(),
    ])
}

fn lists_view(frame: &mut Frame<'_>, screen: &Screen, area: Rect) {
    if area.width >= WIDE {
        let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)])
            .spacing(2)
            .areas(area);
        frame.render_widget(Paragraph::new(talker_lines(screen)), left);
        frame.render_widget(Paragraph::new(pair_lines(screen)), right);
        return;
    }
    let talkers = talker_lines(screen);
    let half = area.height.div_ceil(2);
    let [top, bottom] = Layout::vertical([
        Constraint::Length(half.min(talkers.len() as u16)),
        Constraint::Fill(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(talkers), top);
    frame.render_widget(Paragraph::new(pair_lines(screen)), bottom);
}

fn title(text: String) -> Line<'static> {
    Line::styled(text, Style::new().add_modifier(Modifier::UNDERLINED))
}

fn talker_lines(screen: &Screen) -> Vec<Line<'static>> {
    let mut lines = vec![title(format!(
        "{:<KEY$} {:>9} {:>14}",
        "sends most", "now", "month"
    ))];
    lines.extend(screen.talkers.iter().map(|(key, rate, month)| {
        let rate = format!("{}/s", bytes(*rate));
        let mut sent = bytes(*month);
        if let Some(volume) = screen.client_volume {
            let part = month.saturating_mul(100) / volume.max(1);
            sent = format!("{sent} {part:>3} %");
        }
        Line::from(format!("{key:<KEY$} {rate:>9} {sent:>14}"))
    }));
    if screen.talkers.is_empty() {
        lines.push(Line::from("nobody sends").dim());
    }
    lines
}

fn pair_lines(screen: &Screen) -> Vec<Line<'static>> {
    let width = 2 * KEY + 1;
    let mut lines = vec![title(format!("{:<width$} {:>9}", "pairs", "now"))];
    lines.extend(screen.pairs.iter().map(|(ends, rate)| {
        let rate = format!("{}/s", bytes(*rate));
        Line::from(format!("{ends:<width$} {rate:>9}"))
    }));
    lines
}

fn foot_line(screen: &Screen) -> Line<'static> {
    match &screen.trouble {
        Some(Trouble(words)) => Line::from(format!("! {words}")).bold(),
        None => Line::from("q quits").dim(),
    }
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};
    use serde_json::json;

    use super::*;

    fn status(lane_bytes: u64) -> Map<String, Value> {
        let key = |seed: u8| peerway_proto::SecretKey::from_seed(&[seed; 32]).id();
        let status = json!({
            "url": format!("relay://{}@relay.example.org:4433", key(9)),
            "clients": 1234, "tcp_clients": 56, "channels": 789,
            "lane_bytes": lane_bytes, "over_budget_bytes": lane_bytes / 100,
            "frames_dropped": lane_bytes >> 20,
            "month_bytes": 3_u64 << 40, "relay_volume": 5_u64 << 40, "client_volume": 100_u64 << 30,
            "talkers": (1..=3).map(|seed| json!({
                "key": key(seed), "bytes_per_second": 7_000_000 / u64::from(seed),
                "month_bytes": (40_u64 << 30) / u64::from(seed),
            })).collect::<Vec<_>>(),
            "pairs": [{ "keys": [key(1), key(2)], "bytes_per_second": 9_000_000 }],
        });
        let Value::Object(status) = status else {
            panic!("an object");
        };
        status
    }

    fn drawn(screen: &Screen, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view(frame, screen)).unwrap();
        terminal.backend().to_string()
    }

    fn busy() -> Screen {
        let mut screen = Screen::default();
        screen.take(&status(1 << 30), None);
        screen.take(
            &status((1 << 30) + (12 << 20)),
            Some(Duration::from_secs(2)),
        );
        screen
    }

    #[test]
    fn a_busy_relay() {
        insta::assert_snapshot!("busy_80x24", drawn(&busy(), 80, 24));
        insta::assert_snapshot!("busy_40x10", drawn(&busy(), 40, 10));
    }

    #[test]
    fn a_quiet_relay_that_does_not_answer_any_more() {
        let mut screen = Screen::default();
        let mut quiet = status(0);
        for list in ["talkers", "pairs", "relay_volume"] {
            quiet.remove(list);
        }
        screen.take(&quiet, None);
        screen.trouble = Some(Trouble(
            "no relay answers at /x/relay.sock: gone".to_owned(),
        ));
        insta::assert_snapshot!("quiet_80x24", drawn(&screen, 80, 24));
        insta::assert_snapshot!("quiet_40x10", drawn(&screen, 40, 10));
    }

    #[test]
    fn no_size_is_too_small() {
        for (width, height) in [(1, 1), (5, 2), (59, 3), (60, 1), (300, 100)] {
            drawn(&busy(), width, height);
        }
    }
}
