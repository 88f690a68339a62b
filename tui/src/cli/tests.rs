//! What the command line takes, and what it says about what it does not take.

use clap::{CommandFactory, Parser, error::ErrorKind};
use peerway::{RelayUrl, SecretKey, Ticket, services::tunnel::Target};

use super::args::{Args, Command, PeerName, of_what_was_typed, without_variables};
use crate::kept::Local;

#[test]
fn the_help_lists_the_exit_codes() {
    let help = Args::command().render_help().to_string();
    for code in ["3 relayed only", "4 peer or relay unreachable", "130 "] {
        assert!(help.contains(code), "{help}");
    }
}

#[test]
fn the_definition_is_consistent() {
    Args::command().debug_assert();
}

#[test]
fn what_is_received_is_put_into_a_folder_and_not_to_stdout() {
    for line in [&["receive", "-"][..], &["receive", "7k3m-q9x2f", "-"]] {
        let all = ["peerway"].iter().chain(line);
        let error = Args::try_parse_from(all).unwrap_err().to_string();
        assert!(error.contains("not to stdout"), "{error}");
    }
}

#[test]
fn global_flags_may_follow_the_command() {
    let relay = relay();
    let args = parse(&[
        "up",
        "--relay",
        &relay,
        "--json",
        "-vv",
        "--state-dir",
        "/x",
        "--relay",
        &relay,
    ]);
    let globals = args.globals;
    assert_eq!(globals.relays.len(), 2);
    assert!(globals.json);
    assert_eq!(globals.verbose, 2);
    assert_eq!(globals.state_dir, Some("/x".into()));
}

#[test]
fn ping_takes_a_ticket_or_an_id_and_has_defaults() {
    for peer in [id(), ticket()] {
        let Some(Command::Ping(ping)) = parse(&["ping", &peer]).command else {
            panic!("not a ping");
        };
        let PeerName::Ticket(peer) = ping.peer else {
            panic!("no ticket");
        };
        assert_eq!(peer.id().to_string(), id());
        assert_eq!((ping.count, ping.until_direct), (None, false));
        assert_eq!(ping.timeout, None);
    }
}

#[test]
fn a_node_may_be_bound_to_a_port_at_every_address() {
    for port in ["41641", ":41641", "0.0.0.0:41641"] {
        let bind = parse(&["up", "--bind", port]).globals.bind;
        assert_eq!(bind, Some("0.0.0.0:41641".parse().unwrap()));
    }
}

#[test]
fn eight_letters_may_be_the_beginning_of_an_id() {
    let start = &id()[..8];
    assert_eq!(start.parse(), Ok(PeerName::Called(start.to_owned())));
    let upper = id()[..51].to_ascii_uppercase();
    assert_eq!(upper.parse(), Ok(PeerName::Called(upper)));
}

#[test]
fn forward_splits_peer_and_name() {
    let service = format!("{}/web", ticket());
    let Some(Command::Forward(forward)) =
        parse(&["forward", &service, "--listen", "127.0.0.1:9000"]).command
    else {
        panic!("not a forward");
    };
    let peer = PeerName::Ticket(ticket().parse().unwrap());
    assert_eq!(forward.service.as_ref().unwrap().peer, peer);
    assert_eq!(forward.service.as_ref().unwrap().name.as_str(), "web");
    let addr = "127.0.0.1:9000".parse().unwrap();
    assert_eq!(forward.listen, Some(Local::Addr(addr)));
}

#[test]
fn a_server_of_this_computer_may_be_named_by_its_port() {
    let servers = ["8080", ":8080", "localhost:8080", "127.0.0.1:8080"];
    let mut arguments = vec!["expose"];
    arguments.extend(servers);
    arguments.extend(["--name", "a,b", "--name", "c", "--name", "d"]);
    let Some(Command::Expose(expose)) = parse(&arguments).command else {
        panic!("not an expose");
    };
    let target = "127.0.0.1:8080".parse::<Target>().unwrap();
    assert!(
        expose
            .servers
            .iter()
            .all(|it| it.target == target && it.name.is_none())
    );
    assert_eq!(expose.names.len(), 4);
}

