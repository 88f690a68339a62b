//! `peerway transfers`: what the node that runs here sends, receives and fetches now; pauses, resumes and cancels it.

use super::{
    args::{Globals, TransfersArgs},
    attach,
    failure::Failure,
    out,
    state::StateDir,
};
use crate::{
    book::Book,
    dash::format,
    printable::printable,
    transfers::{Order, Transfer},
};
use peerway::Names as _;

pub(super) async fn run(globals: &Globals, args: &TransfersArgs) -> Result<(), Failure> {
    let node = attach::needed(globals).await?;
    if let Some((order, numbers)) = args.action.as_ref().map(|action| action.order()) {
        for number in numbers {
            node.order(*number, order).await?;
            if !globals.json {
                out::text(said(*number, order))?;
            }
        }
        return Ok(());
    }
    let transfers = node.transfers().await?;
    let transfers = transfers.map(|it| it.now).unwrap_or_default();
    if globals.json {
        return Ok(transfers.iter().try_for_each(out::json)?);
    }
    if transfers.is_empty() {
        let text = "the node that runs here transfers nothing now; `peerway events` tells what comes and goes";
        return Ok(out::text(text)?);
    }
    let book = StateDir::open(globals)?.names();
    let rows: Vec<_> = transfers.iter().map(|it| row(it, &book)).collect();
    Ok(out::aligned(&rows).iter().try_for_each(out::text)?)
}

fn said(number: u64, order: Order) -> String {
    match order {
        Order::Pause => {
            format!("{number} is paused: `peerway transfers resume {number}` lets it go on")
        }
        Order::Resume => format!("{number} goes on"),
        Order::Cancel => format!("{number} is cancelled; what is there stays for another try"),
    }
}

/// Its number, what becomes of it, with whom, what it is and how far it is.
fn row(transfer: &Transfer, book: &Book) -> Vec<String> {
    let moved = transfer.moved;
    let done = match transfer.percent() {
        Some(percent) => format!("{percent}% of {}", format::bytes(moved.bytes)),
        None => format::bytes(moved.bytes_done),
    };
    vec![
        transfer.id.to_string(),
        transfer.word().to_owned(),
        transfer
            .peer
            .map_or_else(|| "many".to_owned(), |peer| book.peer(&peer)),
        transfer.name.as_deref().map(printable).unwrap_or_default(),
        done,
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::documented::assert_keys;

    fn transfer(paused: bool, bytes: u64) -> Transfer {
        serde_json::from_value(json!({
            "id": 7, "direction": "receiving", "peer": null, "name": "film\u{1b}.mkv", "folder": "/in", "paused": paused,
            "files": 1, "files_done": 0, "bytes": bytes, "bytes_done": 250_000, "bytes_held": 0,
        }))
        .unwrap()
    }

    #[test]
    fn a_row_says_how_far_it_is_and_whether_it_stands_still() {
        let said = |transfer| row(&transfer, &Book::default()).join(" ");
        let moving = said(transfer(false, 1_000_000));
        assert!(moving.starts_with("7 receiving many film"), "{moving}");
        assert!(
            moving.ends_with("25% of 1.0 MB") && !moving.contains('\u{1b}'),
            "{moving}"
        );
        let paused = said(transfer(true, 0));
        assert!(
            paused.contains("paused") && paused.ends_with("250 kB"),
            "{paused}"
        );
    }

    #[test]
    fn what_is_printed_is_documented() {
        assert_keys("transfers", &transfer(false, 1));
    }
}
