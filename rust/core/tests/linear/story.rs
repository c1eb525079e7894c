//! Stories: random families of wallets, and what random threads do to them at the same time.

use std::sync::atomic::{AtomicU64, Ordering};

use outlay_core::{
    Config, Error, LabelsId, Ledger, NewWallet, Overage, Refusal, ReservationId, Settled, WalletId,
};

use super::model::{Answer, At, Hold, Kin, Model, Op};
use super::search::Call;

/// The most that a story has.
pub const THREADS: usize = 4;

/// A small random generator (xorshift64*), so that a story is its seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Seeds are small numbers, which this generator needs a while to leave behind.
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..4 {
            random.below(2);
        }
        random
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as usize % end
    }

    fn amount(&mut self, end: usize) -> u64 {
        1 + self.below(end) as u64
    }
}

/// What is done, and by whom: first all that makes the family, then the threads at once.
#[derive(Debug)]
pub struct Story {
    pub family: Vec<Kin>,
    pub holds: usize,
    pub setup: Vec<Op>,
    pub threads: Vec<Vec<Op>>,
}

impl Story {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut story = Story { family: vec![], holds: 0, setup: vec![], threads: vec![] };
        for at in 0..1 + random.below(6) {
            let create = story.create(&mut random, at);
            story.setup.push(create);
        }
        let wallets = story.family.len();
        for _ in 0..random.below(4) {
            let reserve = story.reserve(random.below(wallets), random.amount(30));
            story.setup.push(reserve);
        }
        if random.below(8) == 0 {
            story.setup.push(Op::Freeze { at: random.below(wallets), frozen: true });
        }
        // Most of a story is about few wallets, or threads would hardly meet.
        let hot = [random.below(wallets), random.below(wallets)];
        let first_holds: Vec<Hold> = (0..story.holds).collect();
        let threads = 2 + random.below(THREADS - 1);
        for _ in 0..threads {
            let mut known = Known { wallets, own: vec![], holds: first_holds.clone(), hot };
            let ops = (0..1 + 10 / threads).map(|_| story.op(&mut random, &mut known)).collect();
            story.threads.push(ops);
        }
        story
    }

    fn create(&mut self, random: &mut Random, at: At) -> Op {
        // Deep rather than wide: the later of two is taken.
        let parent =
            at.checked_sub(1).map(|last| random.below(last + 1).max(random.below(last + 1)));
        self.make(random, parent)
    }

    fn make(&mut self, random: &mut Random, parent: Option<At>) -> Op {
        let shared = parent.is_some() && random.below(10) < 6;
        let hard = random.below(10) < 7;
        self.family.push(Kin { parent, shared, hard });
        let at = self.family.len() - 1;
        if Model(&self.family).soft_chain(at) > outlay_core::MAX_DRAWS {
            self.family[at].hard = true;
        }
        let most = if shared || parent.is_none() { 60 } else { 25 };
        Op::Create { at, budget: random.below(most) as u64 }
    }

    fn reserve(&mut self, at: At, amount: u64) -> Op {
        self.holds += 1;
        Op::Reserve { at, amount, hold: self.holds - 1 }
    }

    fn op(&mut self, random: &mut Random, known: &mut Known) -> Op {
        let at = known.wallet(random);
        let amount = random.amount(30);
        match random.below(24) {
            0..4 => Op::Spend { at, amount },
            4..8 => {
                let reserve = self.reserve(at, amount);
                known.holds.push(self.holds - 1);
                reserve
            }
            8..14 if !known.holds.is_empty() => {
                let hold = known.holds[random.below(known.holds.len())];
                match random.below(5) {
                    0..2 => Op::Release { hold },
                    _ => Op::Commit { hold, amount, strict: random.below(4) == 0 },
                }
            }
            14..16 => Op::Refill { at, amount },
            16..18 => self.transfer(random, at, amount),
            18 => Op::Freeze { at, frozen: random.below(2) == 0 },
            19 if random.below(2) == 0 => Op::Close { at },
            20 => {
                let create = self.make(random, Some(at));
                known.own.push(self.family.len() - 1);
                create
            }
            21 => Op::Owed { at },
            22 => Op::IsFrozen { at },
            _ => Op::Available { at },
        }
    }

    fn transfer(&self, random: &mut Random, at: At, amount: u64) -> Op {
        match self.family[at] {
            Kin { parent: Some(parent), shared: false, .. } => {
                let (from, to) = if random.below(2) == 0 { (at, parent) } else { (parent, at) };
                Op::Transfer { from, to, amount }
            }
            _ => Op::Spend { at, amount },
        }
    }
}

/// What a thread can name: the family as it was at first, and what it made itself.
struct Known {
    wallets: usize,
    own: Vec<At>,
    holds: Vec<Hold>,
    hot: [At; 2],
}

impl Known {
    fn wallet(&self, random: &mut Random) -> At {
        match random.below(10) {
            0..7 => self.hot[random.below(2)],
            7 if !self.own.is_empty() => self.own[random.below(self.own.len())],
            _ => random.below(self.wallets),
        }
    }
}

/// A ledger in which a story is told, and the order of what happens in it.
pub struct Stage {
    pub ledger: Ledger,
    order: AtomicU64,
}

/// The numbers that the ledger gave to what a thread knows; none of what was refused.
#[derive(Clone)]
pub struct Cast {
    wallets: Vec<Option<WalletId>>,
    holds: Vec<Option<ReservationId>>,
}

impl Stage {
    pub fn new(story: &Story) -> (Self, Cast) {
        let ledger = Ledger::new(Config { keep: 64, ..Config::default() });
        let stage = Stage { ledger, order: AtomicU64::new(0) };
        let cast = Cast { wallets: vec![None; story.family.len()], holds: vec![None; story.holds] };
        (stage, cast)
    }

