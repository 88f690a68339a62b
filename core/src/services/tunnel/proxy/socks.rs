//! SOCKS5 (RFC 1928) without passwords, and of its commands CONNECT and UDP ASSOCIATE.

use std::net::{IpAddr, SocketAddr};

use super::{Head, ProxyError, Refusal, Want};

pub(super) const VERSION: u8 = 5;
pub(super) const NO_PASSWORD: [u8; 2] = [VERSION, 0];
pub(super) const NO_METHOD: [u8; 2] = [VERSION, 0xff];
/// Of the proxy, for another program's datagrams.
pub(super) const NO_ROOM: [u8; 10] = [VERSION, 1, 0, IPV4, 0, 0, 0, 0, 0, 0];

const CONNECT: u8 = 1;
const ASSOCIATE: u8 = 3;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// The length of the first message, if it offers to do without a password, and none where it does not; nothing at all if there is more
/// to come.
pub(super) fn greeting(read: &[u8]) -> Option<Option<usize>> {
    let [_, count, rest @ ..] = read else {
        return None;
    };
    let methods = rest.get(..usize::from(*count))?;
    Some(methods.contains(&0).then_some(2 + methods.len()))
}

/// The request, or nothing where it is none; nothing at all if there is more to come.
pub(super) fn request(read: &[u8]) -> Option<Option<Head>> {
    let [version, command, _, kind, rest @ ..] = read else {
        return None;
    };
    if *version != VERSION {
        return Some(None);
    }
    let Some((place, port, rest)) = place(*kind, rest)? else {
        return Some(None);
    };
    let len = read.len() - rest.len();
    let want = match (*command, place) {
        (CONNECT, Place::Name(name)) => Want::Connect(Ok(name.to_owned())),
        // An address is nobody's service.
        (CONNECT, Place::Addr(_) | Place::Nonsense) => Want::Connect(Err(ProxyError::Foreign)),
        (ASSOCIATE, Place::Addr(ip)) => Want::Associate(Some((ip, port).into())),
        (ASSOCIATE, Place::Name(_) | Place::Nonsense) => Want::Associate(None),
        _ => Want::Connect(Err(ProxyError::Command)),
    };
    Some(Some(Head { want, len }))
}

/// An address or a name, as requests and datagrams have it.
enum Place<'a> {
    Addr(IpAddr),
    Name(&'a str),
    /// A name in no letters.
    Nonsense,
}

type Placed<'a> = (Place<'a>, u16, &'a [u8]);

/// That with its port, and what follows; none where it is none, and nothing at all if there is more to come.
fn place(kind: u8, rest: &[u8]) -> Option<Option<Placed<'_>>> {
    let (place, rest) = match kind {
        IPV4 => {
            let (addr, rest) = rest.split_first_chunk::<4>()?;
            (Place::Addr((*addr).into()), rest)
        }
        IPV6 => {
            let (addr, rest) = rest.split_first_chunk::<16>()?;
            (Place::Addr((*addr).into()), rest)
        }
        NAME => {
            let (len, rest) = rest.split_first()?;
            let (name, rest) = rest.split_at_checked(usize::from(*len))?;
            (
                str::from_utf8(name).map_or(Place::Nonsense, Place::Name),
                rest,
            )
        }
        _ => return Some(None),
    };
    let (port, rest) = rest.split_first_chunk::<2>()?;
    Some(Some((place, u16::from_be_bytes(*port), rest)))
}

/// A datagram as programs send it.
pub(super) enum Datagram<'a> {
    To {
        /// What answers begin with too.
        head: &'a [u8],
        host: &'a str,
        payload: &'a [u8],
    },
    /// To an address, which is nobody's service.
    Foreign,
    Fragment,
    Malformed,
}

pub(super) fn datagram(read: &[u8]) -> Datagram<'_> {
    let [_, _, fragment, kind, rest @ ..] = read else {
        return Datagram::Malformed;
    };
    if *fragment != 0 {
        return Datagram::Fragment;
    }
    match place(*kind, rest) {
        Some(Some((Place::Name(host), _, payload))) => {
            let (head, payload) = read.split_at(read.len() - payload.len());
            Datagram::To {
                head,
                host,
                payload,
            }
        }
        Some(Some((Place::Addr(_), ..))) => Datagram::Foreign,
        Some(Some((Place::Nonsense, ..)) | None) | None => Datagram::Malformed,
    }
}

