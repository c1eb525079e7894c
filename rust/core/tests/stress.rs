//! Threads: nothing is overspent, refused wrongly or lost, whatever races.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use outlay_core::{Config, Error, LabelsId, Ledger, NewWallet, Overage, Refusal, WalletId};

fn wallet(
    ledger: &Ledger,
    parent: Option<WalletId>,
    name: &str,
    budget: u64,
    shared: bool,
) -> WalletId {
    ledger.create(NewWallet { parent, name, budget, shared, hard: true, metadata: None }).unwrap()
}

fn spend(ledger: &Ledger, wallet: WalletId, amount: u64) -> Result<(), Error> {
    ledger.spend(wallet, amount, LabelsId(0), None).map(|_| ())
}

/// A small random generator (xorshift64*), so that a run is its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % end
    }
}

/// Eight threads get exactly as many units out of one wallet as are in it.
#[test]
fn a_wallet_is_spent_to_the_last_unit_and_no_further() {
    for shared in [false, true] {
        let ledger = Ledger::new(Config::default());
        let root = wallet(&ledger, None, "task", 10_000, false);
        let target = if shared { wallet(&ledger, Some(root), "agent", 20_000, true) } else { root };
        let paid = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        if spend(&ledger, target, 1).is_ok() {
                            paid.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(paid.into_inner(), 10_000);
        assert_eq!(ledger.available(root), 0);
        assert_eq!(ledger.audit(), []);
    }
}

/// A payable request is never refused because a doomed one holds money for a moment.
#[test]
fn a_doomed_request_never_gets_a_payable_one_refused() {
    let ledger = Ledger::new(Config { keep: 4_096, ..Config::default() });
    let root = wallet(&ledger, None, "task", 50, false);
    let leaf = wallet(&ledger, Some(root), "agent", 100, true);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                match ledger.reserve(leaf, 60, LabelsId(0), None) {
                    Err(Error::Refused(Refusal::Short { wallet, asked: 60, available })) => {
                        assert!(available <= if wallet == root { 50 } else { 59 });
                    }
                    other => panic!("{other:?}"),
                }
            }
        });
        for _ in 0..1_000_000 {
            let id = ledger.reserve(leaf, 50, LabelsId(0), None).expect("a wrong refusal");
            ledger.release(id).unwrap();
            ledger.forget(id);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!((ledger.available(root), ledger.available(leaf)), (50, 100));
    assert_eq!(ledger.audit(), []);
}

/// Random reserves, commits and releases over a tree of slices and shared children, soft and hard,
/// leave every unit accounted for.
#[test]
fn a_random_tree_under_random_threads_adds_up() {
    for seed in 1..=20 {
        let ledger = Ledger::new(Config { keep: 4_096, ..Config::default() });
        let mut random = Random(seed);
        let mut wallets = vec![wallet(&ledger, None, "task", 5_000, false)];
        for index in 0..12 {
            let parent = wallets[random.below(wallets.len() as u64) as usize];
            let (shared, hard) = (random.below(2) == 0, random.below(3) > 0);
            let name = format!("w{index}");
            let budget = random.below(300);
            let new = NewWallet {
                parent: Some(parent),
                name: &name,
                budget,
                shared,
                hard,
                metadata: None,
            };
            wallets.extend(ledger.create(new).ok());
        }
        thread::scope(|scope| {
            for thread in 0..4 {
                let (ledger, wallets) = (&ledger, &wallets);
                scope.spawn(move || churn(ledger, wallets, Random(seed * 1_000 + thread + 1)));
            }
        });
        assert_eq!(ledger.audit(), [], "seed {seed}");
        let spent: i128 = wallets.iter().map(|&at| ledger.sums(at).spent).sum();
        let left: i128 = wallets
            .iter()
            .filter(|&&at| !ledger.is_shared(at))
            .map(|&at| i128::from(ledger.available(at)) - i128::from(ledger.owed(at)))
            .sum();
        let refilled: i128 = wallets
            .iter()
            .filter(|&&at| !ledger.is_shared(at))
            .map(|&at| ledger.sums(at).refilled)
            .sum();
        assert_eq!(spent + left, 5_000 + refilled, "seed {seed}");
    }
}

