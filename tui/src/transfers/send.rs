//! The sending side.

use peerway::{
    Endpoint, PeerId, Ticket,
    services::files::{self, Progress, Selection, Skipped},
};

use super::{Offers, Step, Steps, Teller, TransferError};
use crate::operations::{DialError, Dialling, Patience};

/// Things left out that are said one by one.
const SAID: usize = 10;

/// Who is to have it, and what that one is called.
#[derive(Clone, Debug)]
pub(crate) struct Recipient {
    pub(crate) ticket: Ticket,
    pub(crate) name: String,
}

/// Sends what was selected by a node, as long as somebody listens.
pub(crate) fn send(endpoint: Endpoint, to: Recipient, selection: Selection) -> Steps {
    let (teller, steps) = Teller::new();
    let work = async move {
        let told = teller.clone();
        let sending = async {
            let mut reached = None;
            let sent = run(&endpoint, to, selection, &mut reached, &teller).await;
            teller
                .tell(sent.unwrap_or_else(|error| error.failed(0, reached)))
                .await;
        };
        tokio::select! {
            () = sending => {}
            () = told.closed() => {}
        }
    };
    #[expect(clippy::disallowed_methods, reason = "the shell")]
    tokio::spawn(work);
    steps
}

async fn run(
    endpoint: &Endpoint,
    Recipient { ticket, name }: Recipient,
    selection: Selection,
    reached: &mut Option<PeerId>,
    teller: &Teller,
) -> Result<Step, TransferError> {
    say_what_is_left_out(selection.skipped(), teller).await;
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
    let connection = dialling
        .answer(&ticket, Patience::within(None), connecting)
        .await?;
    let peer = connection.peer();
    *reached = Some(peer);
    let offer = Offers::from(&selection.offer());
    teller
        .tell(Step::Offering {
            peer,
            name: name.clone(),
            offer,
        })
        .await;
    let progress = Progress::default();
    let sending = files::send(&connection, selection, &progress);
    let report = teller.during(0, &progress, sending).await?;
    Ok(Step::Sent {
        peer,
        name,
        end: report.into(),
    })
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
