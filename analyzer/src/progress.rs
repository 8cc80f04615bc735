//! Progress of long work, on standard error, only when that is a terminal.
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over `total` bytes of input; hidden in a pipe. It shows after the first 100 ms or so and is removed when
/// the work ends or fails, so that it never mixes with the output.
pub fn bytes(what: &'static str, total: u64) -> ProgressBar {
    bar(what, total, "{msg} {bar:30} {binary_bytes}/{binary_total_bytes} {eta}")
}

/// A bar over `total` things, such as modules.
pub fn items(what: &'static str, total: u64) -> ProgressBar {
    bar(what, total, "{msg} {bar:30} {pos}/{len}")
}

fn bar(what: &'static str, total: u64, template: &str) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(10)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(total), target).with_message(what);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let bar = bar.with_finish(indicatif::ProgressFinish::AndClear);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
