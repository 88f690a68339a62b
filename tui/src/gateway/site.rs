//! A web site that a feed names: its writer shares a folder and posts the link to it. So what the folder holds is signed, as what is
//! posted is, and known to whoever follows while the writer is away.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    http::{HeaderMap, Method, Uri},
    response::{IntoResponse, Response},
};
use peerway::Ticket;
use peerway_swarm::{
    group::GroupId,
    groups::{GroupError, Groups},
    share::{KeepError, Kind, Link},
};

use super::{
    Ask, Gateway, NoAnswer,
    origin::OriginUrl,
    passing::{self, Passed},
};

/// What stands before the link.
const MARK: &str = "site ";

/// What is posted to make a folder the feed's site.
pub(crate) fn post(link: &Link) -> String {
    format!("{MARK}{link}")
}

/// The folder that a post makes the site, if it does.
fn folder(text: &str) -> Option<Link> {
    let link: Link = text.strip_prefix(MARK)?.trim().parse().ok()?;
    (link.kind == Kind::Folder).then_some(link)
}

/// The sites of the feeds that are followed here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sites(Arc<Mutex<BTreeMap<GroupId, Known>>>);

#[derive(Debug)]
struct Known {
    /// By which it is seen whether something was written since.
    newest: Option<String>,
    posts: usize,
    link: Option<Link>,
}

impl Sites {
    /// The site of a feed now: the folder that was posted last. Who follows it and is there may have some of it too.
    pub(crate) fn of(&self, groups: &Groups, feed: GroupId) -> Result<Option<Link>, GroupError> {
        let link = self.posted(groups, feed)?;
        let followers = groups.linked(feed)?;
        Ok(link.map(|mut link| {
            let is_named = |ticket: &Ticket| link.providers.iter().any(|it| it.id() == ticket.id());
            let others: Vec<_> = followers.into_iter().filter(|it| !is_named(it)).collect();
            link.providers.extend(others);
            link
        }))
    }

    fn posted(&self, groups: &Groups, feed: GroupId) -> Result<Option<Link>, GroupError> {
        let newest = groups.posts(feed, 1, false)?.pop().map(|post| post.id);
        let posts = groups.view(feed)?.posts;
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sites.get(&feed)
            && (&known.newest, known.posts) == (&newest, posts)
        {
            return Ok(known.link.clone());
        }
        let all = groups.posts(feed, posts, false)?;
        let texts = all.iter().rev().filter_map(|post| post.text.as_deref());
        let link = texts.filter_map(folder).next();
        let known = Known {
            newest,
            posts,
            link: link.clone(),
        };
        sites.insert(feed, known);
        Ok(link)
    }
}

/// What is asked of a site.
pub(crate) struct SiteAsk<'a> {
    pub(crate) method: &'a Method,
    /// Without the slash before it.
    pub(crate) path: &'a str,
    /// As it was asked for; what follows the path is for the origin alone.
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) origin: Option<Arc<OriginUrl>>,
}

impl Gateway {
    /// Answers a request for a path of a site: what its folder names comes from peers, or from the origin if it is the same there; the
    /// rest as the origin has it.
    pub(crate) async fn answer_site(
        &self,
        feed: &str,
        site: Option<Link>,
        ask: SiteAsk<'_>,
    ) -> Response {
        let answer = self.find_in_site(feed, site, ask).await;
        answer.unwrap_or_else(IntoResponse::into_response)
    }

    async fn find_in_site(
        &self,
        feed: &str,
        site: Option<Link>,
        asked: SiteAsk<'_>,
    ) -> Result<Response, NoAnswer> {
        if !matches!(*asked.method, Method::GET | Method::HEAD) {
            return Err(NoAnswer::Method);
        }
        if !is_clean(asked.path) {
            return Err(NoAnswer::Path(asked.path.chars().take(80).collect()));
        }
        let unnamed = match &site {
            Some(root) => {
                let ask = Ask {
                    is_head: *asked.method == Method::HEAD,
                    headers: asked.headers,
                    root,
                    origin: asked.origin.clone(),
                    is_site: true,
                };
                match self.folder(&ask, asked.path).await {
                    Err(NoAnswer::Keep(KeepError::NoFile)) => NoAnswer::Unnamed(KeepError::NoFile),
                    answer => return answer,
                }
            }
            None => NoAnswer::NoSite(feed.to_owned()),
        };
        let Some(origin) = asked.origin else {
            return Err(unnamed);
        };
        let seat = self.room.clone().try_acquire_owned();
        let passed = Passed {
            seat: seat.map_err(|_| NoAnswer::Full)?,
            method: asked.method.clone(),
            path: asked.path,
            query: asked.uri.query(),
            headers: asked.headers,
        };
        passing::pass(&origin, passed)
            .await
            .map_err(NoAnswer::Passing)
    }
}

/// Whether it leads nowhere but down.
fn is_clean(path: &str) -> bool {
    !path.contains(|letter: char| letter.is_control() || letter == '\\')
        && path.split('/').all(|part| !matches!(part, "." | ".."))
}

#[cfg(test)]
mod tests {
    use peerway_swarm::share::Hash;

    use super::*;

    #[test]
    fn a_post_makes_a_folder_the_site_and_nothing_else() {
        let link = |kind| Link::new(Hash::of(b"x"), 7, kind, "garden");
        let (of_folder, of_file) = (link(Kind::Folder), link(Kind::File));
        assert_eq!(folder(&post(&of_folder)), Some(of_folder.clone()));
        for text in [
            post(&of_file),
            of_folder.to_string(),
            format!("look at site {of_folder}"),
            "site of the week".to_owned(),
        ] {
            assert_eq!(folder(&text), None, "{text}");
        }
    }

    #[test]
    fn a_path_of_a_site_leads_down_alone() {
        for path in ["", "a.html", "a/b/", "a..b/...", "ä ö"] {
            assert!(is_clean(path), "{path}");
        }
        for path in ["..", "a/../b", "./a", "a/.", "a\0b", "a\nb", "a\\b"] {
            assert!(!is_clean(path), "{path:?}");
        }
    }
}
