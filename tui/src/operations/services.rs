//! What a peer exposes to this node.

use peerway::{
    Endpoint,
    services::tunnel::{self, ForwardError, Transport},
};

use super::{Dialling, OperationError, Patience, ServiceLine, Services, Step, Teller};
use crate::forwarding::ForwardingError;

pub(super) async fn run(
    endpoint: &Endpoint,
    ask: &Services,
    teller: &Teller,
) -> Result<(), OperationError> {
    let hint = |text: &str| teller.hint(text);
    let dialling = Dialling {
        endpoint,
        hint: &hint,
    };
    dialling.settled().await;
    let asking = async {
        let connected = endpoint.connect(ask.ticket.clone(), tunnel::ALPN).await;
        let connection = connected.map_err(ForwardError::from)?;
        Ok::<_, ForwardingError>(tunnel::list(&connection).await?)
    };
    let patience = Patience::within(None);
    let exposed = dialling.answer(&ask.ticket, patience, asking).await?;
    let services = exposed.into_iter().map(|(name, takes)| ServiceLine {
        service: name.to_string(),
        transport: match takes {
            Transport::Stream => "tcp".to_owned(),
            Transport::Datagrams => "udp".to_owned(),
        },
    });
    teller.tell(Step::Services {
        services: services.collect(),
    });
    Ok(())
}
