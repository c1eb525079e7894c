//! outlay-core: a tree of wallets that cannot be outspent.
//!
//! A [`Ledger`] is one tree of wallets in one unit. Money is spent in two phases: *reserve* sets it
//! aside, atomically over every wallet that must pay, and *commit*, *release* or *expiry* settles
//! the reservation once. [`Ledger::spend`] is both phases at once.
//!
//! A *slice* is a child whose budget was moved out of its parent: it pays alone, with one swap of
//! one word, at any depth. A *shared* child has only a cap: its charges are paid by every wallet up
//! to the nearest slice or root, at one instant (see `path.rs`). Nothing here blocks: a thread that
//! meets another's unfinished reservation finishes it. Locks guard only what is cold: making and
//! closing wallets, and reading receipts.
//!
//! What is promised: no wallet's available money is ever below zero; money is conserved and
//! [`Ledger::audit`] checks it; a charge is paid by all or by none; a refusal is true at some
//! instant inside the call; a reservation is settled once.

pub mod amount;
mod arena;
mod audit;
mod clock;
pub mod error;
mod expiry;
mod history;
mod labels;
mod ledger;
#[cfg(loom)]
pub mod model;
mod path;
mod reservation;
mod statement;
mod sync;
mod totals;
mod wallet;
mod word;

pub use audit::Finding;
pub use clock::{Clock, ManualClock};
pub use error::{Error, NameError, Refusal, Settled};
pub use history::{Kind, Record};
pub use labels::{Labels, LabelsId};
pub use ledger::{Charge, Config, Ledger, Overage, forked_in_child};
pub use reservation::{MAX_DRAWS, MAX_SLOTS, ReservationId};
pub use statement::{Entry, Row};
pub use totals::{Line, Sums};
pub use wallet::{MAX_DEPTH, MAX_NAME, NewWallet, WalletId};
