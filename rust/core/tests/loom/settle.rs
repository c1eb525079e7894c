//! Commit, release and expiry of one reservation, and the slots that reservations live in.

use std::time::Duration;

use outlay_core::{Error, LabelsId, Overage, ReservationId, Settled};

use crate::{ALL, Scene, beside, explore};

const NONE: LabelsId = LabelsId(0);

/// A reservation whose time runs out while it is committed and released is settled once, one way,
/// and its money moves once.
#[test]
pub fn commit_against_release_against_expiry() {
    for amount in [25, 60] {
        explore("commit against release against expiry", 2, 2, move || {
            let scene = Scene::new(100);
            let root = scene.root;
            let id = scene.ledger.reserve(root, 60, NONE, Some(1)).unwrap();
            let commit = beside(&scene.ledger, move |ledger| {
                ledger.commit(id, amount, Overage::Debt, None).is_ok()
            });
            let (ledger, clock) = (scene.ledger.clone(), scene.clock.clone());
            let expiry = loom::thread::spawn(move || {
                clock.advance(Duration::from_secs(1));
                ledger.expire();
            });
            let released = scene.ledger.release(id).is_ok();
            let committed = commit.join().unwrap();
            expiry.join().unwrap();
            let spent = match scene.ledger.settled(id).unwrap().expect("three settled it") {
                Settled::Committed(spent) => {
                    assert!(committed && !released);
                    spent
                }
                Settled::Released => {
                    assert!(released && !committed);
                    0
                }
                Settled::Expired => {
                    assert!(!released && !committed);
                    0
                }
            };
            scene.assert_spent(spent);
        });
    }
}

/// Of two of them, explored deeper, one wins and the other is told so.
fn against_expiry(
    name: &str,
    settle: fn(&outlay_core::Ledger, ReservationId) -> Result<u64, Error>,
) {
    explore(name, 3, 5, move || {
        let scene = Scene::new(100);
        let id = scene.ledger.reserve(scene.root, 60, NONE, Some(1)).unwrap();
        let (ledger, clock) = (scene.ledger.clone(), scene.clock.clone());
        let other = loom::thread::spawn(move || {
            clock.advance(Duration::from_secs(1));
            ledger.expire()
        });
        let mine = settle(&scene.ledger, id);
        let expired = other.join().unwrap();
        match scene.ledger.settled(id).unwrap().expect("two settled it") {
            Settled::Expired => assert_eq!(mine, Err(Error::Settled(Settled::Expired))),
            _ => assert!(mine.is_ok() && expired == 0),
        }
        scene.assert_spent(mine.unwrap_or(0));
    });
}

/// Commit against expiry.
#[test]
pub fn commit_against_expiry() {
    against_expiry("commit against expiry", |ledger, id| {
        ledger.commit(id, 25, Overage::Debt, None).map(|_| 25)
    });
}

/// Release against expiry.
#[test]
pub fn release_against_expiry() {
    against_expiry("release against expiry", |ledger, id| ledger.release(id).map(|()| 0));
}

/// Commit against release: one wins, and the other is told so.
#[test]
pub fn commit_against_release() {
    explore("commit against release", ALL, ALL, || {
        let scene = Scene::new(100);
        let id = scene.ledger.reserve(scene.root, 60, NONE, None).unwrap();
        let other = beside(&scene.ledger, move |ledger| ledger.release(id));
        let mine = scene.ledger.commit(id, 25, Overage::Debt, None);
        match other.join().unwrap() {
            Ok(()) => {
                assert_eq!(mine.unwrap_err(), Error::Settled(Settled::Released));
                scene.assert_spent(0);
            }
            Err(error) => {
                assert_eq!(error, Error::Settled(Settled::Committed(25)));
                assert_eq!(mine.unwrap().unwrap().amount, 25);
                scene.assert_spent(25);
            }
        }
    });
}

/// Two commits of different amounts charge one of them, and nobody is told of the other.
#[test]
pub fn double_commit() {
    for amounts in [(25, 30), (60, 25), (60, 60)] {
        explore("double commit", ALL, ALL, move || {
            let scene = Scene::new(100);
            let id = scene.ledger.reserve(scene.root, 60, NONE, None).unwrap();
            let commit = move |ledger: &outlay_core::Ledger, amount| match ledger.commit(
                id,
                amount,
                Overage::Debt,
                None,
            ) {
                Ok(charge) => (true, charge.unwrap().amount),
                Err(Error::Settled(Settled::Committed(before))) => (false, before),
                Err(other) => panic!("{other:?}"),
            };
            let other = beside(&scene.ledger, move |ledger| commit(ledger, amounts.0));
            let (won, mine) = commit(&scene.ledger, amounts.1);
            let (other_won, other) = other.join().unwrap();
            assert!(!(won && other_won), "both were told that they committed");
            assert!(mine == other && (mine == amounts.0 || mine == amounts.1));
            scene.assert_spent(mine);
        });
    }
}

/// Money held beyond its time gets nothing refused: not while another is just giving it back
/// either.
#[test]
pub fn expired_hold_against_two_spends() {
    explore("expired hold against two spends", 2, 4, || {
        let scene = Scene::new(100);
        let root = scene.root;
        scene.ledger.reserve(root, 100, NONE, Some(1)).unwrap();
        scene.clock.advance(Duration::from_secs(1));
        let other = beside(&scene.ledger, move |ledger| ledger.spend(root, 50, NONE, None).is_ok());
        assert!(scene.ledger.spend(root, 50, NONE, None).is_ok(), "a wrong refusal");
        assert!(other.join().unwrap(), "a wrong refusal");
        scene.assert_spent(100);
    });
}

