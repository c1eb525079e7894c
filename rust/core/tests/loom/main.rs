//! Races, explored: loom runs every interleaving of a model's threads, up to a number of
//! preemptions, with every value that a weak memory could show them.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p outlay-core --test loom`
#![cfg(loom)]

mod late;
mod order;
mod race;
mod settle;
mod textbook;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use loom::thread::{self, JoinHandle};
use outlay_core::model::Tree;
use outlay_core::{Clock, Config, Ledger, ManualClock, NewWallet, WalletId};

/// As many preemptions as there are: the model is explored to the end.
const ALL: usize = usize::MAX;

/// Explores a model, and prints what that took. A thread is taken off its processor up to `quick`
/// times; with `OUTLAY_PROOF=full`, up to `full` times.
fn explore(name: &str, quick: usize, full: usize, model: impl Fn() + Send + Sync + 'static) {
    let bound = match std::env::var("OUTLAY_PROOF").as_deref() {
        Ok("full") => full,
        Ok(number) => number.parse().expect("OUTLAY_PROOF is full, or a number of preemptions"),
        Err(_) => quick,
    };
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = (bound != ALL).then_some(bound);
    builder.max_branches = 50_000;
    let executions = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&executions);
    let start = Instant::now();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let bound = if bound == ALL { "all".to_owned() } else { format!("up to {bound}") };
    let (executions, time) = (executions.load(Ordering::Relaxed), start.elapsed().as_secs_f64());
    println!("{name}: {executions} executions, {bound} preemptions, {time:.1} s");
}

/// Runs something on another of the model's threads.
fn beside<S: Send + Sync + 'static, T: 'static>(
    shared: &Arc<S>,
    run: impl FnOnce(&S) -> T + 'static,
) -> JoinHandle<T> {
    let shared = Arc::clone(shared);
    thread::spawn(move || run(&shared))
}

fn tree() -> Arc<Tree> {
    Arc::new(Tree::new())
}

/// A ledger with one task wallet, and its clock.
struct Scene {
    ledger: Arc<Ledger>,
    clock: Arc<ManualClock>,
    root: WalletId,
    budget: u64,
}

impl Scene {
    fn new(budget: u64) -> Self {
        Self::keeping(budget, 64)
    }

    fn keeping(budget: u64, keep: u64) -> Self {
        let clock = Arc::new(ManualClock::new());
        let ledger = Ledger::new(Config { keep, clock: Clock::Manual(Arc::clone(&clock)) });
        let (shared, hard) = (false, true);
        let new = NewWallet { parent: None, name: "task", budget, shared, hard, metadata: None };
        let root = ledger.create(new).expect("the first wallet");
        Scene { ledger: Arc::new(ledger), clock, root, budget }
    }

    fn shared(&self, cap: u64) -> WalletId {
        let (parent, shared, hard) = (Some(self.root), true, true);
        let new = NewWallet { parent, name: "agent", budget: cap, shared, hard, metadata: None };
        self.ledger.create(new).expect("its parent is open")
    }

    /// Nothing is set aside any more, that much is spent, and everything adds up.
    fn assert_spent(&self, spent: u64) {
        let sums = self.ledger.sums(self.root);
        assert_eq!((sums.spent, sums.reserved), (i128::from(spent), 0));
        assert_eq!(self.ledger.available(self.root), self.budget - spent);
        assert_eq!(self.ledger.audit(), []);
    }
}
