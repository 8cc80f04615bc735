//! Generated recordings: what is said to be true of them is what a second reader finds, and what `unfreed` reports.

use e2e::{ProcessFile, Report, Scratch, replay};
use generate::{Plan, Site, Truth, generate};
use serde_json::Value;

fn generated(plan: &Plan) -> (Scratch, Truth) {
    let directory = Scratch::new("generated");
    let truth = generate(plan, directory.path()).expect("it is written");
    (directory, truth)
}

fn only_file(directory: &Scratch) -> ProcessFile {
    let mut files = replay::read_directory(directory.path());
    assert_eq!(files.len(), 1);
    files.remove(0)
}

fn site(value: &Value) -> Site {
    let number = |name: &str| value[name].as_u64().expect("a number");
    let frames = value["stack"].as_array().expect("a list");
    Site {
        offsets: frames.iter().map(|frame| frame["offset"].as_u64().expect("an offset")).collect(),
        blocks: number("unfreed_blocks"),
        bytes: number("unfreed_bytes"),
    }
}

/// Those with unfreed blocks, in one order.
fn unfreed(sites: impl Iterator<Item = Site>) -> Vec<Site> {
    let mut sites: Vec<Site> = sites.filter(|site| site.blocks > 0).collect();
    sites.sort_by(|one, other| one.offsets.cmp(&other.offsets));
    sites
}

#[test]
fn the_report_says_what_is_true() {
    let plan = Plan { events: 200_000, live: 5_000, stacks: 3_000, threads: 3 };
    let (directory, truth) = generated(&plan);
    assert_eq!((truth.unfreed_blocks, truth.stacks), (5_000, 3_000));
    assert!((199_999..=200_000).contains(&truth.events), "{} events", truth.events);
    for from in ["events", "table"] {
        let report =
            Report::with(directory.path(), &["--from", from, "--all-frames", "--by", "stack", "-n", "0"]);
        report.assert_sound();
        let totals =
            ["events", "allocations", "unfreed_blocks", "unfreed_bytes"].map(|name| report.total(name));
        assert_eq!(totals, [truth.events, truth.allocations, truth.unfreed_blocks, truth.unfreed_bytes]);
        let said = unfreed(report.sites().iter().map(site));
        let wrong =
            said.iter().zip(unfreed(truth.sites.clone().into_iter())).find(|(said, site)| **said != *site);
        assert_eq!((said.len(), wrong), (truth.sites.len(), None), "sites from the {from}");
    }
}

#[test]
fn a_second_reader_finds_the_same_and_nothing_impossible() {
    let (directory, truth) = generated(&Plan { events: 100_000, live: 2_000, stacks: 500, threads: 4 });
    let file = only_file(&directory);
    assert_eq!(file.impossible, Vec::<String>::new());
    assert_eq!((file.missing, file.unknown_frees, file.threads.len()), (0, 0, 4));
    assert_eq!((file.events, file.live.len() as u64), (truth.events, truth.unfreed_blocks));
    assert_eq!(file.counts, file.allocated);
    assert_eq!(file.counts.len(), truth.stacks);
    file.assert_table();
}

#[test]
fn the_same_plan_gives_the_same_bytes() {
    let plan = Plan { events: 20_000, live: 100, stacks: 100, threads: 2 };
    let [one, other] = [generated(&plan), generated(&plan)]
        .map(|(directory, _)| std::fs::read(directory.path().join("1.unfreed")).expect("it is there"));
    assert!(one == other, "two files of one plan differ");
}
