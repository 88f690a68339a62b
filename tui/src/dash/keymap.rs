//! Every key and what it does, as data: dispatch, footer and help are made of it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use peerway::PathPolicy;

use super::{
    NetworkRequest, look::Glyphs, map::Toward, sort::Column, speed::Turn, strip::Scrub, tabs::View,
};

/// What has the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    /// The table has the focus.
    Peers,
    /// The page of a peer has it.
    Page,
    /// The addresses that were probed have it, on a page.
    Pairs,
    /// The network's report has it.
    Network,
    /// The flows have it.
    Flows,
    /// The transfers have it.
    Transfers,
    /// The servers that are exposed have it.
    Exposed,
    /// What is known of a transfer is shown.
    Transfer,
    /// What is known of a connection is.
    Flow,
    /// The map has it.
    Map,
    /// The members of groups have it.
    Members,
    /// The links between them have it.
    Links,
    /// The list of events has it.
    Events,
    /// The shares have it.
    Shares,
    /// Those with whom the selected one is exchanged have it.
    Holders,
    /// The groups that were joined have it.
    Groups,
    /// The members of the selected one have it.
    Fellows,
    /// What was said in it has it.
    Posts,
    Details,
    /// What is known of somebody to whom there is no link is shown.
    Stranger,
    Share,
    Help,
    /// After `y`, until the next key.
    Copy,
    /// After `g`, until the next key.
    Go,
    /// A command is being written.
    Prompt,
    /// A name for a peer is.
    Name,
    /// Who called is listed.
    Callers,
    /// The relays are, one of which may be preferred.
    Homes,
    /// What a peer exposes is, of which a port may lead to one.
    Services,
    /// What is to be done to a peer wants a second key.
    Sure,
    /// A column to sort by is being chosen.
    Sort,
    /// A ticket is being written.
    Connect,
    Filter,
    /// Leaving would end connections.
    Confirm,
}

impl Context {
    /// Whether keys that have no other meaning are letters of a text.
    pub(super) fn is_written(self) -> bool {
        matches!(
            self,
            Self::Connect | Self::Filter | Self::Prompt | Self::Name
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Accept,
    Ask(Ask),
    Back,
    /// All of the address book in the view of peers, or the node's peers alone.
    Book,
    /// Lists who called and was not let in.
    Callers,
    /// Ends the selected transfer.
    CancelTransfer,
    Connect,
    Chord(Chord),
    Complete,
    Copy(What),
    Details,
    Expand,
    FaultsOnly,
    Filter,
    /// To the newest event, and on with it.
    Follow,
    Freeze,
    Help,
    /// Pauses the selected transfer, or lets it go on.
    Hold,
    /// Lists the node's own relays.
    Homes,
    /// Shows more or fewer events.
    Level,
    Move(Step),
    /// What is to be found out about the network.
    Network(NetworkRequest),
    NextPanel,
    /// Opens the selected peer's page.
    Open,
    PreviousPanel,
    Prompt,
    Quit,
    QuitKeepingScreen,
    Recall(Recall),
    Repaint,
    Reverse,
    /// Through the path history of a page.
    Scrub(Scrub),
    Share,
    SortBy(Column),
    SortMenu,
    /// How fast a recording is played.
    Speed(Turn),
    Suspend,
    ToggleMask,
    /// The charts by rate or by its logarithm.
    ToggleScale,
    /// The map as rings or as a tree.
    ToggleTree,
    /// To the next peer in a direction of the map.
    Toward(Toward),
    /// Asks what the peer of a flow exposes, for a port to lead there.
    Tunnel,
    View(View),
    /// Events that are longer than a line in several, or cut off.
    Wrap,
    Zoom(Zoom),
}

/// What can be asked of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Ping,
    UntilDirect,
    Retry,
    /// The one after the peer's policy.
    NextPolicy,
    Policy(PathPolicy),
    /// Of the pair under the cursor.
    ProbePair,
    /// Force it, or release it.
    ForcePair,
    DropPair,
    Disconnect,
    Block,
    /// Whether it is blocked or not.
    LetIn,
    Name,
}

/// Which of the commands that were written before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recall {
    Older,
    Newer,
}

