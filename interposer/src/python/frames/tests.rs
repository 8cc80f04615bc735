//! Walks over images of an interpreter's memory, of each form of frames, against a model of what they execute.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

use recording::{Address, CodeLines, CodeObject, EvalLoop, FrameKind, Interpreter, Module};

use super::*;
use crate::python::version::{self, BYTES_DATA, BYTES_LENGTH, Layout, OBJECT_TYPE, STR_LENGTH, STR_STATE};

/// The epoch of code objects is the process's.
static CODE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    CODE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A Python node: parent, code, instruction, entry.
type Node = (StackId, u32, i32, bool);

/// Keeps every node.
#[derive(Default)]
struct Nodes {
    nodes: Vec<Node>,
    ids: HashMap<Node, StackId>,
    codes: Vec<(u32, String, String, i32, Vec<u8>)>,
    /// Nodes until the next is not recorded, or the walk is left.
    until_loss: Option<usize>,
    until_panic: Option<usize>,
    asked: usize,
}

fn counts_down(counter: &mut Option<usize>) -> bool {
    let is_zero = *counter == Some(0);
    *counter = counter.and_then(|left| left.checked_sub(1));
    is_zero
}

impl crate::stack::Sink for Nodes {
    fn epoch(&mut self, _: u32) {}
    fn node(&mut self, _: StackId, _: Address, _: FrameKind, _: [u64; 2]) -> StackId {
        StackId::FIRST
    }
    fn module(&mut self, _: &Module) {}
    fn module_gone(&mut self, _: u32, _: u32) {}
}

impl Sink for Nodes {
    fn python_node(&mut self, parent: StackId, code: u32, instruction: i32, entry: bool) -> StackId {
        self.asked += 1;
        assert!(!counts_down(&mut self.until_panic), "left in the middle");
        if counts_down(&mut self.until_loss) {
            return EndReason::NotCaptured.id();
        }
        let node = (parent, code, instruction, entry);
        *self.ids.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            StackId(StackId::FIRST.0 + self.nodes.len() as u32 - 1)
        })
    }
    fn merged(&mut self, native: StackId, _: StackId) -> StackId {
        native
    }
    fn code_object(&mut self, code: &CodeObject) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let entry = (code.number, text(code.file), text(code.name), code.first_line, code.lines.to_vec());
        assert_eq!(code.interpreter, 3);
        self.codes.push(entry);
    }
    fn code_lines(&mut self, lines: &CodeLines) {
        let table = &mut self.codes.last_mut().expect("its code object came before").4;
        assert_eq!(lines.offset as usize, table.len());
        table.extend(lines.lines);
    }
    fn interpreter(&mut self, _: &Interpreter) {}
    fn eval_loop(&mut self, _: &EvalLoop) {}
}

impl Nodes {
    /// Name, instruction and entry of each frame, innermost first, and the end.
    fn stack(&self, id: StackId) -> (Vec<Shown>, EndReason) {
        let (mut id, mut frames) = (id, Vec::new());
        while id.is_frame() {
            let (parent, code, instruction, entry) = self.nodes[(id.0 - StackId::FIRST.0) as usize];
            let known = self.codes.iter().find(|known| known.0 == code);
            assert_eq!(known.is_some(), code != 0);
            frames.push((known.map_or("", |known| &known.2).to_owned(), instruction, entry));
            id = parent;
        }
        (frames, EndReason::from_id(id).expect("an end"))
    }
}

type Shown = (String, i32, bool);

/// A block of memory, with fields at offsets in bytes.
struct Block(Box<[u64]>);

impl Block {
    fn new(size: usize) -> Block {
        Block(vec![0; size.div_ceil(8)].into())
    }
    fn at(&self) -> u64 {
        self.0.as_ptr() as u64
    }
    fn set(&mut self, offset: impl Into<u64>, bytes: &[u8]) {
        let offset = offset.into() as usize;
        assert!(offset + bytes.len() <= self.0.len() * 8);
        // SAFETY: within the block.
        unsafe { self.0.as_mut_ptr().cast::<u8>().add(offset).copy_from(bytes.as_ptr(), bytes.len()) };
    }
    fn set_word(&mut self, offset: impl Into<u64>, word: u64) {
        self.set(offset, &word.to_le_bytes());
    }
}

