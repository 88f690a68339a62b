//! Values of a node in plain words, for people.

use peerway::{Action, EventKind, PathInfo, PortMapping, Side};

use crate::book::{Book, Trust};
pub(super) use crate::operations::{blindness, ms, two_decimals};

/// Text in lines of at most 80 characters, where its words allow it; all but the first begin with `indent`.
pub(super) fn wrap(text: &str, indent: &str) -> String {
    const WIDTH: usize = 80;
    let (mut out, mut width) = (String::new(), 0);
    for (at, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if width > indent.len() && width + 1 + length > WIDTH {
            out.push('\n');
            out.push_str(indent);
            width = indent.len();
        } else if at > 0 {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
    }
    out
}

/// What happened, to whom by the name in the book.
pub(super) fn event(kind: &EventKind, book: &Book) -> String {
    let subject = kind.subject(book);
    if let EventKind::TurnedAway { peer } = kind
        && book.trust(*peer) == Trust::Ask
    {
        let short = peer.short();
        return format!("{subject}: asks to be let in: `peerway accept {short}`");
    }
    format!("{subject}: {}", kind.sentence(book))
}

/// The path's kind as JSON has it.
pub(super) fn kind(path: Option<&PathInfo>) -> &'static str {
    match path {
        Some(PathInfo::Direct { .. }) => "direct",
        Some(PathInfo::Relay { .. }) => "relay",
        _ => "none",
    }
}

pub(super) fn path(path: Option<&PathInfo>) -> String {
    path.map_or_else(|| "no path".to_owned(), PathInfo::to_string)
}

/// A port that the router forwards, if it does.
pub(super) fn mapping(mapping: Option<&PortMapping>) -> String {
    mapping.map_or_else(|| "none".to_owned(), PortMapping::to_string)
}

/// What would help, and the option of this program that belongs to it.
pub(super) fn advice(action: Action) -> String {
    let option = if matches!(
        action,
        Action::PermitMapping { side: Side::Here }
            | Action::ForwardPort { side: Side::Here }
            | Action::MapPort {
                side: Some(Side::Here)
            }
    ) {
        " Name a forwarded port with --bind."
    } else {
        ""
    };
    format!("{action}{option}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_duration_is_shown_in_milliseconds_with_two_decimals() {
        assert!((ms(Duration::from_nanos(81_234_567)) - 81.23).abs() < 1e-9);
    }

    #[test]
    fn a_path_says_its_kind_and_where_it_leads() {
        let direct = PathInfo::Direct {
            remote: "192.0.2.1:5000".parse().unwrap(),
            lan: false,
            tcp: false,
        };
        assert_eq!(path(Some(&direct)), "direct, 192.0.2.1:5000");
        let stream = PathInfo::Direct {
            remote: "192.0.2.1:5000".parse().unwrap(),
            lan: false,
            tcp: true,
        };
        assert_eq!(path(Some(&stream)), "direct over TCP, 192.0.2.1:5000");
        assert_eq!(kind(Some(&direct)), "direct");
        assert_eq!((path(None).as_str(), kind(None)), ("no path", "none"));
    }
}