impl Action {
    /// Whether it changes links or the address book.
    pub(super) fn is_change(self) -> bool {
        let ask = matches!(self, Self::Ask(ask) if !matches!(ask, Ask::Ping | Ask::UntilDirect));
        ask || matches!(
            self,
            Self::CancelTransfer
                | Self::Connect
                | Self::Callers
                | Self::Hold
                | Self::Homes
                | Self::Network(_)
                | Self::Tunnel
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Id,
    Ticket,
    Address,
    /// Why the link is as it is, in full.
    Why,
    /// The selected peer as JSON.
    Row,
    /// The panel with the focus, as it is on the screen.
    Panel,
}

/// The first of two keys; what may follow is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chord {
    Copy,
    Go,
}

impl Chord {
    pub(super) fn context(self) -> Context {
        match self {
            Self::Copy => Context::Copy,
            Self::Go => Context::Go,
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Go => "go",
        }
    }
}

/// What keys that belong together are for, as the help and the documentation divide them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    Moving,
    Peers,
    Transfers,
    Looking,
    Copying,
    Leaving,
}

impl Group {
    const ALL: [Self; 6] = [
        Self::Moving,
        Self::Peers,
        Self::Transfers,
        Self::Looking,
        Self::Copying,
        Self::Leaving,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Moving => "Moving about",
            Self::Peers => "Peers",
            Self::Transfers => "Transfers",
            Self::Looking => "What is shown",
            Self::Copying => "Copying",
            Self::Leaving => "Leaving",
        }
    }

    fn of(action: Action) -> Self {
        match action {
            Action::Chord(Chord::Go)
            | Action::Move(_)
            | Action::NextPanel
            | Action::PreviousPanel
            | Action::Scrub(_)
            | Action::Toward(_)
            | Action::View(_) => Self::Moving,
            Action::Ask(_)
            | Action::Callers
            | Action::Connect
            | Action::Details
            | Action::Open
            | Action::Tunnel => Self::Peers,
            Action::CancelTransfer | Action::Hold => Self::Transfers,
            Action::Book
            | Action::Expand
            | Action::FaultsOnly
            | Action::Filter
            | Action::Follow
            | Action::Freeze
            | Action::Help
            | Action::Homes
            | Action::Level
            | Action::Network(_)
            | Action::Prompt
            | Action::Repaint
            | Action::Reverse
            | Action::Share
            | Action::SortBy(_)
            | Action::SortMenu
            | Action::Speed(_)
            | Action::ToggleMask
            | Action::ToggleScale
            | Action::ToggleTree
            | Action::Wrap
            | Action::Zoom(_) => Self::Looking,
            Action::Chord(Chord::Copy) | Action::Copy(_) => Self::Copying,
            Action::Accept
            | Action::Back
            | Action::Complete
            | Action::Recall(_)
            | Action::Quit
            | Action::QuitKeepingScreen
            | Action::Suspend => Self::Leaving,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Up,
    Down,
    HalfPageUp,
    HalfPageDown,
    PageUp,
    PageDown,
    First,
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zoom {
    In,
    Out,
    Reset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) code: KeyCode,
    pub(super) control: bool,
}

/// One line of the key table.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) keys: &'static [Key],
    pub(super) contexts: &'static [Context],
    pub(super) action: Action,
    /// None for a key that another line tells of.
    pub(super) help: Option<&'static str>,
    /// The word in the footer, for the keys one needs first.
    pub(super) footer: Option<&'static str>,
}

/// One line of the help, and of the key table of the documentation.
#[derive(Debug)]
pub(super) enum HelpLine {
    Group(Group),
    Keys(&'static Binding, &'static str),
}

