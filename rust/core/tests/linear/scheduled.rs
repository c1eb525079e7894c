//! The same stories under random schedules: any atomic operation may be where another thread goes
//! on.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test --package outlay-core --test linear scheduled`, with
//! OUTLAY_RUNS and OUTLAY_SEED as above. A schedule that fails is printed by shuttle as well.

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::Arc;
use shuttle::{Config, Runner, thread};

use super::{Telling, number};

/// How many schedules each story gets.
const SCHEDULES: usize = 20;

fn tell(seed: u64) {
    let telling = Arc::new(Telling::new(seed));
    let threads: Vec<_> = (0..telling.story.threads.len())
        .map(|thread| {
            let telling = Arc::clone(&telling);
            thread::spawn(move || telling.play(thread))
        })
        .collect();
    let told: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    Arc::into_inner(telling).expect("all threads are over").judge(told);
}

fn run(seed: u64, scheduler: impl Scheduler + 'static) {
    let mut config = Config::new();
    // The search is done on a task's stack.
    config.stack_size = 1 << 20;
    // That it knows one memory order only; the others are for loom.
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(move || tell(seed));
}

/// However the scheduler deals, one order of steps explains what the threads were told.
#[test]
fn every_schedule_has_an_explanation() {
    let (first, stories) = match (number("OUTLAY_SEED"), number("OUTLAY_RUNS")) {
        (Some(seed), _) => (seed, 1),
        (None, runs) => (1, runs.unwrap_or(2_000)),
    };
    for seed in first..first + stories {
        if seed % 2 == 0 {
            run(seed, RandomScheduler::new_from_seed(seed, SCHEDULES));
        } else {
            run(seed, PctScheduler::new_from_seed(seed, 4, SCHEDULES));
        }
    }
    println!("{stories} stories told in {SCHEDULES} schedules each");
}
