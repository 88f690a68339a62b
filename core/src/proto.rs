//! Decisions: pure state machines in virtual time.

#[cfg_attr(not(test), expect(dead_code, reason = "the endpoint machine uses it"))]
mod nat;
