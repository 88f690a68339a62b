//! CONNECT (RFC 9110 section 9.3.6), of which the head is all there is.

use super::{Head, ProxyError, Refusal, Want};

const MAX_HEADERS: usize = 64;

pub(super) const MALFORMED: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// The head, or nothing where it is no HTTP; nothing at all if there is more to come.
pub(super) fn parse(read: &[u8]) -> Option<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let len = match request.parse(read) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return None,
        Err(_) => return Some(None),
    };
    let (Some(method), Some(path)) = (request.method, request.path) else {
        return Some(None);
    };
    let host = match method {
        "CONNECT" => Ok(path
            .rsplit_once(':')
            .map_or(path, |(host, _)| host)
            .to_owned()),
        _ => Err(ProxyError::Command),
    };
    let want = Want::Connect(host);
    Some(Some(Head { want, len }))
}

pub(super) fn reply(error: Option<&ProxyError>) -> Vec<u8> {
    let Some(error) = error else {
        return b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec();
    };
    let status = match Refusal::of(error) {
        Refusal::Foreign | Refusal::NotAllowed => "403 Forbidden",
        Refusal::Unknown => "404 Not Found",
        Refusal::Command => "405 Method Not Allowed",
        Refusal::Refused => "502 Bad Gateway",
        Refusal::Unreachable => "504 Gateway Timeout",
    };
    let text = format!("peerway: {error}\n");
    format!(
        "HTTP/1.1 {status}\r\nAllow: CONNECT\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connect_is_read_and_what_follows_its_head_is_left() {
        let head = b"CONNECT web.nas.peer:443 HTTP/1.1\r\nHost: web.nas.peer:443\r\n\r\n";
        assert!((0..head.len()).all(|len| parse(&head[..len]).is_none()));
        let early = [&head[..], b"early"].concat();
        let parsed = parse(&early).unwrap().unwrap();
        assert_eq!(parsed.len, head.len());
        assert!(matches!(parsed.want, Want::Connect(Ok(host)) if host == "web.nas.peer"));
        let get = parse(b"GET http://web.nas.peer/ HTTP/1.1\r\n\r\n").unwrap();
        let get = get.unwrap().want;
        assert!(matches!(get, Want::Connect(Err(ProxyError::Command))));
        assert!(parse(b"\x04\x01\x00").unwrap().is_none());
    }

    #[test]
    fn a_refusal_says_why() {
        let reply = String::from_utf8(reply(Some(&ProxyError::Foreign))).unwrap();
        assert!(reply.starts_with("HTTP/1.1 403 "), "{reply}");
        assert!(reply.ends_with("by this proxy\n"), "{reply}");
    }
}
