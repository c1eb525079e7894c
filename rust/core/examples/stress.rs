//! Stress: a billion racing operations over random trees, with an audit whenever all is quiet.
//!
//! `make stress ARGS="100000000 --seed 7 --minutes 10"`: how many operations, from which seed, and
//! when to give up. It looks for three things that must not be:
//!
//! - *overspent*: a wallet that owes something in a tree where nothing may be owed, or money that
//!   was charged or put in and is not in the books as the threads counted it;
//! - *falsely refused*: each thread has a share of a pool that is kept for it alone, while all keep
//!   asking that pool for what it cannot pay;
//! - *leaked*: a reservation that is still open, or money still set aside, when all have let go.
//!
//! The exit code is 0 if none was found, 1 if one was, 2 if time ran out, 3 if all threads stood
//! still.

use std::fmt;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use outlay_core::{
    Charge, Config, Error, LabelsId, Ledger, NewWallet, Overage, ReservationId, Settled, WalletId,
};

/// How many operations a tree lives for, all threads together.
const ROUND: u64 = 5_000_000;
/// What each thread can always have.
const SHARE: u64 = 50;
/// More than the pool could ever pay.
const DOOMED: u64 = 1_000_000;
/// What lets a doomed request take all that a share's wallets have, until it is refused above them.
const CAP: u64 = DOOMED;
/// More than there ever is.
const MOST: u64 = 1 << 40;
const NOBODY: LabelsId = LabelsId(0);
/// How far off a deadline can be, in nanoseconds.
const TTL: usize = 100_000;
const STANDSTILL: Duration = Duration::from_secs(60);

/// A small random generator (xorshift64*), so that a tree and its threads are their seed.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as usize % end
    }

    fn amount(&mut self, end: usize) -> u64 {
        1 + self.below(end) as u64
    }
}

struct Options {
    operations: u64,
    seed: u64,
    limit: Duration,
}

impl Options {
    fn read() -> Result<Self, String> {
        let hour = Duration::from_secs(3600);
        let mut options = Options { operations: 1_000_000_000, seed: 1, limit: hour };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let number = |text: Option<String>| {
                let text = text.ok_or_else(|| format!("{word} needs a number"))?;
                text.replace('_', "").parse().map_err(|_| format!("{text} is no number"))
            };
            match word.as_str() {
                "--seed" => options.seed = number(words.next())?,
                "--minutes" => options.limit = Duration::from_secs(60 * number(words.next())?),
                _ => options.operations = number(Some(word.clone()))?,
            }
        }
        Ok(options)
    }
}

/// What went wrong, over all trees.
#[derive(Default)]
struct Faults {
    overspent: AtomicU64,
    refused: AtomicU64,
    leaked: AtomicU64,
    audit: AtomicU64,
}

impl Faults {
    fn none(&self) -> bool {
        [&self.overspent, &self.refused, &self.leaked, &self.audit]
            .iter()
            .all(|count| count.load(Relaxed) == 0)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [overspent, refused, leaked, audit] =
            [&self.overspent, &self.refused, &self.leaked, &self.audit]
                .map(|count| count.load(Relaxed));
        write!(
            f,
            "overspent {overspent}, falsely refused {refused}, leaked {leaked}, audit {audit}"
        )
    }
}

/// What a thread knows that it did.
#[derive(Default)]
struct Tally {
    spent: i128,
    refilled: i128,
}

struct Tree {
    ledger: Ledger,
    seed: u64,
    /// Nothing can be owed here: all wallets are hard and no commit is above its reservation.
    strict: bool,
    put_in: u64,
    made: usize,
    /// Everybody's, the root first.
    wallets: Vec<WalletId>,
    /// For each thread its own: from the pool down, all that pay for its share.
    shares: Vec<Vec<WalletId>>,
}

