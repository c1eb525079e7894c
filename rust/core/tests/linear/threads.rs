//! The stories, told by real threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::story::THREADS;
use super::{Telling, number};

/// Threads are started once for so many stories.
const BATCH: u64 = 64;

/// A thread that is this late has failed.
const LATE: Duration = Duration::from_secs(30);

/// Where others keep the machine busy, fewer stories have to do, if nobody asked for more.
const ENOUGH: Duration = Duration::from_secs(10);

/// Lets the threads of a story begin at once, as far as the machine has processors for them.
fn meet(arrived: &AtomicUsize, threads: usize) {
    arrived.fetch_add(1, Ordering::AcqRel);
    let (start, mut spins) = (Instant::now(), 0_u64);
    while arrived.load(Ordering::Acquire) < threads {
        spins += 1;
        if spins % 64 == 0 {
            thread::yield_now();
            assert!(start.elapsed() < LATE, "a thread never came");
        }
        std::hint::spin_loop();
    }
}

/// Tells these stories with real threads; returns how far the search had to go at most.
fn tell(seeds: impl Iterator<Item = u64>) -> usize {
    let tellings: Vec<Telling> = seeds.map(Telling::new).collect();
    let arrived: Vec<_> = tellings.iter().map(|_| AtomicUsize::new(0)).collect();
    let play = |thread: usize| {
        let told = tellings.iter().zip(&arrived).map(|(telling, arrived)| {
            let threads = telling.story.threads.len();
            (thread < threads).then(|| {
                meet(arrived, threads);
                telling.play(thread)
            })
        });
        told.collect::<Vec<_>>()
    };
    let mut told: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || play(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().into_iter()).collect()
    });
    let judged = tellings.into_iter().map(|telling| {
        telling.judge(told.iter_mut().filter_map(|thread| thread.next().expect("one a story")))
    });
    judged.max().unwrap_or(0)
}

/// Whatever 2 to 4 threads do to a random family, one order of steps explains what they were told.
#[test]
fn every_history_has_an_explanation() {
    let (asked, seed) = (number("OUTLAY_RUNS"), number("OUTLAY_SEED"));
    let runs = asked.unwrap_or(20_000);
    let (start, mut told, mut furthest) = (Instant::now(), 0, 0);
    while told < runs && (asked.is_some() || start.elapsed() < ENOUGH) {
        let batch = told..(told + BATCH).min(runs);
        told = batch.end;
        furthest = furthest.max(tell(batch.map(|run| seed.unwrap_or(run + 1))));
    }
    println!("{told} stories told, the furthest search took {furthest} steps");
}
