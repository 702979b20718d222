//! Fuzz target: see `strowger_fuzz::config`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strowger_fuzz::config(data));
