//! Screens of `unfreed top` drawn from made-up snapshots, as golden files: `UNFREED_BLESS=1 cargo test -p analyzer --test top`
//! rewrites them. What keys do to the model; and lines of recordings that have ended against their reports.
mod synthetic;

use std::path::{Path, PathBuf};
use std::process::Command;

use analyzer::top::{
    Effect, Held, Key, Line, LineKind, Model, Opened, Process, Site, Snapshot, Theme, TopBy, TopSort, View,
    block, draw,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use synthetic::{Scratch, flask};

const PLAIN: Theme = Theme { colour: false, unicode: true };

/// A line that grows by `step` bytes at each of sixty readings.
fn site(key: u64, name: &str, bytes: u64, blocks: u64, step: i64) -> Site {
    let series = (0..60).map(|at| bytes.saturating_add_signed(step * (at - 59))).collect();
    Site { key, name: name.into(), held: Held { bytes, blocks }, growth: Some(60.0 * step as f64), series }
}

fn process(pid: u32, command: &str, bytes: u64, growth: f64) -> Process {
    Process {
        pid,
        command: command.to_string(),
        state: "running".to_string(),
        runs: true,
        held: Some(Held { bytes, blocks: bytes / 100 }),
        growth: Some(growth),
        resident: Some(3 * bytes),
    }
}

/// A service: what an import keeps, a cache that has filled, a leak, and what goes down.
fn snapshot() -> Snapshot {
    let sites = vec![
        site(1, "srv/shop/models.py:1 <module>", 40 << 20, 310_222, 0),
        site(2, "srv/shop/cache.py:88 Cache.put", 12 << 20, 4_096, 3),
        site(3, "srv/shop/charge.py:5 native_leak", 1_500_000, 100, 15_000),
        site(4, "srv/shop/session.py:31 Session.__init__", 700_000, 9_100, -2_000),
        site(5, "std::unordered_map<std::string, Quote>::emplace [shop_native.so]", 90_000, 12, 40),
    ];
    let gone = Process {
        pid: 4713,
        command: "gunicorn shop:app".to_string(),
        state: "became another program".to_string(),
        held: Some(Held { bytes: 900, blocks: 3 }),
        ..Process::default()
    };
    Snapshot {
        recording: "/var/lib/shop/recordings".to_string(),
        at_ns: 1_790_000_000_000_000_000,
        processes: vec![
            process(4711, "python gunicorn -w 2 shop:app", 30 << 20, 0.0),
            process(4712, "python gunicorn -w 2 shop:app", 24 << 20, 900_000.0),
            gone,
        ],
        by: TopBy::Line,
        total: site(0, "", 56_997_424, 323_530, 13_043),
        sites,
        nameless: (7, Held { bytes: 123_456, blocks: 70 }),
        window_ms: 59_000,
        age_ms: 1_200,
        disk_bytes: 34 << 20,
        lost: 0,
        has_ended: false,
    }
}

fn model() -> Model {
    let mut model = Model::new(TopBy::Line, None);
    model.update(snapshot());
    model
}

fn opened() -> Opened {
    let line =
        |kind, text: &str, place: &str| Line { kind, text: text.to_string(), place: place.to_string() };
    Opened {
        key: 3,
        name: "srv/shop/charge.py:5 native_leak".into(),
        stacks: 2,
        lines: vec![
            line(LineKind::Title, "stack 1 of 2: 1445 KiB in 96 blocks", ""),
            line(LineKind::Native, "ffi_call", "[libffi.so.8]"),
            line(
                LineKind::Native,
                "_ctypes_callproc",
                "Modules/_ctypes/callproc.c:1273  [_ctypes.cpython-312-x86_64-linux-gnu.so]",
            ),
            line(LineKind::Python, "native_leak", "srv/shop/charge.py:5"),
            line(LineKind::Python, "work", "srv/shop/charge.py:7"),
            line(LineKind::Note, "... 12 more frames", ""),
            line(LineKind::Python, "Thread._bootstrap", "lib/python3.12/threading.py:1030"),
            line(LineKind::Title, "stack 2 of 2: 20.0 KiB in 4 blocks", ""),
            line(LineKind::Python, "native_leak", "srv/shop/charge.py:5"),
        ],
    }
}

/// The screen as lines, without the spaces behind them.
fn screen(model: &mut Model, (width, height): (u16, u16), theme: Theme) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen in memory");
    terminal.draw(|frame| draw(frame, model, theme)).expect("it is drawn");
    let buffer = terminal.backend().buffer();
    let row = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_string();
    (0..height).map(|y| row(y) + "\n").collect()
}

