//! One port of one router, by whichever protocol it speaks.

use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV6},
    num::NonZeroU16,
    time::Duration,
};

use blake2::{Blake2s256, Digest};
use crab_nat::{
    InternetProtocol, PortMappingOptions, PortMappingType, TimeoutConfig, natpmp,
    pcp::{self, BaseMapRequest},
};
use futures_util::future::{Either, select};
use igd_next::{
    AddPortError, PortMappingProtocol, RequestError,
    aio::{self, tokio::Tokio},
};
use tokio::time::{Instant, timeout};

use super::{
    pinhole::{Pinhole, PinholeError},
    refusal::refusal,
    schedule::Epoch,
    ssdp,
};
use crate::{MappingProtocol, PortMapping, RefusalReason, net::interfaces::Gateway};

/// What RFC 6886 section 3.3 recommends, seconds.
const LIFETIME: u32 = 7200;

/// No lease is renewed faster, however short a router grants it.
const MIN_RENEWAL: Duration = Duration::from_secs(60);

/// For the search, and again for the mapping.
const UPNP_LIMIT: Duration = Duration::from_secs(3);

/// PCP and NAT-PMP are a question to the next box: it answers at once, or a repetition does no harm.
const PORT_CONTROL_TIMING: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(250),
    max_retries: 1,
    max_retry_timeout: None,
};

/// What is wanted, and of whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) gateway: Gateway,
    /// Where UPnP devices are searched for.
    pub(super) ssdp: SocketAddr,
    /// Our UDP port, and the one that we would like outside.
    pub(super) port: NonZeroU16,
    /// What the nonces of PCP are derived from.
    pub(super) secret: [u8; 32],
}

impl Request {
    /// By which a PCP router takes us for the same after a restart (RFC 6887 section 11.2): it then extends the old mapping instead of
    /// refusing another for the port. It depends on the router, so that no other learns it.
    fn nonce(&self) -> [u8; 12] {
        let gateway = self.gateway;
        let question = format!(
            "peerway PCP {} {} {} {}",
            gateway.router, gateway.zone, gateway.local.ip, self.port
        );
        let hash = Blake2s256::new().chain_update(question);
        let hash: [u8; 32] = hash.chain_update(self.secret).finalize().into();
        let mut nonce = [0; 12];
        nonce.copy_from_slice(&hash[..12]);
        nonce
    }
}

/// A granted mapping.
#[derive(Debug)]
pub(super) struct Lease {
    request: Request,
    mapping: PortMapping,
    granted_at: Instant,
    grant: Grant,
}

#[derive(Debug)]
enum Grant {
    /// PCP or NAT-PMP.
    PortControl(crab_nat::PortMapping),
    Upnp(aio::Gateway<Tokio>),
    /// With the router's clock.
    Pinhole(Pinhole, u32),
}

