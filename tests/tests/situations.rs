//! `peerway lab`: situations that anybody can rebuild.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

use peerway_tests::PROGRAMS;
use serde_json::Value;

#[test]
fn two_restricted_homes_go_direct_and_both_say_how() {
    let lines = lines(&["port-restricted", "port-restricted", "--delay", "5"]);
    let outcome = outcome(&lines);
    assert!(outcome["direct_ms"].as_f64().unwrap() > 10.0, "{outcome}");
    for home in ["a", "b"] {
        assert_eq!(outcome[home]["cause"]["kind"], "direct", "{outcome}");
    }
    assert!(outcome["packets"][0].as_u64().unwrap() > 0, "{outcome}");
}

#[test]
fn homes_that_only_have_ipv6_in_common_use_it() {
    let lines = lines(&["ipv6-only", "symmetric+ipv6"]);
    let outcome = outcome(&lines);
    assert_eq!(outcome["a"]["cause"]["how"], "ipv6", "{outcome}");
}

#[test]
fn a_link_that_stays_on_the_relay_is_no_failure_and_says_why() {
    let lines = lines(&["symmetric", "symmetric"]);
    let nats: Vec<_> = lines.iter().filter(|line| line["event"] == "nat").collect();
    assert_eq!(nats.len(), 2);
    for nat in nats {
        assert_eq!(nat["nat"]["allocation"]["kind"], "random");
    }
    let outcome = outcome(&lines);
    assert_eq!(outcome["direct_ms"], Value::Null);
    assert_eq!(outcome["a"]["cause"]["kind"], "both_random");
}

#[test]
fn a_home_that_does_not_exist_is_refused_with_the_form_that_is_expected() {
    let output = lab(&["port-restricted", "cone"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("port-restricted, "), "{said}");
    assert!(said.contains("each with +ipv6 after it"), "{said}");
}

#[test]
fn a_home_without_udp_dials_a_public_one_over_tcp() {
    let lines = lines(&["blocked", "public"]);
    let outcome = outcome(&lines);
    for home in ["a", "b"] {
        assert_eq!(outcome[home]["cause"]["how"], "tcp", "{outcome}");
    }
}

#[test]
fn a_home_without_udp_is_dialled_through_the_relay_and_meets_a_public_one_over_tcp() {
    let lines = lines(&["public", "blocked"]);
    let outcome = outcome(&lines);
    for home in ["a", "b"] {
        assert_eq!(outcome[home]["cause"]["how"], "tcp", "{outcome}");
    }
}

#[test]
fn homes_that_only_have_the_relay_over_tcp_are_told_whose_network_it_is() {
    let lines = lines(&["blocked", "port-restricted"]);
    let outcome = outcome(&lines);
    for (home, side) in [("a", "here"), ("b", "there")] {
        let cause = &outcome[home]["cause"];
        assert_eq!(
            (&cause["kind"], &cause["side"]),
            (&"udp_blocked".into(), &side.into()),
            "{outcome}"
        );
    }
}

/// What a situation that can be tried out prints.
fn lines(arguments: &[&str]) -> Vec<Value> {
    let output = lab(&[arguments, &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let printed = String::from_utf8(output.stdout).unwrap();
    printed.lines().map(|line| line.parse().unwrap()).collect()
}

fn outcome(lines: &[Value]) -> &Value {
    let outcome = lines.iter().find(|line| line["event"] == "outcome");
    outcome.unwrap()
}

fn lab(arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAMS.join("peerway"));
    command.arg("lab").args(arguments).output().unwrap()
}
