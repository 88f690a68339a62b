//! `update`: what a message changes, and what is to be done about it. Pure; time is an argument.

use std::time::Duration;

use crossterm::event::KeyEvent;
use peerway::{PathInfo, PeerId, PeerSnapshot};
use ratatui::layout::Margin;
use tui_input::Input;

use super::{
    NetworkRequest, Request, asking,
    connect::{Connect, Progress, Reading},
    filter::Filter,
    joined,
    keymap::{Action, Ask, Step, What, Zoom},
    layout::{self, Areas, Panel},
    leaving::{is_interrupt, is_unseen, leave, no_shell, quit},
    look::Role,
    map::{Map, Toward, Who, branches},
    model::{Model, Notice, Overlay},
    mouse,
    msg::{Effect, Msg},
    open::{open, open_other_end, without_link},
    ordering::{complete, recall, run, sort_by},
    prompt::Prompt,
    scrub,
    tabs::View,
    transfers, tunnels,
    typing::{paste, type_key},
    view::{has_rings, help_lines, report_lines, rings_field},
    window::Window,
    words::Words,
};
use crate::{ServiceChange, TransferOrder, kept::State, printable::printable};

/// How long a notice stays.
pub(super) const NOTICE_TIME: Duration = Duration::from_secs(5);

pub(super) fn update(model: &mut Model, msg: Msg, now: Duration) -> Vec<Effect> {
    let mut effects = Vec::new();
    let is_users = matches!(msg, Msg::Key(_) | Msg::Mouse(_) | Msg::Paste(_));
    let moves_rows = is_users
        || matches!(
            msg,
            Msg::Resize(..) | Msg::Sample(_) | Msg::Swarm(_) | Msg::Commons(_)
        );
    let before = (model.cursor, model.sort);
    model.pass(now);
    match msg {
        // Who does not see what a key would do does not do it.
        Msg::Key(key) if is_unseen(model) => leave(model, &key, &mut effects),
        Msg::Mouse(_) | Msg::Paste(_) if is_unseen(model) => {}
        Msg::Key(key) => {
            model.dirty = true;
            model.notice = None;
            press(model, &key, now, &mut effects);
        }
        Msg::Mouse(event) => mouse::mouse(model, event, now, &mut effects),
        Msg::Paste(text) => {
            model.dirty = true;
            model.chord = None;
            paste(model, &text);
        }
        Msg::Resize(width, height) => {
            model.dirty = true;
            model.resize(width, height);
        }
        Msg::Sample(snapshot) => {
            asking::record(model, snapshot);
            model.dirty |= !model.is_frozen();
            if !model.is_frozen() && model.notice.as_ref().is_some_and(|it| it.until <= now) {
                model.notice = None;
            }
        }
        Msg::Swarm(swarm) => model.hear_of_groups(swarm),
        Msg::Commons(commons) => model.hear_of_commons(commons),
        Msg::Event(event) => {
            asking::hear_of_pair(model, &event, now);
            model.push_event(event);
            model.dirty |= !model.is_frozen();
        }
        Msg::Service(change) => hear_of_service(model, &change, now),
        Msg::Lagged(count) => {
            model.lagged = model.lagged.saturating_add(count);
            model.dirty |= !model.is_frozen();
        }
        Msg::Dialled(peer, result) => {
            model.dirty = true;
            dialled(model, peer, result, now);
        }
        Msg::People(people) => model.meet(people),
        Msg::OfNetwork(request, result) => {
            model.dirty = true;
            asking::of_network(model, request, result, now);
        }
        Msg::Answered(peer, request, answer) => {
            model.dirty = true;
            asking::answered(model, peer, &request, answer, now);
        }
        it @ (Msg::Ordered(..) | Msg::Services(..) | Msg::Tunnel(..)) => answered(model, it, now),
        Msg::Unrecorded(reason) => {
            model.recording = false;
            let text = format!("nothing more is recorded: {reason}");
            warn(model, text, Role::Bad, now);
        }
        Msg::NoShell => warn(model, no_shell(model), Role::Warn, now),
        // What it says is in the time that it comes at.
        Msg::Second => {}
        Msg::Outage(outage) => model.lose(outage),
        Msg::Stopped => {
            model.dirty |= !model.stopped;
            model.stopped = true;
        }
    }
    if moves_rows {
        model.hold_order(before, is_users, now);
        model.arrange();
        effects.extend(have_read(model));
    }
    effects
}

