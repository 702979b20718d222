//! Fuzz target: see `strowger_fuzz::crossing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strowger_fuzz::crossing(data));
