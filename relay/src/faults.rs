//! A way for tests to have the handling of one input fail. Nothing of it is in a build that is not for tests.

/// What makes a test's relay panic when it handles it.
#[cfg(test)]
pub(crate) const TRIP: &[u8] = b"this input makes a test's relay panic";

#[cfg(test)]
pub(crate) fn trip(input: &[u8]) {
    assert!(!input.ends_with(TRIP), "a test asked for it");
}

#[cfg(not(test))]
pub(crate) fn trip(_: &[u8]) {}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use peerway::{
        RelayUrl, SecretKey,
        relay::{self, RelayEvent, RelayHandle},
        stun,
    };
    use tokio::{net::UdpSocket, sync::mpsc, time::timeout};

    use super::TRIP;
    use crate::{Config, Relay};

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn start() -> Relay {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config::new(any, SecretKey::from_seed(&[200; 32]));
        let relay = Relay::bind(config).await.unwrap();
        let serving = relay.clone();
        #[expect(clippy::disallowed_methods, reason = "the relay runs beside the test")]
        tokio::spawn(async move { serving.run().await });
        relay
    }

    struct Client {
        handle: RelayHandle,
        events: mpsc::Receiver<(RelayUrl, RelayEvent)>,
    }

    impl Client {
        async fn up(relay: &Relay, seed: u8) -> Self {
            let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
            let (sender, events) = mpsc::channel(16);
            let key = SecretKey::from_seed(&[seed; 32]);
            let handle = relay::spawn(endpoint, relay.url(), &key, sender).unwrap();
            let mut client = Self { handle, events };
            while !matches!(client.next().await, RelayEvent::Up { .. }) {}
            client
        }

        async fn next(&mut self) -> RelayEvent {
            let event = timeout(PATIENCE, self.events.recv()).await;
            let (_, event) = event.expect("something happens").unwrap();
            if let RelayEvent::Resolved { addr, .. } = event {
                self.handle.dial(addr);
            }
            event
        }
    }

    /// Whether the relay answers at `addr`.
    async fn asks(socket: &UdpSocket, addr: SocketAddr) {
        let request = stun::binding_request([7; 12], false);
        socket.send_to(&request, addr).await.unwrap();
        let answer = timeout(PATIENCE, socket.recv_from(&mut [0; 1500])).await;
        answer.expect("the relay answers").unwrap();
    }

    #[tokio::test]
    async fn a_datagram_that_makes_the_relay_panic_is_lost_and_nothing_else() {
        let relay = start().await;
        let mut client = Client::up(&relay, 1).await;
        let main = relay.local_addr().unwrap();
        let stun_port = relay.ports.stun.local_addr().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for (round, addr) in [(1, main), (2, stun_port), (3, main)] {
            socket.send_to(TRIP, addr).await.unwrap();
            asks(&socket, addr).await;
            assert_eq!(relay.stats().panics, round);
        }
        let itself = SecretKey::from_seed(&[9; 32]).id();
        client
            .handle
            .signal(itself, false, vec![1].try_into().unwrap());
        let event = client.next().await;
        assert!(matches!(event, RelayEvent::Gone { .. }), "{event:?}");
        Client::up(&relay, 2).await;
    }

    #[tokio::test]
    async fn a_client_that_makes_the_relay_panic_loses_its_own_connection_and_nobody_else_does() {
        let relay = start().await;
        let mut good = Client::up(&relay, 1).await;
        let mut bad = Client::up(&relay, 2).await;
        let peer = SecretKey::from_seed(&[9; 32]).id();
        bad.handle
            .signal(peer, false, TRIP.to_vec().try_into().unwrap());
        let event = bad.next().await;
        assert!(matches!(event, RelayEvent::Down { .. }), "{event:?}");
        good.handle.signal(peer, false, vec![1].try_into().unwrap());
        let event = good.next().await;
        assert!(matches!(event, RelayEvent::Gone { .. }), "{event:?}");
        while !matches!(bad.next().await, RelayEvent::Up { .. }) {}
        let stats = relay.stats();
        assert_eq!((stats.panics, stats.clients), (1, 2));
    }
}
