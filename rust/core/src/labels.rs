//! Labels: who spent, on what. A set of four is interned once and then is one small number.

use std::collections::HashMap;

use crate::arena::Arena;
use crate::error::Error;
use crate::sync::{Arc, Mutex, OnceLock, lock};

/// A set of labels, by number. Zero is the empty set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LabelsId(pub u32);

/// What a charge is booked under.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Labels {
    /// The tool or API that was paid for.
    pub service: Option<Arc<str>>,
    /// Who asked for it.
    pub agent: Option<Arc<str>>,
    /// The run it belongs to.
    pub run: Option<Arc<str>>,
    /// The model, where one was paid for.
    pub model: Option<Arc<str>>,
}

/// All label sets of a ledger. They are never forgotten: labels are a vocabulary, and what differs
/// from call to call belongs into metadata.
pub(crate) struct Vocabulary {
    ids: Mutex<HashMap<Labels, u32>>,
    sets: Arena<OnceLock<Labels>>,
}

impl Vocabulary {
    pub(crate) fn new() -> Self {
        let vocabulary = Vocabulary { ids: Mutex::new(HashMap::new()), sets: Arena::new() };
        vocabulary.intern(Labels::default()).expect("an empty vocabulary has room");
        vocabulary
    }

    pub(crate) fn intern(&self, labels: Labels) -> Result<LabelsId, Error> {
        let mut ids = lock(&self.ids);
        if let Some(&id) = ids.get(&labels) {
            return Ok(LabelsId(id));
        }
        let id = u32::try_from(ids.len()).map_err(|_| Error::Full)?;
        if id as usize >= crate::arena::CAPACITY {
            return Err(Error::Full);
        }
        self.sets.get(id as usize).get_or_init(|| labels.clone());
        ids.insert(labels, id);
        Ok(LabelsId(id))
    }

    pub(crate) fn get(&self, id: LabelsId) -> &Labels {
        self.sets.get(id.0 as usize).get().expect("a label set is numbered after it is stored")
    }
}
