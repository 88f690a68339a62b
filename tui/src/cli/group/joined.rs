//! The groups that the node belongs to: the commands ask the node that runs here, or one of their own.

use std::{collections::BTreeSet, pin::pin, slice, time::Duration};

use futures_util::StreamExt;
use peerway::{Names, PeerId, Router};
use peerway_swarm::{
    group::{GroupInvite, PostLengthError, Role},
    groups::{GroupView, PostView, kept_in},
};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{
    super::{
        answering::Answering,
        args::{Globals, GroupInviteArgs, GroupPost, GroupRead, RoleArg},
        attach,
        clock::now_ms,
        failure::Failure,
        invite,
        node::Node,
        out, sharing,
        state::StateDir,
        text,
    },
    threads::{Placed, threads},
};
use crate::{
    book::{Book, Name},
    control::{Client, ControlError},
    dash::format::age,
};

/// How long a node of a command's own looks for members.
const MEETING: Duration = Duration::from_secs(15);
/// And stays with those that it met, so that they have all of it.
const STAYING: Duration = Duration::from_secs(3);
/// Letters of an id that a group or a post is meant by.
const SHORT: usize = 8;
/// Answers that stand each further to the right than the one before.
const DEEPEST: usize = 8;

/// Has the node that runs here do something, or one that runs for as long as it takes. `meets` says that other members have to hear of
/// it.
pub(in crate::cli) async fn with<T>(
    globals: &Globals,
    meets: bool,
    act: impl AsyncFnOnce(Client) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if let Some(node) = attach::running(globals).await? {
        return act(node).await;
    }
    out::hint(if meets {
        "no node runs here: this command runs one, which looks for other members for 15 s at most"
    } else {
        "no node runs here: this command runs one for as long as it takes"
    });
    let node = Node::listening(globals).await?;
    let answering = Answering::open(globals, &node, None).await?;
    let router = invite::host(
        Router::new(node.endpoint.clone()),
        globals,
        &node,
        out::hint,
    )?;
    let router = sharing::accept(router, &node);
    let body = async {
        let acting = async {
            let client = attach::needed(globals).await?;
            // Before, as what nobody is there for waits anyway.
            let is_alone = meets && !meet(&client).await?;
            let done = act(client.clone()).await?;
            if meets && !is_alone {
                meet(&client).await?;
                sleep(STAYING).await;
            }
            Ok(done)
        };
        tokio::select! {
            done = acting => done,
            () = router.run() => Err(Failure::NoNode),
            () = answering.serve(&node) => Err(Failure::NoNode),
            never = node.book().follow(&node.endpoint, out::hint) => match never {},
            never = sharing::share(&node) => match never {},
        }
    };
    let done = node.run(body).await?;
    done.ok_or(Failure::Interrupted)
}

/// Waits until a member of each group is linked, for a while; false if none was.
async fn meet(client: &Client) -> Result<bool, Failure> {
    let begun = Instant::now();
    while begun.elapsed() < MEETING {
        let groups = client.groups().await?;
        let is_met =
            |group: &GroupView| group.members.len() < 2 || group.members.iter().any(|it| it.linked);
        if groups.iter().all(is_met) {
            return Ok(true);
        }
        sleep(Duration::from_millis(200)).await;
    }
    out::hint("no other member is there at the moment: this node tells it when one is");
    Ok(false)
}

pub(super) async fn create(globals: &Globals, name: &str) -> Result<(), Failure> {
    let taken = name.parse().is_ok_and(|name: Name| {
        StateDir::open(globals).is_ok_and(|state| state.names().groups().contains_key(&name))
    });
    if taken {
        return Err(Failure::GroupOfBook(name.to_owned()));
    }
    let group = with(globals, false, async |node| {
        Ok(node.create_group(name).await?)
    })
    .await?;
    show(globals, slice::from_ref(&group))?;
    if !globals.json {
        out::hint(format!(
            "`peerway group invite {}` lets others join",
            quoted(&group.name)
        ));
    }
    Ok(())
}

pub(super) async fn invite(globals: &Globals, args: &GroupInviteArgs) -> Result<(), Failure> {
    let (name, role) = (&args.group, Role::from(args.role));
    let make = async |node: Client| {
        Ok(node
            .invite_to_group(name, role, args.uses, args.expires)
            .await?)
    };
    let invite = with(globals, false, make).await?;
    if globals.json {
        let uses = args.uses;
        let (invite, role) = (&invite[..], role);
        return Ok(out::json(&Invited {
            name,
            invite,
            role,
            uses,
        })?);
    }
    out::text(format!("on the other side: peerway group join {invite}"))?;
    out::hint(format!(
        "whoever has it becomes a {role} of {name}, for {}, while one of the members that it names is there",
        age(args.expires)
    ));
    Ok(())
}