/// Every key that is told of, by what it is for; where nothing may be changed, without those that do.
pub(super) fn help(read_only: bool) -> impl Iterator<Item = HelpLine> {
    Group::ALL.into_iter().flat_map(move |group| {
        let keys = BINDINGS
            .iter()
            .filter(move |binding| Group::of(binding.action) == group)
            .filter(move |binding| !(read_only && binding.action.is_change()))
            .filter_map(|binding| Some(HelpLine::Keys(binding, binding.help?)));
        std::iter::once(HelpLine::Group(group)).chain(keys)
    })
}

/// The keys that may follow the first one of a chord, and what they do.
pub(super) fn following(chord: Chord) -> impl Iterator<Item = (&'static Binding, &'static str)> {
    footer(chord.context()).filter(|(binding, _)| binding.action != Action::Back)
}

/// The bindings of a context that belong into its footer, most useful first.
pub(super) fn footer(context: Context) -> impl Iterator<Item = (&'static Binding, &'static str)> {
    BINDINGS
        .iter()
        .filter(move |binding| binding.contexts.contains(&context))
        .filter_map(|binding| Some((binding, binding.footer?)))
}

impl Key {
    /// Whether it is a letter where texts are written.
    pub(super) fn is_typed(&self) -> bool {
        matches!(self.code, KeyCode::Char(_)) && !self.control
    }

    /// Shift is in the character already, and terminals do not agree on whether to report it.
    pub(super) fn matches(&self, event: &KeyEvent) -> bool {
        self.code == event.code
            && self.control == event.modifiers.contains(KeyModifiers::CONTROL)
            && !event.modifiers.contains(KeyModifiers::ALT)
    }

    pub(super) fn label(&self, glyphs: &Glyphs) -> String {
        let name = match (self.code, self.control) {
            (KeyCode::Char(' '), _) => "Space",
            (KeyCode::Char(c), true) => return format!("^{}", c.to_ascii_uppercase()),
            (KeyCode::Char(c), false) => return c.to_string(),
            (KeyCode::Up, _) => glyphs.up,
            (KeyCode::Down, _) => glyphs.down,
            (KeyCode::Left, _) => glyphs.left,
            (KeyCode::Right, _) => glyphs.right,
            (KeyCode::PageUp, _) => "PgUp",
            (KeyCode::PageDown, _) => "PgDn",
            (KeyCode::BackTab, _) => "Shift-Tab",
            (code, _) => return code.to_string(),
        };
        name.to_owned()
    }
}

impl Binding {
    /// The first key of a chord whose second one this is.
    pub(super) fn before(&self) -> &'static str {
        match self.contexts {
            [Context::Copy] => "y ",
            [Context::Go] => "g ",
            [Context::Sort] => "s ",
            _ => "",
        }
    }
}

const fn key(code: KeyCode) -> Key {
    Key {
        code,
        control: false,
    }
}

const fn char(c: char) -> Key {
    key(KeyCode::Char(c))
}

const fn control(c: char) -> Key {
    Key {
        code: KeyCode::Char(c),
        control: true,
    }
}

const fn bind(
    keys: &'static [Key],
    contexts: &'static [Context],
    action: Action,
    help: Option<&'static str>,
    footer: Option<&'static str>,
) -> Binding {
    Binding {
        keys,
        contexts,
        action,
        help,
        footer,
    }
}

use Context as C;

