//! The search: is there an order of all steps that explains what every call was told?
//!
//! Wing and Gong (1993), with Lowe's (2017) memory of where it has been. A call may take its steps
//! only between its beginning and its end, so one that ended before another began is seen by it.

use std::collections::HashSet;
use std::fmt;

use super::model::{Answer, Came, Kin, Model, Op, State, Work};

/// One call as its thread saw it. Beginnings and ends of all calls are numbered in one order.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub op: Op,
    pub answer: Answer,
    pub began: u64,
    pub ended: u64,
}

/// What happened, by thread.
pub type History = Vec<Vec<Call>>;

/// How far each thread has come: its calls that are over, and the steps of the one that is not.
type Progress = Vec<(usize, Option<Work>)>;

/// Why a history is wrong: how far an order got at most, and the calls that come next there.
pub struct Unexplained {
    pub explained: usize,
    pub stuck: Vec<Call>,
}

/// How many places the search went to, or where it got stuck.
pub fn explain(family: &[Kin], holds: usize, history: &[Vec<Call>]) -> Result<usize, Unexplained> {
    let model = Model(family);
    let start: Progress = vec![(0, None); history.len()];
    let mut open = vec![(start, model.nothing(holds))];
    let mut been = HashSet::new();
    let mut furthest = Unexplained { explained: 0, stuck: Vec::new() };
    while let Some((progress, state)) = open.pop() {
        if !been.insert((progress.clone(), state.clone())) {
            continue;
        }
        let current = |thread: usize| history[thread].get(progress[thread].0);
        let first_end = (0..history.len()).filter_map(|t| Some(current(t)?.ended)).min();
        let Some(first_end) = first_end else { return Ok(been.len()) };
        furthest.reach(&progress, history);
        for thread in 0..history.len() {
            if let Some(call) = current(thread).filter(|call| call.began < first_end) {
                open.extend(advance(&model, &progress, &state, thread, call));
            }
        }
    }
    Err(furthest)
}

fn advance(
    model: &Model<'_>,
    progress: &Progress,
    state: &State,
    thread: usize,
    call: &Call,
) -> Option<(Progress, State)> {
    let (mut progress, mut state) = (progress.clone(), state.clone());
    let mut work = progress[thread].1.take().unwrap_or_else(|| model.begin(&state, call.op));
    match model.step(&mut state, &mut work) {
        Came::Over(answer) if answer == call.answer => progress[thread].0 += 1,
        Came::Further => progress[thread].1 = Some(work),
        Came::Over(_) | Came::Impossible | Came::Waits => return None,
    }
    Some((progress, state))
}

impl Unexplained {
    fn reach(&mut self, progress: &Progress, history: &[Vec<Call>]) {
        let explained = progress.iter().map(|(calls, _)| calls).sum();
        if explained >= self.explained {
            let next = progress.iter().zip(history);
            self.stuck =
                next.filter_map(|((calls, _), thread)| thread.get(*calls).copied()).collect();
            self.explained = explained;
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>3} to {:>3}  {:?}: {:?}", self.began, self.ended, self.op, self.answer)
    }
}

impl fmt::Display for Unexplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "no order of steps explains this; after {} calls none of these",
            self.explained
        )?;
        self.stuck.iter().try_for_each(|call| writeln!(f, "  {call}"))
    }
}
