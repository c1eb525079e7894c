//! Amounts: whatever people write, as an integer; and back, as a Decimal.

use outlay_core::amount;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString};

use crate::errors::InvalidAmountError;

/// The amount that `value` says. ValueError or TypeError, naming the value and the fix, if it is
/// none.
#[inline(always)]
pub(crate) fn amount_of(value: &Bound<'_, PyAny>, scale: u8) -> PyResult<u64> {
    if let Ok(units) = value.cast_exact::<PyInt>() {
        if let Ok(units) = units.extract::<i64>() {
            return amount::whole(units, scale).map_err(|why| invalid(value, why));
        }
    }
    read(value, scale)
}

/// The same for something to be paid: more than zero.
#[inline(always)]
pub(crate) fn payable(value: &Bound<'_, PyAny>, scale: u8) -> PyResult<u64> {
    match amount_of(value, scale)? {
        0 => Err(invalid(value, amount::AmountError::Zero)),
        amount => Ok(amount),
    }
}

#[cold]
fn read(value: &Bound<'_, PyAny>, scale: u8) -> PyResult<u64> {
    let text = if value.is_instance_of::<PyBool>() {
        return Err(wrong_type(value));
    } else if let Ok(float) = value.cast::<PyFloat>() {
        // Rust prints the shortest decimal that reads back as the same float, which is what was
        // meant.
        format!("{}", float.value())
    } else if value.is_instance_of::<PyString>() || value.is_instance(decimal_class(value.py())?)? {
        value.str()?.to_string()
    } else {
        match value.call_method0("__index__") {
            Ok(int) => int.str()?.to_string(),
            Err(_) => return Err(wrong_type(value)),
        }
    };
    amount::parse(&text, scale).map_err(|why| invalid(value, why))
}

fn decimal_class(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static DECIMAL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = DECIMAL
        .get_or_try_init(py, || PyResult::Ok(py.import("decimal")?.getattr("Decimal")?.unbind()))?;
    Ok(class.bind(py))
}

fn wrong_type(value: &Bound<'_, PyAny>) -> PyErr {
    let kind = value.get_type().name().map_or_else(|_| "object".into(), |name| name.to_string());
    PyTypeError::new_err(format!(
        "{} is no amount: give an int, a str like \"5.00\", a Decimal or a float, not {kind}",
        shown(value)
    ))
}

fn invalid(value: &Bound<'_, PyAny>, why: amount::AmountError) -> PyErr {
    let rounded = match why {
        amount::AmountError::TooPrecise { scale } => {
            format!(", e.g. round({}, {scale})", shown(value))
        }
        _ => String::new(),
    };
    InvalidAmountError::new_err(format!("{} is no amount: {why}{rounded}", shown(value)))
}

/// The value as its author wrote it, cut short.
fn shown(value: &Bound<'_, PyAny>) -> String {
    let text = value.repr().map_or_else(|_| "this".into(), |text| text.to_string());
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// An amount, or a sum of many, as a Decimal without zeros to spare.
pub(crate) fn to_decimal(py: Python<'_>, nanos: impl Into<i128>, scale: u8) -> PyResult<Py<PyAny>> {
    let text = amount::plain_sum(nanos.into(), scale);
    Ok(decimal_class(py)?.call1((text,))?.unbind())
}

#[pyfunction]
#[pyo3(signature = (amount, scale = 9))]
pub(crate) fn nanos(amount: &Bound<'_, PyAny>, scale: i64) -> PyResult<u64> {
    amount_of(amount, check_scale(scale)?)
}

#[pyfunction]
#[pyo3(signature = (nanos, scale = 9))]
pub(crate) fn decimal(py: Python<'_>, nanos: i128, scale: i64) -> PyResult<Py<PyAny>> {
    to_decimal(py, nanos, check_scale(scale)?)
}

pub(crate) fn check_scale(scale: i64) -> PyResult<u8> {
    u8::try_from(scale).ok().filter(|&scale| scale <= amount::MAX_SCALE).ok_or_else(|| {
        PyValueError::new_err(format!(
            "scale={scale} is no number of decimal places: give 0 to {}",
            amount::MAX_SCALE
        ))
    })
}
