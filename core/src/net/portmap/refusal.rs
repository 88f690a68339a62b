//! What routers mean by their error codes.
//!
//! miniupnpd 2.3.1, whose outside is private or a carrier's, refuses with NAT-PMP 3 and UPnP 501, and with PCP 8, which alone would
//! mean that it has no port left.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else went wrong is no answer of the router"
)]

use crab_nat::{MappingFailure, natpmp, pcp};
use igd_next::{AddAnyPortError, AddPortError, RequestError};

use super::{lease::LeaseError, pinhole::PinholeError};
use crate::{MappingProtocol, PortRefusal, RefusalReason};

/// The refusal in an error; none if the router did not answer, or not in this protocol.
pub(super) fn refusal(error: &LeaseError) -> Option<PortRefusal> {
    let (protocol, code) = match error {
        LeaseError::PortControl(MappingFailure::Pcp(failure)) => {
            (MappingProtocol::Pcp, pcp_code(failure)?)
        }
        LeaseError::PortControl(MappingFailure::NatPmp(failure)) => {
            (MappingProtocol::NatPmp, nat_pmp_code(failure)?)
        }
        LeaseError::Pinhole(PinholeError::Refused(code)) => {
            (MappingProtocol::Pcp, u16::from(*code))
        }
        LeaseError::AddPort(error) => (MappingProtocol::Upnp, add_code(error)?),
        LeaseError::AddAnyPort(error) => (MappingProtocol::Upnp, add_any_code(error)?),
        _ => return None,
    };
    Some(PortRefusal::new(protocol, code, reason(protocol, code)))
}

fn reason(protocol: MappingProtocol, code: u16) -> RefusalReason {
    match (protocol, code) {
        (MappingProtocol::Pcp, 7) | (MappingProtocol::NatPmp, 3) | (MappingProtocol::Upnp, 501) => {
            RefusalReason::NoPublicAddress
        }
        (MappingProtocol::Pcp | MappingProtocol::NatPmp, 2) | (MappingProtocol::Upnp, 606) => {
            RefusalReason::Forbidden
        }
        (MappingProtocol::Pcp, 8 | 10 | 11)
        | (MappingProtocol::NatPmp, 4)
        | (MappingProtocol::Upnp, 718 | 728) => RefusalReason::NoFreePort,
        _ => RefusalReason::Other,
    }
}

fn pcp_code(failure: &pcp::Failure) -> Option<u16> {
    Some(match failure {
        pcp::Failure::NotAuthorized(_) => 2,
        pcp::Failure::NetworkFailure(_) => 7,
        pcp::Failure::NoResources(_) => 8,
        pcp::Failure::UserExceededQuota(_) => 10,
        pcp::Failure::CannotProvideExternal(_) => 11,
        pcp::Failure::AddressMismatch => 12,
        _ => return None,
    })
}

fn nat_pmp_code(failure: &natpmp::Failure) -> Option<u16> {
    Some(match failure {
        natpmp::Failure::NotAuthorized => 2,
        natpmp::Failure::NetworkFailure => 3,
        natpmp::Failure::OutOfResources => 4,
        _ => return None,
    })
}

fn add_code(error: &AddPortError) -> Option<u16> {
    Some(match error {
        AddPortError::ActionNotAuthorized => 606,
        AddPortError::PortInUse => 718,
        AddPortError::SamePortValuesRequired => 724,
        AddPortError::OnlyPermanentLeasesSupported => 725,
        AddPortError::RequestError(RequestError::ErrorCode(code, _)) => *code,
        _ => return None,
    })
}

fn add_any_code(error: &AddAnyPortError) -> Option<u16> {
    Some(match error {
        AddAnyPortError::ActionNotAuthorized => 606,
        AddAnyPortError::NoPortsAvailable => 728,
        AddAnyPortError::ExternalPortInUse => 718,
        AddAnyPortError::OnlyPermanentLeasesSupported => 725,
        AddAnyPortError::RequestError(RequestError::ErrorCode(code, _)) => *code,
        _ => return None,
    })
}
