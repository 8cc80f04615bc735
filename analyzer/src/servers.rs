//! Which functions work on requests: those of known servers, and those that the user names.
//!
//! A request begins with a call of a function that each request calls once, from beginning to end without giving way to
//! another request of its thread; it is over where the thread leaves the function that works on it. Of servers that turn
//! from one request to another within a thread (asyncio, greenlets) only the beginnings are known.
use crate::aggregate::{Frame, Kind};

/// Bits of what the frames of a stack say, by server.
pub type Mask = u64;

/// A function, by its name and the end of its file's path; a native one has no file.
struct Spot {
    function: &'static str,
    file: &'static str,
}

const fn at(function: &'static str, file: &'static str) -> Spot {
    Spot { function, file }
}

/// A kind of server.
struct Server {
    name: &'static str,
    /// Called once for each request.
    begins: &'static [Spot],
    /// Have all that a request does beneath them; none: not known.
    works: &'static [Spot],
}

const fn whole(name: &'static str, works: &'static [Spot]) -> Server {
    Server { name, begins: works, works }
}

const fn begins(name: &'static str, begins: &'static [Spot]) -> Server {
    Server { name, begins, works: &[] }
}

/// Servers before the frameworks that run in them: of several that see equally many requests the first one counts.
const SERVERS: &[Server] = &[
    Server {
        name: "gunicorn",
        begins: &[at("create", "gunicorn/http/wsgi.py")],
        works: &[
            at("handle_request", "gunicorn/workers/sync.py"),
            at("handle_request", "gunicorn/workers/gthread.py"),
        ],
    },
    whole("waitress", &[at("service", "waitress/task.py")]),
    whole("cheroot", &[at("respond", "cheroot/server.py")]),
    whole("uwsgi", &[at("uwsgi_request_wsgi", "")]),
    whole("mod_wsgi", &[at("wsgi_execute_script", "")]),
    begins("gevent", &[at("get_environ", "gevent/pywsgi.py")]),
    begins("eventlet", &[at("get_environ", "eventlet/wsgi.py")]),
    begins(
        "uvicorn",
        &[
            at("on_headers_complete", "uvicorn/protocols/http/httptools_impl.py"),
            at("Request.__init__", "h11/_events.py"),
        ],
    ),
    begins("hypercorn", &[at("_create_stream", "hypercorn/protocol/h11.py")]),
    begins("aiohttp", &[at("_make_request", "aiohttp/web_app.py")]),
    begins("tornado", &[at("find_handler", "tornado/web.py")]),
    // http.server itself, and what is built on it: werkzeug, wsgiref, Django's runserver, xmlrpc.
    Server {
        name: "http.server",
        begins: &[at("parse_request", "http/server.py")],
        works: &[
            at("handle_one_request", "http/server.py"),
            at("handle_one_request", "werkzeug/serving.py"),
            at("handle_one_request", "django/core/servers/basehttp.py"),
            at("handle", "wsgiref/simple_server.py"),
        ],
    },
    whole("celery", &[at("trace_task", "celery/app/trace.py")]),
    whole("rq", &[at("perform_job", "rq/worker.py"), at("perform_job", "rq/worker/base.py")]),
    whole("dramatiq", &[at("process_message", "dramatiq/worker.py")]),
    whole("huey", &[at("_execute", "huey/api.py")]),
    whole("flask", &[at("wsgi_app", "flask/app.py")]),
    whole("django", &[at("get_response", "django/core/handlers/base.py")]),
    whole("bottle", &[at("wsgi", "bottle.py")]),
    whole("falcon", &[at("__call__", "falcon/app.py")]),
    whole("pyramid", &[at("__call__", "pyramid/router.py")]),
];

/// Bits of [`Mask`] are of beginnings, as many above them of work.
const KINDS: usize = 32;
const _: () = assert!(SERVERS.len() <= KINDS && Mask::BITS as usize == 2 * KINDS);

/// Where requests are worked on.
#[derive(Clone, Default, Debug)]
pub struct Handlers {
    /// What the user named, in place of what is known.
    named: Vec<String>,
}

impl Handlers {
    /// These functions; none: those of known servers.
    pub fn new(named: &[String]) -> Handlers {
        Handlers { named: named.to_vec() }
    }

    /// Whether the user named them.
    pub fn are_named(&self) -> bool {
        !self.named.is_empty()
    }

    /// How many kinds there are.
    pub fn kinds(&self) -> usize {
        if self.named.is_empty() { SERVERS.len() } else { 1 }
    }

    /// What a kind is called.
    pub fn name(&self, kind: usize) -> String {
        match self.named.as_slice() {
            [] => SERVERS.get(kind).map_or("", |server| server.name).to_string(),
            named => named.join(", "),
        }
    }

