//! Fuzz target: see `strowger_fuzz::ticket`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strowger_fuzz::ticket(data));
