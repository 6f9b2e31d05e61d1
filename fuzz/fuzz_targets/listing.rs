#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let json: serde_json::Value = serde_json::from_str(&httpoll::properties::listing(input)).unwrap();
    assert!(json.is_array());
});
