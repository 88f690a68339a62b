//! Options of the program, and what it prints.

mod action;
mod file;
mod log;

use std::{
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use clap::Parser;
use peerway_dht::{Directory, Entrance};
use peerway_proto::{PeerId, RelayUrl, SecretKey};
use peerway_relay::{Access, Certificate, Limits, Rate, Tcp, VolumeLimits};

pub(crate) use action::Action;
pub(crate) use file::OptionsError;
use log::{Log, LogFormat};

/// What changes while the relay runs.
const RELOADED: [&str; 8] = [
    "allow",
    "deny",
    "invited_only",
    "lane_rate",
    "client_rate",
    "pair_rate",
    "client_volume",
    "relay_volume",
];

/// Relay server for Peerway: peers find each other here, and send through it what they cannot send directly.
#[derive(Debug, Parser)]
#[command(name = "peerway-relay", version, subcommand_negates_reqs = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Option<Action>,

    /// File with options, in TOML; default: /etc/peerway/relay.toml if it is there
    #[arg(long, value_name = "FILE", env = "PEERWAY_RELAY_CONFIG")]
    config: Option<PathBuf>,

    /// UDP address to serve, as in 0.0.0.0:4433 or [::]:4433
    #[arg(long, env = "PEERWAY_RELAY_BIND", default_value = "0.0.0.0:4433", value_parser = parse_bind)]
    pub(crate) bind: SocketAddr,

    /// Folder for the relay's key, and for what is counted over months and whom it invited
    #[arg(
        long,
        value_name = "DIR",
        env = "PEERWAY_RELAY_STATE_DIR",
        required = true
    )]
    pub(crate) state_dir: Option<PathBuf>,

    /// Name or IP address under which clients reach the relay; default: its own address
    #[arg(long, value_name = "NAME_OR_IP", env = "PEERWAY_RELAY_HOST", value_parser = parse_host)]
    pub(crate) host: Option<String>,

    /// Second UDP port, for tests of the clients' NATs; 0 = any free one
    #[arg(
        long,
        value_name = "PORT",
        env = "PEERWAY_RELAY_STUN_PORT",
        default_value_t = 0
    )]
    pub(crate) stun_port: u16,

    /// Where to serve clients whose networks drop UDP: a TCP port, an address and a port, or "off"; default: as UDP
    #[arg(long, value_name = "PORT_OR_ADDR", env = "PEERWAY_RELAY_TCP", value_parser = parse_tcp)]
    pub(crate) tcp: Option<TcpBind>,

    /// Look nothing up in the Mainline DHT, and store nothing there, for clients whose networks drop UDP
    #[arg(long, env = "PEERWAY_RELAY_NO_DHT")]
    pub(crate) no_dht: bool,

    /// Node of a DHT of your own to begin with, as in 192.0.2.7:6881, in place of those that everybody begins with; may be repeated
    #[arg(
        long = "dht-node",
        value_name = "HOST:PORT",
        env = "PEERWAY_RELAY_DHT_NODE",
        value_delimiter = ','
    )]
    pub(crate) dht_node: Vec<String>,

    /// Certificate in PEM for whoever asks for one on the TCP port; Peerway needs none
    #[arg(
        long,
        value_name = "FILE",
        env = "PEERWAY_RELAY_TLS_CERT",
        requires = "tls_key"
    )]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The certificate's private key in PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "PEERWAY_RELAY_TLS_KEY",
        requires = "tls_cert"
    )]
    pub(crate) tls_key: Option<PathBuf>,

    /// Reverse proxies before the TCP port that are believed where a client is
    #[arg(
        long,
        value_name = "IP",
        env = "PEERWAY_RELAY_TRUSTED_PROXIES",
        value_delimiter = ','
    )]
    pub(crate) trusted_proxies: Vec<IpAddr>,

    /// Address and TCP port where monitoring gets /metrics (OpenMetrics), as in 127.0.0.1:9433; nowhere without it
    #[arg(
        long,
        value_name = "ADDR",
        env = "PEERWAY_RELAY_METRICS",
        value_parser = parse_bind
    )]
    pub(crate) metrics: Option<SocketAddr>,

    /// Keys of those who are served, and no others; everybody without it
    #[arg(
        long,
        value_name = "KEY",
        env = "PEERWAY_RELAY_ALLOW",
        value_delimiter = ','
    )]
    pub(crate) allow: Vec<PeerId>,

    /// Keys of those who are not served
    #[arg(
        long,
        value_name = "KEY",
        env = "PEERWAY_RELAY_DENY",
        value_delimiter = ','
    )]
    pub(crate) deny: Vec<PeerId>,

    /// Serve only those of --allow and whom `peerway-relay invite` let in, though nobody is allowed by key
    #[arg(long, env = "PEERWAY_RELAY_INVITED_ONLY")]
    pub(crate) invited_only: bool,

    /// What all clients together may send through the relay per second, shared out by network; as much as the line takes without it
    #[arg(long, value_name = "BYTES", env = "PEERWAY_RELAY_LANE_RATE")]
    pub(crate) lane_rate: Option<ByteCount>,

    /// What one client may send per second, as in 500k, 64M or 1G bytes
    #[arg(
        long,
        value_name = "BYTES",
        env = "PEERWAY_RELAY_CLIENT_RATE",
        default_value = "64M"
    )]
    pub(crate) client_rate: ByteCount,

    /// What two clients may send each other per second
    #[arg(
        long,
        value_name = "BYTES",
        env = "PEERWAY_RELAY_PAIR_RATE",
        default_value = "64M"
    )]
    pub(crate) pair_rate: ByteCount,

    /// What one client may send in a month of UTC, as in 500G or 2T bytes; as much as it likes without it
    #[arg(long, value_name = "BYTES", env = "PEERWAY_RELAY_CLIENT_VOLUME")]
    pub(crate) client_volume: Option<ByteCount>,

    /// What all clients together may send in a month; the line has it twice, in and out
    #[arg(long, value_name = "BYTES", env = "PEERWAY_RELAY_RELAY_VOLUME")]
    pub(crate) relay_volume: Option<ByteCount>,

    /// Clients in all; where there is no room, networks with many give way to those with fewer
    #[arg(
        long,
        value_name = "COUNT",
        env = "PEERWAY_RELAY_CLIENTS",
        default_value_t = Limits::default().clients,
        value_parser = parse_count
    )]
    pub(crate) clients: usize,

    /// Control connections from one IPv4 address or IPv6 /56 network
    #[arg(
        long,
        value_name = "COUNT",
        env = "PEERWAY_RELAY_CONNECTIONS_PER_IP",
        default_value_t = Limits::default().connections_per_ip,
        value_parser = parse_count
    )]
    pub(crate) connections_per_ip: usize,

    /// Print one JSON object per line on stdout
    #[arg(long, env = "PEERWAY_RELAY_JSON")]
    json: bool,

    /// What lines of the log look like
    #[arg(
        long,
        value_name = "FORMAT",
        env = "PEERWAY_RELAY_LOG_FORMAT",
        value_enum,
        default_value_t = LogFormat::Text
    )]
    log_format: LogFormat,

    /// Log more; twice: everything but single packets, three times: everything
    #[arg(short, long, action = clap::ArgAction::Count, env = "PEERWAY_RELAY_VERBOSE")]
    verbose: u8,
}

