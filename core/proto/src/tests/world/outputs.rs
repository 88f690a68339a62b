//! A digest of what machines put out.

use std::time::Duration;

use blake2::{Blake2s256, Digest};

use crate::io::{Failure, Output, Pair, Route};

/// Outputs so far.
#[derive(Default)]
pub(crate) struct Outputs(Blake2s256);

impl Outputs {
    pub(crate) fn digest(self) -> String {
        data_encoding::HEXLOWER.encode(&self.0.finalize()[..4])
    }

    pub(super) fn note(&mut self, after: Duration, node: usize, output: &Output) {
        let (words, bytes) = written(output);
        let head = format!("{} {node} {words} {}\n", after.as_nanos(), bytes.len());
        self.0.update(head);
        self.0.update(bytes);
    }
}

/// An output in words that change only if it does, and the message that it sends.
fn written(output: &Output) -> (String, &[u8]) {
    let words = match output {
        Output::SendDatagram {
            sock,
            to,
            ttl,
            bytes,
        } => {
            let ttl = ttl.unwrap_or_default();
            return (format!("datagram {} {to} {ttl}", sock.0), bytes);
        }
        Output::SendRelay {
            relay, to, bytes, ..
        } => return (format!("signal {relay} {to}"), bytes),
        Output::OpenSockets { first, count } => format!("open {} {count}", first.0),
        Output::CloseSockets { first, count } => format!("close {} {count}", first.0),
        Output::DialTcp { peer, addr } => format!("dial {peer} {addr}"),
        Output::TakeTcp { peer, sock } => format!("take {peer} {}", sock.0),
        Output::CloseTcp { sock } => format!("hang up {}", sock.0),
        Output::SampleMapping { sock, relay } => format!("sample {} {relay}", sock.0),
        Output::NeedRelay { relay } => format!("need {relay}"),
        Output::Admit { peer, addr } => format!("admit {peer} {addr}"),
        Output::Expel { peer, addr } => format!("expel {peer} {addr}"),
        Output::Route { peer, route } => format!("route {peer} {}", route_words(route)),
        Output::Forget { peer } => format!("forget {peer}"),
        Output::Failed { peer, reason } => format!("failed {peer} {}", failure_words(reason)),
        Output::Event(event) => serde_json::to_string(event).unwrap(),
    };
    (words, &[])
}

fn route_words(route: &Route) -> String {
    let pair_words = |pair: &Pair| format!("{} {}", pair.sock.0, pair.addr);
    match route {
        Route::Direct(pair) => format!("direct {}", pair_words(pair)),
        Route::Relay(relay) => format!("relay {relay}"),
        Route::Both(pair, relay) => format!("both {} {relay}", pair_words(pair)),
        Route::Nowhere => "nowhere".into(),
    }
}

fn failure_words(reason: &Failure) -> String {
    match reason {
        Failure::Offline(relay) => format!("offline {relay}"),
        Failure::Busy(relay) => format!("busy {relay}"),
        Failure::Unreached(relay) => format!("unreached {relay}"),
        Failure::NoRelay => "no relay".into(),
        Failure::Silent => "silent".into(),
        Failure::NoAddress => "no address".into(),
        Failure::Policy => "policy".into(),
    }
}
