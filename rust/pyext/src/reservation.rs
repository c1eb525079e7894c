//! A reservation, as Python sees it: it ends with its scope.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use outlay_core::{Error, LabelsId, Overage, ReservationId, Settled, WalletId};
use pyo3::exceptions::{PyException, PyResourceWarning, PyTimeoutError, PyValueError};
use pyo3::prelude::*;

use crate::charge::{Charge, Owner};
use crate::clock::duration;
use crate::errors::{About, raised as exception_for};
use crate::money::{amount_of, shown};
use crate::ready::Ready;
use crate::wallet::{Wallet, announce};

/// What a reservation was made under.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) ttl: Option<u64>,
    overage: Overage,
    /// Cancelled work may have been billed, so it is paid for unless the owner knows better.
    commits_on_cancel: bool,
}

impl Terms {
    pub(crate) fn new(
        ttl: Option<&Bound<'_, PyAny>>,
        overage: &str,
        on_cancel: &str,
    ) -> PyResult<Self> {
        let ttl = ttl.map(span).transpose()?;
        let overage = match overage {
            "debt" => Overage::Debt,
            "raise" => Overage::Refuse,
            other => return Err(unknown("overage", other, "\"debt\" or \"raise\"")),
        };
        let commits_on_cancel = match on_cancel {
            "commit" => true,
            "release" => false,
            other => return Err(unknown("on_cancel", other, "\"commit\" or \"release\"")),
        };
        Ok(Terms { ttl, overage, commits_on_cancel })
    }
}

/// A time to live, in nanoseconds.
fn span(ttl: &Bound<'_, PyAny>) -> PyResult<u64> {
    match duration("ttl", ttl)?.as_nanos() as u64 {
        0 => Err(PyValueError::new_err(format!(
            "ttl={} would expire at once: give at least a nanosecond, or leave it out",
            shown(ttl)
        ))),
        nanos => Ok(nanos),
    }
}

fn unknown(name: &str, value: &str, choice: &str) -> PyErr {
    PyValueError::new_err(format!("{name}={value:?} is unknown: give {choice}"))
}

/// Money set aside. It ends with its scope, as a sync or an async context manager.
#[pyclass(frozen, module = "outlay")]
pub(crate) struct Reservation {
    wallet: Py<Wallet>,
    id: ReservationId,
    amount: u64,
    labels: LabelsId,
    blob: Option<Box<[u8]>>,
    terms: Terms,
    /// A commit was refused for its amount, so money is known to be spent.
    claimed: AtomicBool,
    /// The charge that it came to. Held while settling, so that two threads that commit one
    /// reservation get the same charge.
    charge: Mutex<Option<Py<Charge>>>,
}

impl Reservation {
    pub(crate) fn new(
        wallet: Py<Wallet>,
        id: ReservationId,
        amount: u64,
        labels: LabelsId,
        blob: Option<Box<[u8]>>,
        terms: Terms,
    ) -> Self {
        Reservation {
            wallet,
            id,
            amount,
            labels,
            blob,
            terms,
            claimed: AtomicBool::new(false),
            charge: Mutex::new(None),
        }
    }

    fn error(&self, py: Python<'_>, error: Error) -> PyErr {
        let wallet = self.wallet.get();
        let about = About { wallet: wallet.id, reservation: Some(self.id) };
        exception_for(py, &wallet.book, about, error)
    }

    fn commit_core(
        &self,
        py: Python<'_>,
        amount: u64,
        overage: Overage,
    ) -> PyResult<Option<Py<Charge>>> {
        let wallet = self.wallet.get();
        let mut charge = self.charge.lock().unwrap_or_else(PoisonError::into_inner);
        match wallet.core().commit(self.id, amount, overage, self.blob.clone()) {
            Ok(None) => Ok(None),
            Ok(Some(spent)) => {
                let made = Py::new(
                    py,
                    Charge {
                        owner: Owner::Wallet(self.wallet.clone_ref(py)),
                        id: spent.id,
                        wallet: wallet.id,
                        amount: spent.amount,
                        labels: self.labels,
                        time: spent.time,
                        reservation: self.id.0,
                        blob: self.blob.clone(),
                    },
                )?;
                *charge = Some(made.clone_ref(py));
                drop(charge);
                if let Some(overdrawn) = spent.overdrawn {
                    announce(py, &wallet.book, overdrawn);
                }
                Ok(Some(made))
            }
            // The same again is a look-up.
            Err(Error::Settled(Settled::Committed(before)))
                if before == amount && charge.is_some() =>
            {
                Ok(charge.as_ref().map(|charge| charge.clone_ref(py)))
            }
            Err(error) => {
                drop(charge);
                if matches!(error, Error::Overage { .. } | Error::Amount(_)) {
                    self.claim();
                }
                Err(self.error(py, error))
            }
        }
    }

    fn release_core(&self) -> Result<(), Error> {
        let _settling = self.charge.lock().unwrap_or_else(PoisonError::into_inner);
        self.wallet.get().core().release(self.id)
    }

    fn settled(&self, py: Python<'_>) -> PyResult<Option<Settled>> {
        let settled = self.wallet.get().core().settled(self.id);
        settled.map_err(|error| self.error(py, error))
    }

    fn claim(&self) {
        // See `leave`.
        self.claimed.store(true, Ordering::Relaxed);
    }

    /// A scope whose money is settled already would run unpaid.
    fn check_held(&self, py: Python<'_>) -> PyResult<()> {
        match self.settled(py)? {
            None => Ok(()),
            Some(settled) => Err(self.error(py, Error::Settled(settled))),
        }
    }

