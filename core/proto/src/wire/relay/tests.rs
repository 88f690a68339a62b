use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::*;
use crate::{InviteToken, Item, MAX_ITEM_VALUE, PeerId, RelayUrl, SecretKey};

fn id() -> impl Strategy<Value = PeerId> {
    any::<[u8; 32]>().prop_map(|seed| SecretKey::from_seed(&seed).id())
}

fn payload() -> impl Strategy<Value = Payload> {
    proptest::collection::vec(any::<u8>(), 0..=MAX_PAYLOAD)
        .prop_map(|bytes| bytes.try_into().unwrap())
}

fn addr() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
}

fn item() -> impl Strategy<Value = Item> {
    let value = proptest::collection::vec(any::<u8>(), 0..=MAX_ITEM_VALUE);
    let key = any::<[u8; 32]>();
    (key, any::<i64>(), value, any::<[u8; 64]>())
        .prop_map(|(key, seq, value, signature)| Item::new(key, seq, value, signature))
}

fn url() -> impl Strategy<Value = RelayUrl> {
    let token = proptest::option::of(any::<[u8; 16]>());
    let host = prop_oneof![
        Just("192.0.2.7"),
        Just("2001:db8::7"),
        Just("relay.example.org")
    ];
    (id(), host, 1_u16.., token).prop_map(|(key, host, port, token)| {
        let url = RelayUrl::new(key, host, port).unwrap();
        match token {
            Some(token) => url.with_invite(InviteToken::from_bytes(token)),
            None => url,
        }
    })
}

fn outcome() -> impl Strategy<Value = DhtOutcome> {
    prop_oneof![
        any::<u8>().prop_map(|nodes| DhtOutcome::Done { nodes }),
        Just(DhtOutcome::Silent),
        Just(DhtOutcome::Busy),
        Just(DhtOutcome::Outdated),
        Just(DhtOutcome::Refused),
        (5_u8..).prop_map(DhtOutcome::Other),
    ]
}

fn to_relay() -> impl Strategy<Value = ToRelay> {
    prop_oneof![
        any::<u8>().prop_map(|version| ToRelay::Hello { version }),
        (id(), any::<bool>(), payload()).prop_map(|(to, hidden, payload)| ToRelay::Signal {
            to,
            hidden,
            payload,
        }),
        Just(ToRelay::KeepAlive),
        any::<[u8; 16]>().prop_map(|bytes| ToRelay::Invited {
            token: InviteToken::from_bytes(bytes),
        }),
        Just(ToRelay::Visit),
        Just(ToRelay::Yield),
        (any::<u32>(), any::<[u8; 32]>()).prop_map(|(ask, key)| ToRelay::Get { ask, key }),
        (any::<u32>(), item()).prop_map(|(ask, item)| ToRelay::Put { ask, item }),
    ]
}

fn reason() -> impl Strategy<Value = GoneReason> {
    prop_oneof![
        Just(GoneReason::NotRegistered),
        Just(GoneReason::Refused),
        Just(GoneReason::Busy),
        (3_u8..).prop_map(GoneReason::Other),
    ]
}

fn to_client() -> impl Strategy<Value = ToClient> {
    prop_oneof![
        (any::<u8>(), any::<u64>(), addr()).prop_map(|(version, time_ms, observed)| {
            ToClient::Welcome {
                version,
                time_ms,
                observed,
            }
        }),
        addr().prop_map(|addr| ToClient::Observed { addr }),
        (id(), any::<u64>(), proptest::option::of(addr()), payload()).prop_map(
            |(from, time_ms, observed, payload)| ToClient::Deliver {
                from,
                time_ms,
                observed,
                payload,
            }
        ),
        (id(), reason()).prop_map(|(peer, reason)| ToClient::Gone { peer, reason }),
        any::<u32>().prop_map(|reconnect_in_ms| ToClient::Drain { reconnect_in_ms }),
        Just(ToClient::KeepAliveAck),
        id().prop_map(|peer| ToClient::Unreached { peer }),
        (any::<u32>(), item()).prop_map(|(ask, item)| ToClient::Item { ask, item }),
        (any::<u32>(), outcome()).prop_map(|(ask, outcome)| ToClient::Dealt { ask, outcome }),
        url().prop_map(|to| ToClient::Moved { to }),
    ]
}

