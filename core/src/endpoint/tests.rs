//! Nodes on loopback.

use std::{net::Ipv4Addr, time::Duration};

use tokio::time::timeout;

use super::*;
use crate::quic::ConnectionError;

const ALPN: &[u8] = b"example/end/1";
/// Far longer than anything takes, and shorter than QUIC's idle timeout.
const LONG: Duration = Duration::from_secs(60);

async fn node() -> Endpoint {
    let builder = Endpoint::builder()
        .bind_addr((Ipv4Addr::LOCALHOST, 0).into())
        .alpns([ALPN]);
    builder.bind().await.unwrap()
}

#[tokio::test]
async fn what_a_connection_was_closed_with_is_heard_though_its_node_ends_at_once() {
    let called = node().await;
    // In which order its tasks have their turns is left to chance.
    for _ in 0..16 {
        let caller = node().await;
        let both = async { tokio::join!(caller.connect(called.ticket(), ALPN), called.accept()) };
        let (dialled, accepted) = timeout(LONG, both).await.unwrap();
        dialled.unwrap().close(7, b"done");
        caller.close().await;
        let ended = timeout(LONG, accepted.unwrap().closed()).await.unwrap();
        let ConnectionError::ApplicationClosed(close) = ended else {
            panic!("{ended}");
        };
        assert_eq!(close.error_code, 7u32.into(), "{close}");
    }
}

#[tokio::test]
async fn a_protocol_without_a_name_or_with_one_too_long_is_refused_and_the_node_goes_on() {
    let (caller, called) = (node().await, node().await);
    for alpn in [&b""[..], &[7; MAX_ALPN + 1]] {
        let refused = caller.connect(called.ticket(), alpn).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Alpn { .. }), "{refused}");
    }
    let both = async { tokio::join!(caller.connect(called.ticket(), ALPN), called.accept()) };
    let (dialled, _accepted) = timeout(LONG, both).await.unwrap();
    dialled.unwrap();
}
