//! Charges against charges and against what changes a wallet meanwhile.

use outlay_core::Refusal;
use outlay_core::model::Tree;

use crate::{ALL, beside, explore, tree};

fn short(wallet: outlay_core::WalletId, asked: u64, available: u64) -> Refusal {
    Refusal::Short { wallet, asked, available }
}

/// Two slices of one parent pay without touching each other or the parent.
#[test]
pub fn two_slices_of_one_parent() {
    explore("two slices of one parent", ALL, ALL, || {
        let tree = tree();
        let root = tree.root(10);
        let (one, two) = (tree.slice(root, 20), tree.slice(root, 20));
        let other = beside(&tree, move |tree| tree.pay(one, 20).is_ok());
        assert!(tree.pay(two, 20).is_ok());
        assert_eq!(tree.pay(two, 1), Err(short(two, 1, 0)));
        assert!(other.join().unwrap());
        assert_eq!([root, one, two].map(|at| tree.balance(at)), [10, 0, 0]);
    });
}

/// One slice with money for one of two charges pays exactly one of them.
#[test]
pub fn two_charges_to_one_slice() {
    explore("two charges to one slice", ALL, ALL, || {
        let tree = tree();
        let root = tree.root(50);
        let other = beside(&tree, move |tree| tree.pay(root, 30));
        let mine = tree.pay(root, 40);
        let other = other.join().unwrap();
        match (mine.is_ok(), other.is_ok()) {
            (true, false) => assert_eq!(other, Err(short(root, 30, 10))),
            (false, true) => assert_eq!(mine, Err(short(root, 40, 20))),
            both => panic!("one of two is paid, not {both:?}"),
        }
    });
}

/// Two shared children whose parent has money for one of their charges: exactly one is paid, and
/// the other is told of the parent's rest.
#[test]
pub fn reserve_against_reserve_on_two_levels() {
    explore("reserve against reserve on two levels", 3, 4, || {
        let tree = tree();
        let root = tree.root(50);
        let (one, two) = (tree.shared(root, 100), tree.shared(root, 100));
        let other = beside(&tree, move |tree| tree.pay(one, 40));
        let mine = tree.pay(two, 30);
        let other = other.join().unwrap();
        match (mine.is_ok(), other.is_ok()) {
            (true, false) => assert_eq!(other, Err(short(root, 40, 20))),
            (false, true) => assert_eq!(mine, Err(short(root, 30, 10))),
            both => panic!("one of two is paid, not {both:?}"),
        }
        let spent = if mine.is_ok() { 30 } else { 40 };
        assert_eq!(tree.balance(root), 50 - spent);
        assert_eq!(tree.balance(one) + tree.balance(two), 200 - spent);
    });
}

/// The same on three levels, where the top is too poor for one of them and the middle for both.
#[test]
pub fn reserve_against_reserve_on_three_levels() {
    explore("reserve against reserve on three levels", 3, 4, || {
        let tree = tree();
        let root = tree.root(60);
        let middle = tree.shared(root, 70);
        let (one, two) = (tree.shared(middle, 100), tree.shared(middle, 100));
        let doomed = beside(&tree, move |tree| tree.pay(one, 65));
        tree.pay(two, 60).expect("a wrong refusal");
        assert!(doomed.join().unwrap().is_err());
        assert_eq!([root, middle, one, two].map(|at| tree.balance(at)), [0, 10, 100, 40]);
    });
}

/// A charge that cannot be paid never gets one refused that can.
#[test]
pub fn doomed_reserve_against_payable() {
    explore("doomed reserve against payable", 3, 4, || {
        let tree = tree();
        let root = tree.root(50);
        let leaf = tree.shared(root, 100);
        let doomed = beside(&tree, move |tree| tree.pay(leaf, 60));
        tree.pay(leaf, 50).expect("a wrong refusal");
        assert!(doomed.join().unwrap().is_err());
        assert_eq!([root, leaf].map(|at| tree.balance(at)), [0, 50]);
    });
}

/// A charge to a wallet alone is not refused for money that a doomed charge from below has there.
#[test]
pub fn doomed_reserve_against_payable_above() {
    explore("doomed reserve against payable above", 3, 4, || {
        let tree = tree();
        let root = tree.root(40);
        let middle = tree.shared(root, 50);
        let leaf = tree.shared(middle, 100);
        let doomed = beside(&tree, move |tree| tree.pay(leaf, 45));
        tree.pay(middle, 40).expect("a wrong refusal");
        assert!(doomed.join().unwrap().is_err());
        assert_eq!([root, middle, leaf].map(|at| tree.balance(at)), [0, 10, 100]);
    });
}

