//! The filter of system calls: a list of [refused](super::refused) or of [allowed](super::allowed) calls becomes a program that
//! the kernel runs before each call.
//!
//! Invariant: a call that the filter does not know is an error, never the end of the process: EPERM, or ENOSYS where the number
//! is newer than this table, so that the C library goes on as with an old kernel.

use linux_raw_sys::general::*;
use rustix::io::Errno;
use rustix::process::getpid;
use seccompiler::{BpfProgram, Error, SeccompAction, apply_filter, sock_filter};

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// The first number that this table does not know. The numbers of x32, a second way to make every call, are above it.
pub(super) const UNKNOWN: u32 = __NR_file_setattr + 1;

/// What a filter does with a call.
pub(super) struct Policy {
    /// Calls that are allowed or refused by their arguments, the most frequent first. Only for these does the kernel run the
    /// filter each time.
    pub(super) conditional: Vec<&'static Conditional>,
    /// Calls that get the verdict with any arguments.
    pub(super) listed: Vec<u32>,
    pub(super) verdict: Verdict,
    /// Calls that get ENOSYS, as from a kernel without them, so that the C library does without.
    pub(super) missing: &'static [u32],
}

/// What the listed calls get; all other calls get the opposite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allow,
    Refuse,
}

/// Calls that are allowed if every check holds, and refused otherwise. Of several entries for one call, one must hold.
pub(super) struct Conditional {
    pub(super) numbers: &'static [u32],
    pub(super) checks: &'static [Check],
}

impl Conditional {
    pub(super) const fn new(numbers: &'static [u32], checks: &'static [Check]) -> Self {
        Self { numbers, checks }
    }
}

/// A condition on one argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    argument: u32,
    /// The bits that are compared.
    mask: u32,
    /// The values that are allowed.
    values: &'static [u32],
    /// Whether the number of this process is allowed, too.
    or_own: bool,
    /// Whether the upper half must be 0. The kernel ignores it in an `int`.
    is_wide: bool,
}

impl Check {
    /// The argument, an `int` or `unsigned int`, is one of `values`.
    pub(super) const fn is(argument: u32, values: &'static [u32]) -> Self {
        Self::bits(argument, u32::MAX, values)
    }

    /// The argument is the number of this process, or one of `values`.
    pub(super) const fn is_own(argument: u32, values: &'static [u32]) -> Self {
        Self {
            or_own: true,
            ..Self::is(argument, values)
        }
    }

    /// The bits of the argument that `mask` selects are one of `values`.
    pub(super) const fn bits(argument: u32, mask: u32, values: &'static [u32]) -> Self {
        Self {
            argument,
            mask,
            values,
            or_own: false,
            is_wide: false,
        }
    }

    /// The argument, a pointer or a size, is one of `values`.
    pub(super) const fn is_wholly(argument: u32, values: &'static [u32]) -> Self {
        Self {
            is_wide: true,
            ..Self::is(argument, values)
        }
    }

    /// Appends the check to `block`; where it fails, it jumps to the end of the block.
    fn append(&self, block: &mut Vec<sock_filter>) {
        let low = ARGUMENTS_OFFSET + 8 * self.argument;
        block.push(step(LOAD, (0, 0), low));
        if self.mask != u32::MAX {
            block.push(step(AND, (0, 0), self.mask));
        }
        let own = self.or_own.then(|| getpid().as_raw_pid().unsigned_abs());
        let mut left = self.values.len() + usize::from(self.or_own);
        for value in self.values.iter().copied().chain(own) {
            left -= 1;
            let otherwise = if left == 0 { FAIL } else { 0 };
            block.push(step(IS_EQUAL, (left as u8, otherwise), value));
        }
        if self.is_wide {
            block.push(step(LOAD, (0, 0), low + 4));
            block.push(step(IS_EQUAL, (0, FAIL), 0));
        }
    }
}

/// Enforces `policy` in this thread and the threads that it starts.
pub(super) fn enforce(policy: &Policy) -> Result<(), String> {
    apply_filter(&assemble(policy)).map_err(|error| match error {
        Error::Prctl(error) | Error::Seccomp(error) => error.to_string(),
        _ => "refused".to_owned(),
    })
}

/// Returns the filter as one straight line of comparisons; the compiler of the crate would add a fiftieth to the program.
/// The kernel computes once which numbers are always allowed, so the length of the filter costs nothing.
fn assemble(policy: &Policy) -> BpfProgram {
    let unknown = returning(SeccompAction::Errno(
        Errno::NOSYS.raw_os_error().unsigned_abs(),
    ));
    let mut filter = vec![
        step(LOAD, (0, 0), ARCHITECTURE_OFFSET),
        step(IS_EQUAL, (1, 0), ARCHITECTURE),
        returning(SeccompAction::KillProcess),
        step(LOAD, (0, 0), NUMBER_OFFSET),
    ];
    for call in &policy.conditional {
        for number in call.numbers {
            filter.extend(block(*number, call.checks));
        }
    }
    for number in policy.missing {
        filter.extend([step(IS_EQUAL, (0, 1), *number), unknown.clone()]);
    }
    let (listed, others) = match policy.verdict {
        Verdict::Allow => (allow(), refuse()),
        Verdict::Refuse => (refuse(), allow()),
    };
    let conditional = policy.conditional.iter().flat_map(|call| call.numbers);
    for number in conditional {
        filter.extend([step(IS_EQUAL, (0, 1), *number), refuse()]);
    }
    for number in &policy.listed {
        filter.extend([step(IS_EQUAL, (0, 1), *number), listed.clone()]);
    }
    filter.extend([step(IS_AT_LEAST, (0, 1), UNKNOWN), unknown, others]);
    filter
}

