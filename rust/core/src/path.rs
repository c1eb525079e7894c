//! Paying along a path: all wallets pay at one instant, or none does.
//!
//! A slice pays alone: one swap of one word. A shared child's charge has to be paid by every wallet
//! up to the nearest slice or root, and a soft slice may have to draw on its parent. That is a
//! multi-word compare-and-swap (Harris, Fraser, Pratt, DISC 2002) cut down to "subtract if there is
//! enough", with the reservation's own slot as the descriptor:
//!
//! 1. From the wallet asked upwards, on each word: another reservation pending here is finished
//!    first. Then, if the clean word has too little, the verdict is *refused*; otherwise the amount
//!    is taken and the word is marked as pending for this reservation.
//! 2. When all have paid, the verdict is *granted*. That one swap of the slot's state decides.
//! 3. Every word that is still pending for this reservation is cleared, with the amount given back
//!    if it was refused.
//!
//! Any thread does the same three steps for a reservation that it meets, so nobody waits for
//! anybody. A refusal is read off a clean word, whose balance is exact, so it is justified; a grant
//! is decided while every wallet holds the money, so it is never taken back.
//!
//! Two rules keep late helpers harmless. A word's `last` never returns to an earlier id, so a swap
//! prepared before a grant cannot succeed after it; prepared before a refusal it can succeed once,
//! and then its own step 3 undoes it. And a helper is registered on the slot while it works, so the
//! slot is not another reservation's before it has left.

use crate::arena::Arena;
use crate::error::{Error, Refusal};
use crate::reservation::{Demand, MAX_DRAWS, Phase, Request, ReservationId, Slot, Slots, Verdict};
use crate::sync::{AtomicU32, MONEY, OnceLock};
use crate::wallet::{Node, WalletId};
use crate::word::{Word, signed};

/// Below this no soft wallet goes: its balance could leave the word. Nine billion units at nine
/// places.
const FLOOR: i64 = -(1 << 62);

/// A node on cache lines of its own, so that wallets do not slow each other down.
#[derive(Default)]
#[repr(align(128))]
struct Place(OnceLock<Node>);

/// The wallets and the reservations that are taken from them. Knows nothing of records or time.
pub(crate) struct Tree {
    places: Arena<Place>,
    count: AtomicU32,
    pub(crate) slots: Slots,
}

/// One wallet on the way up, and what it has to pay.
#[derive(Clone, Copy)]
struct Step {
    wallet: WalletId,
    amount: u64,
    /// How many soft slices below have drawn.
    draws: usize,
    level: u8,
}

impl Step {
    fn first(wallet: WalletId, amount: u64) -> Self {
        Step { wallet, amount, draws: 0, level: 0 }
    }

    /// The next wallet up, which has to pay the same because it is shared.
    fn up(self, parent: WalletId) -> Self {
        Step { wallet: parent, level: self.level + 1, ..self }
    }

    /// The next wallet up, which has to pay what the slice here drew.
    fn drawn(self, parent: WalletId, amount: u64) -> Self {
        Step { wallet: parent, amount, draws: self.draws + 1, level: self.level + 1 }
    }
}

