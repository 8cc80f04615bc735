//! What a process holds besides blocks: open descriptors and anonymous mappings, as events of blocks at addresses
//! that no block has.
//!
//! Their order is total: all of them are in one shard. They are neither in the live table nor in the counts.

use crate::Address;

/// Addresses from here on are of resources.
const FIRST: u64 = 1 << KIND_SHIFT;
const KIND_SHIFT: u32 = 56;
const DESCRIPTOR: u64 = 1;
const MAPPING: u64 = 2;
/// log2 of what the addresses of mappings are multiples of.
const PAGE_SHIFT: u32 = 12;

/// Something that a process opens or maps, and closes or unmaps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Resource {
    /// An open descriptor. The size of its allocation is a [`Descriptor`].
    Descriptor(u32),
    /// Anonymous memory that begins at this address, a multiple of 4,096 below 2^60. With the stack
    /// [`crate::StackId::UNMAPPED`] the range is not mapped any more.
    Mapping(u64),
}

impl Resource {
    /// The address that its events have.
    #[inline]
    pub const fn address(self) -> Address {
        let (kind, number) = match self {
            Resource::Descriptor(number) => (DESCRIPTOR, number as u64),
            Resource::Mapping(address) => (MAPPING, address >> PAGE_SHIFT),
        };
        Address(kind << KIND_SHIFT | spread(number))
    }

    /// The resource that has this address; `None` for a block, and for a kind that this version does not know.
    #[inline]
    pub const fn of(address: Address) -> Option<Resource> {
        let number = gathered(address.0);
        match address.0 >> KIND_SHIFT {
            DESCRIPTOR => Some(Resource::Descriptor(number as u32)),
            MAPPING => Some(Resource::Mapping(number << PAGE_SHIFT)),
            _ => None,
        }
    }
}

/// Whether this is no block's address but a resource's.
#[inline(always)]
pub const fn is_resource(address: Address) -> bool {
    address.0 >= FIRST
}

/// 48 bits of a number in 56, of which bits 16 to 23 and 26 to 33 are the same: so all are in one shard.
const fn spread(number: u64) -> u64 {
    number & 0xffff
        | (number >> 16 & 0xff) << 16
        | (number >> 24 & 3) << 24
        | (number >> 16 & 0xff) << 26
        | (number >> 26 & 0x3f_ffff) << 34
}

const fn gathered(address: u64) -> u64 {
    address & 0x3ff_ffff | (address >> 34 & 0x3f_ffff) << 26
}

/// What was opened. The numbers are the format's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u64)]
pub enum Descriptor {
    /// A file, or a device.
    File = 1,
    /// A directory's entries.
    Directory = 2,
    /// A socket.
    Socket = 3,
    /// The socket of a connection that was accepted.
    Accepted = 4,
    /// An end of a pipe.
    Pipe = 5,
    /// An epoll instance.
    Epoll = 6,
    /// An eventfd.
    Event = 7,
    /// Anonymous or shared memory.
    Memory = 8,
    /// A timerfd.
    Timer = 9,
    /// A signalfd.
    Signal = 10,
    /// An inotify instance.
    Inotify = 11,
    /// Another number of what was open.
    Duplicate = 12,
    /// Sent by another process.
    Received = 13,
}

impl Descriptor {
    /// All kinds.
    pub const ALL: [Descriptor; 13] = [
        Descriptor::File,
        Descriptor::Directory,
        Descriptor::Socket,
        Descriptor::Accepted,
        Descriptor::Pipe,
        Descriptor::Epoll,
        Descriptor::Event,
        Descriptor::Memory,
        Descriptor::Timer,
        Descriptor::Signal,
        Descriptor::Inotify,
        Descriptor::Duplicate,
        Descriptor::Received,
    ];

    /// The kind with this number; `None` if this version does not know it.
    pub fn from_number(number: u64) -> Option<Descriptor> {
        Descriptor::ALL.into_iter().find(|kind| *kind as u64 == number)
    }
}