/// Returns a block that compares the number and makes each check; where one fails, the number is loaded again for the next block.
fn block(number: u32, checks: &[Check]) -> Vec<sock_filter> {
    let mut block = vec![step(IS_EQUAL, (0, FAIL), number)];
    checks.iter().for_each(|check| check.append(&mut block));
    block.push(allow());
    let end = block.len();
    for (at, instruction) in block.iter_mut().enumerate() {
        // Blocks are far shorter than the 255 instructions that a jump can pass over.
        if instruction.jf == FAIL {
            instruction.jf = (end - at - 1) as u8;
        }
    }
    block.push(step(LOAD, (0, 0), NUMBER_OFFSET));
    block
}

/// Offsets in `struct seccomp_data`; of an argument, that of its lower half (both architectures are little-endian).
const NUMBER_OFFSET: u32 = 0;
const ARCHITECTURE_OFFSET: u32 = 4;
const ARGUMENTS_OFFSET: u32 = 16;

/// Instructions of linux/bpf_common.h.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const IS_EQUAL: u16 = 0x15;
const IS_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
/// Stands for a jump to the end of the block, until its length is known.
const FAIL: u8 = u8::MAX;

/// Returns one instruction; `skips` says how many are skipped where a comparison holds, and where it does not.
fn step(code: u16, skips: (u8, u8), k: u32) -> sock_filter {
    let (jt, jf) = skips;
    sock_filter { code, jt, jf, k }
}

fn returning(action: SeccompAction) -> sock_filter {
    step(RETURN, (0, 0), action.into())
}

fn allow() -> sock_filter {
    returning(SeccompAction::Allow)
}

fn refuse() -> sock_filter {
    returning(SeccompAction::Errno(
        Errno::PERM.raw_os_error().unsigned_abs(),
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::server::confinement) const ALLOW: u32 = 0x7fff_0000;
    const KILL: u32 = 0x8000_0000;
    pub(in crate::server::confinement) const EPERM: u32 = 0x0005_0001;
    pub(in crate::server::confinement) const ENOSYS: u32 = 0x0005_0026;

    /// Runs the filter as the kernel does.
    fn run(filter: &BpfProgram, architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let (mut accumulator, mut at) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = filter[at].clone();
            let mut jump = |holds: bool| at += usize::from(if holds { jt } else { jf });
            match (code, k) {
                (LOAD, NUMBER_OFFSET) => accumulator = number,
                (LOAD, ARCHITECTURE_OFFSET) => accumulator = architecture,
                (LOAD, _) => {
                    let argument = arguments[(k - ARGUMENTS_OFFSET) as usize / 8];
                    let shift = (k - ARGUMENTS_OFFSET) % 8 * 8;
                    accumulator = (argument >> shift) as u32;
                }
                (AND, _) => accumulator &= k,
                (IS_EQUAL, _) => jump(accumulator == k),
                (IS_AT_LEAST, _) => jump(accumulator >= k),
                (RETURN, _) => return k,
                _ => panic!("{code}"),
            }
            at += 1;
        }
    }

    /// What `policy` answers to a call.
    pub(in crate::server::confinement) fn answer(
        policy: &Policy,
        number: u32,
        arguments: [u64; 6],
    ) -> u32 {
        run(&assemble(policy), ARCHITECTURE, number, arguments)
    }

    /// Asserts that each call is answered as the table says.
    #[track_caller]
    pub(in crate::server::confinement) fn assert_answers(
        policy: &Policy,
        table: &[(u32, [u64; 6], u32)],
    ) {
        for (number, arguments, expected) in table {
            let answer = answer(policy, *number, *arguments);
            assert_eq!(answer, *expected, "{number} {arguments:?}");
        }
    }

    #[test]
    fn a_check_compares_its_argument_and_one_of_several_entries_suffices() {
        const CONDITIONAL: &[Conditional] = &[
            Conditional::new(
                &[__NR_read],
                &[Check::is(0, &[1, 2, 3]), Check::is_wholly(1, &[7])],
            ),
            Conditional::new(&[__NR_read], &[Check::bits(5, 0xf0, &[0x30])]),
        ];
        let policy = Policy {
            conditional: CONDITIONAL.iter().collect(),
            listed: vec![__NR_write],
            verdict: Verdict::Allow,
            missing: &[],
        };
        let high = 1 << 32;
        assert_answers(
            &policy,
            &[
                (__NR_read, [1, 7, 0, 0, 0, 0], ALLOW),
                (__NR_read, [3 | high, 7, 0, 0, 0, 0], ALLOW),
                (__NR_read, [4, 7, 0, 0, 0, 0], EPERM),
                (__NR_read, [1, 7 | high, 0, 0, 0, 0], EPERM),
                (__NR_read, [4, 0, 0, 0, 0, 0xff3f], ALLOW),
                (__NR_read, [4, 0, 0, 0, 0, 0xff4f], EPERM),
                (__NR_write, [u64::MAX; 6], ALLOW),
                (__NR_open_by_handle_at, [0; 6], EPERM),
            ],
        );
    }

    #[test]
    fn no_call_can_be_made_in_a_second_way() {
        for verdict in [Verdict::Allow, Verdict::Refuse] {
            let policy = Policy {
                conditional: Vec::new(),
                listed: vec![__NR_read],
                verdict,
                missing: &[__NR_clone3],
            };
            // A 32-bit program makes the call with this architecture.
            let filter = assemble(&policy);
            assert_eq!(run(&filter, 0x4000_0003, __NR_read, [0; 6]), KILL);
            for number in [UNKNOWN, 600, 0x4000_0000 | __NR_read, u32::MAX, __NR_clone3] {
                assert_eq!(answer(&policy, number, [0; 6]), ENOSYS, "{number}");
            }
        }
    }
}
