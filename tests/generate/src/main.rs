//! Writes a generated recording, and says as JSON what is true of it.
//!
//! `cargo run --release -p generate -- DIRECTORY EVENTS LIVE STACKS [THREADS]`: so many events, unfreed blocks and distinct
//! stacks, of so many threads (4).

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use generate::{Plan, Truth, generate};

/// How many sites are said.
const SITES: usize = 20;

fn plan(numbers: &[String]) -> Option<Plan> {
    let number = |at: usize| numbers.get(at).and_then(|text| text.parse::<u64>().ok());
    let threads = if numbers.len() == 3 { 4 } else { number(3)? };
    Some(Plan {
        events: number(0)?,
        live: number(1)? as usize,
        stacks: number(2)? as usize,
        threads: threads as usize,
    })
}

fn json(truth: &Truth) -> String {
    let site = |site: &generate::Site| format!("[{},{}]", site.blocks, site.bytes);
    let largest: Vec<String> = truth.sites.iter().take(SITES).map(site).collect();
    format!(
        r#"{{"events":{},"allocations":{},"unfreed_blocks":{},"unfreed_bytes":{},"stacks":{},"sites":{},"file_bytes":{},"largest":[{}]}}"#,
        truth.events,
        truth.allocations,
        truth.unfreed_blocks,
        truth.unfreed_bytes,
        truth.stacks,
        truth.sites.len(),
        truth.file_bytes,
        largest.join(",")
    )
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let asked = arguments.split_first().and_then(|(directory, numbers)| Some((directory, plan(numbers)?)));
    let Some((directory, plan)) = asked else {
        eprintln!("generate DIRECTORY EVENTS LIVE STACKS [THREADS]");
        return ExitCode::from(2);
    };
    if let Some(objection) = plan.objection() {
        eprintln!("generate: {objection}");
        return ExitCode::from(2);
    }
    let directory = Path::new(directory);
    match fs::create_dir_all(directory).and_then(|()| generate(&plan, directory)) {
        Ok(truth) => println!("{}", json(&truth)),
        Err(error) => {
            eprintln!("generate: {}: {error}", directory.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
