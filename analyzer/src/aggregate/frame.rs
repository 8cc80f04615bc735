//! A frame as people read it, and what makes it the same frame in another run or build.
use std::path::Path;

use super::family::one_line;
use crate::python::origin::{self, Origin};

/// Language of a frame.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Machine code.
    Native,
    /// Python code.
    Python,
}

/// A frame of a stack. What is not known is `None`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Frame {
    /// Language.
    pub kind: Kind,
    /// Function, demangled.
    pub function: Option<String>,
    /// Source file.
    pub file: Option<String>,
    /// Line in it.
    pub line: Option<u32>,
    /// Path of the program or library; `None` for Python code.
    pub module: Option<String>,
    /// Machine code of a Python interpreter: `module` has an evaluation loop.
    pub interpreter: bool,
    /// Address in the file of `module`, where there is no function.
    pub offset: Option<u64>,
    /// Inlined into the frame that follows.
    pub inlined: bool,
    /// Why function or line is not known.
    pub reason: Option<String>,
}

impl Frame {
    /// The same without line breaks and what else a terminal takes as a command: names are what a program says they are.
    pub fn on_a_line(mut self) -> Frame {
        for text in
            [&mut self.function, &mut self.file, &mut self.module, &mut self.reason].into_iter().flatten()
        {
            if text.contains(char::is_control) {
                *text = one_line(text);
            }
        }
        self
    }

    /// A frame of which nothing is known yet.
    pub fn unknown() -> Frame {
        Frame {
            kind: Kind::Native,
            function: None,
            file: None,
            line: None,
            module: None,
            interpreter: false,
            offset: None,
            inlined: false,
            reason: None,
        }
    }

    /// File name of the module.
    pub fn module_name(&self) -> Option<&str> {
        let path = self.module.as_deref()?;
        Path::new(path).file_name().and_then(|name| name.to_str()).or(Some(path))
    }

    /// Of a Python frame: whose code it is, and its package.
    pub fn origin(&self) -> Option<(Origin, &str)> {
        (self.kind == Kind::Python).then(|| origin::of(self.file.as_deref().unwrap_or("")))
    }

    /// What to call it: the function, else `module+0xoffset`, else `?`.
    pub fn label(&self) -> String {
        match (&self.function, self.module_name(), self.offset) {
            (Some(function), ..) => function.clone(),
            (None, Some(module), Some(offset)) => format!("{module}+{offset:#x}"),
            (None, Some(module), None) => module.to_string(),
            (None, None, _) => "?".to_string(),
        }
    }

    /// `file:line`, as far as it is known.
    pub fn place(&self) -> Option<String> {
        let file = self.file.as_deref()?;
        Some(match self.line {
            Some(line) => format!("{file}:{line}"),
            None => file.to_string(),
        })
    }

    /// What stays the same in another process, at another load address and, where a symbol is known, in another
    /// build: module and function; Python: file, function and line.
    pub fn identity(&self) -> String {
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        match self.kind {
            Kind::Python => {
                format!("p\0{}\0{}\0{}", part(&self.file), part(&self.function), self.line.unwrap_or(0))
            }
            Kind::Native => format!("n\0{}\0{}", self.module_name().unwrap_or(""), self.label()),
        }
    }

    /// Whether it only hands an allocation on: `malloc`, `operator new` and their kin. The site is then its caller.
    pub fn is_allocator(&self) -> bool {
        if self.kind == Kind::Python {
            return false;
        }
        if self.module_name() == Some("libunfreed.so") {
            return true;
        }
        let Some(function) = self.function.as_deref() else { return false };
        if ALLOCATOR_PREFIXES.iter().any(|prefix| function.starts_with(prefix)) {
            return true;
        }
        let name = function.split(['(', '@']).next().unwrap_or(function);
        let name = name.strip_prefix("__libc_").or(name.strip_prefix("__GI_")).unwrap_or(name);
        ALLOCATORS.contains(&name.trim_start_matches('_'))
    }

    /// Code of the standard library of C++ or Rust, compiled into a program or not. The user's code has called it.
    pub fn is_standard_library(&self) -> bool {
        let file = self.file.as_deref().unwrap_or("");
        let module = self.module_name().unwrap_or("");
        self.kind == Kind::Native
            && (STANDARD_DIRECTORIES.iter().any(|directory| file.contains(directory))
                || STANDARD_LIBRARIES.iter().any(|library| module.starts_with(library))
                || self.function.as_deref().is_some_and(is_of_std))
    }

    /// A library in the directories of the system, which the user has not written.
    pub fn is_system_library(&self) -> bool {
        let module = self.module.as_deref().unwrap_or("");
        let directory =
            ["/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/"].iter().any(|at| module.starts_with(at));
        let name = self.module_name().unwrap_or("");
        name == "libunfreed.so" || (directory && (name.ends_with(".so") || name.contains(".so.")))
    }
}

