//! A resource's address gives it back, is no block's, and all of them are in one shard.

use proptest::prelude::*;
use recording::resource::{Descriptor, Resource, is_resource};
use recording::{Address, shard_of};

fn comes_back(resource: Resource) {
    let address = resource.address();
    assert!(is_resource(address), "{resource:?} at {:#x}", address.0);
    assert_eq!(Resource::of(address), Some(resource));
    assert_eq!(shard_of(address), 0, "{resource:?}");
}

proptest! {
    #[test]
    fn descriptors_come_back(number in any::<u32>()) {
        comes_back(Resource::Descriptor(number));
    }

    #[test]
    fn mappings_come_back(page in 0u64..1 << 48) {
        comes_back(Resource::Mapping(page << 12));
    }

    #[test]
    fn blocks_are_no_resources(address in 0u64..1 << 56) {
        prop_assert!(!is_resource(Address(address)));
        prop_assert_eq!(Resource::of(Address(address)), None);
    }
}

#[test]
fn unknown_kinds_are_left_out() {
    for kind in 3..256u64 {
        assert!(is_resource(Address(kind << 56)));
        assert_eq!(Resource::of(Address(kind << 56)), None);
    }
}

#[test]
fn kinds_have_their_numbers() {
    for (index, kind) in Descriptor::ALL.into_iter().enumerate() {
        assert_eq!(kind as u64, index as u64 + 1);
        assert_eq!(Descriptor::from_number(kind as u64), Some(kind));
    }
    for unknown in [0, 14, u64::MAX] {
        assert_eq!(Descriptor::from_number(unknown), None);
    }
}
