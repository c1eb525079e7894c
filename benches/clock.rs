//! Clocks that the standard library does not offer.

/// Nanoseconds since 1970, by the clock that the engine writes into its records.
#[cfg(target_os = "linux")]
#[inline]
pub fn wall() -> u64 {
    let (seconds, nanos) = read(libc::CLOCK_REALTIME_COARSE);
    seconds * 1_000_000_000 + nanos
}

/// How many seconds of a processor this thread has had: what others do meanwhile is left out.
#[cfg(target_os = "linux")]
pub fn busy() -> f64 {
    let (seconds, nanos) = read(libc::CLOCK_THREAD_CPUTIME_ID);
    seconds as f64 + nanos as f64 / 1e9
}

#[cfg(target_os = "linux")]
#[inline]
fn read(clock: libc::clockid_t) -> (u64, u64) {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime writes one timespec, to a place that is ours and valid for it.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    (time.tv_sec as u64, time.tv_nsec as u64)
}

#[cfg(not(target_os = "linux"))]
pub fn wall() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

/// Where it is not known, a thread is taken to have a processor to itself.
#[cfg(not(target_os = "linux"))]
pub fn busy() -> f64 {
    wall() as f64 / 1e9
}