impl Options {
    pub(crate) fn start_logging(&self) -> io::Result<Log> {
        log::start(self.log_format, self.verbose)
    }

    /// The Mainline DHT, if it is used.
    pub(crate) fn directory(&self) -> Option<Directory> {
        if self.no_dht {
            return None;
        }
        Some(Directory::new(Entrance::at(self.dht_node.clone())))
    }

    /// How much one party may use.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            lane_rate: self.lane_rate.map(|rate| Rate::bytes_per_second(rate.0)),
            client_rate: Rate::bytes_per_second(self.client_rate.0),
            pair_rate: Rate::bytes_per_second(self.pair_rate.0),
            volumes: self.volumes(),
            clients: self.clients,
            connections_per_ip: self.connections_per_ip,
            ..Limits::default()
        }
    }

    /// What may be sent in a month.
    pub(crate) fn volumes(&self) -> VolumeLimits {
        VolumeLimits {
            client: self.client_volume.map(|volume| volume.0),
            relay: self.relay_volume.map(|volume| volume.0),
        }
    }

    /// Whom to serve.
    pub(crate) fn access(&self) -> Access {
        Access::new(self.allow.iter().copied(), self.deny.iter().copied())
            .invited_only(self.invited_only)
    }

    /// The options that are other than in `new` and hold until the program is started again.
    pub(crate) fn fixed_but_changed(&self, new: &Self) -> Vec<&'static str> {
        let changed = self.values().into_iter().zip(new.values());
        let changed = changed.filter(|(old, new)| old != new);
        let names = changed.map(|((name, _), _)| name);
        names.filter(|name| !RELOADED.contains(name)).collect()
    }

    /// Each option's key in the file and its value in words.
    fn values(&self) -> [(&'static str, String); 23] {
        [
            ("bind", format!("{:?}", self.bind)),
            ("state_dir", format!("{:?}", self.state_dir)),
            ("host", format!("{:?}", self.host)),
            ("stun_port", format!("{:?}", self.stun_port)),
            ("tcp", format!("{:?}", self.tcp)),
            ("no_dht", format!("{:?}", self.no_dht)),
            ("dht_node", format!("{:?}", self.dht_node)),
            ("tls_cert", format!("{:?}", self.tls_cert)),
            ("tls_key", format!("{:?}", self.tls_key)),
            ("trusted_proxies", format!("{:?}", self.trusted_proxies)),
            ("metrics", format!("{:?}", self.metrics)),
            ("allow", format!("{:?}", self.allow)),
            ("deny", format!("{:?}", self.deny)),
            ("invited_only", format!("{:?}", self.invited_only)),
            ("client_volume", format!("{:?}", self.client_volume)),
            ("relay_volume", format!("{:?}", self.relay_volume)),
            ("log_format", format!("{:?}", self.log_format)),
            ("lane_rate", format!("{:?}", self.lane_rate)),
            ("client_rate", format!("{:?}", self.client_rate)),
            ("pair_rate", format!("{:?}", self.pair_rate)),
            ("clients", format!("{:?}", self.clients)),
            (
                "connections_per_ip",
                format!("{:?}", self.connections_per_ip),
            ),
            (
                "json and verbose",
                format!("{:?}", (self.json, self.verbose)),
            ),
        ]
    }

    /// How to serve TCP, if at all.
    pub(crate) fn tcp(&self) -> Option<Tcp> {
        let bind = match self.tcp {
            None => None,
            Some(TcpBind::Off) => return None,
            Some(TcpBind::Port(port)) => Some(SocketAddr::new(self.bind.ip(), port)),
            Some(TcpBind::Addr(addr)) => Some(addr),
        };
        let files = self.tls_cert.clone().zip(self.tls_key.clone());
        Some(Tcp {
            bind,
            certificate: files.map(|(chain, key)| Certificate::new(chain, key)),
            trusted_proxies: self.trusted_proxies.clone(),
            room: None,
        })
    }

    /// The first line on stdout.
    pub(crate) fn announce(&self, url: &RelayUrl) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            let ready = serde_json::json!({ "event": "ready", "url": url });
            writeln!(out, "{ready}")?;
        } else {
            writeln!(
                out,
                "Relay is ready. Give this to its clients: --relay {url}"
            )?;
        }
        out.flush()
    }
}

