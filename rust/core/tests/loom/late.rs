//! Helpers that come late: after the grant, after the refusal, after the slot went to another.

use crate::{beside, explore, tree};

/// A helper that comes after the grant, and after the money is back, charges nothing again.
#[test]
pub fn helper_after_the_grant() {
    explore("helper after the grant", 3, 4, || {
        let tree = tree();
        let root = tree.root(50);
        let leaf = tree.shared(root, 50);
        let other = beside(&tree, move |tree| {
            tree.pay(leaf, 30).expect("there is enough for both");
        });
        let held = tree.pay(leaf, 20).expect("there is enough for both");
        tree.give_back(held);
        other.join().unwrap();
        assert_eq!([root, leaf].map(|at| tree.balance(at)), [20, 20]);
    });
}

/// A helper that comes after a newer charge took the wallet does not charge the older one again.
#[test]
pub fn helper_after_a_newer_charge() {
    explore("helper after a newer charge", 3, 4, || {
        let tree = tree();
        let root = tree.root(60);
        let leaf = tree.shared(root, 60);
        let other = beside(&tree, move |tree| {
            tree.pay(leaf, 10).expect("there is enough for all");
            tree.pay(leaf, 20).expect("there is enough for all");
        });
        tree.pay(leaf, 30).expect("there is enough for all");
        other.join().unwrap();
        assert_eq!([root, leaf].map(|at| tree.balance(at)), [0, 0]);
    });
}

/// A helper that comes after the refusal may take the money once more, and puts it back itself.
#[test]
pub fn helper_after_the_refusal() {
    explore("helper after the refusal", 2, 4, || {
        let tree = tree();
        let root = tree.root(50);
        let middle = tree.shared(root, 100);
        let leaf = tree.shared(middle, 100);
        let doomed = beside(&tree, move |tree| tree.pay(leaf, 60).is_ok());
        assert!(tree.pay(middle, 70).is_err());
        tree.pay(middle, 50).expect("a wrong refusal");
        assert!(!doomed.join().unwrap());
        assert_eq!([root, middle, leaf].map(|at| tree.balance(at)), [0, 50, 100]);
    });
}

/// A helper that comes after the slot went to another reservation leaves that one alone.
#[test]
pub fn helper_after_the_slot_was_recycled() {
    explore("helper after the slot was recycled", 3, 4, || {
        let tree = tree();
        let root = tree.root(50);
        let leaf = tree.shared(root, 100);
        let other = beside(&tree, move |tree| {
            tree.pay(leaf, 20).expect("a wrong refusal");
        });
        assert!(tree.pay(leaf, 60).is_err());
        tree.pay(leaf, 10).expect("a wrong refusal");
        other.join().unwrap();
        assert_eq!([root, leaf].map(|at| tree.balance(at)), [20, 70]);
    });
}