/// Reads `frames` back from their bytes, cut in two at every place.
fn survives_every_split<F: Frame + PartialEq + std::fmt::Debug>(frames: &[F]) {
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| frame.emit(&mut bytes));
    for split in 0..=bytes.len() {
        let mut reader = FrameReader::<F>::default();
        let mut read = Vec::new();
        for part in [&bytes[..split], &bytes[split..]] {
            reader.push(part);
            while let Some(frame) = reader.poll().unwrap() {
                read.push(frame);
            }
        }
        assert_eq!(read, frames, "split at {split}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn frames_to_the_relay_survive_the_wire_split_anywhere(frame in to_relay(), next in to_relay()) {
        survives_every_split(&[frame, next]);
    }

    #[test]
    fn frames_to_the_client_survive_the_wire_split_anywhere(frame in to_client(), next in to_client()) {
        survives_every_split(&[frame, next]);
    }

    #[test]
    fn no_bytes_upset_the_readers(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let mut clients = FrameReader::<ToRelay>::default();
        clients.push(&bytes);
        while let Ok(Some(_)) = clients.poll() {}
        let mut relays = FrameReader::<ToClient>::default();
        relays.push(&bytes);
        while let Ok(Some(_)) = relays.poll() {}
    }

    #[test]
    fn what_parses_is_emitted_as_it_was(kind in 0x80_u8..0x8b, body in proptest::collection::vec(any::<u8>(), 0..128)) {
        if let Ok(Some(frame)) = ToClient::parse(kind, &body) {
            let mut out = Vec::new();
            prop_assert_eq!(frame.emit_body(&mut out), kind);
            prop_assert_eq!(out, body);
        }
    }
}

#[test]
fn a_frame_of_unknown_type_is_skipped_and_counted() {
    let mut reader = FrameReader::<ToRelay>::default();
    let mut bytes = vec![0, 2, 0x7f, 1, 2];
    ToRelay::KeepAlive.emit(&mut bytes);
    reader.push(&bytes);
    assert_eq!(reader.poll(), Ok(Some(ToRelay::KeepAlive)));
    assert_eq!(reader.poll(), Ok(None));
    assert_eq!(reader.unknown(), 1);
}

#[test]
fn a_frame_that_announces_too_much_is_refused_before_its_body_comes() {
    let mut reader = FrameReader::<ToRelay>::default();
    reader.push(&[0xff, 0xff, 0x02]);
    assert_eq!(reader.poll(), Err(FrameError::TooLong { len: 0xffff }));
}

#[test]
fn a_payload_beyond_the_limit_is_refused() {
    let len = MAX_PAYLOAD + 1;
    assert_eq!(
        Payload::try_from(vec![0; len]),
        Err(FrameError::PayloadTooLong { len })
    );
}

#[test]
fn an_ipv4_address_never_travels_in_ipv6_clothes() {
    let mut body = vec![6];
    body.extend_from_slice(
        &"::ffff:192.0.2.1"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets(),
    );
    body.extend_from_slice(&[0, 1]);
    assert_eq!(
        ToClient::parse(0x82, &body),
        Err(FrameError::Field {
            kind: 0x82,
            field: "the address"
        })
    );
    let mut out = Vec::new();
    let addr = "[::ffff:192.0.2.1]:9".parse().unwrap();
    ToClient::Observed { addr }.emit_body(&mut out);
    assert_eq!(out, [4, 192, 0, 2, 1, 0, 9]);
}

#[test]
fn the_url_of_another_relay_is_one_way_of_writing_it_and_no_longer_than_any() {
    let key = SecretKey::from_seed(&[1; 32]).id();
    let parse = |text: &str| ToClient::parse(0x8a, text.as_bytes()).ok().flatten();
    let to = RelayUrl::new(key, "relay.example.org", 4433).unwrap();
    let text = to.to_string();
    assert_eq!(parse(&text), Some(ToClient::Moved { to }));
    let token = InviteToken::from_bytes([7; 16]);
    let invited = format!("{text}?invite={}", token.reveal());
    let Some(ToClient::Moved { to }) = parse(&invited) else {
        panic!("an invitation goes with it");
    };
    assert_eq!(to.invite(), Some(&token));
    let zeros = format!("relay://{key}@relay.example.org:{}4433", "0".repeat(512));
    for wrong in [
        "",
        "relay://",
        &text[..text.len() - 5],
        &format!("{text}/"),
        &zeros,
    ] {
        assert_eq!(parse(wrong), None, "{wrong}");
    }
}

#[test]
fn close_reasons_survive_their_codes() {
    for code in 0..11 {
        let reason = CloseReason::from_code(code).unwrap();
        assert_eq!(u64::from(reason.code()), code);
    }
    assert_eq!(CloseReason::from_code(11), None);
}
