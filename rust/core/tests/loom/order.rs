//! The order of records: every prefix is a possible past.

use outlay_core::{Kind, LabelsId, Ledger, NewWallet, Overage, WalletId};

use crate::{ALL, Scene, beside, explore};

const NONE: LabelsId = LabelsId(0);

/// Replays what happened, and asserts that no slice or root is below zero after any record.
///
/// Of the wallets here none has shared children, so each record moves money of one or two words.
fn replay(ledger: &Ledger) {
    let mut balances = [0; 4].map(|_: i32| 0i64);
    let mut held = std::collections::HashSet::new();
    for record in ledger.records() {
        let amount = record.amount as i64;
        let at = record.wallet.0 as usize;
        let other = record.other.map(|wallet| wallet.0 as usize);
        match record.kind {
            Kind::Open => {
                balances[at] += amount;
                if let Some(parent) = other {
                    balances[parent] -= amount;
                }
            }
            Kind::Reserve => {
                assert!(held.insert(record.reservation));
                balances[at] -= amount;
            }
            Kind::Spend => balances[at] -= amount,
            Kind::Commit => {
                assert!(held.remove(&record.reservation), "settled before it was set aside");
                balances[at] += record.aside as i64 - amount;
            }
            Kind::Release | Kind::Expire => {
                assert!(held.remove(&record.reservation), "settled before it was set aside");
                balances[at] += amount;
            }
            Kind::Refill => balances[at] += amount,
            Kind::Freeze | Kind::Unfreeze => {}
            Kind::Transfer | Kind::Draw | Kind::Undraw | Kind::Close | Kind::Return => {
                if let Some(other) = other {
                    balances[at] -= amount;
                    balances[other] += amount;
                }
            }
        }
        let seq = record.seq;
        assert!(balances.iter().all(|&balance| balance >= 0), "{balances:?} after record {seq}");
    }
}

fn slice(scene: &Scene, budget: u64, hard: bool) -> WalletId {
    let parent = Some(scene.root);
    let new = NewWallet { parent, name: "slice", budget, shared: false, hard, metadata: None };
    scene.ledger.create(new).unwrap()
}

/// Whatever gives money back is recorded before the debit that it enables.
fn credit_before_debit(name: &str, credit: fn(&Ledger, WalletId, outlay_core::ReservationId)) {
    explore(name, ALL, ALL, move || {
        let scene = Scene::new(60);
        let root = scene.root;
        let held = scene.ledger.reserve(root, 60, NONE, None).unwrap();
        let other = beside(&scene.ledger, move |ledger| ledger.spend(root, 30, NONE, None).is_ok());
        credit(&scene.ledger, root, held);
        other.join().unwrap();
        replay(&scene.ledger);
    });
}

/// A release is recorded before the spend that it enables.
#[test]
pub fn release_before_spend() {
    credit_before_debit("release before spend", |ledger, _, held| ledger.release(held).unwrap());
}

/// A commit of less than was set aside is recorded before the spend that the rest enables.
#[test]
pub fn commit_before_spend() {
    credit_before_debit("commit before spend", |ledger, _, held| {
        ledger.commit(held, 20, Overage::Debt, None).unwrap();
    });
}

/// A refill is recorded before the spend that it enables.
#[test]
pub fn refill_before_spend() {
    credit_before_debit("refill before spend", |ledger, root, _| ledger.refill(root, 40).unwrap());
}

/// A transfer is recorded before the spend that it enables, and after the money was there.
#[test]
pub fn transfer_before_spend() {
    explore("transfer before spend", ALL, ALL, || {
        let scene = Scene::new(60);
        let (root, slice) = (scene.root, slice(&scene, 60, true));
        let other = beside(&scene.ledger, move |ledger| ledger.spend(root, 30, NONE, None).is_ok());
        scene.ledger.transfer(slice, root, 40).unwrap();
        other.join().unwrap();
        replay(&scene.ledger);
    });
}

/// The rest of a closed slice is recorded before the parent spends it.
#[test]
pub fn close_before_spend() {
    explore("close before spend", ALL, ALL, || {
        let scene = Scene::new(60);
        let (root, slice) = (scene.root, slice(&scene, 60, true));
        let other = beside(&scene.ledger, move |ledger| ledger.spend(root, 30, NONE, None).is_ok());
        assert_eq!(scene.ledger.close(slice), Ok(60));
        other.join().unwrap();
        replay(&scene.ledger);
    });
}

/// What comes back to a slice that is closed meanwhile is recorded as the parent's before it spends
/// it, and nothing is left behind.
#[test]
pub fn release_against_close() {
    explore("release against close", 3, 4, || {
        let scene = Scene::new(60);
        let (root, slice) = (scene.root, slice(&scene, 60, true));
        let held = scene.ledger.reserve(slice, 60, NONE, None).unwrap();
        let other = beside(&scene.ledger, move |ledger| ledger.release(held).unwrap());
        let spender =
            beside(&scene.ledger, move |ledger| ledger.spend(root, 50, NONE, None).is_ok());
        scene.ledger.close(slice).unwrap();
        other.join().unwrap();
        let spent = if spender.join().unwrap() { 50 } else { 0 };
        replay(&scene.ledger);
        assert_eq!([slice, root].map(|at| scene.ledger.available(at)), [0, 60 - spent]);
    });
}