fn warn(model: &mut Model, text: String, role: Role, now: Duration) {
    model.dirty = true;
    notify(model, text, role, now);
}

/// Posts that have the focus are read, once each time that there are more of them.
fn have_read(model: &mut Model) -> Option<Effect> {
    if model.focus != Panel::Posts || model.read_only || model.replay || model.is_frozen() {
        return None;
    }
    let group = &joined::selected(model)?.group;
    let (id, posts) = (group.id.clone(), group.posts);
    let is_told = model.read.get(&id) == Some(&posts);
    if group.unread == 0 || is_told {
        return None;
    }
    model.read.insert(id.clone(), posts);
    Some(Effect::HaveRead(id))
}

fn hear_of_service(model: &mut Model, change: &ServiceChange, now: Duration) {
    model.dirty |= !model.is_frozen();
    let role = match change.state {
        State::Ready => Role::Good,
        State::Waiting | State::Failed => Role::Warn,
    };
    let mut change = change.clone();
    if model.masked {
        change.addr = "hidden".to_owned();
        change.reason = change.reason.map(|_| "hidden".to_owned());
    }
    notify(model, printable(&change.words()), role, now);
}

pub(super) fn press(model: &mut Model, key: &KeyEvent, now: Duration, effects: &mut Vec<Effect>) {
    if is_interrupt(key) {
        effects.push(Effect::Quit { keep_screen: false });
        return;
    }
    let context = model.context();
    let is_second = model.chord.take().is_some();
    match model.keys.find(context, key) {
        // What was begun is not done, and nothing else either.
        Some(Action::Back) if is_second => {}
        Some(action) => act(model, action, now, effects),
        None if context.is_written() => type_key(model, key),
        None => {}
    }
}

pub(super) fn act(model: &mut Model, action: Action, now: Duration, effects: &mut Vec<Effect>) {
    if let Some(text) = model.refusal(action) {
        return notify(model, text.to_owned(), Role::Warn, now);
    }
    match action {
        Action::Accept => accept(model, now, effects),
        Action::Ask(ask) => ask_selected(model, ask, now, effects),
        Action::Back => back(model),
        Action::Callers => list_callers(model, now),
        Action::Book => show_book(model, now),
        Action::Connect => model.overlay = Some(Overlay::Connect(begin_to_connect(model))),
        Action::Copy(what) => copy(model, what, now, effects),
        Action::Complete => complete(model),
        Action::Prompt => model.overlay = Some(Overlay::Prompt(Prompt::default())),
        Action::Recall(which) => recall(model, which),
        Action::Chord(chord) => model.chord = Some(chord),
        Action::Details => toggle_details(model, now),
        Action::FaultsOnly => model.faults_only = !model.faults_only,
        Action::Expand => model.expanded = !model.expanded,
        Action::Filter => write_filter(model),
        Action::Follow => scrub::leave(model),
        Action::Freeze => model.toggle_frozen(now),
        Action::Help => {
            model.overlay = match model.overlay {
                Some(Overlay::Help { .. }) => None,
                _ => Some(Overlay::Help { scrolled: 0 }),
            };
        }
        Action::CancelTransfer => transfers::ask_to_cancel(model, now),
        Action::Tunnel => tunnels::look(model, now, effects),
        Action::Hold => transfers::hold(model, now, effects),
        Action::Homes => asking::list_homes(model, now),
        Action::Level => {
            model.level = model.level.next();
            scrub::relist(model);
        }
        Action::Move(step) => step_by(model, step),
        Action::Network(request) => ask_network(model, request, now, effects),
        Action::NextPanel => model.step_panel(1),
        Action::Open => match model.overlay.take() {
            Some(Overlay::Details) => model.open_page(),
            Some(Overlay::Flow) => open_other_end(model, now),
            _ => open(model, now),
        },
        Action::PreviousPanel => model.step_panel(-1),
        Action::Quit => quit(model, false, effects),
        Action::QuitKeepingScreen => quit(model, true, effects),
        Action::Repaint => effects.push(Effect::Repaint),
        Action::Reverse => {
            let sort = model.sorted_by_mut();
            sort.reversed = !sort.reversed;
        }
        Action::Scrub(way) => scrub::scrub(model, way),
        Action::Share => model.overlay = Some(Overlay::Share),
        Action::Speed(way) => {
            model.speed = model.speed.changed(way);
            effects.push(Effect::Play(model.speed));
        }
        Action::SortBy(column) => {
            model.overlay = None;
            sort_by(model, column, None, now);
        }
        Action::SortMenu => list_columns(model),
        Action::Suspend => effects.push(Effect::Suspend),
        Action::ToggleMask => model.masked = !model.masked,
        Action::ToggleScale => model.scale = model.scale.other(),
        Action::ToggleTree => toggle_tree(model, now),
        Action::Toward(toward) => go_toward(model, toward),
        Action::View(view) => model.go_to(view),
        Action::Wrap => model.wraps = !model.wraps,
        Action::Zoom(zoom) => {
            model.window = match zoom {
                Zoom::In => model.window.shorter(),
                Zoom::Out => model.window.longer(),
                Zoom::Reset => Window::default(),
            };
        }
    }
}