fn press(model: &mut Model, keys: &str) {
    keys.chars().for_each(|key| _ = model.key(Key::Char(key)));
}

/// All screens by name.
fn screens() -> Vec<(&'static str, Model)> {
    let mut processes = model();
    processes.key(Key::Tab);
    let mut stacks = model();
    stacks.key(Key::Enter);
    stacks.opened(opened());
    let mut help = model();
    press(&mut help, "?");
    let mut filter = model();
    press(&mut filter, "u/SHOP/c");
    let mut ended = model();
    let last = Snapshot { has_ended: true, nameless: (0, Held::default()), lost: 12, ..snapshot() };
    ended.update(Snapshot { total: Site { growth: None, ..last.total.clone() }, ..last });
    vec![
        ("sites", model()),
        ("processes", processes),
        ("stacks", stacks),
        ("help", help),
        ("filter", filter),
        ("ended", ended),
        ("nothing", Model::new(TopBy::Line, None)),
    ]
}

fn check(name: &str, text: &str, wrong: &mut Vec<String>) {
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UNFREED_BLESS").is_some() {
        std::fs::write(&file, text).expect("a golden file");
    } else if std::fs::read_to_string(&file).unwrap_or_default() != text {
        wrong.push(format!("{}:\n{text}", file.display()));
    }
}

#[test]
fn screens_are_as_before() {
    let mut wrong = Vec::new();
    for size in [(80, 24), (200, 50)] {
        for (name, mut model) in screens() {
            let text = screen(&mut model, size, PLAIN);
            check(&format!("top-{name}-{}x{}.txt", size.0, size.1), &text, &mut wrong);
        }
    }
    let ascii = screen(&mut model(), (80, 24), Theme { unicode: false, ..PLAIN });
    assert!(ascii.is_ascii(), "{ascii}");
    let mut lines = Vec::new();
    block(&model(), 3, &mut lines).expect("memory takes it");
    check("top-lines.txt", &String::from_utf8(lines).expect("it is text"), &mut wrong);
    assert!(wrong.is_empty(), "UNFREED_BLESS=1 rewrites:\n{}", wrong.join("\n"));
}

#[test]
fn every_size_of_terminal_is_drawn() {
    for (_, mut model) in screens() {
        for (width, height) in (0..90).step_by(3).flat_map(|width| (0..12).map(move |height| (width, height)))
        {
            screen(&mut model, (width, height), PLAIN);
            model.key(Key::End);
        }
    }
}

/// The colours of the letters and what is behind them.
fn colours(theme: Theme) -> Vec<Color> {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a screen in memory");
    terminal.draw(|frame| draw(frame, &mut model(), theme)).expect("it is drawn");
    let cells = terminal.backend().buffer().content();
    cells.iter().flat_map(|cell| [cell.fg, cell.bg]).filter(|&colour| colour != Color::Reset).collect()
}

#[test]
fn without_colours_there_are_none() {
    assert!(colours(PLAIN).is_empty());
    assert!(colours(Theme { colour: true, ..PLAIN }).contains(&Color::Red), "what grows");
}

fn names(model: &Model) -> Vec<u64> {
    model.sites().iter().map(|site| site.key).collect()
}

#[test]
fn keys_sort_and_group() {
    let mut model = model();
    assert_eq!(names(&model), [3, 5, 2, 1, 4], "what grows most");
    press(&mut model, "u");
    assert_eq!(names(&model), [1, 2, 3, 4, 5]);
    press(&mut model, "n");
    assert_eq!(names(&model), [1, 4, 2, 3, 5]);
    press(&mut model, "g");
    assert_eq!(names(&model), [3, 5, 2, 1, 4]);
    for (key, by) in [('f', TopBy::Function), ('s', TopBy::Stack), ('m', TopBy::Module), ('l', TopBy::Line)] {
        assert_eq!((model.key(Key::Char(key)), model.by), (Effect::By(by), by));
    }
    model.update(Snapshot { has_ended: true, ..snapshot() });
    assert_eq!(model.sort(), TopSort::Growth, "it was chosen");
    let mut ended = Model::new(TopBy::Line, None);
    ended.update(Snapshot { has_ended: true, ..snapshot() });
    assert_eq!(ended.sort(), TopSort::Unfreed);
}

