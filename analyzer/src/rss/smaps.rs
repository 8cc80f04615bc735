//! `/proc/PID/smaps`: what a process has mapped, and how much of each mapping is resident.

/// A mapping. Sizes are bytes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// The one behind the last.
    pub end: u64,
    /// `rwxp`.
    pub permissions: String,
    /// Of the file; 0 for none.
    pub inode: u64,
    /// Path of the file, `[heap]` and its like; empty for none.
    pub name: String,
    /// Resident in this process.
    pub rss: u64,
    /// The same, each page divided by the number of processes that share it.
    pub pss: u64,
    /// Of the resident what the kernel may take back at any time (MADV_FREE).
    pub lazy_free: u64,
    /// Swapped out.
    pub swap: u64,
    /// In huge pages of hugetlbfs, which no RSS counts.
    pub hugetlb: u64,
    /// `VmFlags`, two letters each.
    pub flags: Vec<String>,
}

impl Mapping {
    /// Whether it is memory of no file, of this process alone but for what it shares with forks.
    pub fn is_anonymous(&self) -> bool {
        let named = self.name.is_empty() || self.name == "[heap]" || self.name.starts_with("[anon:");
        named && self.inode == 0 && self.permissions.ends_with('p')
    }

    /// Whether nothing may be done with it: a guard, or reserved.
    pub fn is_forbidden(&self) -> bool {
        self.permissions.starts_with("---")
    }

    /// Whether it can be written.
    pub fn is_writable(&self) -> bool {
        self.permissions.as_bytes().get(1) == Some(&b'w')
    }

    /// Whether its code can be executed.
    pub fn is_executable(&self) -> bool {
        self.permissions.as_bytes().get(2) == Some(&b'x')
    }

    /// Whether this flag is set.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|known| known == flag)
    }

    /// The last part of its path.
    pub fn file_name(&self) -> &str {
        let name = self.name.strip_suffix(" (deleted)").unwrap_or(&self.name);
        name.rsplit('/').next().unwrap_or(name)
    }
}

/// Parses it. What is not understood is left out.
pub fn parse(text: &str) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in text.lines() {
        if line.as_bytes().first().is_some_and(u8::is_ascii_uppercase) {
            if let Some(mapping) = mappings.last_mut() {
                detail(mapping, line);
            }
        } else if let Some(mapping) = first_line(line) {
            mappings.push(mapping);
        }
    }
    mappings
}

/// `5645025ae000-5645025cf000 rw-p 00000000 00:00 0    [heap]`
fn first_line(line: &str) -> Option<Mapping> {
    let mut rest = line;
    let mut word = || {
        let (word, more) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
        rest = more;
        word
    };
    let (start, end) = word().split_once('-')?;
    let permissions = word().to_string();
    let (_offset, _device) = (word(), word());
    let inode = word().parse().ok()?;
    let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).ok());
    Some(Mapping {
        start: start?,
        end: end?,
        permissions,
        inode,
        name: rest.trim_start().to_string(),
        ..Mapping::default()
    })
}

fn detail(mapping: &mut Mapping, line: &str) {
    let Some((key, value)) = line.split_once(':') else { return };
    if key == "VmFlags" {
        mapping.flags = value.split_ascii_whitespace().map(str::to_string).collect();
        return;
    }
    let Some(bytes) = kib(value) else { return };
    match key {
        "Rss" => mapping.rss = bytes,
        "Pss" => mapping.pss = bytes,
        "LazyFree" => mapping.lazy_free = bytes,
        "Swap" => mapping.swap = bytes,
        "Shared_Hugetlb" | "Private_Hugetlb" => mapping.hugetlb += bytes,
        _ => {}
    }
}

/// The bytes of `   12 kB`.
pub fn kib(value: &str) -> Option<u64> {
    value.trim().strip_suffix(" kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_as_the_kernel_writes_them() {
        let text = "\
5645025ae000-5645025cf000 rw-p 00000000 00:00 0                          [heap]
Size:                132 kB
Rss:                  24 kB
Pss:                  12 kB
LazyFree:              4 kB
Swap:                  8 kB
Private_Hugetlb:    2048 kB
THPeligible:           0
VmFlags: rd wr mr mw me ac
7f29b301e000-7f29b3044000 r--p 00000000 fe:00 326279                     /usr/lib/a b/libc.so.6 (deleted)
Rss:                 152 kB
7f29b376e000-7f29b3771000 rw-p 00000000 00:00 0 
Rss:                   8 kB
VmFlags: rd wr nr dd
7f0000000000-7f0000001000 rw-p 00000000 00:00 0                          [anon:glibc: malloc]
nonsense
";
        let [heap, libc, anonymous, named] = &parse(text)[..] else { panic!("four mappings") };
        assert_eq!((heap.start, heap.end), (0x5645_025a_e000, 0x5645_025c_f000));
        assert_eq!((heap.rss, heap.pss, heap.lazy_free, heap.swap), (24 << 10, 12 << 10, 4 << 10, 8 << 10));
        assert_eq!(heap.hugetlb, 2 << 20);
        assert!(heap.is_anonymous() && heap.is_writable() && heap.has("ac") && !heap.has("nr"));
        assert_eq!((libc.inode, libc.file_name()), (326_279, "libc.so.6"));
        assert!(!libc.is_anonymous() && !libc.is_writable() && !libc.is_executable());
        assert_eq!((anonymous.name.as_str(), anonymous.rss), ("", 8 << 10));
        assert!(anonymous.is_anonymous() && anonymous.has("nr") && anonymous.has("dd"));
        assert!(named.is_anonymous() && named.name == "[anon:glibc: malloc]");
    }
}
