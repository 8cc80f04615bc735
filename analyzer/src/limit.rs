//! What this process may take, as `ulimit` has set it.

/// Bytes of `resource`; `u64::MAX` if there is no limit, or none is known.
pub fn limit(resource: libc::__rlimit_resource_t) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call fills the local struct.
    let known = unsafe { libc::getrlimit(resource, &mut limit) } == 0;
    if known { limit.rlim_cur } else { libc::RLIM_INFINITY }
}
