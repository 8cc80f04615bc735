//! Containers and what is missing in them: processes that all have the id 1, no /proc, other users.

use e2e::{Program, Run, artifacts, scratch::Scratch};
use recording::layout::State;

/// `unshare` with these options, or none where it cannot be used here.
fn unshare(options: &[&str]) -> Option<Program> {
    let with = |program: Program| options.iter().fold(program, |program, option| program.arg(option));
    let program = || with(Program::new("/usr/bin/unshare").arg("--map-root-user"));
    if !std::path::Path::new("/usr/bin/unshare").exists() || !program().arg("true").run().status.success() {
        println!("skipped: unshare {} is not possible here", options.join(" "));
        return None;
    }
    Some(program())
}

/// This program by way of `around`, recorded into `directory`; what leads to it is not.
fn recorded_inside(around: &Program, inner: &[&str], directory: &std::path::Path) -> Program {
    let environment = [
        format!("LD_PRELOAD={}", artifacts::library().display()),
        format!("UNFREED_DIR={}", directory.display()),
    ];
    let words = ["/usr/bin/env"].into_iter().chain(environment.iter().map(String::as_str));
    words.chain(inner.iter().copied()).fold(around.clone(), Program::arg)
}

fn path_of(target: &str) -> String {
    e2e::Target::new(&format!("c/{target}.c")).build().display().to_string()
}

#[test]
fn every_process_has_the_id_1() {
    let Some(container) = unshare(&["--pid", "--fork", "--mount-proc"]) else { return };
    let (directory, path) = (Scratch::new("containers"), path_of("forks"));
    let plain = Program::new(&path).arg("fork").run();
    for _ in 0..3 {
        let outcome = recorded_inside(&container, &[&path, "fork"], directory.path()).run();
        assert_eq!(outcome.stdout_text(), plain.stdout_text(), "{}", outcome.stderr_text());
    }
    let files = e2e::replay::read_directory(directory.path());
    let ended: Vec<_> = files.iter().filter(|file| file.header.pid == 1).collect();
    assert_eq!(ended.len(), 3, "first processes of containers");
    for file in &ended {
        assert_ne!(file.header.pid_namespace, 0);
        assert_eq!(file.header.state, Some(State::Ended));
    }
    let report = e2e::Report::of(directory.path());
    report.assert_sound();
    assert_eq!(report.unfreed_in("leak_parent").blocks, 3 * 2);
    assert_eq!(report.unfreed_in("leak_child").blocks, 3 * 5);
    // Each behind its own parent.
    let text = artifacts::unfreed_command().arg("report").arg(directory.path()).output();
    let text = String::from_utf8(text.expect("unfreed starts").stdout).expect("the report is text");
    let lines: Vec<_> = text.lines().filter(|line| line.contains("pid ")).collect();
    let indents: Vec<_> = lines.iter().map(|line| line.find("pid ")).collect();
    assert_eq!(indents, [[Some(2), Some(4)]; 3].as_flattened(), "{text}");
}

/// Modules, command line and stacks come from the process itself.
#[test]
fn no_proc() {
    let Some(container) = unshare(&["--mount"]) else { return };
    let hidden = container.arg("sh").arg("-c").arg("mount -t tmpfs none /proc && exec \"$@\"").arg("sh");
    if !hidden.clone().arg("true").run().status.success() {
        println!("skipped: /proc cannot be hidden here");
        return;
    }
    let (directory, path) = (Scratch::new("no_proc"), path_of("forks"));
    let plain = Program::new(&path).arg("fork").run();
    let outcome = recorded_inside(&hidden, &[&path, "fork"], directory.path()).run();
    assert_eq!(outcome.stdout_text(), plain.stdout_text());
    assert_eq!(outcome.status, plain.status, "{}", outcome.stderr_text());
    let report = e2e::Report::of(directory.path());
    report.assert_sound();
    assert_eq!(report.unfreed_in("leak_parent").blocks, 2);
    assert_eq!(report.unfreed_in("leak_child").blocks, 5);
    let processes = report.processes();
    assert_eq!(processes.len(), 2);
    for process in processes {
        assert_eq!(process["exe"], path.as_str(), "{process}");
        assert_eq!(process["cmdline"], serde_json::json!([path, "fork"]), "{process}");
    }
}

/// A namespace of users can be left by a process of one thread alone.
#[test]
fn namespaces_are_left_while_it_runs() {
    let program = Program::c("unshare");
    let run = Run::recorded(&program);
    assert_eq!(run.outcome.stdout_text(), program.run().stdout_text());
    run.assert_sound();
    run.assert_unfreed(&[("leak_before", 3, 30_003), ("leak_after", 4, 80_004), ("leak_child", 1, 30_001)]);
}
