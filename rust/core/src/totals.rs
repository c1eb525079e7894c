//! Totals: what all records so far add up to, by wallet and by label set.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::history::{Kind, Record};
use crate::labels::LabelsId;
use crate::wallet::WalletId;

/// What a wallet's records add up to. Of its own doing: what shared children spend is theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// What it was made with.
    pub budget: u64,
    /// Added from outside since.
    pub refilled: i128,
    /// Moved in from its parent or slices.
    pub received: i128,
    /// Moved out to its parent or slices.
    pub given: i128,
    /// What a soft slice drew on its parent, less what it handed back; part of `received`.
    pub drawn: i128,
    /// Charged.
    pub spent: i128,
    /// Set aside and not settled.
    pub reserved: i128,
    /// How many reservations are not settled.
    pub open: u64,
    /// How many charges.
    pub calls: u64,
    /// The newest of its lines, plus one.
    newest_line: u32,
}

impl Sums {
    /// What it took out of the wallets that pay for it, net of what it was given.
    pub fn outflow(&self) -> i128 {
        self.spent + self.reserved + self.given - self.received
    }
}

/// Charges under one label set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The line of the same wallet made before this one, plus one.
    older: u32,
    /// The label set.
    pub labels: LabelsId,
    /// How much.
    pub spent: i128,
    /// How often.
    pub calls: u64,
}

/// Keys are small numbers side by side; one multiplication spreads them well enough.
#[derive(Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64");
    }

    fn write_u64(&mut self, key: u64) {
        // 2^64 divided by the golden ratio (Knuth, TAOCP 6.4).
        self.0 = (key ^ (key >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }
}

/// All totals of a ledger.
#[derive(Default)]
pub(crate) struct Totals {
    wallets: Vec<Sums>,
    spent: i128,
    retired: i128,
    lines: Vec<Line>,
    by_key: HashMap<u64, u32, BuildHasherDefault<Spread>>,
    /// The line booked last: the next charge is often like it.
    recent: (u64, usize),
}

impl Totals {
    pub(crate) fn of(&self, wallet: WalletId) -> Sums {
        self.wallets.get(wallet.0 as usize).copied().unwrap_or_default()
    }

    /// A wallet's charges by label set, in the order in which the sets were first used.
    pub(crate) fn lines(&self, wallet: WalletId) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut next = self.of(wallet).newest_line;
        while let Some(line) = next.checked_sub(1).map(|index| self.lines[index as usize]) {
            lines.push(line);
            next = line.older;
        }
        lines.reverse();
        lines
    }

    /// What was charged, less what is `owed`, since this was asked last.
    pub(crate) fn retire(&mut self, owed: i128) -> u64 {
        let gone = u64::try_from(self.spent - owed - self.retired).unwrap_or(0);
        self.retired += i128::from(gone);
        gone
    }

    /// All that [`Totals::retire`] returned so far.
    pub(crate) fn retired(&self) -> i128 {
        self.retired
    }

    pub(crate) fn fold(&mut self, record: &Record) {
        let amount = i128::from(record.amount);
        match record.kind {
            Kind::Open => {
                self.sums(record.wallet).budget = record.amount;
                if let Some(parent) = record.other {
                    self.sums(parent).given += amount;
                }
            }
            Kind::Reserve => {
                let sums = self.sums(record.wallet);
                sums.reserved += amount;
                sums.open += 1;
            }
            Kind::Commit => {
                self.close_hold(record.wallet, record.aside);
                self.charge(record);
            }
            Kind::Release | Kind::Expire => self.close_hold(record.wallet, record.amount),
            Kind::Spend => self.charge(record),
            Kind::Refill => self.sums(record.wallet).refilled += amount,
            Kind::Transfer | Kind::Close | Kind::Return => {
                if let Some(other) = record.other {
                    self.sums(record.wallet).given += amount;
                    self.sums(other).received += amount;
                }
            }
            Kind::Draw => self.draw(record.wallet, record.other, amount),
            Kind::Undraw => {
                if let Some(parent) = record.other {
                    self.draw(parent, Some(record.wallet), -amount);
                }
            }
            Kind::Freeze | Kind::Unfreeze => {}
        }
    }

    fn sums(&mut self, wallet: WalletId) -> &mut Sums {
        let index = wallet.0 as usize;
        if index >= self.wallets.len() {
            self.wallets.resize(index + 1, Sums::default());
        }
        &mut self.wallets[index]
    }

    fn close_hold(&mut self, wallet: WalletId, aside: u64) {
        let sums = self.sums(wallet);
        sums.reserved -= i128::from(aside);
        // Records are folded in the order they are found complete, so a hold's end may come first.
        sums.open = sums.open.wrapping_sub(1);
    }

    fn draw(&mut self, parent: WalletId, slice: Option<WalletId>, amount: i128) {
        self.sums(parent).given += amount;
        if let Some(slice) = slice {
            let sums = self.sums(slice);
            sums.received += amount;
            sums.drawn += amount;
        }
    }

    fn charge(&mut self, record: &Record) {
        self.spent += i128::from(record.amount);
        let sums = self.sums(record.wallet);
        sums.spent += i128::from(record.amount);
        sums.calls += 1;
        let key = (u64::from(record.wallet.0) << 32) | u64::from(record.labels.0);
        let index = if self.recent.0 == key && self.recent.1 < self.lines.len() {
            self.recent.1
        } else {
            self.line(key, record)
        };
        self.recent = (key, index);
        self.lines[index].spent += i128::from(record.amount);
        self.lines[index].calls += 1;
    }

    fn line(&mut self, key: u64, record: &Record) -> usize {
        if let Some(&index) = self.by_key.get(&key) {
            return index as usize;
        }
        let index = self.lines.len();
        let number = u32::try_from(index + 1).expect("memory ends before four billion lines");
        let sums = self.sums(record.wallet);
        let older = std::mem::replace(&mut sums.newest_line, number);
        self.lines.push(Line { older, labels: record.labels, spent: 0, calls: 0 });
        self.by_key.insert(key, number - 1);
        index
    }
}
