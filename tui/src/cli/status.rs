//! `peerway status`: one look at a node.

use std::{sync::Arc, time::Duration};

#[cfg(unix)]
use futures_util::StreamExt;
use peerway::{
    Event, EventKind, HomeReason, Names as _, NodeSnapshot, PathInfo, PeerState, RelayRole,
    RelaySnapshot, RelayState,
};
use serde::Serialize;

#[cfg(unix)]
use super::{afar, attach};
use super::{
    args::{Globals, StatusArgs},
    failure::Failure,
    kept,
    node::Node,
    out,
    state::StateDir,
    words,
};
#[cfg(unix)]
use crate::control::Client;
use crate::{
    book::{Book, Trust},
    dash::{diagnoses::unreachable, format::age, line, words::own_nat_class},
    kept::KeptLines,
    transfers::Transfers,
};

pub(super) async fn run(globals: &Globals, args: &StatusArgs) -> Result<(), Failure> {
    #[cfg(unix)]
    if let Some(peer) = &args.peer {
        return afar::ask(globals, peer, |afar| running(globals, args, afar.node)).await;
    }
    #[cfg(unix)]
    if let Some(node) = attach::running(globals).await? {
        return running(globals, args, node).await;
    }
    #[cfg(unix)]
    if args.line {
        out::text(line::of_none())?;
        return Err(Failure::NoNode);
    }
    let node = Node::beside(globals, globals.relays.clone()).await?;
    let body = async {
        let whose = if node.is_temporary() {
            Whose::Temporary
        } else {
            Whose::Command
        };
        let mut page = Page::new(whose, globals, args);
        let first = node.endpoint.network_report().await;
        page.print(&first)?;
        let mut snapshots = node.endpoint.snapshots();
        while args.watch && snapshots.changed().await.is_ok() {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            page.print(&snapshot)?;
        }
        Ok(())
    };
    match node.run(body).await? {
        None if !args.watch => Err(Failure::Interrupted),
        Some(()) | None => Ok(()),
    }
}

/// One that runs without this command.
#[cfg(unix)]
async fn running(globals: &Globals, args: &StatusArgs, node: Client) -> Result<(), Failure> {
    let mut page = Page::new(Whose::Running, globals, args);
    (page.services, page.transfers) = (node.services().await?, node.transfers().await?);
    if !args.watch {
        return page.print(&node.status().await?);
    }
    let mut snapshots = node.snapshots().await?;
    while let Some(snapshot) = snapshots.next().await {
        let snapshot = snapshot?;
        (page.services, page.transfers) = (node.services().await?, node.transfers().await?);
        page.print(&snapshot)?;
    }
    out::hint("the node has ended");
    Ok(())
}

/// Which node is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The one that runs here, or that of a peer, for as long as it is told to.
    #[cfg(unix)]
    Running,
    /// One that the command runs, of this identity.
    Command,
    /// One that the command runs, of another identity.
    Temporary,
}

/// What is printed, once or each time that it is another.
struct Page<'a> {
    whose: Whose,
    globals: &'a Globals,
    args: &'a StatusArgs,
    before: Option<String>,
    /// None of a node that keeps nothing.
    services: Option<KeptLines>,
    /// None of a node for one command, and of another computer.
    transfers: Option<Transfers>,
}

impl<'a> Page<'a> {
    fn new(whose: Whose, globals: &'a Globals, args: &'a StatusArgs) -> Self {
        Self {
            whose,
            globals,
            args,
            before: None,
            services: None,
            transfers: None,
        }
    }

