//! Two clocks: a wall clock for records, a monotonic one for deadlines; or one set by hand.

use std::time::{Duration, Instant};

use crate::sync::{Arc, AtomicU64, MONEY};

/// Where a ledger's time comes from.
#[derive(Clone)]
pub enum Clock {
    /// The machine's. Records carry its coarse wall clock, which steps every few milliseconds.
    System(Instant),
    /// A test's.
    Manual(Arc<ManualClock>),
}

impl Default for Clock {
    fn default() -> Self {
        Clock::System(Instant::now())
    }
}

impl Clock {
    /// Nanoseconds since 1970, for records.
    #[inline]
    pub(crate) fn wall(&self) -> u64 {
        match self {
            Clock::System(_) => coarse_wall(),
            Clock::Manual(clock) => clock.nanos.load(MONEY),
        }
    }

    /// Nanoseconds since some fixed moment, never backwards, for deadlines.
    pub(crate) fn monotonic(&self) -> u64 {
        match self {
            Clock::System(start) => u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
            Clock::Manual(clock) => clock.nanos.load(MONEY),
        }
    }
}

/// A clock that moves only when told to, for tests.
pub struct ManualClock {
    nanos: AtomicU64,
}

impl ManualClock {
    /// A clock at 2001-09-09 01:46:40 UTC, the billionth second.
    #[must_use]
    pub fn new() -> Self {
        ManualClock { nanos: AtomicU64::new(1_000_000_000_000_000_000) }
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).expect("a clock moves by less than 584 years");
        let later = |now: u64| Some(now.saturating_add(by));
        let _ = self.nanos.fetch_update(MONEY, MONEY, later);
    }

    /// Nanoseconds since 1970.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.nanos.load(MONEY)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(target_os = "linux")]
#[inline]
fn coarse_wall() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime writes one timespec, to a place that is ours and valid for it.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut time) };
    debug_assert_eq!(failed, 0, "every Linux since 2.6.32 has this clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(not(target_os = "linux"))]
fn coarse_wall() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}
