//! Fuzz target: see `strowger_fuzz::uri`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strowger_fuzz::uri(data));
