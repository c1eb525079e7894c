//! What the core refuses, as the exceptions of `outlay.errors`.

use outlay_core::{Error, NameError, Refusal, ReservationId, Settled, WalletId};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;

use crate::ledger::Book;
use crate::money::to_decimal;

pyo3::import_exception!(outlay.errors, InvalidAmountError);
pyo3::import_exception!(outlay.errors, InvalidNameError);
pyo3::import_exception!(outlay.errors, DuplicateNameError);
pyo3::import_exception!(outlay.errors, TooDeepError);
pyo3::import_exception!(outlay.errors, TransferError);
pyo3::import_exception!(outlay.errors, WrongLedgerError);
pyo3::import_exception!(outlay.errors, ForkedLedgerError);
pyo3::import_exception!(outlay.errors, InsufficientCreditsError);
pyo3::import_exception!(outlay.errors, FrozenWalletError);
pyo3::import_exception!(outlay.errors, ClosedWalletError);
pyo3::import_exception!(outlay.errors, AlreadyCommittedError);
pyo3::import_exception!(outlay.errors, AlreadyReleasedError);
pyo3::import_exception!(outlay.errors, ReservationExpiredError);
pyo3::import_exception!(outlay.errors, OverageError);

/// What a call was about, for its message.
#[derive(Clone, Copy)]
pub(crate) struct About {
    pub(crate) wallet: WalletId,
    pub(crate) reservation: Option<ReservationId>,
}

impl About {
    pub(crate) fn wallet(wallet: WalletId) -> Self {
        About { wallet, reservation: None }
    }
}

#[cold]
pub(crate) fn raised(py: Python<'_>, book: &Book, about: About, error: Error) -> PyErr {
    build(py, book, about, error).unwrap_or_else(|failed| failed)
}

fn build(py: Python<'_>, book: &Book, about: About, error: Error) -> PyResult<PyErr> {
    let core = &book.core;
    let reservation = about.reservation.map_or(0, |id| id.0);
    let amount = |nanos: u64| to_decimal(py, nanos, book.scale);
    Ok(match error {
        Error::Refused(Refusal::Short { wallet, asked, available }) => {
            let fits = core.fits(about.wallet);
            InsufficientCreditsError::new_err((
                core.path(wallet),
                amount(asked)?,
                amount(available)?,
                amount(fits)?,
                book.unit.clone(),
            ))
        }
        Error::Refused(Refusal::Frozen(wallet)) => FrozenWalletError::new_err(core.path(wallet)),
        Error::Refused(Refusal::Closed(wallet)) => ClosedWalletError::new_err(core.path(wallet)),
        Error::Settled(Settled::Committed(committed)) => {
            AlreadyCommittedError::new_err((reservation, amount(committed)?))
        }
        Error::Settled(Settled::Released) => AlreadyReleasedError::new_err(reservation),
        Error::Settled(Settled::Expired) => ReservationExpiredError::new_err(reservation),
        Error::Overage { reserved, asked } => {
            OverageError::new_err((reservation, amount(reserved)?, amount(asked)?))
        }
        Error::Forked => ForkedLedgerError::new_err(()),
        Error::Amount(why) => InvalidAmountError::new_err(in_units(why, book.scale)),
        Error::Name(why) => InvalidNameError::new_err(name_message(why)),
        Error::NotRelated => TransferError::new_err(
            "money moves only between a wallet and a slice of it; a shared child has no money of \
             its own, raise its cap with add_credits() instead",
        ),
        Error::TooDeep => TooDeepError::new_err(error.to_string()),
        Error::Duplicate => InvalidNameError::new_err(error.to_string()),
        Error::Full => PyMemoryError::new_err(error.to_string()),
        Error::Unknown => PyRuntimeError::new_err(error.to_string()),
    })
}

fn in_units(why: outlay_core::amount::AmountError, scale: u8) -> String {
    use outlay_core::amount::AmountError::{TooLarge, TooPrecise};
    match why {
        TooLarge { .. } => {
            format!("the amount is too large: with it, {}", TooLarge { scale })
        }
        TooPrecise { .. } => TooPrecise { scale }.to_string(),
        other => other.to_string(),
    }
}

pub(crate) fn name_message(why: NameError) -> String {
    Error::Name(why).to_string()
}