#[test]
fn a_server_may_bring_its_name_and_say_who_may_reach_it() {
    let arguments = [
        "expose",
        "web=80",
        "dns=udp://53",
        "x=unix:/a=b",
        "unix:/c=d",
    ];
    let options = ["--name", "y", "--allow", "web=@home", "--allow", "anna"];
    let Some(Command::Expose(expose)) = parse(&[&arguments[..], &options].concat()).command else {
        panic!("not an expose");
    };
    let said = expose.servers.iter().map(|it| {
        let name = it.name.as_ref().map(ToString::to_string);
        (name.unwrap_or_default(), it.target.to_string())
    });
    let said: Vec<_> = said.collect();
    for (at, (name, target)) in [
        ("web", "127.0.0.1:80"),
        ("dns", "udp://127.0.0.1:53"),
        ("x", "unix:/a=b"),
        ("", "unix:/c=d"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(said[at], (name.to_owned(), target.to_owned()));
    }
    let allowed = expose.terms.allow.iter().map(|it| {
        let service = it.service.as_ref().map(ToString::to_string);
        (service, it.who.to_string())
    });
    let allowed: Vec<_> = allowed.collect();
    let web = (Some("web".to_owned()), "home".to_owned());
    assert_eq!(allowed, [web, (None, "anna".to_owned())]);
}

#[cfg(all(feature = "subnet", target_os = "linux"))]
#[test]
fn a_peer_that_is_called_as_what_is_done_with_links_is_named_behind_two_dashes() {
    use super::args::LinkAction;
    let link = |arguments: &[&str]| match parse(&[&["link"], arguments].concat()).command {
        Some(Command::Link(link)) => link,
        _ => panic!("not a link"),
    };
    assert!(matches!(link(&["list"]).action, Some(LinkAction::List)));
    let named = link(&["--", "list", "add"]);
    assert!(named.action.is_none() && named.peers.len() == 2);
    let plain = link(&["nas", "--accept", "10.0.0.0/8"]);
    assert!(plain.action.is_none() && plain.ranges.accept.len() == 1);
    let add = link(&[
        "add",
        "nas",
        "--advertise",
        "192.168.7.0/24,10.1.2.3",
        "attic",
    ]);
    let Some(LinkAction::Add { peers, ranges }) = add.action else {
        panic!("not an add");
    };
    assert_eq!((peers.len(), ranges.advertise.len()), (2, 2));
    let cases: &[(&[&str], &str)] = &[
        (&["link"], "<PEER>"),
        (&["link", "add"], "<PEER>"),
        (&["link", "remove"], "<PEER>"),
        (&["link", "add", "a/b"], "is no peer"),
        (
            &["link", "add", "PEERWAY1A+B"],
            "an invitation is used once",
        ),
        (
            &["link", "add", "nas", "--accept", "0.0.0.0/0"],
            "default route",
        ),
        (
            &["link", "add", "nas", "--advertise", "fe80::/64"],
            "within one computer",
        ),
        (
            &["link", "add", "nas", "--accept", "10.0.0.0/99"],
            "as in 192.168.7.0/24",
        ),
    ];
    assert_refused(cases);
}

#[test]
fn bad_input_is_named_together_with_the_expected_form() {
    let id = id();
    let ticket = ticket();
    let other = if &ticket[20..21] == "A" { "B" } else { "A" };
    let damaged = [&ticket[..20], other, &ticket[21..]].concat();
    let bare = format!("relay://{id}");
    let no_port = format!("relay://{id}@host:0");
    let cases: &[(&[&str], &str)] = &[
        (
            &["ping", &"foo ".repeat(15)],
            "a name in the address book: a peer id has 52 characters, this has 60",
        ),
        (
            &["ping", &"1".repeat(52)],
            "character 1 of the peer id is not base32",
        ),
        (
            &["ping", "PEERWAY1!"],
            "character 9 of the ticket is not base32",
        ),
        (&["ping", "PEERWAY1AAAA"], "the ticket is cut short"),
        (&["ping", "PEERWAY2AAAA"], "a ticket starts with PEERWAY1"),
        (&["ping", &damaged], "the ticket's checksum does not match"),
        (&["ping", &id, "-c", "0"], "0 is not in 1.."),
        (
            &["ping", &id, "--timeout", "soon"],
            "a number of seconds above 0 and at most 86400, as in 10 or 0.5",
        ),
        (
            &["ping", &id, "--timeout", "inf"],
            "a number of seconds above 0 and at most 86400, as in 10 or 0.5",
        ),
        (&["ping", &id, "--timeout", "1e19"], "at most 86400"),
        (&["ping", &id, "--timeout", "-1"], "'-1'"),
        (&["speed", &id, "--seconds", "61"], "above 0 and at most 60"),
        (
            &["up", "--relay", "http://x"],
            "a relay URL starts with relay://",
        ),
        (&["up", "--relay", &bare], "no key before an @"),
        (
            &["up", "--relay", "relay://abc@host"],
            "a peer id has 52 characters, this has 3",
        ),
        (
            &["up", "--relay", &no_port],
            "port \"0\" is not a number from 1 to 65535",
        ),
        (
            &["expose", "nas", "--name", "web"],
            "a server is HOST:PORT, as in 127.0.0.1:8080",
        ),
        (
            &["up", "--bind", "localhost:8080"],
            "an address is IP:PORT, as in 127.0.0.1:8080",
        ),
        (
            &["expose", "127.0.0.1:80", "--name", "a b"],
            "' ' cannot be in a service name",
        ),
        (&["expose", "web=http://127.0.0.1"], "a server is HOST:PORT"),
        (&["expose", "a/b=80"], "'/' cannot be in a service name"),
        (
            &["forward", &format!("{id}/a"), "--listen", "unix:a"],
            "or unix:/PATH",
        ),
        (
            &["forward", &id, "--listen", "127.0.0.1:1"],
            "a service is PEER/NAME",
        ),
        (
            &["forward", &format!("{id}/"), "--listen", "127.0.0.1:1"],
            "1 to 63 characters, this has 0",
        ),
        (&["get", "b3sum"], "or a hash of 64 hexadecimal digits"),
        (&["transfers", "pause", "all"], "shows the number of each"),
        (&["dance"], "unrecognized subcommand 'dance'"),
    ];
    assert_refused(cases);
}

#[test]
fn names_and_whom_to_block_are_checked_as_well() {
    let id = id();
    let cases: &[(&[&str], &str)] = &[
        (&["ping", ""], "a name has 1 to 32 characters, this has 0"),
        (&["ping", "a\u{202e}"], "'\\u{202e}' cannot be in a name"),
        (&["add", "a/b", &id], "'/' cannot be in a name"),
        (&["add", "peerway", &id], "looks like a ticket"),
        (&["block"], "<PEER|--strangers>"),
        (&["block", &id, "--strangers"], "cannot be used with"),
    ];
    assert_refused(cases);
}

fn assert_refused(cases: &[(&[&str], &str)]) {
    for (arguments, expected) in cases {
        let error = Args::try_parse_from(["peerway"].iter().chain(*arguments)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected), "{arguments:?} gave:\n{text}");
        assert_eq!(error.exit_code(), 2, "{arguments:?}");
    }
}

