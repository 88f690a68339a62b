//! The sending side.

use peerway::{
    Connection, Endpoint, Ticket,
    services::files::{self, Progress, Selection, Skipped},
};

use super::{Direction, Journal, Offers, Running, Step, Steps, Teller, TransferError, What};
use crate::operations::{DialError, Dialling, Patience};

/// Things left out that are said one by one.
const SAID: usize = 10;

/// Who is to have it, and what that one is called.
#[derive(Clone, Debug)]
pub(crate) struct Recipient {
    pub(crate) ticket: Ticket,
    pub(crate) name: String,
}

/// Sends what was selected by a node, as long as somebody listens. What was sent is noted in the journal if there is one.
pub(crate) fn send(
    endpoint: Endpoint,
    to: Recipient,
    selection: Selection,
    journal: Option<Journal>,
) -> Steps {
    begin(async move |teller: Teller| {
        say_what_is_left_out(selection.skipped(), &teller).await;
        match dial(&endpoint, &to.ticket, &teller).await {
            Ok(connection) => {
                let first = selection.offer().names.into_iter().next();
                let running = journal.as_ref().map(Journal::running);
                let offering = (to.name, selection);
                let last = offer(&connection, offering, &teller, running).await;
                if let (Some(journal), Step::Sent { peer, end, .. }) = (&journal, &last) {
                    journal.sent(*peer, end.noted(first, None));
                }
                last
            }
            Err(error) => error.failed(0, None),
        }
    })
}

/// The same to who is at the other end of a link, and called `name`.
pub(crate) fn send_on(connection: Connection, name: String, selection: Selection) -> Steps {
    begin(async move |teller: Teller| {
        say_what_is_left_out(selection.skipped(), &teller).await;
        offer(&connection, (name, selection), &teller, None).await
    })
}

/// What some work tells, and last what came of it.
fn begin<F>(work: impl FnOnce(Teller) -> F) -> Steps
where
    F: Future<Output = Step> + Send + 'static,
{
    let (teller, steps) = Teller::new();
    let work = work(teller.clone());
    #[expect(clippy::disallowed_methods, reason = "the shell")]
    tokio::spawn(async move {
        let sending = async { teller.tell(work.await).await };
        tokio::select! {
            () = sending => {}
            () = teller.closed() => {}
        }
    });
    steps
}

async fn dial(
    endpoint: &Endpoint,
    ticket: &Ticket,
    teller: &Teller,
) -> Result<Connection, TransferError> {
    let hint = |text: &str| teller.hint(text);
    let dialling = Dialling {
        endpoint,
        hint: &hint,
    };
    dialling.settled().await;
    let connecting = endpoint.connect(ticket.clone(), files::ALPN);
    let connecting = async {
        connecting
            .await
            .map_err(|error| TransferError::from(DialError::from(error)))
    };
    dialling
        .answer(ticket, Patience::within(None), connecting)
        .await
}

/// What came of the offer.
async fn offer(
    connection: &Connection,
    (name, selection): (String, Selection),
    teller: &Teller,
    running: Option<&Running>,
) -> Step {
    let peer = connection.peer();
    let offering = Step::Offering {
        peer,
        name: name.clone(),
        offer: Offers::from(&selection.offer()),
    };
    teller.tell(offering).await;
    let progress = Progress::default();
    let _shown = running.map(|running| {
        let what = What {
            direction: Direction::Sending,
            peer: Some(peer),
            name: selection.offer().names.into_iter().next(),
            folder: None,
        };
        running.show(running.number(), what, &progress)
    });
    let sending = files::send(connection, selection, &progress);
    match teller.during(0, (&progress, connection), sending).await {
        Ok(report) => Step::Sent {
            peer,
            name,
            end: report.into(),
        },
        Err(error) => TransferError::from(error).failed(0, Some(peer)),
    }
}

async fn say_what_is_left_out(skipped: &[Skipped], teller: &Teller) {
    for it in skipped.iter().take(SAID) {
        let text = format!("left out: {}: {}", it.path.display(), it.reason);
        teller.tell(Step::Hint { text }).await;
    }
    if let Some(more @ 1..) = skipped.len().checked_sub(SAID) {
        let text = format!("left out: {more} more");
        teller.tell(Step::Hint { text }).await;
    }
}
