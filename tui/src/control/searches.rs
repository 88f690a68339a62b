//! Searches, and what peers have, for who asks the node about it.

use std::time::Duration;

use axum::{
    Json,
    extract::{ConnectInfo, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use peerway_swarm::search::{NoAnswer, ParseQueryError, Query, SearchError, Step};

use super::{
    door::Caller,
    refusal::{Refusal, here},
    server::{Control, refused, understood},
    streams,
};
use crate::searches::{Asked, BrowseAsk, BrowsePage, NameLine, RowLine, SearchAsk, SearchStep};

const FOR_WHOM: &str =
    "nobody is asked in another's name from afar: search with a node of your own";

/// How long answers are waited for, if nobody says how long.
const PATIENCE: Duration = Duration::from_secs(3);

impl From<ParseQueryError> for Refusal {
    fn from(error: ParseQueryError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<SearchError> for Refusal {
    fn from(error: SearchError) -> Self {
        let status = match &error {
            SearchError::TooFast(_) => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::CONFLICT,
        };
        Self::new(status, error.to_string())
    }
}

impl From<NoAnswer> for Refusal {
    fn from(error: NoAnswer) -> Self {
        let status = match &error {
            NoAnswer::NotForUs => StatusCode::FORBIDDEN,
            NoAnswer::Later(_) => StatusCode::TOO_MANY_REQUESTS,
            NoAnswer::Unlinked(_) | NoAnswer::Silent(_) | NoAnswer::Unreached(_) => {
                StatusCode::BAD_GATEWAY
            }
            NoAnswer::NoSearch
            | NoAnswer::NoDirectory
            | NoAnswer::Wrong
            | NoAnswer::Lied
            | NoAnswer::Shunned
            | NoAnswer::TooMany
            | NoAnswer::NoTime
            | _ => StatusCode::CONFLICT,
        };
        Self::new(status, error.to_string())
    }
}

/// Searches, as long as somebody listens.
pub(super) async fn search(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Result<Json<SearchAsk>, JsonRejection>,
) -> Result<Response, Refusal> {
    here(caller, FOR_WHOM)?;
    let ask = understood(body)?;
    let query: Query = ask.words.parse()?;
    let asked = {
        let book = control.book();
        let book = book.borrow();
        Asked::of(&book, control.groups_of_host(), ask.group.as_deref())
    };
    let no_group = "there is no such group, of the address book or joined";
    let asked = asked.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, no_group))?;
    let (tickets, names) = (asked.tickets(), asked.names());
    let first = SearchStep::Asking {
        peers: asked.peers.len(),
        book: asked.book,
        groups: asked.groups,
    };
    let patience = ask.timeout_ms.map_or(PATIENCE, Duration::from_millis);
    let searching = control
        .search()
        .ask_with(query, asked.peers, asked.directories, patience)?;
    let known = (tickets, names);
    let steps = stream::unfold((searching, known), |(mut searching, known)| async {
        let step = loop {
            match searching.next().await? {
                Step::Row(row) => break SearchStep::Row(RowLine::of(row, &known.0)),
                Step::Unanswered(peer, why) => break SearchStep::unanswered(peer, &why, None),
                Step::DirectoryUnanswered(peer, group, why) => {
                    let name = known.1.get(&group).cloned();
                    break SearchStep::unanswered(peer, &why, name);
                }
                Step::Done(summary) => break SearchStep::done(summary),
                // What this version does not know, and what is done below.
                Step::Ask(_) | Step::AskDirectory(..) | _ => {}
            }
        };
        Some((step, (searching, known)))
    });
    let steps = stream::iter([first]).chain(steps);
    Ok(streams::steps(steps, control.ending()).into_response())
}

/// A page of what a peer lets this node see.
pub(super) async fn browse(
    State(control): State<Control>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    body: Result<Json<BrowseAsk>, JsonRejection>,
) -> Result<Json<BrowsePage>, Refusal> {
    here(caller, FOR_WHOM)?;
    let BrowseAsk { ticket, from } = understood(body)?;
    control.links().check(ticket.id()).map_err(refused)?;
    let page = control.search().browse(ticket.clone(), from).await?;
    let names = page.hits.into_iter().map(|hit| NameLine::of(hit, &ticket));
    Ok(Json(BrowsePage {
        names: names.collect(),
        total: page.total,
        next: page.next,
    }))
}
