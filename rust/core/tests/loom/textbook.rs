//! The two algorithms of the textbooks, to see that the checker catches them: both refuse a charge
//! that can be paid, because one that cannot holds money for a moment.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicI64, Ordering::SeqCst};
use loom::thread;

use crate::{ALL, explore};

/// From the bottom up.
type Path = [AtomicI64; 2];

/// Linux's `page_counter_try_charge`: add, look, back out.
fn add_and_back_out(path: &Path, amount: i64) -> bool {
    for (level, wallet) in path.iter().enumerate() {
        if wallet.fetch_sub(amount, SeqCst) < amount {
            for wallet in &path[..=level] {
                wallet.fetch_add(amount, SeqCst);
            }
            return false;
        }
    }
    true
}

fn compare_and_swap_with_rollback(path: &Path, amount: i64) -> bool {
    let take = |left: i64| (left >= amount).then(|| left - amount);
    for (level, wallet) in path.iter().enumerate() {
        if wallet.fetch_update(SeqCst, SeqCst, take).is_err() {
            for wallet in &path[..level] {
                wallet.fetch_add(amount, SeqCst);
            }
            return false;
        }
    }
    true
}

fn doomed_against_payable(name: &str, charge: fn(&Path, i64) -> bool) {
    explore(name, ALL, ALL, move || {
        let path = Arc::new([AtomicI64::new(100), AtomicI64::new(50)]);
        let other = Arc::clone(&path);
        let doomed = thread::spawn(move || charge(&other, 60));
        assert!(charge(&path, 50), "a wrong refusal");
        assert!(!doomed.join().unwrap());
    });
}

/// Add and back out gets a payable charge refused.
#[test]
#[should_panic = "a wrong refusal"]
fn add_and_back_out_refuses_wrongly() {
    doomed_against_payable("add and back out", add_and_back_out);
}

/// Compare-and-swap on each level, with rollback, gets a payable charge refused.
#[test]
#[should_panic = "a wrong refusal"]
fn rollback_refuses_wrongly() {
    doomed_against_payable("compare-and-swap with rollback", compare_and_swap_with_rollback);
}
