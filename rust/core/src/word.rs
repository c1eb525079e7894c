//! A wallet's word: all that a decision needs, in one atomic 128-bit value.

use crate::sync::MONEY;

/// The id of a reservation, or zero for "none yet". See [`crate::reservation`] for its parts.
pub(crate) const ID_BITS: u32 = 61;

/// What a wallet's word says. Every change of a wallet's money is one swap of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// The money left. Below zero it is what the wallet owes: overdraft when soft, debt when hard.
    pub(crate) balance: i64,
    /// The reservation installed here last. It never returns to an earlier one, which is what makes
    /// a late helper's swap fail.
    pub(crate) last: u64,
    /// `last` has taken its amount here, but is not known to be granted: the balance is not exact.
    pub(crate) pending: bool,
    /// The owner stopped spending, here or on a wallet above.
    pub(crate) frozen: bool,
    /// The wallet takes no part in anything new.
    pub(crate) closed: bool,
}

impl Word {
    pub(crate) fn new(balance: i64) -> Self {
        Word { balance, last: 0, pending: false, frozen: false, closed: false }
    }

    /// What can be spent: what is owed is not there twice.
    pub(crate) fn available(self) -> u64 {
        self.balance.max(0).unsigned_abs()
    }

    /// What is owed.
    pub(crate) fn owed(self) -> u64 {
        self.balance.min(0).unsigned_abs()
    }

    #[inline]
    pub(crate) fn less(self, amount: u64) -> Self {
        // Only forced charges can come near the end, and only if several race to owe billions of
        // units. The balance then stays there, and the audit says so, instead of wrapping.
        Word { balance: self.balance.saturating_sub(signed(amount)), ..self }
    }

    #[inline]
    pub(crate) fn plus(self, amount: u64) -> Self {
        // Cannot overflow: no more than MAX_AMOUNT is ever put into a ledger, or under a cap.
        Word { balance: self.balance + signed(amount), ..self }
    }

    /// Step one of a shared reservation: its money is taken, the verdict is open.
    pub(crate) fn install(self, id: u64, amount: u64) -> Self {
        Word { last: id, pending: true, ..self.less(amount) }
    }

    /// Step three: the verdict is known, `back` returns.
    pub(crate) fn clear(self, back: u64) -> Self {
        Word { pending: false, ..self.plus(back) }
    }
}

#[inline]
pub(crate) fn signed(amount: u64) -> i64 {
    // Amounts are below 2^62, checked where they come in.
    amount as i64
}

#[cfg(not(any(loom, shuttle)))]
mod packed {
    use super::{ID_BITS, Word};

    pub(super) type Atomic = portable_atomic::AtomicU128;
    pub(super) type Bits = u128;

    // From the top: balance 64 | last 61 | closed 1 | frozen 1 | pending 1.
    const PENDING: u128 = 1;
    const FROZEN: u128 = 1 << 1;
    const CLOSED: u128 = 1 << 2;
    const LAST: u32 = 3;
    const BALANCE: u32 = LAST + ID_BITS;

    #[inline]
    pub(super) fn pack(word: Word) -> u128 {
        (u128::from(word.balance as u64) << BALANCE)
            | (u128::from(word.last) << LAST)
            | (u128::from(word.closed) << 2)
            | (u128::from(word.frozen) << 1)
            | u128::from(word.pending)
    }

    #[inline]
    pub(super) fn unpack(bits: u128) -> Word {
        Word {
            balance: (bits >> BALANCE) as u64 as i64,
            last: (bits >> LAST) as u64 & ((1 << ID_BITS) - 1),
            closed: bits & CLOSED != 0,
            frozen: bits & FROZEN != 0,
            pending: bits & PENDING != 0,
        }
    }
}

#[cfg(any(loom, shuttle))]
mod packed {
    use super::Word;

    pub(super) type Atomic = crate::sync::AtomicU64;
    pub(super) type Bits = u64;

    // From the top: balance 16 | last 45 | closed 1 | frozen 1 | pending 1. Models stay small.
    const LAST: u32 = 3;
    const BALANCE: u32 = 48;

    pub(super) fn pack(word: Word) -> u64 {
        let balance = i16::try_from(word.balance).expect("a model's balance fits 16 bits");
        assert!(word.last < 1 << 45, "a model's ids fit 45 bits");
        (u64::from(balance as u16) << BALANCE)
            | (word.last << LAST)
            | (u64::from(word.closed) << 2)
            | (u64::from(word.frozen) << 1)
            | u64::from(word.pending)
    }

    pub(super) fn unpack(bits: u64) -> Word {
        Word {
            balance: i64::from((bits >> BALANCE) as u16 as i16),
            last: (bits >> LAST) & ((1 << 45) - 1),
            closed: bits & 4 != 0,
            frozen: bits & 2 != 0,
            pending: bits & 1 != 0,
        }
    }
}

/// The word in its place, shared by all threads.
pub(crate) struct AtomicWord(packed::Atomic);

impl AtomicWord {
    pub(crate) fn new(word: Word) -> Self {
        AtomicWord(packed::Atomic::new(packed::pack(word)))
    }

    #[inline]
    pub(crate) fn load(&self) -> Word {
        packed::unpack(self.0.load(MONEY))
    }

    /// Swaps `seen` for `next`, or says what is there instead.
    #[inline]
    pub(crate) fn swap(&self, seen: Word, next: Word) -> Result<(), Word> {
        let (seen, next): (packed::Bits, packed::Bits) = (packed::pack(seen), packed::pack(next));
        match self.0.compare_exchange(seen, next, MONEY, MONEY) {
            Ok(_) => Ok(()),
            Err(other) => Err(packed::unpack(other)),
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn packing_loses_nothing() {
        for balance in [0, 1, -1, i64::MAX, i64::MIN, 1 << 62] {
            for last in [0, 1, (1 << ID_BITS) - 1] {
                for flags in 0..8u8 {
                    let (pending, frozen, closed) =
                        (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
                    let word = Word { balance, last, pending, frozen, closed };
                    assert_eq!(packed::unpack(packed::pack(word)), word);
                }
            }
        }
    }
}