/// What a frame of the model executes.
#[derive(Clone, Copy, Debug)]
struct Call {
    /// 0 is a shim.
    code: usize,
    instruction: i32,
    /// The first that its evaluation loop executes.
    first: bool,
    generator: bool,
    /// Which block it lies in.
    place: usize,
}

/// An interpreter's memory.
struct Image {
    layout: Layout,
    code_type: Block,
    thread: Block,
    through: Block,
    codes: Vec<Block>,
    objects: Vec<Block>,
    frames: Vec<Block>,
    /// Outermost first.
    calls: Vec<Call>,
    chain: Box<Chain>,
    nodes: Nodes,
    /// Of no other image: code of the same description is known from it.
    file: String,
}

static IMAGES: AtomicU32 = AtomicU32::new(0);

/// `_co_firsttraceable` of all code here, in bytes.
const FIRST_TRACEABLE: i32 = 6;

impl Image {
    fn new(version: u32, codes: usize) -> Image {
        let layout = version::layout(version, || None).expect("a version with constant offsets");
        let mut image = Image {
            layout,
            code_type: Block::new(8),
            thread: Block::new(512),
            through: Block::new(64),
            codes: Vec::new(),
            objects: Vec::new(),
            frames: Vec::new(),
            calls: Vec::new(),
            // SAFETY: all-zero memory is a valid chain.
            chain: unsafe { Box::new_zeroed().assume_init() },
            nodes: Nodes::default(),
            file: format!("dir/é/{}.py", IMAGES.fetch_add(1, Relaxed)),
        };
        for number in 0..=codes {
            image.add_code(&format!("name {number}"), vec![number as u8; 40]);
        }
        image
    }

    fn add_code(&mut self, name: &str, lines: Vec<u8>) {
        let (file, name) = (self.str(&self.file.clone()), self.str(name));
        let mut table = Block::new(BYTES_DATA as usize + lines.len() + 1);
        table.set_word(BYTES_LENGTH, lines.len() as u64);
        table.set(BYTES_DATA, &lines);
        let mut code = Block::new(320);
        code.set_word(OBJECT_TYPE, self.code_type.at());
        code.set_word(self.layout.file, file);
        code.set_word(self.layout.name, name);
        code.set_word(self.layout.lines, table.at());
        code.set(self.layout.first_line, &7i32.to_le_bytes());
        if self.layout.form != FrameForm::Own {
            code.set(self.layout.first_traceable, &(FIRST_TRACEABLE / 2).to_le_bytes());
        }
        self.objects.push(table);
        self.codes.push(code);
    }

    /// A `str`, in the narrowest of the forms that can hold it.
    fn str(&mut self, text: &str) -> u64 {
        let most = text.chars().map(u32::from).max().unwrap_or(0);
        let width = [0xff, 0xffff].iter().position(|end| most <= *end).map_or(4, |index| index + 1);
        let ascii = (most < 0x80) as u64;
        let data = if ascii == 1 { self.layout.ascii } else { self.layout.wide };
        let mut block = Block::new(usize::from(data) + (text.chars().count() + 1) * width);
        block.set_word(STR_LENGTH, text.chars().count() as u64);
        block.set_word(STR_STATE, ascii << 6 | 1 << 5 | (width as u64) << 2 | 1);
        for (index, character) in text.chars().enumerate() {
            let bytes = u32::from(character).to_le_bytes();
            block.set(u64::from(data) + (index * width) as u64, &bytes[..width]);
        }
        self.objects.push(block);
        self.objects.last().expect("just pushed").at()
    }

    fn push(&mut self, call: Call) {
        while self.frames.len() <= call.place {
            self.frames.push(Block::new(128));
        }
        self.calls.push(call);
        self.write(self.calls.len() - 1);
        let top = self.frames[call.place].at();
        self.set_top(top);
    }

    fn pop(&mut self) {
        self.calls.pop();
        let top = self.calls.last().map_or(0, |call| self.frames[call.place].at());
        self.set_top(top);
    }

    fn set_top(&mut self, top: u64) {
        match self.layout.through {
            Some(offset) => {
                self.through.set_word(offset, top);
                let through = self.through.at();
                self.thread.set_word(self.layout.current, through);
            }
            None => self.thread.set_word(self.layout.current, top),
        }
    }

