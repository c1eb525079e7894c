//! Reservations: money set aside, and the descriptor by which any thread can finish taking it.
//!
//! A reservation lives in a slot, 64 bytes that never move. One word of it says the slot's
//! generation, the reservation's phase and how many hold on to the slot; commit, release and expiry
//! race for that word, and one wins. An id is generation and slot, so a stale one is recognised.

use crate::arena::Arena;
use crate::error::{Error, Refusal, Settled};
use crate::labels::LabelsId;
use crate::sync::{AtomicU32, AtomicU64, MONEY, PLAIN, PUBLISH, lane};
use crate::wallet::WalletId;
use crate::word::ID_BITS;

/// How many soft slices may stand on top of each other: each may draw on its parent.
pub const MAX_DRAWS: usize = 2;

const SLOT_BITS: u32 = if cfg!(any(loom, shuttle)) { 8 } else { 26 };

/// How many reservations can be open at one time.
pub const MAX_SLOTS: usize = 1 << SLOT_BITS;

/// A slot that has been used this often is retired, so that no id ever comes back. At ten million
/// reservations a second on one slot that takes an hour, and costs the slot's 64 bytes.
const MAX_GENERATION: u64 = (1 << (ID_BITS - SLOT_BITS)) - 1;

/// A reservation, by number: its slot's generation, and the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReservationId(pub u64);

impl ReservationId {
    fn new(generation: u64, slot: usize) -> Self {
        ReservationId((generation << SLOT_BITS) | slot as u64)
    }

    pub(crate) fn slot(self) -> usize {
        (self.0 & (MAX_SLOTS as u64 - 1)) as usize
    }

    fn generation(self) -> u64 {
        self.0 >> SLOT_BITS
    }
}

/// Where a reservation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Nobody knows yet whether every wallet on its path can pay.
    Undecided = 0,
    /// All paid; the owner has not written it down yet.
    Granted = 1,
    /// One could not pay.
    Refused = 2,
    /// Written down: the money is set aside.
    Held = 3,
    /// Settled: spent, in whole or in part.
    Committed = 4,
    /// Settled: given back by its owner.
    Released = 5,
    /// Settled: given back because its time ran out.
    Expired = 6,
    /// Settled: all that was set aside is spent. The usual case, which needs no proposal.
    CommittedWhole = 7,
    /// Its time ran out, and its money is about to be given back.
    Expiring = 8,
}

impl Phase {
    fn from_bits(bits: u64) -> Self {
        match bits {
            0 => Phase::Undecided,
            1 => Phase::Granted,
            2 => Phase::Refused,
            3 => Phase::Held,
            4 => Phase::Committed,
            5 => Phase::Released,
            6 => Phase::Expired,
            7 => Phase::CommittedWhole,
            8 => Phase::Expiring,
            _ => unreachable!("a slot's state has no phase {bits}"),
        }
    }
}

/// A slot's state word. From the top: generation 35 | phase 4 | users 25.
///
/// Users are the owner and the helpers at work; a slot without users is free. A generation and its
/// users change in one swap, so who registers as a user knows that the slot is still the same
/// reservation's and stays it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) generation: u64,
    pub(crate) phase: Phase,
    pub(crate) users: u64,
}

const USER_BITS: u32 = 25;
const PHASE_BITS: u32 = 4;

impl State {
    fn pack(self) -> u64 {
        (self.generation << (USER_BITS + PHASE_BITS))
            | ((self.phase as u64) << USER_BITS)
            | self.users
    }

    fn unpack(bits: u64) -> Self {
        State {
            generation: bits >> (USER_BITS + PHASE_BITS),
            phase: Phase::from_bits((bits >> USER_BITS) & ((1 << PHASE_BITS) - 1)),
            users: bits & ((1 << USER_BITS) - 1),
        }
    }
}

/// A draw whose slice is not charged yet.
const OPEN: u64 = u64::MAX;

/// In a slot's outcome: what follows is the amount of a commit, not a refusal.
const COMMIT: u64 = 1 << 63;

