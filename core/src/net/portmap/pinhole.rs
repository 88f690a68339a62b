//! A hole in the router's IPv6 firewall (PCP MAP without translation, RFC 6887 section 11).
//!
//! Not by crab_nat, which lets the kernel choose the address it asks from: towards a router that is known by its link-local
//! address that is our link-local one, and the router opens holes only for the address that asks (section 8.1).

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6},
    time::Duration,
};

use tokio::{net::UdpSocket, time::timeout};

/// How long each question waits for its answer; after the last the router is taken to have no PCP. The first may have to find
/// the router's hardware address.
const WAITS: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1000),
    Duration::from_millis(2000),
];

const VERSION: u8 = 2;
const MAP: u8 = 1;
const RESPONSE: u8 = 0x80;
const UDP: u8 = 17;
const LEN: usize = 60;

/// What a router was asked to open: packets to this address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pinhole {
    router: SocketAddr,
    local: SocketAddrV6,
    /// Tells the router, when it is asked again, that it is us.
    nonce: [u8; 12],
}

/// What the router opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    /// What the address is outside; ours, unless the router translates all the same.
    pub(super) external: SocketAddr,
    /// Seconds.
    pub(super) lifetime: u32,
    /// The router's clock, in seconds.
    pub(super) epoch: u32,
}

/// Why the router opened nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PinholeError {
    #[error("cannot ask the router ({0}); check the IPv6 network")]
    Io(#[from] io::Error),
    #[error("the router does not answer; switch PCP on in it")]
    Silent,
    /// The result code of RFC 6887 section 7.4.
    #[error("the router refuses (PCP result {0}); allow it to open ports")]
    Refused(u8),
}

impl Pinhole {
    pub(super) fn new(router: SocketAddr, local: SocketAddrV6, nonce: [u8; 12]) -> Self {
        Self {
            router,
            local,
            nonce,
        }
    }

    /// Asks for the hole, or for its extension; a lifetime of 0 closes it.
    pub(super) async fn ask(&self, lifetime: u32) -> Result<Opened, PinholeError> {
        let socket = UdpSocket::bind((*self.local.ip(), 0)).await?;
        socket.connect(self.router).await?;
        let request = self.request(lifetime);
        for wait in WAITS {
            socket.send(&request).await?;
            if let Ok(answer) = timeout(wait, self.answer(&socket)).await {
                return answer;
            }
        }
        Err(PinholeError::Silent)
    }

    async fn answer(&self, socket: &UdpSocket) -> Result<Opened, PinholeError> {
        // The longest PCP message, section 7.
        let mut buffer = [0; 1100];
        loop {
            let len = socket.recv(&mut buffer).await?;
            if let Some(answer) = self.read(&buffer[..len]) {
                return answer.map_err(PinholeError::Refused);
            }
        }
    }

    /// Sections 7.1 and 11.1.
    fn request(&self, lifetime: u32) -> [u8; LEN] {
        let mut request = [0; LEN];
        request[..2].copy_from_slice(&[VERSION, MAP]);
        request[4..8].copy_from_slice(&lifetime.to_be_bytes());
        request[8..24].copy_from_slice(&self.local.ip().octets());
        request[24..36].copy_from_slice(&self.nonce);
        request[36] = UDP;
        let port = self.local.port().to_be_bytes();
        request[40..42].copy_from_slice(&port);
        request[42..44].copy_from_slice(&port);
        request
    }

