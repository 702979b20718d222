//! Fuzz target: see `strowger_fuzz::datagram`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strowger_fuzz::datagram(data));
