//! SOCKS5 (RFC 1928) without passwords, and of its commands CONNECT.

use super::{Head, ProxyError, Refusal};

pub(super) const VERSION: u8 = 5;
pub(super) const NO_PASSWORD: [u8; 2] = [VERSION, 0];
pub(super) const NO_METHOD: [u8; 2] = [VERSION, 0xff];

const CONNECT: u8 = 1;
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
    let (host, len) = match *kind {
        // An address is nobody's service.
        IPV4 => (Err(ProxyError::Foreign), 4),
        IPV6 => (Err(ProxyError::Foreign), 16),
        NAME => {
            let (len, rest) = rest.split_first()?;
            let name = rest.get(..usize::from(*len))?;
            let name = str::from_utf8(name).map_err(|_| ProxyError::Foreign);
            (name.map(str::to_owned), 1 + usize::from(*len))
        }
        _ => return Some(None),
    };
    // A port follows, which says nothing here.
    let len = len + 2;
    rest.get(..len)?;
    let host = if *command == CONNECT {
        host
    } else {
        Err(ProxyError::Command)
    };
    Some(Some(Head { host, len: 4 + len }))
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
        assert_eq!(
            (&head.host.unwrap()[..], head.len),
            ("a.b", asked.len() - 1)
        );
        let head = request(&[5, 1, 0, IPV4, 10, 0, 0, 1, 0, 80])
            .unwrap()
            .unwrap();
        assert_eq!(reply(head.host.err().as_ref())[1], 2);
        let head = request(&[5, 2, 0, IPV4, 10, 0, 0, 1, 0, 80])
            .unwrap()
            .unwrap();
        assert_eq!(reply(head.host.err().as_ref())[1], 7, "BIND");
        assert!(request(&[5, 1, 0, 9, 0]).unwrap().is_none());
        assert!(request(&[4, 1, 0, 1, 0]).unwrap().is_none());
    }
}
