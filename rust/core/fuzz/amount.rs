//! Whatever the bytes: the parser says what the oracle says, and what it took it prints and takes
//! again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outlay_core::amount::{MAX_SCALE, parse, plain};

mod oracle;

fuzz_target!(|input: (u8, &str)| {
    let (scale, text) = (input.0 % (MAX_SCALE + 1), input.1);
    let parsed = parse(text, scale);
    assert_eq!(parsed, oracle::amount(text, scale), "{text:?} at {scale} places");
    if let Ok(amount) = parsed {
        assert_eq!(parse(&plain(amount, scale), scale), Ok(amount));
    }
});
