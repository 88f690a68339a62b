//! The groups that share their links, on the map and in their tables.

use crossterm::event::KeyCode;
use insta::assert_snapshot;
use serde_json::json;

use super::fixtures::{AT_MS, Desk, id, node, options, snapshot, swarm, twelve};
use crate::dash::{layout::Panel, model::Overlay, msg::Msg, tabs::View};

const SIZES: [(u16, u16); 5] = [(40, 10), (60, 20), (80, 24), (120, 40), (200, 50)];

#[test]
fn the_map_and_the_tables_of_a_group_fit_every_size() {
    for (name, keys) in [("map", "5"), ("members", "5\t"), ("links", "5\t\t")] {
        for (width, height) in SIZES {
            let mut desk = Desk::group();
            desk.type_in(keys);
            let screen = desk.screen(width, height);
            assert_snapshot!(format!("group_{name}_{width}x{height}"), screen);
        }
    }
}

#[test]
fn links_between_others_are_shown_with_their_relay_and_the_reason() {
    let mut desk = Desk::group();
    desk.type_in("5\t\t");
    let screen = desk.screen(200, 50);
    let tower = id(20).short();
    let told = [format!("build-box - {tower}"), format!("nas - {tower}")];
    for pair in told {
        let line = screen.lines().find(|line| line.contains(&pair));
        assert!(
            line.is_some_and(|line| line.contains("relay fra1")),
            "{pair}:\n{screen}"
        );
    }
    assert!(
        screen.contains("both routers choose random ports"),
        "{screen}"
    );
    assert!(screen.contains("Links · 8 · 3 relayed"), "{screen}");
    assert!(
        screen.contains("═"),
        "no relayed link on the map:\n{screen}"
    );
}

#[test]
fn a_member_says_whether_what_is_known_of_it_holds() {
    let mut desk = Desk::group();
    desk.type_in("5\t");
    let screen = desk.screen(200, 50);
    for told in ["stale", "2m by nas", "not heard", "9s by laptop", "here"] {
        assert!(screen.contains(told), "{told}:\n{screen}");
    }
}

#[test]
fn what_the_node_no_longer_tells_of_its_groups_is_called_old() {
    let mut desk = Desk::group();
    desk.type_in("5");
    assert!(!desk.screen(120, 40).contains(" old ·"));
    let mut later = node(twelve());
    later["at_ms"] = json!(AT_MS + 40_000);
    desk.sample(snapshot(&later));
    let screen = desk.screen(120, 40);
    assert!(screen.contains("groups 40s old"), "{screen}");
    assert!(screen.contains("44s"), "ages stand still:\n{screen}");
}

#[test]
fn the_filter_is_for_members_and_links_alike() {
    let mut desk = Desk::group();
    desk.type_in("5\t/path=relay\n");
    let screen = desk.screen(120, 40);
    assert!(screen.contains("Links · 3 · 3 relayed"), "{screen}");
    assert!(screen.contains("Group · home · 4"), "{screen}");
    assert!(screen.contains("filter: path=relay"), "{screen}");
    // The peers of the map are filtered by their own.
    assert!(desk.model.filters.peers.is_empty());
    desk.key(KeyCode::Esc);
    assert!(desk.model.filters.groups.is_empty());
    desk.type_in("/state=stale\n");
    let screen = desk.screen(120, 40);
    assert!(screen.contains("Group · home · 1"), "{screen}");
    desk.key(KeyCode::Esc);
    desk.type_in("/loss>1");
    let screen = desk.screen(120, 40);
    assert!(
        screen.contains("loss is of peers, not of groups"),
        "{screen}"
    );
}

#[test]
fn enter_opens_the_page_of_a_member_that_is_a_peer_and_says_what_is_known_of_others() {
    let mut desk = Desk::group();
    desk.type_in("5\t/laptop\n\n");
    assert_eq!(
        (desk.model.view, desk.model.page),
        (View::Peers, Some(id(1)))
    );

    let tower = id(20).short();
    let mut desk = Desk::group();
    desk.type_in(&format!("5\t/{tower}\n\n"));
    assert_eq!(desk.model.page, None);
    let screen = desk.screen(120, 40);
    for told in [
        "none from this node",
        "relay fra1: both routers",
        "heard 9s ago by laptop",
    ] {
        assert!(screen.contains(told), "{told}:\n{screen}");
    }
    desk.type_in("p");
    assert!(matches!(desk.model.overlay, Some(Overlay::Stranger(_))));
    desk.key(KeyCode::Esc);
    assert!(desk.model.overlay.is_none());

    // Of a pair, the end that is a peer.
    let mut desk = Desk::group();
    desk.type_in("5\t\t/path=relay rtt=88\n\n");
    assert_eq!(desk.model.page, Some(id(2)));
}

#[test]
fn members_without_a_link_can_be_gone_to_on_the_map_and_in_the_tree() {
    for size in [(200, 50), (60, 20)] {
        let mut desk = Desk::group();
        desk.screen(size.0, size.1);
        desk.type_in("5");
        let mut found = false;
        for key in "llllllllkkkkkkkkhhhhhhhhhhjjjjjjjjjjjjjjlllllllkkkkkk".chars() {
            desk.type_in(&key.to_string());
            found |= desk.model.stranger.is_some();
        }
        assert!(found, "{}", desk.screen(size.0, size.1));
    }
}

#[test]
fn without_groups_the_view_is_the_map_alone() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("5");
    assert_eq!(desk.model.panels(), [Panel::Map]);
    let mut desk = Desk::group();
    desk.type_in("5\t");
    assert_eq!(desk.model.focus, Panel::Members);
    // The group is shared no more.
    let mut none = (*swarm()).clone();
    none.groups.clear();
    desk.send(Msg::Swarm(none.into()));
    assert_eq!(desk.model.focus, Panel::Map);
    assert!(!desk.screen(120, 40).contains("Group ·"));
}

#[test]
fn events_have_a_filter_of_their_own() {
    let mut desk = Desk::twelve(&options());
    desk.type_in("6/level=warn\n");
    let screen = desk.screen(120, 40);
    assert!(
        screen.contains("backup") && !screen.contains("friend"),
        "{screen}"
    );
    assert!(screen.contains("filter: level=warn"), "{screen}");
    assert!(desk.model.filters.peers.is_empty());
    desk.key(KeyCode::Esc);
    desk.type_in("6/event=nonsense\n");
    let screen = desk.screen(120, 40);
    assert!(screen.contains("no event matches the filter"), "{screen}");
    desk.key(KeyCode::Esc);
    assert!(desk.screen(120, 40).contains("friend"));
}
