//! What files came and went.

use std::collections::BTreeSet;

use peerway::{PeerId, SecretKey};
use serde_json::Value;

use super::{
    EVENTS,
    schema::{check, schema},
};
use crate::transfers::Transfers;

#[test]
fn every_key_of_what_came_and_went_is_documented_and_no_other() {
    let mut last: Value = serde_json::from_str(&EVENTS.replace("\"ID\"", &id_text())).unwrap();
    let transferred = |event: &Value| ["received", "sent"].iter().any(|it| event["event"] == *it);
    last.as_array_mut().unwrap().retain(transferred);
    let transfers = serde_json::json!({"received": 1, "sent": 1, "last": last, "now": [transfer(SecretKey::from_seed(&[1; 32]).id())]});
    let transfers: Transfers = serde_json::from_value(transfers).unwrap();
    assert_eq!(transfers.last.len(), 2);
    let transfers = serde_json::to_value(transfers).unwrap();
    let told = schema("Transfers");
    check(&transfers, &told, "Transfers");
    let keys = |of: &Value| {
        of.as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(keys(&transfers), keys(&told["properties"]));
}

/// One that goes on, with all its keys.
pub(super) fn transfer(peer: PeerId) -> Value {
    serde_json::json!({
        "id": 1, "direction": "receiving", "peer": peer, "name": "a", "folder": "/a", "paused": true,
        "files": 1, "files_done": 1, "bytes": 1, "bytes_done": 1, "bytes_held": 1,
    })
}

fn id_text() -> String {
    format!("\"{}\"", SecretKey::from_seed(&[1; 32]).id())
}
