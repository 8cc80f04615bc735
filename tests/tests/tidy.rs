//! What holds for every file of the project and no compiler checks. Each rule lists all that break it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Longer files hide what they are about.
const MOST_LINES: usize = 700;
/// Folders that hold what was built, fetched or recorded.
const NOT_SOURCE: [&str; 10] =
    ["target", ".git", ".demo", ".bench", ".leaks", ".soak", "corpus", "artifacts", "__pycache__", ".venv"];
/// Extensions of what people write here; files without one are scripts.
const WRITTEN: [&str; 10] = ["rs", "py", "c", "cpp", "h", "md", "sh", "toml", "yml", ""];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member lies in the workspace").to_owned()
}

fn files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project is read") {
            let entry = entry.expect("an entry is read");
            let name = entry.file_name();
            let kind = entry.file_type().expect("an entry has a type");
            if NOT_SOURCE.iter().any(|&skipped| name == skipped) {
                continue;
            } else if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    assert!(found.len() > 20, "the project's files are found");
    found
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or("")
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails with all of `broken`, one on a line, relative to the root.
fn none(rule: &str, broken: &[String]) {
    let root = format!("{}/", root().display());
    let list = broken.iter().map(|line| format!("\n  {}", line.replace(&root, ""))).collect::<String>();
    assert!(broken.is_empty(), "{rule}:{list}");
}

#[test]
fn every_rust_file_opens_with_its_contract() {
    let broken: Vec<String> = files()
        .iter()
        .filter(|path| extension(path) == "rs" && !text(path).starts_with("//!"))
        .map(|path| path.display().to_string())
        .collect();
    none("these do not begin with //! lines that say what the file is for", &broken);
}

#[test]
fn no_file_is_long() {
    let broken: Vec<String> = files()
        .iter()
        .filter(|path| {
            WRITTEN.contains(&extension(path)) && fs::read(path).is_ok_and(|b| str::from_utf8(&b).is_ok())
        })
        .filter(|path| path.file_name().is_some_and(|name| name != "LICENSE-APACHE"))
        .map(|path| (path, text(path).lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    none(&format!("these have more than {MOST_LINES} lines"), &broken);
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    // In two pieces, so that this file holds none of them.
    let forbidden =
        [["/wo", "rk/"], ["/ro", "ot/"], ["../sha", "red/"], ["/tmp/", "b/"]].map(|parts| parts.concat());
    let mut broken = Vec::new();
    for path in files() {
        let bytes = fs::read(&path).expect("a file of the project is read");
        for word in &forbidden {
            if let Some(at) = bytes.windows(word.len()).position(|window| window == word.as_bytes()) {
                let line = bytes[..at].iter().filter(|&&byte| byte == b'\n').count() + 1;
                broken.push(format!("{}:{line}: {word}", path.display()));
            }
        }
    }
    none("these hold a path of somebody's machine", &broken);
}

#[test]
fn scripts_can_be_run() {
    let scripts = ["scripts", ".ci"].map(|folder| root().join(folder));
    let broken: Vec<String> = files()
        .iter()
        .filter(|path| {
            scripts.iter().any(|folder| path.parent() == Some(folder)) && extension(path).is_empty()
        })
        .filter(|path| {
            let mode = fs::metadata(path).expect("a script has metadata").permissions().mode();
            mode & 0o111 != 0o111 || !text(path).starts_with("#!")
        })
        .map(|path| path.display().to_string())
        .collect();
    none("these are not executable or do not begin with #!", &broken);
}

#[test]
fn tests_that_are_named_exist() {
    let folder = root().join("tests");
    let document = text(&folder.join("README.md"));
    let rows = document.lines().filter(|line| line.starts_with("| "));
    let named = rows.flat_map(|line| line.split('`').skip(1).step_by(2));
    // A path of the file system is no test.
    let named: Vec<&str> = named.filter(|name| !name.contains(['/', ' ', '.']) && *name != "main").collect();
    assert!(named.len() > 40, "{} names are found", named.len());
    let exists = |name: &str| {
        let (file, test) = name.split_once("::").unwrap_or((name, ""));
        let path = folder.join("tests").join(file).with_extension("rs");
        path.exists() && (test.is_empty() || text(&path).contains(&format!("\nfn {test}() {{")))
    };
    let broken: Vec<String> =
        named.iter().filter(|name| !exists(name)).map(|name| (*name).to_owned()).collect();
    none("tests/README.md names these, which are not there", &broken);
}

/// What a heading is linked by: small letters, digits and hyphens.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(path: &Path) -> BTreeSet<String> {
    let headings = |line: &str| line.starts_with('#').then(|| anchor(line.trim_start_matches('#')));
    text(path).lines().filter_map(headings).collect()
}

/// The targets of a document's links, outside fenced blocks.
fn links(document: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in document.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        if !fenced {
            found.extend(line.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
        }
    }
    found
}

#[test]
fn no_link_is_dead() {
    let mut broken = Vec::new();
    for path in files().iter().filter(|path| extension(path) == "md") {
        let document = text(path);
        for link in links(&document) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            let alive = target.exists()
                && (fragment.is_empty() || extension(&target) != "md" || anchors(&target).contains(fragment));
            if !alive {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    none("these links lead nowhere", &broken);
}

/// `const NAME: TYPE = VALUE;` lines of a source, with values that are plain numbers.
fn constants(source: &str) -> Vec<(String, Option<u64>)> {
    let constant = |line: &str| {
        let line = line.trim_start().strip_prefix("pub ").or(line.strip_prefix("pub(crate) "))?;
        let (name, rest) = line.strip_prefix("const ")?.split_once(": ")?;
        let value = rest.split_once("= ")?.1.split(';').next()?;
        let value = match value.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(&digits.replace('_', ""), 16).ok(),
            None => value.parse().ok(),
        };
        Some((name.to_owned(), value))
    };
    source.lines().filter_map(constant).filter(|(name, _)| *name == name.to_uppercase()).collect()
}

#[test]
fn the_format_document_knows_every_tag_and_place() {
    let recording = root().join("recording");
    let document = text(&recording.join("FORMAT.md"));
    let tags = constants(&text(&recording.join("src/record.rs")));
    let places = constants(&text(&recording.join("src/layout.rs")));
    assert!(
        tags.len() > 20 && places.len() > 25,
        "{} tags and {} places are found",
        tags.len(),
        places.len()
    );
    let mut broken = Vec::new();
    for (name, value) in tags {
        let value = value.unwrap_or(0);
        // As the value of a row or behind a name; marks are said in words.
        let rows = [format!("| {value:02X} | `{name}` |"), format!("| {value} | `{name}` |")];
        let words = [format!("`{name}` 0x{value:02X}"), format!("{value} (`{name}`)")];
        let not_a_tag = ["EXIT", "EPOCH", "FIXED", "MAX", "SIZE"].contains(&name.as_str());
        if value > 0 && !not_a_tag {
            let said = rows.iter().chain(&words).any(|text| document.contains(text));
            broken.extend((!said).then(|| format!("{name}: none of {rows:?} and {words:?}")));
        }
    }
    for (name, value) in places {
        let said = document.contains(&format!("`{name}`"));
        let row = value.filter(|_| document.contains(&format!(" | `{name}` | ")));
        let right = row.is_none_or(|at| {
            document.lines().any(|line| {
                line.starts_with(&format!("| {at} | ")) && line.contains(&format!("| `{name}` |"))
            })
        });
        if !(said && right) && name != "VERSION" && name != "LOST_KINDS" {
            broken.push(format!("{name} at {value:?}"));
        }
    }
    none("FORMAT.md does not say these as the source does", &broken);
}
