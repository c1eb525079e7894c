//! The wallets in plain integers, one step at a time: what the engine must look like from outside.
//!
//! A call is a list of steps. Each happens at one instant inside the call, in order; between them
//! others may take theirs. Taking money along a whole path is one step: that is the promise. What
//! docs/semantics.md does not promise to be one is several here: giving money back along a path
//! (wallet by wallet, from the top down), moving it (out, then in), freezing and closing (wallet by
//! wallet), what a commit costs beyond its reservation (charged after it is settled; what a closed
//! slice owes by that, its parent pays next), and what a soft slice draws (what it lacks is settled
//! first, then everything is paid).

pub type At = usize;
pub type Hold = usize;

/// What never changes about a wallet.
#[derive(Clone, Copy, Debug)]
pub struct Kin {
    pub parent: Option<At>,
    pub shared: bool,
    pub hard: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Create { at: At, budget: u64 },
    Spend { at: At, amount: u64 },
    Reserve { at: At, amount: u64, hold: Hold },
    Commit { hold: Hold, amount: u64, strict: bool },
    Release { hold: Hold },
    Refill { at: At, amount: u64 },
    Transfer { from: At, to: At, amount: u64 },
    Freeze { at: At, frozen: bool },
    Close { at: At },
    Available { at: At },
    Owed { at: At },
    IsFrozen { at: At },
    IsClosed { at: At },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Done,
    Amount(u64),
    Is(bool),
    Short {
        at: At,
        asked: u64,
        available: u64,
    },
    Frozen(At),
    Closed(At),
    /// This call has committed it.
    Charged(u64),
    /// Another had committed it before.
    Committed(u64),
    Released,
    Overage,
    /// What no story can lead to.
    Wrong,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Purse {
    balance: i64,
    own_frozen: bool,
    frozen: bool,
    closed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Reserved {
    at: At,
    amount: u64,
    draws: [u64; 2],
    /// What the first commit of another amount was for, even if it comes too late itself.
    proposed: Option<u64>,
    end: Option<Answer>,
}

/// All wallets and reservations at one instant.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct State {
    purses: Vec<Purse>,
    /// Wallets in the order in which they were made.
    made: Vec<At>,
    holds: Vec<Option<Reserved>>,
    /// Making, freezing and closing wait for each other.
    locked: bool,
}

/// How a charge treats a wallet that cannot pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Demand {
    Usual,
    Strict,
    Forced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Create(At, u64),
    Pay(At, u64, Demand, Option<Hold>),
    PayOrForce(At, u64),
    Lift(At),
    Add(At, u64),
    Check(At),
    Overage(Hold, bool),
    Propose(Hold, u64),
    Commit(Hold, u64),
    Release(Hold),
    Freeze(At, bool),
    Flag(At),
    Close(At),
    Shut(At),
    Empty(At),
    Available(At),
    Owed(At),
    IsFrozen(At),
    IsClosed(At),
    // No instants of their own: they belong to the step before.
    EmptyAll,
    Unlock,
}

/// What is left to do of one call, the next step last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Work {
    todo: Vec<Step>,
    /// What the soft slices on the path lack, as far as that is settled.
    draws: Vec<u64>,
    closing: Vec<At>,
    /// What is being closed.
    top: Option<At>,
    answer: Option<Answer>,
}

/// What came of trying to take a step.
pub enum Came {
    /// The engine would not have come here: this is not how it went.
    Impossible,
    /// Another call has to move first.
    Waits,
    Further,
    Over(Answer),
}

enum Paid {
    Whole,
    /// What a soft slice lacks is settled; its parent comes next.
    Lacks,
    Refused(Answer),
    Impossible,
}

/// A family of wallets, made or still to be made.
pub struct Model<'a>(pub &'a [Kin]);