/// Why there is no mapping. It is asked for again later in every case.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeaseError {
    #[error("the router granted no port by {0}; switch PCP or UPnP on in it")]
    PortControl(#[from] crab_nat::MappingFailure),
    #[error(transparent)]
    Pinhole(#[from] PinholeError),
    #[error("no UPnP router was found ({0}); switch PCP or UPnP on in it")]
    Search(#[from] igd_next::SearchError),
    #[error("UPnP devices cannot be searched for ({0}); check the network")]
    SearchIo(#[from] io::Error),
    #[error("a program on this computer answered in the router's place; end it")]
    ForeignDevice,
    #[error("the UPnP router granted no port ({0}); allow mappings in it")]
    AddPort(#[from] AddPortError),
    #[error("the UPnP router granted no port ({0}); allow mappings in it")]
    AddAnyPort(#[from] igd_next::AddAnyPortError),
    #[error("the UPnP router did not tell its address ({0}); wait until it is online")]
    Outside(#[from] igd_next::GetExternalIpError),
    #[error("the UPnP router did not take the mapping back ({0}); it expires by itself")]
    Remove(#[from] igd_next::RemovePortError),
    #[error("the UPnP router did not answer in time; wait for the next attempt")]
    Timeout(#[from] tokio::time::error::Elapsed),
    #[error("the router granted a mapping to nowhere; wait until it is online")]
    Nowhere,
}

impl LeaseError {
    /// Whether nobody answered: what was granted may stand.
    pub(super) fn is_silence(&self) -> bool {
        use crab_nat::MappingFailure::{NatPmp, Pcp};
        matches!(
            self,
            Self::PortControl(
                NatPmp(natpmp::Failure::Timeout | natpmp::Failure::Socket(_))
                    | Pcp(pcp::Failure::Timeout | pcp::Failure::Socket(_))
            ) | Self::Pinhole(PinholeError::Silent | PinholeError::Io(_))
                | Self::Search(igd_next::SearchError::NoResponseWithinTimeout)
                | Self::SearchIo(_)
                | Self::Timeout(_)
        )
    }
}

impl Lease {
    /// Asks by PCP, else NAT-PMP, and searches for UPnP meanwhile, which is used if those fail.
    pub(super) async fn acquire(request: Request) -> Result<Self, LeaseError> {
        let Gateway {
            router,
            zone,
            local,
        } = request.gateway;
        if let (IpAddr::V6(router), IpAddr::V6(local)) = (router, local.ip) {
            let router = SocketAddrV6::new(router, crab_nat::GATEWAY_PORT, 0, zone);
            let local = SocketAddrV6::new(local, request.port.get(), 0, 0);
            let pinhole = Pinhole::new(router.into(), local, request.nonce());
            return from_pinhole(request, pinhole).await;
        }
        let port_control = Box::pin(by_port_control(request));
        let search = Box::pin(ssdp::search(local.ip, router, request.ssdp, UPNP_LIMIT));
        let found = match select(port_control, search).await {
            Either::Left((Ok(lease), _search)) => return Ok(lease),
            Either::Left((Err(error), search)) => (error, search.await),
            Either::Right((found, port_control)) => match port_control.await {
                Ok(lease) => return Ok(lease),
                Err(error) => (error, found),
            },
        };
        let (refused, found) = found;
        let by_upnp =
            async { timeout(UPNP_LIMIT, by_upnp(request, found?, request.port.get())).await? };
        // What the router said first counts, if it said anything; PCP has no word for a router without an address.
        by_upnp.await.map_err(|error| {
            let upnp = refusal(&error).map(|refusal| refusal.reason);
            if refusal(&refused).is_some() && upnp != Some(RefusalReason::NoPublicAddress) {
                refused
            } else {
                error
            }
        })
    }

    pub(super) fn gateway(&self) -> Gateway {
        self.request.gateway
    }

    pub(super) fn mapping(&self) -> PortMapping {
        self.mapping
    }

    /// Whether it has not run out.
    pub(super) fn is_alive(&self, now: Instant) -> bool {
        let lifetime = self.mapping.expires_in;
        lifetime.is_none_or(|lifetime| now < self.granted_at + lifetime)
    }

    /// The router's clock when it granted it; UPnP has none.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        let seconds = match &self.grant {
            Grant::PortControl(granted) => granted.gateway_epoch(),
            Grant::Pinhole(_, epoch) => *epoch,
            Grant::Upnp(_) => return None,
        };
        let at = self.granted_at;
        Some(Epoch { seconds, at })
    }

    /// How long to wait before [`Self::renew`]: half the life.
    pub(super) fn renewal(&self) -> Duration {
        let lifetime = self.mapping.expires_in.unwrap_or_else(|| seconds(LIFETIME));
        (lifetime / 2).max(MIN_RENEWAL)
    }

    /// Asks for the same once more, for as long as at first: a router that granted less may have been in want then.
    pub(super) async fn renew(&self) -> Result<Self, LeaseError> {
        match &self.grant {
            Grant::PortControl(granted) => {
                let granted = renew_port_control(granted).await?;
                from_port_control(self.request, granted).await
            }
            Grant::Pinhole(pinhole, _) => from_pinhole(self.request, *pinhole).await,
            Grant::Upnp(router) => {
                let port = self.mapping.external.port();
                timeout(UPNP_LIMIT, by_upnp(self.request, router.clone(), port)).await?
            }
        }
    }

    /// Gives it back.
    pub(super) async fn release(self) -> Result<(), LeaseError> {
        match self.grant {
            Grant::PortControl(granted) => Ok(granted
                .try_drop()
                .await
                .map_err(|(error, _granted)| error)?),
            Grant::Pinhole(pinhole, _) => Ok(pinhole.ask(0).await.map(drop)?),
            Grant::Upnp(router) => Ok(router
                .remove_port(PortMappingProtocol::UDP, self.mapping.external.port())
                .await?),
        }
    }
}

async fn from_pinhole(request: Request, pinhole: Pinhole) -> Result<Lease, LeaseError> {
    let opened = pinhole.ask(LIFETIME).await?;
    if opened.external.ip().is_unspecified() || opened.lifetime == 0 {
        return Err(LeaseError::Nowhere);
    }
    let lifetime = Some(opened.lifetime);
    Ok(Lease {
        request,
        mapping: PortMapping::new(MappingProtocol::Pcp, opened.external, lifetime.map(seconds)),
        granted_at: Instant::now(),
        grant: Grant::Pinhole(pinhole, opened.epoch),
    })
}

async fn by_port_control(request: Request) -> Result<Lease, LeaseError> {
    let router = request.gateway.router.into();
    let options = PortMappingOptions {
        external_port: Some(request.port),
        lifetime_seconds: Some(LIFETIME),
        timeout_config: Some(PORT_CONTROL_TIMING),
    };
    let client = request.gateway.local.ip;
    let ask = BaseMapRequest::new(router, client, InternetProtocol::Udp, request.port);
    let nonce = request.nonce();
    let nonce: pcp::Nonce = std::array::from_fn(|word| {
        let at = 4 * word;
        u32::from_be_bytes([nonce[at], nonce[at + 1], nonce[at + 2], nonce[at + 3]])
    });
    let granted = match pcp::port_mapping(ask, Some(nonce), None, options).await {
        Ok(granted) => granted,
        Err(error) => {
            let refused = LeaseError::from(crab_nat::MappingFailure::from(error));
            natpmp::port_mapping(router, InternetProtocol::Udp, request.port, options)
                .await
                .map_err(|error| {
                    let error = LeaseError::from(crab_nat::MappingFailure::from(error));
                    // NAT-PMP has a word of its own for a router without an address.
                    match (refusal(&error), refusal(&refused)) {
                        (None, Some(_)) => refused,
                        _ => error,
                    }
                })?
        }
    };
    from_port_control(request, granted).await
}

/// crab_nat's own `renew` asks for what was granted last.
async fn renew_port_control(
    granted: &crab_nat::PortMapping,
) -> Result<crab_nat::PortMapping, crab_nat::MappingFailure> {
    let router = granted.gateway();
    let (udp, port) = (granted.protocol(), granted.internal_port());
    let options = PortMappingOptions {
        external_port: Some(granted.external_port()),
        lifetime_seconds: Some(LIFETIME),
        timeout_config: Some(PORT_CONTROL_TIMING),
    };
    Ok(match granted.mapping_type() {
        PortMappingType::NatPmp => natpmp::port_mapping(router, udp, port, options).await?,
        PortMappingType::Pcp {
            client,
            nonce,
            external_ip,
        } => {
            let ask = BaseMapRequest::new(router, client, udp, port);
            pcp::port_mapping(ask, Some(nonce), Some(external_ip), options).await?
        }
    })
}

async fn from_port_control(
    request: Request,
    granted: crab_nat::PortMapping,
) -> Result<Lease, LeaseError> {
    let (protocol, outside) = match granted.mapping_type() {
        PortMappingType::Pcp { external_ip, .. } => (MappingProtocol::Pcp, external_ip),
        PortMappingType::NatPmp => {
            let outside =
                natpmp::external_address(granted.gateway(), Some(PORT_CONTROL_TIMING)).await;
            let outside = outside.map_err(crab_nat::MappingFailure::from)?;
            (MappingProtocol::NatPmp, outside.into())
        }
    };
    let lifetime = granted.lifetime();
    if outside.is_unspecified() || lifetime == 0 {
        return Err(LeaseError::Nowhere);
    }
    let external = SocketAddr::new(outside, granted.external_port().get());
    Ok(Lease {
        request,
        mapping: PortMapping::new(protocol, external, Some(seconds(lifetime))),
        granted_at: Instant::now(),
        grant: Grant::PortControl(granted),
    })
}

async fn by_upnp(
    request: Request,
    router: aio::Gateway<Tokio>,
    wanted: u16,
) -> Result<Lease, LeaseError> {
    const NAME: &str = "peerway";
    let udp = PortMappingProtocol::UDP;
    let inside = SocketAddr::new(request.gateway.local.ip, request.port.get());
    let (port, lifetime) = match router.add_port(udp, wanted, inside, LIFETIME, NAME).await {
        Ok(()) => (wanted, Some(LIFETIME)),
        Err(AddPortError::PortInUse) => {
            let port = router.add_any_port(udp, inside, LIFETIME, NAME).await?;
            (port, Some(LIFETIME))
        }
        // Some of those who know no other leases call the lifetime an invalid argument.
        Err(
            AddPortError::OnlyPermanentLeasesSupported
            | AddPortError::RequestError(RequestError::ErrorCode(402, _)),
        ) => {
            router.add_port(udp, wanted, inside, 0, NAME).await?;
            (wanted, None)
        }
        Err(error) => return Err(error.into()),
    };
    let outside: IpAddr = router.get_external_ip().await?;
    if outside.is_unspecified() {
        return Err(LeaseError::Nowhere);
    }
    let external = SocketAddr::new(outside, port);
    Ok(Lease {
        request,
        mapping: PortMapping::new(MappingProtocol::Upnp, external, lifetime.map(seconds)),
        granted_at: Instant::now(),
        grant: Grant::Upnp(router),
    })
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}
