//! Expiry: finding the reservations whose time has run out, without a lock.
//!
//! Slots are looked after in blocks. A block remembers its nearest deadline; only a block whose
//! deadline has passed is searched. While it is searched its deadline is unknown, so whoever comes
//! by meanwhile searches it too: nobody refuses on the strength of a search that is not finished.

use crate::arena::Arena;
use crate::reservation::{Phase, Slots};
use crate::sync::{AtomicBool, AtomicU64, MONEY};

const BLOCK: usize = 1024;
const NEVER: u64 = u64::MAX;

/// Searches of a block: begun 40 | under way 24.
const UNDER_WAY: u64 = (1 << 24) - 1;
const BEGIN: u64 = (1 << 24) + 1;

struct Block {
    nearest: AtomicU64,
    searches: AtomicU64,
}

impl Default for Block {
    fn default() -> Self {
        Block { nearest: AtomicU64::new(NEVER), searches: AtomicU64::new(0) }
    }
}

pub(crate) struct Expiry {
    blocks: Arena<Block>,
    used: AtomicBool,
}

impl Expiry {
    pub(crate) fn new() -> Self {
        Expiry { blocks: Arena::new(), used: AtomicBool::new(false) }
    }

    /// Whether any reservation ever had a deadline.
    #[inline]
    pub(crate) fn used(&self) -> bool {
        self.used.load(MONEY)
    }

    /// Notes the deadline of a slot that is filled and not yet held.
    pub(crate) fn note(&self, slot: usize, deadline: u64) {
        self.blocks.get(slot / BLOCK).nearest.fetch_min(deadline, MONEY);
        self.used.store(true, MONEY);
    }

    /// Calls `expire` for every slot whose deadline is not after `now`.
    pub(crate) fn sweep(&self, slots: &Slots, now: u64, mut expire: impl FnMut(usize)) {
        if !self.used() {
            return;
        }
        for number in 0..slots.used().div_ceil(BLOCK) {
            let block = self.blocks.get(number);
            if block.quiet_until_after(now) {
                continue;
            }
            block.searches.fetch_add(BEGIN, MONEY);
            block.nearest.swap(NEVER, MONEY);
            let mut nearest = NEVER;
            for slot in number * BLOCK..((number + 1) * BLOCK).min(slots.used()) {
                let deadline = waiting(slots, slot);
                if deadline <= now {
                    expire(slot);
                }
                // Also of one that is due and not yet held: its owner is still writing it down.
                nearest = nearest.min(waiting(slots, slot));
            }
            block.nearest.fetch_min(nearest, MONEY);
            block.searches.fetch_sub(1, MONEY);
        }
    }
}

impl Block {
    /// No search was under way while the nearest deadline was read, and it is after `now`.
    fn quiet_until_after(&self, now: u64) -> bool {
        let before = self.searches.load(MONEY);
        let nearest = self.nearest.load(MONEY);
        let after = self.searches.load(MONEY);
        before == after && before & UNDER_WAY == 0 && nearest > now
    }
}

/// The deadline of a slot whose reservation is not settled.
fn waiting(slots: &Slots, slot: usize) -> u64 {
    let slot = slots.at(slot);
    let state = slot.state();
    let open = matches!(state.phase, Phase::Undecided | Phase::Granted | Phase::Held);
    match slot.deadline() {
        0 => NEVER,
        deadline if open && state.users > 0 => deadline,
        _ => NEVER,
    }
}
