//! What a charge costs in the engine, beside a bare word and a mutex.
//!
//! `cargo bench --package outlay-core --bench charge -- [--json] [--rounds N]`
//!
//! The contestants take turns within each round, so that what slows the machine slows all of them.
//! A ratio is the median of the rounds' ratios. One thread is timed by the processor time that it
//! had, and the best of the rounds is its rate. Two are timed by the wall, in turns where both had
//! a processor, and the median is their rate: the best is the one in which they met least.

mod clock;
mod contestants;

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use contestants::{ASKED, Contestant, Engine, Locked, Shape, Word64, Word128, Word128Records};
use outlay_core::{LabelsId, Overage, ReservationId};

const TURN: Duration = Duration::from_millis(5);

const RACERS: usize = 6;
const NAMES: [&str; RACERS] =
    ["outlay", "word128", "word64", "word128+records", "mutex", "mutex+records"];
/// The racers that the engine is put in proportion to.
const RIVALS: [usize; 4] = [1, 3, 4, 5];

/// Two threads that get less than this of two processors do not race.
const CORES: f64 = 1.8;
const RETRIES: usize = 20;
static TURNS: AtomicU64 = AtomicU64::new(0);
static STARVED: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy)]
enum Deed {
    PairInFull,
    PairInPart,
    Spend,
}

const DEEDS: [(Deed, &str); 3] = [
    (Deed::PairInFull, "reserve 5, commit 5"),
    (Deed::PairInPart, "reserve 5, commit 4"),
    (Deed::Spend, "spend 5"),
];

#[derive(Clone, Copy, PartialEq)]
enum Crowd {
    One,
    SameLeaf,
    SiblingLeaves,
}

const CROWDS: [(Crowd, &str); 3] = [
    (Crowd::One, "one"),
    (Crowd::SameLeaf, "two, same leaf"),
    (Crowd::SiblingLeaves, "two, siblings"),
];

/// A path of one wallet is neither shared nor a slice; what it costs is what a slice costs.
const SHAPES: [Shape; 6] = [
    Shape { shared: false, depth: 1 },
    Shape { shared: false, depth: 4 },
    Shape { shared: false, depth: 8 },
    Shape { shared: true, depth: 2 },
    Shape { shared: true, depth: 4 },
    Shape { shared: true, depth: 8 },
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let rounds = arguments
        .iter()
        .position(|argument| argument == "--rounds")
        .and_then(|at| arguments.get(at + 1)?.parse().ok())
        .unwrap_or(9);
    let mut report = Report { json: Vec::new(), tables: !json };
    for (deed, title) in DEEDS {
        report.say(&format!("\n### {title}: millions a second\n"));
        report.head();
        for (crowd, threads) in CROWDS {
            for shape in SHAPES {
                report.row((title, threads), shape, crowd, &race(shape, crowd, deed, rounds));
            }
        }
    }
    report.parts(rounds);
    let (starved, turns) = (STARVED.load(Ordering::Relaxed), TURNS.load(Ordering::Relaxed));
    report.say(&format!(
        "\n{starved} of {turns} turns of two threads never had {CORES} cores, and do not count."
    ));
    if json {
        report.json.push(format!("{{\"starved\":{starved},\"turns\":{turns}}}"));
        println!(
            "{{\"bench\":\"charge\",\"rounds\":{rounds},\"rows\":[{}]}}",
            report.json.join(",")
        );
    }
}

type Rates = [Vec<f64>; RACERS];

fn race(shape: Shape, crowd: Crowd, deed: Deed, rounds: usize) -> Rates {
    let turns: [Box<dyn Fn() -> f64>; RACERS] = [
        racer::<Engine>(shape, crowd, deed),
        racer::<Word128>(shape, crowd, deed),
        racer::<Word64>(shape, crowd, deed),
        racer::<Word128Records>(shape, crowd, deed),
        racer::<Locked<false>>(shape, crowd, deed),
        racer::<Locked<true>>(shape, crowd, deed),
    ];
    let mut rates: Rates = Default::default();
    for _ in 0..rounds {
        for (turn, rates) in turns.iter().zip(&mut rates) {
            rates.push(turn());
        }
    }
    rates
}

/// A contestant that knows how much work fills its turn, and is warm.
fn racer<C: Contestant + 'static>(shape: Shape, crowd: Crowd, deed: Deed) -> Box<dyn Fn() -> f64> {
    let contestant = C::new(shape);
    let count = (one(&contestant, deed, 100_000) * TURN.as_secs_f64()) as u64;
    match crowd {
        Crowd::One => Box::new(move || one(&contestant, deed, count)),
        Crowd::SameLeaf => Box::new(move || fed(|| two(&contestant, [0, 0], deed, count / 2))),
        Crowd::SiblingLeaves => Box::new(move || fed(|| two(&contestant, [0, 1], deed, count / 2))),
    }
}

fn one<C: Contestant>(contestant: &C, deed: Deed, count: u64) -> f64 {
    let start = clock::busy();
    work(contestant, 0, deed, count);
    count as f64 / (clock::busy() - start)
}

/// The rate of both threads together, and how many processors they had.
fn two<C: Contestant>(contestant: &C, leaves: [usize; 2], deed: Deed, count: u64) -> (f64, f64) {
    let barrier = &Barrier::new(2);
    let run = move |leaf: usize| {
        barrier.wait();
        let (start, busy) = (Instant::now(), clock::busy());
        work(contestant, leaf, deed, count);
        (start, Instant::now(), clock::busy() - busy)
    };
    let [left, right] = thread::scope(|scope| {
        leaves.map(|leaf| scope.spawn(move || run(leaf))).map(|thread| thread.join().unwrap())
    });
    let took = (left.1.max(right.1) - left.0.min(right.0)).as_secs_f64();
    ((2 * count) as f64 / took, (left.2 + right.2) / took)
}