/// How a charge treats a wallet that cannot pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Demand {
    /// Hard wallets refuse, soft ones pay what they have not got.
    Usual = 0,
    /// All refuse: money that moves must be there.
    Strict = 1,
    /// None refuses: the money is spent already, and what is missing is owed.
    Forced = 2,
}

/// One reservation's place: 64 bytes.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct Slot {
    state: AtomicU64,
    amount: AtomicU64,
    /// What the soft slices on the path drew on their parents, from the bottom; fixed once each.
    draws: [AtomicU64; MAX_DRAWS],
    /// Why it is refused, or, marked, what it is committed for; zero until somebody proposes one.
    outcome: AtomicU64,
    /// On the monotonic clock; zero is "never".
    deadline: AtomicU64,
    wallet: AtomicU32,
    labels: AtomicU32,
    demand: AtomicU32,
    /// The next free slot in the list that this one is in, plus one.
    next: AtomicU32,
}

/// What a reservation asks for.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) wallet: WalletId,
    pub(crate) amount: u64,
    pub(crate) labels: LabelsId,
    pub(crate) deadline: u64,
    pub(crate) demand: Demand,
}

impl Slot {
    #[inline]
    pub(crate) fn state(&self) -> State {
        State::unpack(self.state.load(MONEY))
    }

    #[inline]
    fn swap_state(&self, seen: State, next: State) -> Result<(), State> {
        self.state
            .compare_exchange(seen.pack(), next.pack(), MONEY, MONEY)
            .map(|_| ())
            .map_err(State::unpack)
    }

    /// Moves on from one phase; says which phase it is in otherwise. Whoever moves it has won.
    pub(crate) fn advance(&self, from: Phase, to: Phase) -> Result<(), Phase> {
        let mut state = self.state();
        loop {
            if state.phase != from {
                return Err(state.phase);
            }
            match self.swap_state(state, State { phase: to, ..state }) {
                Ok(()) => return Ok(()),
                Err(other) => state = other,
            }
        }
    }

    /// From undecided to held, where nobody but the owner can know the id: it is on no wallet's
    /// word and has no deadline, so no other thread writes the state.
    #[inline]
    pub(crate) fn hold_unseen(&self) {
        let state = self.state();
        self.state.store(State { phase: Phase::Held, ..state }.pack(), PUBLISH);
    }

    /// The same for a step that only the owner takes: helpers and sweepers come and go, but none of
    /// them moves on from `from`.
    #[inline]
    pub(crate) fn advance_owned(&self, from: Phase, to: Phase) {
        let moved = self.advance(from, to);
        assert!(moved.is_ok(), "a reservation went to {moved:?} behind its owner's back");
    }

    pub(crate) fn amount(&self) -> u64 {
        self.amount.load(PLAIN)
    }

    pub(crate) fn wallet(&self) -> WalletId {
        WalletId(self.wallet.load(PLAIN))
    }

    pub(crate) fn labels(&self) -> LabelsId {
        LabelsId(self.labels.load(PLAIN))
    }

    pub(crate) fn deadline(&self) -> u64 {
        self.deadline.load(PLAIN)
    }

    pub(crate) fn demand(&self) -> Demand {
        match self.demand.load(PLAIN) {
            0 => Demand::Usual,
            1 => Demand::Strict,
            2 => Demand::Forced,
            other => unreachable!("a slot has no demand {other}"),
        }
    }

    /// The draws as far as they are fixed; the others are zero.
    pub(crate) fn draws(&self) -> [u64; MAX_DRAWS] {
        std::array::from_fn(|index| self.draw(index).unwrap_or(0))
    }

    pub(crate) fn draw(&self, index: usize) -> Option<u64> {
        Some(self.draws[index].load(MONEY)).filter(|&draw| draw != OPEN)
    }