impl Model<'_> {
    pub fn nothing(&self, holds: usize) -> State {
        let purses = vec![Purse::default(); self.0.len()];
        State { purses, holds: vec![None; holds], ..State::default() }
    }

    pub fn begin(&self, state: &State, op: Op) -> Work {
        let todo = match op {
            Op::Create { at, budget } => vec![Step::Create(at, budget)],
            Op::Spend { at, amount } => vec![Step::Pay(at, amount, Demand::Usual, None)],
            Op::Reserve { at, amount, hold } => {
                vec![Step::Pay(at, amount, Demand::Usual, Some(hold))]
            }
            Op::Commit { hold, amount: 0, .. } | Op::Release { hold } => vec![Step::Release(hold)],
            Op::Commit { hold, amount, strict } => {
                let commit = Step::Commit(hold, amount);
                match amount.cmp(&state.hold(hold).amount) {
                    std::cmp::Ordering::Equal => vec![commit],
                    std::cmp::Ordering::Less => vec![commit, Step::Propose(hold, amount)],
                    std::cmp::Ordering::Greater => {
                        vec![commit, Step::Propose(hold, amount), Step::Overage(hold, strict)]
                    }
                }
            }
            Op::Refill { at, amount } => vec![Step::Add(at, amount), Step::Check(at)],
            Op::Transfer { from, to, amount } => {
                let mut todo = self.credit(to, amount, [0; 2]);
                todo.extend([Step::Pay(from, amount, Demand::Strict, None), Step::Check(to)]);
                todo
            }
            Op::Freeze { at, frozen } => vec![Step::Freeze(at, frozen)],
            Op::Close { at } => vec![Step::Close(at)],
            Op::Available { at } => vec![Step::Available(at)],
            Op::Owed { at } => vec![Step::Owed(at)],
            Op::IsFrozen { at } => vec![Step::IsFrozen(at)],
            Op::IsClosed { at } => vec![Step::IsClosed(at)],
        };
        Work { todo, ..Work::default() }
    }

    /// Takes the next step of a call.
    pub fn step(&self, state: &mut State, work: &mut Work) -> Came {
        let step = work.todo.pop().expect("a call that is not over has a step left");
        let locks = matches!(step, Step::Create(..) | Step::Freeze(..) | Step::Close(_));
        if locks && state.locked {
            return Came::Waits;
        }
        if !self.take(state, work, step) {
            return Came::Impossible;
        }
        while let Some(&next @ (Step::EmptyAll | Step::Unlock)) = work.todo.last() {
            work.todo.pop();
            self.take(state, work, next);
        }
        if work.todo.is_empty() {
            Came::Over(work.answer.unwrap_or(Answer::Done))
        } else {
            Came::Further
        }
    }

    /// False if this is not how it went.
    fn take(&self, state: &mut State, work: &mut Work, step: Step) -> bool {
        match step {
            Step::Pay(at, amount, demand, hold) => {
                return self.take_pay(state, work, (at, amount, demand, hold));
            }
            Step::PayOrForce(at, amount) => return self.take_overage(state, work, at, amount),
            Step::Lift(at) => self.take_lift(state, work, at),
            Step::Create(at, budget) => self.take_create(state, work, at, budget),
            Step::Add(at, amount) => self.take_add(state, work, at, amount),
            Step::Check(at) => {
                if state.purses[at].closed {
                    work.end(Answer::Closed(at));
                }
            }
            Step::Overage(..) | Step::Propose(..) | Step::Commit(..) | Step::Release(_) => {
                self.take_settlement(state, work, step);
            }
            Step::Freeze(..) | Step::Flag(_) => self.take_freeze(state, work, step),
            Step::Close(_) | Step::Shut(_) | Step::EmptyAll | Step::Empty(_) => {
                self.take_close(state, work, step);
            }
            Step::Unlock => state.locked = false,
            Step::Available(at) => {
                work.end(Answer::Amount(state.purses[at].balance.max(0).unsigned_abs()));
            }
            Step::Owed(at) => {
                work.end(Answer::Amount(state.purses[at].balance.min(0).unsigned_abs()));
            }
            Step::IsFrozen(at) => work.end(Answer::Is(state.purses[at].frozen)),
            Step::IsClosed(at) => work.end(Answer::Is(state.purses[at].closed)),
        }
        true
    }

    fn take_create(&self, state: &mut State, work: &mut Work, at: At, budget: u64) {
        let refused = match self.0[at].parent {
            None => None,
            Some(parent) if self.0[at].shared || budget == 0 => objection(state, parent),
            Some(parent) => match self.pay(state, &mut vec![], parent, budget, Demand::Strict) {
                Paid::Refused(answer) => Some(answer),
                _ => None,
            },
        };
        if let Some(answer) = refused {
            return work.end(answer);
        }
        state.made.push(at);
        state.purses[at].balance = signed(budget);
    }

    fn take_pay(
        &self,
        state: &mut State,
        work: &mut Work,
        (at, amount, demand, hold): (At, u64, Demand, Option<Hold>),
    ) -> bool {
        match self.pay(state, &mut work.draws, at, amount, demand) {
            Paid::Impossible => return false,
            Paid::Lacks => work.todo.push(Step::Pay(at, amount, demand, hold)),
            Paid::Refused(answer) => work.end(answer),
            Paid::Whole => {
                if let Some(hold) = hold {
                    let mut draws = [0; 2];
                    draws[..work.draws.len()].copy_from_slice(&work.draws);
                    let held = Reserved { at, amount, draws, proposed: None, end: None };
                    state.holds[hold] = Some(held);
                }
            }
        }
        true
    }

    /// What a commit costs beyond its reservation is drawn if it can be, and else owed.
    fn take_overage(&self, state: &mut State, work: &mut Work, at: At, amount: u64) -> bool {
        match self.pay(state, &mut work.draws, at, amount, Demand::Usual) {
            Paid::Impossible => return false,
            Paid::Lacks => work.todo.push(Step::PayOrForce(at, amount)),
            Paid::Refused(_) => self.force(work, at, amount),
            Paid::Whole => {}
        }
        true
    }

    /// Takes from every wallet that has to pay at this instant, or says who does not.
    fn pay(
        &self,
        state: &mut State,
        draws: &mut Vec<u64>,
        at: At,
        amount: u64,
        demand: Demand,
    ) -> Paid {
        let settled = draws.len();
        let (mut next, mut amount, mut drawn) = (Some(at), amount, 0);
        let mut bill = Vec::new();
        while let Some(at) = next {
            let purse = state.purses[at];
            let may_draw = self.draws(at) && demand == Demand::Usual;
            // These have paid already, so nothing can have come in between.
            let paid = drawn < settled;
            if !paid && demand != Demand::Forced {
                if let Some(answer) =
                    objection(state, at).or_else(|| self.short(state, at, amount, demand))
                {
                    return Paid::Refused(answer);
                }
            }
            if may_draw && !paid {
                draws.push((signed(amount) - purse.balance).max(0).unsigned_abs());
                if draws[drawn] > 0 {
                    return Paid::Lacks;
                }
            }
            let draw = if may_draw { draws[drawn] } else { 0 };
            let must_have = self.0[at].hard || may_draw;
            if paid && (purse.frozen || purse.closed) {
                return Paid::Impossible;
            }
            if paid && must_have && purse.balance < signed(amount - draw) {
                return Paid::Impossible;
            }
            bill.push((at, amount - draw));
            (next, amount, drawn) = self.climb(at, amount, draw, drawn);
        }
        for (at, amount) in bill {
            state.purses[at].balance -= signed(amount);
        }
        Paid::Whole
    }

    /// Who pays next, how much, and how many slices have drawn by then.
    fn climb(&self, at: At, amount: u64, draw: u64, drawn: usize) -> (Option<At>, u64, usize) {
        let Kin { parent, shared, .. } = self.0[at];
        if shared {
            (parent, amount, drawn)
        } else {
            (parent.filter(|_| draw > 0), draw, drawn + 1)
        }
    }

    fn draws(&self, at: At) -> bool {
        let kin = self.0[at];
        !kin.hard && !kin.shared && kin.parent.is_some()
    }

    fn short(&self, state: &State, at: At, asked: u64, demand: Demand) -> Option<Answer> {
        let balance = state.purses[at].balance;
        let short = match (self.0[at].hard || demand == Demand::Strict, self.draws(at)) {
            (true, _) => balance < signed(asked),
            (false, draws) => draws && balance < 0,
        };
        short.then(|| Answer::Short { at, asked, available: balance.max(0).unsigned_abs() })
    }

    /// The steps that give money back along a path: the top one is taken first.
    fn credit(&self, at: At, amount: u64, back: [u64; 2]) -> Vec<Step> {
        let (mut next, mut amount, mut drawn) = (Some(at), amount, 0);
        let mut steps = Vec::new();
        while let Some(at) = next {
            let draw = if self.draws(at) { back.get(drawn).copied().unwrap_or(0) } else { 0 };
            if amount > draw {
                steps.push(Step::Add(at, amount - draw));
            }
            (next, amount, drawn) = self.climb(at, amount, draw, drawn);
        }
        steps
    }

    /// A closed slice keeps only what it owes; its parent gets the rest.
    fn take_add(&self, state: &mut State, work: &mut Work, at: At, amount: u64) {
        let purse = &mut state.purses[at];
        let parent = self.0[at].parent.filter(|_| purse.closed && !self.0[at].shared);
        let kept = match parent {
            Some(_) => amount.min(purse.balance.min(0).unsigned_abs()),
            None => amount,
        };
        purse.balance += signed(kept);
        if let Some(parent) = parent.filter(|_| kept < amount) {
            self.count(work, at, amount - kept);
            work.todo.extend(self.credit(parent, amount - kept, [0; 2]));
        }
    }

    fn take_settlement(&self, state: &mut State, work: &mut Work, step: Step) {
        let (Step::Overage(hold, _)
        | Step::Propose(hold, _)
        | Step::Commit(hold, _)
        | Step::Release(hold)) = step
        else {
            unreachable!("only settlements come here")
        };
        let held = state.holds[hold].as_mut().expect("only what is reserved is settled");
        match (step, held.end) {
            (Step::Overage(..) | Step::Commit(..), Some(end)) => work.end(end),
            (Step::Release(_), Some(Answer::Released)) => {}
            (Step::Release(_), Some(end)) => work.end(end),
            (Step::Overage(_, strict), None) => {
                if strict {
                    work.end(Answer::Overage);
                }
            }
            (Step::Propose(_, amount), _) => {
                held.proposed.get_or_insert(amount);
            }
            (Step::Commit(_, asked), None) => {
                let spent =
                    if asked == held.amount { asked } else { held.proposed.unwrap_or(asked) };
                held.end = Some(Answer::Committed(spent));
                let won = spent == asked;
                work.answer =
                    Some(if won { Answer::Charged(asked) } else { Answer::Committed(spent) });
                let held = *held;
                if spent > held.amount {
                    self.owe(work, held.at, spent - held.amount);
                }
                self.give_back(work, held, held.amount.saturating_sub(spent));
            }
            (Step::Release(_), None) => {
                held.end = Some(Answer::Released);
                let held = *held;
                self.give_back(work, held, held.amount);
            }
            _ => unreachable!("only settlements come here"),
        }
    }

    fn owe(&self, work: &mut Work, at: At, amount: u64) {
        if self.soft_chain(at) > 0 {
            work.todo.push(Step::PayOrForce(at, amount));
        } else {
            self.force(work, at, amount);
        }
    }

    fn force(&self, work: &mut Work, at: At, amount: u64) {
        work.todo.extend([Step::Lift(at), Step::Pay(at, amount, Demand::Forced, None)]);
    }

    /// What a closed slice owes, its parent pays.
    fn take_lift(&self, state: &State, work: &mut Work, at: At) {
        let Kin { parent: Some(parent), shared, .. } = self.0[at] else { return };
        let purse = state.purses[at];
        if shared {
            self.take_lift(state, work, parent);
        } else if purse.closed && purse.balance < 0 {
            let owed = purse.balance.unsigned_abs();
            work.todo.extend([Step::Lift(parent), Step::Add(at, owed)]);
            work.todo.push(Step::Pay(parent, owed, Demand::Forced, None));
        }
    }

    /// How many soft slices a charge here may have to go through.
    pub fn soft_chain(&self, at: At) -> usize {
        match self.0[at] {
            Kin { parent: Some(parent), shared: true, .. } => self.soft_chain(parent),
            Kin { parent: Some(parent), hard: false, .. } => self.soft_chain(parent) + 1,
            _ => 0,
        }
    }

    fn give_back(&self, work: &mut Work, held: Reserved, amount: u64) {
        let back = held.draws.map(|draw| draw.min(amount));
        work.todo.extend(self.credit(held.at, amount, back));
    }

    fn take_freeze(&self, state: &mut State, work: &mut Work, step: Step) {
        match step {
            Step::Freeze(at, frozen) if state.purses[at].own_frozen != frozen => {
                state.locked = true;
                state.purses[at].own_frozen = frozen;
                work.todo.push(Step::Unlock);
                work.todo.extend(self.subtree(state, at).into_iter().rev().map(Step::Flag));
            }
            Step::Flag(at) => {
                let above = self.0[at].parent.is_some_and(|parent| state.purses[parent].frozen);
                let purse = &mut state.purses[at];
                purse.frozen = above || purse.own_frozen;
            }
            _ => {}
        }
    }

    fn take_close(&self, state: &mut State, work: &mut Work, step: Step) {
        match step {
            Step::Close(at) => {
                state.locked = true;
                work.answer = Some(Answer::Amount(0));
                work.todo.extend([Step::Unlock, Step::EmptyAll]);
                work.todo.extend(self.subtree(state, at).into_iter().rev().map(Step::Shut));
                work.top = Some(at);
            }
            Step::Shut(at) if !state.purses[at].closed => {
                state.purses[at].closed = true;
                work.closing.push(at);
            }
            Step::EmptyAll => {
                let slices = std::mem::take(&mut work.closing).into_iter();
                let slices = slices.filter(|&at| !self.0[at].shared && self.0[at].parent.is_some());
                work.todo.extend(slices.map(Step::Empty));
            }
            Step::Empty(at) if state.purses[at].balance > 0 => {
                let rest = state.purses[at].balance.unsigned_abs();
                state.purses[at].balance = 0;
                self.count(work, at, rest);
                let parent = self.0[at].parent.expect("only slices are emptied");
                work.todo.extend(self.credit(parent, rest, [0; 2]));
            }
            _ => {}
        }
    }

    /// Of a closing: what leaves the wallet that is closed.
    fn count(&self, work: &mut Work, slice: At, amount: u64) {
        let Some(top) = work.top else { return };
        let mut at = slice;
        while at != top {
            match self.0[at].parent {
                Some(parent) if self.0[parent].shared => at = parent,
                _ => return,
            }
        }
        if let Some(Answer::Amount(returned)) = &mut work.answer {
            *returned += amount;
        }
    }

    /// A wallet and all below it, parents before their children, siblings oldest first.
    fn subtree(&self, state: &State, at: At) -> Vec<At> {
        let mut found = vec![at];
        for &child in state.made.iter().filter(|&&child| self.0[child].parent == Some(at)) {
            found.extend(self.subtree(state, child));
        }
        found
    }
}

impl State {
    fn hold(&self, hold: Hold) -> Reserved {
        self.holds[hold].expect("only what is reserved is settled")
    }
}

impl Work {
    fn end(&mut self, answer: Answer) {
        self.todo.clear();
        self.answer = Some(answer);
    }
}

fn objection(state: &State, at: At) -> Option<Answer> {
    match state.purses[at] {
        Purse { closed: true, .. } => Some(Answer::Closed(at)),
        Purse { frozen: true, .. } => Some(Answer::Frozen(at)),
        _ => None,
    }
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).expect("amounts here are small")
}