#[test]
fn without_a_command_it_is_the_dashboard() {
    assert!(parse(&[]).command.is_none());
}

#[test]
fn help_is_no_error() {
    let error = Args::try_parse_from(["peerway", "--help"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DisplayHelp);
}

#[test]
fn the_usage_of_an_error_asks_for_nothing_that_is_set_by_a_variable() {
    let read = |arguments: &[&str]| {
        let all = ["peerway"].iter().chain(arguments);
        Args::command().try_get_matches_from(all).err()
    };
    let folder = ["--state-dir", "/tmp/x"];
    let with = |arguments: &[&'static str]| read(&[arguments, &folder].concat()).unwrap();
    let said = |arguments: &[&'static str]| {
        of_what_was_typed(with(arguments), read(arguments)).to_string()
    };
    assert!(with(&["ping"]).to_string().contains("--state-dir"));
    let text = said(&["ping"]);
    assert!(
        text.contains("<PEER>") && !text.contains("--state-dir"),
        "{text}"
    );
    let text = said(&["ping", "a", "--nothing"]);
    assert!(
        text.contains("--nothing") && !text.contains("--state-dir"),
        "{text}"
    );
    // Another error is none of what was typed.
    let only = with(&["ping", "a", "--nothing"]);
    let text = of_what_was_typed(only, read(&["ping"])).to_string();
    assert!(text.contains("--nothing"), "{text}");
}

#[test]
fn what_is_required_may_be_given_by_a_variable_alone_also_where_another_thing_is_missing() {
    let command = without_variables(Args::command());
    let forward = command.find_subcommand("forward").unwrap();
    let variable = |name: &str| {
        let mut all = forward.get_arguments();
        all.find(|it| it.get_id() == name).unwrap().get_env()
    };
    assert_eq!(variable("listen"), Some("PEERWAY_LISTEN".as_ref()));
    assert_eq!(variable("fail_fast"), None);
}

#[test]
fn every_flag_has_a_variable() {
    let command = Args::command();
    let all = command
        .get_subcommands()
        .flat_map(clap::Command::get_arguments)
        .chain(command.get_arguments());
    let of_users = |argument: &&clap::Arg| argument.get_long().is_some() && !argument.is_hide_set();
    for flag in all.filter(of_users) {
        let variable = flag
            .get_env()
            .map(|name| name.to_string_lossy().into_owned());
        assert!(
            variable.is_some_and(|name| name.starts_with("PEERWAY_")),
            "{flag} has no variable"
        );
    }
}

fn parse(arguments: &[&str]) -> Args {
    Args::try_parse_from(["peerway"].iter().chain(arguments)).unwrap()
}

fn id() -> String {
    SecretKey::from_seed(&[1; 32]).id().to_string()
}

fn relay() -> String {
    let key = SecretKey::from_seed(&[2; 32]).id();
    RelayUrl::new(key, "relay.example.org", 4433)
        .unwrap()
        .to_string()
}

fn ticket() -> String {
    let id = SecretKey::from_seed(&[1; 32]).id();
    Ticket::new(id, vec![relay().parse().unwrap()], Vec::new()).to_string()
}