/// Says on stderr why the program ends.
pub(crate) fn complain(cause: &dyn std::error::Error) {
    let _ = writeln!(io::stderr(), "error: {cause}");
}

/// A number of bytes with an optional unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteCount(pub(crate) u64);

impl FromStr for ByteCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, unit) = match text.as_bytes().last() {
            Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
            Some(b'M') => (&text[..text.len() - 1], 1 << 20),
            Some(b'G') => (&text[..text.len() - 1], 1 << 30),
            Some(b'T') => (&text[..text.len() - 1], 1 << 40),
            _ => (text, 1),
        };
        digits
            .parse::<u64>()
            .ok()
            .and_then(|count| count.checked_mul(unit))
            .filter(|count| *count > 0)
            .map(Self)
            .ok_or_else(|| "expected a number of bytes like 500000, 500k, 64M, 1G or 2T".to_owned())
    }
}

/// A number of bytes for people, in the units that [`ByteCount`] takes.
pub(crate) fn bytes(count: u64) -> String {
    let units = [
        (1_u64 << 40, "T"),
        (1 << 30, "G"),
        (1 << 20, "M"),
        (1 << 10, "k"),
    ];
    match units.iter().find(|(unit, _)| count >= *unit) {
        Some((unit, name)) => format!("{:.1}{name}", count as f64 / *unit as f64),
        None => count.to_string(),
    }
}

