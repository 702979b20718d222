//! Fuzz target: see `strowger_fuzz::locate`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strowger_fuzz::locate(data));
