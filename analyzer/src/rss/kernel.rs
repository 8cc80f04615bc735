//! What the kernel says of a running process's memory. Nothing of the process's own memory is read, it is not traced, and it
//! goes on running.
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::pages::{Run, of_words};
use super::smaps::{self, Mapping};

/// What is known of a process at one moment.
#[derive(Default, Debug)]
pub struct Kernel {
    /// Bytes of a page.
    pub page: u64,
    /// `VmRSS`.
    pub vm_rss: u64,
    /// By address.
    pub mappings: Vec<Mapping>,
    /// Of each mapping its resident pages; `None`: not asked, or not known.
    pub pages: Vec<Option<Vec<Run>>>,
    /// An address in the stack of each thread but the first, where the C library tells the kernel of one.
    pub stacks: Vec<u64>,
    /// How many threads there are.
    pub threads: u64,
}

/// More of the page map than this is not read: of mappings of terabytes, of which little is resident.
const MOST: u64 = 512 << 20;

impl Kernel {
    /// Asks for what is known of a process by its number here.
    pub fn read(pid: u32) -> io::Result<Kernel> {
        let directory = PathBuf::from(format!("/proc/{pid}"));
        // SAFETY: takes a number and returns one.
        let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        let smaps = String::from_utf8_lossy(&fs::read(directory.join("smaps"))?).into_owned();
        let mappings = smaps::parse(&smaps);
        let map = File::open(directory.join("pagemap")).ok();
        let pages = mappings.iter().map(|mapping| {
            let asked = mapping.is_anonymous() && mapping.rss > 0;
            map.as_ref().filter(|_| asked).and_then(|map| pages(map, mapping, page).ok())
        });
        let pages = pages.collect();
        let status = fs::read_to_string(directory.join("status"))?;
        let vm_rss = status.lines().find_map(|line| smaps::kib(line.strip_prefix("VmRSS:")?)).unwrap_or(0);
        let tasks = fs::read_dir(directory.join("task")).into_iter().flatten().flatten();
        let tids = tasks.filter_map(|task| task.file_name().to_str()?.parse::<u32>().ok());
        let tids: Vec<u32> = tids.collect();
        let stacks = tids.iter().filter(|&&tid| tid != pid).filter_map(|&tid| robust_list(tid)).collect();
        Ok(Kernel { page, vm_rss, mappings, pages, stacks, threads: tids.len() as u64 })
    }
}

fn pages(map: &File, mapping: &Mapping, page: u64) -> io::Result<Vec<Run>> {
    let bytes = (mapping.end - mapping.start) / page * 8;
    if bytes > MOST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut words = vec![0; bytes as usize];
    map.read_exact_at(&mut words, mapping.start / page * 8)?;
    let words = words.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word));
    Ok(of_words(mapping.start, page, words))
}

/// The list of locks that a thread has registered. The C libraries keep it in the thread's descriptor, at the end of its
/// stack. `None`: there is none, or one may not know.
fn robust_list(tid: u32) -> Option<u64> {
    let (mut head, mut len) = (0u64, 0usize);
    // SAFETY: both places are ours, and all that the call writes to.
    let failed = unsafe { libc::syscall(libc::SYS_get_robust_list, tid, &raw mut head, &raw mut len) } != 0;
    (!failed && head != 0).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process() {
        let block = vec![1u8; 1 << 20];
        let kernel = Kernel::read(std::process::id()).expect("one may know of oneself");
        let address = block.as_ptr() as u64;
        let holds = |mapping: &&Mapping| (mapping.start..mapping.end).contains(&address);
        let mapping = kernel.mappings.iter().find(holds).expect("it is mapped");
        assert!(mapping.is_anonymous() && mapping.rss >= 1 << 20);
        let place = kernel.mappings.iter().position(|other| other == mapping).expect("it is there");
        if let Some(runs) = &kernel.pages[place] {
            let middle = address + (1 << 19);
            assert!(runs.iter().any(|run| (run.start..run.end).contains(&middle) && run.exclusive));
        }
        let sum: u64 = kernel.mappings.iter().map(|mapping| mapping.rss).sum();
        assert!(kernel.vm_rss > 1 << 20 && sum > 1 << 20 && kernel.threads > 0);
    }

    #[test]
    fn the_stacks_of_threads() {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let local = 0u8;
            ready.send(&raw const local as u64).expect("the test waits");
            let _ = ends.recv();
        });
        let on_stack = is_ready.recv().expect("the thread runs");
        let kernel = Kernel::read(std::process::id()).expect("one may know of oneself");
        drop(end);
        thread.join().expect("it ends");
        let at = |address: u64| {
            kernel.mappings.iter().position(|mapping| (mapping.start..mapping.end).contains(&address))
        };
        // musl registers no list where no such lock is used.
        if kernel.stacks.is_empty() {
            println!("skipped: the C library registers no list of locks");
            return;
        }
        assert!(kernel.stacks.iter().any(|&stack| at(stack) == at(on_stack)));
    }
}