    /// Sections 7.2 and 11.1; none if it answers something else.
    fn read(&self, answer: &[u8]) -> Option<Result<Opened, u8>> {
        let answer: &[u8; LEN] = answer.get(..LEN)?.try_into().ok()?;
        let ours = answer[..2] == [VERSION, RESPONSE | MAP]
            && answer[24..36] == self.nonce
            && answer[36] == UDP
            && answer[40..42] == self.local.port().to_be_bytes();
        if !ours {
            return None;
        }
        let [_, _, _, result, a, b, c, d, e, f, g, h, ..] = *answer;
        if result != 0 {
            return Some(Err(result));
        }
        let port = u16::from_be_bytes([answer[42], answer[43]]);
        let ip: [u8; 16] = answer[44..].try_into().ok()?;
        let external = SocketAddr::new(IpAddr::V6(Ipv6Addr::from(ip)), port);
        let lifetime = u32::from_be_bytes([a, b, c, d]);
        let epoch = u32::from_be_bytes([e, f, g, h]);
        Some(Ok(Opened {
            external,
            lifetime,
            epoch,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "[2a00:1::7]:41000";

    fn pinhole() -> Pinhole {
        Pinhole {
            router: "[fe80::1]:5351".parse().unwrap(),
            local: LOCAL.parse().unwrap(),
            nonce: *b"twelve bytes",
        }
    }

    fn towards(router: &UdpSocket) -> Pinhole {
        let local = "[::1]:41000".parse().unwrap();
        Pinhole::new(router.local_addr().unwrap(), local, *b"twelve bytes")
    }

    /// What a router says that grants what it is asked.
    fn grant(request: &[u8]) -> Vec<u8> {
        let mut answer = request.to_vec();
        answer[1] |= RESPONSE;
        answer[8..24].fill(0);
        answer[44..].copy_from_slice(&request[8..24]);
        answer
    }

    #[test]
    fn the_request_is_that_of_the_rfc() {
        let request = pinhole().request(7200);
        let mut expected = vec![2, 1, 0, 0, 0, 0, 0x1c, 0x20];
        expected.extend_from_slice(&[0x2a, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        expected.extend_from_slice(b"twelve bytes\x11\0\0\0\xa0\x28\xa0\x28");
        expected.extend_from_slice(&[0; 16]);
        assert_eq!(request[..], expected[..]);
    }

    #[test]
    fn a_grant_tells_the_address_and_how_long_it_is_open() {
        let answer = grant(&pinhole().request(600));
        let opened = Opened {
            external: LOCAL.parse().unwrap(),
            lifetime: 600,
            epoch: 0,
        };
        assert_eq!(pinhole().read(&answer), Some(Ok(opened)));
    }

    #[test]
    fn a_refusal_says_why() {
        let mut answer = grant(&pinhole().request(600));
        answer[3] = 2;
        assert_eq!(pinhole().read(&answer), Some(Err(2)));
    }

    #[test]
    fn answers_to_others_and_nonsense_are_overlooked() {
        let answer = grant(&pinhole().request(600));
        for at in [0, 1, 24, 35, 36, 40, 41] {
            let mut other = answer.clone();
            other[at] ^= 1;
            assert_eq!(pinhole().read(&other), None, "{at}");
        }
        for len in 0..LEN {
            assert_eq!(pinhole().read(&answer[..len]), None, "{len}");
        }
    }

    #[tokio::test]
    async fn a_router_that_answers_late_or_nonsense_first_is_understood() {
        let router = UdpSocket::bind("[::1]:0").await.unwrap();
        let pinhole = towards(&router);
        let serve = async {
            let mut buffer = [0; 1100];
            router.recv_from(&mut buffer).await.unwrap();
            let (len, client) = router.recv_from(&mut buffer).await.unwrap();
            router.send_to(b"nonsense", client).await.unwrap();
            router
                .send_to(&grant(&buffer[..len]), client)
                .await
                .unwrap();
        };
        let (opened, ()) = tokio::join!(pinhole.ask(7200), serve);
        assert_eq!(opened.unwrap().external, "[::1]:41000".parse().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_router_without_pcp_is_not_waited_for_long() {
        let router = UdpSocket::bind("[::1]:0").await.unwrap();
        let error = towards(&router).ask(7200).await.unwrap_err();
        assert!(matches!(error, PinholeError::Silent));
    }
}
