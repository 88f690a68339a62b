//! New connections per second on loopback, Peerway against raw quinn: on a link that stands, and on links from nothing.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use peerway::RelayUrl;
use quinn::ClientConfig;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    Ends, Failure,
    dials::{peerway_dials, quinn_dials},
    process::cpu_of_this_process,
    stats::Estimate,
};

/// Dials under way at once.
const AT_ONCE: [usize; 2] = [1, 32];
/// Links from nothing in one run.
const FRESH: usize = 150;

/// What one run gave. Processor time is of both ends.
struct Figures {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    cpu: Duration,
    lost: usize,
}

/// Runs the pairs, prints each, then the median ratios of Peerway to quinn.
pub(crate) async fn run(
    ends: &Ends,
    relay: &RelayUrl,
    pairs: usize,
    dials: usize,
) -> Result<(), Failure> {
    for at_once in AT_ONCE {
        standing(ends, relay, pairs, dials, at_once).await?;
    }
    for relay in [Some(relay), None] {
        for at_once in AT_ONCE {
            fresh(ends, relay, pairs, at_once).await?;
        }
    }
    Ok(())
}

/// One client dials one server again and again.
async fn standing(
    ends: &Ends,
    relay: &RelayUrl,
    pairs: usize,
    dials: usize,
    at_once: usize,
) -> Result<(), Failure> {
    let (quinn_server, addr, id) = quinn_dials::serve(ends).await?;
    let quinn_client = ends
        .sending
        .spawn(async { quinn_dials::client() })
        .await??;
    let (server, ticket) = peerway_dials::serve(ends, Some(relay)).await?;
    let url = relay.clone();
    let client = ends
        .sending
        .spawn(async move { peerway_dials::client(0, Some(&url)).await });
    let client = client.await??;
    let link = ends.sending.spawn({
        let (client, ticket) = (client.clone(), ticket.clone());
        async move { peerway_dials::dial(&client, ticket).await }
    });
    let link = link.await??;
    let mut rows = Rows::new(format!("standing link, {at_once} at once"));
    for pair in 1..=pairs {
        let quinn = || {
            let (client, config) = quinn_client.clone();
            burst(ends, at_once, dials, move |_| {
                let (client, config) = (client.clone(), config.clone());
                async move { quinn_dials::dial_and_close(&client, config, addr, id).await }
            })
        };
        let peerway = || {
            let (client, ticket) = (client.clone(), ticket.clone());
            burst(ends, at_once, dials, move |_| {
                let (client, ticket) = (client.clone(), ticket.clone());
                async move { peerway_dials::dial_and_close(&client, ticket).await }
            })
        };
        if pair % 2 == 0 {
            let quinn = quinn().await?;
            rows.add(pair, &quinn, &peerway().await?);
        } else {
            let peerway = peerway().await?;
            rows.add(pair, &quinn().await?, &peerway);
        }
    }
    rows.conclude();
    link.close(0, b"");
    for endpoint in [client, server] {
        endpoint.close().await;
    }
    for endpoint in [quinn_client.0, quinn_server] {
        endpoint.close(0_u32.into(), b"");
    }
    Ok(())
}

/// Clients that the server has never heard of dial it once each: at its relay, or at the address of its ticket.
async fn fresh(
    ends: &Ends,
    relay: Option<&RelayUrl>,
    pairs: usize,
    at_once: usize,
) -> Result<(), Failure> {
    let way = relay.map_or("at its address", |_| "at its relay");
    let mut rows = Rows::new(format!("link from nothing {way}, {at_once} at once"));
    for pair in 1..=pairs {
        let (quinn_server, addr, id) = quinn_dials::serve(ends).await?;
        let mut clients: Vec<(quinn::Endpoint, ClientConfig)> = Vec::new();
        for _ in 0..FRESH {
            clients.push(
                ends.sending
                    .spawn(async { quinn_dials::client() })
                    .await??,
            );
        }
        let clients = Arc::new(clients);
        let dialling = clients.clone();
        let quinn = burst(ends, at_once, FRESH, move |nth| {
            let clients = dialling.clone();
            async move {
                let (client, config) = clients.get(nth).ok_or("no such client")?;
                quinn_dials::dial_and_close(client, config.clone(), addr, id).await
            }
        })
        .await?;
        for (client, _) in clients.iter() {
            client.close(0_u32.into(), b"");
        }
        quinn_server.close(0_u32.into(), b"");

        let (server, ticket) = peerway_dials::serve(ends, relay).await?;
        let mut nodes = Vec::new();
        for nth in 0..FRESH {
            let url = relay.cloned();
            let node = ends
                .sending
                .spawn(async move { peerway_dials::client(nth, url.as_ref()).await });
            nodes.push(node.await??);
        }
        let nodes = Arc::new(nodes);
        let dialling = nodes.clone();
        let peerway = burst(ends, at_once, FRESH, move |nth| {
            let (nodes, ticket) = (dialling.clone(), ticket.clone());
            async move {
                let node = nodes.get(nth).ok_or("no such node")?;
                peerway_dials::dial_and_close(node, ticket).await
            }
        })
        .await?;
        let mut closing = JoinSet::new();
        for node in nodes.iter().cloned().chain([server]) {
            closing.spawn(async move { node.close().await });
        }
        closing.join_all().await;
        rows.add(pair, &quinn, &peerway);
    }
    rows.conclude();
    Ok(())
}

