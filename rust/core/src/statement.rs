//! Statements: what a receipt is made of.

use std::collections::HashSet;

use crate::history::Kind;
use crate::labels::LabelsId;
use crate::ledger::Ledger;
use crate::reservation::ReservationId;
use crate::sync::lock;
use crate::totals::{Line, Sums};
use crate::wallet::WalletId;

/// One wallet in a statement.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub wallet: WalletId,
    /// How far below the wallet that the statement is of.
    pub depth: u32,
    /// Of its own doing.
    pub sums: Sums,
    /// Left.
    pub available: u64,
    /// What a soft wallet spent past its budget.
    pub overdraft: u64,
    /// What a hard wallet owes.
    pub debt: u64,
    /// Charges by label set.
    pub lines: Vec<Line>,
}

/// One itemised charge.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The charge's number.
    pub id: u64,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Who paid.
    pub wallet: WalletId,
    /// How much.
    pub amount: u64,
    /// Booked under.
    pub labels: LabelsId,
    /// The reservation that it settled, or zero.
    pub reservation: ReservationId,
    /// Metadata, as it was given.
    pub blob: Option<Box<[u8]>>,
}

impl Ledger {
    /// What a wallet's own records add up to.
    #[must_use]
    pub fn sums(&self, wallet: WalletId) -> Sums {
        self.expire();
        self.history.folded().totals.of(wallet)
    }

    /// A wallet and all below it, parents before their children.
    #[must_use]
    pub fn statement(&self, wallet: WalletId) -> Vec<Row> {
        self.expire();
        let subtree = lock(&self.shape).subtree(wallet);
        let top = self.tree.node(wallet).depth;
        let folder = self.history.folded();
        let row = |&at| {
            let totals = &folder.totals;
            Row { lines: totals.lines(at), ..self.row(at, top, totals.of(at)) }
        };
        subtree.iter().map(row).collect()
    }

    fn row(&self, wallet: WalletId, top: u8, sums: Sums) -> Row {
        let node = self.tree.node(wallet);
        let word = self.settled_word(wallet);
        let drawn = u64::try_from(sums.drawn).unwrap_or(0);
        let (overdraft, debt) = match (node.hard, node.draws()) {
            (true, _) => (0, word.owed()),
            (false, true) => (drawn, word.owed()),
            (false, false) => (word.owed(), 0),
        };
        Row {
            wallet,
            depth: u32::from(node.depth - top),
            sums,
            available: word.available(),
            overdraft,
            debt,
            lines: Vec::new(),
        }
    }

    /// What a soft wallet spent past its budget, and what a hard one owes.
    #[must_use]
    pub fn owing(&self, wallet: WalletId) -> (u64, u64) {
        let row = self.row(wallet, 0, self.sums(wallet));
        (row.overdraft, row.debt)
    }

    /// The number that the next record will have.
    #[must_use]
    pub fn next_record(&self) -> u64 {
        self.history.begun()
    }

    /// The charges of a wallet and all below it that are kept, oldest first, up to a number.
    #[must_use]
    pub fn charges(&self, wallet: WalletId, until: u64) -> Vec<Entry> {
        let inside: HashSet<WalletId> = lock(&self.shape).subtree(wallet).into_iter().collect();
        let folder = self.history.folded();
        let mut entries = Vec::new();
        self.history.kept(&folder, |record, blob| {
            let charge = matches!(record.kind, Kind::Spend | Kind::Commit);
            if charge && record.seq < until && inside.contains(&record.wallet) {
                entries.push(Entry {
                    id: record.seq,
                    time: record.time,
                    wallet: record.wallet,
                    amount: record.amount,
                    labels: record.labels,
                    reservation: record.reservation,
                    blob: blob.map(Into::into),
                });
            }
        });
        entries
    }

    /// All records that are kept, oldest first.
    #[must_use]
    pub fn records(&self) -> Vec<crate::history::Record> {
        let folder = self.history.folded();
        let mut records = Vec::new();
        self.history.kept(&folder, |record, _| records.push(record));
        records
    }
}
