use proptest::prelude::*;

use super::*;
use crate::{How, SecretKey, Side};

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn status(members: u8) -> Status {
    let mut audience: Vec<MemberTag> = (2..=members).map(|seed| key(seed).id().into()).collect();
    audience.sort();
    let links = (0..audience.len() as u8).map(|to| StatusLink {
        to,
        path: PathKind::Relay,
        shares: to % 2 == 0,
        relay: Some(0),
        why: Some(Cause::Firewall { side: Side::There }),
        rtt: Some(Duration::from_micros(18_300)),
        rx_rate: 1 << 20,
        tx_rate: 7,
    });
    Status {
        group: GroupTag::of("home"),
        author: key(1).id(),
        sent_ms: 1_795_945_100_255,
        leaves: false,
        uptime_s: 3600,
        nat: NatReport {
            mapping: NatBehavior::AddressAndPortDependent,
            filtering: NatBehavior::AddressDependent,
            allocation: PortAllocation::Random {
                first: 1024,
                last: 65535,
            },
        },
        rx_rate: 9,
        tx_rate: 0,
        program: "0.1.0".to_owned(),
        links: links.collect(),
        audience,
        relays: vec![key(200).id().into()],
    }
}

fn signed(status: &Status) -> Vec<u8> {
    let sign = |purpose: &str, message: &[u8]| key(1).sign(purpose, message);
    status.sign(sign).unwrap()
}

#[test]
fn a_status_comes_out_as_it_went_in() {
    let mut status = status(10);
    status.links[0].why = Some(Cause::Direct { how: How::Punched });
    status.links[1].rtt = None;
    status.links[2].relay = None;
    let bytes = signed(&status);
    assert_eq!(Status::parse(&bytes), Ok(status.clone()));
    assert!(status.is_signed(&bytes));
    let to = status.link_to(key(5).id()).unwrap();
    assert_eq!(status.audience[usize::from(to.to)], key(5).id().into());
    assert!(status.is_for(key(5).id()) && !status.is_for(key(77).id()));
}

#[test]
fn the_largest_status_is_no_longer_than_it_may_be_and_one_more_member_is_refused() {
    let mut largest = status(64);
    largest.program = "0".repeat(24);
    largest.relays = (100..116).map(|seed| key(seed).id().into()).collect();
    largest.relays.sort();
    assert_eq!(signed(&largest).len(), MAX_LEN);
    let more = status(65).sign(|_, _| [0; 64]);
    assert_eq!(more, Err(Malformed::Field("count")));
    let longer = [signed(&largest), vec![0]].concat();
    assert_eq!(Status::parse(&longer), Err(Malformed::Field("length")));
}

#[test]
fn any_changed_byte_is_noticed() {
    let status = status(4);
    let bytes = signed(&status);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let passes = Status::parse(&changed).is_ok_and(|status| status.is_signed(&changed));
        assert!(!passes, "byte {at}");
    }
}

#[test]
fn lists_are_in_order_and_links_point_to_something() {
    let wrong: [fn(&mut Status); 7] = [
        |status| status.audience.swap(0, 1),
        |status| status.audience[1] = status.audience[0],
        |status| status.links.swap(0, 1),
        |status| status.links[2].to = 3,
        |status| status.links[0].relay = Some(1),
        |status| status.program = "a b".to_owned(),
        |status| {
            status.audience.push(status.author.into());
            status.audience.sort();
        },
    ];
    for (number, change) in wrong.into_iter().enumerate() {
        let mut status = status(4);
        change(&mut status);
        assert!(status.sign(|_, _| [0; 64]).is_err(), "{number}");
    }
}

#[test]
fn a_rate_is_rounded_down_by_less_than_an_eighth() {
    for code in 0..=255 {
        assert_eq!(rate_code(rate(code)), code);
    }
    for exact in [0, 1, 7, 8, 15, 16, 17, 1000, 14_200_000, 1 << 33] {
        let told = rate(rate_code(exact));
        assert!(told <= exact && told * 8 >= exact * 7, "{exact}: {told}");
    }
    assert_eq!(rate_code(u64::MAX), 255);
}

proptest! {
    #[test]
    fn whatever_is_read_is_written_and_read_again_as_the_same(
        at in 0..400_usize, byte: u8, cut in 0..400_usize
    ) {
        let mut bytes = signed(&status(8));
        bytes.truncate(bytes.len().saturating_sub(cut % 3));
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(status) = Status::parse(&bytes) {
            let again = status.sign(|_, _| [0; 64]).unwrap();
            prop_assert_eq!(Status::parse(&again), Ok(status));
        }
    }
}
