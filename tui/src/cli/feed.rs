//! `peerway feed`: what one person writes and others follow. A feed is a group in which one member writes and the others read, so all of
//! it goes on without its writer, and any follower lets others in.

use std::{
    path::{self, Path, PathBuf},
    time::Duration,
};

use peerway::{Names, PeerId};
use peerway_swarm::{
    group::{GroupInvite, MAX_USES, ParseGroupInviteError, PostLengthError, Role},
    groups::{GroupView, MAX_EXPIRY, PostView},
    share::Link,
};
use serde::Serialize;

use super::{
    args::{FeedAction, FeedArgs, FeedFollow, FeedPost, FeedRead, Globals},
    attach,
    clock::now_ms,
    failure::Failure,
    group::{hint_at_age, line, posts, with},
    out,
    state::StateDir,
    text,
};
use crate::{
    book::Name,
    control::{Client, ShareAsk},
    feeds::{Feed, FeedFile},
    gateway::site,
};

/// A link that is good for less is made anew.
const RENEW: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) async fn run(globals: &Globals, args: &FeedArgs) -> Result<(), Failure> {
    match &args.action {
        None => list(globals).await,
        Some(FeedAction::Post(args)) => post(globals, args).await,
        Some(FeedAction::Follow(args)) => follow(globals, args).await,
        Some(FeedAction::Unfollow { feed }) => unfollow(globals, feed).await,
        Some(FeedAction::Read(args)) => read(globals, args).await,
        Some(FeedAction::Profile { feed }) => profile(globals, feed.as_deref()).await,
    }
}

/// Why nothing was done with a feed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedError {
    #[error("no feed is called {0} here: `peerway feed` lists those that there are")]
    Unknown(String),
    #[error("you have no feed yet: `peerway feed post TEXT` makes it")]
    NoOwn,
    #[error("that is your own feed: others follow it")]
    Own,
    #[error("your own feed cannot be unfollowed: `peerway group leave {0}` gives it up for good")]
    Kept(String),
    #[error("a feed is called {0} here already: name this one otherwise by --as")]
    Taken(String),
    #[error("no link to a feed: `peerway feed profile` prints it where the feed is written")]
    NoLink,
    #[error("the link to the feed is damaged: copy all of it")]
    Damaged,
    #[error("{} is no folder: a site is one", .0.display())]
    NoFolder(PathBuf),
    #[error("no link to a feed: {0}")]
    Link(ParseGroupInviteError),
}

impl FeedError {
    /// A link to a feed is an invite to a group, which who follows it need not know.
    fn of_link(error: ParseGroupInviteError) -> Self {
        match error {
            ParseGroupInviteError::NoInvite => Self::NoLink,
            ParseGroupInviteError::Damaged => Self::Damaged,
            other => Self::Link(other),
        }
    }
}

async fn post(globals: &Globals, args: &FeedPost) -> Result<(), Failure> {
    let text = match &args.site {
        Some(_) => None,
        None => Some(text::of(&args.text).map_err(Failure::Stdin)?),
    };
    // Before followers are looked for.
    text.as_deref().map_or(Ok(()), PostLengthError::check)?;
    let state = StateDir::open(globals)?;
    let posting = async |node: Client| {
        let text = match (&args.site, &text) {
            (Some(folder), _) => site::post(&shared(&node, folder).await?),
            (None, text) => text.clone().unwrap_or_default(),
        };
        let (feed, is_new) = own(&state, &node, args.name.as_deref()).await?;
        // Before, as nothing fails any more once it is written.
        let link = match is_new {
            true => Some(link(&node, &feed).await?),
            false => None,
        };
        let id = node.post_in_group(&feed.id, &text, None).await?;
        Ok((feed, link, id))
    };
    let (feed, link, id) = with(globals, true, posting).await?;
    if globals.json {
        let (feed, link) = (&feed.name[..], link.as_deref());
        return Ok(out::json(&Posted { feed, id, link })?);
    }
    if let Some(link) = link {
        out::text(format!("others follow you by: peerway feed follow {link}"))?;
        out::hint(format!(
            "your feed is called {}; whoever follows it has it for others, so it is read while you are away; `peerway feed profile` prints the link again",
            feed.name
        ));
    } else if args.name.as_ref().is_some_and(|name| *name != feed.name) {
        out::hint(format!(
            "your feed is called {} already; whoever follows it calls it as they like",
            feed.name
        ));
    }
    Ok(())
}

/// The link to a folder, shared with whoever has that.
async fn shared(node: &Client, folder: &Path) -> Result<Link, Failure> {
    if !folder.is_dir() {
        return Err(FeedError::NoFolder(folder.to_owned()).into());
    }
    let ask = ShareAsk {
        path: path::absolute(folder)?,
        public: true,
        searchable: false,
    };
    let share = node.share(&ask).await?;
    share.link.ok_or(Failure::NoNode)
}

