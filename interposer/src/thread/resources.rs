//! Events of descriptors and mappings: as those of blocks, but in no live table and no count.

use super::{Thread, enter, enter_allocation};
use crate::stack::Caller;
use recording::StackId;
use recording::resource::Resource;

impl Thread {
    /// Something was opened for `caller`, that of a hook.
    pub fn opened(self, resource: Resource, size: u64, caller: Caller) {
        self.acquired(resource, size, Some(caller), caller.sp as usize - 8, false);
    }

    /// Something is about to be closed. `sp` is the stack pointer at the hook's first instruction.
    pub fn closing(self, resource: Resource, sp: usize) {
        let _ = self.released(resource, sp, false);
    }

    /// A range of addresses is about to be unmapped. If that fails, [`Thread::not_moved`] is to be told.
    pub fn unmapping(self, resource: Resource, size: u64, sp: usize) {
        self.acquired(resource, size, None, sp, false);
    }

    /// A mapping is about to be moved or resized; whether that is recorded. If so, [`Thread::moved`] or
    /// [`Thread::not_moved`] is to be told.
    pub fn moving_mapping(self, resource: Resource, sp: usize) -> bool {
        self.released(resource, sp, true)
    }

    /// It is there now.
    pub fn moved(self, resource: Resource, size: u64, caller: Caller) {
        self.acquired(resource, size, Some(caller), caller.sp as usize - 8, true);
    }

    /// It was neither unmapped nor moved.
    #[cold]
    pub fn not_moved(self, resource: Resource, sp: usize) {
        let Some(entered) = enter(self.0, sp) else { return };
        let level = &mut *entered.0;
        level.say_thread();
        if level.wiped.events.realloc_failed(resource.address()) && level.has_file() {
            level.wiped.events.applied();
        }
    }

    /// Without a caller: the range is unmapped.
    fn acquired(self, resource: Resource, size: u64, caller: Option<Caller>, sp: usize, is_moved: bool) {
        // What is unmapped may be recorded, as what is moved is.
        let also_off = is_moved || caller.is_none();
        let Some((entered, clock_ms)) = enter_allocation(self.0, sp, also_off) else { return };
        let level = &mut *entered.0;
        level.say_thread();
        let stack = caller.map_or(StackId::UNMAPPED, |caller| level.stack_of(caller));
        let is_recorded = level.wiped.events.allocated(resource.address(), size, stack, is_moved, clock_ms);
        if is_recorded && level.has_file() {
            level.wiped.events.applied();
        }
    }

    fn released(self, resource: Resource, sp: usize, is_moved: bool) -> bool {
        let Some(entered) = enter(self.0, sp) else { return false };
        let level = &mut *entered.0;
        level.say_thread();
        if !level.wiped.events.freed(resource.address(), is_moved, || 0) {
            return false;
        }
        if level.has_file() {
            level.wiped.events.applied();
        }
        true
    }
}