impl Tree {
    fn new(seed: u64, threads: usize) -> Self {
        let ledger = Ledger::new(Config { keep: 4_096, ..Config::default() });
        let mut random = Random::new(seed);
        let strict = random.below(2) == 0;
        let kept = SHARE * threads as u64;
        let put_in = kept + 1_000 + random.amount(20_000);
        let mut tree =
            Tree { ledger, seed, strict, put_in, made: 0, wallets: vec![], shares: vec![] };
        let root = tree.make(None, put_in, false, true).expect("a root needs nobody");
        let pool = tree.make(Some(root), kept, false, true).expect("the root has more");
        tree.wallets.push(root);
        for _ in 0..threads {
            let mut path = vec![pool];
            for _ in 0..1 + random.below(3) {
                path.extend(tree.make(path.last().copied(), CAP, true, true));
            }
            tree.shares.push(path);
        }
        for _ in 0..4 + random.below(20) {
            let parent = tree.wallets[random.below(tree.wallets.len())];
            let (shared, hard) = (random.below(5) < 3, strict || random.below(4) > 0);
            let made = tree.make(Some(parent), random.below(600) as u64, shared, hard);
            tree.wallets.extend(made);
        }
        tree
    }

    /// None if the parent cannot pay for it, or if soft slices would stand too deep.
    fn make(
        &mut self,
        parent: Option<WalletId>,
        budget: u64,
        shared: bool,
        hard: bool,
    ) -> Option<WalletId> {
        let name = format!("w{}", self.made);
        self.made += 1;
        let new = NewWallet { parent, name: &name, budget, shared, hard, metadata: None };
        self.ledger.create(new).ok()
    }

    /// What all threads did, against what the books say now that they are gone.
    fn check(&self, tallies: &[Tally], faults: &Faults) {
        thread::sleep(Duration::from_nanos(TTL as u64));
        self.ledger.expire();
        let fault = |count: &AtomicU64, what: String| {
            count.fetch_add(1, Relaxed);
            eprintln!("seed {}: {what}", self.seed);
        };
        for finding in self.ledger.audit() {
            fault(&faults.audit, format!("{finding:?}"));
        }
        let (mut spent, mut left) = (0, 0);
        for at in (0..self.ledger.statement(self.wallets[0]).len()).map(|at| WalletId(at as u32)) {
            let sums = self.ledger.sums(at);
            let (available, owed) = (self.ledger.available(at), self.ledger.owed(at));
            spent += sums.spent;
            if !self.ledger.is_shared(at) {
                left += i128::from(available) - i128::from(owed);
            }
            if sums.open != 0 || sums.reserved != 0 {
                fault(&faults.leaked, format!("wallet {at} still holds {sums:?}"));
            }
            if self.strict && owed > 0 {
                fault(&faults.overspent, format!("wallet {at} owes {owed}"));
            }
        }
        let told: i128 = tallies.iter().map(|tally| tally.spent).sum();
        let refilled: i128 = tallies.iter().map(|tally| tally.refilled).sum();
        if spent != told || spent + left != i128::from(self.put_in) + refilled {
            let books = format!("{spent} spent, {left} left of {} + {refilled}", self.put_in);
            fault(&faults.overspent, format!("{books}; the threads were charged {told}"));
        }
        for path in &self.shares {
            let whole = |at: &WalletId| self.ledger.available(*at) == CAP;
            if self.ledger.available(path[0]) != SHARE * self.shares.len() as u64
                || !path[1..].iter().all(whole)
            {
                fault(&faults.leaked, format!("of a share, {path:?}"));
            }
        }
    }
}

/// One thread in one tree.
struct Player<'a> {
    tree: &'a Tree,
    faults: &'a Faults,
    random: Random,
    share: &'a [WalletId],
    open: Vec<ReservationId>,
    tally: Tally,
}

