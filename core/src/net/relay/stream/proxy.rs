//! Proxies on the way to a relay: HTTP CONNECT (RFC 9110 section 9.3.6) and SOCKS5 (RFC 1928, RFC 1929).
//!
//! Nothing is sent before the proxy's whole answer is there, as some throw away what comes early, and nothing behind it is read.

mod env;

use std::{
    fmt,
    io::{self, ErrorKind},
    net::IpAddr,
};

use data_encoding::BASE64;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Longest head of a proxy's answer.
const MAX_HEAD: usize = 16 << 10;

/// A proxy that the environment names.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    kind: Protocol,
    host: String,
    port: u16,
    password: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    Socks5,
}

/// What a proxy is asked to connect to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    /// The name or address in the relay's URL.
    pub(super) host: &'a str,
    pub(super) port: u16,
    /// What we found it to stand for; unspecified if nothing.
    pub(super) ip: IpAddr,
    /// The name may stand for another address at the proxy, and must not.
    pub(super) is_stranger: bool,
}

/// Why a proxy is of no help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyTrouble {
    /// Correct the variable.
    #[error(
        "{variable} names no proxy that can be used: expected http://HOST:PORT or socks5://HOST:PORT"
    )]
    Unusable {
        /// Which environment variable.
        variable: String,
    },
    /// Look at the proxy.
    #[error("it does not answer: {0}")]
    Silent(String),
    /// Correct the user and password in the proxy's URL, or give some.
    #[error("it did not accept the password: give http://USER:PASSWORD@HOST:PORT")]
    Password,
    /// Ask whoever runs the proxy.
    #[error("it refused with status {status}{}", because(.cause))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What squid says of it (`X-Squid-Error`).
        cause: Option<String>,
    },
    /// Ask whoever runs the proxy.
    #[error("it refused: {0}")]
    Socks(&'static str),
    /// It is no proxy of that kind.
    #[error("its answer makes no sense: is it a proxy of that kind?")]
    Nonsense,
}

fn because(cause: &Option<String>) -> String {
    cause
        .as_ref()
        .map_or_else(String::new, |cause| format!(" ({cause})"))
}

impl From<io::Error> for ProxyTrouble {
    fn from(error: io::Error) -> Self {
        Self::Silent(error.to_string())
    }
}

impl fmt::Display for Proxy {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            Protocol::Http => "http",
            Protocol::Socks5 => "socks5",
        };
        write!(f, "{scheme}://{}", authority(&self.host, self.port))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Proxy {
    /// A connection to the target through the proxy.
    pub(super) async fn connect(&self, target: Target<'_>) -> Result<TcpStream, ProxyTrouble> {
        let mut tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        match self.kind {
            Protocol::Http => self.ask_http(&mut tcp, target).await?,
            Protocol::Socks5 => self.ask_socks(&mut tcp, target).await?,
        }
        Ok(tcp)
    }

    async fn ask_http(&self, tcp: &mut TcpStream, target: Target<'_>) -> Result<(), ProxyTrouble> {
        let place = if target.is_stranger {
            authority(&target.ip.to_canonical().to_string(), target.port)
        } else {
            authority(target.host, target.port)
        };
        let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
        if let Some((user, password)) = &self.password {
            let basic = BASE64.encode(format!("{user}:{password}").as_bytes());
            request += &format!("Proxy-Authorization: Basic {basic}\r\n");
        }
        request += "\r\n";
        tcp.write_all(request.as_bytes()).await?;
        let head = read_head(tcp).await?;
        let head = String::from_utf8_lossy(&head);
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let is_http = words
            .next()
            .is_some_and(|version| version.starts_with("HTTP/1."));
        let status: u16 = words
            .next()
            .filter(|_| is_http)
            .and_then(|status| status.parse().ok())
            .ok_or(ProxyTrouble::Nonsense)?;
        let squid = lines.filter_map(|line| line.split_once(':'));
        let mut squid = squid.filter(|(name, _)| name.eq_ignore_ascii_case("x-squid-error"));
        match status {
            200..300 => Ok(()),
            // tinyproxy says 401 where 407 is meant.
            401 | 407 => Err(ProxyTrouble::Password),
            _ => Err(ProxyTrouble::Refused {
                status,
                cause: squid.next().map(|(_, cause)| plain(cause)),
            }),
        }
    }

    async fn ask_socks(&self, tcp: &mut TcpStream, target: Target<'_>) -> Result<(), ProxyTrouble> {
        const VERSION: u8 = 5;
        const OPEN: u8 = 0;
        const BY_PASSWORD: u8 = 2;
        let methods = if self.password.is_some() {
            &[VERSION, 2, OPEN, BY_PASSWORD][..]
        } else {
            &[VERSION, 1, OPEN]
        };
        tcp.write_all(methods).await?;
        let mut chosen = [0; 2];
        tcp.read_exact(&mut chosen).await?;
        match (chosen, &self.password) {
            ([VERSION, OPEN], _) => {}
            ([VERSION, BY_PASSWORD], Some((user, password))) => {
                let mut asked = vec![1];
                for word in [user, password] {
                    let len = u8::try_from(word.len()).map_err(|_| ProxyTrouble::Password)?;
                    asked.push(len);
                    asked.extend_from_slice(word.as_bytes());
                }
                tcp.write_all(&asked).await?;
                let mut answer = [0; 2];
                tcp.read_exact(&mut answer).await?;
                if answer[1] != 0 {
                    return Err(ProxyTrouble::Password);
                }
            }
            ([VERSION, _], _) => return Err(ProxyTrouble::Password),
            _ => return Err(ProxyTrouble::Nonsense),
        }
        let mut request = vec![VERSION, 1, 0];
        match target.ip.to_canonical() {
            // The name does not resolve here. Otherwise addresses are better, as a name may hold up a proxy.
            ip if ip.is_unspecified() => {
                let len = u8::try_from(target.host.len()).map_err(|_| ProxyTrouble::Nonsense)?;
                request.extend_from_slice(&[3, len]);
                request.extend_from_slice(target.host.as_bytes());
            }
            IpAddr::V4(ip) => {
                request.push(1);
                request.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                request.push(4);
                request.extend_from_slice(&ip.octets());
            }
        }
        request.extend_from_slice(&target.port.to_be_bytes());
        tcp.write_all(&request).await?;
        let mut answer = [0; 4];
        if let Err(error) = tcp.read_exact(&mut answer).await {
            return Err(if error.kind() == ErrorKind::UnexpectedEof {
                ProxyTrouble::Socks(HUNG_UP)
            } else {
                error.into()
            });
        }
        let [VERSION, reply, _, kind] = answer else {
            return Err(ProxyTrouble::Nonsense);
        };
        let bound = match kind {
            1 => 4,
            4 => 16,
            3 => usize::from(tcp.read_u8().await?),
            _ => return Err(ProxyTrouble::Nonsense),
        };
        let mut rest = vec![0; bound + 2];
        match reply {
            0 => tcp.read_exact(&mut rest).await.map(drop)?,
            _ => return Err(ProxyTrouble::Socks(socks_words(reply))),
        }
        Ok(())
    }
}