/// The same where the wallet is a slice that pays alone, and the doom is that its parent has
/// nothing for it to draw.
#[test]
pub fn doomed_draw_against_payable() {
    explore("doomed draw against payable", 3, 5, || {
        let tree = tree();
        let root = tree.root(5);
        let soft = tree.soft_slice(root, 50);
        let doomed = beside(&tree, move |tree| tree.pay(soft, 60));
        tree.pay(soft, 50).expect("a wrong refusal");
        assert!(doomed.join().unwrap().is_err());
        assert_eq!([root, soft].map(|at| tree.balance(at)), [5, 0]);
    });
}

/// Of three charges, one doomed and two that exclude each other, exactly one is paid.
#[test]
pub fn three_reserves() {
    explore("three reserves", 2, 3, || {
        let tree = tree();
        let root = tree.root(50);
        let (one, two) = (tree.shared(root, 100), tree.shared(root, 100));
        let doomed = beside(&tree, move |tree| tree.pay(one, 60).is_ok());
        let other = beside(&tree, move |tree| tree.pay(one, 50).is_ok());
        let mine = tree.pay(two, 40).is_ok();
        let (doomed, other) = (doomed.join().unwrap(), other.join().unwrap());
        assert!(!doomed);
        assert!(mine != other, "one of two is paid, not {mine} and {other}");
        let spent = if mine { 40 } else { 50 };
        assert_eq!(tree.balance(root), 50 - spent);
        assert_eq!(tree.balance(one) + tree.balance(two), 200 - spent);
    });
}

/// Money that comes back is there for the next call, and what is seen below is backed above: while
/// it is on its way, a refusal is the lowest wallet's.
#[test]
pub fn reserve_against_release_on_three_levels() {
    explore("reserve against release on three levels", 2, 3, || {
        let tree = tree();
        let root = tree.root(50);
        let middle = tree.shared(root, 50);
        let leaf = tree.shared(middle, 50);
        let held = tree.pay(leaf, 30).unwrap();
        let other = beside(&tree, move |tree| {
            tree.give_back(held);
            tree.pay(leaf, 1).expect("what came back is there");
        });
        tree.pay(leaf, 19).expect("that much was never away");
        match tree.pay(leaf, 30) {
            Ok(_) => other.join().unwrap(),
            refused => {
                assert!(matches!(refused, Err(Refusal::Short { wallet, .. }) if wallet == leaf));
                other.join().unwrap();
                tree.pay(leaf, 30).expect("what came back is there");
            }
        }
        assert_eq!([root, middle, leaf].map(|at| tree.balance(at)), [0; 3]);
    });
}

/// A refill is there for the next call, and lost for none.
#[test]
pub fn refill_against_reserve() {
    explore("refill against reserve", ALL, ALL, || {
        let tree = tree();
        let root = tree.root(10);
        let leaf = tree.shared(root, 100);
        let other = beside(&tree, move |tree| tree.add(root, 40));
        let early = tree.pay(leaf, 50);
        other.join().unwrap();
        if early.is_err() {
            assert_eq!(early, Err(short(root, 50, 10)));
            tree.pay(leaf, 50).expect("the refill is there");
        }
        assert_eq!([root, leaf].map(|at| tree.balance(at)), [0, 50]);
    });
}

/// Once a freeze has returned nothing is paid through the wallet, not even by a call that was under
/// way; unfrozen, it pays again.
#[test]
pub fn freeze_against_reserve() {
    for lower in [false, true] {
        explore("freeze against reserve", 3, 4, move || {
            let tree = tree();
            let root = tree.root(50);
            let leaf = tree.shared(root, 100);
            let frozen = if lower { leaf } else { root };
            let other = beside(&tree, move |tree| tree.pay(leaf, 30));
            tree.freeze(frozen);
            let rest = tree.balance_now(root);
            assert_eq!(tree.pay(leaf, 10), Err(Refusal::Frozen(frozen)));
            match other.join().unwrap() {
                Ok(_) => assert_eq!(rest, 20),
                refused => assert_eq!(refused, Err(Refusal::Frozen(frozen))),
            }
            assert!(rest == tree.balance(root) || rest == 20);
            assert_eq!(tree.balance(root) + 50, tree.balance(leaf));
            tree.unfreeze(frozen);
            tree.pay(leaf, 10).expect("it is not frozen any more");
        });
    }
}

