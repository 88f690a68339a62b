//! STUN Binding (RFC 8489) with the NAT behaviour attributes of RFC 5780: what a client asks and what a relay answers.

use std::net::SocketAddr;

use stun_rs::{
    MessageClass, MessageDecoder, MessageEncoder, StunAttribute, StunMessage, StunMessageBuilder,
    TransactionId,
    attributes::{
        discovery::{ChangeRequest, ChangeRequestFlags, OtherAddress},
        stun::{ErrorCode, Software, UnknownAttributes, XorMappedAddress},
    },
    methods::BINDING,
};

/// What a Binding success response says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The transaction it answers; the caller matches it with its requests.
    pub tx: [u8; 12],
    /// Our address as the server sees it.
    pub mapped: SocketAddr,
    /// The server's other address (RFC 5780 section 7.4), if it has one.
    pub other_address: Option<SocketAddr>,
}

/// Why a datagram is not a Binding success response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StunError {
    /// Not a STUN message, or one with a broken attribute; drop it.
    #[error("not a well-formed STUN message; drop it")]
    Malformed,
    /// Bytes follow the message; drop it.
    #[error("bytes follow the STUN message; drop it")]
    TrailingBytes,
    /// A request, an indication, or another method; drop it or treat it as a request.
    #[error("not a response to a Binding request; treat it as a request or drop it")]
    NotAResponse,
    /// The server refused the request; ask another one.
    #[error("the STUN server refused the request; ask another one")]
    Refused,
    /// It asks for something that we do not know (RFC 8489 section 6.3.3); drop it.
    #[error("the STUN response needs an attribute that is not supported; drop it")]
    UnknownAttribute,
    /// There is no XOR-MAPPED-ADDRESS in it, or one that nobody can have; ask another server.
    #[error("the STUN response names no address; ask another server")]
    NoAddress,
}

/// A Binding request, long enough for an answer with two IPv6 addresses; with `change_port` the server is asked to answer from
/// its other port (RFC 5780 section 7.2).
#[must_use]
pub fn binding_request(tx: [u8; 12], change_port: bool) -> Vec<u8> {
    let mut builder = binding(MessageClass::Request, tx);
    if change_port {
        let flags = ChangeRequestFlags::ChangePort.into();
        builder = builder.with_attribute(ChangeRequest::new(Some(flags)));
    } else if let Ok(software) = Software::new("peer") {
        builder = builder.with_attribute(software);
    }
    encode(&builder.build())
}

/// A Binding request of this length, a multiple of 4 from 24 on: padded by an attribute that nobody has to understand (RFC 8489
/// section 14).
pub fn padded_request(tx: [u8; 12], length: usize) -> Vec<u8> {
    const PADDING: u16 = 0xffff;
    let mut bytes = encode(&binding(MessageClass::Request, tx).build());
    let room = length.saturating_sub(bytes.len());
    let body = |len: usize| (len as u16).to_be_bytes();
    if let (Some(value), Some(field)) = (room.checked_sub(4), bytes.get_mut(2..4)) {
        field.copy_from_slice(&body(room));
        bytes.extend_from_slice(&PADDING.to_be_bytes());
        bytes.extend_from_slice(&body(value));
        bytes.resize(length, 0);
    }
    bytes
}

/// Reads a Binding success response.
///
/// # Errors
/// [`StunError`] for anything else.
pub fn parse_response(datagram: &[u8]) -> Result<Response, StunError> {
    let message = decode(datagram)?;
    match message.class() {
        MessageClass::SuccessResponse => {}
        MessageClass::ErrorResponse => return Err(StunError::Refused),
        MessageClass::Request | MessageClass::Indication => return Err(StunError::NotAResponse),
    }
    if message.method() != BINDING {
        return Err(StunError::NotAResponse);
    }
    if !unknown_attributes(&message).is_empty() {
        return Err(StunError::UnknownAttribute);
    }
    let mapped = message
        .get::<XorMappedAddress>()
        .and_then(|attribute| attribute.as_xor_mapped_address().ok())
        .map(|mapped| *mapped.socket_address())
        .filter(|mapped| mapped.port() != 0 && !mapped.ip().is_unspecified())
        .ok_or(StunError::NoAddress)?;
    let other_address = message
        .get::<OtherAddress>()
        .and_then(|attribute| attribute.as_other_address().ok());
    Ok(Response {
        tx: *message.transaction_id().as_bytes(),
        mapped,
        other_address: other_address.map(|other| *other.socket_address()),
    })
}

