//! Fuzz target: see `strowger_fuzz::entry`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strowger_fuzz::entry(data));
