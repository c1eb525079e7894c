//! Amounts: whatever people write, as an integer; and back, as a Decimal.

use outlay_core::amount::{self, AmountError};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
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
        0 => Err(invalid(value, AmountError::Zero)),
        amount => Ok(amount),
    }
}

#[cold]
fn read(value: &Bound<'_, PyAny>, scale: u8) -> PyResult<u64> {
    let py = value.py();
    if value.is_instance_of::<PyBool>() {
        return Err(wrong_type(value));
    }
    let parsed = if let Ok(int) = value.cast::<PyInt>() {
        whole(int, scale)?
    } else if let Ok(float) = value.cast::<PyFloat>() {
        // Rust prints the shortest decimal that reads back as the same float: what was meant.
        amount::parse(&format!("{}", float.value()), scale)
    } else if let Ok(text) = value.cast::<PyString>() {
        // Its own text, whatever a subclass's __str__ says.
        text.to_str().map_or(Err(AmountError::NotANumber), |text| amount::parse(text, scale))
    } else if value.is_instance(decimal_class(py)?)? {
        let text = decimal_class(py)?.getattr("__str__")?.call1((value,))?;
        amount::parse(text.cast::<PyString>()?.to_str()?, scale)
    } else {
        match index_function(py)?.call1((value,)) {
            Ok(int) => whole(int.cast::<PyInt>()?, scale)?,
            Err(error) if error.is_instance_of::<PyTypeError>(py) => return Err(wrong_type(value)),
            Err(error) => return Err(error),
        }
    };
    parsed.map_err(|why| invalid(value, why))
}

fn index_function(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static INDEX: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let function = INDEX
        .get_or_try_init(py, || PyResult::Ok(py.import("operator")?.getattr("index")?.unbind()))?;
    Ok(function.bind(py))
}

/// A whole number of units, however large.
fn whole(int: &Bound<'_, PyInt>, scale: u8) -> PyResult<Result<u64, AmountError>> {
    if let Ok(units) = int.extract::<i64>() {
        return Ok(amount::whole(units, scale));
    }
    let less = int.py().get_type::<PyInt>().call_method1("__lt__", (int, 0))?;
    Ok(Err(if less.is_truthy()? { AmountError::Negative } else { AmountError::TooLarge { scale } }))
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

fn invalid(value: &Bound<'_, PyAny>, why: AmountError) -> PyErr {
    let rounded = match why {
        AmountError::TooPrecise { scale } => {
            format!(", e.g. round({}, {scale})", shown(value))
        }
        _ => String::new(),
    };
    InvalidAmountError::new_err(format!("{} is no amount: {why}{rounded}", shown(value)))
}

/// The value as its author wrote it, cut short.
pub(crate) fn shown(value: &Bound<'_, PyAny>) -> String {
    let text =
        value.repr().map_or_else(|_| "this".into(), |text| text.to_string_lossy().into_owned());
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

/// How many decimal places an amount has, as Python says it.
pub(crate) struct Scale(pub(crate) u8);

impl Default for Scale {
    fn default() -> Self {
        Scale(amount::MAX_SCALE)
    }
}

impl<'py> FromPyObject<'_, 'py> for Scale {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let scale = in_range::<u8>(&value)?.filter(|&scale| scale <= amount::MAX_SCALE);
        scale.map(Scale).ok_or_else(|| {
            PyValueError::new_err(format!(
                "scale={} is no number of decimal places: give 0 to {}",
                shown(&value),
                amount::MAX_SCALE
            ))
        })
    }
}

/// A number, or None if it is out of range: how Python says that differs from kind to kind.
pub(crate) fn in_range<'py, T>(value: &Bound<'py, PyAny>) -> PyResult<Option<T>>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    match value.extract::<T>() {
        Ok(number) => Ok(Some(number)),
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => Ok(None),
        Err(error) => Err(error),
    }
}

#[pyfunction]
#[pyo3(signature = (amount, scale = Scale::default()), text_signature = "(amount, scale=9)")]
pub(crate) fn nanos(amount: &Bound<'_, PyAny>, scale: Scale) -> PyResult<u64> {
    amount_of(amount, scale.0)
}

#[pyfunction]
#[pyo3(signature = (nanos, scale = Scale::default()), text_signature = "(nanos, scale=9)")]
pub(crate) fn decimal(
    py: Python<'_>,
    nanos: &Bound<'_, PyAny>,
    scale: Scale,
) -> PyResult<Py<PyAny>> {
    let number = in_range::<i128>(nanos)?.ok_or_else(|| {
        PyValueError::new_err(format!("{} is no sum of amounts: it is too large", shown(nanos)))
    })?;
    to_decimal(py, number, scale.0)
}