impl Player<'_> {
    fn act(&mut self) {
        let ledger = &self.tree.ledger;
        let at = self.tree.wallets[self.random.below(self.tree.wallets.len())];
        let amount = self.random.amount(40);
        match self.random.below(20) {
            0..4 if self.open.len() < 64 => {
                let ttl = (self.random.below(8) == 0).then(|| self.random.amount(TTL));
                self.open.extend(ledger.reserve(at, amount, NOBODY, ttl).ok());
            }
            4..6 => self.tally.spent += ledger.spend(at, amount, NOBODY, None).map_or(0, cost),
            6..11 => self.settle_one(),
            11 => self.refill(at, 1 + amount / 10),
            12 => self.transfer(at, amount),
            13 => self.stop(at),
            14..16 => self.use_share(),
            16 => self.ask_too_much(),
            _ => {
                let available = ledger.available(at);
                assert!(available <= MOST, "{available} is available");
            }
        }
    }

    fn settle_one(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let id = self.open.swap_remove(self.random.below(self.open.len()));
        let ledger = &self.tree.ledger;
        let reserved = ledger.reserved(id).expect("it is held");
        let amount = match self.random.below(4) {
            0 => 0,
            1 => reserved,
            _ if self.tree.strict => 1 + self.random.below(reserved as usize) as u64,
            _ => self.random.amount(40),
        };
        match ledger.commit(id, amount, Overage::Debt, None) {
            Ok(charge) => self.tally.spent += charge.map_or(0, cost),
            Err(Error::Settled(Settled::Expired)) => {}
            Err(other) => panic!("a reservation of one's own cannot be settled: {other}"),
        }
        assert!(!ledger.forget(id), "it was settled");
    }

    fn refill(&mut self, at: WalletId, amount: u64) {
        let refilled = self.tree.ledger.refill(at, amount).is_ok();
        if refilled && !self.tree.ledger.is_shared(at) {
            self.tally.refilled += i128::from(amount);
        }
    }

    fn transfer(&mut self, at: WalletId, amount: u64) {
        if let Some(parent) = self.tree.ledger.parent(at) {
            let (from, to) = if self.random.below(2) == 0 { (at, parent) } else { (parent, at) };
            let _ = self.tree.ledger.transfer(from, to, amount);
        }
    }

    /// Freezes, unfreezes, seldom closes; not the root, which is above the pool.
    fn stop(&mut self, at: WalletId) {
        if at == self.tree.wallets[0] {
            return;
        }
        let ledger = &self.tree.ledger;
        let done = match self.random.below(40_000) {
            0 => ledger.close(at).map(|_| ()),
            1..500 => ledger.freeze(at),
            500..2_000 => ledger.unfreeze(at),
            _ => return,
        };
        done.expect("these are never refused");
    }

    /// Nobody else can have this money, so nothing justifies a refusal.
    fn use_share(&mut self) {
        let ledger = &self.tree.ledger;
        let leaf = *self.share.last().expect("a share has a path");
        let id = match ledger.reserve(leaf, SHARE, NOBODY, None) {
            Ok(id) => id,
            Err(error) => {
                self.faults.refused.fetch_add(1, Relaxed);
                return eprintln!("seed {}: a share was refused: {error}", self.tree.seed);
            }
        };
        let amount = self.random.below(4 * SHARE as usize).saturating_sub(3 * SHARE as usize);
        let charge = ledger.commit(id, amount as u64, Overage::Refuse, None).expect("it is held");
        ledger.forget(id);
        if let Some(charge) = charge {
            self.tally.spent += cost(charge);
            for &at in self.share {
                self.refill(at, charge.amount);
            }
        }
    }

    fn ask_too_much(&mut self) {
        let share = &self.tree.shares[self.random.below(self.tree.shares.len())];
        let leaf = *share.last().expect("a share has a path");
        match self.tree.ledger.reserve(leaf, DOOMED, NOBODY, None) {
            Err(Error::Refused(_)) => {}
            other => {
                self.faults.overspent.fetch_add(1, Relaxed);
                eprintln!("seed {}: asked for too much and got {other:?}", self.tree.seed);
            }
        }
    }

    /// Plays until the quota is used up or time is, and lets go of everything.
    fn play(mut self, quota: u64, progress: &Progress) -> Tally {
        let mut left = quota;
        while left > 0 && !progress.stop.load(Relaxed) {
            let some = left.min(4_096);
            for _ in 0..some {
                self.act();
            }
            left -= some;
            progress.done.fetch_add(some, Relaxed);
        }
        while !self.open.is_empty() {
            self.settle_one();
        }
        self.tally
    }
}