fn toggle_tree(model: &mut Model, now: Duration) {
    if model.view == View::Map && !model.may_have_rings() {
        let text = "there is no room for rings here: they need a larger terminal, or e";
        return notify(model, text.to_owned(), Role::Info, now);
    }
    model.as_tree = !model.as_tree;
}

/// To sort by one of them; the cursor is on the present one.
fn list_columns(model: &mut Model) {
    let by = model.sorted_by().by;
    let at = model.sort_columns().iter().position(|it| *it == by);
    model.overlay = Some(Overlay::Sort {
        at: at.unwrap_or_default(),
    });
}

/// In its view, where whoever asks for it is then.
fn show_book(model: &mut Model, now: Duration) {
    model.book = !(model.book && model.view == View::Peers);
    if model.view != View::Peers {
        model.go_to(View::Peers);
    }
    if model.book && model.names.is_empty() {
        let text = "the address book names nobody: `peerway pair`, or a once a peer is linked";
        notify(model, text.to_owned(), Role::Info, now);
    }
}

/// With the name of the selected peer, if the node has nothing to do with it yet.
fn begin_to_connect(model: &Model) -> Connect {
    let mut connect = Connect::default();
    let selected = model.selected().map(|peer| peer.id);
    let absent = selected.filter(|id| model.focus == Panel::Peers && model.is_absent(*id));
    if let Some(id) = absent {
        let name = model.names.get(&id).cloned();
        connect.insert(&name.unwrap_or_else(|| id.to_string()));
    }
    connect
}

fn ask_network(
    model: &mut Model,
    request: NetworkRequest,
    now: Duration,
    effects: &mut Vec<Effect>,
) {
    if request == NetworkRequest::Measure && model.data().snapshot.relays.is_empty() {
        let text = "without a relay nobody can be asked: start the node with --relay URL";
        return notify(model, text.to_owned(), Role::Warn, now);
    }
    effects.push(Effect::AskNetwork(request));
}

fn list_callers(model: &mut Model, now: Duration) {
    let callers: Vec<PeerId> = model.callers().iter().map(|caller| caller.id).collect();
    if callers.is_empty() {
        let text = "nobody who is not let in has called within the last hour";
        return notify(model, text.to_owned(), Role::Info, now);
    }
    // The event that is looked at tells of one of them.
    let event = model.listed_events().nth(model.events.at);
    let event = event.filter(|_| model.focus == Panel::Events);
    let peer = event.and_then(|event| event.kind.peer());
    let at = callers.iter().position(|caller| Some(*caller) == peer);
    model.overlay = Some(Overlay::Callers {
        at: at.unwrap_or_default(),
    });
}

fn toggle_details(model: &mut Model, now: Duration) {
    if let (None, Some(stranger)) = (&model.overlay, model.stranger) {
        return without_link(model, stranger, now);
    }
    let absent = model.selected().map(|peer| peer.id);
    if let (None, Some(peer)) = (&model.overlay, absent.filter(|id| model.is_absent(*id))) {
        return without_link(model, peer, now);
    }
    model.overlay = match model.overlay {
        Some(_) => None,
        None => model.selected().is_some().then_some(Overlay::Details),
    };
}

fn write_filter(model: &mut Model) {
    let about = model.about();
    model.overlay = Some(Overlay::Filter {
        about,
        input: Input::new(model.filter_of(about).text().to_owned()),
        error: None,
    });
}

