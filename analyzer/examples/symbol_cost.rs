//! What looking up symbols costs: `symbol_cost FILE [N [CACHE]]` looks up N addresses (20,000) spread over the code of an ELF file, twice,
//! the second time as they were kept in the directory CACHE, if one is named.
use std::path::PathBuf;
use std::time::Instant;

use analyzer::symbols::{ModuleFile, Options, Query, symbolize};
use object::{Object, ObjectSection};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().expect("an ELF file"));
    let count: u64 = arguments.next().map_or(20_000, |count| count.parse().expect("a number"));
    let options = Options { cache: arguments.next().map(PathBuf::from), ..Options::default() };
    let data = std::fs::read(&path).expect("readable");
    let file = object::File::parse(&*data).expect("an ELF file");
    let text = file.section_by_name(".text").expect("code");
    let addresses: Vec<u64> =
        (0..count).map(|index| text.address() + (text.size() * index) / count).collect();
    let build_id = file.build_id().ok().flatten().unwrap_or_default().to_vec();
    let query = [Query { module: ModuleFile { path, build_id }, addresses }];
    for _ in 0..2 {
        let begun = Instant::now();
        let found = symbolize(&query, &options, &|_| {});
        let frames: usize = found.iter().flatten().map(|symbolized| symbolized.frames.len()).sum();
        println!("{count} addresses, {frames} frames: {:.3} s", begun.elapsed().as_secs_f64());
    }
}
