//! Whatever the names: a wallet is made exactly when its name is one, and is found by it again.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use outlay_core::{Config, Error, Ledger, MAX_NAME, NewWallet};

/// The rule once more, as the documentation has it.
fn is_name(name: &str) -> bool {
    let forbidden =
        |c: char| c == '/' || ('\0'..' ').contains(&c) || ('\x7f'..'\u{a0}').contains(&c);
    (1..=MAX_NAME).contains(&name.len()) && !name.contains(forbidden)
}

fuzz_target!(|names: Vec<(bool, &str)>| {
    let ledger = Ledger::new(Config { keep: 0, ..Config::default() });
    let mut made = Vec::new();
    let mut taken = HashSet::new();
    for (below, name) in names {
        let parent = made.last().copied().filter(|_| below);
        let new = NewWallet { parent, name, budget: 0, shared: true, hard: true, metadata: None };
        match ledger.create(NewWallet { shared: parent.is_some(), ..new }) {
            Ok(wallet) => {
                assert!(is_name(name) && taken.insert((parent, name.to_owned())));
                assert_eq!((ledger.name(wallet), ledger.parent(wallet)), (name, parent));
                assert_eq!(ledger.find(parent, name), Some(wallet));
                made.push(wallet);
            }
            Err(Error::Name(_)) => assert!(!is_name(name)),
            Err(Error::Duplicate) => assert!(taken.contains(&(parent, name.to_owned()))),
            Err(Error::TooDeep) => assert!(made.len() >= outlay_core::MAX_DEPTH),
            Err(other) => panic!("{other:?} for {name:?}"),
        }
    }
    for wallet in made {
        let mut at = None;
        for name in ledger.path(wallet).split('/') {
            at = ledger.find(at, name);
            assert!(at.is_some());
        }
        assert_eq!(at, Some(wallet));
    }
});
