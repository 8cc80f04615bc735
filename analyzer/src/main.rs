//! The command `unfreed`.
fn main() {}
