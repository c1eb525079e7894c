//! A wallet, as Python sees it: what is called for every charge is here.

use std::sync::Arc;

use outlay_core::{Error, ReservationId, Row, WalletId};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple};

use crate::charge::{Charge, Owner};
use crate::errors::{About, WrongLedgerError, raised};
use crate::labels::{Given, labels_of};
use crate::ledger::{Book, Ledger, create};
use crate::metadata;
use crate::money::{payable, to_decimal};
use crate::reservation::{Reservation, Terms};
use crate::spender::Spender;

#[pyclass(frozen, subclass, module = "outlay._engine")]
pub(crate) struct Wallet {
    pub(crate) book: Arc<Book>,
    pub(crate) id: WalletId,
}

impl Wallet {
    #[inline]
    pub(crate) fn core(&self) -> &outlay_core::Ledger {
        &self.book.core
    }

    /// The core, for what may wait for a lock: in a fork's child nobody might ever unlock it.
    pub(crate) fn open(&self, py: Python<'_>) -> PyResult<&outlay_core::Ledger> {
        let core = self.core();
        core.check_not_forked().map_err(|error| self.error(py, error))?;
        Ok(core)
    }

    pub(crate) fn decimal(&self, py: Python<'_>, nanos: impl Into<i128>) -> PyResult<Py<PyAny>> {
        to_decimal(py, nanos, self.book.scale)
    }

    #[cold]
    pub(crate) fn error(&self, py: Python<'_>, error: Error) -> PyErr {
        raised(py, &self.book, About::wallet(self.id), error)
    }

    fn sibling(&self, id: WalletId) -> Wallet {
        Wallet { book: Arc::clone(&self.book), id }
    }

    #[inline(always)]
    fn spend_core(
        slf: &Bound<'_, Self>,
        amount: &Bound<'_, PyAny>,
        given: Given<'_, '_>,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Result<Py<Charge>, Error>> {
        let (py, this) = (slf.py(), slf.get());
        let amount = payable(amount, this.book.scale)?;
        let labels = labels_of(&this.book, given)?;
        let blob = metadata::encode(metadata)?;
        // The history and the charge keep one copy each: the charge outlives what is itemised.
        let spent = match this.core().spend(this.id, amount, labels, blob.clone()) {
            Ok(spent) => spent,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(wallet) = spent.overdrawn {
            announce(py, &this.book, wallet);
        }
        let charge = Charge {
            owner: Owner::Wallet(slf.clone().unbind()),
            id: spent.id,
            wallet: this.id,
            amount,
            labels,
            time: spent.time,
            reservation: 0,
            blob,
        };
        Py::new(py, charge).map(Ok)
    }

    #[inline]
    pub(crate) fn pay(
        slf: &Bound<'_, Self>,
        amount: &Bound<'_, PyAny>,
        given: Given<'_, '_>,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<Charge>> {
        match Self::spend_core(slf, amount, given, metadata)? {
            Ok(charge) => Ok(charge),
            Err(error) => Err(slf.get().error(slf.py(), error)),
        }
    }

    #[inline]
    pub(crate) fn try_pay(
        slf: &Bound<'_, Self>,
        amount: &Bound<'_, PyAny>,
        given: Given<'_, '_>,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Py<Charge>>> {
        optional(slf, Self::spend_core(slf, amount, given, metadata)?)
    }

    #[inline]
    fn reserve_core(
        slf: &Bound<'_, Self>,
        amount: &Bound<'_, PyAny>,
        given: Given<'_, '_>,
        metadata: Option<&Bound<'_, PyAny>>,
        terms: Terms,
    ) -> PyResult<Result<Reservation, Error>> {
        let this = slf.get();
        let amount = payable(amount, this.book.scale)?;
        let labels = labels_of(&this.book, given)?;
        let blob = metadata::encode(metadata)?;
        let reserved = this.core().reserve(this.id, amount, labels, terms.ttl);
        let reservation = |id: ReservationId| {
            Reservation::new(slf.clone().unbind(), id, amount, labels, blob, terms)
        };
        Ok(reserved.map(reservation))
    }

    #[inline]
    pub(crate) fn set_aside(
        slf: &Bound<'_, Self>,
        amount: &Bound<'_, PyAny>,
        given: Given<'_, '_>,
        metadata: Option<&Bound<'_, PyAny>>,
        terms: Terms,
    ) -> PyResult<Reservation> {
        Self::reserve_core(slf, amount, given, metadata, terms)?
            .map_err(|error| slf.get().error(slf.py(), error))
    }

    #[inline]
    pub(crate) fn try_set_aside(
        slf: &Bound<'_, Self>,
        amount: &Bound<'_, PyAny>,
        given: Given<'_, '_>,
        metadata: Option<&Bound<'_, PyAny>>,
        terms: Terms,
    ) -> PyResult<Option<Reservation>> {
        optional(slf, Self::reserve_core(slf, amount, given, metadata, terms)?)
    }

    fn row<'py>(&self, py: Python<'py>, row: &Row) -> PyResult<Bound<'py, PyTuple>> {
        let core = self.core();
        let sums = &row.sums;
        let (refusals, refused) = core.refusals(row.wallet);
        let who = (
            core.path(row.wallet),
            core.name(row.wallet),
            row.depth,
            core.is_shared(row.wallet),
            core.is_hard(row.wallet),
            core.is_frozen(row.wallet),
            core.is_closed(row.wallet),
        );
        let money = (
            sums.budget,
            sums.refilled,
            sums.received,
            sums.given,
            row.overdraft,
            row.debt,
            row.available,
            sums.reserved,
            sums.open,
            refusals,
            refused,
        );
        let lines: Vec<_> = row
            .lines
            .iter()
            .map(|line| {
                let labels = core.labels_of(line.labels);
                (
                    labels.service.as_deref(),
                    labels.agent.as_deref(),
                    labels.run.as_deref(),
                    labels.model.as_deref(),
                    line.spent,
                    line.calls,
                )
            })
            .collect();
        let who = who.into_pyobject(py)?;
        let money = money.into_pyobject(py)?;
        let lines = (lines,).into_pyobject(py)?;
        Ok(who.add(money)?.add(lines)?.cast_into()?)
    }
}

/// A refusal is an answer here; everything else is still an error.
fn optional<T>(slf: &Bound<'_, Wallet>, answer: Result<T, Error>) -> PyResult<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(Error::Refused(_)) => Ok(None),
        Err(error) => Err(slf.get().error(slf.py(), error)),
    }
}

/// An overdraft is logged, not warned of: a warning can be made an error, and the money is spent.
#[cold]
pub(crate) fn announce(py: Python<'_>, book: &Book, wallet: WalletId) {
    let message = "%s has spent its budget and is overdrawn";
    let logged = logger(py)
        .and_then(|logger| logger.call_method1("warning", (message, book.core.path(wallet))));
    if let Err(failed) = logged {
        failed.write_unraisable(py, None);
    }
}

/// Taken when the module is made: where an overdraft happens, importing may not be possible.
pub(crate) fn logger(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static LOGGER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let logger = LOGGER.get_or_try_init(py, || {
        PyResult::Ok(py.import("logging")?.call_method1("getLogger", ("outlay",))?.unbind())
    })?;
    Ok(logger.bind(py))
}

#[pymethods]
impl Wallet {
    /// Another handle to the same wallet.
    #[new]
    fn new(wallet: &Bound<'_, Wallet>) -> Self {
        let wallet = wallet.get();
        wallet.sibling(wallet.id)
    }