    /// Writes the frame of call `index` as the interpreter would.
    fn write(&mut self, index: usize) {
        let call = self.calls[index];
        let previous = index.checked_sub(1).map_or(0, |outer| self.frames[self.calls[outer].place].at());
        let code = self.codes[call.code].at();
        let frame = &mut self.frames[call.place];
        frame.set_word(self.layout.previous, previous);
        frame.set_word(self.layout.code, code);
        let owner = call.generator as u8;
        match self.layout.form {
            FrameForm::Own => {
                let unit = i32::from(self.layout.unit);
                frame.set(self.layout.instruction, &call.instruction.div_euclid(unit).to_le_bytes());
            }
            form => {
                let pointer = code.wrapping_add(self.layout.bytecode.into());
                frame.set_word(self.layout.instruction, pointer.wrapping_add(call.instruction as u64));
                let owner = if call.code == 0 { 3 } else { owner };
                let state = [call.first as u8, owner];
                frame.set(self.layout.state, if form == FrameForm::Flag { &state } else { &state[1..] });
            }
        }
    }

    fn take(&mut self) -> StackId {
        let kind = Kind { interpreter: 3, code_type: self.code_type.at(), layout: &self.layout };
        let id = self.chain.stack_of(kind, false, self.thread.at(), &mut self.nodes);
        id.unwrap_or(EndReason::Complete.id())
    }

    /// What the recording should say, innermost first.
    fn expected(&self) -> (Vec<Shown>, EndReason) {
        let cut = cut_of(self.calls.len());
        let (mut shown, mut open) = (Vec::new(), false);
        for call in &self.calls[cut..] {
            let begins = match self.layout.form {
                FrameForm::Own => true,
                FrameForm::Flag => call.first,
                FrameForm::Shim => call.code == 0,
            };
            if begins && std::mem::replace(&mut open, true) {
                shown.push((String::new(), -1, true));
            }
            let is_old = self.layout.form == FrameForm::Own;
            if call.code != 0 && (is_old || call.generator || call.instruction >= FIRST_TRACEABLE) {
                let name = format!("name {}", call.code);
                shown.push((name, call.instruction.max(-1), std::mem::take(&mut open)));
            }
        }
        if open {
            shown.push((String::new(), -1, true));
        }
        shown.reverse();
        (shown, if cut == 0 { EndReason::Complete } else { EndReason::TooDeep })
    }

    fn check(&mut self) {
        let id = self.take();
        assert_eq!(self.nodes.stack(id), self.expected());
    }
}

impl Drop for Image {
    /// As Python's object allocator does: the next image may have code there.
    fn drop(&mut self) {
        self.codes.iter().for_each(|block| code::freed(block.at()));
    }
}

const VERSIONS: [u32; 4] = [0x0308_00f0, 0x030a_00f0, 0x030b_00f0, 0x030c_00f0];

/// Numbers by a linear congruence: the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % end as u64) as usize
    }

    fn call(&mut self, image: &Image) -> Call {
        let shims = image.layout.form == FrameForm::Shim;
        let code =
            if shims && (image.calls.is_empty() || self.below(4) == 0) { 0 } else { 1 + self.below(4) };
        // Frames take the places in turn, as on the interpreter's stack; some lie elsewhere.
        let place = image.calls.len() * 2 + self.below(2);
        let instruction = self.below(6) as i32 * 2 + if self.below(2) == 0 { 0 } else { FIRST_TRACEABLE };
        Call { code, instruction, first: self.below(3) == 0, generator: self.below(4) == 0, place }
    }
}

#[test]
fn a_spliced_stack_is_what_a_full_walk_gives() {
    let _alone = alone();
    for version in VERSIONS {
        let mut image = Image::new(version, 5);
        let mut random = Random(version.into());
        for round in 0..1500 {
            for _ in 0..random.below(4) {
                if image.calls.len() < 40 {
                    let call = random.call(&image);
                    image.push(call);
                }
            }
            for _ in 0..random.below(4) {
                image.pop();
            }
            if !image.calls.is_empty() && random.below(2) == 0 {
                // A frame goes on; what it called before is called again.
                let index = random.below(image.calls.len());
                image.calls[index].instruction += 2;
                image.write(index);
            }
            if round % 7 == 0 {
                image.nodes.until_loss = Some(random.below(5));
                image.take();
                image.nodes.until_loss = None;
            }
            image.check();
        }
    }
}