/// What a commit costs beyond its reservation is owed once when its slice is closed meanwhile: by
/// the slice, or, if that came first, paid by the parent.
#[test]
pub fn overage_against_close() {
    explore("overage against close", 3, 4, || {
        let scene = Scene::new(100);
        let slice = slice(&scene, 60, true);
        let held = scene.ledger.reserve(slice, 60, NONE, None).unwrap();
        let other = beside(&scene.ledger, move |ledger| {
            ledger.commit(held, 70, Overage::Debt, None).unwrap();
        });
        scene.ledger.close(slice).unwrap();
        other.join().unwrap();
        let (owed, left) = (scene.ledger.owed(slice), scene.ledger.available(scene.root));
        assert!([(10, 40), (0, 30)].contains(&(owed, left)));
        assert_eq!(scene.ledger.audit(), []);
    });
}

/// Two overages in a closed slice lift each other's debt, and the parent pays each once.
#[test]
pub fn overage_against_overage_in_a_closed_slice() {
    explore("overage against overage in a closed slice", 3, 4, || {
        let scene = Scene::new(100);
        let slice = slice(&scene, 60, true);
        let held = [(); 2].map(|()| scene.ledger.reserve(slice, 30, NONE, None).unwrap());
        scene.ledger.close(slice).unwrap();
        let other = beside(&scene.ledger, move |ledger| {
            ledger.commit(held[0], 37, Overage::Debt, None).unwrap();
        });
        scene.ledger.commit(held[1], 34, Overage::Debt, None).unwrap();
        other.join().unwrap();
        assert_eq!([slice, scene.root].map(|at| scene.ledger.owed(at)), [0, 0]);
        assert_eq!(scene.ledger.available(scene.root), 29);
        assert_eq!(scene.ledger.audit(), []);
    });
}

/// A draw is recorded before what it pays for, and what is drawn too much is not spent before.
#[test]
pub fn draw_before_spend() {
    explore("draw before spend", 2, 4, || {
        let scene = Scene::new(60);
        let slice = slice(&scene, 40, false);
        let held = scene.ledger.reserve(slice, 30, NONE, None).unwrap();
        let other = beside(&scene.ledger, move |ledger| {
            ledger.release(held).unwrap();
            ledger.spend(slice, 20, NONE, None).is_ok()
        });
        let _ = scene.ledger.spend(slice, 25, NONE, None);
        other.join().unwrap();
        replay(&scene.ledger);
        assert_eq!(scene.ledger.audit(), []);
    });
}

/// An expiry is recorded after the reservation that it ends.
#[test]
pub fn reserve_before_expiry() {
    explore("reserve before expiry", 3, 5, || {
        let scene = Scene::new(60);
        let root = scene.root;
        let (ledger, clock) = (scene.ledger.clone(), scene.clock.clone());
        let other = loom::thread::spawn(move || {
            clock.advance(std::time::Duration::from_secs(1));
            ledger.expire();
        });
        scene.ledger.reserve(root, 60, NONE, Some(1)).unwrap();
        other.join().unwrap();
        replay(&scene.ledger);
    });
}

/// Every record is in the totals once, also of writers at the edge of a segment that is let go.
#[test]
pub fn two_writers_at_a_segments_edge() {
    explore("two writers at a segment's edge", 3, 4, || {
        let scene = Scene::keeping(100, 0);
        let root = scene.root;
        for _ in 0..6 {
            scene.ledger.spend(root, 1, NONE, None).unwrap();
        }
        let spend = move |ledger: &Ledger| {
            for _ in 0..2 {
                ledger.spend(root, 1, NONE, None).unwrap();
            }
        };
        let other = beside(&scene.ledger, spend);
        spend(&scene.ledger);
        other.join().unwrap();
        let sums = scene.ledger.sums(root);
        assert_eq!((sums.spent, sums.calls), (10, 10));
    });
}

/// Who adds up the records while a reservation begins and ends finds its beginning before its end.
#[test]
pub fn fold_against_reserve_and_release() {
    explore("fold against reserve and release", 3, 5, || {
        let scene = Scene::new(100);
        let root = scene.root;
        let other = beside(&scene.ledger, move |ledger| {
            let held = ledger.reserve(root, 10, NONE, None).unwrap();
            ledger.release(held).unwrap();
            ledger.forget(held);
        });
        let _ = scene.ledger.sums(root);
        other.join().unwrap();
        scene.assert_spent(0);
        assert_eq!(scene.ledger.sums(root).open, 0);
    });
}
