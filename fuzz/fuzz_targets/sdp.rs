//! Fuzz target: see `strowger_fuzz::sdp`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strowger_fuzz::sdp(data));
