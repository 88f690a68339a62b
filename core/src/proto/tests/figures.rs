//! How long a direct path takes and what it costs, for the documents: run with
//! `PEERWAY_RUNS=200 cargo test -p peerway --lib --no-default-features figures -- --include-ignored --nocapture`.

use std::{sync::Mutex, thread, time::Duration};

use super::world::{Home, World, ms};
use crate::PeerState;

const HOMES: [Home; 9] = [
    Home::Public,
    Home::FullCone,
    Home::AddressRestricted,
    Home::PortRestricted,
    Home::Double,
    Home::SymmetricMapped,
    Home::Dual,
    Home::Counting,
    Home::Symmetric,
];
/// Until then a pair goes direct, or it counts as relayed.
const LIMIT: Duration = ms(12_000);

/// Runs of each cell: as many as `PEERWAY_RUNS` says, 200 for the documents.
fn runs() -> u64 {
    let runs = std::env::var("PEERWAY_RUNS");
    runs.ok().and_then(|runs| runs.parse().ok()).unwrap_or(2)
}

/// One cell: what all its runs took.
#[derive(Default)]
struct Cell {
    times: Vec<Duration>,
    packets: Vec<usize>,
}

/// Both sides are direct, or the time is up: how long that took and how many datagrams both sent.
fn dial(world: &mut World, cell: &mut Cell) {
    let sent = |world: &World| -> usize {
        let nodes = world.nodes.iter();
        nodes.map(|node| node.machine.datagrams).sum()
    };
    let (start, before) = (world.elapsed(), sent(world));
    world.connect(0, 1);
    if world.run_while(LIMIT, |world| !world.both(PeerState::Direct)) {
        cell.times.push(world.elapsed() - start);
    }
    cell.packets.push(sent(world) - before);
}

/// With nothing known before, and again from closed NATs with the candidates of the first time.
fn measure(a: Home, b: Home, loss: f64) -> [Cell; 2] {
    let mut cells = [Cell::default(), Cell::default()];
    for seed in 0..runs() {
        let mut world = World::new(seed);
        for home in [a, b] {
            let at = world.add(home);
            let site = &mut world.net.sites[world.nodes[at].site];
            (site.up.loss, site.down.loss) = (loss / 2.0, loss / 2.0);
        }
        dial(&mut world, &mut cells[0]);
        if world.both(PeerState::Direct) {
            world.release(0, 1);
            world.release(1, 0);
            world.run(ms(30_000));
            world.flush(0);
            world.flush(1);
            dial(&mut world, &mut cells[1]);
        }
    }
    cells
}

fn row(what: &str, mut cell: Cell) -> String {
    cell.times.sort_unstable();
    cell.packets.sort_unstable();
    let at = |share: usize| {
        let last = cell.times.len().saturating_sub(1);
        let time = cell.times.get(last * share / 100);
        time.map_or_else(|| "–".to_owned(), |time| time.as_millis().to_string())
    };
    let packets = cell.packets.get(cell.packets.len() / 2).copied();
    format!(
        "| {what} | {}/{} | {} | {} | {} | {} |",
        cell.times.len(),
        cell.packets.len(),
        at(50),
        at(90),
        at(99),
        packets.unwrap_or_default(),
    )
}

#[test]
#[ignore = "prints a table for the documents, in some minutes"]
fn figures_of_all_pairs_of_homes() {
    let mut cells = Vec::new();
    for (first, a) in HOMES.iter().enumerate() {
        for b in &HOMES[first..] {
            for loss in [0.0, 0.05, 0.2] {
                cells.push((*a, *b, loss));
            }
        }
    }
    let rows = Mutex::new(vec![String::new(); cells.len()]);
    let queue = Mutex::new(cells.iter().enumerate());
    let work = || {
        loop {
            let Some((at, (a, b, loss))) = queue.lock().unwrap().next() else {
                return;
            };
            let what = format!("{a:?} × {b:?} | {} %", loss * 100.0);
            let [fresh, held] = measure(*a, *b, *loss);
            // At least the pairs that need no guesses are direct in every run.
            let easy = ![a, b]
                .iter()
                .any(|home| matches!(home, Home::Counting | Home::Symmetric));
            assert!(!easy || fresh.times.len() as u64 == runs(), "{what}");
            let text = [
                row(&format!("{what} | no"), fresh),
                row(&format!("{what} | yes"), held),
            ];
            rows.lock().unwrap()[at] = text.join("\n");
        }
    };
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    #[expect(clippy::print_stdout, reason = "the table is what it is for")]
    {
        println!("| pair | loss | candidates held | direct | p50 ms | p90 ms | p99 ms | packets |");
        println!("|---|---|---|---|---|---|---|---|");
        println!("{}", rows.into_inner().unwrap().join("\n"));
    }
}
