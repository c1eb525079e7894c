//! A clock for tests.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::money::{in_range, shown};

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

    fn advance(&self, seconds: &Bound<'_, PyAny>) -> PyResult<()> {
        self.clock.advance(duration("seconds", seconds)?);
        Ok(())
    }

    /// Nanoseconds since 1970.
    fn now(&self) -> u64 {
        self.clock.now()
    }
}

/// A span of time that is not negative, not infinite, and below three hundred years.
pub(crate) fn duration(name: &str, seconds: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let span =
        in_range::<f64>(seconds)?.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    span.filter(|span| span.as_secs() < 9_000_000_000).ok_or_else(|| {
        PyValueError::new_err(format!(
            "{name}={} is no span of time: give seconds, from 0 to 9,000,000,000",
            shown(seconds)
        ))
    })
}
