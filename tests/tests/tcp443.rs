//! Homes whose network drops UDP meet everybody through a relay over TCP; real kernel NATs.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is all test code"
)]

use std::{
    fmt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use peerway::{
    Carrier, Cause, Connection, Endpoint, LinkStatus, PathInfo, RelaySnapshot, RelayState,
    RelayUrl, SecretKey, Side,
};
use peerway_lab::{self as lab, Bottleneck, Fault, Home, Lab, Line, NatKind};
use peerway_relay::{Config, Relay};
use peerway_tests::{PROGRAMS, pair};
use tokio::time::timeout;

const ALPN: &[u8] = b"tcp443/1";
const BUDGET: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(60);
/// 40 ms to the relay and back, 80 ms between homes.
const FAR: Line = Line::delayed(Duration::from_millis(20));
/// Dials of each pair in each role.
const USUAL_RUNS: usize = 1;
/// Bytes by which bulk is measured.
const BULK: usize = 24 << 20;

#[test]
fn homes_without_udp_meet_everybody() {
    let kinds = [
        NatKind::Public,
        NatKind::FullCone,
        NatKind::AddressRestricted,
        NatKind::PortRestricted,
        NatKind::Symmetric,
        NatKind::DoubleNat,
        NatKind::ShortTimeout,
        NatKind::SymmetricUpnp,
        NatKind::Blocked,
    ];
    lab::test(BUDGET, |mut lab| {
        let relay = pair::relay(&lab);
        let blocked = lab.home_on("blocked", NatKind::Blocked, FAR).unwrap();
        for (at, kind) in kinds.into_iter().enumerate() {
            let other = lab.home_on(&format!("h{at}"), kind, FAR).unwrap();
            for _ in 0..pair::runs(USUAL_RUNS) {
                for (from, to) in [(&blocked, &other), (&other, &blocked)] {
                    let meeting = Meeting::of(from, to, &relay);
                    println!("{} to {}: {meeting}", from.access(), to.access());
                    meeting.ends();
                }
            }
        }
    });
}

#[test]
fn a_link_over_tcp_says_why_and_moves_to_udp_and_back_within_its_time() {
    lab::test(BUDGET, |mut lab| {
        let relay = pair::relay(&lab);
        let near = lab.home_on("near", NatKind::Symmetric, FAR).unwrap();
        let far = lab.home_on("far", NatKind::Symmetric, FAR).unwrap();
        lab.begin(Fault::NoUdp(&near)).unwrap();
        let meeting = Meeting::of(&near, &far, &relay);
        assert_eq!(meeting.carriers(), [Carrier::Tcp, Carrier::Udp]);
        let why = meeting.near.0.watch_status();
        near.block_on(settled(why, |status| {
            status
                .why
                .as_ref()
                .is_some_and(|why| why.cause == Cause::UdpBlocked { side: Side::Here })
        }));
        let said = meeting.near.0.status().why.unwrap();
        let said = format!("{}: {}", said.line(), said.paragraph());
        println!("{said}");
        assert!(
            said.contains("UDP is blocked on this network: relayed over TCP 4433"),
            "{said}"
        );

        for (blocked, limit) in [(false, 60), (true, 3), (false, 60)] {
            let change = if blocked { Lab::begin } else { Lab::end };
            change(&lab, Fault::NoUdp(&near)).unwrap();
            let began = Instant::now();
            let expected = if blocked { Carrier::Tcp } else { Carrier::Udp };
            let gap = meeting.longest_gap_until(|| meeting.carriers()[0] == expected);
            println!(
                "over {expected:?} after {:?}, longest gap {gap:?}",
                began.elapsed()
            );
            assert!(began.elapsed() < Duration::from_secs(limit), "{expected:?}");
        }
        meeting.ends();
    });
}

#[test]
fn a_home_without_udp_and_a_public_one_go_direct() {
    lab::test(BUDGET, |mut lab| {
        let relay = pair::relay(&lab);
        let near = lab.home_on("near", NatKind::Blocked, FAR).unwrap();
        let far = lab.home_on("far", NatKind::Public, FAR).unwrap();
        for (from, to) in [(&near, &far), (&far, &near)] {
            let meeting = Meeting::of(from, to, &relay);
            let path = meeting.near.0.watch_status();
            from.block_on(settled(path, |status| {
                matches!(status.path, Some(PathInfo::Direct { tcp: true, .. }))
            }));
            meeting.ends();
        }
    });
}

#[test]
fn a_home_that_only_has_a_proxy_reaches_the_relay_through_it() {
    if missing("tinyproxy") {
        return;
    }
    lab::test(BUDGET, |mut lab| {
        let relay = pair::relay(&lab);
        let office = lab.home_on("office", NatKind::Blocked, FAR).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("tinyproxy.conf");
        let text =
            "Port 3128\nListen 127.0.0.1\nTimeout 600\nBasicAuth me secret\nConnectPort 4433\n";
        std::fs::write(&config, text).unwrap();
        let mut tinyproxy = office.command("tinyproxy");
        tinyproxy.arg("-d").arg("-c").arg(&config);
        tinyproxy.stdout(Stdio::null()).stderr(Stdio::null());
        let _proxy = Running(tinyproxy.spawn().unwrap());
        for (password, status) in [("secret", true), ("wrong", false)] {
            let mut peerway = office.command(&program("peerway"));
            peerway
                .args(["netcheck", "--json", "--relay", &relay.to_string()])
                .env(
                    "HTTPS_PROXY",
                    format!("http://me:{password}@127.0.0.1:3128"),
                )
                .env("HOME", folder.path());
            let output = peerway.output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            println!("{said}{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(output.status.success(), status);
            if status {
                assert!(said.contains(
                    r#""carrier":"tcp","tcp_port":4433,"proxy":"http://127.0.0.1:3128""#
                ));
            } else {
                assert!(said.contains(
                    "by the proxy http://127.0.0.1:3128: it did not accept the password"
                ));
            }
        }
    });
}

#[test]
fn where_only_port_443_is_let_out_a_relay_that_serves_it_is_found_there() {
    lab::test(BUDGET, |mut lab| {
        let host = lab.relay();
        let mut config = Config::new(
            (host.public_addr(), 4433).into(),
            SecretKey::generate().unwrap(),
        );
        config.tcp.as_mut().unwrap().bind = Some((host.public_addr(), 443).into());
        let relay = host.block_on(Relay::bind(config)).unwrap();
        let url = relay.url();
        let serving = host.spawn(async move { relay.run().await });
        let guest = lab.home_on("guest", NatKind::Blocked, FAR).unwrap();
        let rule = "-A OUTPUT -p tcp ! --dport 443 -j DROP";
        let dropped = guest.command("iptables").args(rule.split(' ')).status();
        assert!(dropped.unwrap().success());
        let (node, after) = online(&guest, &url);
        let relays = &node.snapshot().relays;
        println!("online after {after:?}: {relays:?}");
        assert_eq!(
            (relays[0].carrier, relays[0].tcp_port),
            (Some(Carrier::Tcp), Some(443))
        );
        guest.block_on(node.close());
        serving.abort();
    });
}

#[test]
fn a_relay_behind_nginx_is_reached_as_bytes() {
    lab::test(BUDGET, |lab| {
        assert_reached_behind_nginx(lab, "stream", STREAM)
    });
}

#[test]
fn a_relay_behind_nginx_is_reached_as_a_websocket() {
    lab::test(BUDGET, |lab| {
        assert_reached_behind_nginx(lab, "http", WEBSOCKET)
    });
}

fn assert_reached_behind_nginx(mut lab: Lab, name: &str, text: &str) {
    if missing("nginx") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "1", "-subj", "/CN=elsewhere", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    let host = lab.relay();
    let mut config = Config::new(
        ([127, 0, 0, 1], 4433).into(),
        SecretKey::generate().unwrap(),
    );
    config.public_host = Some(host.public_addr().to_string());
    config.tcp.as_mut().unwrap().trusted_proxies = vec![([127, 0, 0, 1]).into()];
    let relay = host.block_on(Relay::bind(config)).unwrap();
    let url = relay.url();
    let serving = host.spawn(async move { relay.run().await });
    let file = folder.path().join("nginx.conf");
    let text = text
        .replace("FOLDER", &folder.path().display().to_string())
        .replace("ADDR", &host.public_addr().to_string());
    std::fs::write(&file, text).unwrap();
    let mut nginx = host.command("nginx");
    nginx.arg("-c").arg(&file).arg("-p").arg(folder.path());
    let proxy = Running(nginx.spawn().unwrap());
    let home = lab.home_on(name, NatKind::Blocked, FAR).unwrap();
    let (node, after) = online(&home, &url);
    let relays = &node.snapshot().relays;
    println!("online after {after:?}: {relays:?}");
    assert_eq!(
        (relays[0].carrier, relays[0].tcp_port),
        (Some(Carrier::Tcp), Some(4433))
    );
    home.block_on(node.close());
    drop((serving, proxy));
}

#[test]
fn bulk_over_tcp_fills_the_line_and_what_is_sent_beside_it_stays_young() {
    lab::test(BUDGET, |mut lab| {
        let relay = pair::relay(&lab);
        let line = Line {
            bottleneck: Some(Bottleneck {
                rate: 20_000_000,
                queue: 125_000,
            }),
            ..FAR
        };
        let near = lab.home_on("near", NatKind::Blocked, line).unwrap();
        let far = lab.home_on("far", NatKind::Blocked, FAR).unwrap();
        let meeting = Meeting::of(&near, &far, &relay);
        let alone = near.block_on(async {
            answered(&meeting.near.1).await;
            let asked = Instant::now();
            answered(&meeting.near.1).await;
            asked.elapsed()
        });
        let (a, b) = (meeting.near.0.clone(), meeting.far.clone());
        let taken = far.spawn(async move {
            let mut receive = b.accept_uni().await.unwrap();
            let (mut buffer, mut bytes) = (vec![0; 65536], 0);
            let mut measured = None;
            while let Ok(Some(len)) = receive.read(&mut buffer).await {
                let (from, before) = *measured.get_or_insert_with(|| (Instant::now(), bytes));
                bytes += len;
                if bytes > BULK {
                    return (bytes - before) as f64 * 8.0 / from.elapsed().as_secs_f64() / 1e6;
                }
            }
            0.0
        });
        near.spawn(async move {
            let mut send = a.open_uni().await.unwrap();
            while send.write_all(&[7; 65536]).await.is_ok() {}
        });
        let mut ages: Vec<Duration> = Vec::new();
        let rate = near.block_on(async {
            while !taken.is_finished() {
                let asked = Instant::now();
                answered(&meeting.near.1).await;
                ages.push(asked.elapsed());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            taken.await.unwrap()
        });
        ages.sort();
        let (median, p95) = (ages[ages.len() / 2], ages[ages.len() * 95 / 100]);
        println!(
            "{rate:.1} of 20 Mbit/s; replies after {median:.0?}, 95 % within {p95:.0?}, alone after {alone:.0?}"
        );
        // The figures are for a quiet computer; a lane that collapses is far from both.
        assert!(rate > 12.0, "{rate}");
        assert!(median < alone + Duration::from_millis(100), "{median:?}");
        meeting.ends();
    });
}

/// Two nodes that met.
struct Meeting<'a> {
    homes: [&'a Home; 2],
    nodes: [Endpoint; 2],
    near: (Connection, Echo),
    far: Connection,
    online: [Duration; 2],
    reply: Duration,
}

/// The dialler's side of a stream whose other end sends everything back.
type Echo = tokio::sync::Mutex<(peerway::SendStream, peerway::RecvStream)>;

impl<'a> Meeting<'a> {
    /// Starts both nodes, dials, and takes a first reply.
    fn of(from: &'a Home, to: &'a Home, relay: &RelayUrl) -> Self {
        let (called, called_online) = online(to, relay);
        let (caller, caller_online) = online(from, relay);
        let accepting = called.clone();
        let accepted = to.spawn(async move {
            let connection = accepting.accept().await.unwrap();
            let (mut send, mut receive) = connection.accept_bi().await.unwrap();
            let echoing = connection.clone();
            tokio::spawn(async move {
                let mut byte = [0];
                while receive.read_exact(&mut byte).await.is_ok() {
                    if send.write_all(&byte).await.is_err() {
                        return;
                    }
                }
                drop(echoing);
            });
            connection
        });
        let began = Instant::now();
        let ticket = called.ticket();
        let dialling = caller.clone();
        let near = from.block_on(async move {
            let connection = timeout(PATIENCE, dialling.connect(ticket, ALPN))
                .await
                .unwrap()
                .unwrap();
            let (send, receive) = connection.open_bi().await.unwrap();
            let echo = Echo::new((send, receive));
            answered(&echo).await;
            (connection, echo)
        });
        let reply = began.elapsed();
        Self {
            homes: [from, to],
            nodes: [caller, called],
            near,
            far: to.block_on(accepted).unwrap(),
            online: [caller_online, called_online],
            reply,
        }
    }

    /// By what both reach the relay.
    fn carriers(&self) -> [Carrier; 2] {
        self.nodes.each_ref().map(|node| {
            let relays = &node.snapshot().relays;
            relays[0].carrier.unwrap_or(Carrier::Unknown)
        })
    }

    /// Asks for replies until something is so, and says how long the longest of them took.
    fn longest_gap_until(&self, so: impl Fn() -> bool + Sync) -> Duration {
        self.homes[0].block_on(async {
            let mut longest = Duration::ZERO;
            let began = Instant::now();
            loop {
                let asked = Instant::now();
                answered(&self.near.1).await;
                longest = longest.max(asked.elapsed());
                if so() {
                    return longest;
                }
                assert!(began.elapsed() < 2 * PATIENCE, "it never is so");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
    }

    fn ends(self) {
        self.far.close(0, b"");
        for (home, node) in self.homes.into_iter().zip(&self.nodes) {
            home.block_on(node.close());
        }
    }
}

impl fmt::Display for Meeting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [caller, called] = self.online;
        let carriers = self.carriers();
        let reply = self.reply;
        write!(
            f,
            "online after {caller:.0?} and {called:.0?} over {carriers:?}, first reply after {reply:.0?}"
        )
    }
}

/// Has a byte sent back.
async fn answered(echo: &Echo) {
    let mut streams = echo.lock().await;
    let (send, receive) = &mut *streams;
    timeout(PATIENCE, async {
        send.write_all(&[7]).await.unwrap();
        receive.read_exact(&mut [0]).await.unwrap();
    })
    .await
    .expect("an answer");
}

async fn settled(
    mut watch: tokio::sync::watch::Receiver<LinkStatus>,
    so: impl FnMut(&LinkStatus) -> bool,
) {
    let found = timeout(PATIENCE, watch.wait_for(so)).await.is_ok();
    assert!(found, "{:?}", *watch.borrow());
}

/// A node, and how long it took to be registered with the relay.
fn online(home: &Home, relay: &RelayUrl) -> (Endpoint, Duration) {
    let builder = Endpoint::builder()
        .relays([relay.clone()])
        .alpns([ALPN])
        .port_mapping(home.access().ipv4 == Some(NatKind::SymmetricUpnp));
    home.block_on(async {
        let began = Instant::now();
        let node = builder.bind().await.unwrap();
        let mut snapshots = node.snapshots();
        let is_up = |relay: &RelaySnapshot| relay.state == RelayState::Up;
        let up = snapshots.wait_for(|snapshot| snapshot.relays.iter().any(is_up));
        timeout(PATIENCE, up).await.unwrap().unwrap();
        (node, began.elapsed())
    })
}

const STREAM: &str = "
daemon off; master_process off; user root; pid FOLDER/pid; error_log FOLDER/error.log;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
events {}
stream { server { listen ADDR:4433; proxy_protocol on; proxy_pass 127.0.0.1:4433; } }
";

const WEBSOCKET: &str = "
daemon off; master_process off; user root; pid FOLDER/pid; error_log FOLDER/error.log;
events {}
http {
    access_log off;
    client_body_temp_path FOLDER/b; proxy_temp_path FOLDER/p; fastcgi_temp_path FOLDER/f;
    uwsgi_temp_path FOLDER/u; scgi_temp_path FOLDER/s;
    server {
        listen ADDR:4433 ssl;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate FOLDER/cert.pem; ssl_certificate_key FOLDER/key.pem;
        location / {
            proxy_pass http://127.0.0.1:4433;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }
    }
}
";

/// A program that is ended with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Says so if a program that Debian has is not installed.
fn missing(program: &str) -> bool {
    let found = ["/usr/bin", "/usr/sbin"]
        .iter()
        .any(|folder| Path::new(folder).join(program).exists());
    if !found {
        println!("skipped: {program} is not installed");
    }
    !found
}

fn program(name: &str) -> String {
    PROGRAMS.join(name).display().to_string()
}