/// The same where every wallet of a path has to give back and to pay.
#[test]
pub fn expired_hold_against_two_spends_on_a_path() {
    explore("expired hold against two spends on a path", 2, 3, || {
        let scene = Scene::new(100);
        let leaf = scene.shared(100);
        scene.ledger.reserve(leaf, 100, NONE, Some(1)).unwrap();
        scene.clock.advance(Duration::from_secs(1));
        let other = beside(&scene.ledger, move |ledger| ledger.spend(leaf, 50, NONE, None).is_ok());
        assert!(scene.ledger.spend(leaf, 50, NONE, None).is_ok(), "a wrong refusal");
        assert!(other.join().unwrap(), "a wrong refusal");
        assert_eq!(scene.ledger.available(leaf), 0);
        assert_eq!(scene.ledger.audit(), []);
    });
}

/// A commit above what was set aside against one below: one of them is charged, and who is told
/// that it is its own is right.
#[test]
pub fn commit_above_against_commit_below() {
    for (mine, other) in [(70, 25), (70, 80)] {
        explore("commit above against commit below", ALL, ALL, move || {
            let scene = Scene::new(100);
            let id = scene.ledger.reserve(scene.root, 60, NONE, None).unwrap();
            let commit = move |ledger: &outlay_core::Ledger, amount| match ledger.commit(
                id,
                amount,
                Overage::Debt,
                None,
            ) {
                Ok(charge) => {
                    assert_eq!(charge.unwrap().amount, amount, "told of another's amount");
                    amount
                }
                Err(Error::Settled(Settled::Committed(before))) => before,
                Err(other) => panic!("{other:?}"),
            };
            let beside = beside(&scene.ledger, move |ledger| commit(ledger, other));
            let told = commit(&scene.ledger, mine);
            assert_eq!(told, beside.join().unwrap());
            scene.assert_spent(told);
        });
    }
}

/// Who lets go of a reservation while it expires charges it in full or leaves it expired, and frees
/// its slot once.
#[test]
pub fn forget_against_expiry() {
    explore("forget against expiry", 3, 4, || {
        let scene = Scene::new(100);
        let root = scene.root;
        let id = scene.ledger.reserve(root, 60, NONE, Some(1)).unwrap();
        let (ledger, clock) = (scene.ledger.clone(), scene.clock.clone());
        let other = loom::thread::spawn(move || {
            clock.advance(Duration::from_secs(1));
            ledger.expire()
        });
        let committed = scene.ledger.forget(id);
        let next = scene.ledger.reserve(root, 10, NONE, None).unwrap();
        let expired = other.join().unwrap();
        assert!(expired == 0 || !committed);
        scene.ledger.release(next).expect("it is held");
        scene.ledger.forget(next);
        scene.assert_spent(if committed { 60 } else { 0 });
    });
}

/// A deadline that is noted while another sweeps is not forgotten.
#[test]
pub fn sweep_against_reserve() {
    explore("sweep against reserve", 3, 5, || {
        let scene = Scene::new(100);
        let root = scene.root;
        // Due at once, so that the sweep has something to look for.
        scene.ledger.reserve(root, 10, NONE, Some(1)).unwrap();
        scene.clock.advance(Duration::from_nanos(1));
        let other = beside(&scene.ledger, move |ledger| {
            ledger.reserve(root, 50, NONE, Some(1)).unwrap();
        });
        scene.ledger.expire();
        other.join().unwrap();
        scene.clock.advance(Duration::from_nanos(1));
        scene.ledger.expire();
        assert_eq!(scene.ledger.available(root), 100);
        scene.assert_spent(0);
    });
}

/// A sweeper that comes late to a slot leaves the reservation alone that has it now.
#[test]
pub fn late_sweeper_against_the_next_reservation() {
    explore("late sweeper against the next reservation", 3, 4, || {
        let scene = Scene::new(100);
        let root = scene.root;
        let first = scene.ledger.reserve(root, 60, NONE, Some(1)).unwrap();
        scene.clock.advance(Duration::from_secs(1));
        let other = beside(&scene.ledger, move |ledger| {
            let _ = ledger.release(first);
            ledger.forget(first);
            ledger.reserve(root, 10, NONE, None).unwrap()
        });
        scene.ledger.expire();
        let second = other.join().unwrap();
        scene.ledger.release(second).expect("it is held");
        scene.ledger.forget(second);
        scene.assert_spent(0);
    });
}

/// Two reservations never get one slot, whatever is freed meanwhile.
#[test]
pub fn two_reservations_from_the_free_list() {
    explore("two reservations from the free list", 3, 5, || {
        let scene = Scene::new(100);
        let (ledger, root) = (&scene.ledger, scene.root);
        let drop = |id: ReservationId| {
            ledger.release(id).unwrap();
            ledger.forget(id);
        };
        let free = [1, 1].map(|amount| ledger.reserve(root, amount, NONE, None).unwrap());
        free.into_iter().for_each(drop);
        let other = beside(ledger, move |ledger| ledger.reserve(root, 1, NONE, None).unwrap());
        let first = ledger.reserve(root, 1, NONE, None).unwrap();
        let second = ledger.reserve(root, 1, NONE, None).unwrap();
        drop(first);
        let other = other.join().unwrap();
        let third = ledger.reserve(root, 1, NONE, None).unwrap();
        for id in [second, third, other] {
            assert_eq!(ledger.settled(id), Ok(None));
            drop(id);
        }
        scene.assert_spent(0);
    });
}
