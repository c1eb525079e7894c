//! What the engine says when it does not do what was asked. Nothing has changed then.

use std::fmt;

use crate::amount::AmountError;
use crate::wallet::WalletId;

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The answer "no": the wallet may not, or cannot, pay.
    Refused(Refusal),
    /// The amount is no amount.
    Amount(AmountError),
    /// The name is empty, too long, or has a character that names cannot have.
    Name(NameError),
    /// The parent has a child of that name, or the ledger a task wallet.
    Duplicate,
    /// The tree, or a chain of soft slices, would become too deep.
    TooDeep,
    /// Money moves only between a wallet and its slice.
    NotRelated,
    /// The reservation was settled before.
    Settled(Settled),
    /// The commit is above the reservation, which does not allow it.
    Overage {
        /// What was set aside.
        reserved: u64,
        /// What the commit asked for.
        asked: u64,
    },
    /// The id names no reservation of this ledger, or one that is long over.
    Unknown,
    /// More wallets, open reservations or label sets than the ledger can number.
    Full,
    /// This process is a fork's child: the money stayed with the parent.
    Forked,
}

/// A refusal is always justified: at some instant inside the call it was so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The wallet had less than was asked of it.
    Short {
        /// The wallet that was short: the one asked, or one above it that has to pay too.
        wallet: WalletId,
        /// What was asked of that wallet.
        asked: u64,
        /// What it had.
        available: u64,
    },
    /// The wallet is frozen.
    Frozen(WalletId),
    /// The wallet is closed.
    Closed(WalletId),
}

/// How a reservation ended before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was committed, for this amount.
    Committed(u64),
    /// It was released.
    Released,
    /// Its time ran out.
    Expired,
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It has no characters.
    Empty,
    /// It is longer than [`crate::wallet::MAX_NAME`] bytes.
    TooLong,
    /// It has a slash, which separates the names of a path, or a control character.
    Character(char),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Error::Refused(refusal)
    }
}

impl From<AmountError> for Error {
    fn from(error: AmountError) -> Self {
        Error::Amount(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Refused(Refusal::Short { wallet, asked, available }) => {
                write!(f, "wallet {wallet} was asked for {asked} and has {available}")
            }
            Error::Refused(Refusal::Frozen(wallet)) => write!(f, "wallet {wallet} is frozen"),
            Error::Refused(Refusal::Closed(wallet)) => write!(f, "wallet {wallet} is closed"),
            Error::Amount(error) => error.fmt(f),
            Error::Name(NameError::Empty) => f.write_str("a name needs at least one character"),
            Error::Name(NameError::TooLong) => {
                write!(f, "a name can have {} bytes at the most", crate::wallet::MAX_NAME)
            }
            Error::Name(NameError::Character(found)) => {
                write!(f, "a name cannot have {found:?} in it")
            }
            Error::Duplicate => f.write_str("the name is taken"),
            Error::TooDeep => write!(
                f,
                "a tree can be {} wallets deep, soft slices can be nested {} deep",
                crate::wallet::MAX_DEPTH,
                crate::reservation::MAX_DRAWS
            ),
            Error::NotRelated => f.write_str("money moves only between a wallet and its slice"),
            Error::Settled(Settled::Committed(amount)) => {
                write!(f, "committed before, for {amount}")
            }
            Error::Settled(Settled::Released) => f.write_str("released before"),
            Error::Settled(Settled::Expired) => f.write_str("the reservation's time ran out"),
            Error::Overage { reserved, asked } => {
                write!(f, "{asked} is above the {reserved} that were set aside")
            }
            Error::Unknown => f.write_str("no such reservation"),
            Error::Full => f.write_str("the ledger cannot number any more of these"),
            Error::Forked => f.write_str("the money stayed with the process that forked"),
        }
    }
}

impl std::error::Error for Error {}
