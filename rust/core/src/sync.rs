//! The only file that names `std::sync` or loom: everything shared is built from these.
//!
//! Under `cfg(loom)` the atomics are the model checker's. It has no 128-bit atomic, so a wallet's
//! word is then packed into 64 bits; see [`crate::word`].

#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64};

#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64};

#[cfg(loom)]
pub(crate) use self::explored::{AtomicBool, AtomicU32, AtomicU64};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::AtomicPtr;

// Locks guard only what is cold (the shape of the tree, receipts, interning), so the model checker
// need not explore them; what is allocated once is allocated before a model's threads start.
pub(crate) use std::sync::{Arc, OnceLock};

#[cfg(not(shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard};

// Its threads take turns on one of the system's, which the system's lock would stop for good.
#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};

/// For what belongs to the process and not to a model.
pub(crate) use std::sync::atomic::AtomicU64 as ProcessCounter;

use std::sync::atomic::Ordering;

/// For every word that carries money or decides about it: one total order over all of them is what
/// the proofs argue with, and on x86 a read-modify-write costs the same in any ordering.
pub(crate) const MONEY: Ordering = Ordering::SeqCst;

/// For counters that nothing is decided by: only their own sum matters, not their order.
pub(crate) const STATISTIC: Ordering = Ordering::Relaxed;

/// For a store that makes earlier plain stores readable by whoever [`OBSERVE`]s it.
pub(crate) const PUBLISH: Ordering = Ordering::Release;

/// For a load that must see all that was stored before the matching [`PUBLISH`].
pub(crate) const OBSERVE: Ordering = Ordering::Acquire;

/// For plain data between an OBSERVE and a PUBLISH, which order it.
pub(crate) const PLAIN: Ordering = Ordering::Relaxed;

/// Locks a mutex whose data stays valid when a holder panics: every holder leaves it consistent
/// before anything that can panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The same for whoever has better things to do than wait.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(std::sync::TryLockError::WouldBlock) => None,
    }
}

/// Lets others run.
pub(crate) fn yield_now() {
    #[cfg(not(any(loom, shuttle)))]
    std::thread::yield_now();
    #[cfg(shuttle)]
    shuttle::thread::yield_now();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// A small number for the running thread, so that threads can keep out of each other's way.
#[cfg(not(any(loom, shuttle)))]
pub(crate) fn lane() -> usize {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static LANE: usize = NEXT.fetch_add(1, STATISTIC) as usize;
    }
    // A thread that is being torn down has no thread-locals any more; any lane is right, only
    // slower.
    LANE.try_with(|lane| *lane).unwrap_or(0)
}

/// Under the model checker all threads share one lane: the worst case.
#[cfg(any(loom, shuttle))]
pub(crate) fn lane() -> usize {
    0
}

/// Loom's atomics, with a `SeqCst` load that is a read-modify-write of nothing, and every store a
/// swap.
///
/// Loom takes `SeqCst` for `AcqRel`, so its loads can see what was there before; and it remembers
/// only the last access to a location, so a load that another load follows is never reordered with
/// a later swap, which hides most races of "load, then compare and swap". A read-modify-write sees
/// what is there, as a `SeqCst` load among `SeqCst` swaps does, and is reordered with everything.
/// Stores are swaps, of the same ordering, because loom may put a plain one before a later swap.
#[cfg(loom)]
mod explored {
    use super::{MONEY, Ordering};

    // Each has all the operations, used or not.
    macro_rules! explored {
        ($name:ident, $value:ty, $nothing:expr, $($more:item)*) => {
            #[derive(Debug, Default)]
            pub(crate) struct $name(loom::sync::atomic::$name);

            #[allow(dead_code)]
            impl $name {
                #[track_caller]
                pub(crate) fn new(value: $value) -> Self {
                    $name(loom::sync::atomic::$name::new(value))
                }

                #[track_caller]
                pub(crate) fn load(&self, order: Ordering) -> $value {
                    match order {
                        MONEY => self.0.fetch_or($nothing, MONEY),
                        order => self.0.load(order),
                    }
                }

                #[track_caller]
                pub(crate) fn store(&self, value: $value, order: Ordering) {
                    self.0.swap(value, order);
                }

                #[track_caller]
                pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                    self.0.swap(value, order)
                }

                #[track_caller]
                pub(crate) fn compare_exchange(
                    &self,
                    seen: $value,
                    next: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.0.compare_exchange(seen, next, success, failure)
                }

                $($more)*
            }
        };
    }

    macro_rules! counted {
        ($name:ident, $value:ty) => {
            explored! { $name, $value, 0,
                #[track_caller]
                pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    self.0.fetch_add(value, order)
                }

                #[track_caller]
                pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                    self.0.fetch_sub(value, order)
                }

                #[track_caller]
                pub(crate) fn fetch_update(
                    &self,
                    success: Ordering,
                    failure: Ordering,
                    next: impl FnMut($value) -> Option<$value>,
                ) -> Result<$value, $value> {
                    self.0.fetch_update(success, failure, next)
                }

                #[track_caller]
                pub(crate) fn fetch_min(&self, value: $value, order: Ordering) -> $value {
                    self.0.fetch_min(value, order)
                }
            }
        };
    }

    explored! { AtomicBool, bool, false, }
    counted! { AtomicU32, u32 }
    counted! { AtomicU64, u64 }
}