/// A server's answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The response, to be sent to the request's source.
    pub bytes: Vec<u8>,
    /// Send it from the server's other port instead of the one that the request came to.
    pub from_other_port: bool,
}

/// What a server answers to a datagram from `source`; nothing if it is not a Binding request.
///
/// `other` is where the server can be reached besides, for OTHER-ADDRESS. Asked to answer from there without having one, or from
/// another IP address, it refuses with error 420 as a server without RFC 5780 does. No answer is longer than 68 bytes, nor than
/// three times its request, lest somebody forges a victim's address and has more sent there than they send: a request of 20
/// bytes that comes over IPv6 is answered without OTHER-ADDRESS.
#[must_use]
pub fn answer(request: &[u8], source: SocketAddr, other: Option<SocketAddr>) -> Option<Answer> {
    let message = decode(request).ok()?;
    if message.class() != MessageClass::Request || message.method() != BINDING {
        return None;
    }
    let tx = *message.transaction_id().as_bytes();
    let change = message
        .get::<ChangeRequest>()
        .and_then(|attribute| attribute.as_change_request().ok())
        .map(ChangeRequest::flags)
        .unwrap_or_default();
    let from_other_port = change.contains(ChangeRequestFlags::ChangePort);
    let impossible =
        change.contains(ChangeRequestFlags::ChangeIp) || (from_other_port && other.is_none());
    let mut unknown = unknown_attributes(&message);
    if impossible {
        unknown.push(CHANGE_REQUEST);
    }
    let fits = |bytes: &Vec<u8>| bytes.len() <= MAX_FACTOR * request.len();
    if !unknown.is_empty() {
        return Some(Answer {
            bytes: refusal(tx, &unknown).filter(fits)?,
            from_other_port: false,
        });
    }
    let mapped = SocketAddr::new(source.ip().to_canonical(), source.port());
    let success = |other: Option<SocketAddr>| {
        let builder = binding(MessageClass::SuccessResponse, tx)
            .with_attribute(XorMappedAddress::from(mapped));
        let builder = match other {
            Some(other) => builder.with_attribute(OtherAddress::from(other)),
            None => builder,
        };
        encode(&builder.build())
    };
    let bytes = Some(success(other)).filter(fits);
    Some(Answer {
        bytes: bytes.unwrap_or_else(|| success(None)),
        from_other_port,
    })
}

/// How much longer than its request an answer may be.
const MAX_FACTOR: usize = 3;

/// RFC 5780 section 7.2.
const CHANGE_REQUEST: u16 = 0x0003;

/// Attribute types below this one must be understood (RFC 8489 section 14).
const COMPREHENSION_OPTIONAL: u16 = 0x8000;

fn binding(class: MessageClass, tx: [u8; 12]) -> StunMessageBuilder {
    StunMessageBuilder::new(BINDING, class).with_transaction_id(TransactionId::from(tx))
}

/// 420, Unknown Attribute (RFC 8489 section 14.8).
fn refusal(tx: [u8; 12], unknown: &[u16]) -> Option<Vec<u8>> {
    let error = stun_rs::ErrorCode::new(420, "Unknown Attribute").ok()?;
    let mut types = UnknownAttributes::default();
    for attribute_type in unknown {
        types.add(*attribute_type);
    }
    let message = binding(MessageClass::ErrorResponse, tx)
        .with_attribute(ErrorCode::from(error))
        .with_attribute(types)
        .build();
    Some(encode(&message))
}

