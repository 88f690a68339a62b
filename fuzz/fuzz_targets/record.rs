#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerway_swarm::record::fuzzing::record(data));