    fn print(&mut self, snapshot: &NodeSnapshot) -> Result<(), Failure> {
        if self.globals.json {
            return Ok(out::json(&Record {
                snapshot,
                services: self.services.as_ref(),
                transfers: self.transfers.as_ref(),
            })?);
        }
        let book = StateDir::open(self.globals)?.names();
        let now = if self.args.line {
            line::line(snapshot, &book.names())
        } else {
            let mut text = text(snapshot, &book, self.whose);
            let transfers = self.transfers.as_ref();
            let transfers = transfers.and_then(|it| transfers_line(it, snapshot.at_ms, &book));
            for line in self.services.iter().flat_map(kept_lines).chain(transfers) {
                text += "\n";
                text += &line;
            }
            text
        };
        if self.before.as_ref() != Some(&now) {
            if self.args.watch && !self.args.line {
                out::turn_page(self.before.is_none())?;
            }
            out::text(&now)?;
            self.before = Some(now);
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Record<'a> {
    #[serde(flatten)]
    snapshot: &'a NodeSnapshot,
    services: Option<&'a KeptLines>,
    transfers: Option<&'a Transfers>,
}

fn text(snapshot: &NodeSnapshot, book: &Book, whose: Whose) -> String {
    let network = &snapshot.network;
    let public: Vec<String> = [network.public_v4, network.public_v6]
        .iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    let note = match whose {
        #[cfg(unix)]
        Whose::Running => format!(", runs for {}", age(snapshot.uptime)),
        Whose::Command => ", runs for this command only: `peerway up` keeps one running".to_owned(),
        Whose::Temporary => " (temporary)".to_owned(),
    };
    let mut lines = vec![format!("id            {}{note}", snapshot.id)];
    if snapshot.relays.is_empty() {
        lines.push("relay         none: --relay URL has the NAT measured, and this node reached from elsewhere".to_owned());
    }
    if network.interfaces_unread {
        lines.push(
            "interfaces    not readable: only the address that leads to the internet is known"
                .to_owned(),
        );
    }
    if let Some(reason) = &network.lan_trouble {
        lines.push(format!(
            "local peers   found by ticket, not by id alone: {reason}"
        ));
    }
    if let Some(words) = &network.publishing {
        lines.push(format!("whereabouts   {words}"));
    }
    for relay in &snapshot.relays {
        lines.push(format!("relay         {}", relay_line(relay)));
    }
    if let Some(line) = unreachable(snapshot) {
        lines.push(format!("reach         {line}"));
    }
    lines.push(format!("NAT           {}", own_nat_class(network)));
    lines.push(format!("NAT mapping   {}", network.nat.mapping));
    lines.push(format!("NAT filtering {}", network.nat.filtering));
    lines.push(format!("public        {}", or_none(&public.join(", "))));
    let mapping = words::mapping(network.port_mapping.as_ref());
    lines.push(format!("port mapping  {mapping}"));
    for peer in &snapshot.peers {
        let path = words::path(peer.path.as_ref());
        let standing = match (peer.state, &peer.path) {
            _ if peer.ending => format!("its last connection has ended, {path}"),
            // The path says so.
            (PeerState::Direct, Some(PathInfo::Direct { .. })) => path,
            (state, _) => format!("{state}, {path}"),
        };
        lines.push(format!("peer          {} {standing}", book.peer(&peer.id)));
    }
    for caller in &snapshot.turned_away {
        let ago = Duration::from_millis(snapshot.at_ms.saturating_sub(caller.at_ms));
        let hint = match book.trust(caller.id) {
            Trust::Ask => format!(": `peerway accept {}`", caller.id.short()),
            Trust::Allow | Trust::Block => String::new(),
        };
        let (who, ago) = (book.peer(&caller.id), age(ago));
        lines.push(format!("not let in    {who}, called {ago} ago{hint}"));
    }
    lines.join("\n")
}

/// What is exposed, forwarded, linked and watched whenever the node runs, and how it fares.
fn kept_lines(services: &KeptLines) -> Vec<String> {
    let exposed = services.expose.iter().map(kept::exposed_row);
    let forwarded = services.forward.iter().map(kept::forwarded_row);
    let line = |what: &str, row: &[String]| format!("{what:13} {}", row.join(" "));
    let exposed = exposed.map(|row| line("exposed", &row));
    let forwarded = forwarded.map(|row| line("forwarded", &row));
    let linked = services.link.iter().map(kept::linked_row);
    let linked = linked.map(|row| line("linked", &row));
    let watched = services.watch.iter().map(kept::watched_row);
    let watched = watched.map(|row| line("watched", &row));
    let upload = kept::upload_words(&services.upload);
    let upload = upload.map(|words| format!("upload        {words}"));
    let trouble = services.trouble.iter();
    let trouble = trouble.map(|trouble| format!("services      {trouble}"));
    exposed
        .chain(forwarded)
        .chain(linked)
        .chain(watched)
        .chain(upload)
        .chain(trouble)
        .collect()
}

/// How many times files came and went since the node began, and the last of that; none if that never happened.
fn transfers_line(transfers: &Transfers, now_ms: u64, book: &Book) -> Option<String> {
    let Event { at_ms, kind, .. } = transfers.last.back()?;
    let ago = age(Duration::from_millis(now_ms.saturating_sub(*at_ms)));
    let is_sent = matches!(kind, EventKind::Sent { .. });
    let preposition = if is_sent { "to" } else { "from" };
    let Transfers { received, sent, .. } = transfers;
    let (who, what) = (kind.subject(book), kind.sentence(book));
    Some(format!(
        "files         {received} received and {sent} sent so far; {ago} ago {preposition} {who}: {what}"
    ))
}

pub(super) fn relay_line(relay: &RelaySnapshot) -> String {
    let place = relay.url.place();
    match (relay.state, relay.rtt, &relay.error) {
        (RelayState::Up, Some(rtt), _) => {
            format!(
                "{place} up, {:.1} ms{}{}",
                words::ms(rtt),
                over(relay),
                role(relay)
            )
        }
        (RelayState::Up, None, _) => format!("{place} up{}{}", over(relay), role(relay)),
        (RelayState::Down, _, Some(error)) => format!("{place} down: {error}"),
        (RelayState::Down, _, None) => format!("{place} down"),
        _ => format!("{place} connecting"),
    }
}

/// By what it is reached, if that is not UDP.
fn over(relay: &RelaySnapshot) -> String {
    let Some(port) = relay.tcp_port else {
        return String::new();
    };
    let proxy = relay.proxy.as_ref();
    let proxy = proxy.map_or_else(String::new, |proxy| format!(" by {proxy}"));
    format!(", over TCP {port}{proxy}")
}

/// What it is to the node, and why.
fn role(relay: &RelaySnapshot) -> String {
    if relay.draining {
        return ", about to stop".to_owned();
    }
    let role = match (relay.role, relay.home_reason) {
        (Some(RelayRole::Home), None | Some(HomeReason::Only)) => ", home".to_owned(),
        (Some(RelayRole::Home), Some(reason)) => format!(", home: {reason}"),
        (Some(RelayRole::Standby), _) => ", standby".to_owned(),
        _ => String::new(),
    };
    match &relay.in_place_of {
        Some(before) => format!("{role}, in place of {}", before.place()),
        None => role,
    }
}

pub(super) fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

#[cfg(test)]
mod tests {
    use super::{super::documented::assert_keys, *};

    #[test]
    fn a_relay_s_line_says_whether_it_is_the_home_relay_and_why() {
        let id = peerway::SecretKey::from_seed(&[1; 32]).id();
        let line = |role: Option<&str>, home_reason: Option<&str>| {
            let relay = serde_json::from_value::<RelaySnapshot>(serde_json::json!({
                "url": format!("relay://{id}@relay.example.org:4433"),
                "state": "up", "rtt_ms": 18.24, "home": true, "error": null,
                "role": role, "home_reason": home_reason,
            }));
            relay_line(&relay.unwrap())
        };
        let plain = "relay.example.org:4433 up, 18.2 ms";
        assert_eq!(line(None, None), plain);
        assert_eq!(line(Some("standby"), None), format!("{plain}, standby"));
        assert_eq!(line(Some("home"), Some("only")), format!("{plain}, home"));
        assert_eq!(
            line(Some("home"), Some("nearest")),
            format!("{plain}, home: the nearest")
        );
    }

    #[test]
    fn how_often_files_came_and_went_and_what_was_last_is_one_line() {
        let peer = peerway::SecretKey::from_seed(&[1; 32]).id();
        let line = |last: serde_json::Value| {
            let transfers = serde_json::json!({"received": 3, "sent": 1, "last": last});
            let transfers = serde_json::from_value(transfers).unwrap();
            transfers_line(&transfers, 130_000, &Book::default())
        };
        assert_eq!(line(serde_json::json!([])), None);
        let came = serde_json::json!({
            "at_ms": 10_000, "event": "received", "peer": peer, "name": "a.jpg", "folder": "/in", "files": 1, "bytes": 4_100_000,
        });
        assert_eq!(
            line(serde_json::json!([came])).unwrap(),
            format!(
                "files         3 received and 1 sent so far; 2m ago from {}: received a.jpg, 4.1 MB, into /in",
                peer.short()
            )
        );
    }

    #[test]
    fn a_relay_that_took_another_s_place_names_that_one() {
        let id = peerway::SecretKey::from_seed(&[1; 32]).id();
        let relay = serde_json::from_value::<RelaySnapshot>(serde_json::json!({
            "url": format!("relay://{id}@new.example.org:4433"),
            "state": "up", "rtt_ms": 18.24, "home": true, "error": null, "role": "home",
            "in_place_of": format!("relay://{id}@old.example.org:4433"),
        }));
        assert_eq!(
            relay_line(&relay.unwrap()),
            "new.example.org:4433 up, 18.2 ms, home, in place of old.example.org:4433"
        );
    }

    #[test]
    fn a_node_without_relay_or_without_sight_of_its_interfaces_is_said_to_be_so() {
        let id = peerway::SecretKey::from_seed(&[1; 32]).id();
        let snapshot = serde_json::from_value::<NodeSnapshot>(serde_json::json!({
            "at_ms": 0,
            "uptime_ms": 0,
            "id": id,
            "ticket": peerway::Ticket::from(id),
            "network": {
                "local": [],
                "public_v4": null,
                "public_v6": null,
                "nat": {"mapping": "unknown", "filtering": "unknown"},
                "port_mapping": null,
                "interfaces_unread": true,
                "lan_trouble": "nobody knows why",
                "publishing": "published at 8 nodes",
                "checked_at_ms": null,
            },
            "relays": [],
            "peers": [],
            "traffic": {"rx_bytes": 0, "tx_bytes": 0, "rx_rate": 0, "tx_rate": 0},
            "strangers": 0,
        }));
        let snapshot = snapshot.unwrap();
        assert_keys(
            "status",
            &Record {
                snapshot: &snapshot,
                services: Some(&KeptLines::default()),
                transfers: Some(&Transfers::default()),
            },
        );
        let mut lonely = snapshot.clone();
        let url = peerway::RelayUrl::new(id, "192.0.2.9", 4433).unwrap();
        let relay =
            serde_json::json!({"url": url, "state": "down", "home": true, "error": "no answer"});
        lonely.relays = vec![serde_json::from_value(relay).unwrap()];
        let said = text(&lonely, &Book::default(), Whose::Temporary);
        let expected =
            "reach         no relay answers: who is not linked yet cannot reach this node";
        assert!(said.contains(expected), "{said}");
        let said = text(&snapshot, &Book::default(), Whose::Temporary);
        assert!(said.contains("relay         none: --relay URL"), "{said}");
        assert!(said.contains("interfaces    not readable"), "{said}");
        assert!(said.contains("by id alone: nobody knows why"), "{said}");
        assert!(said.contains("whereabouts   published at 8"), "{said}");
    }
}
