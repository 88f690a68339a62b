//! Addresses in sentences that others wrote.

use std::net::{IpAddr, SocketAddr};

/// The text with something else in place of each address, which may have a port.
pub(super) fn replace(text: &str, mut with: impl FnMut(IpAddr, Option<u16>) -> String) -> String {
    let words = text.split(' ').map(|word| match find(word) {
        Some((found, ip, port)) => word.replacen(found, &with(ip, port), 1),
        None => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Alone, in a URL, with a scope, or with what stands around it in a sentence.
fn find(word: &str) -> Option<(&str, IpAddr, Option<u16>)> {
    let rest = word.split_once("://").map_or(word, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = rest.split('/').next()?;
    let bare = host.trim_matches(|c: char| !c.is_ascii_alphanumeric() && !"[]:".contains(c));
    let unscoped = bare.trim_start_matches('[').split('%').next()?;
    let shorter = bare.trim_end_matches(':');
    let forms = [bare, shorter, shorter.trim_matches(['[', ']']), unscoped];
    forms.into_iter().find_map(|text| {
        let addr = text.parse::<SocketAddr>();
        let addr = addr.map(|addr| (text, addr.ip(), Some(addr.port())));
        addr.ok()
            .or_else(|| text.parse().ok().map(|ip| (text, ip, None)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_whatever_stands_around_it() {
        let hidden = |text: &str| replace(text, |_, port| format!("<{}>", port.is_some()));
        for (text, expected) in [
            ("from 192.0.2.1:4433: refused", "from <true>: refused"),
            ("10.0.0.1: no route", "<false>: no route"),
            (
                "by the proxy http://10.0.0.5:3128: 407",
                "by the proxy http://<true>: 407",
            ),
            ("socks5://me@10.0.0.5:1080/x", "socks5://me@<true>/x"),
            ("at (2001:db8::1), or", "at (<false>), or"),
            (
                "[2001:db8::1] and [2001:db8::1]:4433;",
                "[<false>] and <true>;",
            ),
            (
                "[fe80::1%eth0]:4433 10.0.0.0/8",
                "[<false>%eth0]:4433 <false>/8",
            ),
            ("fe80:: is one", "<false> is one"),
            (
                "1.2.3 12:30 relay.example.org:4433 a:b",
                "1.2.3 12:30 relay.example.org:4433 a:b",
            ),
        ] {
            assert_eq!(hidden(text), expected);
        }
    }
}