#[test]
fn the_same_stack_asks_for_no_node() {
    let _alone = alone();
    for version in VERSIONS {
        let mut image = Image::new(version, 5);
        for place in 0..30 {
            let code = if version >> 16 == 0x030c && place == 0 { 0 } else { 1 };
            image.push(Call { code, instruction: 10, first: place == 0, generator: false, place });
        }
        let first = image.take();
        let asked = image.nodes.asked;
        assert!(asked >= 29);
        assert_eq!((image.take(), image.nodes.asked), (first, asked));
        // Another frame on top asks for one.
        image.push(Call { code: 2, instruction: 10, first: false, generator: false, place: 30 });
        image.check();
        assert_eq!(image.nodes.asked, asked + 1);
    }
}

/// A signal handler may leave a walk for good at any instant: the kept stack must be valid all the same.
#[test]
fn an_abandoned_walk_leaves_a_valid_chain() {
    let _alone = alone();
    let mut image = Image::new(0x030c_00f0, 5);
    let mut random = Random(5);
    for round in 0..600 {
        if image.calls.len() > 20 {
            (0..15).for_each(|_| image.pop());
        }
        for _ in 0..3 {
            let call = random.call(&image);
            image.push(call);
        }
        image.nodes.until_panic = Some(round % 5);
        let _ = catch_unwind(AssertUnwindSafe(|| image.take()));
        image.nodes.until_panic = None;
        image.check();
    }
}

#[test]
fn a_deep_stack_is_cut_at_few_depths() {
    let _alone = alone();
    let mut image = Image::new(0x030b_00f0, 5);
    let at = |place: usize| Call {
        code: 1 + place % 3,
        instruction: 6 + 2 * (place % 50) as i32,
        first: place == 0,
        generator: false,
        place,
    };
    for place in 0..1000 {
        image.push(at(place));
    }
    image.check();
    for place in 1000..3000 {
        image.push(at(place));
        if place % 97 < 2 || (1020..1030).contains(&place) || (1530..1540).contains(&place) {
            image.check();
        }
    }
    image.check();
    // One more frame asks for one more node, wherever the stack is cut.
    let asked = image.nodes.asked;
    image.push(at(3000));
    image.check();
    assert!(image.nodes.asked <= asked + 1);
    while image.calls.len() > 900 {
        image.pop();
        if image.calls.len() % 100 < 2 {
            image.check();
        }
    }
    // Taken at once, without anything kept.
    for place in 900..2000 {
        image.push(at(place));
    }
    image.chain.forget();
    image.check();
}

#[test]
fn chains_that_cannot_be_end_in_a_bad_frame() {
    let _alone = alone();
    for version in VERSIONS {
        let mut image = Image::new(version, 5);
        for place in 0..6 {
            let code = if version >> 16 == 0x030c && place == 0 { 0 } else { 1 };
            image.push(Call { code, instruction: 10, first: true, generator: false, place });
        }
        image.check();
        let previous = image.layout.previous;
        for wrong in [1, 8, 1 << 47, 0xffff_8000_0000_0000, image.frames[0].at() + 4] {
            image.frames[3].set_word(previous, wrong);
            let id = image.take();
            let (frames, end) = image.nodes.stack(id);
            assert_eq!((frames.len(), end), (3, EndReason::BadFrame), "{wrong:x}");
            image.write(3);
            image.check();
        }
        // A ring has an end too, and so has a frame whose code is no code object.
        let (ring, code) = (image.frames[5].at(), image.layout.code);
        image.frames[0].set_word(previous, ring);
        let id = image.take();
        assert_eq!(image.nodes.stack(id).1, EndReason::TooDeep);
        image.write(0);
        image.chain.forget();
        for wrong in [0, 40, image.code_type.at(), image.frames[0].at()] {
            image.frames[4].set_word(code, wrong);
            let id = image.take();
            let (frames, end) = image.nodes.stack(id);
            assert_eq!((frames.len(), end), (1, EndReason::BadFrame), "{wrong:x}");
        }
        image.write(4);
        image.check();
    }
}

