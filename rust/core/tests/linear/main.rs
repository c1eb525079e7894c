//! Linearizability: what threads were told can be explained by one order of what they did.
//!
//! Random stories are told by real threads that note when each call began and ended, and the search
//! looks for an order of their steps that gives every call the answer it got; `model.rs` says what
//! is one step. A failure prints the seed of its story, to be told again and again:
//!
//! `OUTLAY_SEED=7 OUTLAY_RUNS=1000000 cargo test --package outlay-core --test linear`
//!
//! Without a seed OUTLAY_RUNS is the number of stories.

mod made_up;
mod model;
#[cfg(shuttle)]
mod scheduled;
mod search;
mod story;
#[cfg(not(shuttle))]
mod threads;

use search::{Call, History, explain};
use story::{Cast, Stage, Story};

/// Of what the environment asks for.
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

struct Telling {
    seed: u64,
    story: Story,
    stage: Stage,
    cast: Cast,
    history: History,
}

impl Telling {
    fn new(seed: u64) -> Self {
        let story = Story::new(seed);
        let (stage, mut cast) = Stage::new(&story);
        let history = vec![stage.play(&story, &mut cast, &story.setup)];
        Telling { seed, story, stage, cast, history }
    }

    /// What one of the threads does.
    fn play(&self, thread: usize) -> (Vec<Call>, Cast) {
        let mut cast = self.cast.clone();
        let calls = self.stage.play(&self.story, &mut cast, &self.story.threads[thread]);
        (calls, cast)
    }

    /// Looks at everything once all is quiet, and then for what explains it.
    fn judge(mut self, threads: impl IntoIterator<Item = (Vec<Call>, Cast)>) -> usize {
        for (calls, cast) in threads {
            self.history.push(calls);
            self.cast.meet(cast);
        }
        let looks = self.cast.looks();
        let seen = self.stage.play(&self.story, &mut self.cast, &looks);
        self.history[0].extend(seen);
        assert_eq!(self.stage.ledger.audit(), [], "seed {}", self.seed);
        explain(&self.story.family, self.story.holds, &self.history).unwrap_or_else(|why| {
            let family = self.story.family.iter().enumerate();
            family.for_each(|(at, kin)| println!("{at}: {kin:?}"));
            for (thread, calls) in self.history.iter().enumerate() {
                println!("thread {thread}:");
                calls.iter().for_each(|call| println!("  {call}"));
            }
            panic!("seed {}: {why}", self.seed)
        })
    }
}