fn unknown_attributes(message: &StunMessage) -> Vec<u16> {
    message
        .attributes()
        .iter()
        .filter(|attribute| matches!(attribute, StunAttribute::Unknown(_)))
        .map(|attribute| attribute.attribute_type().as_u16())
        .filter(|attribute_type| *attribute_type < COMPREHENSION_OPTIONAL)
        .take(MAX_UNKNOWN)
        .collect()
}

/// So many unknown attributes are named in a refusal, lest a stranger determines its length.
const MAX_UNKNOWN: usize = 4;

fn decode(datagram: &[u8]) -> Result<StunMessage, StunError> {
    let (message, size) = MessageDecoder::default()
        .decode(datagram)
        .map_err(|_| StunError::Malformed)?;
    if size == datagram.len() {
        Ok(message)
    } else {
        Err(StunError::TrailingBytes)
    }
}

fn encode(message: &StunMessage) -> Vec<u8> {
    let mut buffer = [0; 128];
    MessageEncoder::default()
        .encode(&mut buffer, message)
        .ok()
        .and_then(|size| buffer.get(..size))
        .unwrap_or_default()
        .to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TX: [u8; 12] = *b"twelve bytes";

    #[test]
    fn a_request_is_answered_with_the_address_it_came_from() {
        for source in ["203.0.113.7:4000", "[2001:db8::7]:4000"] {
            let source = source.parse().unwrap();
            let answer = answer(&binding_request(TX, false), source, None).unwrap();
            assert!(!answer.from_other_port);
            assert_eq!(
                parse_response(&answer.bytes),
                Ok(Response {
                    tx: TX,
                    mapped: source,
                    other_address: None
                })
            );
        }
    }

    #[test]
    fn a_request_may_be_as_long_as_one_likes() {
        let source = "203.0.113.7:4000".parse().unwrap();
        for length in [24, 64, 1200] {
            let request = padded_request(TX, length);
            assert_eq!(request.len(), length);
            let answer = answer(&request, source, None).unwrap();
            assert_eq!(parse_response(&answer.bytes).unwrap().mapped, source);
        }
    }

    #[test]
    fn a_mapped_source_is_reported_as_the_ipv4_address_it_is() {
        let source = "[::ffff:203.0.113.7]:4000".parse().unwrap();
        let answer = answer(&binding_request(TX, false), source, None).unwrap();
        let mapped = parse_response(&answer.bytes).unwrap().mapped;
        assert_eq!(mapped, "203.0.113.7:4000".parse().unwrap());
    }

    #[test]
    fn a_change_of_port_is_granted_by_a_server_that_has_another() {
        let (source, other) = (
            "203.0.113.7:4000".parse().unwrap(),
            "198.51.100.1:3479".parse().unwrap(),
        );
        let granted = answer(&binding_request(TX, true), source, Some(other)).unwrap();
        assert!(granted.from_other_port);
        assert_eq!(
            parse_response(&granted.bytes).unwrap().other_address,
            Some(other)
        );
        let refused = answer(&binding_request(TX, true), source, None).unwrap();
        assert!(!refused.from_other_port);
        assert_eq!(parse_response(&refused.bytes), Err(StunError::Refused));
    }

    #[test]
    fn a_change_of_ip_address_is_refused() {
        let flags = ChangeRequestFlags::ChangeIp | ChangeRequestFlags::ChangePort;
        let request =
            binding(MessageClass::Request, TX).with_attribute(ChangeRequest::new(Some(flags)));
        let source = "203.0.113.7:4000".parse().unwrap();
        let other = "198.51.100.1:3479".parse().unwrap();
        let refused = answer(&encode(&request.build()), source, Some(other)).unwrap();
        assert_eq!(parse_response(&refused.bytes), Err(StunError::Refused));
    }

    #[test]
    fn a_request_that_needs_something_unknown_is_refused() {
        let mut request = encode(&binding(MessageClass::Request, TX).build());
        request[3] = 4;
        request.extend_from_slice(&[0x00, 0x7f, 0, 0]);
        let refused = answer(&request, "203.0.113.7:4000".parse().unwrap(), None).unwrap();
        assert_eq!(parse_response(&refused.bytes), Err(StunError::Refused));
    }

    #[test]
    fn neither_responses_nor_indications_nor_garbage_are_answered() {
        let source = "203.0.113.7:4000".parse().unwrap();
        let response = answer(&binding_request(TX, false), source, None)
            .unwrap()
            .bytes;
        assert_eq!(answer(&response, source, None), None);
        let indication = encode(&binding(MessageClass::Indication, TX).build());
        assert_eq!(answer(&indication, source, None), None);
        assert_eq!(answer(&[], source, None), None);
        assert_eq!(answer(&[0; 20], source, None), None);
    }

    #[test]
    fn bytes_after_the_message_are_not_accepted() {
        let source = "203.0.113.7:4000".parse().unwrap();
        let mut request = binding_request(TX, false);
        let mut response = answer(&request, source, None).unwrap().bytes;
        response.push(0);
        request.push(0);
        assert!(parse_response(&response).is_err());
        assert_eq!(answer(&request, source, None), None);
    }

    #[test]
    fn an_address_that_nobody_can_have_is_no_address() {
        for source in ["0.0.0.0:4000", "203.0.113.7:0", "[::]:4000"] {
            let response = answer(&binding_request(TX, false), source.parse().unwrap(), None);
            let parsed = parse_response(&response.unwrap().bytes);
            assert_eq!(parsed, Err(StunError::NoAddress), "{source}");
        }
    }

    #[test]
    fn over_ipv6_the_other_address_is_told_to_those_who_send_enough_for_it() {
        let source = "[2001:db8::7]:4000".parse().unwrap();
        let other = "[2001:db8::1]:3479".parse().unwrap();
        let told = |request: &[u8]| {
            let answer = answer(request, source, Some(other)).unwrap();
            assert!(answer.bytes.len() <= 3 * request.len());
            parse_response(&answer.bytes).unwrap().other_address
        };
        assert_eq!(told(&binding_request(TX, false)), Some(other));
        let bare = encode(&binding(MessageClass::Request, TX).build());
        assert_eq!((bare.len(), told(&bare)), (20, None));
    }

    #[test]
    fn a_request_is_no_response() {
        assert_eq!(
            parse_response(&binding_request(TX, false)),
            Err(StunError::NotAResponse)
        );
    }

    #[test]
    fn the_wire_form_is_that_of_the_rfc() {
        let mut expected = vec![0x00, 0x01, 0x00, 0x08, 0x21, 0x12, 0xa4, 0x42];
        expected.extend_from_slice(&TX);
        expected.extend_from_slice(&[0x00, 0x03, 0x00, 0x04, 0, 0, 0, 2]);
        assert_eq!(binding_request(TX, true), expected);
    }

    proptest! {
        #[test]
        fn no_datagram_panics_and_no_answer_is_longer_than_promised(
            mut datagram in proptest::collection::vec(any::<u8>(), 0..200),
            whole: bool,
        ) {
            if whole && datagram.len() >= 20 {
                let length = u16::try_from(datagram.len() - 20).unwrap().to_be_bytes();
                datagram[..8].copy_from_slice(&[0, 1, length[0], length[1], 0x21, 0x12, 0xa4, 0x42]);
            }
            let other = Some("[2001:db8::1]:3479".parse().unwrap());
            let _ = parse_response(&datagram);
            if let Some(answer) = answer(&datagram, "[2001:db8::7]:4000".parse().unwrap(), other) {
                prop_assert!((20..=68).contains(&answer.bytes.len()));
                prop_assert!(answer.bytes.len() <= 3 * datagram.len());
            }
        }
    }
}
