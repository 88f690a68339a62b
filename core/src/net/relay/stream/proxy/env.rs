//! Which proxy the environment names, as other programs have it: `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, also in lower case.

use std::{env, net::IpAddr};

use super::{Protocol, Proxy, ProxyTrouble, Target};

impl Proxy {
    /// The proxy that the environment names for this relay, if any.
    pub(in super::super) fn from_env(target: Target<'_>) -> Result<Option<Self>, ProxyTrouble> {
        Self::choose(target, |name| env::var(name).ok())
    }

    fn choose(
        target: Target<'_>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ProxyTrouble> {
        let find = |names: [&'static str; 2]| {
            let mut found = names
                .into_iter()
                .filter_map(|name| Some((name, variable(name)?)));
            found.find(|(_, value)| !value.trim().is_empty())
        };
        let named =
            find(["https_proxy", "HTTPS_PROXY"]).or_else(|| find(["all_proxy", "ALL_PROXY"]));
        let Some((name, value)) = named else {
            return Ok(None);
        };
        let except = find(["no_proxy", "NO_PROXY"])
            .map(|(_, value)| value)
            .unwrap_or_default();
        if target.ip.is_loopback() || except.split([',', ' ']).any(|rule| excepts(rule, target)) {
            return Ok(None);
        }
        let unusable = || ProxyTrouble::Unusable {
            variable: name.to_owned(),
        };
        Self::parse(value.trim()).ok_or_else(unusable).map(Some)
    }

    pub(super) fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (kind, usual) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Protocol::Http, 80),
            "socks5" | "socks5h" => (Protocol::Socks5, 1080),
            _ => return None,
        };
        let rest = rest.split(['/', '?', '#']).next()?;
        let (password, place) = match rest.rsplit_once('@') {
            Some((password, place)) => (Some(password), place),
            None => (None, rest),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
            _ => (place, usual),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let password = password.map(|password| {
            let (user, password) = password.split_once(':').unwrap_or((password, ""));
            (decoded(user), decoded(password))
        });
        (!host.is_empty()).then(|| Self {
            kind,
            host: host.to_owned(),
            port,
            password,
        })
    }
}

/// Whether a rule of `NO_PROXY` is about this target: a domain, an address, a network, or everything.
fn excepts(rule: &str, target: Target<'_>) -> bool {
    let rule = rule.trim();
    if rule == "*" {
        return true;
    }
    let (place, port) = match rule.rsplit_once(':') {
        Some((place, port)) if place.parse::<IpAddr>().is_err() && !place.contains(':') => {
            (place, port.parse::<u16>().ok())
        }
        _ => (rule, None),
    };
    if place.is_empty() || port.is_some_and(|port| port != target.port) {
        return false;
    }
    if let Some((network, len)) = place.split_once('/') {
        let parsed = network.parse().ok().zip(len.parse().ok());
        return parsed.is_some_and(|(network, len)| contains(network, len, target.ip));
    }
    if let Ok(ip) = place.parse::<IpAddr>() {
        return ip == target.ip;
    }
    let domain = place
        .trim_start_matches('*')
        .trim_start_matches('.')
        .to_ascii_lowercase();
    let host = target.host.to_ascii_lowercase();
    host == domain || host.ends_with(&format!(".{domain}"))
}

fn contains(network: IpAddr, len: u32, ip: IpAddr) -> bool {
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => {
            let mask = u32::MAX
                .checked_shl(32_u32.saturating_sub(len))
                .unwrap_or(0);
            network.to_bits() & mask == ip.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) => {
            let mask = u128::MAX
                .checked_shl(128_u32.saturating_sub(len))
                .unwrap_or(0);
            network.to_bits() & mask == ip.to_bits() & mask
        }
        _ => false,
    }
}

/// A URL's percent encoding undone.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let hex = more.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = more.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn target(host: &str) -> Target<'_> {
        Target {
            host,
            port: 4433,
            ip: (host.parse()).unwrap_or_else(|_| [198, 51, 100, 1].into()),
            is_stranger: false,
        }
    }

    fn chosen(variables: &[(&str, &str)], host: &str) -> Result<Option<String>, ProxyTrouble> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        let variable = |name: &str| variables.get(name).map(ToString::to_string);
        let proxy = Proxy::choose(target(host), variable)?;
        Ok(proxy.map(|proxy| {
            let password = proxy.password.clone();
            let password = password.map(|(user, password)| format!(" {user} {password}"));
            format!("{proxy}{}", password.unwrap_or_default())
        }))
    }

    #[test]
    fn the_environment_names_proxies_as_other_programs_have_it() {
        let named = |variables: &[_]| chosen(variables, "relay.example.org").unwrap();
        assert_eq!(named(&[]), None);
        assert_eq!(named(&[("HTTP_PROXY", "http://a:1")]), None);
        for (value, expected) in [
            ("http://proxy:3128", "http://proxy:3128"),
            ("http://proxy/", "http://proxy:80"),
            ("proxy:3128", "http://proxy:3128"),
            ("socks5h://proxy", "socks5://proxy:1080"),
            ("SOCKS5://[2001:db8::1]:9", "socks5://[2001:db8::1]:9"),
            ("http://[2001:db8::1]", "http://[2001:db8::1]:80"),
            ("http://me:p%40ss%3A@proxy:1", "http://proxy:1 me p@ss:"),
            ("http://me@proxy:1", "http://proxy:1 me "),
        ] {
            let found = named(&[("HTTPS_PROXY", value)]);
            assert_eq!(found.as_deref(), Some(expected), "{value}");
        }
        let both = [
            ("ALL_PROXY", "http://all:1"),
            ("https_proxy", "http://https:1"),
        ];
        assert_eq!(named(&both).as_deref(), Some("http://https:1"));
        assert_eq!(named(&both[..1]).as_deref(), Some("http://all:1"));
        let empty = [("https_proxy", ""), ("HTTPS_PROXY", "http://upper:1")];
        assert_eq!(named(&empty).as_deref(), Some("http://upper:1"));
        for wrong in [
            "ftp://proxy:1",
            "http://",
            "https://proxy:1",
            "http://proxy:port",
        ] {
            let error = chosen(&[("ALL_PROXY", wrong)], "x.org").unwrap_err();
            assert!(
                error.to_string().starts_with("ALL_PROXY names no proxy"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn exceptions_are_domains_addresses_and_networks() {
        let excepted = |rules: &str, host: &str| {
            let variables = [("ALL_PROXY", "http://p:1"), ("NO_PROXY", rules)];
            chosen(&variables, host).unwrap().is_none()
        };
        for (rules, host) in [
            ("*", "relay.example.org"),
            ("a.org, example.org", "relay.example.org"),
            (".example.org", "relay.example.org"),
            ("*.example.org", "Relay.Example.org"),
            ("example.org:4433", "relay.example.org"),
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.0/24", "192.0.2.1"),
            ("0.0.0.0/0", "192.0.2.1"),
            ("2001:db8::/32", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("", "127.0.0.1"),
        ] {
            assert!(excepted(rules, host), "{rules} {host}");
        }
        for (rules, host) in [
            ("", "relay.example.org"),
            ("ample.org", "relay.example.org"),
            ("example.org:443", "relay.example.org"),
            ("192.0.2.0/30", "192.0.2.5"),
            ("192.0.2.0/99", "192.0.2.5"),
            ("2001:db9::/32", "2001:db8::1"),
        ] {
            assert!(!excepted(rules, host), "{rules} {host}");
        }
    }
}
