//! The ledger, as Python sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use outlay_core::{Clock, Config, Error, NewWallet, WalletId};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::clock::ManualClock;
use crate::errors::{About, DuplicateNameError, InvalidNameError, raised};
use crate::metadata;
use crate::money::{Scale, amount_of, in_range, shown};
use crate::wallet::Wallet;

/// A core ledger with what Python adds to it.
pub(crate) struct Book {
    pub(crate) core: outlay_core::Ledger,
    pub(crate) unit: String,
    pub(crate) scale: u8,
    /// Unlike any other ledger's of this process.
    pub(crate) serial: u64,
}

#[pyclass(frozen, module = "outlay._engine")]
pub(crate) struct Ledger {
    pub(crate) book: Arc<Book>,
}

/// What both `Wallets.create` and `Wallet.create_child` do.
pub(crate) fn create(
    py: Python<'_>,
    book: &Arc<Book>,
    parent: Option<WalletId>,
    name: &Bound<'_, PyString>,
    budget: &Bound<'_, PyAny>,
    (shared, hard): (bool, bool),
    metadata: Option<&Bound<'_, PyAny>>,
) -> PyResult<Wallet> {
    let name = name.to_str().map_err(|_| {
        InvalidNameError::new_err("a name must be text that can be written as UTF-8")
    })?;
    let budget = amount_of(budget, book.scale)?;
    let metadata = metadata::encode(metadata)?;
    let new = NewWallet { parent, name, budget, shared, hard, metadata };
    match book.core.create(new) {
        Ok(id) => Ok(Wallet { book: Arc::clone(book), id }),
        Err(Error::Duplicate) => {
            let parent = parent.map(|parent| book.core.path(parent));
            Err(DuplicateNameError::new_err((name.to_owned(), parent)))
        }
        Err(error) => Err(raised(py, book, About::wallet(parent.unwrap_or(WalletId(0))), error)),
    }
}

impl Ledger {
    /// The core, unless this is a fork's child.
    fn open(&self, py: Python<'_>) -> PyResult<&outlay_core::Ledger> {
        let core = &self.book.core;
        let checked = core.check_not_forked();
        checked.map_err(|error| raised(py, &self.book, About::wallet(WalletId(0)), error))?;
        Ok(core)
    }
}

#[pymethods]
impl Ledger {
    #[new]
    #[pyo3(signature = (unit, scale, keep, clock))]
    fn new(
        unit: String,
        scale: Scale,
        keep: &Bound<'_, PyAny>,
        clock: Option<&Bound<'_, ManualClock>>,
    ) -> PyResult<Self> {
        // Only uniqueness matters.
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let scale = scale.0;
        let clock = clock
            .map_or_else(Clock::default, |clock| Clock::Manual(Arc::clone(&clock.get().clock)));
        let negative =
            || PyValueError::new_err(format!("keep={} is no number of records", shown(keep)));
        let keep = match in_range::<u64>(keep)? {
            Some(keep) => keep,
            None if keep.lt(0)? => return Err(negative()),
            None => u64::MAX,
        };
        let core = outlay_core::Ledger::new(Config { keep, clock });
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        Ok(Ledger { book: Arc::new(Book { core, unit, scale, serial }) })
    }

    #[getter]
    fn unit(&self) -> &str {
        &self.book.unit
    }

    #[getter]
    fn scale(&self) -> u8 {
        self.book.scale
    }

    fn create(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyString>,
        budget: &Bound<'_, PyAny>,
        hard_cap: bool,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Wallet> {
        create(py, &self.book, None, name, budget, (false, hard_cap), metadata)
    }

    fn roots(&self, py: Python<'_>) -> PyResult<Vec<Wallet>> {
        let wallet = |id| Wallet { book: Arc::clone(&self.book), id };
        Ok(self.open(py)?.roots().into_iter().map(wallet).collect())
    }

    fn find(&self, py: Python<'_>, path: &Bound<'_, PyString>) -> PyResult<Option<Wallet>> {
        let core = self.open(py)?;
        // Text that is not UTF-8 is no wallet's name.
        let Ok(path) = path.to_str() else { return Ok(None) };
        let mut at = None;
        for name in path.split('/') {
            at = core.find(at, name);
            if at.is_none() {
                return Ok(None);
            }
        }
        Ok(at.map(|id| Wallet { book: Arc::clone(&self.book), id }))
    }

    fn audit<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        self.open(py)?;
        // It may wait for a quiet moment, so others must be able to run.
        let findings = py.detach(|| self.book.core.audit());
        findings
            .into_iter()
            .map(|finding| {
                let wallet = finding.wallet.map(|wallet| self.book.core.path(wallet));
                (wallet, finding.rule, finding.expected, finding.found).into_pyobject(py)
            })
            .collect()
    }

    fn expire(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.open(py)?.expire())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Ledger>().is_ok_and(|other| Arc::ptr_eq(&self.book, &other.get().book))
    }

    fn __hash__(&self) -> u64 {
        self.book.serial
    }
}

#[pyfunction]
pub(crate) fn forked_in_child() {
    outlay_core::forked_in_child();
}