/// What `ssh -D` of OpenSSH 9.2 does in place of an answer.
const HUNG_UP: &str =
    "it took the request and hung up, as that of ssh does where it cannot reach the relay's port";

/// RFC 1928 section 6.
fn socks_words(reply: u8) -> &'static str {
    match reply {
        2 => "its rules do not allow it",
        3 => "it has no route to the relay's network",
        4 => "it cannot reach the relay's host",
        5 => "the relay's host refused the connection",
        6 => "the relay's host did not answer it in time",
        8 => "it does not know this kind of address",
        _ => "it failed",
    }
}

/// Reads up to the empty line and no further: the next byte is the tunnel's.
async fn read_head(tcp: &mut TcpStream) -> Result<Vec<u8>, ProxyTrouble> {
    let mut head = Vec::new();
    let mut ahead = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_HEAD {
            return Err(ProxyTrouble::Nonsense);
        }
        let len = tcp.peek(&mut ahead).await?;
        if len == 0 {
            return Err(ProxyTrouble::Silent("it closed the connection".to_owned()));
        }
        let before = head.len();
        for byte in ahead.iter().take(len) {
            head.push(*byte);
            if head.ends_with(b"\r\n\r\n") {
                break;
            }
        }
        let mut taken = vec![0; head.len() - before];
        tcp.read_exact(&mut taken).await?;
    }
    Ok(head)
}

