//! The ledger: wallets, reservations and history put together. Every public operation is here.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::amount::{AmountError, MAX_AMOUNT};
use crate::clock::Clock;
use crate::error::{Error, Refusal, Settled};
use crate::expiry::Expiry;
use crate::history::{History, Kind, Record};
use crate::labels::{Labels, LabelsId, Vocabulary};
use crate::path::{Alone, Tree};
use crate::reservation::{Demand, MAX_DRAWS, Phase, Request, ReservationId, Slot};
use crate::sync::{AtomicU64, MONEY, Mutex, ProcessCounter, STATISTIC, lock, yield_now};
use crate::wallet::{MAX_DEPTH, NewWallet, Node, WalletId, check_name};

/// How many times this process, or one that it came from, was a fork's child.
static FORKS: ProcessCounter = ProcessCounter::new(0);

/// To be called in a fork's child: every ledger made before refuses everything from now on.
pub fn forked_in_child() {
    FORKS.fetch_add(1, MONEY);
}

/// How a ledger is set up.
#[derive(Clone)]
pub struct Config {
    /// How many records are kept to itemise; totals are kept for ever.
    pub keep: u64,
    /// Where time comes from.
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Config { keep: 65_536, clock: Clock::default() }
    }
}

/// Money spent: what the record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The record's number, unlike any other's in the ledger.
    pub id: u64,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// How much.
    pub amount: u64,
    /// A soft wallet on the path went below zero with this, for the first time since it was above.
    pub overdrawn: Option<WalletId>,
}

/// What a commit above its reservation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overage {
    /// Takes the rest from what is left, and books what is missing as debt.
    Debt,
    /// Is refused; the reservation stays open.
    Refuse,
}

/// The shape of the tree: what making, finding, freezing and closing wallets need.
#[derive(Default)]
pub(crate) struct Shape {
    /// First child, last child, next sibling; by wallet, plus one.
    links: Vec<[u32; 3]>,
    roots: Vec<WalletId>,
    /// By a hash of parent and name; the next hash, if two share one.
    names: HashMap<u64, WalletId>,
}