/// Tries again while something else has the processors; if it keeps them, the turn does not count.
fn fed(turn: impl Fn() -> (f64, f64)) -> f64 {
    TURNS.fetch_add(1, Ordering::Relaxed);
    for _ in 0..RETRIES {
        let (rate, cores) = turn();
        if cores >= CORES {
            return rate;
        }
    }
    STARVED.fetch_add(1, Ordering::Relaxed);
    f64::NAN
}

fn work<C: Contestant>(contestant: &C, leaf: usize, deed: Deed, count: u64) {
    match deed {
        Deed::PairInFull => (0..count).for_each(|_| contestant.pair(black_box(leaf), ASKED)),
        Deed::PairInPart => (0..count).for_each(|_| contestant.pair(black_box(leaf), ASKED - 1)),
        Deed::Spend => (0..count).for_each(|_| contestant.spend(black_box(leaf))),
    }
}

/// Tables for people, or one JSON object for whoever compares runs.
struct Report {
    json: Vec<String>,
    tables: bool,
}

impl Report {
    fn say(&self, line: &str) {
        if self.tables {
            println!("{line}");
        }
    }

    fn head(&self) {
        let rivals = RIVALS.map(|rival| format!("/ {}", NAMES[rival])).join(" | ");
        self.say(&format!("| threads | path | {} | outlay {rivals} |", NAMES.join(" | ")));
        self.say(&format!("|---|---|{}", "--:|".repeat(RACERS + RIVALS.len())));
    }

    fn row(&mut self, (deed, threads): (&str, &str), shape: Shape, crowd: Crowd, rates: &Rates) {
        let path = path(shape);
        let best = |rates: &Vec<f64>| rates.iter().copied().fold(f64::NAN, f64::max) / 1e6;
        let typical = |rates: &Vec<f64>| median(rates.clone()) / 1e6;
        let rate = |rates| if crowd == Crowd::One { best(rates) } else { typical(rates) };
        let table = rates.each_ref().map(|rates| shown(rate(rates), 1)).join(" | ");
        let ratio = |rival: usize| {
            let pairs = rates[0].iter().zip(&rates[rival]);
            shown(median(pairs.map(|(ours, theirs)| ours / theirs).collect()), 2)
        };
        let ratios = RIVALS.map(ratio).join(" | ");
        self.say(&format!("| {threads} | {path} | {table} | {ratios} |"));
        for (name, rates) in NAMES.iter().zip(rates) {
            self.json.push(format!(
                "{{\"deed\":\"{deed}\",\"threads\":\"{threads}\",\"path\":\"{path}\",\
                 \"racer\":\"{name}\",\"best\":{},\"median\":{}}}",
                shown(best(rates), 3).replace('?', "null"),
                shown(typical(rates), 3).replace('?', "null")
            ));
        }
    }

    fn parts(&mut self, rounds: usize) {
        self.say("\n### Where a pair's time goes: ns, one thread\n");
        self.say(&format!("| path | {} |", PARTS.join(" | ")));
        self.say(&format!("|---|{}", "--:|".repeat(PARTS.len())));
        for shape in SHAPES {
            let engine = Engine::new(shape);
            let mut best = [f64::MAX; PARTS.len()];
            for _ in 0..rounds * 40 {
                for (best, took) in best.iter_mut().zip(parts(&engine)) {
                    *best = best.min(took);
                }
            }
            let path = path(shape);
            let shown = best.map(|nanos| format!("{nanos:.0}")).join(" | ");
            self.say(&format!("| {path} | {shown} |"));
            self.json.extend(PARTS.iter().zip(best).map(|(part, nanos)| {
                format!("{{\"part\":\"{part}\",\"path\":\"{path}\",\"nanoseconds\":{nanos:.1}}}")
            }));
        }
    }
}

const PARTS: [&str; 5] = ["reserve 5", "commit 5", "commit 4", "release", "forget"];

/// ns each. Many are reserved before the first is settled, so that each part can be timed alone.
fn parts(engine: &Engine) -> [f64; PARTS.len()] {
    const BATCH: usize = 128;
    let (ledger, leaf) = (&engine.ledger, engine.leaves[0]);
    let mut ids = [ReservationId(0); 3 * BATCH];
    let start = clock::busy();
    for id in &mut ids {
        *id = ledger.reserve(leaf, ASKED, LabelsId(0), None).expect("it is there");
    }
    let reserve = per(start, ids.len());
    let commit = |ids: &[ReservationId], amount| {
        let start = clock::busy();
        for &id in ids {
            black_box(ledger.commit(id, amount, Overage::Debt, None).expect("it is held"));
        }
        per(start, BATCH)
    };
    let in_full = commit(&ids[..BATCH], ASKED);
    let in_part = commit(&ids[BATCH..2 * BATCH], ASKED - 1);
    let start = clock::busy();
    for &id in &ids[2 * BATCH..] {
        ledger.release(id).expect("it is held");
    }
    let release = per(start, BATCH);
    let start = clock::busy();
    for id in ids {
        ledger.forget(id);
    }
    [reserve, in_full, in_part, release, per(start, ids.len())]
}

fn per(start: f64, count: usize) -> f64 {
    (clock::busy() - start) * 1e9 / count as f64
}

fn path(Shape { shared, depth }: Shape) -> String {
    format!("{} {depth}", if shared { "shared" } else { "slice" })
}

/// Of the turns that count.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.retain(|number| !number.is_nan());
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

fn shown(number: f64, places: usize) -> String {
    if number.is_nan() { "?".to_owned() } else { format!("{number:.places$}") }
}
