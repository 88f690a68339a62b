//! Throughput to and from a peer.

use std::time::Duration;

use peerway::{Endpoint, PathInfo, services::speed};
use tokio::time::{Instant, timeout};

use super::{Dialling, OperationError, Patience, Speed, Step, Teller, ms};

/// What a direct path may take to come up before the relay is measured in its place.
const DIRECT_PATIENCE: Duration = Duration::from_secs(3);
const DEFAULT_DURATION: Duration = Duration::from_secs(5);

pub(super) async fn run(
    endpoint: &Endpoint,
    ask: &Speed,
    teller: &Teller,
) -> Result<(), OperationError> {
    let hint = |text: &str| teller.hint(text);
    let dialling = Dialling {
        endpoint,
        hint: &hint,
    };
    dialling.settled().await;
    let dialled_at = Instant::now();
    let connection = dialling
        .dial(&ask.ticket, speed::ALPN, Patience::within(None))
        .await?;
    teller.tell(Step::Connected {
        connected_ms: ms(dialled_at.elapsed()),
    });
    let mut status = connection.watch_status();
    let is_direct = status.wait_for(|status| matches!(status.path, Some(PathInfo::Direct { .. })));
    // Without a direct path the relay is what there is to measure.
    let _ = timeout(DIRECT_PATIENCE, is_direct).await;
    let duration = ask.duration_ms.map(Duration::from_millis);
    let duration = duration.unwrap_or(DEFAULT_DURATION);
    let down_mbps = speed::download(&connection, duration).await?.mbps();
    teller.tell(Step::Downloaded { down_mbps });
    let up_mbps = speed::upload(&connection, duration).await?.mbps();
    let path = connection.path();
    connection.close(0, b"done");
    teller.tell(Step::Measured {
        down_mbps,
        up_mbps,
        path,
    });
    Ok(())
}
