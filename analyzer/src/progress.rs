//! Progress of long work, on standard error, only when that is a terminal. Short work shows nothing.
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// Work that ends sooner is not worth a flicker.
const PATIENCE: Duration = Duration::from_millis(300);

/// A bar that goes away when it is dropped, so that it never mixes with the output.
pub struct Progress {
    bar: ProgressBar,
    began: Instant,
    done: AtomicU64,
}

/// Progress over `total` bytes of input.
pub fn bytes(what: &'static str, total: u64) -> Progress {
    new(what, total, "{msg} {bar:30} {binary_bytes}/{binary_total_bytes} {eta}")
}

/// Progress over `total` things, such as modules.
pub fn items(what: &'static str, total: u64) -> Progress {
    new(what, total, "{msg} {bar:30} {pos}/{len}")
}

fn new(what: &'static str, total: u64, template: &str) -> Progress {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(10)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(total), target).with_message(what);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let bar = bar.with_finish(ProgressFinish::AndClear);
    Progress { bar, began: Instant::now(), done: AtomicU64::new(0) }
}

impl Progress {
    /// `more` is done.
    pub fn inc(&self, more: u64) {
        let done = self.done.fetch_add(more, Relaxed).saturating_add(more);
        if self.began.elapsed() >= PATIENCE {
            self.bar.set_position(done);
        }
    }
}