pub(super) fn accept(model: &mut Model, now: Duration, effects: &mut Vec<Effect>) {
    match model.overlay.take() {
        Some(Overlay::Prompt(prompt)) => return run(model, prompt, now, effects),
        Some(Overlay::Confirm { peer, request }) => {
            return asking::send(model, peer, request, now, effects);
        }
        Some(Overlay::Services { peer, services, at }) => {
            let service = services.into_iter().nth(at);
            let Some(service) = service else { return };
            return tunnels::choose(model, peer, service, now, effects);
        }
        Some(Overlay::Cancel(id)) => {
            return effects.push(Effect::Order(id, TransferOrder::Cancel));
        }
        Some(Overlay::Callers { at }) => {
            let caller = model.callers().get(at).map(|caller| caller.id);
            if let Some(peer) = caller {
                asking::send(model, peer, Request::LetIn, now, effects);
            }
            return;
        }
        Some(Overlay::Homes { at }) => {
            let relays = asking::own_relays(model);
            let chosen = at.checked_sub(1).and_then(|at| relays.get(at));
            let key = chosen.map(|relay| relay.url.key());
            return ask_network(model, NetworkRequest::PreferHome(key), now, effects);
        }
        Some(Overlay::Name { peer, input }) => {
            let request = Request::Rename(input.value().trim().to_owned());
            return asking::send(model, peer, request, now, effects);
        }
        other => model.overlay = other,
    }
    let (own, known) = (model.data().snapshot.id, model.known());
    let columns = model.sort_columns();
    match &mut model.overlay {
        Some(Overlay::ConfirmQuit { keep_screen }) => {
            let keep_screen = *keep_screen;
            effects.push(Effect::Quit { keep_screen });
        }
        Some(Overlay::Connect(connect)) => {
            if let Reading::Ticket { ticket, .. } = connect.reading(own, &known, &model.names) {
                connect.progress = Progress::Dialling(ticket.id());
                effects.push(Effect::Connect(ticket));
            }
        }
        Some(Overlay::Filter { error: None, .. }) => model.overlay = None,
        Some(Overlay::Sort { at }) => {
            let column = columns.get(*at).copied();
            model.overlay = None;
            if let Some(column) = column {
                sort_by(model, column, None, now);
            }
        }
        _ => {}
    }
}

fn ask_selected(model: &mut Model, ask: Ask, now: Duration, effects: &mut Vec<Effect>) {
    match asking::subject(model) {
        Some(peer) => asking::begin(model, peer, ask, now, effects),
        None => notify(model, "no peer is selected".to_owned(), Role::Warn, now),
    }
}

/// What was asked about flows is answered.
fn answered(model: &mut Model, msg: Msg, now: Duration) {
    if let Msg::Ordered(id, order, done) = msg {
        transfers::ordered(model, id, order, done, now);
    } else if let Msg::Services(peer, services) = msg {
        tunnels::offered(model, peer, services, now);
    } else if let Msg::Tunnel(peer, service, addr) = msg {
        tunnels::opened(model, peer, &service, addr, now);
    }
}

/// One step back: overlay, then what was before now, then the page, then filter, then the single panel, then the overview.
fn back(model: &mut Model) {
    match model.overlay.take() {
        Some(Overlay::Filter { about, .. }) => model.take_filter(about, Filter::default()),
        Some(_) => {}
        None if model.moment.is_some() => scrub::leave(model),
        // That of the table is kept for who comes back to it.
        None if model.focus == Panel::Events && !model.filters.events.is_empty() => {
            model.filters.events = Filter::default();
        }
        None if model.page.is_some() => model.close_page(),
        None if !model.filter_of(model.about()).is_empty() => {
            *model.filter_of(model.about()) = Filter::default();
        }
        None if matches!(model.focus, Panel::Holders) => model.focus = Panel::Shares,
        None if matches!(model.focus, Panel::Fellows | Panel::Posts) => {
            model.focus = Panel::Groups;
        }
        None if model.faults_only => model.faults_only = false,
        None if model.book && model.view == View::Peers => model.book = false,
        None if model.expanded => model.expanded = false,
        None => model.go_to(View::Overview),
    }
}

