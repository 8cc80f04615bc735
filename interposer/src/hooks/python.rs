//! What Python calls for memory once [`crate::python::allocators`] has put it in front: the functions of the MEM and
//! OBJ domains, and those that map arenas.
//!
//! Each block is recorded as the interpreter's caller asked for it. What the function behind takes from malloc
//! meanwhile is part of it, and is not recorded again.

use super::{caller, stub};
use crate::config;
use crate::python::allocators::{
    self, Allocator, ArenaAllocator, Behind, Calloc, Free, FreeArena, Malloc, Realloc,
};
use crate::python::{code, collector};
use crate::switch;
use crate::table::{Moved, Spacing};
use crate::thread::Thread;
use core::ffi::c_void;
use core::mem::{offset_of, transmute};
use core::ptr::null_mut;

stub!(unexported malloc, on_malloc, "rdx", "rcx");
stub!(unexported calloc, on_calloc, "rcx", "r8");
stub!(unexported realloc, on_realloc, "rcx", "r8");
stub!(unexported free, on_free, "rdx");
stub!(unexported free_object, on_free_object, "rdx");
stub!(unexported pass_free_object, on_pass_free_object, "rdx");
stub!(unexported alloc_arena, on_alloc_arena, "rdx", "rcx");
stub!(unexported free_arena, on_free_arena, "rcx");

type Stub = unsafe extern "C" fn();
type Domain = &'static Behind<Allocator>;
type Arenas = &'static Behind<ArenaAllocator>;

/// The hooks to put in front of the functions behind: of OBJ if `objects`, else of MEM.
pub fn allocator(behind: Domain, objects: bool) -> Allocator {
    let ctx = (&raw const *behind).cast_mut().cast();
    let (malloc, calloc, realloc, free) = if config::python_objects() {
        (malloc as Stub, calloc as Stub, realloc as Stub, if objects { free_object } else { free as Stub })
    } else {
        (pass_malloc as Stub, pass_calloc as Stub, pass_realloc as Stub, pass_free_object as Stub)
    };
    // SAFETY: the stubs' own signatures do not say what they are called with.
    unsafe {
        Allocator {
            ctx,
            malloc: transmute::<Stub, Malloc>(malloc),
            calloc: transmute::<Stub, Calloc>(calloc),
            realloc: transmute::<Stub, Realloc>(realloc),
            free: transmute::<Stub, Free>(free),
        }
    }
}

/// The hooks to put in front of what maps arenas.
pub fn arena_allocator(behind: Arenas) -> ArenaAllocator {
    let ctx = (&raw const *behind).cast_mut().cast();
    // SAFETY: as in `allocator`.
    unsafe {
        ArenaAllocator {
            ctx,
            alloc: transmute::<Stub, Malloc>(alloc_arena),
            free: transmute::<Stub, FreeArena>(free_arena),
        }
    }
}

/// Whether these are hooks of ours.
pub fn is_ours(allocator: &Allocator) -> bool {
    let malloc = allocator.malloc as usize;
    malloc == self::malloc as Stub as usize || malloc == pass_malloc as Stub as usize
}

/// Whether these are hooks of ours.
pub fn is_ours_for_arenas(allocator: &ArenaAllocator) -> bool {
    allocator.alloc as usize == alloc_arena as Stub as usize
}

/// What every hook does first; `None` where there is nothing to record.
#[inline(always)]
fn enter<T: Copy>(behind: &Behind<T>) -> Option<Thread> {
    look_at_the_end(behind);
    (!switch::is_dormant()).then(Thread::begun)
}

/// Notes when the interpreter begins to finalize.
#[inline(always)]
fn look_at_the_end<T: Copy>(behind: &Behind<T>) {
    if behind.is_finalizing() {
        allocators::finalizing();
    }
}

#[inline(always)]
fn allocate(
    domain: Domain,
    size: usize,
    sp: usize,
    bp: usize,
    real: impl FnOnce(&Allocator) -> *mut c_void,
) -> *mut c_void {
    // SAFETY: a stub gives its own stack pointer.
    let Some(thread) = enter(domain).filter(|thread| unsafe { !thread.is_inner_call(sp) }) else {
        return real(domain.functions());
    };
    let block = thread.serve(&domain.code, sp, 0, || real(domain.functions()));
    if !block.is_null() {
        let collector = Some(collector::state_for_interpreter());
        thread.allocated(block as usize, size, caller(sp, bp), Spacing::Pools, Moved::NOTHING, collector);
    }
    block
}

unsafe extern "C" fn on_malloc(domain: Domain, size: usize, sp: usize, bp: usize) -> *mut c_void {
    // SAFETY: the caller's call.
    allocate(domain, size, sp, bp, |real| unsafe { (real.malloc)(real.ctx, size) })
}

