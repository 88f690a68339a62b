//! How long a direct path takes and what it costs, for the documents: run with
//! `PEERWAY_RUNS=100 cargo test -p peerway-proto figures -- --include-ignored --nocapture`.

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
/// Share of packets lost between two homes, each way.
const LOSSES: [f64; 3] = [0.0, 0.05, 0.2];
/// Pairs that need no guesses are direct by then, whatever is lost.
const LATEST: Duration = ms(2_000);
/// Until then a pair goes direct, or it counts as relayed.
const LIMIT: Duration = ms(12_000);

/// Dials of each cell from each side: as many as `PEERWAY_RUNS` says, 100 for the documents.
fn runs() -> u64 {
    let runs = std::env::var("PEERWAY_RUNS");
    runs.ok().and_then(|runs| runs.parse().ok()).unwrap_or(2)
}

/// What all dials of a pair in the same circumstances took.
#[derive(Default)]
struct Cell {
    /// Until the dialler was direct.
    times: Vec<Duration>,
    /// Until both were.
    both: Vec<Duration>,
    packets: Vec<usize>,
}

/// Until both sides are direct or the time is up: how long each took, and how many datagrams both sent.
fn dial(world: &mut World, cell: &mut Cell) {
    let sent = |world: &World| -> usize {
        let nodes = world.nodes.iter();
        nodes.map(|node| node.machine.datagrams).sum()
    };
    let (start, before) = (world.elapsed(), sent(world));
    world.connect(0, 1);
    if world.run_while(LIMIT, |world| !world.both(PeerState::Direct)) {
        let own = world.first(0, PeerState::Direct, start).unwrap();
        cell.times.push(own - start);
        cell.both.push(world.elapsed() - start);
    }
    cell.packets.push(sent(world) - before);
}

/// The first of these homes dials the other: with nothing known before, and again from closed NATs with the candidates of
/// the first time.
fn measure(homes: [Home; 2], loss: f64) -> [Cell; 2] {
    let mut cells = [Cell::default(), Cell::default()];
    for seed in 0..runs() {
        let mut world = World::new(seed);
        for home in homes {
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
    for cell in &mut cells {
        cell.times.sort_unstable();
        cell.both.sort_unstable();
        cell.packets.sort_unstable();
    }
    cells
}

/// The value that this share of a sorted list does not exceed, in percent.
fn percentile<T: Copy>(sorted: &[T], share: usize) -> Option<T> {
    sorted
        .get(sorted.len().checked_sub(1)? * share / 100)
        .copied()
}

/// What the slower of the two directions of dialling took, in milliseconds.
fn slower(cells: [&Cell; 2]) -> String {
    let [direct, dials] = [
        cells.map(|cell| cell.times.len()),
        cells.map(|cell| cell.packets.len()),
    ];
    match (direct, dials) {
        (_, [0, _] | [_, 0]) => return "–".to_owned(),
        ([0, _] | [_, 0], _) => return "relayed".to_owned(),
        _ => {}
    }
    let at = |share| {
        let times = cells.map(|cell| percentile(&cell.times, share));
        let slower = times.into_iter().flatten().max();
        slower.map_or(0, |time| time.as_millis())
    };
    let times = format!("{} / {} / {}", at(50), at(90), at(99));
    let (direct, dials): (usize, usize) = (direct.iter().sum(), dials.iter().sum());
    if direct == dials {
        times
    } else {
        format!("{times} ({direct}/{dials})")
    }
}

/// A line of the table: the cells of both directions of dialling at each loss.
fn row(pair: [Home; 2], measured: &[[[Cell; 2]; 2]]) -> String {
    let cells = |held: usize| {
        measured
            .iter()
            .map(move |[there, back]| [&there[held], &back[held]])
    };
    let fresh: Vec<String> = cells(0).map(slower).collect();
    let held: Vec<String> = cells(1).map(slower).collect();
    let clean = [&measured[0][0][0], &measured[0][1][0]];
    let both = clean
        .iter()
        .filter_map(|cell| percentile(&cell.both, 50))
        .max();
    let packets = clean
        .iter()
        .filter_map(|cell| percentile(&cell.packets, 50))
        .max();
    format!(
        "| {:?} × {:?} | {} | {} | {} | {} |",
        pair[0],
        pair[1],
        fresh.join(" | "),
        held.join(" | "),
        both.map_or_else(|| "–".to_owned(), |time| time.as_millis().to_string()),
        packets.unwrap_or_default(),
    )
}

#[test]
#[ignore = "prints a table for the documents, in some minutes"]
fn figures_of_all_pairs_of_homes() {
    let firsts = HOMES.iter().enumerate();
    let pairs: Vec<[Home; 2]> = firsts
        .flat_map(|(first, a)| HOMES[first..].iter().map(|b| [*a, *b]))
        .collect();
    let rows = Mutex::new(vec![String::new(); pairs.len()]);
    let queue = Mutex::new(pairs.iter().enumerate());
    let work = || {
        loop {
            let Some((at, [a, b])) = queue.lock().unwrap().next() else {
                return;
            };
            let measured = LOSSES.map(|loss| [measure([*a, *b], loss), measure([*b, *a], loss)]);
            // At least the pairs that need no guesses are direct in every run.
            let hard = [a, b]
                .iter()
                .any(|home| matches!(home, Home::Counting | Home::Symmetric));
            let always = measured.iter().flatten().flatten().all(|cell| {
                let in_time = cell.times.iter().filter(|time| **time <= LATEST);
                in_time.count() as u64 == runs()
            });
            assert!(hard || always, "{a:?} × {b:?}");
            rows.lock().unwrap()[at] = row([*a, *b], &measured);
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
        println!(
            "| pair | 0 % loss | 5 % | 20 % | held, 0 % | held, 5 % | held, 20 % | both | packets |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        println!("{}", rows.into_inner().unwrap().join("\n"));
    }
}
