//! What `unfreed` does with a recording.