fn cost(charge: Charge) -> i128 {
    i128::from(charge.amount)
}

#[derive(Default)]
struct Progress {
    done: AtomicU64,
    trees: AtomicU64,
    stop: AtomicBool,
    over: AtomicBool,
}

impl Progress {
    /// Says every five seconds how far it is; stops what runs too long, or not at all.
    fn watch(&self, options: &Options, faults: &Faults) {
        let start = Instant::now();
        let (mut said, mut moved, mut before) = (start, start, 0);
        while !self.over.load(Relaxed) {
            thread::sleep(Duration::from_millis(50));
            let done = self.done.load(Relaxed);
            if done != before {
                (before, moved) = (done, Instant::now());
            }
            if moved.elapsed() > STANDSTILL {
                eprintln!("nothing has moved for a minute, in tree {}", self.trees.load(Relaxed));
                std::process::exit(3);
            }
            if start.elapsed() > options.limit {
                self.stop.store(true, Relaxed);
            }
            if said.elapsed() > Duration::from_secs(5) {
                said = Instant::now();
                self.say(options, faults, start.elapsed());
            }
        }
        self.say(options, faults, start.elapsed());
    }

    fn say(&self, options: &Options, faults: &Faults, elapsed: Duration) {
        let (done, trees) = (self.done.load(Relaxed), self.trees.load(Relaxed));
        let rate = done as f64 / elapsed.as_secs_f64();
        let share = 100.0 * done as f64 / options.operations as f64;
        let to_go =
            Duration::try_from_secs_f64(options.operations.saturating_sub(done) as f64 / rate);
        let to_go = to_go.unwrap_or(Duration::MAX).as_secs();
        let (done, rate) = (done as f64 / 1e6, rate / 1e6);
        let (minutes, seconds) = (to_go / 60, to_go % 60);
        println!(
            "{share:5.1} %  {done:7.1} M operations, {rate:.1} M/s, {trees} trees: {faults}; \
             {minutes}:{seconds:02} to go"
        );
    }
}

/// A tree of its own for so many operations, and all checks when its threads are done.
fn round(seed: u64, threads: usize, quota: u64, faults: &Faults, progress: &Progress) {
    let tree = Tree::new(seed, threads);
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let players: Vec<_> = (0..threads)
            .map(|number| Player {
                tree: &tree,
                faults,
                random: Random::new(seed * 1_000 + number as u64 + 1),
                share: &tree.shares[number],
                open: Vec::new(),
                tally: Tally::default(),
            })
            .map(|player| scope.spawn(move || player.play(quota / threads as u64 + 1, progress)))
            .collect();
        players.into_iter().map(|player| player.join().expect("a thread panicked")).collect()
    });
    tree.check(&tallies, faults);
    progress.trees.fetch_add(1, Relaxed);
}

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(64);
        }
    };
    let threads = 2 * thread::available_parallelism().map_or(2, usize::from);
    let (faults, progress) = (Faults::default(), Progress::default());
    println!("{} operations on {threads} threads, from seed {}", options.operations, options.seed);
    thread::scope(|scope| {
        scope.spawn(|| progress.watch(&options, &faults));
        for seed in options.seed.. {
            let left = options.operations.saturating_sub(progress.done.load(Relaxed));
            if left == 0 || progress.stop.load(Relaxed) {
                break;
            }
            round(seed, threads, left.min(ROUND), &faults, &progress);
        }
        progress.over.store(true, Relaxed);
    });
    match (faults.none(), progress.stop.load(Relaxed)) {
        (false, _) => ExitCode::from(1),
        (true, true) => {
            eprintln!("time ran out");
            ExitCode::from(2)
        }
        (true, false) => ExitCode::SUCCESS,
    }
}
