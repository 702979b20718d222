//! Fuzz target: see `strowger_fuzz::reply`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strowger_fuzz::reply(data));