/// A host and port, an IPv6 address in brackets.
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// A header of a stranger's, fit for a screen.
fn plain(text: &str) -> String {
    let printable = text
        .trim()
        .chars()
        .filter(|c| c.is_ascii_graphic() || *c == ' ');
    printable.take(80).collect()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn target(host: &str) -> Target<'_> {
        Target {
            host,
            port: 4433,
            ip: (host.parse()).unwrap_or_else(|_| [198, 51, 100, 1].into()),
            is_stranger: false,
        }
    }

    /// What comes of it if the proxy reads a request that ends like this, and answers like that.
    async fn answered(
        url: &str,
        exchange: &[(&'static [u8], &'static [u8])],
    ) -> (Result<Vec<u8>, ProxyTrouble>, Vec<u8>) {
        asked_for(target("2001:db8::7"), url, exchange).await
    }

    async fn asked_for(
        target: Target<'_>,
        url: &str,
        exchange: &[(&'static [u8], &'static [u8])],
    ) -> (Result<Vec<u8>, ProxyTrouble>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let proxy = Proxy::parse(&url.replace("PROXY", &addr)).unwrap();
        let serve = async {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut heard = Vec::new();
            for (end, answer) in exchange {
                while !heard.ends_with(end) {
                    heard.push(tcp.read_u8().await.unwrap());
                }
                tcp.write_all(answer).await.unwrap();
            }
            heard
        };
        let connect = async {
            let mut tcp = proxy.connect(target).await?;
            let mut rest = Vec::new();
            tcp.read_to_end(&mut rest).await?;
            Ok(rest)
        };
        let (connected, heard) = tokio::join!(connect, serve);
        (connected, heard)
    }

    #[tokio::test]
    async fn an_http_proxy_is_asked_once_and_what_comes_behind_its_answer_is_the_relays() {
        let ok = b"HTTP/1.0 200 Connection established\r\nProxy-agent: tinyproxy\r\n\r\nrelay";
        let (rest, heard) = answered("http://me:secret@PROXY", &[(b"\r\n\r\n", ok)]).await;
        assert_eq!(rest.unwrap(), b"relay");
        let heard = String::from_utf8(heard).unwrap();
        assert!(
            heard
                .starts_with("CONNECT [2001:db8::7]:4433 HTTP/1.1\r\nHost: [2001:db8::7]:4433\r\n")
        );
        assert!(
            heard.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"),
            "{heard}"
        );
    }

    #[tokio::test]
    async fn an_http_proxy_is_asked_for_the_address_of_a_relay_that_others_named() {
        for (is_stranger, expected) in [
            (true, "CONNECT 198.51.100.1:4433 "),
            (false, "CONNECT relay.example.org:4433 "),
        ] {
            let named = Target {
                is_stranger,
                ..target("relay.example.org")
            };
            let exchange: [(&[u8], &[u8]); 1] = [(b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nr")];
            let (rest, heard) = asked_for(named, "http://PROXY", &exchange).await;
            assert_eq!(rest.unwrap(), b"r");
            let heard = String::from_utf8(heard).unwrap();
            assert!(heard.starts_with(expected), "{heard}");
        }
    }

    #[tokio::test]
    async fn what_an_http_proxy_has_against_it_is_told() {
        for (answer, expected) in [
            (
                &b"HTTP/1.1 403 Forbidden\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\n\r\n<html>"[..],
                "it refused with status 403 (ERR_ACCESS_DENIED 0)",
            ),
            (
                b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
                "it refused with status 502",
            ),
            (
                b"HTTP/1.0 401 Unauthorized\r\n\r\n",
                "it did not accept the password",
            ),
            (
                b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
                "it did not accept the password",
            ),
            (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "its answer makes no sense"),
            (b"", "it does not answer: it closed the connection"),
        ] {
            let (refused, _) = answered("http://PROXY", &[(b"\r\n\r\n", answer)]).await;
            let refused = refused.unwrap_err().to_string();
            assert!(refused.starts_with(expected), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_socks_proxy_is_given_the_password_and_the_address() {
        let exchange: [(&[u8], &[u8]); 3] = [
            (&[5, 2, 0, 2], &[5, 2]),
            (&[1, 2, b'm', b'e', 1, b'x'], &[1, 0]),
            (&[0x11, 0x51], &[5, 0, 0, 1, 127, 0, 0, 1, 0, 9, b'r']),
        ];
        let (rest, heard) = answered("socks5://me:x@PROXY", &exchange).await;
        assert_eq!(rest.unwrap(), b"r");
        let ip: std::net::Ipv6Addr = "2001:db8::7".parse().unwrap();
        assert!(heard.windows(16).any(|bytes| bytes == ip.octets()));
        for (answer, expected) in [
            (
                &[5, 5, 0, 1, 0, 0, 0, 0, 0, 0][..],
                "it refused: the relay's host refused the connection",
            ),
            (
                &[5, 2, 0, 1, 0, 0, 0, 0, 0, 0],
                "it refused: its rules do not allow it",
            ),
            (&[4, 91, 0, 0], "its answer makes no sense"),
            // The proxy of ssh answers nothing that it cannot carry out.
            (&[], "it refused: it took the request and hung up"),
        ] {
            let exchange = [(&[5, 1, 0][..], &[5, 0][..]), (&[0x11, 0x51], answer)];
            let (refused, _) = answered("socks5://PROXY", &exchange).await;
            let refused = refused.unwrap_err().to_string();
            assert!(refused.starts_with(expected), "{refused}");
        }
        let by_name = Target {
            ip: [0, 0, 0, 0].into(),
            ..target("relay.example.org")
        };
        let exchange: [(&[u8], &[u8]); 2] = [
            (&[5, 1, 0], &[5, 0]),
            (&[0x11, 0x51], &[5, 0, 0, 3, 1, b'x', 0, 9, b'r']),
        ];
        let (rest, heard) = asked_for(by_name, "socks5://PROXY", &exchange).await;
        assert_eq!(rest.unwrap(), b"r");
        assert!(heard.windows(18).any(|it| it == b"\x11relay.example.org"));
        let (refused, _) = answered("socks5://PROXY", &[(&[5, 1, 0], &[5, 0xff])]).await;
        assert_eq!(refused.unwrap_err(), ProxyTrouble::Password);
    }
}
