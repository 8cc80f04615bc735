//! Suppressions in LeakSanitizer's syntax: stacks that are not to be spoken of, by their frames.
//!
//! A line is `leak:PATTERN`, or `#` and a comment. A pattern is looked for in each frame's module, function and source
//! file (of Python code too): anywhere in it, `*` standing for anything, `^` and `$` for its ends. What stands behind a `$`
//! does not count. A stack is credited to the pattern that matches its innermost matching frame, and of several to
//! the first one of the file. All this is LeakSanitizer's, but that `a$` is found in `a-a` too.
use crate::aggregate::Frame;

/// What is not to be spoken of.
#[derive(Clone, Default, Debug)]
pub struct Suppressions {
    all: Vec<Suppression>,
}

/// A line of a suppression file.
#[derive(Clone, Debug)]
pub struct Suppression {
    /// What stands behind `leak:`.
    pub pattern: String,
    /// `FILE:LINE`.
    pub place: String,
    parts: Vec<String>,
    is_begin: bool,
    is_end: bool,
}

/// A line that is no suppression.
#[derive(PartialEq, Eq, Debug)]
pub struct BadLine {
    /// `FILE:LINE`.
    pub place: String,
    /// What stands there.
    pub text: String,
}

impl Suppressions {
    /// Adds what a file of this name says.
    pub fn add(&mut self, file: &str, text: &str) -> Result<(), BadLine> {
        for (index, line) in text.lines().enumerate() {
            let (place, line) = (format!("{file}:{}", index + 1), line.trim());
            match line.strip_prefix("leak:") {
                Some(pattern) => self.all.push(Suppression::new(pattern, place)),
                None if line.is_empty() || line.starts_with('#') => {}
                None => return Err(BadLine { place, text: line.to_string() }),
            }
        }
        Ok(())
    }

    /// All, in the order in which they were added.
    pub fn all(&self) -> &[Suppression] {
        &self.all
    }

    /// The one that a frame matches, as a place in [`Suppressions::all`].
    pub fn of(&self, frame: &Frame) -> Option<usize> {
        let texts = [frame.module.as_deref(), frame.function.as_deref(), frame.file.as_deref()];
        let first = |text: &str| self.all.iter().position(|suppression| suppression.matches(text));
        texts.into_iter().flatten().find_map(first)
    }
}

impl Suppression {
    fn new(pattern: &str, place: String) -> Suppression {
        let (begun, rest) = match pattern.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        let (rest, is_end) = rest.split_once('$').map_or((rest, false), |(rest, _)| (rest, true));
        let parts = rest.split('*').map(str::to_string).collect();
        Suppression { pattern: pattern.to_string(), place, parts, is_begin: begun, is_end }
    }

    fn matches(&self, text: &str) -> bool {
        let mut rest = text;
        for (index, part) in self.parts.iter().enumerate() {
            let is_first = index == 0;
            let is_last = index + 1 == self.parts.len();
            rest = match (is_first && self.is_begin, is_last && self.is_end) {
                (true, true) => return !part.is_empty() && rest == part,
                // An end and nothing before it is no pattern.
                (false, true) => return rest.ends_with(part.as_str()) && !(is_first && part.is_empty()),
                (true, false) => match rest.strip_prefix(part.as_str()) {
                    Some(rest) => rest,
                    None => return false,
                },
                (false, false) => match rest.split_once(part.as_str()) {
                    Some((_, rest)) => rest,
                    None => return false,
                },
            };
        }
        !text.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Suppression::new(pattern, String::new()).matches(text)
    }

    #[test]
    fn patterns() {
        for (pattern, text) in [
            ("session", "session_open"),
            ("^session", "session_open"),
            ("open$", "session_open"),
            ("open$ and what stands behind", "session_open"),
            ("^session_open$", "session_open"),
            ("s*_o*n", "session_open"),
            ("**open*", "session_open"),
            ("^*open$", "session_open"),
            ("a*$", "banana"),
            ("na$", "banana"),
            ("an*na$", "banana"),
            (
                "std::vector<int, *>::push_back",
                "void std::vector<int, std::allocator<int> >::push_back(int&&)",
            ),
            ("é*ü", "éü"),
            ("", "anything"),
            ("*", "anything"),
            ("^", "anything"),
        ] {
            assert!(matches(pattern, text), "{pattern} in {text}");
        }
        for (pattern, text) in [
            ("^open", "session_open"),
            ("session$", "session_open"),
            ("Session", "session_open"),
            (" session", "session_open"),
            ("ses^sion", "session_open"),
            ("se?sion", "session_open"),
            ("open*session", "session_open"),
            ("^aba*ba$", "aba"),
            ("$", "anything"),
            ("^$", "anything"),
            ("", ""),
            ("*", ""),
        ] {
            assert!(!matches(pattern, text), "{pattern} not in {text}");
        }
    }

    #[test]
    fn files_have_comments_and_lines_of_one_kind() {
        let mut all = Suppressions::default();
        all.add("a", "# of ours\n\n  leak:one  \nleak:two\r\n").expect("a good file");
        all.add("b", "leak:three").expect("without a line's end");
        let told: Vec<_> = all.all().iter().map(|one| format!("{} {}", one.place, one.pattern)).collect();
        assert_eq!(told, ["a:3 one", "a:4 two", "b:1 three"]);
        let bad = all.add("c", "leak:four\nrace:five\n").expect_err("a race is none");
        assert_eq!(bad, BadLine { place: "c:2".to_string(), text: "race:five".to_string() });
    }

    #[test]
    fn a_frame_is_looked_at_by_module_then_function_then_file() {
        let mut all = Suppressions::default();
        all.add("s", "leak:shop.c\nleak:take\nleak:libshop").expect("a good file");
        let frame = Frame {
            function: Some("take".into()),
            file: Some("/src/shop.c".into()),
            module: Some("/opt/libshop.so".into()),
            ..Frame::unknown()
        };
        assert_eq!(all.of(&frame), Some(2));
        assert_eq!(all.of(&Frame { module: None, ..frame.clone() }), Some(1));
        assert_eq!(all.of(&Frame { module: None, function: None, ..frame }), Some(0));
        assert_eq!(all.of(&Frame::unknown()), None);
    }
}