fn copy(model: &mut Model, what: What, now: Duration, effects: &mut Vec<Effect>) {
    let peer = match model.page {
        Some(_) => model.page_peer(),
        None => model.selected(),
    };
    let words = model.words();
    let (name, found) = match what {
        What::Ticket => ("ticket", Some(model.data().snapshot.ticket.to_string())),
        What::Id => ("id", peer.map(|peer| peer.id.to_string())),
        What::Address => ("address", peer.and_then(address)),
        What::Why => ("reason", peer.and_then(|peer| reason(peer, &words))),
        What::Row => (
            "row",
            peer.and_then(|peer| serde_json::to_string(peer).ok()),
        ),
        What::Panel => return copy_panel(model, now, effects),
    };
    let Some(text) = found else {
        let text = format!("nothing to copy: no peer with an {name} is selected");
        return notify(model, text, Role::Warn, now);
    };
    // Terminals may ignore the request, so what was sent is shown as well.
    let shown = if what == What::Address && model.masked {
        "hidden"
    } else if matches!(what, What::Why | What::Row) {
        "of the selected peer"
    } else {
        &text
    };
    let said = format!("sent the {name} to the clipboard: {shown}");
    notify(model, said, Role::Info, now);
    effects.push(Effect::Copy(text));
}

/// The panel with the focus, without its border.
fn copy_panel(model: &mut Model, now: Duration, effects: &mut Vec<Effect>) {
    let areas = model.areas(model.screen).unwrap_or_default();
    let area = match model.focus {
        Panel::Peers => areas.peers,
        Panel::Page => areas.page.and_then(|page| page.why),
        Panel::Pairs => areas.page.and_then(|page| page.pairs),
        Panel::Network => areas.network,
        Panel::Flows => areas.flows,
        Panel::Transfers => areas.transfers,
        Panel::Exposed => areas.exposed,
        Panel::Map => areas.map,
        Panel::Members => areas.members,
        Panel::Links => areas.links,
        Panel::Shares => areas.shares,
        Panel::Holders => areas.holders,
        Panel::Groups => areas.groups,
        Panel::Fellows => areas.fellows,
        Panel::Posts => areas.posts,
        Panel::Events => areas.page.map_or(areas.events, |page| page.events),
    };
    let inside = area.unwrap_or_default().inner(Margin::new(1, 1));
    effects.push(Effect::CopyScreen(inside));
    let text = "sent the panel to the clipboard as text".to_owned();
    notify(model, text, Role::Info, now);
}

fn reason(peer: &PeerSnapshot, words: &Words<'_>) -> Option<String> {
    let why = words.why(peer)?;
    Some(format!("{}: {}", words.name(&peer.id), why.line()))
}

fn address(peer: &PeerSnapshot) -> Option<String> {
    match peer.path.as_ref()? {
        PathInfo::Direct { remote, .. } => Some(remote.to_string()),
        PathInfo::Relay { remote } => Some(remote.to_string()),
        PathInfo::Unknown | _ => None,
    }
}

pub(super) fn step_by(model: &mut Model, step: Step) {
    let areas = model.areas(model.screen).unwrap_or_default();
    let help_page = layout::help_rows(model.screen);
    let callers = model.callers().len();
    let columns = model.sort_columns().len();
    let homes = asking::own_relays(model).len() + 1;
    let help = if matches!(model.overlay, Some(Overlay::Help { .. })) {
        help_lines(model, model.screen.width).len()
    } else {
        0
    };
    if let Some(Overlay::Sort { at }) = &mut model.overlay {
        *at = moved(*at, step, columns, columns);
    } else if let Some(Overlay::Callers { at }) = &mut model.overlay {
        *at = moved(*at, step, callers, callers);
    } else if let Some(Overlay::Services { services, at, .. }) = &mut model.overlay {
        *at = moved(*at, step, services.len(), services.len());
    } else if let Some(Overlay::Homes { at }) = &mut model.overlay {
        *at = moved(*at, step, homes, homes);
    } else if let Some(Overlay::Help { scrolled }) = &mut model.overlay {
        let positions = help.saturating_sub(help_page) + 1;
        *scrolled = moved(*scrolled, step, help_page, positions);
    } else if matches!(model.overlay, Some(Overlay::Flow)) {
        step_in_panel(model, step, &areas);
    } else if model.overlay.is_some() {
        step_in_table(model, step, &areas);
    } else {
        step_in_panel(model, step, &areas);
    }
}

