//! Labels: from Python strings to the number of a label set, without hashing text on every call.

use std::cell::RefCell;

use outlay_core::{Labels, LabelsId};
use pyo3::exceptions::PyTypeError;
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

/// A label set seen before on this thread, by the identity of its strings. They are kept alive with
/// it, so an identity is not another string's.
struct Seen {
    ledger: u64,
    strings: Four<Option<Py<PyString>>>,
    id: LabelsId,
}

const PLACES: usize = 64;

thread_local! {
    // One cache a thread needs no lock, with or without a global interpreter lock.
    static CACHE: RefCell<Vec<Option<Seen>>> = const { RefCell::new(Vec::new()) };
}

#[inline]
pub(crate) fn labels_of(book: &Book, given: Given<'_, '_>) -> PyResult<LabelsId> {
    let given = [given.service, given.agent, given.run, given.model];
    if given.iter().all(Option::is_none) {
        return Ok(LabelsId(0));
    }
    let found = CACHE.try_with(|cache| {
        let cache = cache.try_borrow().ok()?;
        let seen = cache.get(place(book.serial, &given))?.as_ref()?;
        (seen.ledger == book.serial && same(&seen.strings, &given)).then_some(seen.id)
    });
    match found {
        Ok(Some(id)) => Ok(id),
        _ => intern(book, given),
    }
}

fn same(strings: &Four<Option<Py<PyString>>>, given: &Four<Option<&Bound<'_, PyAny>>>) -> bool {
    strings.iter().zip(given).all(|(string, given)| match (string, given) {
        (None, None) => true,
        (Some(string), Some(given)) => string.as_ptr() == given.as_ptr(),
        _ => false,
    })
}

fn place(serial: u64, given: &Four<Option<&Bound<'_, PyAny>>>) -> usize {
    let mixed = given.iter().fold(serial, |mixed, given| {
        let identity = given.map_or(0, |given| given.as_ptr() as u64 >> 4);
        (mixed ^ identity).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
    });
    (mixed % PLACES as u64) as usize
}

#[cold]
fn intern(book: &Book, given: Four<Option<&Bound<'_, PyAny>>>) -> PyResult<LabelsId> {
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
    let strings = [service, agent, run, model].map(|label| label.map(Bound::unbind));
    let at = place(book.serial, &given);
    // Without its thread-locals, a thread that is being torn down only loses the shortcut.
    let replaced = CACHE.try_with(|cache| {
        let mut cache = cache.try_borrow_mut().ok()?;
        if cache.is_empty() {
            cache.resize_with(PLACES, || None);
        }
        cache[at].replace(Seen { ledger: book.serial, strings, id })
    });
    // What was there is dropped only now: dropping a string can run other code, even this.
    drop(replaced);
    Ok(id)
}

fn text<'py>(
    name: &str,
    label: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyString>>> {
    label
        .map(|label| {
            label.cast::<PyString>().cloned().map_err(|_| {
                let shown = label.repr().map_or_else(|_| "this".into(), |text| text.to_string());
                PyTypeError::new_err(format!("{name}={shown} is no label: give a str or None"))
            })
        })
        .transpose()
}
