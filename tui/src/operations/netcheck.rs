//! What the network around a node allows.

use peerway::{Endpoint, RelayState};

use super::{OperationError, Step, Teller, no_relay};

pub(super) async fn run(endpoint: &Endpoint, teller: &Teller) -> Result<(), OperationError> {
    let node = endpoint.network_report().await;
    let is_up = node
        .relays
        .iter()
        .any(|relay| relay.state == RelayState::Up);
    teller.tell(Step::Network {
        node: Box::new((*node).clone()),
    });
    if node.relays.is_empty() || is_up {
        Ok(())
    } else {
        Err(no_relay(&node).into())
    }
}
