//! Fuzz target: see `strowger_fuzz::srtp`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strowger_fuzz::srtp(data));
