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
    searches::{AskedGroup, FormWord, RowLine, SearchAsk, SearchStep},
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
    let (mut silent, mut failed) = (Vec::new(), Vec::new());
    while let Some(step) = steps.next().await {
        let step = step?;
        if globals.json {
            out::json(&step)?;
        }
        match step {
            SearchStep::Asking { peers, groups, .. }
                if peers == 0 && groups.iter().all(|group| group.directories == 0) =>
            {
                return Err(NoResult::Nobody.into());
            }
            SearchStep::Asking { book, groups, .. } => out::hint(whom(book, &groups)),
            SearchStep::Row(row) if !globals.json => show(&row, &book)?,
            SearchStep::Row(_) => {}
            SearchStep::Unanswered {
                peer,
                reason,
                directory: Some(group),
            } => {
                let group = one_line(&group);
                let who = format!("{}, a directory of {group},", book.peer(&peer));
                failed.push((who, reason));
            }
            SearchStep::Unanswered { peer, reason, .. } => silent.push((book.peer(&peer), reason)),
            SearchStep::Done {
                asked,
                answered,
                directories,
                directories_answered,
                rows,
                more,
                unsent,
                ..
            } => {
                if !globals.json {
                    // A directory that fails stands for many.
                    silence(&failed).iter().for_each(out::hint);
                    silence(&silent).iter().for_each(out::hint);
                    let directories = (directories, directories_answered);
                    out::hint(summary(
                        (asked, answered),
                        directories,
                        rows,
                        more + unsent as usize,
                    ));
                }
                return match (answered + directories_answered, rows) {
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
    let others = groups.iter().filter_map(|group| {
        let directories = directories(group.directories);
        let members = people(group.members, "member");
        let name = &group.name;
        match (group.form, group.members) {
            (FormWord::Directories, _) => Some(format!(
                "{directories} of {name}, which is too large to ask everybody"
            )),
            (FormWord::Both, 0) => Some(format!("{directories} of {name}")),
            (FormWord::Both, _) => Some(format!("{members} and {directories} of {name}")),
            (FormWord::Members, 0) => None,
            (FormWord::Members, _) => Some(format!("{members} of {name}")),
        }
    });
    let whom: Vec<_> = of_book.into_iter().chain(others).collect();
    format!("asking {}: each of them sees these words", whom.join(", "))
}

fn people(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

fn directories(count: usize) -> String {
    match count {
        1 => "1 directory".to_owned(),
        _ => format!("{count} directories"),
    }
}

fn show(row: &RowLine, book: &Book) -> Result<(), Failure> {
    let size = match row.kind {
        Kind::Folder => "folder".to_owned(),
        Kind::File | _ => format::bytes(row.size),
    };
    let called = |peer: &PeerId| match row.offline.contains(peer) {
        true => format!("{} (offline)", book.peer(peer)),
        false => book.peer(peer),
    };
    let mut who: Vec<_> = row.publishers.iter().map(called).collect();
    if row.count > who.len() {
        who.push(format!("{} more", row.count - who.len()));
    }
    let mut line = format!("{}  {size}  {}", one_line(&row.name), who.join(", "));
    if row.by_directory {
        line += ", as a directory says";
    }
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

/// Who did not answer and why, a line each, of as many as are named.
fn silence(silent: &[(String, String)]) -> Vec<String> {
    let named = silent.iter().take(MAX_NAMED);
    let named = named.map(|(who, why)| format!("{who} did not answer: {}", one_line(why)));
    let beyond = silent.len().saturating_sub(MAX_NAMED);
    let others = (beyond > 0).then(|| format!("nor did {beyond} others"));
    named.chain(others).collect()
}

fn summary(
    (asked, answered): (usize, usize),
    (directories, directories_answered): (usize, usize),
    rows: usize,
    more: usize,
) -> String {
    let of_peers = (asked > 0 || directories == 0).then(|| format!("{answered} of {asked}"));
    let of_directories = format!(
        "{directories_answered} of {}",
        self::directories(directories)
    );
    let of_directories = (directories > 0).then_some(of_directories);
    let answers: Vec<_> = of_peers.into_iter().chain(of_directories).collect();
    let mut line = format!(
        "{} answered, {} found",
        answers.join(" and "),
        people(rows, "thing")
    );
    if more > 0 {
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
            form: FormWord::Members,
            directories: 0,
        };
        assert_eq!(
            whom(2, &[group("home", 1), group("work", 0)]),
            "asking 2 peers of the address book, 1 member of home: each of them sees these words"
        );
        assert!(whom(0, &[group("home", 3)]).starts_with("asking 3 members of home:"));
        let with = |members, form, directories| AskedGroup {
            form,
            directories,
            ..group("home", members)
        };
        assert!(
            whom(0, &[with(3, FormWord::Both, 1)])
                .starts_with("asking 3 members and 1 directory of home:")
        );
        assert!(
            whom(0, &[with(0, FormWord::Directories, 10)])
                .starts_with("asking 10 directories of home, which is too large to ask everybody:")
        );
    }

    #[test]
    fn how_many_answered_is_said_of_peers_and_of_directories() {
        assert_eq!(
            summary((17, 16), (0, 0), 1, 0),
            "16 of 17 answered, 1 thing found"
        );
        assert_eq!(
            summary((3, 2), (2, 1), 0, 0),
            "2 of 3 and 1 of 2 directories answered, 0 things found"
        );
        assert_eq!(
            summary((0, 0), (1, 1), 2, 1),
            "1 of 1 directory answered, 2 things found; there is more: another word makes it less"
        );
    }

    #[test]
    fn of_many_who_did_not_answer_some_are_named_and_the_rest_counted() {
        let silent = |count| vec![("a".to_owned(), "it is\naway".to_owned()); count];
        assert_eq!(silence(&silent(1)), ["a did not answer: it is away"]);
        let lines = silence(&silent(MAX_NAMED + 2));
        assert_eq!(lines.len(), MAX_NAMED + 1);
        assert_eq!(lines[MAX_NAMED], "nor did 2 others");
    }

    #[test]
    fn the_lines_keep_their_keys() {
        let id = peerway::SecretKey::from_seed(&[1; 32]).id();
        let hash = peerway_swarm::share::Hash::of(b"");
        let row = serde_json::json!({
            "hash": hash, "name": "a", "other_names": ["b"], "kind": "file", "size": 1, "public": true,
            "publishers": [id], "count": 1, "confirmed": false, "by_directory": true, "offline": [id],
            "link": peerway_swarm::share::Link::new(hash, 1, Kind::File, "a"),
        });
        let row: RowLine = serde_json::from_value(row).unwrap();
        let groups = vec![AskedGroup {
            name: "home".to_owned(),
            members: 1,
            form: FormWord::Both,
            directories: 1,
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
                directory: Some("home".to_owned()),
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
