//! Numbers that must not be exceeded: each is printed with its bound, as `scripts/limits` shows it, and checked.

/// Prints what was measured and fails where it is more than `most`.
pub fn hold(what: &str, measured: u64, most: u64, unit: &str) {
    let verdict = if measured <= most { "OK" } else { "FAIL" };
    println!("limit: {verdict:4} {what}: {measured} {unit}, at most {most}");
    assert!(measured <= most, "{what}: {measured} {unit}, at most {most}");
}