/// What can have the focus.
#[rustfmt::skip]
const PANELS: &[Context] = &[
    C::Peers, C::Page, C::Pairs, C::Network, C::Flows, C::Transfers, C::Exposed, C::Map, C::Members, C::Links, C::Events,
    C::Shares, C::Holders, C::Groups, C::Fellows, C::Posts,
];
const LIST: &[Context] = &[
    C::Peers,
    C::Page,
    C::Pairs,
    C::Network,
    C::Flows,
    C::Transfers,
    C::Exposed,
    C::Map,
    C::Members,
    C::Links,
    C::Events,
    C::Shares,
    C::Holders,
    C::Groups,
    C::Fellows,
    C::Posts,
    C::Details,
];
/// The keys of a page's peer come before these there.
#[rustfmt::skip]
const LIST_BUT_PAGE: &[Context] = &[
    C::Peers, C::Pairs, C::Network, C::Flows, C::Transfers, C::Exposed, C::Map, C::Members, C::Links, C::Events,
    C::Shares, C::Holders, C::Groups, C::Fellows, C::Posts, C::Details,
];
#[rustfmt::skip]
const MOVING: &[Context] = &[
    C::Peers, C::Pairs, C::Network, C::Flows, C::Transfers, C::Exposed, C::Map, C::Members, C::Links, C::Events, C::Details,
    C::Help, C::Shares, C::Holders, C::Groups, C::Fellows, C::Posts,
];
const OVER: &[Context] = &[
    C::Details,
    C::Transfer,
    C::Flow,
    C::Stranger,
    C::Share,
    C::Help,
];
#[rustfmt::skip]
const CALM: &[Context] = &[
    C::Peers, C::Page, C::Pairs, C::Network, C::Flows, C::Transfers, C::Exposed, C::Map, C::Members, C::Links, C::Events,
    C::Shares, C::Holders, C::Groups, C::Fellows, C::Posts, C::Details, C::Transfer, C::Flow, C::Stranger, C::Share,
    C::Help,
];
const EVERYWHERE: &[Context] = &[
    C::Peers,
    C::Page,
    C::Pairs,
    C::Network,
    C::Flows,
    C::Transfers,
    C::Exposed,
    C::Map,
    C::Members,
    C::Links,
    C::Events,
    C::Shares,
    C::Holders,
    C::Groups,
    C::Fellows,
    C::Posts,
    C::Details,
    C::Transfer,
    C::Flow,
    C::Stranger,
    C::Share,
    C::Help,
    C::Copy,
    C::Go,
    C::Prompt,
    C::Name,
    C::Callers,
    C::Homes,
    C::Services,
    C::Sure,
    C::Sort,
    C::Connect,
    C::Filter,
    C::Confirm,
];
/// Where a peer is selected.
const PEER: &[Context] = &[C::Peers, C::Map];

/// Where keys are about a peer.
#[rustfmt::skip]
const ON_PEER: &[Context] = &[
    C::Peers, C::Page, C::Map, C::Members, C::Details, C::Stranger, C::Holders, C::Fellows,
];

const J: &[Key] = &[char('j'), key(KeyCode::Down)];
const K: &[Key] = &[char('k'), key(KeyCode::Up)];
const ENTER: &[Key] = &[key(KeyCode::Enter)];
const ESC: &[Key] = &[key(KeyCode::Esc)];
const TAB: &[Key] = &[key(KeyCode::Tab)];
const BACK_TAB: &[Key] = &[key(KeyCode::BackTab)];
const W: &[Key] = &[char('w')];

