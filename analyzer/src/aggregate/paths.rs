//! Stacks as one tree over all processes: a path is a frame and the path of its caller, and each path exists once.
//!
//! Two trees in step: exact paths, with their lines, to print; and sites, which are paths of frame identities, to
//! count and to compare. A site's id is a hash of its identities, the same in every run.
use std::collections::HashMap;

use recording::EndReason;

use super::filter::Filter;
use super::frame::{Frame, Kind};
use super::phase::{Marks, Phase};
use crate::fast_map::FastMap;
use crate::suppressions::Suppressions;

/// An exact path: an index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PathId(pub(super) u32);

impl PathId {
    /// Its place among all.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The roots are the reasons why stacks end, and one for the stacks whose frames are not in the recording.
const ROOTS: u32 = 8;
const DAMAGED: u32 = ROOTS - 1;

/// No frame.
const NONE: u32 = u32::MAX;

struct PathNode {
    parent: u32,
    frame: u32,
    site: u32,
    /// The innermost Python frame, or [`NONE`].
    python: u32,
    matches: (bool, bool),
    /// Which suppression its innermost suppressed frame matches, or [`NONE`].
    suppression: u32,
    marks: Marks,
}

/// What is known of a frame wherever it is.
#[derive(Clone, Copy)]
struct FrameFacts {
    identity: u32,
    matches: (bool, bool),
    suppression: u32,
    marks: Marks,
    /// The lowest address of its code that is on a stack, as in its file.
    address: Option<u64>,
}

/// All paths.
pub struct Paths {
    frames: Vec<Frame>,
    frame_index: HashMap<Frame, u32>,
    frame_facts: Vec<FrameFacts>,
    identity_index: HashMap<String, (u32, u64)>,
    identity_hashes: Vec<u64>,
    paths: Vec<PathNode>,
    path_index: FastMap<(u32, u32), u32>,
    site_index: FastMap<(u32, u32), u32>,
    site_hashes: Vec<u64>,
    filter: Filter,
}

impl Paths {
    /// The roots alone.
    pub fn new(filter: Filter) -> Paths {
        let root = |site| PathNode {
            parent: NONE,
            frame: NONE,
            site,
            python: NONE,
            matches: (false, false),
            suppression: NONE,
            marks: Marks::default(),
        };
        Paths {
            frames: Vec::new(),
            frame_index: HashMap::new(),
            frame_facts: Vec::new(),
            identity_index: HashMap::new(),
            identity_hashes: Vec::new(),
            paths: (0..ROOTS).map(root).collect(),
            path_index: FastMap::default(),
            site_index: FastMap::default(),
            site_hashes: (0..ROOTS).map(|root| hash(0, &root.to_le_bytes())).collect(),
            filter,
        }
    }

    /// The path without frames that ends for this reason; `None`: the recording does not hold the frames.
    pub fn root(&self, end: Option<EndReason>) -> PathId {
        PathId(end.map_or(DAMAGED, |reason| (reason as u32).min(DAMAGED)))
    }

    /// The index of a frame.
    pub fn frame(&mut self, frame: Frame) -> u32 {
        let frame = frame.on_a_line();
        if let Some(&index) = self.frame_index.get(&frame) {
            return index;
        }
        let index = self.frames.len() as u32;
        let identity = frame.identity();
        let hashed = hash(0, identity.as_bytes());
        let fresh = self.identity_index.len() as u32;
        let (identity, _) = *self.identity_index.entry(identity).or_insert((fresh, hashed));
        if identity == fresh {
            self.identity_hashes.push(hashed);
        }
        let suppression = self.filter.suppressions.of(&frame).map_or(NONE, |at| at as u32);
        let (matches, marks) = (self.filter.matches(&frame), Marks::of(&frame));
        self.frame_facts.push(FrameFacts { identity, matches, suppression, marks, address: None });
        self.frames.push(frame.clone());
        self.frame_index.insert(frame, index);
        index
    }

    /// The index of a frame of machine code, which is at this address of its file, and may be at others.
    pub fn frame_of_code(&mut self, frame: Frame, address: u64) -> u32 {
        let index = self.frame(frame);
        let known = &mut self.frame_facts[index as usize].address;
        *known = Some(known.map_or(address, |known| known.min(address)));
        index
    }

    /// An address in the file of the frame's module that is of this frame; of Python code there is none.
    pub fn address_of(&self, frame: u32) -> Option<u64> {
        self.frame_facts[frame as usize].address
    }