/// Dials as often as told, so many at once, on the sending end.
async fn burst<Dial, Dialling>(
    ends: &Ends,
    at_once: usize,
    dials: usize,
    dial: Dial,
) -> Result<Figures, Failure>
where
    Dial: Fn(usize) -> Dialling + Clone + Send + 'static,
    Dialling: Future<Output = Result<(), Failure>> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let (start, cpu) = (Instant::now(), cpu_of_this_process()?);
    let mut diallers = Vec::new();
    for _ in 0..at_once {
        let (next, dial) = (next.clone(), dial.clone());
        let dialler = async move {
            let (mut times, mut lost) = (Vec::new(), 0);
            loop {
                let nth = next.fetch_add(1, Ordering::Relaxed);
                if nth >= dials {
                    return (times, lost);
                }
                let start = Instant::now();
                match dial(nth).await {
                    Ok(()) => times.push(start.elapsed()),
                    Err(error) => {
                        println!("  lost: {error}");
                        lost += 1;
                    }
                }
            }
        };
        diallers.push(ends.sending.spawn(dialler));
    }
    let (mut times, mut lost) = (Vec::new(), 0);
    for dialler in diallers {
        let (some, failed) = dialler.await?;
        times.extend(some);
        lost += failed;
    }
    let elapsed = start.elapsed();
    let cpu = cpu_of_this_process()?.saturating_sub(cpu);
    times.sort();
    let at = |part: f64| {
        let index = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
        times.get(index).copied().unwrap_or_default()
    };
    Ok(Figures {
        per_second: times.len() as f64 / elapsed.as_secs_f64(),
        p50: at(0.5),
        p99: at(0.99),
        cpu: cpu / u32::try_from(times.len().max(1))?,
        lost,
    })
}

/// The pairs of one kind of dial.
struct Rows {
    name: String,
    rate: Vec<f64>,
    p99: Vec<f64>,
    cpu: Vec<f64>,
    lost: [usize; 2],
}

impl Rows {
    fn new(name: String) -> Self {
        println!("{name}");
        Self {
            name,
            rate: Vec::new(),
            p99: Vec::new(),
            cpu: Vec::new(),
            lost: [0; 2],
        }
    }

    fn add(&mut self, pair: usize, quinn: &Figures, peerway: &Figures) {
        println!("pair {pair:2}  quinn {quinn}  peerway {peerway}");
        self.rate.push(peerway.per_second / quinn.per_second);
        self.p99
            .push(peerway.p99.as_secs_f64() / quinn.p99.as_secs_f64());
        self.cpu
            .push(peerway.cpu.as_secs_f64() / quinn.cpu.as_secs_f64());
        self.lost[0] += quinn.lost;
        self.lost[1] += peerway.lost;
    }

    fn conclude(self) {
        let Self {
            name,
            rate,
            p99,
            cpu,
            lost,
        } = self;
        println!("{name}: rate ratio  {}", Estimate::of(rate));
        println!("{name}: p99 ratio   {}", Estimate::of(p99));
        println!("{name}: CPU ratio   {}", Estimate::of(cpu));
        println!("{name}: lost        quinn {} peerway {}", lost[0], lost[1]);
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "{:5.0}/s p50 {:5.2} p99 {:6.2} ms CPU {:4.0} µs",
            self.per_second,
            ms(self.p50),
            ms(self.p99),
            self.cpu.as_secs_f64() * 1e6
        )
    }
}