/// In the order of the footer, which gives way from its end; the last one always stays.
#[rustfmt::skip]
pub(super) const BINDINGS: &[Binding] = &[
    bind(ESC, OVER, Action::Back, None, Some("close")),
    bind(&[char('?')], CALM, Action::Help, Some("this help"), Some("help")),
    bind(&[char('/')], &[C::Peers, C::Members, C::Links, C::Shares, C::Holders, C::Groups, C::Fellows, C::Posts], Action::Filter, Some("filter what is listed: part of a name, path=relay, rtt>100ms, state=fetching"), Some("filter")),
    bind(ENTER, &[C::Transfer, C::Flow], Action::Open, None, Some("peer")),
    bind(&[char('p')], &[C::Transfers, C::Transfer], Action::Hold, Some("pause the selected transfer, or let it go on"), Some("pause or resume")),
    bind(&[char('x')], &[C::Transfers, C::Transfer], Action::CancelTransfer, Some("cancel it, after a second key"), Some("cancel")),
    bind(ENTER, &[C::Members, C::Links, C::Events, C::Holders, C::Fellows, C::Posts], Action::Open, None, Some("peer")),
    bind(ENTER, &[C::Shares, C::Groups], Action::Open, None, Some("open")),
    bind(ENTER, PEER, Action::Open, Some("the page of the selected peer"), Some("open")),
    bind(ENTER, &[C::Transfers, C::Flows, C::Exposed], Action::Open, Some("what is known of a transfer, a connection or an exposed server; again, the peer at its other end"), Some("details")),
    bind(W, PEER, Action::Details, Some("why the selected peer is reached as it is"), Some("why")),
    bind(W, &[C::Details], Action::Details, None, None),
    bind(ENTER, &[C::Details], Action::Open, None, Some("open")),
    bind(ESC, &[C::Page, C::Pairs], Action::Back, None, Some("back")),
    bind(&[char('p')], &[C::Pairs], Action::Ask(Ask::ProbePair), Some("probe the selected address of the page"), Some("probe pair")),
    bind(&[char('F')], &[C::Pairs], Action::Ask(Ask::ForcePair), Some("send by the selected address of the page alone, or by the best again"), Some("force pair")),
    bind(&[char('x')], &[C::Pairs], Action::Ask(Ask::DropPair), Some("leave that address alone, until a direct path is looked for"), Some("drop pair")),
    bind(&[char('R')], &[C::Pairs], Action::Ask(Ask::Retry), None, Some("retry direct")),
    bind(&[char('1')], PANELS, Action::View(View::Overview), Some("overview"), None),
    bind(&[char('2')], PANELS, Action::View(View::Peers), Some("all peers"), None),
    bind(&[char('3')], PANELS, Action::View(View::Network), Some("the network around this node, and its relays"), None),
    bind(&[char('4')], PANELS, Action::View(View::Flows), Some("what the links are used for"), None),
    bind(&[char('5')], PANELS, Action::View(View::Map), Some("map of the peers, and of groups that share their links"), None),
    bind(&[char('6')], PANELS, Action::View(View::Events), Some("all events"), None),
    bind(&[char('7')], PANELS, Action::View(View::Shares), Some("what is shared and fetched, and with whom"), None),
    bind(&[char('8')], PANELS, Action::View(View::Groups), Some("groups that were joined: members, and what was said"), None),
    bind(&[char('h'), key(KeyCode::Left)], &[C::Map], Action::Toward(Toward::Left), Some("the next peer to the left, on the map; j k l go the other ways"), Some("left")),
    bind(J, &[C::Map], Action::Toward(Toward::Down), None, None),
    bind(K, &[C::Map], Action::Toward(Toward::Up), None, None),
    bind(&[char('l'), key(KeyCode::Right)], &[C::Map], Action::Toward(Toward::Right), None, Some("right")),
    bind(&[char('t')], &[C::Map], Action::ToggleTree, Some("the map as rings or as a tree"), Some("tree")),
    bind(J, &[C::Peers, C::Pairs, C::Network, C::Flows, C::Transfers, C::Exposed, C::Members, C::Links, C::Shares, C::Holders, C::Groups, C::Fellows, C::Posts], Action::Move(Step::Down), Some("the next peer, or older events"), None),
    bind(K, &[C::Peers, C::Pairs, C::Network, C::Flows, C::Transfers, C::Exposed, C::Members, C::Links, C::Shares, C::Holders, C::Groups, C::Fellows, C::Posts], Action::Move(Step::Up), Some("the previous peer, or newer events"), None),
    bind(&[char(']'), char('j'), key(KeyCode::Down)], &[C::Page], Action::Move(Step::Down), Some("the next peer, on a page"), Some("next")),
    bind(&[char('['), char('k'), key(KeyCode::Up)], &[C::Page], Action::Move(Step::Up), Some("the previous peer, on a page"), Some("previous")),
    bind(&[char('l')], &[C::Events], Action::Level, Some("events: all, those of paths, warnings alone"), Some("level")),
    bind(W, &[C::Events], Action::Wrap, Some("events that are longer than a line in several, or cut off"), None),
    bind(&[char('t')], &[C::Events], Action::Follow, Some("follow the events again"), None),
    bind(J, &[C::Events], Action::Move(Step::Down), None, Some("older")),
    bind(K, &[C::Events], Action::Move(Step::Up), None, Some("newer")),
    bind(J, &[C::Details], Action::Move(Step::Down), None, Some("next")),
    bind(K, &[C::Details], Action::Move(Step::Up), None, Some("previous")),
    bind(J, &[C::Transfer, C::Flow], Action::Move(Step::Down), None, Some("next")),
    bind(K, &[C::Transfer, C::Flow], Action::Move(Step::Up), None, Some("previous")),
    bind(J, &[C::Help], Action::Move(Step::Down), None, Some("down")),
    bind(K, &[C::Help], Action::Move(Step::Up), None, Some("up")),
    bind(&[char('g')], MOVING, Action::Chord(Chord::Go), None, None),
    bind(&[char('g')], &[C::Go], Action::Move(Step::First), Some("to the first row, or the newest event"), Some("first row")),
    bind(&[char('e')], &[C::Go], Action::Move(Step::Last), None, Some("last row")),
    bind(&[key(KeyCode::Home)], MOVING, Action::Move(Step::First), Some("to the first row too"), None),
    bind(&[char('G'), key(KeyCode::End)], MOVING, Action::Move(Step::Last), Some("to the last row, or the oldest event"), None),
    bind(&[control('d')], MOVING, Action::Move(Step::HalfPageDown), Some("half a page down"), None),
    bind(&[control('u')], MOVING, Action::Move(Step::HalfPageUp), Some("half a page up"), None),
    bind(&[key(KeyCode::PageDown)], MOVING, Action::Move(Step::PageDown), Some("a page down"), None),
    bind(&[key(KeyCode::PageUp)], MOVING, Action::Move(Step::PageUp), Some("a page up"), None),
    bind(TAB, PANELS, Action::NextPanel, Some("the next panel; in a view of one panel, the next view"), Some("next panel")),
    bind(&[char('c')], LIST_BUT_PAGE, Action::Connect, Some("connect: paste a ticket or an id"), Some("connect")),
    bind(&[char('/')], &[C::Map, C::Events, C::Flows, C::Transfers, C::Exposed], Action::Filter, None, Some("filter")),
    bind(BACK_TAB, PANELS, Action::PreviousPanel, Some("the panel or view before"), None),
    bind(&[char('f'), char(' ')], LIST_BUT_PAGE, Action::Freeze, Some("freeze the screen, or let it run again"), Some("freeze")),
    bind(&[char('>')], PANELS, Action::Speed(Turn::Faster), Some("play a recording faster, up to sixty times"), Some("faster")),
    bind(&[char('<')], PANELS, Action::Speed(Turn::Slower), Some("and slower again"), Some("slower")),
    bind(&[char('p')], ON_PEER, Action::Ask(Ask::Ping), Some("ping it five times"), Some("ping")),
    bind(&[char('P')], ON_PEER, Action::Ask(Ask::UntilDirect), Some("ping it until it is direct"), None),
    bind(&[char('R')], ON_PEER, Action::Ask(Ask::Retry), Some("look for a direct path now"), Some("retry direct")),
    bind(&[char('r')], ON_PEER, Action::Ask(Ask::NextPolicy), Some("keep it to relays, then to direct paths, then to neither"), Some("policy")),
    bind(&[key(KeyCode::Left)], &[C::Page, C::Pairs], Action::Scrub(Scrub::Earlier), Some("back in the path history of a page: how the peer was reached then, and why"), Some("history")),
    bind(&[key(KeyCode::Right)], &[C::Page, C::Pairs], Action::Scrub(Scrub::Later), Some("on in it, until now; Esc goes there at once"), None),
    bind(&[char('o')], ON_PEER, Action::Tunnel, Some("what the peer exposes to this node; Enter opens a tunnel: a port of this computer that leads there"), Some("services")),
    bind(&[char('a')], ON_PEER, Action::Ask(Ask::Name), Some("give it a name in the address book"), None),
    bind(&[char('x')], ON_PEER, Action::Ask(Ask::Disconnect), Some("end all connections with it, after a second key"), Some("disconnect")),
    bind(&[char('b')], ON_PEER, Action::Ask(Ask::Block), Some("block it in the address book, or let a blocked one in again, after a second key"), None),
    bind(&[char('c')], &[C::Page], Action::Connect, None, Some("connect")),
    bind(&[char('f'), char(' ')], &[C::Page], Action::Freeze, None, Some("freeze")),
    bind(&[char('A')], PANELS, Action::Callers, Some("who called and was not let in: let one in"), None),
    bind(&[char('n')], &[C::Network], Action::Network(NetworkRequest::Measure), Some("measure the NAT anew, in the network view"), Some("new report")),
    bind(&[char('u')], &[C::Network], Action::Network(NetworkRequest::RenewMappings), Some("have the router asked anew for its forwarded port, there too"), Some("renew mapping")),
    bind(&[char('h')], &[C::Network], Action::Homes, Some("prefer one of the relays as home, there too"), Some("home")),
    bind(&[char('o')], &[C::Transfers, C::Flows, C::Transfer, C::Flow], Action::Tunnel, None, Some("open tunnel")),
    bind(ENTER, &[C::Services], Action::Accept, None, Some("lead a port there")),
    bind(J, &[C::Services], Action::Move(Step::Down), None, Some("down")),
    bind(K, &[C::Services], Action::Move(Step::Up), None, Some("up")),
    bind(ENTER, &[C::Homes], Action::Accept, None, Some("prefer")),
    bind(J, &[C::Homes], Action::Move(Step::Down), None, Some("down")),
    bind(K, &[C::Homes], Action::Move(Step::Up), None, Some("up")),
    bind(ENTER, &[C::Callers], Action::Accept, None, Some("let in")),
    bind(J, &[C::Callers], Action::Move(Step::Down), None, Some("down")),
    bind(K, &[C::Callers], Action::Move(Step::Up), None, Some("up")),
    bind(&[char(':')], LIST, Action::Prompt, Some("write a command, as on the command line; Tab completes"), Some("command")),
    bind(&[char('Y')], LIST, Action::Share, Some("share this node: ticket and QR code"), Some("share")),
    bind(&[char('s')], &[C::Peers, C::Shares], Action::SortMenu, Some("choose the column to sort by"), None),
    bind(&[char('t')], &[C::Sort], Action::SortBy(Column::State), None, None),
    bind(&[char('n')], &[C::Sort], Action::SortBy(Column::Name), None, None),
    bind(&[char('r')], &[C::Sort], Action::SortBy(Column::Rtt), None, None),
    bind(&[char('l')], &[C::Sort], Action::SortBy(Column::Loss), None, None),
    bind(&[char('d')], &[C::Sort], Action::SortBy(Column::Down), None, None),
    bind(&[char('u')], &[C::Sort], Action::SortBy(Column::Up), None, None),
    bind(&[char('o')], &[C::Sort], Action::SortBy(Column::Total), None, None),
    bind(&[char('a')], &[C::Sort], Action::SortBy(Column::Age), None, None),
    bind(&[char('z')], &[C::Sort], Action::SortBy(Column::Size), None, None),
    bind(&[char('p')], &[C::Sort], Action::SortBy(Column::Done), None, None),
    bind(&[char('h')], &[C::Sort], Action::SortBy(Column::Holders), None, None),
    bind(ENTER, &[C::Sort], Action::Accept, None, Some("sort")),
    bind(J, &[C::Sort], Action::Move(Step::Down), None, Some("down")),
    bind(K, &[C::Sort], Action::Move(Step::Up), None, Some("up")),
    bind(&[char('S')], &[C::Peers, C::Shares], Action::Reverse, Some("sort the other way round"), None),
    bind(&[char('S')], &[C::Sort], Action::Reverse, None, Some("reverse")),
    bind(&[char('B')], &[C::Peers], Action::Book, Some("all of the address book below the peers, in their view, or not"), Some("book")),
    bind(&[char('!')], &[C::Peers], Action::FaultsOnly, Some("only peers with a fault: neither direct nor idle"), None),
    bind(&[char('e')], &[C::Peers, C::Page, C::Pairs, C::Flows, C::Transfers, C::Exposed, C::Members, C::Links, C::Events, C::Shares, C::Holders, C::Groups, C::Fellows, C::Posts], Action::Expand, Some("this panel alone, or all of them"), Some("expand")),
    bind(&[char('+'), char('=')], PANELS, Action::Zoom(Zoom::In), Some("shorter time in the charts"), None),
    bind(&[char('-')], PANELS, Action::Zoom(Zoom::Out), Some("longer time in the charts"), None),
    bind(&[char('L')], PANELS, Action::ToggleScale, Some("charts by their logarithm, which shows little beside much, or as they are"), None),
    bind(&[char('0')], PANELS, Action::Zoom(Zoom::Reset), Some("two minutes in the charts"), None),
    bind(&[char('y')], LIST, Action::Chord(Chord::Copy), None, Some("copy")),
    bind(&[char('v')], LIST, Action::ToggleMask, Some("hide addresses, for sharing the screen"), None),
    bind(&[control('l')], CALM, Action::Repaint, Some("paint the screen anew"), None),
    bind(&[control('z')], EVERYWHERE, Action::Suspend, Some("back to the shell until fg; the node and its links stand still"), None),
    bind(&[char('i')], &[C::Copy], Action::Copy(What::Id), Some("copy the selected peer's id"), Some("id")),
    bind(&[char('t')], &[C::Copy], Action::Copy(What::Ticket), Some("copy this node's ticket"), Some("ticket")),
    bind(&[char('a')], &[C::Copy], Action::Copy(What::Address), Some("copy the selected peer's address"), Some("address")),
    bind(&[char('w')], &[C::Copy], Action::Copy(What::Why), Some("copy why its link is as it is"), Some("why")),
    bind(&[char('r')], &[C::Copy], Action::Copy(What::Row), Some("copy what is known of it as JSON"), Some("row")),
    bind(&[char('y')], &[C::Copy], Action::Copy(What::Panel), Some("copy the panel as text"), Some("panel")),
    bind(&[char('y')], &[C::Share], Action::Copy(What::Ticket), Some("copy the ticket (while it is shown)"), Some("copy")),
    bind(ENTER, &[C::Connect], Action::Accept, None, Some("dial")),
    bind(ENTER, &[C::Filter], Action::Accept, None, Some("keep")),
    bind(ENTER, &[C::Prompt], Action::Accept, None, Some("run")),
    bind(TAB, &[C::Prompt], Action::Complete, None, Some("complete")),
    bind(&[key(KeyCode::Up)], &[C::Prompt], Action::Recall(Recall::Older), None, Some("earlier")),
    bind(&[key(KeyCode::Down)], &[C::Prompt], Action::Recall(Recall::Newer), None, None),
    bind(ENTER, &[C::Name], Action::Accept, None, Some("name")),
    bind(&[char('y'), key(KeyCode::Enter)], &[C::Sure], Action::Accept, None, Some("yes")),
    bind(&[char('q'), char('y'), key(KeyCode::Enter)], &[C::Confirm], Action::Accept, None, Some("quit")),
    bind(ESC, &[C::Peers, C::Network, C::Flows, C::Transfers, C::Exposed, C::Map, C::Members, C::Links, C::Events, C::Shares, C::Holders, C::Groups, C::Fellows, C::Posts], Action::Back, Some("one step back: close, cancel, clear the filter, all panels"), None),
    bind(ESC, &[C::Filter], Action::Back, None, Some("clear")),
    bind(ESC, &[C::Copy, C::Go, C::Prompt, C::Name, C::Callers, C::Homes, C::Services, C::Sure, C::Sort, C::Connect, C::Confirm], Action::Back, None, Some("cancel")),
    bind(&[char('q')], CALM, Action::Quit, Some("quit"), Some("quit")),
    bind(&[char('Q')], CALM, Action::QuitKeepingScreen, Some("quit, leaving the screen in the terminal"), None),
];