/// Whether a function is of the namespace `std` or its like: `void std::vector<int>::push_back(int)`,
/// `<alloc::vec::Vec<T> as core::clone::Clone>::clone`.
fn is_of_std(function: &str) -> bool {
    let name = match function.strip_prefix('<') {
        Some(implementor) => implementor,
        None => {
            let name = function.split(['<', '(']).next().unwrap_or(function);
            name.rsplit(' ').next().unwrap_or(name)
        }
    };
    ["std::", "__gnu_cxx::", "alloc::", "core::"].iter().any(|namespace| name.starts_with(namespace))
}

/// Where the sources of standard libraries are.
const STANDARD_DIRECTORIES: &[&str] = &["/include/c++/", "/rustc/", "/lib/rustlib/src/"];

/// Runtime libraries of C++.
const STANDARD_LIBRARIES: &[&str] = &["libstdc++.so", "libc++.so", "libc++abi.so", "libgcc_s.so"];

/// Functions that allocate for their caller, without leading underscores.
const ALLOCATORS: &[&str] = &[
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "memalign",
    "aligned_alloc",
    "posix_memalign",
    "valloc",
    "pvalloc",
    "operator new",
    "operator new[]",
    "rust_alloc",
    "rust_alloc_zeroed",
    "rust_realloc",
    "rdl_alloc",
    "rdl_alloc_zeroed",
    "rdl_realloc",
    "PyMem_Malloc",
    "PyMem_Calloc",
    "PyMem_Realloc",
    "PyMem_New",
    "PyMem_RawMalloc",
    "PyMem_RawCalloc",
    "PyMem_RawRealloc",
    "PyObject_Malloc",
    "PyObject_Calloc",
    "PyObject_Realloc",
    "PyObject_MallocWithType",
    "PyObject_ReallocWithType",
    "PyObject_New",
    "PyObject_NewVar",
    "PyObject_GC_New",
    "PyObject_GC_NewVar",
    "PyType_AllocNoTrack",
    "PyType_GenericAlloc",
    "gc_alloc",
    "pymalloc_alloc",
    "pymalloc_realloc",
];

/// The same, by how they begin: what the standard libraries of C++ and Rust put between a container and `malloc`.
const ALLOCATOR_PREFIXES: &[&str] = &[
    "std::__new_allocator<",
    "__gnu_cxx::new_allocator<",
    "std::allocator<",
    "std::allocator_traits<",
    "__gnu_cxx::__alloc_traits<",
    "alloc::alloc::",
    "<alloc::alloc::Global as ",
    "alloc::raw_vec::",
    "std::alloc::System",
    "<std::alloc::System as ",
    "std::sys::alloc::",
    "__rustc::__r",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(function: &str) -> Frame {
        Frame { function: Some(function.to_string()), ..Frame::unknown() }
    }

    #[test]
    fn allocators_are_known_by_their_name() {
        for name in [
            "malloc",
            "operator new(unsigned long)",
            "operator new[](unsigned long, std::nothrow_t const&)",
            "__libc_malloc",
            "__rust_alloc",
            "alloc::alloc::alloc",
        ] {
            assert!(of(name).is_allocator(), "{name}");
        }
        for name in
            ["xmalloc", "main", "alloc::vec::Vec<T>::push", "my::malloc", "strdup", "operator new_thing"]
        {
            assert!(!of(name).is_allocator(), "{name}");
        }
    }

    #[test]
    fn standard_libraries_are_known_by_name_file_or_module() {
        for name in [
            "std::vector<int, std::allocator<int> >::reserve(unsigned long)",
            "void std::vector<int>::_M_realloc_insert<int>(int&&)",
            "<alloc::vec::Vec<T> as core::clone::Clone>::clone",
            "std::__cxx11::basic_string<char>::_M_create(unsigned long&, unsigned long)",
        ] {
            assert!(of(name).is_standard_library(), "{name}");
        }
        for name in ["main", "shop::std::f()", "<shop::Item as core::clone::Clone>::clone", "f(std::string)"]
        {
            assert!(!of(name).is_standard_library(), "{name}");
        }
        let inlined = Frame { file: Some("/usr/include/c++/12/bits/stl_vector.h".into()), ..of("f") };
        let library = Frame { module: Some("/usr/lib/libstdc++.so.6".into()), ..of("f") };
        assert!(inlined.is_standard_library() && library.is_standard_library());
        assert!(library.is_system_library());
        let own = Frame { module: Some("/usr/lib/postgresql/15/bin/postgres".into()), ..of("f") };
        assert!(!own.is_system_library());
    }

    #[test]
    fn a_frame_without_symbol_is_named_by_its_offset() {
        let frame =
            Frame { module: Some("/usr/lib/libfoo.so.1".into()), offset: Some(0x1234), ..Frame::unknown() };
        assert_eq!(frame.label(), "libfoo.so.1+0x1234");
        assert_eq!(Frame::unknown().label(), "?");
    }
}
