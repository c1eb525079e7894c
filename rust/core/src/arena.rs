//! An endless, address-stable array: what is in it never moves and is never freed before the whole.
//!
//! Growing allocates one bucket, twice as long as the one before, so an index is found with one
//! `leading_zeros` (the layout of the `boxcar` crate). Entries start as `T::default()`.

use std::ptr;

use crate::sync::{AtomicPtr, MONEY, OBSERVE};

const FIRST: usize = if cfg!(any(loom, shuttle)) { 4 } else { 64 };
const BUCKETS: usize = if cfg!(loom) { 8 } else { 26 };

/// How many entries an arena can hold: more than [`crate::reservation::MAX_SLOTS`] and wallets.
pub(crate) const CAPACITY: usize = FIRST * ((1 << BUCKETS) - 1);

pub(crate) struct Arena<T> {
    /// Each null, or the first of `FIRST << bucket` entries that stay there until the arena goes.
    buckets: [AtomicPtr<T>; BUCKETS],
}

impl<T: Default> Arena<T> {
    pub(crate) fn new() -> Self {
        Arena { buckets: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())) }
    }

    /// The entry at `index`, made if nobody has asked for it before.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> &T {
        let (bucket, offset) = place(index);
        let mut entries = self.buckets[bucket].load(OBSERVE);
        if entries.is_null() {
            entries = self.grow(bucket);
        }
        debug_assert!(offset < FIRST << bucket);
        // SAFETY: a bucket that is not null has `FIRST << bucket` entries, `place` gives an offset
        // below that, and they are freed only with the arena, which `self` borrows.
        unsafe { &*entries.add(offset) }
    }

    #[cold]
    fn grow(&self, bucket: usize) -> *mut T {
        let fresh = bucket_of::<T>(bucket);
        match self.buckets[bucket].compare_exchange(ptr::null_mut(), fresh, MONEY, MONEY) {
            Ok(_) => fresh,
            Err(other) => {
                // SAFETY: made a moment ago by `bucket_of`, for this bucket, and shown to nobody.
                unsafe { free_bucket(fresh, bucket) };
                other
            }
        }
    }
}

impl<T> Drop for Arena<T> {
    fn drop(&mut self) {
        for (bucket, entries) in self.buckets.iter().enumerate() {
            let entries = entries.swap(ptr::null_mut(), MONEY);
            if !entries.is_null() {
                // SAFETY: only `grow` sets a bucket, with what `bucket_of` made for it, and
                // `&mut self` says that nobody uses it any more.
                unsafe { free_bucket(entries, bucket) };
            }
        }
    }
}

fn bucket_of<T: Default>(bucket: usize) -> *mut T {
    let entries: Box<[T]> = std::iter::repeat_with(T::default).take(FIRST << bucket).collect();
    Box::into_raw(entries).cast()
}

/// # Safety
/// `entries` was made by `bucket_of` for the same bucket, and is used by nobody any more.
unsafe fn free_bucket<T>(entries: *mut T, bucket: usize) {
    let entries = ptr::slice_from_raw_parts_mut(entries, FIRST << bucket);
    // SAFETY: the same box that `bucket_of` took apart, by the caller's word.
    drop(unsafe { Box::from_raw(entries) });
}

#[inline(always)]
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
