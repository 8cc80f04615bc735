//! Python in recordings: line tables against the interpreters themselves.
mod lines;
