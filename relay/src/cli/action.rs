//! What the program does instead of serving.

use std::time::Duration;

use peerway_proto::RelayUrl;

use crate::control::Request;

/// What to do instead of serving. All but the last two ask the running relay with this --state-dir.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Show what the relay with this --state-dir does, and who sends most
    Status {
        /// Print one JSON object
        #[arg(id = "status_json", long = "json")]
        json: bool,
    },
    /// Show it as it changes, until q is pressed
    Top,
    /// Print a URL of the relay that lets in whoever registers with it; they stay let in
    Invite {
        /// How many may use it; any number without it
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
        uses: Option<u32>,
        /// How long it may be used, as in 30m, 12h or 7d; for ever without it
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        expires: Option<Duration>,
        /// Print one JSON object
        #[arg(id = "invite_json", long = "json")]
        json: bool,
    },
    /// List invitations, and the keys that they let in
    Invites {
        /// Print one JSON object
        #[arg(id = "invites_json", long = "json")]
        json: bool,
    },
    /// Let an invitation let in nobody any more, or serve a key no more that was invited
    Revoke {
        /// The invitation's id, as `invites` shows it, or a key
        #[arg(value_name = "ID_OR_KEY")]
        what: String,
        /// With an invitation, serve those no more whom it let in
        #[arg(long)]
        members: bool,
    },
    /// Stop the relay when its clients have gone elsewhere, which it asks them to do
    Drain {
        /// How long that may take, as in 60s or 5m, at most 1h; with --to, how long it takes
        #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_drain)]
        within: Duration,
        /// The relay that takes its place from now on: clients go there, and put it in their tickets. Whoever comes within the time
        /// is told as well. With an invitation to it, as its `invite` prints one, all of them get that
        #[arg(long, value_name = "RELAY_URL")]
        to: Option<RelayUrl>,
    },
    /// Print the manual page
    Man,
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

impl Action {
    /// What the running relay is asked, and whether its answer is printed as JSON. None for what needs no answer of it.
    pub(crate) fn request(&self) -> Option<(Request, bool)> {
        Some(match self {
            Self::Status { json } => (Request::Status, *json),
            Self::Invite {
                uses,
                expires,
                json,
            } => {
                let expires_s = expires.map(|time| time.as_secs());
                let uses = *uses;
                (Request::Invite { uses, expires_s }, *json)
            }
            Self::Invites { json } => (Request::Invites, *json),
            Self::Revoke { what, members } => {
                let (what, members) = (what.clone(), *members);
                (Request::Revoke { what, members }, false)
            }
            Self::Drain { within, to } => {
                let within_s = within.as_secs();
                let to = to.as_ref().map(RelayUrl::with_its_invite);
                (Request::Drain { within_s, to }, false)
            }
            Self::Top | Self::Man | Self::Completions { .. } => return None,
        })
    }
}

fn parse_drain(text: &str) -> Result<Duration, String> {
    parse_time(text).and_then(|time| {
        let is_short = time <= Duration::from_secs(3600);
        is_short
            .then_some(time)
            .ok_or_else(|| "expected at most 1h".to_owned())
    })
}

/// A time like 90, 90s, 30m, 12h or 7d; seconds without a unit.
fn parse_time(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 24 * 3600)];
    let with_unit = |(unit, seconds)| Some((text.strip_suffix(unit)?, seconds));
    let (digits, seconds) = units.into_iter().find_map(with_unit).unwrap_or((text, 1));
    let count = digits.parse::<u64>().ok();
    let time = count.and_then(|count| count.checked_mul(seconds));
    time.filter(|seconds| (1..=3_650 * 24 * 3600).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| "expected a time like 90s, 30m, 12h or 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_take_units() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("5m", 300), ("7d", 604_800)] {
            assert_eq!(parse_time(text), Ok(Duration::from_secs(seconds)));
        }
        for wrong in ["", "s", "0", "-1s", "1.5h", "7dd", "99999999999999d"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