/// One's own feed, made if there is none, and whether it was.
async fn own(state: &StateDir, node: &Client, name: Option<&str>) -> Result<(Feed, bool), Failure> {
    let file = state.feeds();
    let groups = node.groups().await?;
    let feeds = file.read()?;
    // One that was given up is none any more.
    let known = feeds.own().filter(|feed| is_joined(&groups, feed));
    if let Some(feed) = known {
        return Ok((renewed(&file, node, feed.clone()).await?, false));
    }
    let name = match name {
        Some(name) => name.to_owned(),
        None => format!("feed-{}", state.id()?.short()),
    };
    let group = node.create_group(&name).await?;
    let feed = Feed {
        name: group.name,
        link: String::new(),
        id: group.id,
        until_ms: Some(0),
    };
    Ok((renewed(&file, node, feed).await?, true))
}

/// A feed whose link is good for a while, which one's own is given where it is not.
async fn renewed(file: &FeedFile, node: &Client, feed: Feed) -> Result<Feed, Failure> {
    let soon_ms = now_ms() + RENEW.as_millis() as u64;
    if feed.until_ms.is_none_or(|until_ms| until_ms > soon_ms) {
        return Ok(feed);
    }
    let link = node
        .invite_to_group(&feed.id, Role::Reader, MAX_USES, MAX_EXPIRY)
        .await?;
    let until_ms = Some(now_ms() + MAX_EXPIRY.as_millis() as u64);
    let (wished, feed) = (
        feed.name.clone(),
        Feed {
            link,
            until_ms,
            ..feed
        },
    );
    Ok(file.change(|feeds| feeds.insert_own(&wished, feed))?)
}

fn is_joined(groups: &[GroupView], feed: &Feed) -> bool {
    groups.iter().any(|group| group.id == feed.id)
}

/// The link of a feed as this node gives it on: it names this node first.
async fn link(node: &Client, feed: &Feed) -> Result<String, Failure> {
    let invite: GroupInvite = feed.link.parse()?;
    let own = node.status().await?.ticket;
    let others = invite.members().iter().filter(|it| it.id() != own.id());
    let members = std::iter::once(own.clone()).chain(others.cloned());
    let members = members.collect();
    let invitation = invite.invitation().clone();
    Ok(GroupInvite::new(invite.group(), invitation, members).to_string())
}

async fn follow(globals: &Globals, args: &FeedFollow) -> Result<(), Failure> {
    // Before a node is run for it.
    let invite: GroupInvite = args.link.parse().map_err(FeedError::of_link)?;
    let id = invite.group().to_string();
    let file = StateDir::open(globals)?.feeds();
    let feeds = file.read()?;
    if feeds.own().is_some_and(|own| own.id == id) {
        return Err(FeedError::Own.into());
    }
    if let Some(name) = &args.name
        && feeds.free_name(name.as_str(), &id) != name.as_str()
    {
        return Err(FeedError::Taken(name.to_string()).into());
    }
    let joining = async |node: Client| Ok(node.join_group(&args.link).await?);
    let group = with(globals, true, joining).await?;
    // Followed once more it is called as before.
    let before = feeds.find(&id).map(|feed| &feed.name[..]);
    let wished = args.name.as_ref().map(Name::as_str).or(before);
    let feed = Feed {
        name: feeds.free_name(wished.unwrap_or(&group.name), &id),
        id,
        link: args.link.trim().to_owned(),
        until_ms: None,
    };
    file.change(|feeds| feeds.insert(feed.clone()))?;
    show(globals, &feed, Some(&group))?;
    if globals.json {
        return Ok(());
    }
    out::hint("what was written so far comes from whoever of them is there: `peerway feed read`");
    if group.role >= Some(Role::Member) {
        out::hint("this is a group in which those who come may write too: `peerway group post`");
    }
    Ok(())
}

async fn unfollow(globals: &Globals, name: &str) -> Result<(), Failure> {
    let file = StateDir::open(globals)?.feeds();
    let feed = meant(&file, name)?;
    let leaving = async |node: Client| {
        let is_joined = is_joined(&node.groups().await?, &feed);
        if is_joined && feed.is_own() {
            return Err(FeedError::Kept(feed.id.clone()).into());
        }
        if is_joined {
            node.leave_group(&feed.id).await?;
        }
        Ok(())
    };
    // One's own is forgotten at most, of which nobody hears.
    with(globals, !feed.is_own(), leaving).await?;
    file.change(|feeds| feeds.remove(&feed.id))?;
    if globals.json {
        let (feed, followed) = (&feed.name[..], false);
        return Ok(out::json(&Unfollowed { feed, followed })?);
    }
    Ok(out::text(format!("{} is followed no more", feed.name))?)
}

