//! Fuzz target: see `strowger_fuzz::ng`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strowger_fuzz::ng(data));