unsafe extern "C" fn on_calloc(
    domain: Domain,
    count: usize,
    size: usize,
    sp: usize,
    bp: usize,
) -> *mut c_void {
    let total = count.wrapping_mul(size);
    // SAFETY: the caller's call.
    allocate(domain, total, sp, bp, |real| unsafe { (real.calloc)(real.ctx, count, size) })
}

unsafe extern "C" fn on_realloc(
    domain: Domain,
    old: *mut c_void,
    size: usize,
    sp: usize,
    bp: usize,
) -> *mut c_void {
    // SAFETY: the caller's call.
    let real = |real: &Allocator| unsafe { (real.realloc)(real.ctx, old, size) };
    if old.is_null() {
        return allocate(domain, size, sp, bp, real);
    }
    // SAFETY: a stub gives its own stack pointer.
    let Some(thread) = enter(domain).filter(|thread| unsafe { !thread.is_inner_call(sp) }) else {
        return real(domain.functions());
    };
    let moved = thread.moving(old as usize, sp, unknown_size);
    let block = thread.serve(&domain.code, sp, old as usize, || real(domain.functions()));
    if block.is_null() {
        thread.realloc_failed(moved, sp);
    } else {
        let collector = Some(collector::state_for_interpreter());
        thread.allocated(block as usize, size, caller(sp, bp), Spacing::Pools, moved, collector);
    }
    block
}

unsafe extern "C" fn on_free(domain: Domain, block: *mut c_void, sp: usize) {
    if block.is_null() {
        return;
    }
    // SAFETY: the caller's call.
    let real = |real: &Allocator| unsafe { (real.free)(real.ctx, block) };
    // SAFETY: a stub gives its own stack pointer.
    let Some(thread) = enter(domain).filter(|thread| unsafe { !thread.is_inner_call(sp) }) else {
        return real(domain.functions());
    };
    thread.freed(block as usize, sp, collector::state_for_interpreter(), unknown_size);
    thread.serve(&domain.code, sp, block as usize, || {
        real(domain.functions());
        null_mut()
    });
}

unsafe extern "C" fn on_free_object(domain: Domain, block: *mut c_void, sp: usize) {
    if !switch::is_dormant() {
        code::freed(block as u64);
    }
    // SAFETY: the caller's call.
    unsafe { on_free(domain, block, sp) };
}

/// malloc_usable_size would read what is not malloc's.
fn unknown_size() -> usize {
    0
}

unsafe extern "C" fn on_alloc_arena(arenas: Arenas, size: usize, sp: usize, bp: usize) -> *mut c_void {
    let real = arenas.functions();
    // SAFETY: the caller's call.
    let real = || unsafe { (real.alloc)(real.ctx, size) };
    let Some(thread) = enter(arenas) else { return real() };
    let block = thread.quietly(&arenas.code, sp, real);
    if !block.is_null() {
        // SAFETY: a stub gives its own stack pointer.
        unsafe { thread.mapped(block as usize, size, caller(sp, bp)) };
    }
    block
}

unsafe extern "C" fn on_free_arena(arenas: Arenas, block: *mut c_void, size: usize, sp: usize) {
    let real = arenas.functions();
    // SAFETY: the caller's call.
    let real = || unsafe { (real.free)(real.ctx, block, size) };
    let Some(thread) = enter(arenas) else { return real() };
    thread.freed(block as usize, sp, collector::state_for_interpreter(), unknown_size);
    thread.quietly(&arenas.code, sp, real);
}

/// Where objects are not to be recorded: the call goes on to the function behind, with nothing of ours on the stack.
macro_rules! pass {
    ($($name:ident $function:ident;)*) => {
        $(
            #[unsafe(naked)]
            unsafe extern "C" fn $name() {
                core::arch::naked_asm!(
                    ".cfi_startproc",
                    "endbr64",
                    "mov rax, qword ptr [rdi + {function}]",
                    "mov rdi, qword ptr [rdi + {ctx}]",
                    "jmp rax",
                    ".cfi_endproc",
                    function = const offset_of!(Allocator, $function),
                    ctx = const offset_of!(Allocator, ctx),
                )
            }
        )*
    };
}

pass! {
    pass_malloc malloc;
    pass_calloc calloc;
    pass_realloc realloc;
}

unsafe extern "C" fn on_pass_free_object(domain: Domain, block: *mut c_void, _sp: usize) {
    look_at_the_end(domain);
    code::freed(block as u64);
    let real = domain.functions();
    // SAFETY: the caller's call.
    unsafe { (real.free)(real.ctx, block) };
}