/// Where datagrams are taken.
pub(super) fn associated(addr: SocketAddr) -> Vec<u8> {
    let mut reply = vec![VERSION, 0, 0];
    match addr.ip() {
        IpAddr::V4(ip) => {
            reply.push(IPV4);
            reply.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            reply.push(IPV6);
            reply.extend(ip.octets());
        }
    }
    reply.extend(addr.port().to_be_bytes());
    reply
}

/// The address that is said to be connected from is none.
pub(super) fn reply(error: Option<&ProxyError>) -> Vec<u8> {
    let code = match error.map(Refusal::of) {
        None => 0,
        Some(Refusal::Foreign | Refusal::NotAllowed) => 2,
        Some(Refusal::Unknown | Refusal::Unreachable) => 4,
        Some(Refusal::Refused) => 5,
        Some(Refusal::Command) => 7,
    };
    vec![VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_has_to_do_without_a_password() {
        assert_eq!(greeting(&[5]), None);
        assert_eq!(greeting(&[5, 2, 2]), None);
        assert_eq!(greeting(&[5, 2, 2, 0, 9]), Some(Some(4)));
        assert_eq!(greeting(&[5, 1, 2]), Some(None));
    }

    #[test]
    fn a_name_is_taken_and_an_address_refused() {
        let asked = [&[5, 1, 0, NAME, 3][..], b"a.b", &[0, 80, 7]].concat();
        assert!((0..asked.len() - 1).all(|len| request(&asked[..len]).is_none()));
        let head = request(&asked).unwrap().unwrap();
        let code = |want| match want {
            Want::Connect(host) => reply(host.err().as_ref())[1],
            Want::Associate(_) => panic!("it asks for a connection"),
        };
        assert_eq!(head.len, asked.len() - 1);
        assert!(matches!(head.want, Want::Connect(Ok(host)) if host == "a.b"));
        let head = request(&[5, 1, 0, IPV4, 10, 0, 0, 1, 0, 80])
            .unwrap()
            .unwrap();
        assert_eq!(code(head.want), 2);
        let head = request(&[5, 2, 0, IPV4, 10, 0, 0, 1, 0, 80])
            .unwrap()
            .unwrap();
        assert_eq!(code(head.want), 7, "BIND");
        assert!(request(&[5, 1, 0, 9, 0]).unwrap().is_none());
        assert!(request(&[4, 1, 0, 1, 0]).unwrap().is_none());
    }

    #[test]
    fn where_a_program_sends_datagrams_from_is_read() {
        let asked = [5, 3, 0, IPV4, 127, 0, 0, 1, 0x1f, 0x90];
        let head = request(&asked).unwrap().unwrap();
        let from = Some("127.0.0.1:8080".parse().unwrap());
        assert!(matches!(head.want, Want::Associate(addr) if addr == from));
        let bound = associated("[::1]:258".parse().unwrap());
        assert_eq!((bound[3], bound.len()), (IPV6, 22));
        assert_eq!(bound[20..], [1, 2]);
    }

    #[test]
    fn a_datagram_is_taken_apart_and_a_piece_of_one_is_known_as_such() {
        let sent = [&[0, 0, 0, NAME, 3][..], b"a.b", &[0, 53], b"question"].concat();
        let Datagram::To {
            head,
            host,
            payload,
        } = datagram(&sent)
        else {
            panic!("it is one");
        };
        assert_eq!((head.len(), host, payload), (10, "a.b", &b"question"[..]));
        let mut piece = sent.clone();
        piece[2] = 1;
        assert!(matches!(datagram(&piece), Datagram::Fragment));
        assert!((0..10).all(|len| matches!(datagram(&sent[..len]), Datagram::Malformed)));
        let addr = [0, 0, 0, IPV4, 10, 0, 0, 1, 0, 53, 1];
        assert!(matches!(datagram(&addr), Datagram::Foreign));
    }
}
