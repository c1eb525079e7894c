//! A door for the model checker: the tree without records or time, so that a model is small enough
//! to be explored.

use crate::error::Refusal;
use crate::labels::LabelsId;
use crate::path::{self, Alone};
use crate::reservation::{Demand, MAX_DRAWS, Phase, Request};
use crate::wallet::{NewWallet, Node, WalletId};

/// Wallets, and charges to them.
pub struct Tree(path::Tree);

/// A charge that was paid: who asked, how much, and what soft slices drew for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paid {
    wallet: WalletId,
    amount: u64,
    draws: [u64; MAX_DRAWS],
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// No wallets yet.
    #[must_use]
    pub fn new() -> Self {
        Tree(path::Tree::new())
    }

    /// A task wallet.
    pub fn root(&self, budget: u64) -> WalletId {
        self.plant(None, budget, false, true)
    }

    /// A hard slice that has its budget already.
    pub fn slice(&self, parent: WalletId, budget: u64) -> WalletId {
        self.plant(Some(parent), budget, false, true)
    }

    /// A slice that draws on its parent.
    pub fn soft_slice(&self, parent: WalletId, budget: u64) -> WalletId {
        self.plant(Some(parent), budget, false, false)
    }

    /// A shared child.
    pub fn shared(&self, parent: WalletId, cap: u64) -> WalletId {
        self.plant(Some(parent), cap, true, true)
    }

    fn plant(&self, parent: Option<WalletId>, budget: u64, shared: bool, hard: bool) -> WalletId {
        let new = NewWallet { parent, name: "wallet", budget, shared, hard, metadata: None };
        let soft_chain = u8::from(!hard);
        self.0.plant(Node::new(new, 1, soft_chain, !hard))
    }

    /// Takes an amount, alone or along the path, as the ledger does.
    pub fn pay(&self, wallet: WalletId, amount: u64) -> Result<Paid, Refusal> {
        self.take(wallet, amount, Demand::Usual)
    }

    /// Takes money that has to be there: a slice's budget, or a transfer.
    pub fn move_out(&self, wallet: WalletId, amount: u64) -> Result<Paid, Refusal> {
        self.take(wallet, amount, Demand::Strict)
    }

    fn take(&self, wallet: WalletId, amount: u64, demand: Demand) -> Result<Paid, Refusal> {
        let node = self.0.node(wallet);
        if !node.shared {
            match self.0.take_alone(node, amount, demand) {
                Ok(Alone::Paid) => return Ok(Paid { wallet, amount, draws: [0; MAX_DRAWS] }),
                Ok(Alone::NeedsParent) => {}
                Err(verdict) => {
                    return Err(verdict.refusal(wallet, amount, || verdict.available()));
                }
            }
        }
        let request = Request { wallet, amount, labels: LabelsId(0), deadline: 0, demand };
        let (id, slot) = self.0.slots.take(&request).expect("a model has few reservations");
        let taken = self.0.take_path(id, slot);
        let draws = slot.draws();
        if taken.is_ok() {
            slot.advance_owned(Phase::Granted, Phase::Committed);
        }
        self.0.slots.leave(id);
        taken.map(|()| Paid { wallet, amount, draws })
    }

    /// Gives a charge back.
    pub fn give_back(&self, paid: Paid) {
        self.0.credit(paid.wallet, paid.amount, paid.draws, &mut |_, _, _| {});
    }

    /// Adds money to one wallet.
    pub fn add(&self, wallet: WalletId, amount: u64) {
        self.0.add_here(wallet, amount, &mut |_, _, _| {});
    }

    /// A charge that cannot be refused.
    pub fn force(&self, wallet: WalletId, amount: u64) {
        self.0.force(wallet, amount);
    }

    /// Closes one wallet; true if it was open.
    pub fn shut(&self, wallet: WalletId) -> bool {
        self.0.shut(self.0.node(wallet))
    }

    /// Takes all that a closed slice has left.
    pub fn empty(&self, wallet: WalletId) -> u64 {
        self.0.empty(self.0.node(wallet))
    }

    /// Freezes one wallet.
    pub fn freeze(&self, wallet: WalletId) {
        self.0.set_frozen(self.0.node(wallet), true);
    }

    /// Unfreezes one wallet.
    pub fn unfreeze(&self, wallet: WalletId) {
        self.0.set_frozen(self.0.node(wallet), false);
    }

    /// What a wallet's word says of money at this instant, pending or not.
    #[must_use]
    pub fn balance_now(&self, wallet: WalletId) -> i64 {
        self.0.node(wallet).word.load().balance
    }

    /// The balance of a wallet that nobody is charging.
    #[must_use]
    pub fn balance(&self, wallet: WalletId) -> i64 {
        let word = self.0.node(wallet).word.load();
        assert!(!word.pending, "a charge was left unfinished");
        word.balance
    }

    /// How many slots were ever in use.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.0.slots.used()
    }
}
