//! Two ends that only have a relay, which is a process of its own with one processor: on loopback, or three hosts of the kernel lab.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::ValueEnum;
use iroh_relay::server::{Server, testing};
use peerway::SecretKey;
use peerway_benches::{Ends, Failure, process::Beside};
use peerway_lab::{self as lab, Fault, Home, Lab, NatKind};
use peerway_relay::{Config, Rate, Relay};

/// The relay's processor.
const CORE: u32 = 0;

#[derive(clap::Args)]
pub(crate) struct Place {
    /// Between hosts of the kernel lab, joined by veths, instead of on loopback.
    #[arg(long)]
    lab: bool,
    /// The lab drops UDP, so that ours reaches its relay by TCP as iroh does.
    #[arg(long, requires = "lab")]
    tcp: bool,
}

/// Whose relay, and whose ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Whose {
    Peerway,
    Iroh,
}

impl Whose {
    /// Both, in the order of this round: whoever is first may find another machine than whoever is second.
    pub(crate) fn in_turns(round: usize) -> [Self; 2] {
        let mut order = [Self::Peerway, Self::Iroh];
        order.rotate_left(round % 2);
        order
    }
}

pub(crate) struct Site {
    pub(crate) ends: Ends,
    /// The addresses of the ends, of which none reaches the other.
    pub(crate) apart: [IpAddr; 2],
    /// The lab, with the homes that the ends are.
    hosts: Option<(Lab, [Home; 2])>,
}

impl Site {
    /// To be called before the process has threads: for a lab it starts anew in namespaces.
    pub(crate) fn new(place: &Place) -> Result<Self, Failure> {
        if !place.lab {
            return Ok(Self {
                ends: Ends::loopback()?,
                apart: [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
                hosts: None,
            });
        }
        lab::enter()?;
        let mut lab = Lab::new()?;
        let homes = [
            lab.home("sending", NatKind::Public)?,
            lab.home("receiving", NatKind::Public)?,
        ];
        let [sending, receiving] = &homes;
        lab.begin(Fault::Cut(sending, receiving))?;
        if place.tcp {
            lab.begin(Fault::NoUdp(sending))?;
            lab.begin(Fault::NoUdp(receiving))?;
        }
        Ok(Self {
            ends: Ends::between(sending, receiving),
            apart: [sending.addr(), receiving.addr()],
            hosts: Some((lab, homes)),
        })
    }

    /// Starts a relay; its line is its URL.
    pub(crate) async fn relay(&self, whose: Whose) -> Result<Beside, Failure> {
        let name = format!("{whose:?}").to_lowercase();
        match &self.hosts {
            None => Beside::run(&["serve", &name, "127.0.0.1"], Some(CORE)).await,
            Some((lab, _)) => {
                let host = lab.relay();
                let addr = host.addr().to_string();
                Beside::run_at(host, &["serve", &name, &addr], CORE).await
            }
        }
    }
}

/// Serves as the relay of one run until that ends us.
pub(crate) async fn serve(whose: Whose, addr: IpAddr) -> Result<(), Failure> {
    match whose {
        Whose::Peerway => {
            let mut config = Config::new((addr, 0).into(), SecretKey::generate()?);
            // iroh-relay limits nobody unless it is told to.
            config.limits.client_rate = Rate::mib_per_second(100_000);
            config.limits.pair_rate = config.limits.client_rate;
            let relay = Relay::bind(config).await?;
            println!("{}", relay.url());
            relay.run().await;
        }
        Whose::Iroh => {
            let mut config = testing::server_config();
            if let Some(relay) = &mut config.relay {
                relay.http_bind_addr = (addr, 0).into();
                if let Some(tls) = &mut relay.tls {
                    tls.https_bind_addr = (addr, 0).into();
                }
            }
            let mut server = Server::spawn(config).await?;
            let url = server.https_addr().ok_or("iroh-relay serves no TLS")?;
            println!("https://{url}");
            server.join().await??;
        }
    }
    Ok(())
}
