//! Symbol names as people write them.
//!
//! Compilers and linkers append parts to a name (`.cold`, `.isra.0`, `@@GLIBC_2.2.5`) that tell of an optimisation or
//! a version, not of another function: they are removed before demangling. Output is bounded, whatever the name.
use super::spelling;
use std::fmt::{self, Write};

/// Longest demangled name. Real ones of Boost and Eigen reach some ten thousand bytes; a hostile one can double its
/// length with every two bytes.
const LONGEST: usize = 64 << 10;

/// The name to show for a name of a symbol table or of DWARF.
pub fn readable(raw: &str) -> String {
    let name = plain(raw);
    demangle(name).unwrap_or_else(|| name.to_owned())
}

/// Whether a compiler made the name from more than the function's own name.
pub fn is_mangled(raw: &str) -> bool {
    raw.starts_with("_Z") || raw.starts_with("_R")
}

/// The name without symbol version and without the parts that optimisers add.
pub fn plain(raw: &str) -> &str {
    let mut name = match raw.find('@') {
        Some(at) if at > 0 => &raw[..at],
        _ => raw,
    };
    while let Some(shorter) = without_part(name) {
        name = shorter;
    }
    name
}

/// `name` without its last `.part.N`-like part.
fn without_part(name: &str) -> Option<&str> {
    let (rest, last) = name.rsplit_once('.')?;
    let shorter = if matches!(last, "cold" | "localalias") {
        rest
    } else {
        let (rest, word) = rest.rsplit_once('.')?;
        let known = match word {
            "llvm" => last.bytes().all(|b| b.is_ascii_hexdigit()),
            "cold" | "part" | "isra" | "constprop" | "lto_priv" | "localalias" | "clone" => {
                last.bytes().all(|b| b.is_ascii_digit())
            }
            _ => false,
        };
        if !known || last.is_empty() {
            return None;
        }
        rest
    };
    (!shorter.is_empty()).then_some(shorter)
}

fn demangle(name: &str) -> Option<String> {
    if !is_mangled(name) {
        return None;
    }
    let mut out = Bounded(String::new());
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return write!(out, "{rust:#}").ok().map(|()| out.0);
    }
    let symbol = cpp_demangle::Symbol::new(name.as_bytes()).ok()?;
    symbol.structured_demangle(&mut out, &Default::default()).ok().map(|()| spelling::usual(out.0))
}

/// A string that refuses to grow beyond [`LONGEST`].
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if self.0.len() + s.len() > LONGEST {
            return Err(fmt::Error);
        }
        self.0.push_str(s);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optimisers_parts_and_versions_are_removed() {
        for (raw, shown) in [
            ("malloc@@GLIBC_2.2.5", "malloc"),
            ("memcpy@GLIBC_2.14", "memcpy"),
            ("main.cold", "main"),
            ("f.isra.0.cold.1", "f"),
            ("f.constprop.12.part.3", "f"),
            ("f.llvm.9A3", "f"),
            ("main.main", "main.main"),
            ("f.part.", "f.part."),
            ("f.part.x", "f.part.x"),
            (".cold", ".cold"),
            ("@", "@"),
            ("", ""),
            ("_PyEval_EvalFrameDefault", "_PyEval_EvalFrameDefault"),
            ("_Z3fooi.cold", "foo(int)"),
            ("_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"),
            ("_RNvC6_123foo3bar", "123foo::bar"),
            ("_Znotaname", "_Znotaname"),
        ] {
            assert_eq!(readable(raw), shown, "{raw}");
        }
    }

    #[test]
    fn a_name_that_explodes_is_shown_raw() {
        // Each S_ and S0_ doubles what it refers to.
        let mut raw = String::from("_Z1fSt4pairIiiES_IS0_S0_E");
        for digit in 1..30 {
            let id = if digit < 10 { digit.to_string() } else { char::from(b'A' + digit - 10).to_string() };
            write!(raw, "S_IS{id}_S{id}_E").unwrap();
        }
        assert!(readable(&raw).len() <= LONGEST);
    }
}