fn churn(ledger: &Ledger, wallets: &[WalletId], mut random: Random) {
    let mut open = Vec::new();
    for _ in 0..3_000 {
        let at = wallets[random.below(wallets.len() as u64) as usize];
        let amount = 1 + random.below(40);
        match random.below(10) {
            0..=3 => open.extend(ledger.reserve(at, amount, LabelsId(0), None).ok()),
            4 => {
                let _ = spend(ledger, at, amount);
            }
            5 => {
                let _ = ledger.refill(at, 1 + random.below(3));
            }
            6 => {
                if let Some(parent) = ledger.parent(at) {
                    let (from, to) = if random.below(2) == 0 { (at, parent) } else { (parent, at) };
                    let _ = ledger.transfer(from, to, amount);
                }
            }
            _ if open.is_empty() => {}
            _ => {
                let id = open.swap_remove(random.below(open.len() as u64) as usize);
                let settled = match random.below(3) {
                    0 => ledger.release(id),
                    1 => ledger.commit(id, amount, Overage::Debt, None).map(|_| ()),
                    _ => ledger.commit(id, 1, Overage::Refuse, None).map(|_| ()),
                };
                settled.expect("nobody else settles it");
                ledger.forget(id);
            }
        }
        assert!(ledger.available(at) <= 1 << 40);
    }
    for id in open {
        ledger.release(id).unwrap();
        ledger.forget(id);
    }
}

/// Commit, release and expiry race for one reservation: one wins, and the money moves once.
#[test]
fn a_reservation_is_settled_once() {
    for round in 0..2_000 {
        let ledger = Ledger::new(Config { keep: 64, ..Config::default() });
        let root = wallet(&ledger, None, "task", 100, false);
        let leaf = wallet(&ledger, Some(root), "agent", 100, true);
        let target = if round % 2 == 0 { root } else { leaf };
        let id = ledger.reserve(target, 60, LabelsId(0), Some(1)).unwrap();
        let outcomes = thread::scope(|scope| {
            let commit = scope.spawn(|| ledger.commit(id, 25, Overage::Debt, None).is_ok());
            let other = scope.spawn(|| ledger.commit(id, 30, Overage::Debt, None).is_ok());
            let release = scope.spawn(|| ledger.release(id).is_ok());
            ledger.expire();
            [commit.join().unwrap(), other.join().unwrap(), release.join().unwrap()]
        });
        let spent = ledger.sums(target).spent;
        assert!([0, 25, 30].contains(&spent), "{spent}");
        assert!(outcomes.iter().filter(|&&won| won).count() <= 1);
        ledger.forget(id);
        assert_eq!(i128::from(ledger.available(root)) + spent, 100);
        assert_eq!(ledger.audit(), []);
    }
}

/// An audit beside busy spenders does not take what is under way for a fault.
#[test]
fn an_audit_under_load_is_clean() {
    let ledger = Ledger::new(Config { keep: 4_096, ..Config::default() });
    let root = wallet(&ledger, None, "task", 1_000_000_000, false);
    let leaf = wallet(&ledger, Some(root), "agent", 1_000_000_000, true);
    let slices: Vec<WalletId> =
        (0..50).map(|n| wallet(&ledger, Some(root), &format!("s{n}"), 100_000, false)).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for at in slices.iter().cycle().take_while(|_| !done.load(Ordering::Relaxed)) {
                let _ = spend(&ledger, *at, 1);
                let _ = spend(&ledger, leaf, 1);
            }
        });
        for _ in 0..20 {
            assert_eq!(ledger.audit(), []);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(ledger.audit(), []);
}

/// Of two who are short, neither is refused because the other is just giving back what has expired.
#[test]
fn nobody_is_refused_while_expired_money_is_given_back() {
    for _ in 0..3_000 {
        let ledger = Ledger::new(Config { keep: 64, ..Config::default() });
        let root = wallet(&ledger, None, "task", 100, false);
        let hold = ledger.reserve(root, 100, LabelsId(0), Some(1)).unwrap();
        thread::scope(|scope| {
            let other = scope.spawn(|| spend(&ledger, root, 50));
            assert_eq!(spend(&ledger, root, 50), Ok(()));
            assert_eq!(other.join().unwrap(), Ok(()));
        });
        ledger.forget(hold);
        assert_eq!(ledger.audit(), []);
    }
}
