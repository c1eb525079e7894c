//! Who races: the engine, and what one would write instead of it.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use outlay_core::{Config, LabelsId, Ledger, NewWallet, Overage, WalletId};
use parking_lot::Mutex;
use portable_atomic::AtomicU128;

use crate::clock::wall;

/// What every reservation asks for, and every spend costs.
pub const ASKED: u64 = 5;

/// More than any bench spends; every wallet above has twice as much.
const BUDGET: u64 = 1 << 53;
/// What a leaf's account has when no tree divides it.
const ALL: u64 = 1 << 61;

/// How many records are kept: as many as the engine keeps unless told otherwise.
const KEPT: usize = 65_536;

const RESERVED: u64 = 1;
const COMMITTED: u64 = 2;
const SPENT: u64 = 3;

/// What pays: a chain of wallets that ends in two siblings, the leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Every wallet of the chain pays, not only the leaf.
    pub shared: bool,
    /// How many wallets a leaf's path has, itself included.
    pub depth: usize,
}

/// All contestants take money out of one of two leaves, and refuse what is not there.
pub trait Contestant: Sync {
    fn new(shape: Shape) -> Self;

    /// Sets [`ASKED`] aside, spends `spent` of it and gives the rest back.
    fn pair(&self, leaf: usize, spent: u64);

    /// Spends [`ASKED`] at once.
    fn spend(&self, leaf: usize);
}

/// outlay: the tree, what is set aside, a record of every change, and totals of them.
pub struct Engine {
    pub ledger: Ledger,
    pub leaves: [WalletId; 2],
}

impl Contestant for Engine {
    fn new(Shape { shared, depth }: Shape) -> Self {
        let ledger = Ledger::new(Config::default());
        let wallet = |parent: Option<WalletId>, name: &str, budget| {
            let shared = shared && parent.is_some();
            let new = NewWallet { parent, name, budget, shared, hard: true, metadata: None };
            ledger.create(new).expect("its parent has twice as much")
        };
        let mut parent = None;
        for below in (1..depth).rev() {
            parent = Some(wallet(parent, "trunk", BUDGET << below));
        }
        let leaves = ["left", "right"].map(|name| wallet(parent, name, BUDGET));
        Engine { ledger, leaves }
    }

    #[inline]
    fn pair(&self, leaf: usize, spent: u64) {
        let wallet = self.leaves[leaf];
        let id = self.ledger.reserve(wallet, ASKED, LabelsId(0), None).expect("it is there");
        let charge = self.ledger.commit(id, spent, Overage::Debt, None).expect("it is held");
        black_box(charge);
        self.ledger.forget(id);
    }

    #[inline]
    fn spend(&self, leaf: usize) {
        let wallet = self.leaves[leaf];
        black_box(self.ledger.spend(wallet, ASKED, LabelsId(0), None).expect("it is there"));
    }
}

/// Not on the other word's cache line, nor on the one that is fetched with it.
#[repr(align(128))]
struct Apart<T>(T);

/// The least that can be right: one word a wallet, one swap to take. It has no path, cannot tell a
/// reservation that is settled from one that is not, and keeps no record.
pub struct Word64([Apart<AtomicU64>; 2]);