#[test]
fn beneath_a_signal_memory_that_cannot_be_read_ends_the_chain() {
    let _alone = alone();
    let mut image = Image::new(0x030b_00f0, 5);
    for place in 0..6 {
        image.push(Call { code: 1, instruction: 10, first: true, generator: false, place });
    }
    let take = |image: &mut Image| {
        let kind = Kind { interpreter: 3, code_type: image.code_type.at(), layout: &image.layout };
        let id = image.chain.stack_of(kind, true, image.thread.at(), &mut image.nodes);
        image.nodes.stack(id.expect("there are frames"))
    };
    assert_eq!(take(&mut image), image.expected());
    // A page that is mapped for nobody.
    let unmapped = 0x7000_0000_0000;
    image.frames[2].set_word(image.layout.previous, unmapped);
    let (frames, end) = take(&mut image);
    assert_eq!((frames.len(), end), (4, EndReason::BadFrame));
    image.set_top(unmapped);
    assert_eq!(take(&mut image), (vec![], EndReason::BadFrame));
    image.thread.set_word(image.layout.current, unmapped);
    assert_eq!(take(&mut image), (vec![], EndReason::BadFrame));
}

#[test]
fn code_at_an_address_that_was_freed_is_another() {
    let _alone = alone();
    let mut image = Image::new(0x030c_00f0, 2);
    for place in 0..3 {
        image.push(Call { code: place.min(1), instruction: 10, first: false, generator: false, place });
    }
    image.check();
    assert_eq!(image.nodes.codes.len(), 1);
    let (number, file, name, first_line, lines) = image.nodes.codes[0].clone();
    assert_eq!((file.as_str(), name.as_str(), first_line), (image.file.as_str(), "name 1", 7));
    assert_eq!(lines, [1; 40]);
    // Another name at the same address, with all words of the frames as before.
    let other = image.str("名前\u{1f600}");
    let field = image.layout.name;
    image.codes[1].set_word(field, other);
    code::freed(image.codes[1].at() + 16);
    code::freed(image.codes[1].at());
    let id = image.take();
    let second = image.nodes.codes[1].clone();
    assert_eq!(second.2, "名前\u{1f600}");
    assert!(second.0 > number);
    assert!(image.nodes.stack(id).0.iter().all(|frame| frame.0 == second.2));
}

/// As when a template is compiled for each request.
#[test]
fn code_of_the_same_description_is_the_same() {
    let _alone = alone();
    let mut image = Image::new(0x030c_00f0, 1);
    image.push(Call { code: 1, instruction: 10, first: true, generator: false, place: 0 });
    let first = image.take();
    image.add_code("name 1", vec![1; 40]);
    image.add_code("name 1", vec![2; 40]);
    image.calls[0].code = 2;
    image.write(0);
    assert_eq!((image.take(), image.nodes.codes.len()), (first, 1));
    // Another line table is another description.
    image.calls[0].code = 3;
    image.write(0);
    assert!(image.take() != first && image.nodes.codes.len() == 2);
}

#[test]
fn long_tables_come_in_parts_and_long_texts_keep_their_end() {
    let _alone = alone();
    let mut image = Image::new(0x030b_00f0, 0);
    let lines: Vec<u8> = (0..50_000u32).map(|n| n as u8).collect();
    let name = format!("{}é the end", "long ".repeat(1000));
    image.add_code(&name, lines.clone());
    image.push(Call { code: 1, instruction: 10, first: true, generator: false, place: 0 });
    image.take();
    let code = &image.nodes.codes[0];
    assert!(code.4 == lines);
    assert!(name.ends_with(&code.2) && (1000..=1024).contains(&code.2.len()));
    // Neither is a str or a bytes.
    image.add_code("", vec![]);
    let (file, table) = (image.layout.file, image.layout.lines);
    let nothing = image.objects[0].at() + 4;
    image.codes[2].set_word(file, 0);
    image.codes[2].set_word(table, nothing);
    image.calls[0].code = 2;
    image.write(0);
    image.take();
    let code = &image.nodes.codes[1];
    assert_eq!((code.1.as_str(), code.2.as_str(), code.4.len()), ("?", "", 0));
}