#[test]
fn the_cursor_stays_on_its_site() {
    let mut model = model();
    let cursor = |model: &Model| model.cursor(&model.sites());
    assert_eq!(cursor(&model), None);
    screen(&mut model, (80, 24), PLAIN);
    model.key(Key::Down);
    assert_eq!(cursor(&model), Some(0));
    model.key(Key::Down);
    model.key(Key::Down);
    assert_eq!(cursor(&model), Some(2), "site 2");
    press(&mut model, "u");
    assert_eq!(cursor(&model), Some(1), "site 2 still");
    assert_eq!(model.key(Key::Enter), Effect::Open(2));
    assert_eq!(model.view, View::Stacks(2, None));
    model.opened(opened());
    assert_eq!(model.view, View::Stacks(2, None), "what was asked for before");
    model.key(Key::Escape);
    assert_eq!((&model.view, cursor(&model)), (&View::Sites, Some(1)));
    for (key, row) in [(Key::End, 4), (Key::PageUp, 0), (Key::Up, 0), (Key::PageDown, 4), (Key::Home, 0)] {
        model.key(key);
        assert_eq!(cursor(&model), Some(row), "{key:?}");
    }
    model.update(Snapshot { sites: Vec::new(), ..snapshot() });
    assert_eq!((cursor(&model), model.key(Key::Enter)), (None, Effect::None), "it is gone");
}

#[test]
fn a_small_screen_follows_the_cursor() {
    let mut model = model();
    for row in 0..5 {
        model.key(Key::Down);
        let shown = screen(&mut model, (80, 5), PLAIN);
        let name = model.sites()[row].name.to_string();
        let name = name.rsplit('/').next().unwrap_or_default();
        assert!(shown.contains(&name[..10]), "row {row}: {shown}");
    }
}

#[test]
fn a_filter_selects_by_text_in_any_case() {
    let mut model = model();
    press(&mut model, "/SESS");
    assert!(model.is_typing);
    assert_eq!(names(&model), [4]);
    model.key(Key::Backspace);
    press(&mut model, "q");
    assert_eq!((names(&model), model.filter.as_str()), (vec![], "SESq"), "keys are text");
    model.key(Key::Backspace);
    assert_eq!(model.key(Key::Enter), Effect::None);
    assert!(!model.is_typing && names(&model) == [4]);
    model.key(Key::Tab);
    assert!(model.processes().is_empty(), "it is for processes too");
    model.key(Key::Escape);
    assert_eq!(model.processes().len(), 3);
    assert_eq!(model.key(Key::Char('q')), Effect::Quit);
}

#[test]
fn what_is_paused_stands_still() {
    let mut model = model();
    press(&mut model, "p");
    let later = Snapshot { lost: 5, ..snapshot() };
    model.update(later.clone());
    assert_eq!(model.snapshot.lost, 0);
    press(&mut model, "p");
    assert_eq!(model.snapshot.lost, 5, "the latest");
    press(&mut model, " ");
    model.update(Snapshot { by: TopBy::Module, ..later });
    assert_eq!(model.snapshot.by, TopBy::Module, "what was asked for is shown");
    for view in ["", "?", "/x"] {
        press(&mut model, view);
        assert_eq!(model.key(Key::Interrupt), Effect::Quit);
    }
}

fn unfreed(scratch: &Scratch, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unfreed"));
    let output = command.args(arguments).current_dir(&scratch.0).env("UNFREED_CACHE", "").output();
    let output = output.expect("unfreed starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn of_a_run_that_has_ended_the_lines_are_those_of_its_report() {
    let scratch = Scratch::new("top");
    std::fs::create_dir(scratch.0.join("rec")).expect("a directory");
    flask::record(&scratch.0.join("rec"), 60);
    let top = unfreed(&scratch, &["top", "rec", "-n", "100"]);
    let report = unfreed(&scratch, &["report", "rec", "--by", "stack", "-n", "0"]);
    let total = |text: &str| text.lines().find(|line| line.starts_with("unfreed ")).map(str::to_string);
    let total_of = |text: &str| total(text).map(|line| line.split(',').next().unwrap_or("").to_string());
    assert_eq!(total_of(&top), total_of(&report), "{top}\n{report}");
    assert!(top.contains("ended: what was held then"), "{top}");
    let first = top.lines().nth(4).and_then(|line| line.rsplit("  ").next()).unwrap_or("?");
    assert!(report.contains(first), "{first} in {report}");
    let twice = unfreed(&scratch, &["top", "rec", "0.1", "2"]);
    assert_eq!(twice.matches("unfreed      blocks  growth/min  line").count(), 2, "{twice}");
    for by in ["function", "stack", "module"] {
        let lines = unfreed(&scratch, &["top", "rec", "--by", by]);
        assert!(
            lines.contains(&format!("growth/min  {by}\n")) && !lines.contains("not looked up"),
            "{lines}"
        );
    }
}