/// How a wallet that may pay alone took a charge.
pub(crate) enum Alone {
    /// It paid.
    Paid,
    /// It needs its parent: the charge has to go along the path.
    NeedsParent,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Tree { places: Arena::new(), count: AtomicU32::new(0), slots: Slots::new() }
    }

    pub(crate) fn count(&self) -> u32 {
        self.count.load(MONEY)
    }

    /// Puts a wallet in its place. One thread at a time does this; it is what the tree's lock is
    /// for.
    pub(crate) fn plant(&self, node: Node) -> WalletId {
        let id = self.count();
        self.places.get(id as usize).0.get_or_init(|| node);
        // Only now does the id exist for anybody else.
        self.count.store(id + 1, MONEY);
        WalletId(id)
    }

    /// Whether one more wallet can be numbered.
    pub(crate) fn check_room(&self) -> Result<(), Error> {
        if (self.count() as usize) < crate::arena::CAPACITY - 1 { Ok(()) } else { Err(Error::Full) }
    }

    #[inline(always)]
    pub(crate) fn node(&self, wallet: WalletId) -> &Node {
        self.places.get(wallet.0 as usize).0.get().expect("a wallet's id is made after its node")
    }

    /// A charge to a slice or a root: one word, whatever the depth of the tree.
    #[inline]
    pub(crate) fn take_alone(
        &self,
        node: &Node,
        amount: u64,
        demand: Demand,
    ) -> Result<Alone, Verdict> {
        let mut word = node.word.load();
        loop {
            if word.closed || word.frozen || word.balance < signed(amount) {
                if word.pending {
                    self.help(ReservationId(word.last));
                    word = node.word.load();
                    continue;
                }
                if let Some(verdict) = objection(node, word, amount, demand, 0) {
                    return Err(verdict);
                }
                if node.draws() && demand == Demand::Usual {
                    return Ok(Alone::NeedsParent);
                }
            }
            match node.word.swap(word, word.less(amount)) {
                Ok(()) => return Ok(Alone::Paid),
                Err(other) => word = other,
            }
        }
    }

    /// A charge along the path, by a reservation whose slot is filled. The slot stays the caller's:
    /// granted, or refused and to be left.
    pub(crate) fn take_path(&self, id: ReservationId, slot: &Slot) -> Result<(), Refusal> {
        self.drive(id, slot, Step::first(slot.wallet(), slot.amount()));
        if slot.state().phase == Phase::Granted {
            return Ok(());
        }
        let verdict = slot.verdict();
        let step = self.step_at(slot, verdict.level());
        let exact = || self.node(step.wallet).word.load().available().min(step.amount - 1);
        Err(verdict.refusal(step.wallet, step.amount, exact))
    }

    /// Steps 1 to 3, from one level upwards. The caller is a user of the slot: its owner, or
    /// registered.
    fn drive(&self, id: ReservationId, slot: &Slot, step: Step) {
        let node = self.node(step.wallet);
        let Some(word) = self.install(id, slot, node, step) else {
            return self.clear_from(id, slot, step);
        };
        match self.above(id, slot, node, step) {
            Some(up) => self.drive(id, slot, up),
            None => {
                // Fails if another has decided: the same, or, having met a short wallet, the other.
                let _ = slot.advance(Phase::Undecided, Phase::Granted);
            }
        }
        clear(id, slot, node, step, word);
    }

    /// Finishes a reservation that is in the way.
    #[cold]
    pub(crate) fn help(&self, id: ReservationId) {
        if let Some(slot) = self.slots.join(id) {
            self.drive(id, slot, Step::first(slot.wallet(), slot.amount()));
            self.slots.leave(id);
        }
    }

    /// Step 1, at one level: the word that says that this level has paid. None if the verdict is
    /// known before it has.
    fn install(&self, id: ReservationId, slot: &Slot, node: &Node, step: Step) -> Option<Word> {
        let mut word = node.word.load();
        loop {
            if word.last == id.0 {
                return Some(word);
            }
            // Before helping others: else a helper of a reservation that is long decided would
            // chase newer ones without end.
            if slot.state().phase != Phase::Undecided {
                return None;
            }
            if word.pending {
                self.help(ReservationId(word.last));
                word = node.word.load();
                continue;
            }
            if let Some(verdict) = objection(node, word, step.amount, slot.demand(), step.level) {
                slot.propose_refusal(verdict);
                let _ = slot.advance(Phase::Undecided, Phase::Refused);
                return None;
            }
            let next = word.install(id.0, step.amount);
            match node.word.swap(word, next) {
                Ok(()) => return Some(next),
                Err(other) => word = other,
            }
        }
    }

    /// Who has to pay next, now that this one has.
    fn above(&self, id: ReservationId, slot: &Slot, node: &Node, step: Step) -> Option<Step> {
        let parent = node.parent?;
        if node.shared {
            return Some(step.up(parent));
        }
        if !node.draws() || slot.demand() != Demand::Usual {
            return None;
        }
        let draw = match slot.draw(step.draws) {
            Some(draw) => draw,
            None => {
                let word = node.word.load();
                if word.last != id.0 || !word.pending {
                    // Cleared, so decided: what the caller does next will find that out.
                    return None;
                }
                slot.fix_draw(step.draws, word.owed())
            }
        };
        (draw > 0).then(|| step.drawn(parent, draw))
    }

    /// Step 3, from one level upwards. Who comes late cannot know how far up it is done: a helper
    /// that came later still may have paid once more up there after a refusal.
    fn clear_from(&self, id: ReservationId, slot: &Slot, step: Step) {
        let mut next = Some(step);
        while let Some(step) = next {
            let node = self.node(step.wallet);
            clear(id, slot, node, step, node.word.load());
            next = climb(node, step, drawn(slot, node, step));
        }
    }

    /// The step of a slot's path at a level; its draws are fixed up to there.
    fn step_at(&self, slot: &Slot, level: u8) -> Step {
        let mut step = Step::first(slot.wallet(), slot.amount());
        while step.level < level {
            let node = self.node(step.wallet);
            let draw = drawn(slot, node, step);
            step = climb(node, step, draw).expect("a verdict's level is on its path");
        }
        step
    }

    /// A charge that cannot be refused: the money is spent. What is missing is owed.
    pub(crate) fn force(&self, wallet: WalletId, amount: u64) {
        let node = self.node(wallet);
        let taken = if node.shared { self.force_path(wallet, amount) } else { Err(Error::Full) };
        if taken.is_ok() {
            return;
        }
        // Alone, or without a slot left to charge all at one instant: then one after the other.
        self.change(node, |word| Some(word.less(amount)));
        if let Some(parent) = node.parent.filter(|_| node.shared) {
            self.force(parent, amount);
        }
    }

    fn force_path(&self, wallet: WalletId, amount: u64) -> Result<(), Error> {
        let labels = crate::labels::LabelsId(0);
        let request = Request { wallet, amount, labels, deadline: 0, demand: Demand::Forced };
        let (id, slot) = self.slots.take(&request)?;
        let taken = self.take_path(id, slot);
        debug_assert!(taken.is_ok(), "nothing objects to a forced charge");
        slot.advance_owned(Phase::Granted, Phase::Committed);
        self.slots.leave(id);
        Ok(())
    }

    /// Gives money back along a path, from the top down, so that money seen below is backed above.
    /// `back` is what the soft slices on the path hand on to their parents. `returned` is told,
    /// before it happens, of money that cannot stay because a wallet is closed: from whom, to whom,
    /// how much.
    pub(crate) fn credit(
        &self,
        wallet: WalletId,
        amount: u64,
        back: [u64; MAX_DRAWS],
        returned: &mut dyn FnMut(WalletId, WalletId, u64),
    ) {
        let node = self.node(wallet);
        if !node.shared && back[0] == 0 {
            self.add(wallet, node, amount, returned);
            return;
        }
        self.credit_from(Step::first(wallet, amount), back, returned);
    }

    fn credit_from(
        &self,
        step: Step,
        back: [u64; MAX_DRAWS],
        returned: &mut dyn FnMut(WalletId, WalletId, u64),
    ) {
        let node = self.node(step.wallet);
        let on = if node.draws() { back.get(step.draws).copied().unwrap_or(0) } else { 0 };
        if let Some(up) = climb(node, step, on) {
            self.credit_from(up, back, returned);
        }
        self.add(step.wallet, node, step.amount - on, returned);
    }

    /// Adds to one wallet alone.
    pub(crate) fn add_here(
        &self,
        wallet: WalletId,
        amount: u64,
        returned: &mut dyn FnMut(WalletId, WalletId, u64),
    ) {
        self.add(wallet, self.node(wallet), amount, returned);
    }

    #[inline]
    fn add(
        &self,
        wallet: WalletId,
        node: &Node,
        amount: u64,
        returned: &mut dyn FnMut(WalletId, WalletId, u64),
    ) {
        if amount == 0 {
            return;
        }
        let mut word = node.word.load();
        loop {
            let kept = match node.parent {
                // A closed slice keeps only what it owes.
                Some(_) if word.closed && !node.shared => amount.min(word.owed()),
                _ => amount,
            };
            // Nothing to keep means closed, and closed is for ever: no swap needs to confirm it.
            if kept > 0 {
                if let Err(other) = node.word.swap(word, word.plus(kept)) {
                    word = other;
                    continue;
                }
            }
            if !node.hard && word.plus(kept).balance >= i64::from(node.draws()) {
                node.drew.store(false, MONEY);
                node.announced.store(false, MONEY);
            }
            if let Some(parent) = node.parent.filter(|_| kept < amount) {
                returned(wallet, parent, amount - kept);
                self.credit(parent, amount - kept, [0; MAX_DRAWS], returned);
            }
            return;
        }
    }

    /// Takes part in nothing new from now on.
    pub(crate) fn shut(&self, node: &Node) -> bool {
        self.change(node, |word| (!word.closed).then_some(Word { closed: true, ..word })).is_some()
    }

    pub(crate) fn set_frozen(&self, node: &Node, frozen: bool) {
        self.change(node, |word| (word.frozen != frozen).then_some(Word { frozen, ..word }));
    }

    /// Takes all that a closed slice has left.
    pub(crate) fn empty(&self, node: &Node) -> u64 {
        self.change(node, |word| (word.balance > 0).then(|| word.less(word.available())))
            .map_or(0, Word::available)
    }

    /// Changes a clean word, unless there is nothing to change; returns what it was. Clean, because
    /// a soft slice's pending charge reads its draw off the balance, which must not sink meanwhile.
    fn change(&self, node: &Node, next: impl Fn(Word) -> Option<Word>) -> Option<Word> {
        let mut word = node.word.load();
        loop {
            if word.pending {
                self.help(ReservationId(word.last));
                word = node.word.load();
                continue;
            }
            match node.word.swap(word, next(word)?) {
                Ok(()) => return Some(word),
                Err(other) => word = other,
            }
        }
    }

    /// The most that the wallet could pay right now.
    pub(crate) fn fits(&self, wallet: WalletId) -> u64 {
        let node = self.node(wallet);
        let word = node.word.load();
        if word.closed || word.frozen {
            return 0;
        }
        let above = || node.parent.map_or(crate::amount::MAX_AMOUNT, |parent| self.fits(parent));
        match (node.hard, node.shared) {
            (true, true) => word.available().min(above()),
            (true, false) => word.available(),
            (false, true) => above(),
            (false, false) if node.draws() && word.owed() > 0 => 0,
            (false, false) => {
                word.available().saturating_add(above()).min(crate::amount::MAX_AMOUNT)
            }
        }
    }
}

