//! Makes demangled C++ names read as those of binutils and LLVM.
//!
//! `cpp_demangle` leaves the commas around empty parameter packs (`std::make_unique<T, >(&&)`), writes numbers as
//! casts (`(unsigned int)8`), and has words of its own for thunks. People search for the usual spelling.

/// An empty parameter pack, and what remains without it. A lone `&` or `&&` is the reference to one.
const EMPTY_PACKS: [(&str, &str); 10] = [
    (", &&, ", ", "),
    (", &&)", ")"),
    ("(&&)", "()"),
    ("(&&, ", "("),
    (", , ", ", "),
    (", >", ">"),
    (", )", ")"),
    ("(, ", "("),
    ("<, ", "<"),
    (", &)", ")"),
];

/// Types whose numbers have a suffix.
const SUFFIXES: [(&str, &str); 5] = [
    ("(unsigned int)", "u"),
    ("(unsigned long)", "ul"),
    ("(long)", "l"),
    ("(unsigned long long)", "ull"),
    ("(long long)", "ll"),
];

/// The usual spelling of a name.
pub fn usual(name: String) -> String {
    let mut name = thunk(name);
    // Packs may be nested or adjacent; each replacement shortens the name.
    while let Some((from, to)) = EMPTY_PACKS.iter().find(|(from, _)| name.contains(from)) {
        name = name.replace(from, to);
    }
    for (cast, suffix) in SUFFIXES {
        if name.contains(cast) {
            name = numbers(&name, cast, suffix);
        }
    }
    name
}

fn thunk(name: String) -> String {
    let inner = name.strip_prefix("{virtual override thunk({").and_then(|rest| rest.strip_suffix(")}"));
    let Some((offset, function)) = inner.and_then(|inner| inner.split_once("}, ")) else { return name };
    let kind = if offset.starts_with("virtual") { "virtual" } else { "non-virtual" };
    format!("{kind} thunk to {function}")
}

/// `(unsigned int)8` as `8u`; a cast of anything but digits stays.
fn numbers(name: &str, cast: &str, suffix: &str) -> String {
    let mut parts = name.split(cast);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        if digits == 0 {
            out.push_str(cast);
            out.push_str(part);
        } else {
            out.push_str(&part[..digits]);
            out.push_str(suffix);
            out.push_str(&part[digits..]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_those_of_binutils() {
        for (name, expected) in [
            ("std::make_unique<shop::Cart, >(&&)", "std::make_unique<shop::Cart>()"),
            ("f<, int>(, int, &&)", "f<int>(int)"),
            ("f<A, , , B>(A, , B)", "f<A, B>(A, B)"),
            ("V<int, (unsigned int)8>::g((unsigned long)3, (long)1)", "V<int, 8u>::g(3ul, 1l)"),
            ("f((unsigned int)x)", "f((unsigned int)x)"),
            ("f(int&&, char&&)", "f(int&&, char&&)"),
            ("{virtual override thunk({offset(-16)}, A::f(int))}", "non-virtual thunk to A::f(int)"),
            ("{virtual override thunk({virtual offset(0, -24)}, A::~A())}", "virtual thunk to A::~A()"),
        ] {
            assert_eq!(usual(name.to_owned()), expected);
        }
    }
}