async fn read(globals: &Globals, args: &FeedRead) -> Result<(), Failure> {
    let file = StateDir::open(globals)?.feeds();
    let feeds = match &args.feed {
        Some(name) => vec![meant(&file, name)?],
        None => file.read()?.all().to_vec(),
    };
    if feeds.is_empty() {
        return none(globals);
    }
    let is_running = attach::running(globals).await?.is_some();
    let own = StateDir::open(globals)?.id()?;
    let looking = async |node: Client| {
        let groups = node.groups().await?;
        let mut posts = Vec::new();
        let mut looked_at = Vec::new();
        for feed in &feeds {
            // One may have been left meanwhile.
            if let Some(group) = groups.iter().find(|group| group.id == feed.id) {
                let of_it = node.posts(&feed.id, args.last).await?;
                posts.extend(of_it.into_iter().map(|post| (feed.name.clone(), post)));
                looked_at.push((feed, group.unread));
            }
        }
        let posts = newest(posts, args.last);
        for (feed, unread) in looked_at {
            // What is not shown is not read, unless that is what was asked for.
            let of_it = posts.iter().filter(|(name, _)| *name == feed.name);
            let shown = of_it.filter(|(_, post)| post.author != own).count();
            if args.feed.is_some() || shown >= unread {
                node.have_read(&feed.id).await?;
            }
        }
        Ok(posts)
    };
    let posts = with(globals, false, looking).await?;
    hint_at_age(is_running);
    if posts.is_empty() && !globals.json {
        return Ok(out::text(
            "nothing was written yet, or it has not come yet",
        )?);
    }
    posts
        .iter()
        .try_for_each(|(feed, post)| print(globals, feed, post))
}

/// So many of what was written in several feeds, the newest last.
fn newest(mut posts: Vec<(String, PostView)>, last: usize) -> Vec<(String, PostView)> {
    posts.sort_by(|(_, a), (_, b)| (a.sent_ms, &a.id).cmp(&(b.sent_ms, &b.id)));
    let beyond = posts.len().saturating_sub(last);
    posts.split_off(beyond)
}

async fn profile(globals: &Globals, name: Option<&str>) -> Result<(), Failure> {
    let state = StateDir::open(globals)?;
    let file = state.feeds();
    let feed = match name {
        Some(name) => meant(&file, name)?,
        None => file.read()?.own().cloned().ok_or(FeedError::NoOwn)?,
    };
    let looking = async |node: Client| {
        let group = node.group(&feed.id).await?;
        let feed = renewed(&file, &node, feed).await?;
        let link = link(&node, &feed).await?;
        Ok((feed, group, link))
    };
    let (feed, group, link) = with(globals, false, looking).await?;
    if globals.json {
        return Ok(out::json(&Profile::of(&feed, Some(&group), Some(&link)))?);
    }
    show(globals, &feed, Some(&group))?;
    if let Some(writer) = writer(&group) {
        let known = state.names().peer(&writer);
        let who = if feed.is_own() {
            "you, ".to_owned()
        } else if known == writer.short() {
            String::new()
        } else {
            format!("{known}, ")
        };
        out::text(format!("written by {who}{writer}"))?;
    }
    Ok(out::text(format!(
        "others follow it by: peerway feed follow {link}"
    ))?)
}

async fn list(globals: &Globals) -> Result<(), Failure> {
    let feeds = StateDir::open(globals)?.feeds().read()?;
    if feeds.all().is_empty() {
        return none(globals);
    }
    let groups = with(globals, false, async |node| Ok(node.groups().await?)).await?;
    feeds.all().iter().try_for_each(|feed| {
        let group = groups.iter().find(|group| group.id == feed.id);
        show(globals, feed, group)
    })
}

fn none(globals: &Globals) -> Result<(), Failure> {
    if globals.json {
        return Ok(());
    }
    Ok(out::text(
        "no feeds yet: `peerway feed post TEXT` makes yours, `peerway feed follow LINK` follows somebody's",
    )?)
}

pub(super) fn meant(file: &FeedFile, name: &str) -> Result<Feed, Failure> {
    let feed = file.read()?.find(name).cloned();
    Ok(feed.ok_or_else(|| FeedError::Unknown(name.to_owned()))?)
}

fn followers(group: &GroupView) -> usize {
    group.members.len().saturating_sub(1)
}

/// Whoever founded the group.
fn writer(group: &GroupView) -> Option<PeerId> {
    let writer = group.members.iter().find(|it| it.role == Role::Founder);
    writer.map(|member| member.id)
}