    /// The rules of leaving a scope. After an exception nothing is raised that would replace it.
    fn leave(&self, py: Python<'_>, exception: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let Some(exception) = exception else {
            return match self.settled(py)? {
                Some(Settled::Committed(_) | Settled::Released) => Ok(()),
                // Nothing may be lost quietly: the owner hears that the money went back before.
                Some(Settled::Expired) => Err(self.error(py, Error::Settled(Settled::Expired))),
                None => self.commit_core(py, self.amount, self.terms.overage).map(drop),
            };
        };
        if self.settled(py)?.is_some() {
            return Ok(());
        }
        // A timeout is a cancellation by another name: the call may have been billed just as well.
        let failed = exception.is_instance_of::<PyException>()
            && !exception.is_instance_of::<PyTimeoutError>();
        let releases = failed || !self.terms.commits_on_cancel;
        // Written and read by the scope's own thread, or after it was joined.
        let settled = if releases && !self.claimed.load(Ordering::Relaxed) {
            self.release_core().map_err(|error| self.error(py, error))
        } else {
            self.commit_core(py, self.amount, self.terms.overage).map(drop)
        };
        if let Err(late) = settled {
            late.write_unraisable(py, None);
        }
        Ok(())
    }
}

#[pymethods]
impl Reservation {
    #[getter]
    fn id(&self) -> u64 {
        self.id.0
    }

    #[getter]
    fn wallet(&self) -> String {
        self.wallet.get().core().path(self.wallet.get().id)
    }

    #[getter]
    fn amount(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.wallet.get().decimal(py, self.amount)
    }

    #[getter]
    fn state(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(match self.settled(py)? {
            None => "held",
            Some(Settled::Committed(_)) => "committed",
            Some(Settled::Released) => "released",
            Some(Settled::Expired) => "expired",
        })
    }

    #[getter]
    fn charge(&self, py: Python<'_>) -> Option<Py<Charge>> {
        let charge = self.charge.lock().unwrap_or_else(PoisonError::into_inner);
        charge.as_ref().map(|charge| charge.clone_ref(py))
    }

    #[pyo3(signature = (amount=None))]
    fn commit(
        &self,
        py: Python<'_>,
        amount: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Py<Charge>>> {
        let amount = match amount {
            None => self.amount,
            Some(amount) => {
                amount_of(amount, self.wallet.get().book.scale).inspect_err(|_| self.claim())?
            }
        };
        self.commit_core(py, amount, self.terms.overage)
    }

    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.release_core().map_err(|error| self.error(py, error))
    }

    /// Whether it was made from a wallet of that ledger.
    fn belongs_to(&self, ledger: &Bound<'_, crate::ledger::Ledger>) -> bool {
        std::sync::Arc::ptr_eq(&self.wallet.get().book, &ledger.get().book)
    }

    fn __enter__<'py>(slf: Bound<'py, Self>, py: Python<'py>) -> PyResult<Bound<'py, Self>> {
        slf.get().check_held(py)?;
        Ok(slf)
    }

    #[expect(unused_variables, reason = "the protocol passes them")]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        self.leave(py, raised(kind, value)?.as_ref())?;
        Ok(false)
    }

    fn __aenter__(slf: Bound<'_, Self>, py: Python<'_>) -> PyResult<Ready> {
        slf.get().check_held(py)?;
        Ok(Ready::new(slf.into_any().unbind()))
    }

    #[expect(unused_variables, reason = "the protocol passes them")]
    fn __aexit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<Ready> {
        self.leave(py, raised(kind, value)?.as_ref())?;
        Ok(Ready::new(false.into_pyobject(py)?.to_owned().into_any().unbind()))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let wallet = self.wallet.get();
        let amount = outlay_core::amount::plain(self.amount, wallet.book.scale);
        let state = self.state(py)?;
        Ok(format!(
            "<Reservation {}: {amount} {} of {}, {state}>",
            self.id.0,
            wallet.book.unit,
            self.wallet()
        ))
    }
}

/// What a scope was left with. Called by hand, a kind may come without its value.
fn raised<'py>(
    kind: &Bound<'py, PyAny>,
    value: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match value {
        Some(value) => Ok(Some(value.clone())),
        None if kind.is_none() => Ok(None),
        None => kind.call0().map(Some),
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let blob = self.blob.take();
        if let Some(charge) = self.wallet.get().core().forget_with(self.id, blob) {
            Python::try_attach(|py| self.tell_of_loss(py, charge.overdrawn));
        }
    }
}

impl Reservation {
    /// An exception may be on its way through the frame that drops this. It is put aside, as by
    /// every finalizer of Python's own.
    #[cold]
    fn tell_of_loss(&self, py: Python<'_>, overdrawn: Option<WalletId>) {
        let on_its_way = PyErr::take(py);
        if let Some(wallet) = overdrawn {
            announce(py, &self.wallet.get().book, wallet);
        }
        if let Err(raised) = self.warn_of_loss(py) {
            raised.write_unraisable(py, None);
        }
        if let Some(exception) = on_its_way {
            exception.restore(py);
        }
    }

    fn warn_of_loss(&self, py: Python<'_>) -> PyResult<()> {
        let wallet = self.wallet.get();
        let message = format!(
            "a reservation of {} {} on '{}' was dropped without being settled, so it was committed \
             in full; use `with`, or call commit() or release()",
            outlay_core::amount::plain(self.amount, wallet.book.scale),
            wallet.book.unit,
            self.wallet()
        );
        let message = std::ffi::CString::new(message.replace('\0', ""))?;
        PyErr::warn(py, &py.get_type::<PyResourceWarning>(), &message, 1)
    }
}
