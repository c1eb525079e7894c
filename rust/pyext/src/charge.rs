//! A charge: the record of money spent.

use std::sync::Arc;

use outlay_core::{LabelsId, WalletId};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::ledger::Book;
use crate::metadata;
use crate::money::to_decimal;
use crate::wallet::Wallet;

/// Where a charge's ledger is to be found: the wallet object that was charged, if there is one,
/// since to count references to it costs less than to count those to the ledger.
pub(crate) enum Owner {
    Wallet(Py<Wallet>),
    Book(Arc<Book>),
}

impl Owner {
    fn book(&self) -> &Book {
        match self {
            Owner::Wallet(wallet) => &wallet.get().book,
            Owner::Book(book) => book,
        }
    }
}

/// The record of money spent.
#[pyclass(frozen, module = "outlay")]
pub(crate) struct Charge {
    pub(crate) owner: Owner,
    #[pyo3(get)]
    pub(crate) id: u64,
    pub(crate) wallet: WalletId,
    pub(crate) amount: u64,
    pub(crate) labels: LabelsId,
    pub(crate) time: u64,
    pub(crate) reservation: u64,
    pub(crate) blob: Option<Box<[u8]>>,
}

impl Charge {
    /// What makes a charge itself: its ledger, and its number there.
    fn key(&self) -> (u64, u64) {
        (self.owner.book().serial, self.id)
    }

    fn labels(&self) -> &outlay_core::Labels {
        self.owner.book().core.labels_of(self.labels)
    }
}

#[pymethods]
impl Charge {
    #[getter]
    fn wallet(&self) -> String {
        self.owner.book().core.path(self.wallet)
    }

    #[getter]
    fn amount(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        to_decimal(py, self.amount, self.owner.book().scale)
    }

    #[getter]
    fn service(&self) -> Option<&str> {
        self.labels().service.as_deref()
    }

    #[getter]
    fn agent(&self) -> Option<&str> {
        self.labels().agent.as_deref()
    }

    #[getter]
    fn run(&self) -> Option<&str> {
        self.labels().run.as_deref()
    }

    #[getter]
    fn model(&self) -> Option<&str> {
        self.labels().model.as_deref()
    }

    #[getter]
    fn time(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        static MOMENT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let function = MOMENT.get_or_try_init(py, || {
            PyResult::Ok(py.import("outlay.money")?.getattr("moment")?.unbind())
        })?;
        Ok(function.bind(py).call1((self.time,))?.unbind())
    }

    #[getter]
    fn reservation(&self) -> Option<u64> {
        (self.reservation != 0).then_some(self.reservation)
    }

    #[getter]
    fn metadata(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        metadata::decode(py, self.blob.as_deref())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Charge>().is_ok_and(|other| self.key() == other.get().key())
    }

    fn __hash__(&self) -> u64 {
        let (ledger, id) = self.key();
        (ledger << 48) ^ id
    }

    fn __repr__(&self) -> String {
        let book = self.owner.book();
        let amount = outlay_core::amount::plain(self.amount, book.scale);
        let service = self.service().map_or_else(String::new, |service| format!(" for {service}"));
        format!("<Charge {}: {amount} {} from {}{service}>", self.id, book.unit, self.wallet())
    }
}
