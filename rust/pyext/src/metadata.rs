//! Metadata: kept as msgspec encodes it, so that what is kept cannot change under the receipt.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;

fn function<'py>(
    py: Python<'py>,
    place: &'static PyOnceLock<Py<PyAny>>,
    name: &str,
) -> PyResult<&'py Bound<'py, PyAny>> {
    let function = place.get_or_try_init(py, || {
        PyResult::Ok(py.import("outlay.metadata")?.getattr(name)?.unbind())
    })?;
    Ok(function.bind(py))
}

/// TypeError, before any money moves, if msgspec cannot encode it.
#[inline]
pub(crate) fn encode(metadata: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Box<[u8]>>> {
    static ENCODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let Some(metadata) = metadata else { return Ok(None) };
    let encoded = function(metadata.py(), &ENCODE, "encode")?.call1((metadata,))?;
    Ok(Some(encoded.cast::<PyBytes>()?.as_bytes().into()))
}

pub(crate) fn decode(py: Python<'_>, blob: Option<&[u8]>) -> PyResult<Py<PyAny>> {
    static DECODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    match blob {
        None => Ok(py.None()),
        Some(blob) => {
            Ok(function(py, &DECODE, "decode")?.call1((PyBytes::new(py, blob),))?.unbind())
        }
    }
}
