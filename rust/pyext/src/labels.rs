//! Labels: from Python strings to the number of a label set, without hashing text on every call.

use std::cell::RefCell;

use outlay_core::{Labels, LabelsId};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::errors::{About, raised};
use crate::ledger::Book;

/// The labels of one call, as they came.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a, 'py> {
    pub(crate) service: Option<&'a Bound<'py, PyAny>>,
    pub(crate) agent: Option<&'a Bound<'py, PyAny>>,
    pub(crate) run: Option<&'a Bound<'py, PyAny>>,
    pub(crate) model: Option<&'a Bound<'py, PyAny>>,
}

type Four<T> = [T; 4];

/// A label set seen before on this thread, by the identity of what was given. That is kept alive
/// with it, so an identity is not another string's.
struct Seen {
    ledger: u64,
    identities: Four<usize>,
    id: LabelsId,
    _given: Four<Option<Py<PyAny>>>,
}

const PLACES: usize = 64;

/// In bytes, as for names.
const MAX_LABEL: usize = outlay_core::MAX_NAME;

thread_local! {
    // One cache a thread needs no lock, with or without a global interpreter lock.
    static CACHE: RefCell<[Option<Seen>; PLACES]> =
        const { RefCell::new([const { None }; PLACES]) };
}

#[inline]
pub(crate) fn labels_of(book: &Book, given: Given<'_, '_>) -> PyResult<LabelsId> {
    let given = [given.service, given.agent, given.run, given.model];
    let identities = given.map(|given| given.map_or(0, |given| given.as_ptr() as usize));
    if identities == [0; 4] {
        return Ok(LabelsId(0));
    }
    let found = CACHE.try_with(|cache| {
        let cache = cache.try_borrow().ok()?;
        let seen = cache[place(identities)].as_ref()?;
        (seen.identities == identities && seen.ledger == book.serial).then_some(seen.id)
    });
    match found {
        Ok(Some(id)) => Ok(id),
        _ => intern(book, given, identities),
    }
}

fn place(identities: Four<usize>) -> usize {
    let [service, agent, run, model] = identities;
    let mixed = service ^ agent.rotate_left(17) ^ run.rotate_left(31) ^ model.rotate_left(47);
    // Fibonacci hashing: the high bits of a product depend on all bits of the key.
    ((mixed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58) as usize
}

#[cold]
fn intern(
    book: &Book,
    given: Four<Option<&Bound<'_, PyAny>>>,
    identities: Four<usize>,
) -> PyResult<LabelsId> {
    let [service, agent, run, model] = [
        text("service", given[0])?,
        text("agent", given[1])?,
        text("run", given[2])?,
        text("model", given[3])?,
    ];
    let share = |label: &Option<Bound<'_, PyString>>| -> PyResult<_> {
        label.as_ref().map(|label| Ok(label.to_str()?.into())).transpose()
    };
    let labels = Labels {
        service: share(&service)?,
        agent: share(&agent)?,
        run: share(&run)?,
        model: share(&model)?,
    };
    let py = given.iter().flatten().next().map(|given| given.py());
    let id = book.core.labels(labels).map_err(|error| match py {
        Some(py) => raised(py, book, About::wallet(outlay_core::WalletId(0)), error),
        None => PyTypeError::new_err(error.to_string()),
    })?;
    let given = given.map(|label| label.map(|label| label.clone().unbind()));
    let seen = Seen { ledger: book.serial, identities, id, _given: given };
    // Without its thread-locals, a thread that is being torn down only loses the shortcut.
    let replaced = CACHE.try_with(|cache| {
        cache.try_borrow_mut().ok().and_then(|mut cache| cache[place(identities)].replace(seen))
    });
    // What was there is dropped only now: dropping a string can run other code, even this.
    drop(replaced);
    Ok(id)
}

/// An empty label is no label.
fn text<'py>(
    name: &str,
    label: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyString>>> {
    let Some(label) = label else { return Ok(None) };
    let refused = |why: &str| {
        let shown = label.repr().map_or_else(|_| "this".into(), |text| text.to_string());
        PyTypeError::new_err(format!("{name}={shown} is no label: {why}"))
    };
    let string = label.cast::<PyString>().map_err(|_| refused("give a str or None"))?;
    let text = string.to_str().map_err(|_| refused("it cannot be written as UTF-8"))?;
    if text.len() > MAX_LABEL {
        return Err(PyValueError::new_err(format!(
            "{name} is {} bytes long and can be {MAX_LABEL}: labels are kept for good, \
             what differs from call to call belongs into metadata",
            text.len()
        )));
    }
    Ok((!text.is_empty()).then(|| string.clone()))
}
