//! Where a client is that came through a reverse proxy which is believed.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::{io::AsyncReadExt, net::TcpStream};

const SIGNATURE: &[u8] = b"PROXY ";
/// The longest line of the PROXY protocol, version 1.
const MAX_LINE: usize = 107;

/// Takes the line that a proxy writes before everything else, if it writes one: `PROXY TCP4 192.0.2.1 192.0.2.2 5000 443`.
///
/// # Errors
/// The system's; also where a line begins that is none.
pub(super) async fn from_proxy_line(tcp: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut first = [0];
    if tcp.peek(&mut first).await? == 0 || !SIGNATURE.starts_with(&first) {
        return Ok(None);
    }
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        if line.len() >= MAX_LINE
            || !SIGNATURE.starts_with(&line[..line.len().min(SIGNATURE.len())])
        {
            return Err(io::Error::other("a PROXY line was expected"));
        }
        line.push(tcp.read_u8().await?);
    }
    let line = String::from_utf8_lossy(&line);
    let mut words = line.split_ascii_whitespace().skip(2);
    let (ip, port) = (words.next(), words.nth(1));
    Ok(ip
        .zip(port)
        .and_then(|(ip, port)| Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))))
}

/// The last address of an `X-Forwarded-For`: those before it are what the client says.
pub(super) fn forwarded_for(value: &[u8]) -> Option<IpAddr> {
    let value = std::str::from_utf8(value).ok()?;
    let last = value.rsplit(',').next()?.trim();
    let bare = last.trim_start_matches('[').trim_end_matches(']');
    let addr = || last.parse().map(|addr: SocketAddr| addr.ip());
    bare.parse().or_else(|_| addr()).ok()
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    #[test]
    fn only_the_last_proxys_word_counts() {
        let said = |text: &str| forwarded_for(text.as_bytes()).map(|ip| ip.to_string());
        assert_eq!(
            said("198.51.100.7, 192.0.2.1").as_deref(),
            Some("192.0.2.1")
        );
        assert_eq!(said("2001:db8::1").as_deref(), Some("2001:db8::1"));
        assert_eq!(said("[2001:db8::1]").as_deref(), Some("2001:db8::1"));
        assert_eq!(said("192.0.2.1:999").as_deref(), Some("192.0.2.1"));
        assert_eq!(said("192.0.2.1, unknown"), None);
    }

    #[tokio::test]
    async fn a_proxy_line_is_taken_and_nothing_behind_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        for (sent, expected, rest) in [
            (
                "PROXY TCP4 192.0.2.1 127.0.0.1 5000 443\r\nrest",
                Some("192.0.2.1:5000"),
                "rest",
            ),
            ("PROXY UNKNOWN\r\nrest", None, "rest"),
            ("GET / HTTP/1.1\r\n", None, "GET / HTTP/1.1\r\n"),
        ] {
            let mut client = TcpStream::connect(addr).await.unwrap();
            client.write_all(sent.as_bytes()).await.unwrap();
            client.shutdown().await.unwrap();
            let (mut tcp, _) = listener.accept().await.unwrap();
            let found = from_proxy_line(&mut tcp).await.unwrap();
            assert_eq!(found, expected.map(|addr| addr.parse().unwrap()));
            let mut left = String::new();
            tcp.read_to_string(&mut left).await.unwrap();
            assert_eq!(left, rest);
        }
        let mut client = TcpStream::connect(addr).await.unwrap();
        client
            .write_all(&[b"PROXY ", &[b'x'; 200][..]].concat())
            .await
            .unwrap();
        let (mut tcp, _) = listener.accept().await.unwrap();
        from_proxy_line(&mut tcp).await.unwrap_err();
    }
}
