//! A home router on a loopback address of its own, which grants ports and remembers what it was asked.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
    task::JoinSet,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Map(u16),
    Unmap(u16),
}

pub(super) struct Router {
    ip: IpAddr,
    /// Bound from the start, so that UPnP searches are not refused but unanswered where it is not served.
    ssdp: Arc<UdpSocket>,
    /// Where UPnP is served.
    location: Option<SocketAddr>,
    state: Arc<State>,
    services: JoinSet<()>,
}

struct State {
    outside: Mutex<Ipv4Addr>,
    asked: watch::Sender<Vec<Asked>>,
    nonces: Mutex<Vec<Vec<u8>>>,
    /// The longest lease it grants by PCP and NAT-PMP, and the lifetimes that it was asked for, seconds.
    longest: Mutex<u32>,
    lifetimes: Mutex<Vec<u32>>,
}

impl Router {
    /// The port of PCP is given, so every router needs an address that no other test and no other run of the tests has.
    pub(super) async fn new(number: u8) -> Self {
        let [.., high, low] = std::process::id().to_be_bytes();
        let ip = IpAddr::from([127, 64 + number, high, low]);
        Self {
            ip,
            ssdp: Arc::new(UdpSocket::bind((ip, 0)).await.unwrap()),
            location: None,
            state: Arc::new(State {
                outside: Mutex::new(Ipv4Addr::new(100, 64, 0, 9)),
                asked: watch::Sender::default(),
                nonces: Mutex::default(),
                longest: Mutex::new(u32::MAX),
                lifetimes: Mutex::default(),
            }),
            services: JoinSet::new(),
        }
    }

    pub(super) fn ip(&self) -> IpAddr {
        self.ip
    }

    pub(super) fn ssdp(&self) -> SocketAddr {
        self.ssdp.local_addr().unwrap()
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.state.asked.borrow().clone()
    }

    /// By which PCP clients it was asked.
    pub(super) fn nonces(&self) -> Vec<Vec<u8>> {
        self.state.nonces.lock().unwrap().clone()
    }

    pub(super) fn grant_at_most(&self, seconds: u32) {
        *self.state.longest.lock().unwrap() = seconds;
    }

    pub(super) fn lifetimes(&self) -> Vec<u32> {
        self.state.lifetimes.lock().unwrap().clone()
    }

    /// Tells everybody by PCP what its clock shows.
    pub(super) async fn announce(&self, seconds: u32) {
        let mut announcement = [0; 24];
        announcement[..2].copy_from_slice(&[2, 128]);
        announcement[8..12].copy_from_slice(&seconds.to_be_bytes());
        let socket = UdpSocket::bind((self.ip, 0)).await.unwrap();
        socket
            .send_to(&announcement, (self.ip, 5350))
            .await
            .unwrap();
    }

    /// Serves nothing any more.
    pub(super) async fn end(&mut self) {
        self.services.shutdown().await;
    }

    pub(super) async fn wait_for(&self, requests: usize) {
        let mut asked = self.state.asked.subscribe();
        asked
            .wait_for(|asked| asked.len() >= requests)
            .await
            .unwrap();
    }

    pub(super) fn move_outside(&self, ip: &str) {
        *self.state.outside.lock().unwrap() = ip.parse().unwrap();
    }

    pub(super) fn serve_pcp(&mut self) {
        self.serve_port_control(State::answer_pcp);
    }

    pub(super) fn serve_nat_pmp(&mut self) {
        self.serve_port_control(State::answer_nat_pmp);
    }

    /// Answers searches at the port that is meant for them, as miniupnpd does, and no longer at its part of the group.
    pub(super) async fn serve_unicast_search(&mut self) {
        self.ssdp = Arc::new(UdpSocket::bind((self.ip, 1900)).await.unwrap());
    }

    /// Answers a search that reached it some other way.
    pub(super) async fn answer_search(&self, searcher: SocketAddr) {
        answer_search(&self.ssdp, self.location.unwrap(), searcher).await;
    }

