//! Fuzz target: see `strowger_fuzz::webhook`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strowger_fuzz::webhook(data));