/// How many are served: a relay for nobody is a mistake.
fn parse_count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| "expected a whole number from 1".to_owned())
}

fn parse_bind(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "expected an IP address and a port, like 0.0.0.0:4433 or [::]:4433".to_owned())
}

/// Where to serve TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TcpBind {
    Off,
    Port(u16),
    Addr(SocketAddr),
}

fn parse_tcp(text: &str) -> Result<TcpBind, String> {
    if text == "off" {
        return Ok(TcpBind::Off);
    }
    let port = text.parse().map(TcpBind::Port);
    port.or_else(|_| text.parse().map(TcpBind::Addr))
        .map_err(|_| "expected a port like 443, an address like 0.0.0.0:443, or off".to_owned())
}

fn parse_host(text: &str) -> Result<String, String> {
    let any_key = SecretKey::from_seed(&[0; 32]).id();
    RelayUrl::new(any_key, text, RelayUrl::DEFAULT_PORT)
        .map(|url| url.host().to_owned())
        .map_err(|_| "expected a DNS name or an IP address, like relay.example.org".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_well_formed() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }

    #[test]
    fn tcp_is_where_udp_is_or_elsewhere_or_off() {
        let tcp = |more: &[&str]| {
            let args = [
                "peerway-relay",
                "--state-dir",
                "x",
                "--bind",
                "192.0.2.1:4433",
            ];
            let args = args.iter().chain(more);
            Options::try_parse_from(args).unwrap().tcp()
        };
        assert_eq!(tcp(&[]).unwrap().bind, None);
        let at = |text: &str| tcp(&["--tcp", text]).map(|tcp| tcp.bind.unwrap().to_string());
        assert_eq!(at("443").as_deref(), Some("192.0.2.1:443"));
        assert_eq!(at("[::]:443").as_deref(), Some("[::]:443"));
        assert_eq!(at("off"), None);
    }

    #[test]
    fn byte_counts_take_units() {
        assert_eq!("64M".parse(), Ok(ByteCount(64 << 20)));
        assert_eq!("500k".parse(), Ok(ByteCount(500 << 10)));
        assert_eq!("17".parse(), Ok(ByteCount(17)));
        assert_eq!("2T".parse(), Ok(ByteCount(2 << 40)));
        assert_eq!(
            [0, 1023, 1536, 5 << 40].map(bytes),
            ["0", "1023", "1.5k", "5.0T"]
        );
        for wrong in ["", "M", "-1", "0", "1.5M", "é", "99999999999G"] {
            assert!(wrong.parse::<ByteCount>().is_err(), "{wrong}");
        }
    }
}
