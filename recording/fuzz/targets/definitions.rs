//! Any bytes as a definitions chunk: records that each take bytes, then one stop that stays; and what was read can be
//! written again and reads the same.
#![no_main]

#[path = "../../tests/packing/mod.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod packing;

use libfuzzer_sys::fuzz_target;
use recording::{Definition, DefinitionModel};

fuzz_target!(|bytes: &[u8]| {
    let (found, _, _) = packing::definitions(bytes, 65536);
    let mut model = DefinitionModel::new(65536);
    let again: Vec<u8> =
        found.iter().flat_map(|(_, definition)| packing::define(&mut model, definition)).collect();
    let (reread, _, decoded) = packing::definitions(&again, 65536);
    assert!(*decoded == model, "encoder and decoder predict alike");
    assert!(
        reread.iter().map(|(_, definition)| definition).eq(found.iter().map(|(_, definition)| definition))
    );
    for (_, definition) in &found {
        if let Definition::Module(module) = definition {
            assert_eq!(module.segments().count() * 32, module.raw_segments.len());
        }
    }
});