pub(super) async fn join(globals: &Globals, invite: &str) -> Result<(), Failure> {
    // Before a node is run for it.
    invite.parse::<GroupInvite>()?;
    let group = with(globals, true, async |node| {
        Ok(node.join_group(invite).await?)
    })
    .await?;
    show(globals, slice::from_ref(&group))?;
    // Whoever founded it chose the name.
    let is_taken = StateDir::open(globals)?
        .names()
        .groups()
        .iter()
        .any(|(name, members)| name.as_str() == group.name && !members.is_empty());
    if is_taken {
        out::hint(format!(
            "your address book has a group {0} too, which `group add`, `remove` and `share` go on to mean: {1} is the one that you joined",
            quoted(&group.name),
            short(&group.id)
        ));
    }
    Ok(())
}

pub(super) async fn members(globals: &Globals, name: &str) -> Result<(), Failure> {
    let group = with(globals, false, async |node| Ok(node.group(name).await?)).await?;
    let book = StateDir::open(globals)?.names();
    if globals.json {
        return Ok(group.members.iter().try_for_each(out::json)?);
    }
    let mut rows = vec![
        ["NAME", "ROLE", "SINCE", "LET IN BY", "LINKED", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    let own = StateDir::open(globals)?.id()?;
    rows.extend(group.members.iter().map(|member| {
        let linked = if member.id == own {
            "here"
        } else if member.linked {
            "yes"
        } else {
            "no"
        };
        vec![
            book.peer(&member.id),
            member.role.to_string(),
            ago(member.since_ms),
            book.peer(&member.by),
            linked.to_owned(),
            if member.directory { "directory" } else { "" }.to_owned(),
        ]
    }));
    Ok(out::text(out::aligned(&rows).join("\n"))?)
}

/// Whether a group is meant that was joined. The address book's are those that have members there: others name their groups as they like.
pub(super) async fn is_meant(globals: &Globals, name: &Name) -> Result<bool, Failure> {
    let state = StateDir::open(globals)?;
    let book = state.names();
    let of_book = book.groups().get(name).is_some_and(|it| !it.is_empty());
    if of_book {
        return Ok(false);
    }
    let joined = known(globals).await?;
    let start = name.as_str().to_ascii_lowercase();
    let is_id = start.len() >= SHORT;
    Ok(joined
        .iter()
        .any(|(id, joined)| joined == name.as_str() || is_id && id.starts_with(&start)))
}

/// The ids, or as much of them as people are shown, of the groups of this name that were joined.
pub(super) async fn ids(globals: &Globals, name: &Name) -> Result<Vec<String>, Failure> {
    let known = known(globals).await?.into_iter();
    let named = known.filter(|(_, joined)| joined == name.as_str());
    Ok(named.map(|(id, _)| short(&id)).collect())
}

/// The ids and names of the groups that were joined.
pub(in crate::cli) async fn known(globals: &Globals) -> Result<Vec<(String, String)>, Failure> {
    Ok(match attach::running(globals).await? {
        Some(node) => {
            let groups = joined_by(&node).await?;
            groups.into_iter().map(|it| (it.id, it.name)).collect()
        }
        None => {
            let kept = kept_in(StateDir::open(globals)?.path())?.into_iter();
            kept.map(|(id, name)| (id.to_string(), name)).collect()
        }
    })
}

pub(super) async fn add(
    globals: &Globals,
    name: &str,
    members: &[PeerId],
    role: Option<RoleArg>,
) -> Result<(), Failure> {
    let role = role.map_or(Role::Member, Role::from);
    let change = async |node: Client| {
        let before = node.group(name).await?;
        for member in members {
            node.add_to_group(name, *member, role).await?;
        }
        Ok((before, node.group(name).await?))
    };
    let (before, group) = with(globals, true, change).await?;
    show(globals, slice::from_ref(&group))?;
    let is_known = |member: &PeerId| before.members.iter().any(|it| it.id == *member);
    if !members.iter().all(is_known) {
        out::hint(format!(
            "who was no member comes in by an invite, whatever that says of the role: `peerway group invite {}`",
            quoted(name)
        ));
    }
    Ok(())
}

pub(super) async fn remove(
    globals: &Globals,
    name: &str,
    members: &[PeerId],
) -> Result<(), Failure> {
    let change = async |node: Client| {
        for member in members {
            node.remove_from_group(name, *member).await?;
        }
        Ok(node.group(name).await?)
    };
    let group = with(globals, true, change).await?;
    show(globals, slice::from_ref(&group))?;
    out::hint(
        "what was posted before stays where it is; of what is posted from now on they read nothing",
    );
    Ok(())
}

pub(super) async fn leave(globals: &Globals, name: &str) -> Result<(), Failure> {
    with(globals, true, async |node| {
        Ok(node.leave_group(name).await?)
    })
    .await?;
    if globals.json {
        return Ok(out::json(&Left { name, left: true })?);
    }
    Ok(out::text(format!("left {name}"))?)
}

pub(super) async fn post(globals: &Globals, args: &GroupPost) -> Result<(), Failure> {
    let text = text::of(&args.text).map_err(Failure::Stdin)?;
    // Before members are looked for.
    PostLengthError::check(&text)?;
    let id = with(globals, true, async |node| {
        let reply = args.reply.as_deref();
        Ok(node.post_in_group(&args.group, &text, reply).await?)
    })
    .await?;
    if globals.json {
        let group = &args.group;
        return Ok(out::json(&Posted { group, id: &id })?);
    }
    Ok(())
}

pub(super) async fn read(globals: &Globals, args: &GroupRead) -> Result<(), Failure> {
    let name = &args.group;
    let look = async |node: Client| {
        let posts = node.posts(name, args.last).await?;
        node.have_read(name).await?;
        Ok(posts)
    };
    let is_running = attach::running(globals).await?.is_some();
    let posts = with(globals, false, look).await?;
    hint_at_age(is_running);
    let book = StateDir::open(globals)?.names();
    if posts.is_empty() && !globals.json {
        return Ok(out::text(format!("nothing was posted in {name} yet"))?);
    }
    if globals.json {
        return Ok(posts.iter().try_for_each(out::json)?);
    }
    threads(&posts)
        .iter()
        .try_for_each(|placed| Ok(out::text(shown(placed, &book))?))
}

pub(super) async fn follow(globals: &Globals, name: &str) -> Result<(), Failure> {
    let book = StateDir::open(globals)?.names();
    let follow = async |node: Client| {
        let mut posts = pin!(node.follow_group(name).await?);
        while let Some(post) = posts.next().await {
            let post = &post?;
            if globals.json {
                out::json(post)?;
            } else {
                out::text(shown(&Placed { post, depth: 0 }, &book))?;
            }
        }
        Ok(())
    };
    with(globals, false, follow).await
}

/// The groups that the node here has joined.
pub(super) async fn list(globals: &Globals) -> Result<Vec<GroupView>, Failure> {
    if let Some(node) = attach::running(globals).await? {
        return joined_by(&node).await;
    }
    if kept_in(StateDir::open(globals)?.path())?.is_empty() {
        return Ok(Vec::new());
    }
    with(globals, false, async |node| Ok(node.groups().await?)).await
}

async fn joined_by(node: &Client) -> Result<Vec<GroupView>, Failure> {
    match node.groups().await {
        // One of an older version has none.
        Err(ControlError::Foreign { .. }) => Ok(Vec::new()),
        groups => Ok(groups?),
    }
}

/// Says how it is with groups, and once why what is said in them is not kept.
pub(super) fn show(globals: &Globals, groups: &[GroupView]) -> Result<(), Failure> {
    if globals.json {
        return Ok(groups.iter().try_for_each(out::json)?);
    }
    let reasons: BTreeSet<_> = groups.iter().filter_map(|it| it.unkept.as_ref()).collect();
    for reason in reasons {
        out::hint(format!("what is said in groups is not kept here: {reason}"));
    }
    groups
        .iter()
        .try_for_each(|group| Ok(out::text(summary(group))?))
}

fn summary(group: &GroupView) -> String {
    let role = match group.role {
        Some(role) => format!("you are {role}"),
        None => "you are no member any more".to_owned(),
    };
    let here = group.members.iter().filter(|member| member.linked).count();
    let members = match group.members.len() {
        1 => "1 member".to_owned(),
        members => format!("{members} members"),
    };
    let directories = group.members.iter().filter(|member| member.directory);
    let directories = match directories.count() {
        0 => String::new(),
        1 => ", 1 directory".to_owned(),
        directories => format!(", {directories} directories"),
    };
    let mut line = format!(
        "{}: {members}, {here} linked{directories}, {}, {} unread; {role}; id {}",
        group.name,
        posts(group.posts),
        group.unread,
        short(&group.id)
    );
    if let Some(published) = group.published {
        line += &format!("; this node keeps {published} names of members for searches");
    }
    if group.refused > 0 && group.role.is_some() {
        line += &match group.refused {
            1 => "; 1 member says that this node was removed".to_owned(),
            refused => format!("; {refused} members say that this node was removed"),
        };
    }
    line
}

pub(in crate::cli) fn posts(posts: usize) -> String {
    match posts {
        1 => "1 post".to_owned(),
        posts => format!("{posts} posts"),
    }
}

/// A post with the letters by which it is answered, as far to the right as it is deep in its thread.
fn shown(placed: &Placed<'_>, book: &Book) -> String {
    let post = placed.post;
    let mut from = book.peer(&post.author);
    if let Some(to) = &post.reply_to_author {
        from += &format!(" to {}", book.peer(to));
    }
    let indent = "  ".repeat(placed.depth.min(DEEPEST));
    let line = format!("{}  {}", short(&post.id), line(post, &from));
    format!("{indent}{}", line.replace('\n', &format!("\n{indent}")))
}

/// A post of whoever is called so.
pub(in crate::cli) fn line(post: &PostView, from: &str) -> String {
    let text = post
        .text
        .as_deref()
        .unwrap_or("(sealed by a key that this node does not have)");
    // A second line does not pass for another's, however deep in its thread that stands.
    let text = text.trim_end().replace('\n', "\n    | ");
    format!("{}  {from}: {text}", ago(post.sent_ms))
}

/// Says of posts that were read by a node of the command's own that there may be newer ones.
pub(in crate::cli) fn hint_at_age(is_running: bool) {
    if !is_running {
        out::hint(
            "this is what came while a node ran here: what was written since comes to the next `peerway up`",
        );
    }
}

fn short(id: &str) -> String {
    id.chars().take(SHORT).collect()
}

fn ago(at_ms: u64) -> String {
    format!("{} ago", age(since(at_ms)))
}

fn since(at_ms: u64) -> Duration {
    Duration::from_millis(now_ms().saturating_sub(at_ms))
}

fn quoted(name: &str) -> String {
    if name
        .chars()
        .all(|letter| letter.is_alphanumeric() || "-_.".contains(letter))
    {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}

#[derive(Serialize)]
struct Invited<'a> {
    name: &'a str,
    invite: &'a str,
    role: Role,
    uses: u32,
}

#[derive(Serialize)]
struct Posted<'a> {
    group: &'a str,
    id: &'a str,
}

#[derive(Serialize)]
struct Left<'a> {
    name: &'a str,
    left: bool,
}