    /// With `refusal` the given UPnP error is the answer to requests for the given port; where that is what routers say who know
    /// only permanent leases, to those with another lifetime.
    pub(super) async fn serve_upnp(&mut self, refusal: Option<(u16, u16)>) {
        let (ssdp, state) = (self.ssdp.clone(), self.state.clone());
        let http = TcpListener::bind((self.ip, 0)).await.unwrap();
        let location = http.local_addr().unwrap();
        self.location = Some(location);
        self.services.spawn(async move {
            let mut buffer = [0; 1024];
            loop {
                tokio::select! {
                    search = ssdp.recv_from(&mut buffer) => {
                        answer_search(&ssdp, location, search.unwrap().1).await;
                    }
                    connection = http.accept() => state.answer_http(connection.unwrap().0, refusal).await,
                }
            }
        });
    }

    fn serve_port_control(&mut self, answer: fn(&State, &[u8]) -> Vec<u8>) {
        let (ip, state) = (self.ip, self.state.clone());
        self.services.spawn(async move {
            let socket = UdpSocket::bind((ip, crab_nat::GATEWAY_PORT)).await.unwrap();
            let mut buffer = [0; 1100];
            let mut last = None;
            let mut given = Vec::new();
            loop {
                let (size, source) = socket.recv_from(&mut buffer).await.unwrap();
                let asked = (source, buffer[..size].to_vec());
                // On a busy computer it may be asked a second time before its answer is heard.
                if last.as_ref() != Some(&asked) {
                    given = answer(&state, &asked.1);
                    last = Some(asked);
                }
                socket.send_to(&given, source).await.unwrap();
            }
        });
    }
}

impl State {
    fn outside(&self) -> Ipv4Addr {
        *self.outside.lock().unwrap()
    }

    fn remember(&self, asked: Asked) {
        self.asked.send_modify(|list| list.push(asked));
    }

    /// What it grants of a lifetime.
    fn lifetime(&self, asked: &[u8]) -> [u8; 4] {
        let asked = u32::from_be_bytes(asked.try_into().unwrap());
        if asked > 0 {
            self.lifetimes.lock().unwrap().push(asked);
        }
        asked.min(*self.longest.lock().unwrap()).to_be_bytes()
    }

    /// RFC 6887 sections 7 and 11.
    fn answer_pcp(&self, request: &[u8]) -> Vec<u8> {
        assert_eq!((request.len(), &request[..2]), (60, &[2, 1][..]));
        let port = u16::from_be_bytes([request[40], request[41]]);
        let granted = request[4..8] != [0; 4];
        self.nonces.lock().unwrap().push(request[24..36].to_vec());
        self.remember(if granted {
            Asked::Map(port)
        } else {
            Asked::Unmap(port)
        });
        let mut answer = vec![2, 0x81, 0, 0];
        answer.extend_from_slice(&self.lifetime(&request[4..8]));
        answer.extend_from_slice(&[0; 16]);
        answer.extend_from_slice(&request[24..44]);
        answer.extend_from_slice(&self.outside().to_ipv6_mapped().octets());
        answer
    }

    /// RFC 6886 sections 3.2, 3.3 and 3.5.
    fn answer_nat_pmp(&self, request: &[u8]) -> Vec<u8> {
        let epoch = [0, 0, 0, 9];
        match request {
            [0, 0] => [&[0, 128, 0, 0][..], &epoch, &self.outside().octets()].concat(),
            [0, 1, _, _, inside @ .., _, _, _, _, _, _] => {
                let port = u16::from_be_bytes([inside[0], inside[1]]);
                let granted = request[8..] != [0; 4];
                self.remember(if granted {
                    Asked::Map(port)
                } else {
                    Asked::Unmap(port)
                });
                let lifetime = self.lifetime(&request[8..]);
                [&[0, 129, 0, 0][..], &epoch, &request[4..8], &lifetime].concat()
            }
            _ => [&[0, request[1] | 0x80, 0, 1][..], &epoch].concat(),
        }
    }

