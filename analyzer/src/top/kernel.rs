//! What the kernel says of a process that runs.
use std::fs;

/// Resident memory of the process with this id here, bytes; `None` if it is not told.
pub fn resident(pid: u32) -> Option<u64> {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = pages.split_ascii_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: asks for a constant of the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    // A zombie has none, and is not the process any more.
    pages.checked_mul(u64::try_from(page).ok()?).filter(|&bytes| bytes > 0)
}