    /// Does all that can be done: nothing can be of what was refused.
    pub fn play(&self, story: &Story, cast: &mut Cast, ops: &[Op]) -> Vec<Call> {
        let mut calls = Vec::with_capacity(ops.len());
        for &op in ops {
            if !cast.can(op, &story.family) {
                continue;
            }
            let began = self.order.fetch_add(1, Ordering::SeqCst);
            let told = self.perform(story, cast, op);
            let ended = self.order.fetch_add(1, Ordering::SeqCst);
            calls.push(Call { op, answer: self.answer(told), began, ended });
        }
        calls
    }

    fn perform(&self, story: &Story, cast: &mut Cast, op: Op) -> Result<Answer, Error> {
        let ledger = &self.ledger;
        let amount = Answer::Amount;
        let done = |()| Answer::Done;
        match op {
            Op::Create { at, budget } => {
                let Kin { parent, shared, hard } = story.family[at];
                let parent = parent.map(|parent| cast.wallet(parent));
                let name = at.to_string();
                let new = NewWallet { parent, name: &name, budget, shared, hard, metadata: None };
                cast.wallets[at] = Some(ledger.create(new)?);
                Ok(Answer::Done)
            }
            Op::Spend { at, amount } => {
                ledger.spend(cast.wallet(at), amount, LabelsId(0), None).map(|_| Answer::Done)
            }
            Op::Reserve { at, amount, hold } => {
                cast.holds[hold] =
                    Some(ledger.reserve(cast.wallet(at), amount, LabelsId(0), None)?);
                Ok(Answer::Done)
            }
            Op::Commit { hold, amount, strict } => {
                let overage = if strict { Overage::Refuse } else { Overage::Debt };
                let charge = ledger.commit(cast.hold(hold), amount, overage, None)?;
                Ok(charge.map_or(Answer::Done, |charge| Answer::Charged(charge.amount)))
            }
            Op::Release { hold } => ledger.release(cast.hold(hold)).map(done),
            Op::Refill { at, amount } => ledger.refill(cast.wallet(at), amount).map(done),
            Op::Transfer { from, to, amount } => {
                ledger.transfer(cast.wallet(from), cast.wallet(to), amount).map(done)
            }
            Op::Freeze { at, frozen: true } => ledger.freeze(cast.wallet(at)).map(done),
            Op::Freeze { at, frozen: false } => ledger.unfreeze(cast.wallet(at)).map(done),
            Op::Close { at } => ledger.close(cast.wallet(at)).map(amount),
            Op::Available { at } => Ok(amount(ledger.available(cast.wallet(at)))),
            Op::Owed { at } => Ok(amount(ledger.owed(cast.wallet(at)))),
            Op::IsFrozen { at } => Ok(Answer::Is(ledger.is_frozen(cast.wallet(at)))),
            Op::IsClosed { at } => Ok(Answer::Is(ledger.is_closed(cast.wallet(at)))),
        }
    }

    fn answer(&self, told: Result<Answer, Error>) -> Answer {
        let at = |wallet| self.ledger.name(wallet).parse().expect("wallets have numbers as names");
        match told {
            Ok(answer) => answer,
            Err(Error::Refused(Refusal::Short { wallet, asked, available })) => {
                Answer::Short { at: at(wallet), asked, available }
            }
            Err(Error::Refused(Refusal::Frozen(wallet))) => Answer::Frozen(at(wallet)),
            Err(Error::Refused(Refusal::Closed(wallet))) => Answer::Closed(at(wallet)),
            Err(Error::Settled(Settled::Committed(amount))) => Answer::Committed(amount),
            Err(Error::Settled(Settled::Released)) => Answer::Released,
            Err(Error::Overage { .. }) => Answer::Overage,
            Err(other) => {
                eprintln!("no story leads to {other:?}");
                Answer::Wrong
            }
        }
    }
}

impl Cast {
    fn can(&self, op: Op, family: &[Kin]) -> bool {
        let wallet = |at: At| self.wallets[at].is_some();
        match op {
            Op::Create { at, .. } => family[at].parent.is_none_or(wallet),
            Op::Commit { hold, .. } | Op::Release { hold } => self.holds[hold].is_some(),
            Op::Transfer { from, to, .. } => wallet(from) && wallet(to),
            Op::Spend { at, .. }
            | Op::Reserve { at, .. }
            | Op::Refill { at, .. }
            | Op::Freeze { at, .. }
            | Op::Close { at }
            | Op::Available { at }
            | Op::Owed { at }
            | Op::IsFrozen { at }
            | Op::IsClosed { at } => wallet(at),
        }
    }

    /// Everything that can be seen of what there is.
    pub fn looks(&self) -> Vec<Op> {
        let made = self.wallets.iter().enumerate().filter(|(_, wallet)| wallet.is_some());
        made.flat_map(|(at, _)| {
            [Op::Available { at }, Op::Owed { at }, Op::IsFrozen { at }, Op::IsClosed { at }]
        })
        .collect()
    }

    /// Learns what another has made.
    pub fn meet(&mut self, other: Cast) {
        for (mine, theirs) in self.wallets.iter_mut().zip(other.wallets) {
            *mine = mine.or(theirs);
        }
        for (mine, theirs) in self.holds.iter_mut().zip(other.holds) {
            *mine = mine.or(theirs);
        }
    }

    fn wallet(&self, at: At) -> WalletId {
        self.wallets[at].expect("`can` was asked")
    }

    fn hold(&self, hold: Hold) -> ReservationId {
        self.holds[hold].expect("`can` was asked")
    }
}