    /// Fixes a draw; the first to do so is right, since any amount that covered the shortfall at
    /// one instant while the slice was charged will do, as long as all go by the same.
    pub(crate) fn fix_draw(&self, index: usize, draw: u64) -> u64 {
        match self.draws[index].compare_exchange(OPEN, draw, MONEY, MONEY) {
            Ok(_) => draw,
            Err(fixed) => fixed,
        }
    }

    /// Proposes why it is refused; the first proposal stands. One that comes after the grant is
    /// never read.
    pub(crate) fn propose_refusal(&self, verdict: Verdict) {
        let _ = self.outcome.compare_exchange(0, verdict.pack(), MONEY, MONEY);
    }

    /// Why it is refused. Whoever decided that has proposed a reason before.
    pub(crate) fn verdict(&self) -> Verdict {
        Verdict::unpack(self.outcome.load(MONEY))
    }

    /// Proposes what it is committed for, and returns the first such proposal, which stands.
    pub(crate) fn propose_commit(&self, amount: u64) -> u64 {
        let mut standing = self.outcome.load(MONEY);
        while standing & COMMIT == 0 {
            match self.outcome.compare_exchange(standing, COMMIT | amount, MONEY, MONEY) {
                Ok(_) => return amount,
                Err(other) => standing = other,
            }
        }
        standing & !COMMIT
    }

    /// How it ended, if it has.
    pub(crate) fn settled(&self) -> Option<Settled> {
        match self.state().phase {
            Phase::CommittedWhole => Some(Settled::Committed(self.amount())),
            Phase::Committed => Some(Settled::Committed(self.outcome.load(MONEY) & !COMMIT)),
            Phase::Released => Some(Settled::Released),
            Phase::Expiring | Phase::Expired => Some(Settled::Expired),
            Phase::Undecided | Phase::Granted | Phase::Refused | Phase::Held => None,
        }
    }
}

/// A refusal squeezed into a slot's outcome: kind 2 | levels above the wallet asked 6 | available
/// 55.
///
/// Kind, level and money are seen in one wallet's word at one instant and kept together, so the
/// refusal that is reported is one that was true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Short { level: u8, available: u64 },
    Frozen { level: u8 },
    Closed { level: u8 },
}

const VERDICT_AVAILABLE: u64 = (1 << 55) - 1;

impl Verdict {
    pub(crate) fn pack(self) -> u64 {
        let (kind, level, available) = match self {
            Verdict::Short { level, available } => (1, level, available.min(VERDICT_AVAILABLE)),
            Verdict::Frozen { level } => (2, level, 0),
            Verdict::Closed { level } => (3, level, 0),
        };
        (kind << 61) | (u64::from(level) << 55) | available
    }

    pub(crate) fn unpack(bits: u64) -> Self {
        let level = ((bits >> 55) & 63) as u8;
        match (bits >> 61) & 3 {
            1 => Verdict::Short { level, available: bits & VERDICT_AVAILABLE },
            2 => Verdict::Frozen { level },
            3 => Verdict::Closed { level },
            other => unreachable!("a verdict has no kind {other}"),
        }
    }

    pub(crate) fn available(self) -> u64 {
        match self {
            Verdict::Short { available, .. } => available,
            Verdict::Frozen { .. } | Verdict::Closed { .. } => 0,
        }
    }

    pub(crate) fn level(self) -> u8 {
        match self {
            Verdict::Short { level, .. }
            | Verdict::Frozen { level }
            | Verdict::Closed { level } => level,
        }
    }

    /// The refusal that it stands for. `exact` says what is left where that is too much for it.
    pub(crate) fn refusal(
        self,
        wallet: WalletId,
        asked: u64,
        exact: impl FnOnce() -> u64,
    ) -> Refusal {
        match self {
            Verdict::Short { available: VERDICT_AVAILABLE.., .. } => {
                Refusal::Short { wallet, asked, available: exact() }
            }
            Verdict::Short { available, .. } => Refusal::Short { wallet, asked, available },
            Verdict::Frozen { .. } => Refusal::Frozen(wallet),
            Verdict::Closed { .. } => Refusal::Closed(wallet),
        }
    }
}

