//! `docs/commands.md` against what the program takes and prints.

use std::collections::BTreeSet;

use clap::{Arg, CommandFactory};
use peerway::{PathInfo, RelayUrl, SecretKey};
use serde::Serialize;

use super::{args::Args, failure};

const PAGE: &str = include_str!("../../../docs/commands.md");

/// The keys of an object that `command` prints are on the page, in that command's line of the section on JSON.
pub(super) fn assert_keys(command: &str, object: &impl Serialize) {
    let object = serde_json::to_value(object).unwrap();
    let section = PAGE.split("## JSON").nth(1).unwrap();
    let name = format!("`{command}`");
    let line = section
        .lines()
        .find(|line| {
            line.split('|')
                .nth(1)
                .is_some_and(|first| first.contains(&name))
        })
        .unwrap_or_else(|| panic!("no line on what {command} prints"));
    let mut missing: Vec<_> = object.as_object().unwrap().keys().collect();
    missing.retain(|key| !line.contains(&format!("\"{key}\"")));
    assert!(missing.is_empty(), "{command}: {missing:?} not in {line}");
    if let Some(event) = object.get("event") {
        assert!(line.contains(&event.to_string()), "{command}: {event}");
    }
}

#[test]
fn every_command_is_on_the_page() {
    let told: BTreeSet<_> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split(['`', ' ']).next())
        .collect();
    let mut missing: Vec<_> = Args::command()
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    missing.retain(|name| !told.contains(&name[..]));
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
#[cfg_attr(
    not(all(feature = "demo", target_os = "linux")),
    ignore = "the page is about the whole program"
)]
fn every_option_is_on_the_page_and_no_other() {
    let mut options: BTreeSet<_> = arguments()
        .iter()
        .filter(|argument| !argument.is_hide_set())
        .filter_map(Arg::get_long)
        .map(|long| format!("--{long}"))
        .collect();
    options.insert("--help".to_owned());
    assert_eq!(
        words(|word| word.starts_with("--") && word.contains(char::is_alphabetic)),
        options
    );
}

#[test]
#[cfg_attr(
    not(all(feature = "demo", target_os = "linux")),
    ignore = "the page is about the whole program"
)]
fn every_variable_is_on_the_page_and_no_other() {
    let variables: BTreeSet<_> = arguments()
        .iter()
        .filter_map(Arg::get_env)
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    // What ends in a dash is the beginning of the relay's.
    let told = words(|word| word.starts_with("PEERWAY_") && !word.ends_with('_'));
    assert_eq!(told, variables);
}

#[test]
fn paths_are_on_the_page() {
    let id = SecretKey::from_seed(&[1; 32]).id();
    let direct = PathInfo::Direct {
        remote: "192.0.2.1:5000".parse().unwrap(),
        lan: false,
        tcp: false,
    };
    let relay = PathInfo::Relay {
        remote: RelayUrl::new(id, "relay.example.org", 4433).unwrap(),
    };
    for path in [direct, relay] {
        let path = serde_json::to_value(path).unwrap();
        let start = format!("{{\"kind\":{}", path["kind"]);
        let told = PAGE.split('`').find(|code| code.starts_with(&start));
        for key in path.as_object().unwrap().keys() {
            assert!(told.unwrap().contains(&format!("\"{key}\"")), "{key}");
        }
    }
}

#[test]
fn every_exit_code_is_on_the_page() {
    for code in failure::EXIT_CODES {
        let start = format!("| {code} | ");
        assert!(PAGE.lines().any(|line| line.starts_with(&start)), "{code}");
    }
}

/// Of the program, of its commands and of theirs.
fn arguments() -> Vec<Arg> {
    let program = Args::command();
    let mut arguments: Vec<_> = program.get_arguments().cloned().collect();
    for command in program.get_subcommands() {
        arguments.extend(command.get_arguments().cloned());
        let of_its_own = command.get_subcommands();
        arguments.extend(of_its_own.flat_map(|command| command.get_arguments().cloned()));
    }
    arguments
}

fn words(is_wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    PAGE.split(|letter: char| !(letter.is_ascii_alphanumeric() || "-_".contains(letter)))
        .filter(|word| is_wanted(word))
        .map(str::to_owned)
        .collect()
}
