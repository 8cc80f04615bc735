//! Of each path: who asked for the memory, as far as it is the user's code, and what called him.
//!
//! What a server has called is named after what is beneath the function that works on a request: `main`, which has
//! started the server, has not asked for any of it.
use super::own::Own;
use super::paths::{PathId, Paths};
use crate::servers::Handlers;

const NONE: u32 = u32::MAX;

/// What is known of a path, from its outermost frame inwards.
#[derive(Clone, Copy)]
struct Caller {
    /// The innermost frame of those that are most the user's, with its rank, of a path without and with Python frames.
    innermost: [(u8, u32); 2],
    /// The outermost frame that is the user's.
    outermost: u32,
    /// Beneath the function that works on a request.
    in_request: bool,
}

const NOBODY: Caller = Caller { innermost: [(u8::MAX, NONE); 2], outermost: NONE, in_request: false };

/// The callers of all paths, found out once for each.
pub struct Callers {
    own: Own,
    handlers: Handlers,
    /// By frame: how little it is the user's, of a path without and with Python frames, and whether it works on requests.
    frames: Vec<([u8; 2], bool)>,
    paths: Vec<Caller>,
}

impl Callers {
    /// Where this is the user's code, and these functions work on requests.
    pub fn new(own: &Own, handlers: &Handlers) -> Callers {
        Callers { own: own.clone(), handlers: handlers.clone(), frames: Vec::new(), paths: Vec::new() }
    }

    /// The frame that a path is named after; `None`: it has none.
    pub fn innermost(&mut self, paths: &Paths, path: PathId) -> Option<u32> {
        let has_python = paths.python_frame(path).is_some();
        let (_, frame) = self.of(paths, path).innermost[usize::from(has_python)];
        (frame != NONE).then_some(frame)
    }

    /// The outermost frame of the user's code beneath the function that works on a request; `None`: there is no such
    /// frame, or it is not a request's work.
    pub fn outermost(&mut self, paths: &Paths, path: PathId) -> Option<u32> {
        let Caller { outermost, in_request, .. } = self.of(paths, path);
        (in_request && outermost != NONE).then_some(outermost)
    }

    fn of(&mut self, paths: &Paths, path: PathId) -> Caller {
        let frames = paths.all_frames();
        for frame in &frames[self.frames.len()..] {
            let ranks = [false, true].map(|python| self.own.rank(frame, python));
            self.frames.push((ranks, self.handlers.works(frame)));
        }
        for index in self.paths.len()..paths.len() {
            let caller = match paths.link(index) {
                None => NOBODY,
                Some((outer, frame)) => self.called(self.paths[outer], frame),
            };
            self.paths.push(caller);
        }
        self.paths[path.0 as usize]
    }

    fn called(&self, outer: Caller, frame: u32) -> Caller {
        let (ranks, works) = self.frames[frame as usize];
        let outer = if works { Caller { in_request: true, ..NOBODY } } else { outer };
        let innermost = [0, 1].map(|python| match outer.innermost[python] {
            (rank, _) if ranks[python] <= rank => (ranks[python], frame),
            further => further,
        });
        let is_own = ranks[1] == 0 || ranks[0] == 0;
        let outermost = if outer.outermost == NONE && is_own { frame } else { outer.outermost };
        Caller { innermost, outermost, in_request: outer.in_request }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{Filter, Frame, Kind};

    fn python(function: &str, file: &str) -> Frame {
        let (function, file) = (Some(function.to_string()), Some(file.to_string()));
        Frame { kind: Kind::Python, function, file, ..Frame::unknown() }
    }

    /// The functions of the innermost and of the outermost caller.
    fn callers(stack: &[Frame]) -> [Option<String>; 2] {
        let mut paths = Paths::new(Filter::default());
        let mut path = paths.root(Some(recording::EndReason::Complete));
        for frame in stack.iter().rev() {
            let frame = paths.frame(frame.clone());
            path = paths.extend(path, frame);
        }
        let mut callers = Callers::new(&Own::default(), &Handlers::default());
        let found = [callers.innermost(&paths, path), callers.outermost(&paths, path)];
        assert!(stack.is_empty() || found[0].is_some());
        found.map(|frame| frame.map(|frame| paths.frame_at(frame).label()))
    }

    #[test]
    fn a_request_is_not_asked_for_by_who_started_the_server() {
        let (view, main) = (python("view", "/app/views.py"), python("<module>", "/app/main.py"));
        let helper = python("helper", "/app/lib.py");
        let library = python("loads", "/usr/lib/python3.11/json/__init__.py");
        let flask = python("dispatch", "/x/site-packages/flask/app.py");
        let server = python("handle_one_request", "/usr/lib/python3.11/http/server.py");
        let of = |stack: &[&Frame]| callers(&stack.iter().map(|&frame| frame.clone()).collect::<Vec<_>>());
        let named = |function: &str| Some(function.to_string());
        assert_eq!(of(&[&library, &helper, &view, &flask, &server, &main]), [named("helper"), named("view")]);
        assert_eq!(of(&[&library, &flask, &server, &main]), [named("dispatch"), None]);
        assert_eq!(of(&[&library, &main]), [named("<module>"), None]);
        assert_eq!(of(&[]), [None, None]);
    }
}
