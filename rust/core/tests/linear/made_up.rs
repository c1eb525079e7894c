//! Histories made up by hand: the search has to reject what cannot have happened, and nothing else.

use super::model::{Answer, Kin, Op};
use super::search::{Call, explain};

use Answer::{Amount, Charged, Committed, Done, Released};

const ROOT: usize = 0;
const LEAF: usize = 1;

fn call(began: u64, ended: u64, op: Op, answer: Answer) -> Call {
    Call { op, answer, began, ended }
}

fn spend(began: u64, ended: u64, at: usize, amount: u64, answer: Answer) -> Call {
    call(began, ended, Op::Spend { at, amount }, answer)
}

fn reserve(began: u64, ended: u64, at: usize, hold: usize, amount: u64, answer: Answer) -> Call {
    call(began, ended, Op::Reserve { at, amount, hold }, answer)
}

fn look(began: u64, ended: u64, at: usize, available: u64) -> Call {
    call(began, ended, Op::Available { at }, Amount(available))
}

fn short(at: usize, asked: u64, available: u64) -> Answer {
    Answer::Short { at, asked, available }
}

/// Whether there is an explanation, with a root of 50 and a shared leaf of 100 made before.
fn holds(mut threads: Vec<Vec<Call>>) -> bool {
    let family = [
        Kin { parent: None, shared: false, hard: true },
        Kin { parent: Some(ROOT), shared: true, hard: true },
    ];
    let made = vec![
        call(0, 1, Op::Create { at: ROOT, budget: 50 }, Done),
        call(2, 3, Op::Create { at: LEAF, budget: 100 }, Done),
    ];
    threads.insert(0, made);
    explain(&family, 3, &threads).is_ok()
}

/// Refused while nobody but a doomed request held money: wrong. Refused beside a grant: right.
#[test]
fn a_false_refusal_is_found() {
    let doomed = reserve(10, 20, LEAF, 0, 60, short(ROOT, 60, 50));
    let refused = |available| reserve(11, 19, LEAF, 1, 50, short(ROOT, 50, available));
    assert!(!holds(vec![vec![doomed], vec![refused(0)]]));
    assert!(holds(vec![vec![doomed], vec![reserve(11, 19, LEAF, 1, 50, Done)]]));
    assert!(holds(vec![vec![spend(10, 20, LEAF, 30, Done)], vec![refused(20)]]));
    // It says what was left, and that must have been so as well.
    assert!(!holds(vec![vec![spend(10, 20, LEAF, 30, Done)], vec![refused(30)]]));
}

/// Two charges of which one has left no trace.
#[test]
fn a_lost_update_is_found() {
    let both = |left| {
        let twice = vec![vec![spend(10, 20, ROOT, 5, Done)], vec![spend(11, 21, ROOT, 5, Done)]];
        holds([twice, vec![vec![look(30, 31, ROOT, left)]]].concat())
    };
    assert!(both(40));
    assert!(!both(45));
    assert!(!both(50));
}

/// The same money, charged twice.
#[test]
fn a_double_spend_is_found() {
    let first = spend(10, 20, ROOT, 40, Done);
    assert!(!holds(vec![vec![first], vec![spend(11, 21, LEAF, 40, Done)]]));
    assert!(holds(vec![vec![first], vec![spend(11, 21, LEAF, 40, short(ROOT, 40, 10))]]));
    assert!(holds(vec![vec![first], vec![spend(11, 21, LEAF, 10, Done)]]));
}

/// What returned before a call began is seen by it; what has not may be.
#[test]
fn a_stale_read_is_found() {
    let paid = spend(10, 20, LEAF, 30, Done);
    assert!(!holds(vec![vec![paid], vec![look(21, 22, ROOT, 50)]]));
    assert!(!holds(vec![vec![paid], vec![look(21, 22, LEAF, 100)]]));
    assert!(holds(vec![vec![paid], vec![look(19, 22, ROOT, 50)]]));
    assert!(holds(vec![vec![paid], vec![look(19, 22, ROOT, 20)]]));
    // Once seen, it does not go away.
    let back_again = vec![look(11, 12, ROOT, 20), look(13, 14, ROOT, 50)];
    assert!(!holds(vec![vec![paid], back_again]));
}

/// Both wallets of a path pay at one instant: nobody sees that only one has.
#[test]
fn half_a_charge_is_found() {
    let paid = spend(10, 20, LEAF, 30, Done);
    assert!(!holds(vec![vec![paid], vec![look(11, 12, LEAF, 70), look(13, 14, ROOT, 50)]]));
    assert!(!holds(vec![vec![paid], vec![look(11, 12, ROOT, 20), look(13, 14, LEAF, 100)]]));
    assert!(holds(vec![vec![paid], vec![look(11, 12, LEAF, 100), look(13, 14, ROOT, 20)]]));
}

/// Money comes back from the top down, before the call that gives it back is over.
#[test]
fn money_that_does_not_come_back_is_found() {
    let held = reserve(10, 11, LEAF, 0, 30, Done);
    let release = call(12, 20, Op::Release { hold: 0 }, Done);
    let story = |looks: Vec<Call>| holds(vec![vec![held, release], looks]);
    assert!(story(vec![look(13, 14, ROOT, 50), look(15, 16, LEAF, 70)]));
    assert!(!story(vec![look(13, 14, LEAF, 100), look(15, 16, ROOT, 20)]));
    assert!(story(vec![look(21, 22, LEAF, 100), look(23, 24, ROOT, 50)]));
    assert!(!story(vec![look(21, 22, LEAF, 70)]));
}

/// A reservation ends once, and who comes late is told how.
#[test]
fn a_reservation_that_ends_twice_is_found() {
    let held = reserve(10, 11, ROOT, 0, 30, Done);
    let story = |committed, released, left| {
        let commit = call(12, 20, Op::Commit { hold: 0, amount: 20, strict: false }, committed);
        let release = call(13, 21, Op::Release { hold: 0 }, released);
        holds(vec![vec![held, commit], vec![release], vec![look(30, 31, ROOT, left)]])
    };
    assert!(story(Charged(20), Committed(20), 30));
    assert!(story(Released, Done, 50));
    assert!(!story(Charged(20), Done, 30));
    assert!(!story(Released, Committed(20), 30));
    assert!(!story(Charged(20), Committed(20), 20));
    assert!(!story(Released, Done, 30));
}

/// A wallet does not pay once it is frozen or closed, and pays until then.
#[test]
fn a_charge_to_a_frozen_wallet_is_found() {
    for (stop, said) in [
        (call(10, 20, Op::Freeze { at: ROOT, frozen: true }, Done), Answer::Frozen(LEAF)),
        (call(10, 20, Op::Close { at: LEAF }, Amount(0)), Answer::Closed(LEAF)),
    ] {
        assert!(holds(vec![vec![stop], vec![spend(11, 12, LEAF, 1, Done)]]));
        assert!(holds(vec![vec![stop], vec![spend(11, 12, LEAF, 1, said)]]));
        assert!(!holds(vec![vec![stop], vec![spend(21, 22, LEAF, 1, Done)]]));
        assert!(!holds(vec![vec![stop], vec![spend(8, 9, LEAF, 1, said)]]));
    }
}
