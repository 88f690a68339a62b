#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerway_proto::fuzzing::status(data));