const LANES: usize = if cfg!(any(loom, shuttle)) { 1 } else { 32 };

/// A list of free slots, on a cache line of its own: tag 32 | first slot plus one 32. The tag
/// changes with every swap, so that a list that looks unchanged is.
#[derive(Default)]
#[repr(align(128))]
struct FreeList(AtomicU64);

/// All slots of a ledger, and lists of the free ones: one a lane, so that threads rarely meet.
pub(crate) struct Slots {
    slots: Arena<Slot>,
    free: [FreeList; LANES],
    used: AtomicU32,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Slots {
            slots: Arena::new(),
            free: std::array::from_fn(|_| FreeList::default()),
            used: AtomicU32::new(0),
        }
    }

    /// How many slots were ever in use.
    pub(crate) fn used(&self) -> usize {
        self.used.load(MONEY) as usize
    }

    #[inline]
    pub(crate) fn at(&self, slot: usize) -> &Slot {
        self.slots.get(slot)
    }

    /// The slot of a reservation whose owner has not let go of it.
    pub(crate) fn held(&self, id: ReservationId) -> Result<&Slot, Error> {
        if id.0 == 0 || id.slot() >= self.used() {
            return Err(Error::Unknown);
        }
        let slot = self.at(id.slot());
        let state = slot.state();
        if state.generation == id.generation() && state.users > 0 {
            Ok(slot)
        } else {
            Err(Error::Unknown)
        }
    }

    /// The reservation that a slot is in use for, and where it stands.
    pub(crate) fn current(&self, index: usize) -> Option<(ReservationId, Phase)> {
        let state = self.at(index).state();
        (state.users > 0).then(|| (ReservationId::new(state.generation, index), state.phase))
    }

    /// A slot of one's own, undecided, with what is asked for in it.
    #[inline]
    pub(crate) fn take(&self, request: &Request) -> Result<(ReservationId, &Slot), Error> {
        let index = match self.pop() {
            Some(index) => index,
            None => self.fresh()?,
        };
        let slot = self.at(index);
        let generation = slot.state().generation + 1;
        slot.amount.store(request.amount, PLAIN);
        slot.wallet.store(request.wallet.0, PLAIN);
        slot.labels.store(request.labels.0, PLAIN);
        slot.demand.store(request.demand as u32, PLAIN);
        slot.deadline.store(request.deadline, PLAIN);
        slot.outcome.store(0, PLAIN);
        for draw in &slot.draws {
            draw.store(OPEN, PLAIN);
        }
        // Shows the fields above to whoever finds this generation in the state.
        slot.state.store(State { generation, phase: Phase::Undecided, users: 1 }.pack(), PUBLISH);
        Ok((ReservationId::new(generation, index), slot))
    }

    /// Registers as a helper: the slot stays this reservation's until [`Slots::leave`]. None if the
    /// reservation is over and its slot may be another's.
    pub(crate) fn join(&self, id: ReservationId) -> Option<&Slot> {
        let slot = self.at(id.slot());
        let mut state = slot.state();
        loop {
            if state.generation != id.generation() || state.users == 0 {
                return None;
            }
            assert!(state.users < (1 << USER_BITS) - 1, "fewer than 33 million threads help");
            match slot.swap_state(state, State { users: state.users + 1, ..state }) {
                Ok(()) => return Some(slot),
                Err(other) => state = other,
            }
        }
    }

    /// Lets go of a slot. The last user frees it.
    pub(crate) fn leave(&self, id: ReservationId) {
        let slot = self.at(id.slot());
        let mut state = slot.state();
        loop {
            assert!(state.generation == id.generation() && state.users > 0, "left twice");
            match slot.swap_state(state, State { users: state.users - 1, ..state }) {
                Ok(()) => break,
                Err(other) => state = other,
            }
        }
        if state.users == 1 {
            assert!(
                !matches!(state.phase, Phase::Undecided | Phase::Granted | Phase::Held),
                "a reservation that is not settled has its owner"
            );
            self.push(id);
        }
    }

    /// The next slot that was never used.
    #[cold]
    fn fresh(&self) -> Result<usize, Error> {
        let mut used = self.used.load(MONEY);
        loop {
            if used as usize >= MAX_SLOTS {
                return self.steal().ok_or(Error::Full);
            }
            match self.used.compare_exchange(used, used + 1, MONEY, MONEY) {
                Ok(_) => return Ok(used as usize),
                Err(other) => used = other,
            }
        }
    }

    /// With all slots in use somewhere, other lanes' free ones will do.
    fn steal(&self) -> Option<usize> {
        (0..LANES).find_map(|lane| self.pop_from(&self.free[lane]))
    }

    #[inline]
    fn pop(&self) -> Option<usize> {
        self.pop_from(&self.free[lane() % LANES])
    }

    #[inline]
    fn pop_from(&self, list: &FreeList) -> Option<usize> {
        let mut head = list.0.load(MONEY);
        loop {
            let first = (head as u32).checked_sub(1)? as usize;
            // May be another list's by now; then the tag has changed and the swap fails.
            let next = self.at(first).next.load(PLAIN);
            let tag = (head >> 32).wrapping_add(1);
            match list.0.compare_exchange(head, (tag << 32) | u64::from(next), MONEY, MONEY) {
                Ok(_) => return Some(first),
                Err(other) => head = other,
            }
        }
    }

    #[inline]
    fn push(&self, id: ReservationId) {
        if id.generation() == MAX_GENERATION {
            return;
        }
        let list = &self.free[lane() % LANES];
        let mut head = list.0.load(MONEY);
        loop {
            self.at(id.slot()).next.store(head as u32, PLAIN);
            let tag = (head >> 32).wrapping_add(1);
            let first = id.slot() as u64 + 1;
            match list.0.compare_exchange(head, (tag << 32) | first, MONEY, MONEY) {
                Ok(_) => return,
                Err(other) => head = other,
            }
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            wallet: WalletId(3),
            amount: 7,
            labels: LabelsId(0),
            deadline: 0,
            demand: Demand::Usual,
        }
    }

    #[test]
    fn a_slot_is_a_cache_line() {
        assert_eq!(size_of::<Slot>(), 64);
    }

    #[test]
    fn a_stale_id_finds_nothing() {
        let slots = Slots::new();
        let (first, slot) = slots.take(&request()).unwrap();
        slot.advance(Phase::Undecided, Phase::Refused).unwrap();
        slots.leave(first);
        let (second, _) = slots.take(&request()).unwrap();
        assert_eq!(first.slot(), second.slot());
        assert_ne!(first, second);
        assert!(slots.join(first).is_none());
        assert!(slots.held(first).is_err());
        assert!(slots.held(second).is_ok());
    }

    #[test]
    fn a_helped_slot_is_freed_by_its_last_user() {
        let slots = Slots::new();
        let (id, slot) = slots.take(&request()).unwrap();
        assert!(slots.join(id).is_some());
        slot.advance(Phase::Undecided, Phase::Refused).unwrap();
        slots.leave(id);
        let (other, _) = slots.take(&request()).unwrap();
        assert_ne!(id.slot(), other.slot());
        slots.leave(id);
        let (third, _) = slots.take(&request()).unwrap();
        assert_eq!(id.slot(), third.slot());
    }

    #[test]
    fn states_and_verdicts_pack() {
        for phase in 0..9 {
            let state =
                State { generation: (1 << 35) - 1, phase: Phase::from_bits(phase), users: 5 };
            assert_eq!(State::unpack(state.pack()), state);
        }
        for verdict in [
            Verdict::Short { level: 63, available: VERDICT_AVAILABLE },
            Verdict::Frozen { level: 0 },
            Verdict::Closed { level: 9 },
        ] {
            assert_eq!(Verdict::unpack(verdict.pack()), verdict);
            assert_ne!(verdict.pack(), 0);
            assert_eq!(verdict.pack() & COMMIT, 0);
        }
    }
}
