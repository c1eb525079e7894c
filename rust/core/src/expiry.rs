//! Expiry: finding the reservations whose time has run out, without a lock.
//!
//! Slots are looked after in blocks. A block remembers its nearest deadline; only a block whose
//! deadline has passed is searched. While it is searched its deadline is unknown, so whoever comes
//! by meanwhile searches it too: nobody refuses on the strength of a search that is not finished.

use crate::arena::Arena;
use crate::reservation::{Phase, ReservationId, Slots};
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

    /// Calls `expire` for every open reservation whose deadline is not after `now`.
    pub(crate) fn sweep(&self, slots: &Slots, now: u64, mut expire: impl FnMut(ReservationId)) {
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
                if let Some((id, _)) = waiting(slots, slot).filter(|&(_, due)| due <= now) {
                    expire(id);
                }
                // Also of one that is due and not yet held: its owner is still writing it down.
                nearest = waiting(slots, slot).map_or(nearest, |(_, due)| nearest.min(due));
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

/// The reservation in a slot and its deadline, if it has one and is not settled.
///
/// The deadline may be that of the slot's next reservation already. Then the id is stale, and
/// whoever joins it finds that out.
fn waiting(slots: &Slots, index: usize) -> Option<(ReservationId, u64)> {
    let slot = slots.at(index);
    let (id, phase) = slots.current(index)?;
    let open = matches!(phase, Phase::Undecided | Phase::Granted | Phase::Held | Phase::Expiring);
    Some((id, slot.deadline())).filter(|&(_, deadline)| open && deadline != 0)
}
