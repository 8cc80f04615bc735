//! What a pack holds of the modules on the stacks of a run.
//!
//! They are looked for where a report looks, then where a process that runs sees them (its own root, if that is another
//! one), then behind what it has mapped, which also is there when the file was removed or replaced.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::MODULES;
use super::index::{Hex, Module, Name, Problem};
use crate::reader::{Definitions, lookup_address};
use crate::symbols::{Finder, ModuleFile, Options, Packed, Part, Parts, Reason, Role};

/// The modules of all processes.
#[derive(Default)]
pub struct Modules {
    wanted: BTreeMap<(PathBuf, Vec<u8>), Wanted>,
}

#[derive(Default)]
struct Wanted {
    addresses: BTreeSet<u64>,
    /// Processes that run and have it, by their ids here, and an address in it.
    processes: BTreeMap<u32, u64>,
}

/// What was found of them.
#[derive(Default)]
pub struct Found {
    /// For the index, in the order of their paths.
    pub modules: Vec<Module>,
    /// The files, each once.
    pub files: Vec<(Name, Part)>,
    /// Modules of which there is nothing.
    pub missing: Vec<(PathBuf, Reason)>,
}

impl Modules {
    /// Adds those of one process; `running` is its id here if it runs.
    pub fn add(&mut self, definitions: &Definitions, running: Option<u32>) {
        let mut addresses = vec![Vec::new(); definitions.modules.len()];
        for node in definitions.native_nodes() {
            if let Some(module) = definitions.module_of(node) {
                let bias = definitions.modules[module].bias;
                addresses[module].push(lookup_address(node).wrapping_sub(bias));
            }
        }
        for (module, addresses) in definitions.modules.iter().zip(addresses) {
            let wanted = self.wanted.entry((module.path.clone(), module.build_id.clone())).or_default();
            wanted.addresses.extend(addresses);
            let first = module.ranges.first().map_or(0, |(start, _)| *start);
            wanted.processes.extend(running.map(|pid| (pid, first)));
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Looks for all of them.
    pub fn find(self, options: &Options, done: &dyn Fn(usize)) -> Found {
        let finder = Finder::new(options);
        let mut inside: HashMap<u32, Finder> = HashMap::new();
        let mut found = Found::default();
        let mut by_build_id: HashMap<Vec<u8>, Vec<Name>> = HashMap::new();
        for ((path, build_id), wanted) in self.wanted {
            done(1);
            let id = Hex(build_id.clone());
            if let Some(files) = by_build_id.get(&build_id).filter(|_| !build_id.is_empty()) {
                found.modules.push(Module {
                    path: Name(path),
                    build_id: id,
                    files: files.clone(),
                    problem: None,
                });
                continue;
            }
            let module = ModuleFile { path: path.clone(), build_id: build_id.clone() };
            let addresses: Vec<u64> = wanted.addresses.into_iter().collect();
            let mut parts = finder.find(&module, &addresses);
            for (pid, address) in wanted.processes {
                if !parts.files.is_empty() || parts.problem.is_none() {
                    break;
                }
                let sysroot = Some(PathBuf::from(format!("/proc/{pid}/root")));
                let finder =
                    inside.entry(pid).or_insert_with(|| Finder::new(&Options { sysroot, ..options.clone() }));
                let mut there = finder.find(&module, &addresses);
                if there.files.is_empty() {
                    there = mapped(&module, pid, address, options).find(&module, &addresses);
                }
                if !there.files.is_empty() {
                    parts = there;
                }
            }
            let Parts { files, debug, problem } = parts;
            if files.is_empty() {
                let Some(problem) = problem else { continue };
                found.missing.push((path.clone(), problem.clone()));
                let problem = Some(Problem::new(&problem));
                found.modules.push(Module { path: Name(path), build_id: id, files: Vec::new(), problem });
                continue;
            }
            let own = found.add(&module, files, debug);
            by_build_id.insert(build_id, own.clone());
            let problem = problem.as_ref().map(Problem::new);
            found.modules.push(Module { path: Name(path), build_id: id, files: own, problem });
        }
        found
    }
}

/// Finds the file that a process has mapped at an address, which may be gone from its directory or replaced.
fn mapped(module: &ModuleFile, pid: u32, address: u64, options: &Options) -> Finder {
    let map = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let covers = |line: &&str| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let number = |text| u64::from_str_radix(text, 16).ok();
        range.is_some_and(|(start, end)| number(start) <= Some(address) && Some(address) < number(end))
    };
    let range = map.lines().find(covers).and_then(|line| line.split(' ').next());
    let files =
        range.map(|range| PathBuf::from(format!("/proc/{pid}/map_files/{range}"))).into_iter().collect();
    let packed = HashMap::from([(module.clone(), Packed { files, problem: None })]);
    Finder::new(&Options { packed: Arc::new(packed), ..options.clone() })
}

impl Found {
    /// Adds the files of a module, of which the one at `debug` has debug information; returns the names of its own.
    fn add(&mut self, module: &ModuleFile, files: Vec<Part>, debug: Option<usize>) -> Vec<Name> {
        let base = match hex(&module.build_id) {
            // Known by its path.
            none if none.is_empty() => Path::new(MODULES).join("no-build-id"),
            id => Path::new(MODULES).join(id),
        };
        let mut own = Vec::new();
        let mut with_debug = None;
        for (place, part) in files.into_iter().enumerate() {
            let name = match part.role {
                // The kernel's name of a mapping is none.
                Role::Own if part.path().starts_with("/proc") => self.free(&base, &module.path),
                Role::Own | Role::Linked => self.free(&base, part.path()),
                Role::Split => self.free(&base.join("split"), part.path()),
                Role::Alternate => alternate(&part.build_id()),
                Role::Package => {
                    let mut beside: PathBuf = with_debug.clone().unwrap_or_else(|| base.join("debug"));
                    beside.as_mut_os_string().push(".dwp");
                    beside
                }
            };
            if debug == Some(place) {
                with_debug = Some(name.clone());
            }
            let name = Name(name);
            if part.role == Role::Own {
                own.push(name.clone());
            }
            if !self.has(&name) {
                self.files.push((name, part));
            }
        }
        own
    }

    fn has(&self, name: &Name) -> bool {
        self.files.iter().any(|(known, _)| known == name)
    }

    /// A path below `base` that ends in the file's name.
    fn free(&self, base: &Path, file: &Path) -> PathBuf {
        let name = file.file_name().unwrap_or_default();
        let numbered = (1..).map(|number: u32| base.join(number.to_string()).join(name));
        let mut places = std::iter::once(base.join(name)).chain(numbered);
        places.find(|place| !self.has(&Name::new(place))).unwrap_or_default()
    }
}

/// Where it is looked for by its build-id.
fn alternate(build_id: &[u8]) -> PathBuf {
    let (first, rest) = build_id.split_at(build_id.len().min(1));
    Path::new(MODULES).join(".build-id").join(hex(first)).join(format!("{}.debug", hex(rest)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
