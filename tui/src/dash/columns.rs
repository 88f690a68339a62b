//! The columns of the peer table, as a line names them: for the dashboard and for `peerway peers`.

use std::str::FromStr;

use peerway::PeerSnapshot;

use super::{
    filter::nearest,
    format,
    words::{Address, Measured, Words},
};

/// A column of the peer table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    State,
    Name,
    Id,
    Path,
    Rtt,
    /// Round trips of the last minute.
    Spark,
    Loss,
    Jitter,
    Down,
    Up,
    Total,
    Age,
    Why,
    /// Of Peerway, as a peer of a group tells it.
    Version,
    /// When it was last reached.
    Seen,
}

impl Column {
    pub(crate) const ALL: [Self; 15] = [
        Self::State,
        Self::Name,
        Self::Id,
        Self::Path,
        Self::Rtt,
        Self::Spark,
        Self::Loss,
        Self::Jitter,
        Self::Down,
        Self::Up,
        Self::Total,
        Self::Age,
        Self::Why,
        Self::Version,
        Self::Seen,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Name => "name",
            Self::Id => "id",
            Self::Path => "path",
            Self::Rtt => "rtt",
            Self::Spark => "spark",
            Self::Loss => "loss",
            Self::Jitter => "jitter",
            Self::Down => "down",
            Self::Up => "up",
            Self::Total => "total",
            Self::Age => "age",
            Self::Why => "why",
            Self::Version => "version",
            Self::Seen => "seen",
        }
    }

    /// What stands there of a peer, for those who print; none where nothing is known, as of what takes a history.
    pub(super) fn text(self, peer: &PeerSnapshot, words: &Words<'_>) -> Option<String> {
        let kind = words.kind(peer);
        let measured = |text: String| kind.is_reached().then_some(text);
        let traffic = peer.traffic;
        match self {
            Self::State => Some(kind.word().to_owned()),
            Self::Name => Some(words.name(&peer.id)),
            Self::Id => Some(peer.id.short()),
            Self::Path => Some(words.link(peer, Address::Ip)),
            Self::Rtt => Measured::rtt(peer).map(format::rtt).and_then(measured),
            Self::Spark | Self::Jitter | Self::Version | Self::Seen => None,
            Self::Loss => {
                Measured::rtt(peer).and_then(|_| measured(format!("{:.1}%", peer.loss * 100.0)))
            }
            Self::Down => measured(format::rate(traffic.rx_rate)),
            Self::Up => measured(format::rate(traffic.tx_rate)),
            Self::Total => {
                let (down, up) = (traffic.rx_bytes, traffic.tx_bytes);
                Some(format::bytes(down.saturating_add(up)))
            }
            Self::Age => Some(format::age(peer.state_age)),
            Self::Why => Some(words.short_reason(peer).to_owned()),
        }
    }
}

/// Columns in the order in which they are wanted, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns(Vec<Column>);

impl Columns {
    pub(crate) fn all(&self) -> &[Column] {
        &self.0
    }
}

/// Why a line names no columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsError {
    #[error("there is no column {found}; did you mean {near}?")]
    Near { found: String, near: &'static str },
    #[error("there is no column {found}; there is {}", words().join(", "))]
    Unknown { found: String },
    #[error("{0} is named twice")]
    Twice(&'static str),
    #[error("name at least one column of {}", words().join(", "))]
    None,
}

fn words() -> Vec<&'static str> {
    Column::ALL.map(Column::word).to_vec()
}

impl FromStr for Columns {
    type Err = ColumnsError;

    /// Words with blanks or commas between them.
    fn from_str(text: &str) -> Result<Self, ColumnsError> {
        let mut columns = Vec::new();
        let parts = text.split(|c: char| c.is_whitespace() || c == ',');
        for word in parts.filter(|word| !word.is_empty()) {
            let lower = word.to_lowercase();
            let known = Column::ALL.into_iter().find(|known| known.word() == lower);
            let Some(column) = known else {
                let found = word.to_owned();
                return Err(match nearest(&lower, &words()) {
                    Some(near) => ColumnsError::Near { found, near },
                    None => ColumnsError::Unknown { found },
                });
            };
            if columns.contains(&column) {
                return Err(ColumnsError::Twice(column.word()));
            }
            columns.push(column);
        }
        if columns.is_empty() {
            return Err(ColumnsError::None);
        }
        Ok(Self(columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_in_their_order_and_nonsense_names_what_was_meant() {
        let columns: Columns = "name, rtt  WHY".parse().unwrap();
        assert_eq!(columns.all(), [Column::Name, Column::Rtt, Column::Why]);
        let said = |text: &str| text.parse::<Columns>().unwrap_err().to_string();
        assert_eq!(
            said("name jiter"),
            "there is no column jiter; did you mean jitter?"
        );
        assert!(said("xyz").contains("there is state, name"));
        assert_eq!(said("rtt rtt"), "rtt is named twice");
        assert!(said(" , ").starts_with("name at least one"));
    }
}