impl Word64 {
    #[inline]
    fn take(&self, leaf: usize) {
        let word = &self.0[leaf].0;
        let mut seen = word.load(Ordering::SeqCst);
        loop {
            let left = seen.checked_sub(ASKED).expect("it is there");
            match word.compare_exchange(seen, left, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }
}

impl Contestant for Word64 {
    fn new(_: Shape) -> Self {
        Word64(std::array::from_fn(|_| Apart(AtomicU64::new(ALL))))
    }

    #[inline]
    fn pair(&self, leaf: usize, spent: u64) {
        self.take(leaf);
        if spent < ASKED {
            self.0[leaf].0.fetch_add(ASKED - spent, Ordering::SeqCst);
        }
    }

    #[inline]
    fn spend(&self, leaf: usize) {
        self.take(leaf);
    }
}

/// The same with as wide a word as the engine's.
pub struct Word128([Apart<AtomicU128>; 2]);

impl Word128 {
    #[inline]
    fn swap(&self, leaf: usize, change: impl Fn(u128) -> Option<u128>) {
        let word = &self.0[leaf].0;
        let mut seen = word.load(Ordering::SeqCst);
        loop {
            let next = change(seen).expect("it is there");
            match word.compare_exchange(seen, next, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    #[inline]
    fn take(&self, leaf: usize) {
        self.swap(leaf, |seen| seen.checked_sub(u128::from(ASKED) << 64));
    }

    #[inline]
    fn give_back(&self, leaf: usize, amount: u64) {
        if amount > 0 {
            self.swap(leaf, |seen| seen.checked_add(u128::from(amount) << 64));
        }
    }
}

impl Contestant for Word128 {
    fn new(_: Shape) -> Self {
        let full = u128::from(ALL) << 64;
        Word128(std::array::from_fn(|_| Apart(AtomicU128::new(full))))
    }

    #[inline]
    fn pair(&self, leaf: usize, spent: u64) {
        self.take(leaf);
        self.give_back(leaf, ASKED - spent);
    }

    #[inline]
    fn spend(&self, leaf: usize) {
        self.take(leaf);
    }
}

/// The same with a record of every change: what is left of the word's speed when it can be read
/// afterwards who spent what. It has no totals.
pub struct Word128Records {
    words: Word128,
    next: AtomicU64,
    records: Box<[[AtomicU64; 8]]>,
}

impl Word128Records {
    #[inline]
    fn write(&self, kind: u64, leaf: usize, amount: u64) {
        let seq = self.next.fetch_add(1, Ordering::SeqCst);
        let record = &self.records[seq as usize % KEPT];
        let fields = [wall(), kind, leaf as u64, amount, 0, 0, 0];
        for (place, field) in record[1..].iter().zip(fields) {
            place.store(field, Ordering::Relaxed);
        }
        record[0].store(seq + 1, Ordering::Release);
    }
}

impl Contestant for Word128Records {
    fn new(shape: Shape) -> Self {
        let record = || std::array::from_fn(|_| AtomicU64::new(0));
        let records = std::iter::repeat_with(record).take(KEPT).collect();
        Word128Records { words: Word128::new(shape), next: AtomicU64::new(0), records }
    }

    #[inline]
    fn pair(&self, leaf: usize, spent: u64) {
        self.words.take(leaf);
        self.write(RESERVED, leaf, ASKED);
        self.write(COMMITTED, leaf, spent);
        self.words.give_back(leaf, ASKED - spent);
    }

    #[inline]
    fn spend(&self, leaf: usize) {
        self.words.take(leaf);
        self.write(SPENT, leaf, ASKED);
    }
}

/// What a mutex guards: balances, what is set aside, and a ring of records if there are to be any.
struct Books {
    accounts: Vec<(u64, Option<usize>)>,
    holds: Vec<Option<(usize, u64)>>,
    free: Vec<usize>,
    records: Vec<[u64; 8]>,
    written: u64,
    spent: Vec<u64>,
}

impl Books {
    /// Takes the amount from every account that pays with this one, or from none.
    #[inline]
    fn take(&mut self, account: usize, amount: u64) {
        let mut at = Some(account);
        while let Some(index) = at {
            assert!(self.accounts[index].0 >= amount, "it is there");
            at = self.accounts[index].1;
        }
        let mut at = Some(account);
        while let Some(index) = at {
            self.accounts[index].0 -= amount;
            at = self.accounts[index].1;
        }
    }

    #[inline]
    fn give_back(&mut self, account: usize, amount: u64) {
        let mut at = Some(account).filter(|_| amount > 0);
        while let Some(index) = at {
            self.accounts[index].0 += amount;
            at = self.accounts[index].1;
        }
    }

    #[inline]
    fn hold(&mut self, account: usize, amount: u64) -> usize {
        let hold = self.free.pop().unwrap_or_else(|| {
            self.holds.push(None);
            self.holds.len() - 1
        });
        self.holds[hold] = Some((account, amount));
        hold
    }

    #[inline]
    fn settle(&mut self, hold: usize) -> (usize, u64) {
        self.free.push(hold);
        self.holds[hold].take().expect("a reservation is settled once")
    }

    #[inline]
    fn write(&mut self, kind: u64, account: usize, amount: u64, hold: usize) {
        let record = [self.written, wall(), kind, account as u64, amount, hold as u64, 0, 0];
        let place = self.written as usize % KEPT;
        self.records[place] = record;
        self.written += 1;
        if kind != RESERVED {
            self.spent[account] += amount;
        }
    }
}

/// One mutex a tree. With `RECORDS` it writes down as much as the engine does.
pub struct Locked<const RECORDS: bool> {
    books: Mutex<Books>,
    leaves: [usize; 2],
}

impl<const RECORDS: bool> Contestant for Locked<RECORDS> {
    fn new(Shape { shared, depth }: Shape) -> Self {
        let above = |index: usize| index.checked_sub(1).filter(|_| shared);
        let mut accounts: Vec<_> = (0..depth).map(|i| (ALL, above(i))).collect();
        accounts.push((ALL, above(depth - 1)));
        let books = Books {
            spent: vec![0; accounts.len()],
            accounts,
            holds: Vec::new(),
            free: Vec::new(),
            records: vec![[0; 8]; if RECORDS { KEPT } else { 0 }],
            written: 0,
        };
        Locked { books: Mutex::new(books), leaves: [depth - 1, depth] }
    }

    #[inline]
    fn pair(&self, leaf: usize, spent: u64) {
        let account = self.leaves[leaf];
        let hold = {
            let mut books = self.books.lock();
            books.take(account, ASKED);
            let hold = books.hold(account, ASKED);
            if RECORDS {
                books.write(RESERVED, account, ASKED, hold);
            }
            hold
        };
        let mut books = self.books.lock();
        let (account, reserved) = books.settle(black_box(hold));
        books.give_back(account, reserved - spent);
        if RECORDS {
            books.write(COMMITTED, account, spent, hold);
        }
    }

    #[inline]
    fn spend(&self, leaf: usize) {
        let account = self.leaves[leaf];
        let mut books = self.books.lock();
        books.take(account, ASKED);
        if RECORDS {
            books.write(SPENT, account, ASKED, 0);
        }
    }
}
