//! How text is drawn: its width, whether in colours, with which lines.
use super::spark::Charset;

/// What a line has where names allow it.
pub(in crate::output) const COLUMNS: usize = 80;

/// How to draw.
#[derive(Clone, Copy, Default, Debug)]
pub struct Style {
    /// With colours.
    pub colour: bool,
    /// With every frame of a deep stack.
    pub all_frames: bool,
    /// What lines are drawn with.
    pub charset: Charset,
}

impl Style {
    pub(super) fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
}
