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
#[inline(always)]
pub(crate) fn encode(metadata: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Box<[u8]>>> {
    match metadata {
        None => Ok(None),
        Some(metadata) => bytes_of(metadata).map(Some),
    }
}

fn bytes_of(metadata: &Bound<'_, PyAny>) -> PyResult<Box<[u8]>> {
    static PACK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static UNPACK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static ENCODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = metadata.py();
    let packed = function(py, &PACK, "pack")?.call1((metadata,));
    // What cannot be read back is not kept; `encode` tries another way, and says so if there is
    // none.
    let encoded = match packed {
        Ok(packed) if function(py, &UNPACK, "unpack")?.call1((&packed,)).is_ok() => packed,
        _ => function(py, &ENCODE, "encode")?.call1((metadata,))?,
    };
    Ok(encoded.cast::<PyBytes>()?.as_bytes().into())
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
