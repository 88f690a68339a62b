use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
};

use mainline::Testnet;
use peerway::{ConnectError, Connection, SecretKey};

use super::*;
use crate::directory::Entrance;

const ALPN: &[u8] = b"peerway/test/1";

fn testnet() -> Testnet {
    let mut builder = Testnet::builder(10);
    builder.bind_address(Ipv4Addr::LOCALHOST).build().unwrap()
}

fn directory(bootstrap: &[String]) -> Directory {
    Directory::new(Entrance::at(bootstrap.to_vec()))
}

fn secret() -> DiscoverySecret {
    DiscoverySecret::from_bytes([5; 16])
}

/// A node that is at no relay, and where it is.
async fn node(key: &SecretKey) -> (Endpoint, SocketAddr) {
    let builder = Endpoint::builder().secret_key(key.clone()).alpns([ALPN]);
    let local = (Ipv4Addr::LOCALHOST, 0).into();
    let endpoint = builder.bind_addr(local).bind().await.unwrap();
    let addr = endpoint.ticket().addrs()[0];
    (endpoint, addr)
}

/// Publishes what a peer said so many seconds ago.
async fn publish(
    directory: &Directory,
    key: &SecretKey,
    secret: DiscoverySecret,
    addr: SocketAddr,
    age: u64,
) {
    let now = unix_seconds();
    let record = Record::new(now - age, &[], &[addr]);
    let period = Period::at(key.id(), now);
    let item = record.seal(key, secret, period).unwrap();
    directory.put(item).await.unwrap();
}

/// What comes of dialling a ticket, by a node that knows nothing else.
async fn dial(bootstrap: &[String], ticket: Ticket) -> Result<Connection, ConnectError> {
    let key = SecretKey::from_seed(&[9; 32]);
    let (endpoint, _) = node(&key).await;
    let _discovery = Discovery::start(&endpoint, key, directory(bootstrap)).await;
    endpoint.connect(ticket, ALPN).await
}

fn why(dialled: Result<Connection, ConnectError>) -> String {
    let error = dialled.expect_err("not to be found");
    assert!(
        error
            .source()
            .is_some_and(|it| error.to_string().contains(&it.to_string()))
    );
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_which_the_id_and_the_secret_are_known_is_found_and_by_its_id_alone_if_it_wants()
{
    let testnet = testnet();
    let key = SecretKey::from_seed(&[1; 32]);
    let (_peer, addr) = node(&key).await;
    let publisher = directory(&testnet.bootstrap);
    let ticket = Ticket::from(key.id()).with_discovery(Some(secret()));
    let missing = why(dial(&testnet.bootstrap, ticket.clone()).await);
    assert!(
        missing.contains("no record in the Mainline DHT"),
        "{missing}"
    );
    publish(&publisher, &key, secret(), addr, 0).await;
    let found = dial(&testnet.bootstrap, ticket).await.unwrap();
    assert_eq!(found.peer(), key.id());
    let by_id = why(dial(&testnet.bootstrap, key.id().into()).await);
    assert!(by_id.contains("dial its ticket"), "{by_id}");
    publish(&publisher, &key, DiscoverySecret::PUBLIC, addr, 0).await;
    dial(&testnet.bootstrap, key.id().into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_not_where_its_ticket_says_any_more_is_found_by_its_record() {
    let testnet = testnet();
    let key = SecretKey::from_seed(&[2; 32]);
    let (_peer, addr) = node(&key).await;
    publish(&directory(&testnet.bootstrap), &key, secret(), addr, 0).await;
    let stale = vec!["127.0.0.1:9".parse().unwrap()];
    let ticket = Ticket::new(key.id(), Vec::new(), stale).with_discovery(Some(secret()));
    dial(&testnet.bootstrap, ticket).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_found_is_told_why() {
    let testnet = testnet();
    let key = SecretKey::from_seed(&[3; 32]);
    let (_peer, addr) = node(&key).await;
    let old = record::VALID_FOR + 60;
    publish(&directory(&testnet.bootstrap), &key, secret(), addr, old).await;
    let ticket = Ticket::from(key.id()).with_discovery(Some(secret()));
    let stale = why(dial(&testnet.bootstrap, ticket.clone()).await);
    assert!(stale.contains("3 h old"), "{stale}");
    let dead = why(dial(&["127.0.0.1:9".to_owned()], ticket).await);
    assert!(
        dead.contains("no node of the Mainline DHT answers"),
        "{dead}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_at_once_is_not_looked_up_and_a_dead_directory_does_no_harm() {
    let key = SecretKey::from_seed(&[4; 32]);
    let (_peer, addr) = node(&key).await;
    let (endpoint, _) = node(&SecretKey::from_seed(&[9; 32])).await;
    let directory = directory(&["127.0.0.1:9".to_owned()]);
    let _discovery = Discovery::start(&endpoint, key.clone(), directory.clone()).await;
    let ticket = Ticket::new(key.id(), Vec::new(), vec![addr]).with_discovery(Some(secret()));
    endpoint.connect(ticket, ALPN).await.unwrap();
    assert_eq!(directory.reach(), crate::directory::Reach::Unasked);
}
