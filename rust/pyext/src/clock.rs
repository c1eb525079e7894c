//! A clock for tests.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

#[pyclass(frozen, module = "outlay.testing")]
pub(crate) struct ManualClock {
    pub(crate) clock: Arc<outlay_core::ManualClock>,
}

#[pymethods]
impl ManualClock {
    #[new]
    fn new() -> Self {
        ManualClock { clock: Arc::new(outlay_core::ManualClock::new()) }
    }

    fn advance(&self, seconds: f64) -> PyResult<()> {
        self.clock.advance(duration("seconds", seconds)?);
        Ok(())
    }

    /// Nanoseconds since 1970.
    fn now(&self) -> u64 {
        self.clock.now()
    }
}

/// A span of time that is not negative, not infinite, and below three hundred years.
pub(crate) fn duration(name: &str, seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|span| span.as_secs() < 9_000_000_000)
        .ok_or_else(|| {
            PyValueError::new_err(format!(
                "{name}={seconds} is no span of time: give seconds, from 0 to 9,000,000,000"
            ))
        })
}