    /// The path of `frame`, called from `parent`.
    pub fn extend(&mut self, parent: PathId, frame: u32) -> PathId {
        if let Some(&path) = self.path_index.get(&(parent.0, frame)) {
            return PathId(path);
        }
        let FrameFacts { identity, matches, suppression, marks, .. } = self.frame_facts[frame as usize];
        let above = &self.paths[parent.0 as usize];
        let matches = (above.matches.0 | matches.0, above.matches.1 | matches.1);
        let marks = above.marks.and(marks);
        let suppression = if suppression == NONE { above.suppression } else { suppression };
        let python = if self.frames[frame as usize].kind == Kind::Python { frame } else { above.python };
        let above = above.site;
        let fresh = self.site_hashes.len() as u32;
        let site = *self.site_index.entry((above, identity)).or_insert(fresh);
        if site == fresh {
            let (above, identity) =
                (self.site_hashes[above as usize], self.identity_hashes[identity as usize]);
            self.site_hashes.push(hash(above, &identity.to_le_bytes()));
        }
        let path = self.paths.len() as u32;
        self.paths.push(PathNode { parent: parent.0, frame, site, python, matches, suppression, marks });
        self.path_index.insert((parent.0, frame), path);
        PathId(path)
    }

    /// The frames of a path, innermost first.
    pub fn frames(&self, path: PathId) -> impl Iterator<Item = &Frame> {
        self.frame_numbers(path).map(|frame| &self.frames[frame as usize])
    }

    /// The same as indices.
    pub fn frame_numbers(&self, path: PathId) -> impl Iterator<Item = u32> {
        let mut at = path.0;
        std::iter::from_fn(move || {
            let node = &self.paths[at as usize];
            at = node.parent;
            (node.parent != NONE).then_some(node.frame)
        })
    }

    /// The innermost Python frame of a path.
    pub fn python_frame(&self, path: PathId) -> Option<u32> {
        let frame = self.paths[path.0 as usize].python;
        (frame != NONE).then_some(frame)
    }

    /// How many paths there are, the roots included.
    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    /// Of a path by its index: its caller's index, which is a lower one, and its innermost frame; `None` of a root.
    pub(super) fn link(&self, index: usize) -> Option<(usize, u32)> {
        let node = self.paths.get(index)?;
        (node.parent != NONE).then_some((node.parent as usize, node.frame))
    }

    /// What each path's frames say together, from its outermost frame inwards, by the path's index.
    pub(crate) fn fold<T: Copy>(&self, nothing: T, add: impl Fn(T, u32) -> T) -> Vec<T> {
        let mut said = Vec::with_capacity(self.paths.len());
        for node in &self.paths {
            said.push(match node.parent {
                NONE => nothing,
                parent => add(said[parent as usize], node.frame),
            });
        }
        said
    }

    /// All frames, by index.
    pub fn all_frames(&self) -> &[Frame] {
        &self.frames
    }

    /// A frame by its index.
    pub fn frame_at(&self, frame: u32) -> &Frame {
        &self.frames[frame as usize]
    }

    /// Why the stack has no more frames; `None` if it is whole.
    pub fn incomplete(&self, path: PathId) -> Option<&'static str> {
        let mut at = path.0;
        while at >= ROOTS {
            at = self.paths[at as usize].parent;
        }
        Some(match EndReason::from_id(recording::StackId(at)) {
            Some(EndReason::Complete) => return None,
            Some(EndReason::TooDeep) => "deeper than 1,024 frames",
            Some(EndReason::NoUnwindInfo) => "code without unwind information",
            Some(EndReason::BadFrame) => "a frame that cannot be",
            Some(EndReason::Unsupported) => "unwind information of an unknown kind",
            Some(EndReason::OutsideStack) => "outside the mapped stack",
            Some(EndReason::NotCaptured) => "no stack was taken",
            None => "its frames are not in the recording",
        })
    }

    /// The site of a path.
    pub fn site(&self, path: PathId) -> u32 {
        self.paths[path.0 as usize].site
    }

    /// The hash of a site.
    pub fn site_hash(&self, site: u32) -> u64 {
        self.site_hashes[site as usize]
    }

    /// What its frames say of its phase.
    pub(super) fn marks(&self, path: PathId) -> Marks {
        self.paths[path.0 as usize].marks
    }

    /// The suppression that its stacks match, by its place among all.
    pub fn suppression(&self, path: PathId) -> Option<usize> {
        let suppression = self.paths[path.0 as usize].suppression;
        (suppression != NONE).then_some(suppression as usize)
    }

    /// The suppressions of the filter.
    pub fn suppressions(&self) -> &Suppressions {
        &self.filter.suppressions
    }

    /// Whether the filter lets the stacks of this path through.
    pub fn shown(&self, path: PathId, phase: Option<Phase>) -> bool {
        self.filter.keeps(self.paths[path.0 as usize].matches, phase)
    }
}

/// FNV-1a with a final mix: stable for ever, since ids are kept in baselines and bug reports.
pub(crate) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut hash = seed ^ 0xcbf2_9ce4_8422_2325;
    for &byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}
