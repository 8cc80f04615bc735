//! Programs at random, and what the kernel says to them.

use super::*;

/// Of the numbers that no system call has.
const CALL: u32 = 0x7ace;
const ERRNO: u32 = 0x0005_0000;

fn random(state: &mut u64) -> u32 {
    *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    (*state >> 33) as u32
}

fn instruction(code: u16, if_true: u8, if_false: u8, k: u32) -> Instruction {
    Instruction { code, if_true, if_false, k }
}

/// An instruction that the kernel accepts with `rest` more behind it.
fn any(state: &mut u64, rest: u32) -> Instruction {
    let value = random(state) >> (random(state) % 32);
    let place = random(state) % MEMORY as u32;
    // Not the address of the call, which the test does not know.
    let word = [0, 4, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60][random(state) as usize % 14];
    let (near, far) = ((random(state) % rest.min(200)) as u8, (random(state) % rest.min(200)) as u8);
    let from_x = (random(state) as u16 & 1) * FROM_X;
    match random(state) % 12 {
        0 | 1 => instruction(LD | 0x20, 0, 0, word),
        2 => instruction(LD | (random(state) as u16 & 1), 0, 0, value),
        3 => instruction([LD | 0x80, LDX | 0x80][random(state) as usize % 2], 0, 0, 0),
        4 => instruction([ST, STX][random(state) as usize % 2], 0, 0, place),
        5 => instruction([LD | 0x60, LDX | 0x60][random(state) as usize % 2], 0, 0, place),
        6 => instruction(MISC | [0, 0x80][random(state) as usize % 2], 0, 0, 0),
        7 | 8 => {
            let operation =
                [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0xa0][random(state) as usize % 10];
            match operation {
                0x60 | 0x70 => instruction(ALU | operation | from_x, 0, 0, value % 32),
                0x80 => instruction(ALU | operation, 0, 0, 0),
                _ => instruction(ALU | operation | from_x, 0, 0, value.max(1)),
            }
        }
        9 => instruction(JMP, 0, 0, random(state) % rest.min(4)),
        _ => {
            let test = [0x10, 0x20, 0x30, 0x40][random(state) as usize % 4];
            instruction(JMP | test | from_x, near % 5 % rest as u8, far % 5 % rest as u8, value)
        }
    }
}

/// A program that lets pass all calls but [`CALL`], which gets an errno that it calculates.
fn program(state: &mut u64) -> Vec<Instruction> {
    let mut program = vec![
        instruction(LD | 0x20, 0, 0, 0),
        instruction(JMP | 0x10, 1, 0, CALL),
        instruction(RET, 0, 0, Verdict::ALLOW.0),
    ];
    // The kernel wants memory to be written before it is read.
    program.extend((0..MEMORY as u32).map(|place| instruction(ST, 0, 0, place)));
    let len = 1 + random(state) % 60;
    for at in 0..len {
        program.push(any(state, len - at));
    }
    // All bits count: folded into the eleven of the errno.
    for shift in [16, 8] {
        program.push(instruction(MISC, 0, 0, 0));
        program.push(instruction(ALU | 0x70, 0, 0, shift));
        program.push(instruction(ALU | 0xa0 | FROM_X, 0, 0, 0));
    }
    program.push(instruction(ALU | 0x50, 0, 0, 0x7ff));
    program.push(instruction(ALU | 0x40, 0, 0, ERRNO));
    program.push(instruction(RET | 0x10, 0, 0, 0));
    program
}

/// In a forked child with this filter: the errno of [`CALL`], 0 if it was let through with success, or the
/// signal that ended the child plus 10,000.
fn by_the_kernel(program: &[Instruction], args: &[usize; 6]) -> i32 {
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: the child makes system calls only, and ends by one.
    unsafe {
        let mut ends = [0; 2];
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        let child = libc::fork();
        if child == 0 {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            let mut errno = -1;
            if libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter, 0, 0) == 0 {
                let [a, b, c, d, e, f] = *args;
                let result = libc::syscall(CALL.into(), a, b, c, d, e, f);
                errno = if result == 0 { 0 } else { *libc::__errno_location() };
            }
            libc::write(ends[1], (&raw const errno).cast(), 4);
            libc::_exit(0);
        }
        libc::close(ends[1]);
        let (mut errno, mut status) = (0i32, 0);
        let got = libc::read(ends[0], (&raw mut errno).cast(), 4);
        libc::close(ends[0]);
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        if got == 4 { errno } else { 10_000 + libc::WTERMSIG(status) }
    }
}

#[test]
fn the_kernel_says_the_same() {
    let mut state = 1;
    let (mut errnos, mut divided) = (std::collections::HashSet::new(), 0);
    for _ in 0..400 {
        let program = program(&mut state);
        let args = [(); 6].map(|()| (random(&mut state) as usize) << 32 | random(&mut state) as usize);
        let verdict = run(&program, &Data::new(CALL, 0, &args));
        let kernel = by_the_kernel(&program, &args);
        assert_ne!(kernel, -1, "the kernel refuses {program:x?}");
        let ours = match verdict {
            // A division by zero ends the program with this.
            Verdict::KILL_THREAD => {
                divided += 1;
                10_000 + libc::SIGSYS
            }
            Verdict(verdict) => {
                assert_eq!(verdict & 0xffff_0000, ERRNO);
                (verdict & 0xffff) as i32
            }
        };
        assert_eq!(ours, kernel, "{program:x?} of {args:x?}");
        errnos.insert(ours);
    }
    assert!(errnos.len() > 50, "{} different results are no test", errnos.len());
    assert!(divided > 0, "no program divided by zero");
}

#[test]
fn programs_that_the_kernel_refuses_have_an_end() {
    let mut state = 7;
    for _ in 0..20_000 {
        let program: Vec<_> = (0..random(&mut state) % 12)
            .map(|_| {
                let (code, k) =
                    (random(&mut state) as u16 & 0xff, random(&mut state) >> (random(&mut state) % 32));
                instruction(code, random(&mut state) as u8, random(&mut state) as u8, k)
            })
            .collect();
        run(&program, &Data::new(random(&mut state), u64::MAX, &[usize::MAX; 6]));
    }
}

#[test]
fn strict_mode_as_a_filter() {
    let of = |number: libc::c_long| run(&STRICT, &Data::new(number as u32, 0, &[0; 6]));
    for number in [libc::SYS_read, libc::SYS_write, libc::SYS_exit, libc::SYS_rt_sigreturn] {
        assert!(of(number).is_allowed(), "{number}");
    }
    for number in [libc::SYS_exit_group, libc::SYS_mmap, libc::SYS_madvise, libc::SYS_getpid] {
        assert_eq!(of(number), Verdict::KILL_THREAD, "{number}");
    }
}
