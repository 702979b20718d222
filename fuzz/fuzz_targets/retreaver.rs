//! Fuzz target: see `strowger_fuzz::retreaver`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strowger_fuzz::retreaver(data));
