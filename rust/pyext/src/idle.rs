//! What a call costs before it does anything: benches measure against it.

use pyo3::prelude::*;

#[pyclass(frozen, module = "outlay._engine")]
pub(crate) struct Idle;

#[pymethods]
impl Idle {
    #[new]
    fn new() -> Self {
        Idle
    }

    /// Takes what `Wallet.spend` takes, and does nothing.
    #[pyo3(signature = (amount, *, service=None, agent=None, run=None, model=None, metadata=None))]
    #[expect(unused_variables, clippy::unused_self, reason = "the signature is all there is")]
    fn spend(
        &self,
        amount: &Bound<'_, PyAny>,
        service: Option<&Bound<'_, PyAny>>,
        agent: Option<&Bound<'_, PyAny>>,
        run: Option<&Bound<'_, PyAny>>,
        model: Option<&Bound<'_, PyAny>>,
        metadata: Option<&Bound<'_, PyAny>>,
    ) {
    }
}
