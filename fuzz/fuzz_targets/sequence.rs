//! Fuzz target: see `strowger_fuzz::sequence`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strowger_fuzz::sequence(data));
