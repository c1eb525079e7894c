//! A wallet: one atomic word, a parent that never changes, and a name.

use std::fmt;

use crate::error::NameError;
use crate::sync::{AtomicBool, AtomicU64};
use crate::word::{AtomicWord, Word, signed};

/// How many wallets may stand on top of each other.
pub const MAX_DEPTH: usize = 64;

/// How many bytes a name can have.
pub const MAX_NAME: usize = 256;

/// A wallet, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WalletId(pub u32);

impl fmt::Display for WalletId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A wallet to be made.
#[derive(Clone, Debug)]
pub struct NewWallet<'a> {
    /// The wallet above; none for a task wallet.
    pub parent: Option<WalletId>,
    /// Unlike any other child's of that parent.
    pub name: &'a str,
    /// A slice's money, or a shared child's cap.
    pub budget: u64,
    /// Spends the parent's money, up to the cap.
    pub shared: bool,
    /// Refuses to go beyond its budget.
    pub hard: bool,
    /// Whatever the owner wants to keep with it.
    pub metadata: Option<Box<[u8]>>,
}

/// A wallet in its place: 128 bytes in all, its word first.
pub(crate) struct Node {
    pub(crate) word: AtomicWord,
    pub(crate) parent: Option<WalletId>,
    pub(crate) shared: bool,
    pub(crate) hard: bool,
    pub(crate) depth: u8,
    /// How many soft slices a charge here may have to go through, this one among them.
    pub(crate) soft_chain: u8,
    /// It, or a wallet that pays with it, is soft.
    pub(crate) may_overdraw: bool,
    /// Frozen by its own owner, not only by a wallet above.
    pub(crate) own_frozen: AtomicBool,
    /// A soft slice has drawn on its parent and has had nothing to spare since.
    pub(crate) drew: AtomicBool,
    /// Its overdraft was announced, and it has been overdrawn since.
    pub(crate) announced: AtomicBool,
    pub(crate) refusals: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// All money that was ever put in from outside: budget and refills. Bounds the balance.
    pub(crate) issued: AtomicU64,
    pub(crate) name: Box<str>,
    pub(crate) metadata: Option<Box<[u8]>>,
}

impl Node {
    pub(crate) fn new(new: NewWallet<'_>, depth: u8, soft_chain: u8, may_overdraw: bool) -> Self {
        Node {
            word: AtomicWord::new(Word::new(signed(new.budget))),
            parent: new.parent,
            shared: new.shared,
            hard: new.hard,
            depth,
            soft_chain,
            may_overdraw,
            own_frozen: AtomicBool::new(false),
            drew: AtomicBool::new(false),
            announced: AtomicBool::new(false),
            refusals: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            issued: AtomicU64::new(new.budget),
            name: new.name.into(),
            metadata: new.metadata,
        }
    }

    /// A slice whose parent stands in for what it has not got.
    pub(crate) fn draws(&self) -> bool {
        !self.hard && !self.shared && self.parent.is_some()
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME {
        return Err(NameError::TooLong);
    }
    match name.chars().find(|&found| found == '/' || found.is_control()) {
        Some(found) => Err(NameError::Character(found)),
        None => Ok(()),
    }
}
