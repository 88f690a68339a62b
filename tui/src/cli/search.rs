//! `peerway search`: what peers and members of groups have of some name.

use std::{pin::pin, time::Duration};

use futures_util::StreamExt;
use peerway::{Names, PeerId, RelayState};
use peerway_swarm::{
    search::{ParseQueryError, Query},
    share::Kind,
};
use tokio::time::{Instant, sleep};

use super::{
    args::{Globals, SearchArgs},
    failure::Failure,
    group, out,
    state::StateDir,
};
use crate::{
    book::Book,
    control::{Client, ControlError},
    dash::format,
    searches::{AskedGroup, RowLine, SearchAsk, SearchStep},
};

/// How long a node that was just started may take to be at its relays.
const SETTLING: Duration = Duration::from_secs(3);
/// So many that did not answer are named.
const MAX_NAMED: usize = 8;

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoResult {
    #[error(transparent)]
    Query(ParseQueryError),
    #[error(
        "there is nobody to ask: `peerway add NAME TICKET` puts a peer into the address book, `peerway group join` joins a group"
    )]
    Nobody,
    #[error("nobody answered: `peerway status` shows who is linked")]
    Unanswered,
    #[error("nothing was found")]
    Nothing,
}

pub(super) async fn run(globals: &Globals, args: &SearchArgs) -> Result<(), Failure> {
    let words = args.words.join(" ");
    words.parse::<Query>().map_err(NoResult::Query)?;
    let ask = SearchAsk {
        words,
        group: args.group.clone(),
        timeout_ms: args.timeout.map(|timeout| timeout.as_millis() as u64),
    };
    group::with(globals, false, async |node| {
        search(globals, &ask, &node).await
    })
    .await
}

async fn search(globals: &Globals, ask: &SearchAsk, node: &Client) -> Result<(), Failure> {
    settle(node).await?;
    let book = StateDir::open(globals)?.names();
    let mut steps = pin!(node.search(ask).await?);
    let mut silent = Vec::new();
    while let Some(step) = steps.next().await {
        let step = step?;
        if globals.json {
            out::json(&step)?;
        }
        match step {
            SearchStep::Asking { peers: 0, .. } => return Err(NoResult::Nobody.into()),
            SearchStep::Asking { book, groups, .. } => out::hint(whom(book, &groups)),
            SearchStep::Row(row) if !globals.json => show(&row, &book)?,
            SearchStep::Row(_) => {}
            SearchStep::Unanswered { peer, reason } => silent.push((peer, reason)),
            SearchStep::Done {
                asked,
                answered,
                rows,
                more,
                unsent,
                ..
            } => {
                if !globals.json {
                    name_silent(&silent, &book);
                    out::hint(summary((asked, answered), rows, more, unsent));
                }
                return match (answered, rows) {
                    (0, _) => Err(NoResult::Unanswered.into()),
                    (_, 0) => Err(NoResult::Nothing.into()),
                    _ => Ok(()),
                };
            }
        }
    }
    Err(ControlError::Stream("it has ended".to_owned()).into())
}

/// Waits until a node that was just started can dial.
pub(super) async fn settle(node: &Client) -> Result<(), Failure> {
    let begun = Instant::now();
    while begun.elapsed() < SETTLING {
        let relays = node.status().await?.relays;
        let is_up = relays.iter().any(|relay| relay.state == RelayState::Up);
        if relays.is_empty() || is_up {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Who sees the words.
fn whom(book: usize, groups: &[AskedGroup]) -> String {
    let of_book = (book > 0).then(|| format!("{} of the address book", people(book, "peer")));
    let others = groups.iter().filter(|group| group.members > 0);
    let others =
        others.map(|group| format!("{} of {}", people(group.members, "member"), group.name));
    let whom: Vec<_> = of_book.into_iter().chain(others).collect();
    format!("asking {}: each of them sees these words", whom.join(", "))
}

fn people(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

fn show(row: &RowLine, book: &Book) -> Result<(), Failure> {
    let size = match row.kind {
        Kind::Folder => "folder".to_owned(),
        Kind::File | _ => format::bytes(row.size),
    };
    let mut who: Vec<_> = row.publishers.iter().map(|peer| book.peer(peer)).collect();
    if row.count > who.len() {
        who.push(format!("{} more", row.count - who.len()));
    }
    let mut line = format!("{}  {size}  {}", one_line(&row.name), who.join(", "));
    if !row.other_names.is_empty() {
        let others: Vec<_> = row.other_names.iter().map(|name| one_line(name)).collect();
        line += &format!("  (also {})", others.join(", "));
    }
    out::text(line)?;
    Ok(out::text(format!("    peerway get {}", row.link))?)
}

/// A name that others wrote is no second line.
pub(super) fn one_line(name: &str) -> String {
    name.replace(['\n', '\r'], " ")
}

fn name_silent(silent: &[(PeerId, String)], book: &Book) {
    for (peer, reason) in silent.iter().take(MAX_NAMED) {
        out::hint(format!(
            "{} did not answer: {}",
            book.peer(peer),
            one_line(reason)
        ));
    }
    if silent.len() > MAX_NAMED {
        out::hint(format!("nor did {} others", silent.len() - MAX_NAMED));
    }
}

fn summary((asked, answered): (usize, usize), rows: usize, more: usize, unsent: u64) -> String {
    let mut line = format!(
        "{answered} of {asked} answered, {} found",
        people(rows, "thing")
    );
    if more > 0 || unsent > 0 {
        line += "; there is more: another word makes it less";
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{super::documented::assert_keys, *};

    #[test]
    fn who_sees_the_words_is_said_before_they_are_sent() {
        let group = |name: &str, members| AskedGroup {
            name: name.to_owned(),
            members,
        };
        assert_eq!(
            whom(2, &[group("home", 1), group("work", 0)]),
            "asking 2 peers of the address book, 1 member of home: each of them sees these words"
        );
        assert!(whom(0, &[group("home", 3)]).starts_with("asking 3 members of home:"));
    }

    #[test]
    fn the_lines_keep_their_keys() {
        let id = peerway::SecretKey::from_seed(&[1; 32]).id();
        let hash = peerway_swarm::share::Hash::of(b"");
        let row = serde_json::json!({
            "hash": hash, "name": "a", "other_names": ["b"], "kind": "file", "size": 1, "public": true,
            "publishers": [id], "count": 1, "confirmed": false,
            "link": peerway_swarm::share::Link::new(hash, 1, Kind::File, "a"),
        });
        let row: RowLine = serde_json::from_value(row).unwrap();
        let groups = vec![AskedGroup {
            name: "home".to_owned(),
            members: 1,
        }];
        assert_keys("search", &groups[0]);
        let (peers, book) = (1, 1);
        for step in [
            SearchStep::Asking {
                peers,
                book,
                groups,
            },
            SearchStep::Row(row),
            SearchStep::Unanswered {
                peer: id,
                reason: "a".to_owned(),
            },
            SearchStep::done(peerway_swarm::search::Summary::default()),
        ] {
            assert_keys("search", &step);
        }
    }

    #[test]
    fn a_name_with_a_line_break_is_one_line() {
        assert_eq!(one_line("a\r\nb"), "a  b");
    }
}
