//! The handle for spenders: all that an agent needs, and nothing that an owner needs.

use pyo3::prelude::*;

use crate::charge::Charge;
use crate::labels::Given;
use crate::reservation::{Reservation, Terms};
use crate::wallet::Wallet;

/// A wallet for spenders: it can reserve and spend, say what is left, and nothing else.
#[pyclass(frozen, module = "outlay")]
pub(crate) struct Spender {
    wallet: Py<Wallet>,
}

impl Spender {
    pub(crate) fn new(wallet: Py<Wallet>) -> Self {
        Spender { wallet }
    }
}

#[pymethods]
impl Spender {
    #[pyo3(signature = (amount, *, service=None, agent=None, run=None, model=None, metadata=None))]
    #[expect(clippy::too_many_arguments, reason = "Python passes them by name")]
    fn spend(
        &self,
        py: Python<'_>,
        amount: &Bound<'_, PyAny>,
        service: Option<&Bound<'_, PyAny>>,
        agent: Option<&Bound<'_, PyAny>>,
        run: Option<&Bound<'_, PyAny>>,
        model: Option<&Bound<'_, PyAny>>,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<Charge>> {
        Wallet::pay(self.wallet.bind(py), amount, Given { service, agent, run, model }, metadata)
    }

    #[pyo3(signature = (amount, *, service=None, agent=None, run=None, model=None, metadata=None))]
    #[expect(clippy::too_many_arguments, reason = "Python passes them by name")]
    fn try_spend(
        &self,
        py: Python<'_>,
        amount: &Bound<'_, PyAny>,
        service: Option<&Bound<'_, PyAny>>,
        agent: Option<&Bound<'_, PyAny>>,
        run: Option<&Bound<'_, PyAny>>,
        model: Option<&Bound<'_, PyAny>>,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Py<Charge>>> {
        Wallet::try_pay(
            self.wallet.bind(py),
            amount,
            Given { service, agent, run, model },
            metadata,
        )
    }

    #[pyo3(signature = (amount, *, service=None, agent=None, run=None, model=None, metadata=None,
                        ttl=None, overage="debt", on_cancel="commit"))]
    #[expect(clippy::too_many_arguments, reason = "Python passes them by name")]
    fn reserve(
        &self,
        py: Python<'_>,
        amount: &Bound<'_, PyAny>,
        service: Option<&Bound<'_, PyAny>>,
        agent: Option<&Bound<'_, PyAny>>,
        run: Option<&Bound<'_, PyAny>>,
        model: Option<&Bound<'_, PyAny>>,
        metadata: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
        overage: &str,
        on_cancel: &str,
    ) -> PyResult<Reservation> {
        let terms = Terms::new(ttl, overage, on_cancel)?;
        let labels = Given { service, agent, run, model };
        Wallet::set_aside(self.wallet.bind(py), amount, labels, metadata, terms)
    }

    #[pyo3(signature = (amount, *, service=None, agent=None, run=None, model=None, metadata=None,
                        ttl=None, overage="debt", on_cancel="commit"))]
    #[expect(clippy::too_many_arguments, reason = "Python passes them by name")]
    fn try_reserve(
        &self,
        py: Python<'_>,
        amount: &Bound<'_, PyAny>,
        service: Option<&Bound<'_, PyAny>>,
        agent: Option<&Bound<'_, PyAny>>,
        run: Option<&Bound<'_, PyAny>>,
        model: Option<&Bound<'_, PyAny>>,
        metadata: Option<&Bound<'_, PyAny>>,
        ttl: Option<&Bound<'_, PyAny>>,
        overage: &str,
        on_cancel: &str,
    ) -> PyResult<Option<Reservation>> {
        let terms = Terms::new(ttl, overage, on_cancel)?;
        let labels = Given { service, agent, run, model };
        Wallet::try_set_aside(self.wallet.bind(py), amount, labels, metadata, terms)
    }

    #[getter]
    fn available(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let wallet = self.wallet.get();
        wallet.decimal(py, wallet.open(py)?.available(wallet.id))
    }

    #[getter]
    fn fits(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let wallet = self.wallet.get();
        wallet.decimal(py, wallet.open(py)?.fits(wallet.id))
    }

    #[getter]
    fn name(&self) -> &str {
        self.wallet.get().core().name(self.wallet.get().id)
    }

    #[getter]
    fn path(&self) -> String {
        self.wallet.get().core().path(self.wallet.get().id)
    }

    fn __repr__(&self) -> String {
        format!("<Spender of {}>", self.path())
    }
}