    /// What a frame says.
    pub fn mask(&self, frame: &Frame) -> Mask {
        if !self.named.is_empty() {
            let is_named = self.named.iter().any(|name| is_function(frame, name));
            return if is_named { 1 | 1 << KINDS } else { 0 };
        }
        let Some(function) = frame.function.as_deref() else { return 0 };
        let file = frame.file.as_deref().unwrap_or("");
        let is_one = |spots: &[Spot]| {
            spots.iter().any(|spot| match frame.kind {
                Kind::Python => {
                    !spot.file.is_empty() && is_file(file, spot.file) && calls(function, spot.function)
                }
                Kind::Native => spot.file.is_empty() && function == spot.function,
            })
        };
        let bits = SERVERS.iter().enumerate().map(|(kind, server)| {
            let begins = Mask::from(is_one(server.begins)) << kind;
            begins | Mask::from(is_one(server.works)) << (kind + KINDS)
        });
        bits.fold(0, |mask, bits| mask | bits)
    }

    /// Whether a frame works on requests of any kind.
    pub fn works(&self, frame: &Frame) -> bool {
        self.mask(frame) >> KINDS != 0
    }

    /// Bits of the kinds of which a mask says anything.
    pub fn concerned(mask: Mask) -> u32 {
        (mask | mask >> KINDS) as u32
    }

    /// Whether what a stack is beneath begins a request of this kind.
    pub fn begins(mask: Mask, kind: usize) -> bool {
        mask >> kind & 1 != 0
    }

    /// Whether it works on one.
    pub fn works_on(mask: Mask, kind: usize) -> bool {
        mask >> (kind + KINDS) & 1 != 0
    }
}

/// Whether a path ends with these components.
fn is_file(path: &str, end: &str) -> bool {
    path.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

/// Whether a function of Python, `outer.<locals>.Class.name`, has this name at its end. Before Python 3.11 only the
/// last part is recorded.
fn calls(function: &str, name: &str) -> bool {
    let is_qualified = function.contains('.');
    let name = if is_qualified { name } else { name.rsplit('.').next().unwrap_or(name) };
    ends_with(function, name, ".")
}

fn ends_with(function: &str, name: &str, between: &str) -> bool {
    function.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with(between))
}

/// Whether a user who names a function means this frame's.
fn is_function(frame: &Frame, name: &str) -> bool {
    let Some(function) = frame.function.as_deref() else { return false };
    match frame.kind {
        Kind::Python => calls(function, name),
        Kind::Native => {
            let end = if name.contains('(') {
                function.len()
            } else {
                function.find('(').unwrap_or(function.len())
            };
            let function = &function[..end];
            // A template's function is printed with the type that it returns.
            ends_with(function, name, "::") || ends_with(function, name, " ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(function: &str, file: &str) -> Frame {
        let (function, file) = (Some(function.to_string()), Some(file.to_string()));
        Frame { kind: Kind::Python, function, file, ..Frame::unknown() }
    }

    fn native(function: &str) -> Frame {
        Frame { function: Some(function.to_string()), ..Frame::unknown() }
    }

    #[test]
    fn servers_are_known_by_their_functions() {
        let handlers = Handlers::new(&[]);
        let kind = |frame: &Frame| {
            let mask = handlers.mask(frame);
            (0..handlers.kinds()).find_map(|kind| {
                match (Handlers::begins(mask, kind), Handlers::works_on(mask, kind)) {
                    (false, false) => None,
                    (begins, works) => Some((handlers.name(kind), begins, works)),
                }
            })
        };
        let site = "/venv/lib/python3.11/site-packages/";
        for (function, file, expected) in [
            ("create", "gunicorn/http/wsgi.py", Some(("gunicorn", true, false))),
            ("SyncWorker.handle_request", "gunicorn/workers/sync.py", Some(("gunicorn", false, true))),
            ("handle_request", "gunicorn/workers/sync.py", Some(("gunicorn", false, true))),
            ("Request.__init__", "h11/_events.py", Some(("uvicorn", true, false))),
            ("Data.__init__", "h11/_events.py", None),
            ("recreate", "gunicorn/http/wsgi.py", None),
            ("create", "mygunicorn/http/wsgi.py", None),
        ] {
            let expected = expected.map(|(name, begins, works)| (name.to_string(), begins, works));
            assert_eq!(kind(&python(function, &format!("{site}{file}"))), expected, "{function} {file}");
        }
        assert_eq!(kind(&native("uwsgi_request_wsgi")), Some(("uwsgi".to_string(), true, true)));
        assert_eq!(kind(&native("create")), None);
    }

    #[test]
    fn functions_are_named_with_or_without_what_they_are_in() {
        let is = |name: &str, frame: &Frame| Handlers::new(&[name.to_string()]).mask(frame) != 0;
        let order = python("Shop.order", "/app.py");
        assert!(
            is("order", &order) && is("Shop.order", &order) && !is("der", &order) && !is("X.order", &order)
        );
        assert!(is("Shop.order", &python("order", "/app.py")), "as Python 3.8 knows it");
        let serve = native("void shop::Server::serve<int>(shop::Request const&)");
        assert!(
            is("serve<int>", &serve) && is("Server::serve<int>", &serve) && !is("Request const&)", &serve)
        );
        assert!(is("handle", &native("handle")) && !is("handle", &native("shandle")));
    }
}
