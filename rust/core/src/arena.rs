//! An endless, address-stable array: what is in it never moves and is never freed before the whole.
//!
//! Growing allocates one bucket, twice as long as the one before, so an index is found with one
//! `leading_zeros` (the layout of the `boxcar` crate). Entries start as `T::default()`.

use crate::sync::OnceLock;

const FIRST: usize = 64;
const BUCKETS: usize = 26;

/// How many entries an arena can hold: more than [`crate::reservation::MAX_SLOTS`] and wallets.
pub(crate) const CAPACITY: usize = FIRST * ((1 << BUCKETS) - 1);

pub(crate) struct Arena<T> {
    buckets: [OnceLock<Box<[T]>>; BUCKETS],
}

impl<T: Default> Arena<T> {
    pub(crate) fn new() -> Self {
        Arena { buckets: [const { OnceLock::new() }; BUCKETS] }
    }

    /// The entry at `index`, made if nobody has asked for it before.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> &T {
        let (bucket, offset) = place(index);
        let entries = self.buckets[bucket]
            .get_or_init(|| std::iter::repeat_with(T::default).take(FIRST << bucket).collect());
        &entries[offset]
    }
}

#[inline]
fn place(index: usize) -> (usize, usize) {
    let shifted = index + FIRST;
    let bucket = (shifted.ilog2() - FIRST.ilog2()) as usize;
    (bucket, shifted - (FIRST << bucket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_its_own_place() {
        let mut expected = (0, 0);
        for index in 0..10_000 {
            assert_eq!(place(index), expected);
            expected.1 += 1;
            if expected.1 == FIRST << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(place(CAPACITY - 1).0, BUCKETS - 1);
    }

    #[test]
    fn entries_do_not_move() {
        let arena = Arena::<std::cell::Cell<usize>>::new();
        let first: *const _ = arena.get(0);
        arena.get(0).set(7);
        for index in 1..5_000 {
            arena.get(index).set(index);
        }
        assert!(std::ptr::eq(first, arena.get(0)));
        assert_eq!(arena.get(0).get(), 7);
        assert_eq!(arena.get(4_999).get(), 4_999);
    }
}