/// One tree of wallets in one unit, and all that happened to their money.
pub struct Ledger {
    pub(crate) tree: Tree,
    pub(crate) history: History,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) shape: Mutex<Shape>,
    /// All money that was ever put into roots and slices from outside.
    pub(crate) issued: AtomicU64,
    expiry: Expiry,
    clock: Clock,
    forks: u64,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Ledger {
            tree: Tree::new(),
            history: History::new(config.keep),
            vocabulary: Vocabulary::new(),
            shape: Mutex::new(Shape::default()),
            issued: AtomicU64::new(0),
            expiry: Expiry::new(),
            clock: config.clock,
            forks: FORKS.load(MONEY),
        }
    }

    /// A fork's child has a copy of the wallets, not of the money.
    #[inline]
    pub fn check_not_forked(&self) -> Result<(), Error> {
        // Forking does not race with the child's own calls, so any ordering will do.
        if self.forks == FORKS.load(STATISTIC) { Ok(()) } else { Err(Error::Forked) }
    }

    /// The number of a label set.
    pub fn labels(&self, labels: Labels) -> Result<LabelsId, Error> {
        self.vocabulary.intern(labels)
    }

    /// The label set of a number that [`Ledger::labels`] gave.
    #[must_use]
    pub fn labels_of(&self, id: LabelsId) -> &Labels {
        self.vocabulary.get(id)
    }

    // ---- wallets ------------------------------------------------------------------------------

    /// Makes a wallet. A slice's budget leaves its parent at that instant.
    pub fn create(&self, new: NewWallet<'_>) -> Result<WalletId, Error> {
        self.check_not_forked()?;
        check_name(new.name).map_err(Error::Name)?;
        if new.budget > MAX_AMOUNT {
            return Err(AmountError::TooLarge { scale: 0 }.into());
        }
        let mut shape = lock(&self.shape);
        let parent = new.parent.map(|parent| self.tree.node(parent));
        if self.find_in(&shape, new.parent, new.name).is_some() {
            return Err(Error::Duplicate);
        }
        let (depth, soft_chain) = self.place_of(&new, parent)?;
        self.tree.check_room()?;
        match (new.parent, new.shared) {
            (None, _) => self.issue(new.budget)?,
            (Some(parent), false) if new.budget > 0 => {
                self.insist(|| self.move_out(parent, new.budget))?;
            }
            (Some(parent), _) => self.check_open(parent)?,
        }
        let (above, name, budget, shared) =
            (new.parent, new.name.to_owned(), new.budget, new.shared);
        let above_may = parent.is_some_and(|parent| parent.may_overdraw);
        let may_overdraw = !new.hard || (new.shared && above_may);
        let id = self.tree.plant(Node::new(new, depth, soft_chain, may_overdraw));
        let record = Record::of(Kind::Open, id, budget);
        self.write(Record { other: above.filter(|_| !shared), ..record }, None);
        shape.add(above, id, name_key(above, &name));
        Ok(id)
    }

    /// What is spent and was never put in.
    fn owed_in_all(&self) -> i128 {
        let wallets = (0..self.tree.count()).map(WalletId).filter(|&at| !self.is_shared(at));
        wallets.map(|at| i128::from(self.owed(at))).sum()
    }

    fn place_of(&self, new: &NewWallet<'_>, parent: Option<&Node>) -> Result<(u8, u8), Error> {
        let depth = parent.map_or(1, |parent| parent.depth + 1);
        let below = parent.map_or(0, |parent| parent.soft_chain);
        let soft_chain = match (parent.is_some(), new.shared, new.hard) {
            (true, true, _) => below,
            (true, false, false) => below + 1,
            _ => 0,
        };
        if usize::from(depth) > MAX_DEPTH || usize::from(soft_chain) > MAX_DRAWS {
            return Err(Error::TooDeep);
        }
        Ok((depth, soft_chain))
    }

    fn check_open(&self, wallet: WalletId) -> Result<(), Error> {
        let word = self.tree.node(wallet).word.load();
        if word.closed {
            return Err(Refusal::Closed(wallet).into());
        }
        if word.frozen { Err(Refusal::Frozen(wallet).into()) } else { Ok(()) }
    }

    /// Puts money in from outside, if the ledger can hold it beside what is not spent yet.
    fn issue(&self, amount: u64) -> Result<(), Error> {
        if grow(&self.issued, amount).is_ok() {
            return Ok(());
        }
        // What is spent is gone for good and need not be held any more. It is looked up only when
        // the ledger seems full.
        let mut folder = self.history.folded();
        let owed = self.owed_in_all();
        self.issued.fetch_sub(folder.totals.retire(owed), MONEY);
        drop(folder);
        grow(&self.issued, amount)
    }

    /// The wallet of that name under a parent, or among the task wallets.
    #[must_use]
    pub fn find(&self, parent: Option<WalletId>, name: &str) -> Option<WalletId> {
        self.find_in(&lock(&self.shape), parent, name)
    }

    fn find_in(&self, shape: &Shape, parent: Option<WalletId>, name: &str) -> Option<WalletId> {
        let mut key = name_key(parent, name);
        loop {
            let found = *shape.names.get(&key)?;
            let node = self.tree.node(found);
            if node.parent == parent && *node.name == *name {
                return Some(found);
            }
            key = key.wrapping_add(1);
        }
    }

    /// The task wallets, oldest first.
    #[must_use]
    pub fn roots(&self) -> Vec<WalletId> {
        lock(&self.shape).roots.clone()
    }

    /// A wallet's children, oldest first.
    #[must_use]
    pub fn children(&self, wallet: WalletId) -> Vec<WalletId> {
        lock(&self.shape).children(wallet).collect()
    }

    /// The wallet above.
    #[must_use]
    pub fn parent(&self, wallet: WalletId) -> Option<WalletId> {
        self.tree.node(wallet).parent
    }

    /// A wallet's name.
    #[must_use]
    pub fn name(&self, wallet: WalletId) -> &str {
        &self.tree.node(wallet).name
    }

    /// The names from the task wallet down, with slashes between.
    #[must_use]
    pub fn path(&self, wallet: WalletId) -> String {
        let mut names = vec![self.name(wallet)];
        let mut at = wallet;
        while let Some(parent) = self.parent(at) {
            names.push(self.name(parent));
            at = parent;
        }
        names.reverse();
        names.join("/")
    }

    /// What was kept with the wallet when it was made.
    #[must_use]
    pub fn metadata(&self, wallet: WalletId) -> Option<&[u8]> {
        self.tree.node(wallet).metadata.as_deref()
    }

    /// It spends its parent's money, up to a cap.
    #[must_use]
    pub fn is_shared(&self, wallet: WalletId) -> bool {
        self.tree.node(wallet).shared
    }

    /// It refuses to go beyond its budget.
    #[must_use]
    pub fn is_hard(&self, wallet: WalletId) -> bool {
        self.tree.node(wallet).hard
    }

    /// It, or a wallet above it, is frozen.
    #[must_use]
    pub fn is_frozen(&self, wallet: WalletId) -> bool {
        self.tree.node(wallet).word.load().frozen
    }

    /// It is closed.
    #[must_use]
    pub fn is_closed(&self, wallet: WalletId) -> bool {
        self.tree.node(wallet).word.load().closed
    }

    /// What the wallet has left, or, for a shared child, what its cap leaves it. Never below zero.
    #[must_use]
    pub fn available(&self, wallet: WalletId) -> u64 {
        self.expire();
        self.settled_word(wallet).available()
    }

    /// What the wallet owes: overdraft when it is soft, debt when it is hard.
    #[must_use]
    pub fn owed(&self, wallet: WalletId) -> u64 {
        self.settled_word(wallet).owed()
    }

    /// The most that the wallet could pay right now, all wallets on its path considered.
    #[must_use]
    pub fn fits(&self, wallet: WalletId) -> u64 {
        self.expire();
        self.tree.fits(wallet)
    }

    /// Nothing can be paid within budget any more: this wallet, or one that pays with it, has
    /// nothing left, or it is closed.
    #[must_use]
    pub fn is_exhausted(&self, wallet: WalletId) -> bool {
        self.expire();
        let mut at = wallet;
        loop {
            let word = self.settled_word(at);
            let node = self.tree.node(at);
            match node.parent {
                _ if word.closed || word.balance <= 0 => return true,
                Some(parent) if node.shared => at = parent,
                _ => return false,
            }
        }
    }

    /// The word with nothing pending on it: money taken by an attempt that will be refused is
    /// there.
    pub(crate) fn settled_word(&self, wallet: WalletId) -> crate::word::Word {
        let node = self.tree.node(wallet);
        let mut word = node.word.load();
        while word.pending {
            self.tree.help(ReservationId(word.last));
            word = node.word.load();
        }
        word
    }

    /// How often the wallet was refused something, and how much in all.
    #[must_use]
    pub fn refusals(&self, wallet: WalletId) -> (u64, u64) {
        let node = self.tree.node(wallet);
        (node.refusals.load(STATISTIC), node.refused.load(STATISTIC))
    }

    // ---- spending -----------------------------------------------------------------------------

    /// Spends at once: all wallets that must pay do so at one instant, or none does.
    #[inline]
    pub fn spend(
        &self,
        wallet: WalletId,
        amount: u64,
        labels: LabelsId,
        blob: Option<Box<[u8]>>,
    ) -> Result<Charge, Error> {
        self.check_not_forked()?;
        check_payable(amount)?;
        let paid = self.insist(|| self.pay(wallet, amount, Demand::Usual));
        self.count_refusal(wallet, amount, paid)?;
        Ok(self.book_charge(Record { labels, ..Record::of(Kind::Spend, wallet, amount) }, blob))
    }

    /// Sets money aside. It stays so until the reservation is settled, or, with a `ttl` in
    /// nanoseconds, until its time has run out. The caller owns the id until [`Ledger::forget`].
    #[inline]
    pub fn reserve(
        &self,
        wallet: WalletId,
        amount: u64,
        labels: LabelsId,
        ttl: Option<u64>,
    ) -> Result<ReservationId, Error> {
        self.check_not_forked()?;
        check_payable(amount)?;
        let deadline = ttl.map_or(0, |ttl| self.clock.monotonic().saturating_add(ttl).max(1));
        let demand = Demand::Usual;
        let request = Request { wallet, amount, labels, deadline, demand };
        let reserved = self.insist(|| self.set_aside(&request));
        self.count_refusal(wallet, amount, reserved)
    }

    #[inline]
    fn set_aside(&self, request: &Request) -> Result<ReservationId, Error> {
        let node = self.tree.node(request.wallet);
        self.expire_before_overdraft(node);
        let (id, slot) = self.tree.slots.take(request)?;
        if request.deadline != 0 {
            self.expiry.note(id.slot(), request.deadline);
        }
        if !node.shared {
            match self.tree.take_alone(node, request.amount, request.demand) {
                Ok(Alone::Paid) if request.deadline == 0 => {
                    self.write_reserve(id, request);
                    slot.hold_unseen();
                    return Ok(id);
                }
                Ok(Alone::Paid) => {
                    self.write_reserve(id, request);
                    slot.advance_owned(Phase::Undecided, Phase::Held);
                    return Ok(id);
                }
                Ok(Alone::NeedsParent) => {}
                Err(verdict) => {
                    slot.advance_owned(Phase::Undecided, Phase::Refused);
                    self.tree.slots.leave(id);
                    return Err(verdict
                        .refusal(request.wallet, request.amount, || verdict.available())
                        .into());
                }
            }
        }
        self.set_aside_path(id, slot, request)
    }

    fn set_aside_path(
        &self,
        id: ReservationId,
        slot: &Slot,
        request: &Request,
    ) -> Result<ReservationId, Error> {
        if let Err(refusal) = self.tree.take_path(id, slot) {
            self.tree.slots.leave(id);
            return Err(refusal.into());
        }
        self.book_draws(slot);
        self.write_reserve(id, request);
        slot.advance_owned(Phase::Granted, Phase::Held);
        Ok(id)
    }

    #[inline]
    fn write_reserve(&self, id: ReservationId, request: &Request) {
        let record = Record::of(Kind::Reserve, request.wallet, request.amount);
        self.write(Record { reservation: id, labels: request.labels, ..record }, None);
    }

    /// Takes an amount out, alone or along the path, with its draws booked.
    #[inline]
    fn pay(&self, wallet: WalletId, amount: u64, demand: Demand) -> Result<(), Error> {
        let node = self.tree.node(wallet);
        self.expire_before_overdraft(node);
        if !node.shared {
            match self.tree.take_alone(node, amount, demand) {
                Ok(Alone::Paid) => return Ok(()),
                Ok(Alone::NeedsParent) => {}
                Err(verdict) => {
                    return Err(verdict.refusal(wallet, amount, || verdict.available()).into());
                }
            }
        }
        let labels = LabelsId(0);
        let (id, slot) =
            self.tree.slots.take(&Request { wallet, amount, labels, deadline: 0, demand })?;
        let taken = self.tree.take_path(id, slot);
        if taken.is_ok() {
            self.book_draws(slot);
            slot.advance_owned(Phase::Granted, Phase::Committed);
        }
        self.tree.slots.leave(id);
        taken.map_err(Error::from)
    }

    fn move_out(&self, wallet: WalletId, amount: u64) -> Result<(), Error> {
        self.pay(wallet, amount, Demand::Strict)
    }

    /// Tries, and before a refusal stands gives back what has expired and tries again: the second
    /// refusal is true of wallets in which nothing is held beyond its time.
    #[inline]
    fn insist<T>(&self, attempt: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
        match attempt() {
            Ok(done) => Ok(done),
            Err(refused) => self.insist_again(refused, attempt),
        }
    }

    #[cold]
    fn insist_again<T>(
        &self,
        refused: Error,
        attempt: impl Fn() -> Result<T, Error>,
    ) -> Result<T, Error> {
        if matches!(refused, Error::Refused(Refusal::Short { .. })) && self.expiry.used() {
            self.expire();
            return attempt();
        }
        Err(refused)
    }

    /// Spenders' refusals are counted where they asked. An owner who moves money is no spender.
    #[inline]
    fn count_refusal<T>(
        &self,
        wallet: WalletId,
        amount: u64,
        answer: Result<T, Error>,
    ) -> Result<T, Error> {
        match answer {
            Ok(done) => Ok(done),
            Err(error) => Err(self.counted(wallet, amount, error)),
        }
    }

    #[cold]
    fn counted(&self, wallet: WalletId, amount: u64, error: Error) -> Error {
        if let Error::Refused(_) = error {
            let node = self.tree.node(wallet);
            node.refusals.fetch_add(1, STATISTIC);
            let more = |refused: u64| Some(refused.saturating_add(amount));
            let _ = node.refused.fetch_update(STATISTIC, STATISTIC, more);
        }
        error
    }

    // ---- settling -----------------------------------------------------------------------------

    /// Settles a reservation: `amount` is spent, the rest comes back.
    ///
    /// Above what was set aside, `overage` says what happens. Of zero, it is a release and `None`.
    pub fn commit(
        &self,
        id: ReservationId,
        amount: u64,
        overage: Overage,
        blob: Option<Box<[u8]>>,
    ) -> Result<Option<Charge>, Error> {
        self.check_not_forked()?;
        if amount == 0 {
            return self.release(id).map(|()| None);
        }
        let slot = self.tree.slots.held(id)?;
        self.expire_if_due(id, slot)?;
        let reserved = slot.amount();
        if amount != reserved {
            return self.commit_other(id, slot, amount, overage, blob);
        }
        settle(slot, Phase::CommittedWhole)?;
        let record = commit_record(id, slot, reserved);
        Ok(Some(self.book_charge(record, blob)))
    }

    /// A commit of more or less than was set aside.
    fn commit_other(
        &self,
        id: ReservationId,
        slot: &Slot,
        amount: u64,
        overage: Overage,
        blob: Option<Box<[u8]>>,
    ) -> Result<Option<Charge>, Error> {
        let reserved = slot.amount();
        self.check_overage(slot, reserved, amount, overage)?;
        let standing = slot.propose_commit(amount);
        settle(slot, Phase::Committed)?;
        // Another commit may have proposed first and lost the race to this one: its amount stands.
        let record = commit_record(id, slot, standing);
        let charge = if standing > reserved {
            self.charge_overage(slot.wallet(), standing - reserved);
            self.book_charge(record, blob)
        } else {
            let charge = self.book_charge(record, blob);
            self.give_back(slot, reserved - standing);
            charge
        };
        if standing == amount {
            Ok(Some(charge))
        } else {
            Err(Error::Settled(Settled::Committed(standing)))
        }
    }

    /// Gives a reservation's money back. Releasing twice is harmless.
    pub fn release(&self, id: ReservationId) -> Result<(), Error> {
        self.check_not_forked()?;
        let slot = self.tree.slots.held(id)?;
        self.expire_if_due(id, slot)?;
        match settle(slot, Phase::Released) {
            Ok(()) => {
                self.write_settlement(Kind::Release, id, slot);
                self.give_back(slot, slot.amount());
                Ok(())
            }
            Err(Error::Settled(Settled::Released)) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// What a reservation set aside.
    pub fn reserved(&self, id: ReservationId) -> Result<u64, Error> {
        self.tree.slots.held(id).map(Slot::amount)
    }

    /// How a reservation ended, or `None` while it is open.
    pub fn settled(&self, id: ReservationId) -> Result<Option<Settled>, Error> {
        let slot = self.tree.slots.held(id)?;
        if self.check_not_forked().is_ok() {
            match self.expire_if_due(id, slot) {
                Ok(()) | Err(Error::Settled(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(slot.settled())
    }

    /// The owner lets go of a reservation. One that is still open is committed in full: what it was
    /// for may have been paid, and nobody will say otherwise any more. True if it was.
    pub fn forget(&self, id: ReservationId) -> bool {
        self.forget_with(id, None).is_some()
    }

    /// The same, with metadata for the charge that it may come to, which is returned.
    #[inline]
    pub fn forget_with(&self, id: ReservationId, blob: Option<Box<[u8]>>) -> Option<Charge> {
        self.check_not_forked().ok()?;
        let slot = self.tree.slots.held(id).ok()?;
        let charge = match slot.settled() {
            Some(_) => None,
            None => self.commit(id, slot.amount(), Overage::Debt, blob).ok().flatten(),
        };
        self.tree.slots.leave(id);
        charge
    }

    fn check_overage(
        &self,
        slot: &Slot,
        reserved: u64,
        asked: u64,
        overage: Overage,
    ) -> Result<(), Error> {
        if asked <= reserved {
            return Ok(());
        }
        if let Some(settled) = slot.settled() {
            return Err(Error::Settled(settled));
        }
        let room = MAX_AMOUNT.saturating_sub(self.most_owed(slot.wallet()));
        if asked > MAX_AMOUNT || asked - reserved > room {
            return Err(AmountError::TooLarge { scale: 0 }.into());
        }
        match overage {
            Overage::Refuse => Err(Error::Overage { reserved, asked }),
            Overage::Debt => Ok(()),
        }
    }

    /// The most that a wallet which pays with this one owes.
    fn most_owed(&self, wallet: WalletId) -> u64 {
        let node = self.tree.node(wallet);
        let above = node.parent.filter(|_| node.shared).map_or(0, |parent| self.most_owed(parent));
        self.owed(wallet).max(above)
    }

    fn charge_overage(&self, wallet: WalletId, extra: u64) {
        let draws = self.tree.node(wallet).soft_chain > 0;
        if !draws || self.pay(wallet, extra, Demand::Usual).is_err() {
            self.tree.force(wallet, extra);
            self.lift_debt(wallet);
        }
    }

    /// What a closed slice owes, its parent pays: that is who has its money.
    fn lift_debt(&self, wallet: WalletId) {
        let node = self.tree.node(wallet);
        let Some(parent) = node.parent else { return };
        if node.shared {
            return self.lift_debt(parent);
        }
        let word = node.word.load();
        if word.closed && word.owed() > 0 {
            self.tree.force(parent, word.owed());
            self.write(Record::of(Kind::Transfer, parent, word.owed()).other(wallet), None);
            // If another lifted the same debt meanwhile, what is too much goes back up from here.
            self.credit(wallet, word.owed(), [0; MAX_DRAWS]);
            self.lift_debt(parent);
        }
    }

    /// Returns what a settled reservation did not spend: what was drawn first, from the top down.
    fn give_back(&self, slot: &Slot, amount: u64) {
        if amount == 0 {
            return;
        }
        let back = slot.draws().map(|draw| draw.min(amount));
        if back[0] > 0 {
            self.book_along(slot.wallet(), &back, Kind::Undraw);
        }
        self.credit(slot.wallet(), amount, back);
    }

    fn credit(&self, wallet: WalletId, amount: u64, back: [u64; MAX_DRAWS]) {
        self.tree.credit(wallet, amount, back, &mut |from, to, amount| {
            self.write(Record::of(Kind::Return, from, amount).other(to), None);
        });
    }

    // ---- expiry -------------------------------------------------------------------------------

    /// Gives back what is held beyond its time; returns how many reservations that were.
    pub fn expire(&self) -> u64 {
        if !self.expiry.used() || self.check_not_forked().is_err() {
            return 0;
        }
        let now = self.clock.monotonic();
        let mut expired = 0;
        self.expiry.sweep(&self.tree.slots, now, |id| {
            expired += u64::from(self.expire_one(id, now));
        });
        expired
    }

    /// Money that is only held too long is a soft wallet's own: there is nothing to overdraw yet.
    #[inline]
    fn expire_before_overdraft(&self, node: &Node) {
        if node.may_overdraw {
            self.expire();
        }
    }

    /// Gives one back if it is due and nobody else does. When it returns, it is given back.
    fn expire_one(&self, id: ReservationId, now: u64) -> bool {
        // Registered, the slot stays this reservation's while its money is returned.
        let Some(slot) = self.tree.slots.join(id) else { return false };
        let due = slot.deadline() != 0 && slot.deadline() <= now;
        let won = due && slot.advance(Phase::Held, Phase::Expiring).is_ok();
        if won {
            self.write_settlement(Kind::Expire, id, slot);
            self.give_back(slot, slot.amount());
            slot.advance_owned(Phase::Expiring, Phase::Expired);
        }
        // Another is just giving it back: a few instructions, after which nobody can be refused
        // because of this money. The only wait there is, and only for who would refuse.
        while slot.state().phase == Phase::Expiring {
            yield_now();
        }
        self.tree.slots.leave(id);
        won
    }

    /// A reservation's time may have run out before anybody swept it.
    #[inline]
    fn expire_if_due(&self, id: ReservationId, slot: &Slot) -> Result<(), Error> {
        if slot.deadline() == 0 {
            return Ok(());
        }
        let now = self.clock.monotonic();
        if slot.deadline() <= now && self.expire_one(id, now) {
            return Err(Error::Settled(Settled::Expired));
        }
        Ok(())
    }

    // ---- moving money -------------------------------------------------------------------------

    /// Adds money from outside; what is owed is repaid with it first. For a shared child it raises
    /// the cap.
    pub fn refill(&self, wallet: WalletId, amount: u64) -> Result<(), Error> {
        self.check_not_forked()?;
        check_payable(amount)?;
        let node = self.tree.node(wallet);
        if node.word.load().closed {
            return Err(Refusal::Closed(wallet).into());
        }
        grow(&node.issued, amount)?;
        if !node.shared {
            if let Err(full) = self.issue(amount) {
                node.issued.fetch_sub(amount, MONEY);
                return Err(full);
            }
        }
        self.write(Record::of(Kind::Refill, wallet, amount), None);
        self.tree.add_here(wallet, amount, &mut |from, to, amount| {
            self.write(Record::of(Kind::Return, from, amount).other(to), None);
        });
        Ok(())
    }

    /// Moves money between a wallet and its slice. Two steps: in between it is in neither.
    pub fn transfer(&self, from: WalletId, to: WalletId, amount: u64) -> Result<(), Error> {
        self.check_not_forked()?;
        check_payable(amount)?;
        let (source, target) = (self.tree.node(from), self.tree.node(to));
        let slice = match (source.parent == Some(to), target.parent == Some(from)) {
            (true, _) => source,
            (_, true) => target,
            _ => return Err(Error::NotRelated),
        };
        if slice.shared {
            return Err(Error::NotRelated);
        }
        if target.word.load().closed {
            return Err(Refusal::Closed(to).into());
        }
        self.insist(|| self.move_out(from, amount))?;
        self.write(Record::of(Kind::Transfer, from, amount).other(to), None);
        self.credit(to, amount, [0; MAX_DRAWS]);
        Ok(())
    }

    /// Stops spending, here and on every wallet below, until it is unfrozen. What is set aside can
    /// still be settled.
    pub fn freeze(&self, wallet: WalletId) -> Result<(), Error> {
        self.set_frozen(wallet, true)
    }

    /// Lets a frozen wallet spend again, and those below that are not frozen for themselves.
    pub fn unfreeze(&self, wallet: WalletId) -> Result<(), Error> {
        self.set_frozen(wallet, false)
    }

    fn set_frozen(&self, wallet: WalletId, frozen: bool) -> Result<(), Error> {
        self.check_not_forked()?;
        let shape = lock(&self.shape);
        let node = self.tree.node(wallet);
        if node.own_frozen.swap(frozen, MONEY) == frozen {
            return Ok(());
        }
        let kind = if frozen { Kind::Freeze } else { Kind::Unfreeze };
        self.write(Record::of(kind, wallet, 0), None);
        // Parents come before their children here, so each finds its parent's flag as it will be.
        for at in shape.subtree(wallet) {
            let node = self.tree.node(at);
            let above = node.parent.is_some_and(|parent| self.tree.node(parent).word.load().frozen);
            self.tree.set_frozen(node, above || node.own_frozen.load(MONEY));
        }
        Ok(())
    }

    /// Closes a wallet and every one below: nothing new is paid, what is left goes to the parent,
    /// and what comes back later follows it. Returns how much went to the parent by now. A root
    /// keeps its rest.
    pub fn close(&self, wallet: WalletId) -> Result<u64, Error> {
        self.check_not_forked()?;
        self.expire();
        let shape = lock(&self.shape);
        let subtree = shape.subtree(wallet);
        // From the top down, so that nothing can be made or moved below a closed wallet.
        let closing: Vec<WalletId> =
            subtree.into_iter().filter(|&at| self.tree.shut(self.tree.node(at))).collect();
        let returned = Cell::new(0);
        let count = |from: WalletId, amount: u64| {
            if self.leaves(from, wallet) {
                returned.set(returned.get() + amount);
            }
        };
        for &at in closing.iter().rev() {
            let node = self.tree.node(at);
            let parent = node.parent.filter(|_| !node.shared);
            let rest = parent.map_or(0, |_| self.tree.empty(node));
            let record = Record::of(Kind::Close, at, rest);
            self.write(Record { other: parent, ..record }, None);
            if let Some(parent) = parent.filter(|_| rest > 0) {
                count(at, rest);
                self.tree.credit(parent, rest, [0; MAX_DRAWS], &mut |from, to, amount| {
                    count(from, amount);
                    self.write(Record::of(Kind::Return, from, amount).other(to), None);
                });
            }
        }
        Ok(returned.get())
    }

    /// Whether what a slice hands to its parent leaves `top` with that: the slice is `top`, or its
    /// parent's money is that of the wallets above `top`, which is shared.
    fn leaves(&self, slice: WalletId, top: WalletId) -> bool {
        let mut at = slice;
        while at != top {
            match self.parent(at) {
                Some(parent) if self.is_shared(parent) => at = parent,
                _ => return false,
            }
        }
        true
    }

    // ---- writing down -------------------------------------------------------------------------

    #[inline]
    fn write(&self, record: Record, blob: Option<Box<[u8]>>) -> (u64, u64) {
        let time = self.clock.wall();
        (self.history.write(Record { time, ..record }, blob), time)
    }

    #[inline]
    fn book_charge(&self, record: Record, blob: Option<Box<[u8]>>) -> Charge {
        let (id, time) = self.write(record, blob);
        Charge { id, time, amount: record.amount, overdrawn: self.newly_overdrawn(record.wallet) }
    }

    fn write_settlement(&self, kind: Kind, id: ReservationId, slot: &Slot) {
        let record = Record::of(kind, slot.wallet(), slot.amount());
        self.write(Record { reservation: id, labels: slot.labels(), ..record }, None);
    }

    fn book_draws(&self, slot: &Slot) {
        let draws = slot.draws();
        if draws[0] > 0 {
            self.book_along(slot.wallet(), &draws, Kind::Draw);
        }
    }

    /// Writes what the soft slices on a path drew or handed back: draws from the top down, so that
    /// each slice has the money before it lends it on; hand-backs from the bottom up.
    fn book_along(&self, wallet: WalletId, amounts: &[u64; MAX_DRAWS], kind: Kind) {
        let mut records = Vec::with_capacity(MAX_DRAWS);
        let mut at = wallet;
        while let Some(parent) = self.parent(at) {
            let node = self.tree.node(at);
            if node.draws() {
                let Some(&amount) = amounts.get(records.len()).filter(|&&amount| amount > 0) else {
                    break;
                };
                if kind == Kind::Draw {
                    node.drew.store(true, MONEY);
                    records.push(Record::of(kind, parent, amount).other(at));
                } else {
                    records.push(Record::of(kind, at, amount).other(parent));
                }
            } else if !node.shared {
                break;
            }
            at = parent;
        }
        if kind == Kind::Draw {
            records.reverse();
        }
        for record in records {
            self.write(record, None);
        }
    }

    /// A soft wallet on the way up that is below zero and was not announced since it was above.
    #[inline]
    fn newly_overdrawn(&self, wallet: WalletId) -> Option<WalletId> {
        if self.tree.node(wallet).may_overdraw { self.find_overdrawn(wallet) } else { None }
    }

    #[cold]
    fn find_overdrawn(&self, wallet: WalletId) -> Option<WalletId> {
        let mut at = Some(wallet);
        while let Some(wallet) = at {
            let node = self.tree.node(wallet);
            let word = node.word.load();
            let over = if node.draws() { node.drew.load(MONEY) } else { word.balance < 0 };
            if !node.hard && over && !node.announced.swap(true, MONEY) {
                return Some(wallet);
            }
            at = node.parent.filter(|_| node.shared || node.draws());
        }
        None
    }
}

#[inline]
fn commit_record(id: ReservationId, slot: &Slot, amount: u64) -> Record {
    Record {
        aside: slot.amount(),
        reservation: id,
        labels: slot.labels(),
        ..Record::of(Kind::Commit, slot.wallet(), amount)
    }
}

/// The race: one swap settles a reservation, the losers are told how.
#[inline]
fn settle(slot: &Slot, to: Phase) -> Result<(), Error> {
    let settled = slot.advance(Phase::Held, to);
    settled.map_err(|_| slot.settled().map_or(Error::Unknown, Error::Settled))
}

#[inline]
fn check_payable(amount: u64) -> Result<(), Error> {
    match amount {
        0 => Err(AmountError::Zero.into()),
        1..=MAX_AMOUNT => Ok(()),
        _ => Err(AmountError::TooLarge { scale: 0 }.into()),
    }
}

/// Adds to a sum that must stay an amount.
fn grow(sum: &AtomicU64, amount: u64) -> Result<(), Error> {
    let mut before = sum.load(MONEY);
    loop {
        let after = before
            .checked_add(amount)
            .filter(|&after| after <= MAX_AMOUNT)
            .ok_or(AmountError::TooLarge { scale: 0 })?;
        match sum.compare_exchange(before, after, MONEY, MONEY) {
            Ok(_) => return Ok(()),
            Err(other) => before = other,
        }
    }
}

fn name_key(parent: Option<WalletId>, name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (parent, name).hash(&mut hasher);
    hasher.finish()
}

impl Shape {
    fn add(&mut self, parent: Option<WalletId>, id: WalletId, mut key: u64) {
        while self.names.contains_key(&key) {
            key = key.wrapping_add(1);
        }
        self.names.insert(key, id);
        self.links.resize(id.0 as usize + 1, [0; 3]);
        let Some(parent) = parent else {
            self.roots.push(id);
            return;
        };
        let parent = parent.0 as usize;
        match self.links[parent][1] {
            0 => self.links[parent][0] = id.0 + 1,
            last => self.links[last as usize - 1][2] = id.0 + 1,
        }
        self.links[parent][1] = id.0 + 1;
    }

    fn children(&self, wallet: WalletId) -> impl Iterator<Item = WalletId> + '_ {
        let link = |at: usize, which: usize| self.links[at][which].checked_sub(1).map(WalletId);
        std::iter::successors(link(wallet.0 as usize, 0), move |child| link(child.0 as usize, 2))
    }

    /// A wallet and all below it, parents before their children, siblings oldest first.
    pub(crate) fn subtree(&self, wallet: WalletId) -> Vec<WalletId> {
        let mut found = Vec::new();
        let mut open = vec![wallet];
        while let Some(at) = open.pop() {
            found.push(at);
            let first = open.len();
            open.extend(self.children(at));
            open[first..].reverse();
        }
        found
    }
}