fn step_in_panel(model: &mut Model, step: Step, areas: &Areas) {
    match model.focus {
        Panel::Peers | Panel::Page => step_in_table(model, step, areas),
        Panel::Map if model.as_tree => step_in_tree(model, step),
        Panel::Map => step_in_table(model, step, areas),
        Panel::Pairs
        | Panel::Flows
        | Panel::Transfers
        | Panel::Exposed
        | Panel::Members
        | Panel::Links
        | Panel::Events
        | Panel::Shares
        | Panel::Holders
        | Panel::Groups
        | Panel::Fellows
        | Panel::Posts => {
            let rows = areas.list_rows(model.focus);
            if let Some((list, count)) = model.list(model.focus) {
                list.at = moved(list.at, step, rows, count);
            }
            model.follow_cursor();
        }
        Panel::Network => {
            let height = areas
                .network
                .map_or(0, |area| area.height.saturating_sub(2));
            let lines = report_lines(model, model.screen.width);
            let positions = lines.saturating_sub(usize::from(height)) + 1;
            model.network.at = moved(model.network.at, step, usize::from(height), positions);
        }
    }
}

fn step_in_table(model: &mut Model, step: Step, areas: &Areas) {
    let row = moved(model.cursor, step, areas.peer_rows(), model.rows.len());
    model.stranger = None;
    model.select_row(row);
    if model.page.is_some() {
        model.open_page();
    }
}

/// The peers in the order of the tree.
fn step_in_tree(model: &mut Model, step: Step) {
    let all: Vec<Who> = branches(model)
        .into_iter()
        .flat_map(|branch| branch.whos)
        .collect();
    let here = Who::selected(model);
    let at = all.iter().position(|who| *who == here);
    let page = usize::from(model.screen.height.saturating_sub(6));
    let to = moved(at.unwrap_or(0), step, page, all.len());
    if let Some(who) = all.get(to) {
        who.select(model);
    }
}

/// The next peer that way; in a tree there is only up and down.
fn go_toward(model: &mut Model, toward: Toward) {
    let area = model.areas(model.screen).and_then(|areas| areas.map);
    let Some(area) = area else { return };
    if has_rings(model, area) {
        let [field, _] = rings_field(area);
        let map = Map::of(model, field);
        if let Some(who) = map.next(Who::selected(model), toward) {
            who.select(model);
        }
        return;
    }
    match toward {
        Toward::Left | Toward::Up => step_in_tree(model, Step::Up),
        Toward::Right | Toward::Down => step_in_tree(model, Step::Down),
    }
}

/// The position after a step in a list of `count` rows, of which `page` are seen at once.
fn moved(position: usize, step: Step, page: usize, count: usize) -> usize {
    let (page, last) = (page.max(1), count.saturating_sub(1));
    let half = page.div_ceil(2);
    match step {
        Step::Up => position.saturating_sub(1),
        Step::HalfPageUp => position.saturating_sub(half),
        Step::PageUp => position.saturating_sub(page),
        Step::First => 0,
        Step::Down => position + 1,
        Step::HalfPageDown => position + half,
        Step::PageDown => position + page,
        Step::Last => last,
    }
    .min(last)
}

/// The answer goes into the dialog that asked, if it is still open, or else into the footer.
fn dialled(model: &mut Model, peer: PeerId, result: Result<(), String>, now: Duration) {
    let name = model.words().name(&peer);
    if let Some(Overlay::Connect(connect)) = &mut model.overlay
        && connect.progress == Progress::Dialling(peer)
    {
        match result {
            Err(reason) => {
                connect.progress = Progress::Failed(reason);
                return;
            }
            Ok(()) => model.overlay = None,
        }
        notify(model, format!("connected to {name}"), Role::Good, now);
        return;
    }
    match result {
        Ok(()) => notify(model, format!("connected to {name}"), Role::Good, now),
        Err(reason) => {
            let reason = model.words().foreign(&reason);
            notify(model, format!("{name}: {reason}"), Role::Bad, now);
        }
    }
}

pub(super) fn notify(model: &mut Model, text: String, role: Role, now: Duration) {
    model.notice = Some(Notice {
        text,
        role,
        until: now + NOTICE_TIME,
    });
}
