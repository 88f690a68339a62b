use super::*;
use crate::SecretKey;

#[test]
fn of_a_name_only_what_stands_before_our_service_is_an_alias() {
    let alias = "00112233445566778899aabbccddeeff";
    assert!(alias_of(&format!("{alias}.{SERVICE}")).is_some());
    for foreign in [
        SERVICE.to_owned(),
        format!("{alias}._http._tcp.local."),
        format!("{alias}.more.{SERVICE}"),
        String::new(),
    ] {
        assert_eq!(alias_of(&foreign), None, "{foreign}");
    }
}

#[tokio::test]
async fn a_peer_that_is_looked_for_is_found_however_many_others_are_announced() {
    let id = |n| SecretKey::from_seed(&[n; 32]).id();
    let (peer, stranger) = (id(2), id(3));
    let mut lan = Lan::start(id(1)).unwrap();
    let mut announce = |of, salt: usize| {
        let event = announced(Alias::new(of, (salt as u64).to_be_bytes()));
        let alias = lan.take(event).unwrap();
        lan.who(Sighting(alias), [peer].into_iter())
    };
    for salt in 0..2 * MAX_FOUND {
        assert_eq!(announce(stranger, salt), None);
    }
    let here = "192.168.1.2:5000".parse().unwrap();
    assert_eq!(announce(peer, 0), Some((peer, vec![here])));
    assert_eq!(lan.found.len(), MAX_FOUND + 1);
}

fn announced(alias: Alias) -> ServiceEvent {
    let (name, host) = (alias.to_string(), format!("{alias}.local."));
    let service = ServiceInfo::new(SERVICE, &name, &host, "192.168.1.2", 5000, None);
    ServiceEvent::ServiceResolved(Box::new(service.unwrap().as_resolved_service()))
}
