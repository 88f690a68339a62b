//! What the relay counts, over HTTP at `/metrics` in the text format of OpenMetrics 1.0.

use std::{convert::Infallible, fmt, io, net::SocketAddr, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use peerway_relay::{Relay, Stats};
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};
use tokio::net::{TcpListener, TcpStream};
use tracing::debug;

use crate::answering::answer_all;

const PATH: &str = "/metrics";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The time for a request and its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The metrics' port cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot open TCP {addr} for metrics: {source}; choose another address or port for --metrics"
)]
pub(crate) struct MetricsError {
    addr: SocketAddr,
    source: io::Error,
}

/// Opens the port.
pub(crate) async fn open(addr: SocketAddr) -> Result<TcpListener, MetricsError> {
    let opened = TcpListener::bind(addr).await;
    opened.map_err(|source| MetricsError { addr, source })
}

/// Answers for ever, or never if there is no port.
pub(crate) async fn serve(listener: Option<TcpListener>, relay: &Relay) {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let accept = async || listener.accept().await.map(|(stream, _)| stream);
    answer_all("metrics", PATIENCE, accept, |stream| {
        let relay = relay.clone();
        async move { converse(stream, &relay).await }
    })
    .await;
}

async fn converse(stream: TcpStream, relay: &Relay) {
    let answer = |request: Request<Incoming>| {
        let answer = answer(&request, relay);
        async move { Ok::<_, Infallible>(answer) }
    };
    let mut http = http1::Builder::new();
    http.keep_alive(false);
    let served = http.serve_connection(TokioIo::new(stream), service_fn(answer));
    if let Err(error) = served.await {
        debug!(%error, "a request for metrics failed");
    }
}

fn answer(request: &Request<Incoming>, relay: &Relay) -> Response<Full<Bytes>> {
    let (status, kind, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, PATH) => match text(&relay.stats()) {
            Ok(text) => (StatusCode::OK, OPEN_METRICS, text),
            Err(fmt::Error) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "text/plain",
                String::new(),
            ),
        },
        (_, PATH) => (
            StatusCode::METHOD_NOT_ALLOWED,
            "text/plain",
            "GET it\n".to_owned(),
        ),
        _ => (StatusCode::NOT_FOUND, "text/plain", format!("see {PATH}\n")),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The counters as they are now.
fn text(stats: &Stats) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("peerway_relay");
    for (name, help, value) in [
        ("clients", "Registered clients", stats.clients),
        (
            "tcp_clients",
            "Streams of clients over TCP",
            stats.tcp_clients,
        ),
        ("channels", "Open channels between clients", stats.channels),
    ] {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    }
    let month: Gauge = Gauge::default();
    month.set(i64::try_from(stats.month_bytes).unwrap_or(i64::MAX));
    let help = "Bytes to be forwarded in this month of UTC";
    registry.register_with_unit("month", help, Unit::Bytes, month);
    for (name, help, value) in [
        ("lane", "Bytes to be forwarded", stats.lane_bytes),
        (
            "lane_strangers",
            "Bytes dropped, of senders at no end of the channel",
            stats.stranger_bytes,
        ),
        (
            "lane_over_budget",
            "Bytes dropped, beyond a rate",
            stats.over_budget_bytes,
        ),
    ] {
        registry.register_with_unit(name, help, Unit::Bytes, counted(value));
    }
    for (name, help, value) in counts(stats) {
        registry.register(name, help, counted(value));
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// What is no amount of bytes: names, help, and how many.
fn counts(stats: &Stats) -> [(&'static str, &'static str, u64); 11] {
    [
        ("signals", "Signals delivered", stats.signals),
        (
            "signals_dropped",
            "Signals dropped, of a pair that signals too often",
            stats.signals_dropped,
        ),
        (
            "signals_busy",
            "Signals turned away, as too many call or a budget is used up",
            stats.busy,
        ),
        (
            "dht_asks",
            "Look-ups and stores in the Mainline DHT, for clients",
            stats.dht_asks,
        ),
        (
            "dht_busy",
            "Look-ups and stores turned away, as there were too many",
            stats.dht_busy,
        ),
        (
            "frames_dropped",
            "Frames dropped, as too many wait for their client",
            stats.frames_dropped,
        ),
        (
            "sends_dropped",
            "Datagrams and batches that the kernel did not take",
            stats.sends_dropped,
        ),
        (
            "quic_dropped",
            "QUIC datagrams dropped, as too many wait",
            stats.quic_dropped,
        ),
        (
            "stun_dropped",
            "STUN requests dropped, as too many come from their network",
            stats.stun_dropped,
        ),
        (
            "turned_away",
            "Clients told to come again, as too many registered at once",
            stats.turned_away,
        ),
        (
            "panics",
            "Faults of the relay: please report them",
            stats.panics,
        ),
    ]
}

fn counted(value: u64) -> Counter {
    let counter = Counter::default();
    counter.inc_by(value);
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_the_status_is_a_metric() {
        let mut stats = Stats::default();
        (stats.clients, stats.lane_bytes, stats.panics) = (3, 1 << 40, 2);
        let text = text(&stats).unwrap();
        for line in [
            "# TYPE peerway_relay_clients gauge",
            "peerway_relay_clients 3",
            "# UNIT peerway_relay_lane_bytes bytes",
            "peerway_relay_lane_bytes_total 1099511627776",
            "peerway_relay_panics_total 2",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        let numbers = serde_json::to_value(stats).unwrap();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(samples.count(), numbers.as_object().unwrap().len());
    }
}
