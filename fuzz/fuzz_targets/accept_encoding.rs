#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| httpoll::properties::accept_encoding(input));