/// A slice that is closed gives its parent what was not spent, to the last unit.
#[test]
pub fn close_against_spend() {
    explore("close against spend", ALL, ALL, || {
        let tree = tree();
        let root = tree.root(0);
        let slice = tree.slice(root, 50);
        let other = beside(&tree, move |tree| tree.pay(slice, 30));
        let rest = close(&tree, root, slice);
        match other.join().unwrap() {
            Ok(_) => assert_eq!(rest, 20),
            refused => assert_eq!((refused, rest), (Err(Refusal::Closed(slice)), 50)),
        }
        assert_eq!([tree.balance(slice), tree.balance(root)], [0, rest as i64]);
    });
}

/// The same where the money is spent by a shared child of the slice.
#[test]
pub fn close_against_reserve_from_below() {
    explore("close against reserve from below", 3, 5, || {
        let tree = tree();
        let root = tree.root(0);
        let slice = tree.slice(root, 50);
        let leaf = tree.shared(slice, 100);
        let other = beside(&tree, move |tree| tree.pay(leaf, 30));
        let rest = close(&tree, root, slice);
        match other.join().unwrap() {
            Ok(_) => assert_eq!(rest, 20),
            refused => assert_eq!((refused, rest), (Err(Refusal::Closed(slice)), 50)),
        }
        assert_eq!([tree.balance(slice), tree.balance(root)], [0, rest as i64]);
    });
}

/// Money that comes back to a slice while it is closed ends in its parent, before or after.
#[test]
pub fn close_against_release() {
    explore("close against release", ALL, ALL, || {
        let tree = tree();
        let root = tree.root(0);
        let slice = tree.slice(root, 50);
        let held = tree.pay(slice, 30).unwrap();
        let other = beside(&tree, move |tree| tree.give_back(held));
        close(&tree, root, slice);
        other.join().unwrap();
        assert_eq!([tree.balance(slice), tree.balance(root)], [0, 50]);
    });
}

/// A soft slice that is closed while a doomed charge would have drawn gives all it has.
#[test]
pub fn close_against_draw() {
    explore("close against draw", 3, 5, || {
        let tree = tree();
        let root = tree.root(5);
        let soft = tree.soft_slice(root, 50);
        let other = beside(&tree, move |tree| tree.pay(soft, 60));
        assert_eq!(close(&tree, root, soft), 50);
        assert!(other.join().unwrap().is_err());
        assert_eq!([tree.balance(soft), tree.balance(root)], [0, 55]);
    });
}

fn close(tree: &Tree, root: outlay_core::WalletId, slice: outlay_core::WalletId) -> u64 {
    assert!(tree.shut(slice));
    let rest = tree.empty(slice);
    tree.add(root, rest);
    rest
}

/// A slice's budget and a spend that exclude each other: the parent pays exactly one.
#[test]
pub fn slice_creation_against_spend() {
    explore("slice creation against spend", 3, 5, || {
        let tree = tree();
        let root = tree.root(100);
        let middle = tree.shared(root, 100);
        let other = beside(&tree, move |tree| tree.move_out(middle, 60));
        let mine = tree.pay(root, 50);
        match (mine.is_ok(), other.join().unwrap()) {
            (false, Ok(_)) => assert_eq!(mine, Err(short(root, 50, 40))),
            (true, refused) => assert_eq!(refused, Err(short(root, 60, 50))),
            (false, Err(_)) => panic!("one of two is paid"),
        }
    });
}

/// A soft slice's draw and a spend of its parent's that exclude each other: exactly one is paid.
#[test]
pub fn draw_against_spend_on_the_parent() {
    explore("draw against spend on the parent", 3, 5, || {
        let tree = tree();
        let root = tree.root(20);
        let soft = tree.soft_slice(root, 10);
        let other = beside(&tree, move |tree| tree.pay(soft, 25));
        let mine = tree.pay(root, 10);
        match (mine.is_ok(), other.join().unwrap()) {
            (false, Ok(_)) => {
                assert_eq!(mine, Err(short(root, 10, 5)));
                assert_eq!([tree.balance(root), tree.balance(soft)], [5, 0]);
            }
            (true, refused) => {
                assert_eq!(refused, Err(short(root, 15, 10)));
                assert_eq!([tree.balance(root), tree.balance(soft)], [10, 10]);
            }
            (false, Err(_)) => panic!("one of two is paid"),
        }
    });
}

