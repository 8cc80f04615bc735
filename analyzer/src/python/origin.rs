//! Whose code a Python file is, told by its path: the user's own, an installed package's, the standard library's.

/// Whose code a file is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Origin {
    /// None of the others.
    Own,
    /// A package in `site-packages` or `dist-packages`.
    Installed,
    /// The standard library, also frozen into the interpreter.
    Standard,
}

/// Whose code the file of this name (`co_filename`) is, and which package: the top-level one of what is installed and of
/// the standard library, the directory of the user's own file.
pub fn of(file: &str) -> (Origin, &str) {
    if let Some(name) = file.strip_prefix("<frozen ").and_then(|name| name.strip_suffix('>')) {
        return (Origin::Standard, name.split('.').next().unwrap_or(name));
    }
    if let Some(inside) = behind(file, &["site-packages", "dist-packages"]) {
        return (Origin::Installed, top(inside));
    }
    if let Some(inside) = behind_standard_library(file) {
        return (Origin::Standard, top(inside));
    }
    let directory = file.rsplit_once('/').map_or("", |(directory, _)| directory);
    (Origin::Own, if directory.is_empty() { file } else { directory })
}

/// A path within its library: behind `site-packages/` or `lib/python3.11/`; `None`: it is in none.
pub fn inside(file: &str) -> Option<&str> {
    behind(file, &["site-packages", "dist-packages"]).or_else(|| behind_standard_library(file))
}

/// The rest of a path behind the last directory of one of these names.
fn behind<'a>(path: &'a str, names: &[&str]) -> Option<&'a str> {
    let mut found = None;
    let mut at = 0;
    for part in path.split('/') {
        at += part.len() + 1;
        if names.contains(&part) {
            found = path.get(at..);
        }
    }
    found.filter(|rest| !rest.is_empty())
}

/// The rest of a path behind `lib/python3.11/` or `lib/python311.zip/`.
fn behind_standard_library(path: &str) -> Option<&str> {
    let mut before = "";
    let mut at = 0;
    for part in path.split('/') {
        at += part.len() + 1;
        if matches!(before, "lib" | "lib64") && is_library(part) {
            return path.get(at..).filter(|rest| !rest.is_empty());
        }
        before = part;
    }
    None
}

/// `python3.11`, `python3.13t`, `python311.zip`.
fn is_library(directory: &str) -> bool {
    let Some(version) = directory.strip_prefix("python") else { return false };
    let version = version.strip_suffix(".zip").unwrap_or(version);
    let version = version.strip_suffix(['t', 'd']).unwrap_or(version);
    version.starts_with('3') && version.chars().all(|c| c.is_ascii_digit() || c == '.')
}

/// The top-level package or module of a path inside a library.
fn top(inside: &str) -> &str {
    let mut parts = inside.split('/');
    let first = parts.next().unwrap_or(inside);
    let first = if first.ends_with(".egg") { parts.next().unwrap_or(first) } else { first };
    first.strip_suffix(".py").or(first.strip_suffix(".pyc")).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_whose_code_it_is() {
        use Origin::{Installed, Own, Standard};
        for (file, expected) in [
            ("/usr/lib/python3.11/json/decoder.py", (Standard, "json")),
            ("/opt/py/lib/python3.8/functools.py", (Standard, "functools")),
            ("/opt/py/lib/python312.zip/json/decoder.pyc", (Standard, "json")),
            ("/opt/py/lib/python3.13t/json/decoder.py", (Standard, "json")),
            ("<frozen importlib._bootstrap_external>", (Standard, "importlib")),
            ("/app/venv/lib/python3.11/site-packages/flask/app.py", (Installed, "flask")),
            ("/usr/lib/python3/dist-packages/six.py", (Installed, "six")),
            ("/x/lib/python3.8/site-packages/a-1.0-py3.8.egg/a/b.py", (Installed, "a")),
            ("/x/site-packages/pkg/vendor/site-packages/inner/b.py", (Installed, "inner")),
            ("/app/shop/views.py", (Own, "/app/shop")),
            ("/app/lib/python/views.py", (Own, "/app/lib/python")),
            ("/app/python3.11/views.py", (Own, "/app/python3.11")),
            ("app.py", (Own, "app.py")),
            ("/app.py", (Own, "/app.py")),
            ("<string>", (Own, "<string>")),
            ("/a/site-packages", (Own, "/a")),
            ("", (Own, "")),
        ] {
            assert_eq!(of(file), expected, "{file}");
        }
    }
}
