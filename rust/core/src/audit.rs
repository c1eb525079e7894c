//! The audit: what the wallets say, against what the records add up to.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use crate::ledger::Ledger;
use crate::reservation::Phase;
use crate::totals::Sums;
use crate::wallet::WalletId;

/// Two numbers that ought to be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where; none for the ledger as a whole.
    pub wallet: Option<WalletId>,
    /// What was checked.
    pub rule: &'static str,
    /// What the records add up to.
    pub expected: i128,
    /// What is there.
    pub found: i128,
}

impl Finding {
    fn same_as(&self, other: &Finding) -> bool {
        (self.wallet, self.rule, self.expected - self.found)
            == (other.wallet, other.rule, other.expected - other.found)
    }
}

/// For how long an audit that finds something looks again, and how often at the least.
const PATIENCE: Duration = Duration::from_millis(100);
const LOOKS: u32 = 8;

impl Ledger {
    /// Checks that money is conserved; returns what is not as it should be.
    ///
    /// While others spend, money is seen between being taken and being written down. Such a
    /// difference changes from look to look; only one that stays the same is reported.
    #[must_use]
    pub fn audit(&self) -> Vec<Finding> {
        self.expire();
        let start = Instant::now();
        let mut findings = self.look();
        let mut looks = 1;
        while !findings.is_empty() && (looks < LOOKS || start.elapsed() < PATIENCE) {
            thread::sleep(Duration::from_millis(1));
            let before = findings;
            findings = self.look();
            findings.retain(|finding| before.iter().any(|other| finding.same_as(other)));
            looks += 1;
        }
        findings
    }

    fn look(&self) -> Vec<Finding> {
        let folder = self.history.folded();
        let sums: Vec<Sums> =
            (0..self.tree.count()).map(|id| folder.totals.of(WalletId(id))).collect();
        let retired = folder.totals.retired();
        drop(folder);
        let mut findings = Vec::new();
        self.check_balances(&sums, &mut findings);
        self.check_reservations(&sums, &mut findings);
        self.check_issued(&sums, retired, &mut findings);
        findings
    }

    /// Every wallet's balance is what came in less what it and its shared descendants took out.
    fn check_balances(&self, sums: &[Sums], findings: &mut Vec<Finding>) {
        let mut outflow: Vec<i128> = sums.iter().map(Sums::outflow).collect();
        // Children have higher numbers than their parents, so each is complete when it is passed
        // on.
        for id in (0..sums.len()).rev() {
            let node = self.tree.node(WalletId(id as u32));
            if let Some(parent) = node.parent.filter(|_| node.shared) {
                outflow[parent.0 as usize] += outflow[id];
            }
        }
        for (id, sums) in sums.iter().enumerate() {
            let wallet = WalletId(id as u32);
            let expected = i128::from(sums.budget) + sums.refilled - outflow[id];
            let found = i128::from(self.settled_word(wallet).balance);
            report(findings, Some(wallet), "balance", expected, found);
        }
    }

    /// What is set aside is what the open reservations say.
    fn check_reservations(&self, sums: &[Sums], findings: &mut Vec<Finding>) {
        let mut held: HashMap<WalletId, (i128, i128)> = HashMap::new();
        for index in 0..self.tree.slots.used() {
            let slot = self.tree.slots.at(index);
            let state = slot.state();
            if state.phase == Phase::Held && state.users > 0 {
                let entry = held.entry(slot.wallet()).or_default();
                entry.0 += i128::from(slot.amount());
                entry.1 += 1;
            }
        }
        for (id, sums) in sums.iter().enumerate() {
            let wallet = WalletId(id as u32);
            let (amount, count) = held.get(&wallet).copied().unwrap_or_default();
            report(findings, Some(wallet), "reserved", sums.reserved, amount);
            report(findings, Some(wallet), "open reservations", i128::from(sums.open), count);
        }
    }

    /// The money that was put in is what roots and slices have, owe, hold and have spent.
    fn check_issued(&self, sums: &[Sums], retired: i128, findings: &mut Vec<Finding>) {
        let mut put_in = 0;
        let mut accounted = 0;
        for (id, sums) in sums.iter().enumerate() {
            let wallet = WalletId(id as u32);
            let node = self.tree.node(wallet);
            accounted += sums.spent + sums.reserved;
            if !node.shared {
                accounted += i128::from(self.settled_word(wallet).balance);
                put_in += sums.refilled;
            }
            if node.parent.is_none() {
                put_in += i128::from(sums.budget);
            }
        }
        report(findings, None, "money put in", put_in, accounted);
        let issued = i128::from(self.issued.load(crate::sync::MONEY));
        report(findings, None, "money issued", put_in - retired, issued);
    }
}

fn report(
    findings: &mut Vec<Finding>,
    wallet: Option<WalletId>,
    rule: &'static str,
    expected: i128,
    found: i128,
) {
    if expected != found {
        findings.push(Finding { wallet, rule, expected, found });
    }
}
