//! History: every change of money is one record of 64 bytes, in one order.
//!
//! A record of *credit* is written before the credit can be used, a record of *debit* after the
//! debit is certain. So every prefix of the history is a possible past, and replays without any
//! wallet going below zero that did not.
//!
//! Writers take a number and fill that cell of a segment; nobody waits. Whoever opens a segment
//! folds what is complete into totals, so that old segments can go: totals are exact for ever,
//! the records themselves are kept for as long as the ledger was told to.

use std::ptr;

use crate::arena::Arena;
use crate::labels::LabelsId;
use crate::reservation::ReservationId;
use crate::sync::{
    AtomicPtr, AtomicU64, MONEY, Mutex, MutexGuard, OBSERVE, OnceLock, PLAIN, PUBLISH, STATISTIC,
    lock, try_lock,
};
use crate::totals::Totals;
use crate::wallet::WalletId;

/// How many records a segment has.
///
/// 32 KiB of them: what is folded when the next one is opened is still in the processor's cache.
const SEGMENT: u64 = if cfg!(any(loom, shuttle)) { 8 } else { 512 };

/// What kind of change a record tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A wallet was made. A slice's budget left `other`, its parent, at that instant.
    Open = 1,
    /// Money was set aside.
    Reserve = 2,
    /// A reservation was settled: `amount` is spent, `aside` is no longer set aside.
    Commit = 3,
    /// A reservation's money came back because its owner said so.
    Release = 4,
    /// A reservation's money came back because its time ran out.
    Expire = 5,
    /// Money was spent at once.
    Spend = 6,
    /// Money was added from outside.
    Refill = 7,
    /// Money moved to `other`, the parent or a slice.
    Transfer = 8,
    /// A soft slice, `other`, drew on the wallet, its parent.
    Draw = 9,
    /// The wallet, a soft slice, handed an unused draw back to `other`, its parent.
    Undraw = 10,
    /// The wallet is closed; what it had went to `other`, its parent.
    Close = 11,
    /// Money that came back to a closed wallet went on to `other`, its parent.
    Return = 12,
    /// The wallet was frozen by its owner.
    Freeze = 13,
    /// The wallet was unfrozen by its owner.
    Unfreeze = 14,
}

impl Kind {
    fn from_bits(bits: u8) -> Self {
        const ALL: [Kind; 14] = [
            Kind::Open,
            Kind::Reserve,
            Kind::Commit,
            Kind::Release,
            Kind::Expire,
            Kind::Spend,
            Kind::Refill,
            Kind::Transfer,
            Kind::Draw,
            Kind::Undraw,
            Kind::Close,
            Kind::Return,
            Kind::Freeze,
            Kind::Unfreeze,
        ];
        ALL[usize::from(bits) - 1]
    }
}

/// One change of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the ledger's one order, from zero.
    pub seq: u64,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// What happened.
    pub kind: Kind,
    /// To which wallet.
    pub wallet: WalletId,
    /// The wallet on the other side, where there is one.
    pub other: Option<WalletId>,
    /// The reservation, or zero.
    pub reservation: ReservationId,
    /// How much.
    pub amount: u64,
    /// For a commit: how much was set aside until now.
    pub aside: u64,
    /// Booked under.
    pub labels: LabelsId,
}

impl Record {
    /// A record that is not written yet: number and time come with the writing.
    pub(crate) fn of(kind: Kind, wallet: WalletId, amount: u64) -> Self {
        Record {
            seq: 0,
            time: 0,
            kind,
            wallet,
            other: None,
            reservation: ReservationId(0),
            amount,
            aside: 0,
            labels: LabelsId(0),
        }
    }

    pub(crate) fn other(self, other: WalletId) -> Self {
        Record { other: Some(other), ..self }
    }
}

/// A record's place. The first word is the record's number plus one once all others are there.
#[repr(align(64))]
struct Cell([AtomicU64; 8]);

const VERSION: u64 = 1;
const NOBODY: u32 = u32::MAX;

/// In a cell's first word: the record is part of the totals.
const FOLDED: u64 = 1 << 63;