#[cfg(test)]
mod tests {
    use super::{super::super::documented::assert_keys, *};

    #[test]
    fn the_lines_keep_their_keys() {
        let id = peerway::SecretKey::from_seed(&[1; 32]).id();
        let member = serde_json::json!({
            "id": id, "role": "member", "since_ms": 1, "by": id, "linked": true, "directory": true,
        });
        let group = serde_json::json!({
            "id": "a", "name": "home", "role": "admin", "members": [member], "posts": 1,
            "unread": 1, "invites": 1, "has_key": true, "refused": 0,
        });
        let group: GroupView = serde_json::from_value(group).unwrap();
        assert_keys("group", &group);
        assert_keys("group", &group.members[0]);
        let post = serde_json::json!({"id": "a", "author": id, "sent_ms": 1, "text": "a"});
        let post: PostView = serde_json::from_value(post).unwrap();
        assert_keys("group", &post);
        let (name, group) = ("home", "home");
        let (invite, role, uses) = ("a", Role::Member, 1);
        assert_keys(
            "group",
            &Invited {
                name,
                invite,
                role,
                uses,
            },
        );
        assert_keys("group", &Posted { group, id: "a" });
        assert_keys("group", &Left { name, left: true });
    }

    #[test]
    fn a_post_of_two_lines_does_not_pass_for_two_and_a_sealed_one_is_said_to_be() {
        let id = peerway::SecretKey::from_seed(&[1; 32]).id();
        let post = |text: Option<&str>| {
            let post = serde_json::json!({"id": "a", "author": id, "sent_ms": 1, "text": text});
            line(&serde_json::from_value(post).unwrap(), "zoe")
        };
        let two = post(Some("one\n1 s ago  anna: two\n"));
        assert!(
            two.ends_with(" ago  zoe: one\n    | 1 s ago  anna: two"),
            "{two}"
        );
        assert!(post(None).contains("zoe: (sealed"));
    }

    #[test]
    fn an_answer_says_whom_it_answers_and_stands_below_it() {
        let [zoe, anna] = [1, 2].map(|seed| peerway::SecretKey::from_seed(&[seed; 32]).id());
        let post = serde_json::json!({
            "id": "abcdefghijk", "author": zoe, "sent_ms": 1, "text": "one\ntwo",
            "reply_to": "k", "reply_to_author": anna,
        });
        let post = &serde_json::from_value(post).unwrap();
        let line = shown(&Placed { post, depth: 1 }, &Book::default());
        let (first, second) = line.split_once('\n').unwrap();
        assert!(first.starts_with("  abcdefgh  "), "{line}");
        let said = format!("  {} to {}: one", zoe.short(), anna.short());
        assert!(first.ends_with(&said), "{line}");
        assert_eq!(second, "      | two");
    }

    #[test]
    fn a_name_of_several_words_is_quoted() {
        assert_eq!(quoted("home"), "home");
        assert_eq!(quoted("our home"), "'our home'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
