//! The tree of a run's processes, and what people call a process.
use std::path::Path;

use super::report::Process;

/// All processes, each behind its parent, with the number of its ancestors.
pub fn tree(processes: &[Process]) -> Vec<(usize, usize)> {
    let mut order = Vec::new();
    // Those to visit, the next one last.
    let mut roots = Vec::new();
    let mut children = vec![Vec::new(); processes.len()];
    for (index, process) in processes.iter().enumerate().rev() {
        match process.parent {
            Some(parent) => children[parent].push(index),
            None => roots.push((index, 0)),
        }
    }
    while let Some((index, depth)) = roots.pop() {
        order.push((index, depth));
        roots.extend(children[index].iter().map(|&child| (child, depth + 1)));
    }
    order
}

/// A command line as people say it: the program and its script without their directories.
pub fn spoken(command: &[String]) -> String {
    let short = |(at, argument): (usize, &String)| {
        let name = Path::new(argument).file_name().and_then(|name| name.to_str());
        match (at, name) {
            (0 | 1, Some(name)) if !argument.starts_with('-') => name.to_string(),
            _ => argument.clone(),
        }
    };
    let spoken: Vec<String> = command.iter().enumerate().map(short).collect();
    cut(&spoken.join(" "), LONGEST)
}

/// Characters of a spoken command line.
const LONGEST: usize = 40;

/// A text on one line of so many characters.
pub fn cut(text: &str, width: usize) -> String {
    let text = one_line(text);
    match text.chars().count() {
        count if count <= width => text,
        _ => text.chars().take(width.saturating_sub(3)).chain("...".chars()).collect(),
    }
}

/// A text without line breaks and what else a terminal takes as a command.
pub fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_short() {
        let of = |command: &str| spoken(&command.split(' ').map(str::to_string).collect::<Vec<_>>());
        assert_eq!(
            of("/opt/venv/bin/python /opt/venv/bin/gunicorn -w 2 a/b:app"),
            "python gunicorn -w 2 a/b:app"
        );
        assert_eq!(of("./server --root /var/lib"), "server --root /var/lib");
        assert_eq!(of(&"abcdefghi ".repeat(9)), "abcdefghi abcdefghi abcdefghi abcdefg...");
        assert_eq!(of("a\nb /"), "a b /");
    }
}