impl Cell {
    fn new() -> Self {
        Cell(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    #[inline]
    fn write(&self, record: &Record) {
        let other = record.other.map_or(NOBODY, |wallet| wallet.0);
        let fields = [
            record.time,
            record.reservation.0,
            record.amount,
            record.aside,
            u64::from(record.wallet.0) | (u64::from(other) << 32),
            u64::from(record.labels.0) | ((record.kind as u64) << 32) | (VERSION << 40),
        ];
        for (cell, field) in self.0[1..].iter().zip(fields) {
            cell.store(field, PLAIN);
        }
        self.0[0].store(record.seq + 1, PUBLISH);
    }

    /// The record of that number and whether it is folded, once it is complete. A segment that was
    /// used before still has older ones.
    fn read(&self, seq: u64) -> Option<(Record, bool)> {
        let first = self.0[0].load(OBSERVE);
        if first & !FOLDED != seq + 1 {
            return None;
        }
        let field = |index: usize| self.0[index].load(PLAIN);
        let (wallets, kinds) = (field(5), field(6));
        let other = (wallets >> 32) as u32;
        let record = Record {
            seq,
            time: field(1),
            reservation: ReservationId(field(2)),
            amount: field(3),
            aside: field(4),
            wallet: WalletId(wallets as u32),
            other: (other != NOBODY).then_some(WalletId(other)),
            labels: LabelsId(kinds as u32),
            kind: Kind::from_bits((kinds >> 32) as u8),
        };
        Some((record, first & FOLDED != 0))
    }

    fn mark_folded(&self) {
        // Only the folder, under its lock, writes a cell that is complete.
        self.0[0].store(self.0[0].load(PLAIN) | FOLDED, PLAIN);
    }
}

type Blob = OnceLock<Box<[u8]>>;

struct Segment {
    cells: Box<[Cell]>,
    /// Metadata, by cell; made when the first record here has any.
    blobs: OnceLock<Box<[Blob]>>,
}

impl Segment {
    fn new() -> Box<Self> {
        Box::new(Segment {
            cells: std::iter::repeat_with(Cell::new).take(SEGMENT as usize).collect(),
            blobs: OnceLock::new(),
        })
    }

    fn blob(&self, cell: usize) -> &Blob {
        let blobs = self
            .blobs
            .get_or_init(|| std::iter::repeat_with(OnceLock::new).take(SEGMENT as usize).collect());
        &blobs[cell]
    }
}

/// The totals, and how far they reach.
pub(crate) struct Folder {
    pub(crate) totals: Totals,
    /// Every record before this one is folded.
    frontier: u64,
    /// Every segment before this one is gone.
    oldest: u64,
}

/// All records of a ledger that are kept, and the totals of all there ever were.
pub(crate) struct History {
    next: AtomicU64,
    segments: Arena<AtomicPtr<Segment>>,
    folder: Mutex<Folder>,
    /// A segment that was freed and can be used again: its memory is warm.
    spare: AtomicPtr<Segment>,
    keep: u64,
}

impl History {
    pub(crate) fn new(keep: u64) -> Self {
        History {
            next: AtomicU64::new(0),
            segments: Arena::new(),
            folder: Mutex::new(Folder { totals: Totals::default(), frontier: 0, oldest: 0 }),
            spare: AtomicPtr::new(ptr::null_mut()),
            keep,
        }
    }

    /// How many records were begun.
    pub(crate) fn begun(&self) -> u64 {
        self.next.load(MONEY)
    }

    /// Writes a record down and returns its number.
    #[inline]
    pub(crate) fn write(&self, mut record: Record, blob: Option<Box<[u8]>>) -> u64 {
        record.seq = self.next.fetch_add(1, MONEY);
        let cell = (record.seq % SEGMENT) as usize;
        let segment = self.segment(record.seq / SEGMENT);
        if let Some(blob) = blob {
            segment.blob(cell).get_or_init(|| blob);
        }
        segment.cells[cell].write(&record);
        if cell == 0 {
            self.fold_some();
        }
        record.seq
    }

    /// The segment of a record that the caller has yet to write.
    #[inline]
    fn segment(&self, number: u64) -> &Segment {
        let place = self.segments.get(number as usize);
        let mut segment = place.load(OBSERVE);
        if segment.is_null() {
            segment = self.open(place);
        }
        // SAFETY: a segment is freed only when all its cells are written (`Folder::forget`), and
        // the caller's is not: the segment outlives the caller's use of it.
        unsafe { &*segment }
    }

    #[cold]
    fn open(&self, place: &AtomicPtr<Segment>) -> *mut Segment {
        let spare = self.spare.swap(ptr::null_mut(), MONEY);
        let fresh = if spare.is_null() { Box::into_raw(Segment::new()) } else { spare };
        match place.compare_exchange(ptr::null_mut(), fresh, MONEY, MONEY) {
            Ok(_) => fresh,
            Err(other) => {
                // SAFETY: `fresh` came from a box, and whoever had it before gave it up to us
                // alone.
                drop(unsafe { Box::from_raw(fresh) });
                other
            }
        }
    }

    /// Folds in passing: if somebody else is at it, or reads, there is no need to wait.
    #[cold]
    fn fold_some(&self) {
        if let Some(folder) = try_lock(&self.folder) {
            drop(self.fold(folder));
        }
    }

    /// The totals of every record that was written before this call.
    pub(crate) fn folded(&self) -> MutexGuard<'_, Folder> {
        self.fold(lock(&self.folder))
    }

    fn fold<'a>(&'a self, mut folder: MutexGuard<'a, Folder>) -> MutexGuard<'a, Folder> {
        let end = self.begun();
        let mut contiguous = true;
        let mut seq = folder.frontier;
        let mut frontier = seq;
        while seq < end {
            let number = seq / SEGMENT;
            let segment = self.segments.get(number as usize).load(OBSERVE);
            let stop = end.min((number + 1) * SEGMENT);
            if segment.is_null() {
                // Its first writer has taken a number and not yet opened it.
                contiguous = false;
                seq = stop;
                continue;
            }
            // SAFETY: segments are freed only under the folder's lock, which is held here.
            let segment = unsafe { &*segment };
            while seq < stop {
                let cell = &segment.cells[(seq % SEGMENT) as usize];
                match cell.read(seq) {
                    Some((record, done)) => {
                        if !done {
                            folder.totals.fold(&record);
                        }
                        // Before the frontier a mark says nothing new.
                        if !contiguous && !done {
                            cell.mark_folded();
                        }
                    }
                    None => contiguous = false,
                }
                seq += 1;
                if contiguous {
                    frontier = seq;
                }
            }
        }
        folder.frontier = frontier;
        self.forget(&mut folder);
        folder
    }

    /// Frees the segments that are folded and older than what is to be kept.
    fn forget(&self, folder: &mut Folder) {
        let unneeded = folder.frontier.saturating_sub(self.keep) / SEGMENT;
        while folder.oldest < unneeded {
            let place = self.segments.get(folder.oldest as usize);
            let segment = place.swap(ptr::null_mut(), MONEY);
            // SAFETY: every cell is before the frontier, so every writer that had a number in this
            // segment has finished with it; no other writer will look here, and readers hold the
            // lock that is held here.
            let segment = unsafe { Box::from_raw(segment) };
            folder.oldest += 1;
            self.keep_spare(segment);
        }
    }

    fn keep_spare(&self, mut segment: Box<Segment>) {
        segment.blobs = OnceLock::new();
        let before = self.spare.swap(Box::into_raw(segment), MONEY);
        if !before.is_null() {
            // SAFETY: what is swapped out of `spare` came from a box and belongs to the swapper.
            drop(unsafe { Box::from_raw(before) });
        }
    }

    /// The records that are kept, oldest first, with their metadata.
    pub(crate) fn kept(&self, folder: &Folder, mut visit: impl FnMut(Record, Option<&[u8]>)) {
        let end = self.begun();
        let first = (folder.oldest * SEGMENT).max(end.saturating_sub(self.keep));
        for seq in first..end {
            let segment = self.segments.get((seq / SEGMENT) as usize).load(OBSERVE);
            if segment.is_null() {
                continue;
            }
            // SAFETY: `folder` is borrowed from its lock's guard, and only its holder frees
            // segments.
            let segment = unsafe { &*segment };
            let cell = (seq % SEGMENT) as usize;
            if let Some((record, _)) = segment.cells[cell].read(seq) {
                let blob = segment.blobs.get().and_then(|blobs| blobs[cell].get());
                visit(record, blob.map(|blob| &**blob));
            }
        }
    }
}

impl Drop for History {
    fn drop(&mut self) {
        let oldest = lock(&self.folder).oldest;
        let spare = self.spare.swap(ptr::null_mut(), MONEY);
        if !spare.is_null() {
            // SAFETY: what is swapped out of `spare` came from a box and belongs to the swapper.
            drop(unsafe { Box::from_raw(spare) });
        }
        for number in oldest..self.next.load(STATISTIC).div_ceil(SEGMENT) {
            let segment = self.segments.get(number as usize).swap(ptr::null_mut(), MONEY);
            if !segment.is_null() {
                // SAFETY: `&mut self` says that nobody else has this history any more.
                drop(unsafe { Box::from_raw(segment) });
            }
        }
    }
}
