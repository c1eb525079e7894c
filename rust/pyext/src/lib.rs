//! The compiled half of outlay: Python arguments in, outlay-core calls, Python objects out.
#![deny(unsafe_code)]
#![allow(missing_docs, reason = "the docstrings are for Python and stand in _engine.pyi")]

mod charge;
mod clock;
mod errors;
mod idle;
mod labels;
mod ledger;
mod metadata;
mod money;
mod ready;
mod reservation;
mod spender;
mod wallet;

use pyo3::prelude::*;

#[pymodule]
mod _engine {
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::wallet::logger(module.py()).map(drop)
    }

    #[pymodule_export]
    use crate::charge::Charge;
    #[pymodule_export]
    use crate::clock::ManualClock;
    #[pymodule_export]
    use crate::idle::Idle;
    #[pymodule_export]
    use crate::ledger::{Ledger, forked_in_child};
    #[pymodule_export]
    use crate::money::{decimal, nanos};
    #[pymodule_export]
    use crate::reservation::Reservation;
    #[pymodule_export]
    use crate::spender::Spender;
    #[pymodule_export]
    use crate::wallet::Wallet;
}