/// Two charges to one soft slice draw one after the other: both are paid if there is enough in all,
/// and exactly one if there is not.
#[test]
pub fn draw_against_draw() {
    for (amount, both) in [(10, true), (15, false)] {
        explore("draw against draw", 2, 4, move || {
            let tree = tree();
            let root = tree.root(20);
            let soft = tree.soft_slice(root, 10);
            let other = beside(&tree, move |tree| tree.pay(soft, amount).is_ok());
            let mine = tree.pay(soft, 20).is_ok();
            let other = other.join().unwrap();
            assert!(if both { mine && other } else { mine != other });
            let spent = if mine { 20 } else { 0 } + if other { amount as i64 } else { 0 };
            assert_eq!(tree.balance(root) + tree.balance(soft), 30 - spent);
            assert!(tree.balance(soft) >= 0 && tree.balance(root) >= 0);
        });
    }
}

/// A charge from below a soft slice, which draws, against one of the slice's own.
#[test]
pub fn draw_from_below_against_draw() {
    explore("draw from below against draw", 2, 4, || {
        let tree = tree();
        let root = tree.root(20);
        let soft = tree.soft_slice(root, 10);
        let leaf = tree.shared(soft, 100);
        let other = beside(&tree, move |tree| tree.pay(leaf, 22).is_ok());
        let mine = tree.pay(soft, 12).is_ok();
        let other = other.join().unwrap();
        assert!(mine != other, "one of two is paid");
        let spent = if mine { 12 } else { 22 };
        assert_eq!(tree.balance(root) + tree.balance(soft), 30 - spent);
        assert_eq!(tree.balance(leaf), if mine { 100 } else { 78 });
    });
}

/// All who finish a charge go by one draw, also when the slice gets money meanwhile; and what was
/// drawn is handed back with a release.
#[test]
pub fn draw_against_refill_of_the_slice() {
    explore("draw against refill of the slice", 3, 4, || {
        let tree = tree();
        let root = tree.root(20);
        let soft = tree.soft_slice(root, 10);
        let other = beside(&tree, move |tree| {
            tree.add(soft, 7);
            tree.pay(soft, 4).is_ok()
        });
        let held = tree.pay(soft, 25).expect("there is enough");
        assert!(other.join().unwrap());
        assert_eq!(tree.balance(root) + tree.balance(soft), 8);
        assert!(tree.balance(soft) >= 0 && tree.balance(root) >= 0);
        tree.give_back(held);
        // The smaller charge may have had to draw as well.
        assert!([(20, 13), (16, 17)].contains(&(tree.balance(root), tree.balance(soft))));
    });
}

/// What is spent beyond a reservation is taken whatever there is, once, and what others have set
/// aside stays theirs.
#[test]
pub fn forced_overage_against_reserve() {
    explore("forced overage against reserve", 3, 4, || {
        let tree = tree();
        let root = tree.root(50);
        let leaf = tree.shared(root, 100);
        let other = beside(&tree, move |tree| tree.force(leaf, 30));
        let mine = tree.pay(leaf, 40);
        other.join().unwrap();
        if mine.is_err() {
            assert_eq!(mine, Err(short(root, 40, 20)));
        }
        let spent = 30 + if mine.is_ok() { 40 } else { 0 };
        assert_eq!([root, leaf].map(|at| tree.balance(at)), [50 - spent, 100 - spent]);
    });
}

/// A forced charge to a soft slice does not pass for what a charge under way has to draw.
#[test]
pub fn forced_overage_against_draw() {
    explore("forced overage against draw", 3, 4, || {
        let tree = tree();
        let root = tree.root(20);
        let soft = tree.soft_slice(root, 10);
        let other = beside(&tree, move |tree| tree.force(soft, 8));
        let mine = tree.pay(soft, 15).expect("there is enough, or the slice draws");
        other.join().unwrap();
        assert_eq!(tree.balance(root) + tree.balance(soft), 7);
        // Before the overage it drew 5 and now owes 8; after it it drew 13.
        assert!([(15, -8), (7, 0)].contains(&(tree.balance(root), tree.balance(soft))));
        tree.give_back(mine);
        assert_eq!(tree.balance(root), 20);
    });
}

/// No wallet is seen below zero while others reserve, release and are refused.
#[test]
pub fn a_look_at_any_time() {
    explore("a look at any time", 3, 4, || {
        let tree = tree();
        let root = tree.root(50);
        let (one, two) = (tree.shared(root, 30), tree.shared(root, 100));
        let other = beside(&tree, move |tree| {
            if let Ok(held) = tree.pay(one, 30) {
                tree.give_back(held);
            }
        });
        let mine = tree.pay(two, 51);
        assert!(mine.is_err());
        for wallet in [one, two, root] {
            assert!(tree.balance_now(wallet) >= 0);
        }
        other.join().unwrap();
        assert_eq!([root, one, two].map(|at| tree.balance(at)), [50, 30, 100]);
    });
}