    async fn answer_http(&self, connection: TcpStream, refusal: Option<(u16, u16)>) {
        let mut connection = BufReader::new(connection);
        let (mut head, mut length) = (String::new(), 0);
        while connection.read_line(&mut head).await.unwrap() > 2 {
            let last = head.lines().last().unwrap().to_ascii_lowercase();
            if let Some(value) = last.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body).await.unwrap();
        let (status, answer) = self.answer_soap(&head, &String::from_utf8(body).unwrap(), refusal);
        let answer = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        );
        connection.write_all(answer.as_bytes()).await.unwrap();
    }

    fn answer_soap(&self, head: &str, body: &str, refusal: Option<(u16, u16)>) -> (u16, String) {
        let envelope = |inner: &str| format!("<Envelope><Body>{inner}</Body></Envelope>");
        let port = || between(body, "<NewExternalPort>", "<").parse().unwrap();
        if head.starts_with("GET /device.xml") {
            return (200, DEVICE.to_owned());
        }
        if head.starts_with("GET /service.xml") {
            return (200, SERVICE.to_owned());
        }
        let permanent = body.contains("<NewLeaseDuration>0<");
        let permitted = |code| matches!(code, 402 | 725) && permanent;
        let action = between(head, "WANIPConnection:1#", "\"");
        match (action, refusal) {
            ("AddPortMapping", Some((code, refused))) if port() == refused && !permitted(code) => {
                let error =
                    format!("<errorCode>{code}</errorCode><errorDescription>no</errorDescription>");
                let fault =
                    format!("<Fault><detail><UPnPError>{error}</UPnPError></detail></Fault>");
                return (500, envelope(&fault));
            }
            ("AddPortMapping", _) => self.remember(Asked::Map(port())),
            ("DeletePortMapping", _) => self.remember(Asked::Unmap(port())),
            _ => {}
        }
        let outside = self.outside();
        let address = format!("<NewExternalIPAddress>{outside}</NewExternalIPAddress>");
        (
            200,
            envelope(&format!("<{action}Response>{address}</{action}Response>")),
        )
    }
}

async fn answer_search(ssdp: &UdpSocket, location: SocketAddr, searcher: SocketAddr) {
    let found = format!("HTTP/1.1 200 OK\r\nLOCATION: http://{location}/device.xml\r\n\r\n");
    ssdp.send_to(found.as_bytes(), searcher).await.unwrap();
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap();
    rest.split_once(after).unwrap().0
}

const DEVICE: &str = "<root><device><deviceList><device><deviceList><device><serviceList><service>\
    <serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
    <SCPDURL>/service.xml</SCPDURL><controlURL>/control</controlURL>\
    </service></serviceList></device></deviceList></device></deviceList></device></root>";

const SERVICE: &str = "<scpd><actionList>\
    <action><name>AddPortMapping</name><argumentList>\
    <argument><name>NewRemoteHost</name><direction>in</direction></argument>\
    <argument><name>NewExternalPort</name><direction>in</direction></argument>\
    <argument><name>NewProtocol</name><direction>in</direction></argument>\
    <argument><name>NewInternalPort</name><direction>in</direction></argument>\
    <argument><name>NewInternalClient</name><direction>in</direction></argument>\
    <argument><name>NewEnabled</name><direction>in</direction></argument>\
    <argument><name>NewPortMappingDescription</name><direction>in</direction></argument>\
    <argument><name>NewLeaseDuration</name><direction>in</direction></argument>\
    </argumentList></action>\
    <action><name>DeletePortMapping</name><argumentList>\
    <argument><name>NewRemoteHost</name><direction>in</direction></argument>\
    <argument><name>NewExternalPort</name><direction>in</direction></argument>\
    <argument><name>NewProtocol</name><direction>in</direction></argument>\
    </argumentList></action></actionList></scpd>";
