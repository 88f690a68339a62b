//! What is answered to whoever asks for a file, or for a part of it: [`Reply`]. Pure.

use std::ops::Range;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use http_range_header::{RangeUnsatisfiableError, parse_range_header};
use peerway_swarm::share::Hash;

/// Content never changes under its hash.
pub(super) const FOR_EVER: &str = "private, max-age=31536000, immutable";
/// Under a path of a site there may be something else the next time.
pub(super) const FOR_NOW: &str = "private, no-cache";
/// What somebody else wrote is shown, and runs nothing: all that is read here has one origin.
const NO_SCRIPTS: &str =
    "default-src 'self' data:; style-src 'self' 'unsafe-inline'; sandbox allow-same-origin";

/// RFC 9110 sections 13 and 14, for a file whose validator is its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Whole,
    Part(Range<u64>),
    /// Whoever asks has it.
    Unchanged,
    /// Nothing of what is asked for is in it.
    OutOfRange,
}

impl Reply {
    pub(super) fn to(headers: &HeaderMap, hash: Hash, size: u64) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let own = tag(hash);
        if let Some(known) = text(header::IF_NONE_MATCH) {
            let mut known = known.split(',').map(str::trim);
            if known.any(|it| it == "*" || it.strip_prefix("W/").unwrap_or(it) == own) {
                return Self::Unchanged;
            }
        }
        // A part of what else there was is no use.
        if text(header::IF_RANGE).is_some_and(|known| known != own) {
            return Self::Whole;
        }
        let Some(range) = text(header::RANGE).and_then(|range| parse_range_header(range).ok())
        else {
            return Self::Whole;
        };
        match range.validate(size).as_deref() {
            Ok([part]) => Self::Part(*part.start()..part.end().saturating_add(1).min(size)),
            Err(RangeUnsatisfiableError::Unsatisfiable) => Self::OutOfRange,
            // Several parts are more trouble than all.
            Ok(_) | Err(_) => Self::Whole,
        }
    }

    /// Which bytes are to follow, if any.
    pub(super) fn bytes(&self, size: u64) -> Option<Range<u64>> {
        match self {
            Self::Whole => Some(0..size),
            Self::Part(part) => Some(part.clone()),
            Self::Unchanged | Self::OutOfRange => None,
        }
    }

    /// What stands before the bytes of a file of that name; `keep` says for how long readers may keep them.
    pub(super) fn head(
        &self,
        (hash, size): (Hash, u64),
        name: &str,
        keep: &str,
        response: &mut Response<Body>,
    ) {
        *response.status_mut() = match self {
            Self::Whole => StatusCode::OK,
            Self::Part(_) => StatusCode::PARTIAL_CONTENT,
            Self::Unchanged => StatusCode::NOT_MODIFIED,
            Self::OutOfRange => StatusCode::RANGE_NOT_SATISFIABLE,
        };
        let range = match self {
            Self::Part(part) => Some(format!("bytes {}-{}/{size}", part.start, part.end - 1)),
            Self::OutOfRange => Some(format!("bytes */{size}")),
            Self::Whole | Self::Unchanged => None,
        };
        let length = self.bytes(size).map(|bytes| bytes.end - bytes.start);
        let media = length.map(|_| media(name));
        if let Some(media) = &media {
            guard(media, response);
        }
        let headers = [
            (header::ETAG, Some(tag(hash))),
            (header::CACHE_CONTROL, Some(keep.to_owned())),
            (header::ACCEPT_RANGES, Some("bytes".to_owned())),
            (header::CONTENT_RANGE, range),
            (header::CONTENT_LENGTH, length.map(|it| it.to_string())),
            (header::CONTENT_TYPE, media),
            (header::X_CONTENT_TYPE_OPTIONS, Some("nosniff".to_owned())),
        ];
        for (name, value) in headers {
            let value = value.and_then(|value| HeaderValue::try_from(value).ok());
            if let Some(value) = value {
                response.headers_mut().insert(name, value);
            }
        }
    }
}