fn show(globals: &Globals, feed: &Feed, group: Option<&GroupView>) -> Result<(), Failure> {
    if globals.json {
        return Ok(out::json(&Profile::of(feed, group, None))?);
    }
    let Some(group) = group else {
        let what_now = match feed.is_own() {
            true => "`peerway feed post` makes another, `unfollow` forgets it",
            false => "`peerway feed follow` again, or `unfollow`",
        };
        return Ok(out::text(format!(
            "{}: this node has left its group; {what_now}",
            feed.name
        ))?);
    };
    let linked = group.members.iter().filter(|it| it.linked).count();
    let (whose, unread) = if feed.is_own() {
        (", yours", String::new())
    } else {
        ("", format!(", {} unread", group.unread))
    };
    let people = match followers(group) {
        1 => "1 follower".to_owned(),
        followers => format!("{followers} followers"),
    };
    Ok(out::text(format!(
        "{}{whose}: {}{unread}; {people}, {linked} linked",
        feed.name,
        posts(group.posts)
    ))?)
}

fn print(globals: &Globals, feed: &str, post: &PostView) -> Result<(), Failure> {
    if globals.json {
        return Ok(out::json(&Entry { feed, post })?);
    }
    Ok(out::text(line(post, feed))?)
}

#[derive(Serialize)]
struct Posted<'a> {
    feed: &'a str,
    id: String,
    /// When it was made just now.
    link: Option<&'a str>,
}

#[derive(Serialize)]
struct Unfollowed<'a> {
    feed: &'a str,
    followed: bool,
}

#[derive(Serialize)]
struct Profile<'a> {
    feed: &'a str,
    id: &'a str,
    own: bool,
    /// Whether this node is in its group.
    joined: bool,
    writer: Option<PeerId>,
    followers: usize,
    posts: usize,
    unread: usize,
    /// Of `profile` alone.
    link: Option<&'a str>,
}

impl<'a> Profile<'a> {
    /// Of a feed whose group was left there is nothing to count.
    fn of(feed: &'a Feed, group: Option<&GroupView>, link: Option<&'a str>) -> Self {
        Self {
            feed: &feed.name,
            id: &feed.id,
            own: feed.is_own(),
            joined: group.is_some(),
            writer: group.and_then(writer),
            followers: group.map_or(0, followers),
            posts: group.map_or(0, |group| group.posts),
            unread: group.map_or(0, |group| group.unread),
            link,
        }
    }
}

#[derive(Serialize)]
struct Entry<'a> {
    feed: &'a str,
    #[serde(flatten)]
    post: &'a PostView,
}

#[cfg(test)]
mod tests {
    use super::{super::documented::assert_keys, *};

    #[test]
    fn the_lines_keep_their_keys() {
        let writer = peerway::SecretKey::from_seed(&[1; 32]).id();
        let feed = Feed {
            name: "zoe".to_owned(),
            id: "a".to_owned(),
            link: "a".to_owned(),
            until_ms: None,
        };
        let profile = Profile::of(&feed, None, Some("a"));
        assert!(!profile.joined);
        assert_keys("feed", &profile);
        let post = serde_json::json!({"id": "a", "author": writer, "sent_ms": 1, "text": "a"});
        let post: PostView = serde_json::from_value(post).unwrap();
        let feed = "zoe";
        assert_keys("feed", &Entry { feed, post: &post });
        let (id, link) = ("a".to_owned(), Some("a"));
        assert_keys("feed", &Posted { feed, id, link });
        let followed = false;
        assert_keys("feed", &Unfollowed { feed, followed });
    }

    #[test]
    fn a_text_that_leads_to_no_feed_is_said_to_be_no_link_to_one() {
        let said = |link: &str| {
            let error = link.parse::<GroupInvite>().unwrap_err();
            FeedError::of_link(error).to_string()
        };
        for link in ["x", "peerway-group1"] {
            assert!(!said(link).contains("group"), "{}", said(link));
            assert!(said(link).contains("feed"), "{}", said(link));
        }
    }

    #[test]
    fn of_several_feeds_the_newest_are_shown_by_time() {
        let author = peerway::SecretKey::from_seed(&[1; 32]).id();
        let post = |feed: &str, sent_ms: u64| {
            let post =
                serde_json::json!({"id": "a", "author": author, "sent_ms": sent_ms, "text": "a"});
            (feed.to_owned(), serde_json::from_value(post).unwrap())
        };
        let posts = vec![post("a", 1), post("a", 4), post("b", 2), post("b", 3)];
        let shown = newest(posts, 3);
        let shown = shown.iter().map(|(feed, post)| (&feed[..], post.sent_ms));
        assert_eq!(shown.collect::<Vec<_>>(), [("b", 2), ("b", 3), ("a", 4)]);
    }
}
