//! Posts as threads: an answer stands below what it answers, and the thread that somebody wrote in last comes last.

use std::collections::BTreeMap;

use peerway_swarm::groups::PostView;

/// A post, and how many it answers one after the other.
#[derive(Debug)]
pub(super) struct Placed<'a> {
    pub(super) post: &'a PostView,
    pub(super) depth: usize,
}

/// In the order in which they are shown; they come oldest first. What answers something that is not among them begins a thread.
pub(super) fn threads(posts: &[PostView]) -> Vec<Placed<'_>> {
    let places: BTreeMap<_, _> = posts.iter().zip(0..).map(|(it, at)| (&it.id, at)).collect();
    let mut threads: Vec<Thread> = Vec::new();
    let mut thread_of: Vec<usize> = Vec::new();
    let mut answers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, post) in posts.iter().enumerate() {
        let parent = post.reply_to.as_ref().and_then(|id| places.get(id));
        // What claims to be older than what it answers is no answer to it.
        let parent = parent.copied().filter(|parent| *parent < at);
        let known = parent.and_then(|parent| thread_of.get(parent).copied());
        let thread = known.unwrap_or(threads.len());
        thread_of.push(thread);
        match threads.get_mut(thread) {
            Some(thread) => thread.last = at,
            None => threads.push(Thread {
                first: at,
                last: at,
            }),
        }
        if let Some(parent) = parent {
            answers.entry(parent).or_default().push(at);
        }
    }
    threads.sort_by_key(|thread| thread.last);
    let mut placed = Vec::new();
    let mut next: Vec<_> = threads.iter().rev().map(|it| (it.first, 0)).collect();
    while let Some((at, depth)) = next.pop() {
        placed.extend(posts.get(at).map(|post| Placed { post, depth }));
        let below = answers.remove(&at).unwrap_or_default();
        next.extend(below.into_iter().rev().map(|at| (at, depth + 1)));
    }
    placed
}

/// Where in the order of time it begins and ends.
struct Thread {
    first: usize,
    last: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Posts of these ids, each an answer to another or to nothing; as they are shown.
    fn shown(posts: &[(&str, &str)]) -> Vec<String> {
        let author = peerway::SecretKey::from_seed(&[1; 32]).id();
        let posts = posts.iter().map(|(id, to)| {
            let to = (!to.is_empty()).then_some(to);
            let post = serde_json::json!({
                "id": id, "author": author, "sent_ms": 1, "text": id, "reply_to": to,
            });
            serde_json::from_value(post).unwrap()
        });
        let posts: Vec<_> = posts.collect();
        let placed = threads(&posts).into_iter();
        placed
            .map(|it| format!("{}{}", " ".repeat(it.depth), it.post.id))
            .collect()
    }

    #[test]
    fn answers_stand_below_what_they_answer_in_the_order_of_time() {
        let posts = [
            ("a", ""),
            ("b", "a"),
            ("c", "a"),
            ("d", "b"),
            ("e", ""),
            ("f", "b"),
        ];
        assert_eq!(shown(&posts), ["e", "a", " b", "  d", "  f", " c"]);
        assert_eq!(shown(&posts[..5]), ["a", " b", "  d", " c", "e"]);
        assert_eq!(
            shown(&posts[1..]),
            ["c", "e", "b", " d", " f"],
            "its beginning is not shown"
        );
    }

    #[test]
    fn none_is_lost_whatever_it_claims_to_answer() {
        let posts = [
            ("a", "b"),
            ("b", "c"),
            ("c", "a"),
            ("d", "d"),
            ("e", "gone"),
        ];
        assert_eq!(shown(&posts), ["b", "a", " c", "d", "e"]);
        let ids: Vec<_> = (0..10_000).map(|at| at.to_string()).collect();
        let chain: Vec<_> = ids.iter().zip(ids.iter().skip(1)).collect();
        let chain: Vec<_> = chain.iter().map(|(to, id)| (&id[..], &to[..])).collect();
        assert_eq!(shown(&chain).len(), 9_999);
    }
}