/// Step 3, at one level, given what its word said last.
fn clear(id: ReservationId, slot: &Slot, node: &Node, step: Step, mut word: Word) {
    let refused = slot.state().phase == Phase::Refused;
    let back = if refused { step.amount } else { drawn(slot, node, step) };
    while word.last == id.0 && word.pending {
        match node.word.swap(word, word.clear(back)) {
            Ok(()) => return,
            Err(other) => word = other,
        }
    }
}

/// What a reservation drew at a step; nothing as long as it is not fixed.
fn drawn(slot: &Slot, node: &Node, step: Step) -> u64 {
    if node.draws() { slot.draw(step.draws).unwrap_or(0) } else { 0 }
}

/// Where a settled path goes on, given what the slice here drew.
fn climb(node: &Node, step: Step, draw: u64) -> Option<Step> {
    let parent = node.parent?;
    if node.shared {
        Some(step.up(parent))
    } else {
        (node.draws() && draw > 0).then(|| step.drawn(parent, draw))
    }
}

/// Why a wallet does not pay, read off its clean word.
fn objection(node: &Node, word: Word, amount: u64, demand: Demand, level: u8) -> Option<Verdict> {
    if demand == Demand::Forced {
        return None;
    }
    if word.closed {
        return Some(Verdict::Closed { level });
    }
    if word.frozen {
        return Some(Verdict::Frozen { level });
    }
    let short = match (node.hard || demand == Demand::Strict, node.draws()) {
        (true, _) => word.balance < signed(amount),
        // A soft slice that owes something blocks until it is repaid.
        (false, true) => word.balance < 0,
        (false, false) => word.balance < FLOOR + signed(amount),
    };
    short.then(|| Verdict::Short { level, available: word.available() })
}