/// Keeps what somebody else wrote from running, where browsers would have it do so.
pub(super) fn guard(media: &str, response: &mut Response<Body>) {
    if is_active(media) {
        let policy = HeaderValue::from_static(NO_SCRIPTS);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}

fn tag(hash: Hash) -> String {
    format!("\"{hash}\"")
}

/// By the name, as nothing else is known of it; text is taken for UTF-8.
fn media(name: &str) -> String {
    let guess = mime_guess::from_path(name).first_or_octet_stream();
    if guess.type_() == mime_guess::mime::TEXT && guess.get_param("charset").is_none() {
        return format!("{guess}; charset=utf-8");
    }
    guess.to_string()
}

/// Whether browsers run what is in it.
fn is_active(media: &str) -> bool {
    ["html", "xml", "svg"].iter().any(|it| media.contains(it))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(pairs: &[(header::HeaderName, &str)], size: u64) -> Reply {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        Reply::to(&headers, Hash::of(b"a"), size)
    }

    fn range(range: &str, size: u64) -> Reply {
        reply(&[(header::RANGE, range)], size)
    }

    #[test]
    fn a_part_is_answered_as_it_was_asked_for_and_what_makes_no_sense_with_all() {
        assert_eq!(range("bytes=0-0", 10), Reply::Part(0..1));
        assert_eq!(range("bytes=3-", 10), Reply::Part(3..10));
        assert_eq!(range("bytes=-4", 10), Reply::Part(6..10));
        assert_eq!(range("bytes=5-99", 10), Reply::Part(5..10));
        assert_eq!(range("bytes=10-", 10), Reply::OutOfRange);
        for all in ["bytes=0-1,4-5", "lines=1-2", "bytes=b-", "bytes=5-2"] {
            assert_eq!(range(all, 10), Reply::Whole, "{all}");
        }
    }

    #[test]
    fn whoever_has_it_is_told_so_and_a_part_of_something_else_is_not_continued() {
        let own = tag(Hash::of(b"a"));
        let (match_, if_range) = (header::IF_NONE_MATCH, header::IF_RANGE);
        let weak = format!("\"x\", W/{own}");
        for known in [&own[..], "*", &weak] {
            assert_eq!(reply(&[(match_.clone(), known)], 10), Reply::Unchanged);
        }
        assert_eq!(reply(&[(match_, "\"x\"")], 10), Reply::Whole);
        let part = (header::RANGE, "bytes=5-");
        assert_eq!(
            reply(&[(if_range.clone(), &own), part.clone()], 10),
            Reply::Part(5..10)
        );
        assert_eq!(reply(&[(if_range, "\"x\""), part], 10), Reply::Whole);
    }

    #[test]
    fn the_head_says_what_it_is_and_pages_run_nothing() {
        let mut response = Response::new(Body::empty());
        Reply::Part(5..10).head((Hash::of(b"a"), 20), "a/b.HTML", FOR_EVER, &mut response);
        let told = |name| response.headers()[name].to_str().unwrap();
        assert_eq!(response.status(), 206);
        assert_eq!(told(header::CONTENT_RANGE), "bytes 5-9/20");
        assert_eq!(told(header::CONTENT_LENGTH), "5");
        assert_eq!(told(header::CONTENT_TYPE), "text/html; charset=utf-8");
        assert!(told(header::CONTENT_SECURITY_POLICY).contains("sandbox"));
        assert_eq!(media("film.mp4"), "video/mp4");
        assert_eq!(media("nothing"), "application/octet-stream");
        let mut response = Response::new(Body::empty());
        Reply::OutOfRange.head((Hash::of(b"a"), 20), "b", FOR_EVER, &mut response);
        assert_eq!(response.status(), 416);
        assert_eq!(response.headers()[header::CONTENT_RANGE], "bytes */20");
    }

    proptest! {
        #[test]
        fn a_part_is_always_within_the_file(text in "bytes=[0-9]{0,20}-[0-9]{0,20}(,[0-9]{0,3}-)?", size in 0..1000u64) {
            if let Reply::Part(part) = range(&text, size) {
                prop_assert!(part.start < part.end && part.end <= size, "{:?}", part);
            }
        }
    }
}
