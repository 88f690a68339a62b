use std::net::Ipv4Addr;

use ed25519_dalek::{Signer, SigningKey};
use mainline::Testnet;
use tokio::time::timeout;

use super::*;

const NOW: i64 = 1_800_000_000;

fn testnet() -> Testnet {
    let mut builder = Testnet::builder(10);
    builder.bind_address(Ipv4Addr::LOCALHOST).build().unwrap()
}

fn at(bootstrap: Vec<String>) -> Directory {
    Directory::new(Entrance::at(bootstrap))
}

fn item(seq: i64) -> Item {
    let key = SigningKey::from_bytes(&[1; 32]);
    let value = b"8:at home.".to_vec();
    let signature = key.sign(&Item::to_sign(seq, &value)).to_bytes();
    Item::new(key.verifying_key().to_bytes(), seq, value, signature)
}

async fn first(directory: &Directory, key: [u8; 32]) -> Option<Result<Item, DirectoryError>> {
    directory.get(key).await.next().await
}

/// What is known of the DHT is told once the answer was.
async fn becomes(directory: &Directory, expected: Reach) {
    let mut reach = directory.reach.clone();
    let told = reach.wait_for(|reach| *reach == expected);
    timeout(Duration::from_secs(30), told)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_program_stores_another_one_finds() {
    let testnet = testnet();
    let author = at(testnet.bootstrap.clone());
    assert_eq!(author.reach(), Reach::Unasked);
    assert!(author.put(item(NOW)).await.unwrap() > 0);
    let reader = at(testnet.bootstrap.clone());
    let found = first(&reader, item(NOW).key).await.unwrap().unwrap();
    assert_eq!(found, item(NOW));
    assert!(
        first(&reader, [9; 32]).await.is_none(),
        "nobody stored that"
    );
    becomes(&author, Reach::Reached).await;
    becomes(&reader, Reach::Reached).await;
    let remembered = reader.nodes();
    assert!(!remembered.is_empty());
    let entrance = Entrance {
        bootstrap: vec!["127.0.0.1:9".into()],
        remembered,
    };
    let again = Directory::new(entrance);
    assert!(
        first(&again, item(NOW).key).await.unwrap().is_ok(),
        "the usual host is dead"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_item_does_not_take_the_place_of_a_newer_one() {
    let testnet = testnet();
    let author = at(testnet.bootstrap.clone());
    author.put(item(NOW)).await.unwrap();
    let refused = author.put(item(NOW - 1)).await;
    assert!(
        matches!(refused, Err(DirectoryError::Outdated)),
        "{refused:?}"
    );
    author.put(item(NOW + 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_answers_that_is_said_and_not_that_nothing_is_stored() {
    let nobody = at(vec!["127.0.0.1:9".into()]);
    let found = first(&nobody, [9; 32]).await;
    assert!(
        matches!(found, Some(Err(DirectoryError::Silent))),
        "{found:?}"
    );
    becomes(&nobody, Reach::Silent).await;
    let stored = nobody.put(item(NOW)).await;
    assert!(matches!(stored, Err(DirectoryError::Silent)), "{stored:?}");
    assert!(nobody.nodes().is_empty());
}

#[tokio::test]
async fn what_is_too_long_for_nodes_of_the_dht_is_not_sent() {
    let directory = at(vec!["127.0.0.1:9".into()]);
    let long = Item::new([1; 32], 1, vec![0; MAX_VALUE + 1], [0; 64]);
    let refused = directory.put(long).await;
    assert!(matches!(refused, Err(DirectoryError::TooLong { len: 901 })));
    assert_eq!(directory.reach(), Reach::Unasked);
}