    #[pyo3(signature = (amount, *, service=None, agent=None, run=None, model=None, metadata=None))]
    fn spend(
        slf: &Bound<'_, Self>,
        amount: &Bound<'_, PyAny>,
        service: Option<&Bound<'_, PyAny>>,
        agent: Option<&Bound<'_, PyAny>>,
        run: Option<&Bound<'_, PyAny>>,
        model: Option<&Bound<'_, PyAny>>,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<Charge>> {
        Self::pay(slf, amount, Given { service, agent, run, model }, metadata)
    }

    #[pyo3(signature = (amount, *, service=None, agent=None, run=None, model=None, metadata=None))]
    fn try_spend(
        slf: &Bound<'_, Self>,
        amount: &Bound<'_, PyAny>,
        service: Option<&Bound<'_, PyAny>>,
        agent: Option<&Bound<'_, PyAny>>,
        run: Option<&Bound<'_, PyAny>>,
        model: Option<&Bound<'_, PyAny>>,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Py<Charge>>> {
        Self::try_pay(slf, amount, Given { service, agent, run, model }, metadata)
    }

    #[pyo3(signature = (amount, *, service=None, agent=None, run=None, model=None, metadata=None,
                        ttl=None, overage="debt", on_cancel="commit"))]
    #[expect(clippy::too_many_arguments, reason = "Python passes them by name")]
    fn reserve(
        slf: &Bound<'_, Self>,
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
        Self::set_aside(slf, amount, Given { service, agent, run, model }, metadata, terms)
    }

    #[pyo3(signature = (amount, *, service=None, agent=None, run=None, model=None, metadata=None,
                        ttl=None, overage="debt", on_cancel="commit"))]
    #[expect(clippy::too_many_arguments, reason = "Python passes them by name")]
    fn try_reserve(
        slf: &Bound<'_, Self>,
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
        Self::try_set_aside(slf, amount, Given { service, agent, run, model }, metadata, terms)
    }

    fn spender(slf: Bound<'_, Self>) -> Spender {
        Spender::new(slf.unbind())
    }

    fn add_credits(&self, py: Python<'_>, amount: &Bound<'_, PyAny>) -> PyResult<()> {
        let amount = payable(amount, self.book.scale)?;
        self.core().refill(self.id, amount).map_err(|error| self.error(py, error))
    }

    fn transfer(
        &self,
        py: Python<'_>,
        to: &Bound<'_, Wallet>,
        amount: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let to = to.get();
        if !Arc::ptr_eq(&self.book, &to.book) {
            return Err(WrongLedgerError::new_err(format!(
                "{} belongs to another ledger: money does not move between ledgers",
                to.path()
            )));
        }
        let amount = payable(amount, self.book.scale)?;
        self.core().transfer(self.id, to.id, amount).map_err(|error| self.error(py, error))
    }

    fn freeze(&self, py: Python<'_>) -> PyResult<()> {
        self.core().freeze(self.id).map_err(|error| self.error(py, error))
    }

    fn unfreeze(&self, py: Python<'_>) -> PyResult<()> {
        self.core().unfreeze(self.id).map_err(|error| self.error(py, error))
    }

    fn close(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let returned = self.core().close(self.id).map_err(|error| self.error(py, error))?;
        self.decimal(py, returned)
    }

    fn is_exhausted(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.open(py)?.is_exhausted(self.id))
    }

    // What is behind `Wallet.create_child`, `.parent`, `.children`, `.child` and `.ledger`, which
    // return objects of the Python class.

    fn new_child(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyString>,
        budget: &Bound<'_, PyAny>,
        shared: bool,
        hard_cap: bool,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Wallet> {
        create(py, &self.book, Some(self.id), name, budget, (shared, hard_cap), metadata)
    }

    fn above(&self) -> Option<Wallet> {
        self.core().parent(self.id).map(|parent| self.sibling(parent))
    }

    fn below(&self, py: Python<'_>) -> PyResult<Vec<Wallet>> {
        let children = self.open(py)?.children(self.id);
        Ok(children.into_iter().map(|child| self.sibling(child)).collect())
    }

    fn find(&self, py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<Option<Wallet>> {
        let core = self.open(py)?;
        // Text that is not UTF-8 is no wallet's name.
        let Ok(name) = name.to_str() else { return Ok(None) };
        Ok(core.find(Some(self.id), name).map(|child| self.sibling(child)))
    }

    fn book(&self) -> Ledger {
        Ledger { book: Arc::clone(&self.book) }
    }

    /// The number that the ledger's next record will have.
    fn next_record(&self) -> u64 {
        self.core().next_record()
    }

    fn statement<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let rows = self.open(py)?.statement(self.id);
        rows.iter().map(|row| self.row(py, row)).collect()
    }

    #[pyo3(signature = (until=None))]
    fn charges(&self, py: Python<'_>, until: Option<u64>) -> PyResult<Vec<Charge>> {
        let entries = self.open(py)?.charges(self.id, until.unwrap_or(u64::MAX));
        let charges = entries
            .into_iter()
            .map(|entry| Charge {
                owner: Owner::Book(Arc::clone(&self.book)),
                id: entry.id,
                wallet: entry.wallet,
                amount: entry.amount,
                labels: entry.labels,
                time: entry.time,
                reservation: entry.reservation.0,
                blob: entry.blob,
            })
            .collect();
        Ok(charges)
    }

    #[getter]
    fn name(&self) -> &str {
        self.core().name(self.id)
    }

    #[getter]
    fn path(&self) -> String {
        self.core().path(self.id)
    }

    #[getter]
    fn shared(&self) -> bool {
        self.core().is_shared(self.id)
    }

    #[getter]
    fn hard_cap(&self) -> bool {
        self.core().is_hard(self.id)
    }

    #[getter]
    fn frozen(&self) -> bool {
        self.core().is_frozen(self.id)
    }

    #[getter]
    fn closed(&self) -> bool {
        self.core().is_closed(self.id)
    }

    #[getter]
    fn refusals(&self) -> u64 {
        self.core().refusals(self.id).0
    }

    #[getter]
    fn metadata(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        metadata::decode(py, self.core().metadata(self.id))
    }

    #[getter]
    fn available(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.decimal(py, self.open(py)?.available(self.id))
    }

    #[getter]
    fn fits(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.decimal(py, self.open(py)?.fits(self.id))
    }

    #[getter]
    fn budget(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.decimal(py, self.open(py)?.sums(self.id).budget)
    }

    #[getter]
    fn refilled(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.decimal(py, self.open(py)?.sums(self.id).refilled)
    }

    #[getter]
    fn received(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.decimal(py, self.open(py)?.sums(self.id).received)
    }

    #[getter]
    fn given(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.decimal(py, self.open(py)?.sums(self.id).given)
    }

    #[getter]
    fn spent(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.decimal(py, self.open(py)?.sums(self.id).spent)
    }

    #[getter]
    fn reserved(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.decimal(py, self.open(py)?.sums(self.id).reserved)
    }

    #[getter]
    fn overdraft(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.decimal(py, self.open(py)?.owing(self.id).0)
    }

    #[getter]
    fn debt(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.decimal(py, self.open(py)?.owing(self.id).1)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Wallet>().is_ok_and(|other| {
            Arc::ptr_eq(&self.book, &other.get().book) && self.id == other.get().id
        })
    }

    fn __hash__(&self) -> u64 {
        (self.book.serial << 32) ^ u64::from(self.id.0)
    }

    fn __repr__(&self) -> String {
        let left = outlay_core::amount::plain(self.core().available(self.id), self.book.scale);
        format!("<Wallet {}: {left} {} left>", self.path(), self.book.unit)
    }
}
