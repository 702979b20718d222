//! Fuzz target: see `strowger_fuzz::notification`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strowger_fuzz::notification(data));
