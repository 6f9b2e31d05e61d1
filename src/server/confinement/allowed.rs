//! The system calls that serving makes, each group with its reason; every other call is refused.
//!
//! They were found by tracing every feature of the command, which `scripts/torture nothing-refused` does again. Some of
//! them are made by the C library: those of glibc and musl are here, on x86-64 and on AArch64.

use linux_raw_sys::general::*;
use linux_raw_sys::net::{
    IP_MINTTL, IPPROTO_IP, IPPROTO_IPV6, IPV6_MINHOPCOUNT, SHUT_WR, SO_LINGER, SOL_SOCKET, SOL_TCP,
    TCP_INFO, TCP_NODELAY,
};
use linux_raw_sys::prctl::PR_SET_NAME;

use super::system_calls::{Check, Conditional, Policy, Verdict};

/// A flag of linux/socket.h that linux_raw_sys does not have.
pub(super) const MSG_FASTOPEN: u32 = 0x2000_0000;

/// The flags that open a file for more than reading.
const WRITING: u32 = O_ACCMODE | O_CREAT | O_TRUNC | __O_TMPFILE;

/// The flags that start a thread. Those of glibc and musl differ by a flag without effect.
const THREAD: u32 = CLONE_VM
    | CLONE_FS
    | CLONE_FILES
    | CLONE_SIGHAND
    | CLONE_THREAD
    | CLONE_SYSVSEM
    | CLONE_SETTLS
    | CLONE_PARENT_SETTID
    | CLONE_CHILD_CLEARTID;

const ALLOWED: &[&[u32]] = &[
    // Waiting for events, and accepting connections.
    &[__NR_epoll_pwait, __NR_epoll_ctl, __NR_ppoll, __NR_accept4],
    // Receiving requests, sending files and the log, ending connections.
    &[
        __NR_recvfrom,
        __NR_sendfile,
        __NR_write,
        __NR_read,
        __NR_close,
    ],
    // Names and files: their kinds, their content, and the targets of links.
    &[
        __NR_newfstatat,
        __NR_fstat,
        __NR_statx,
        __NR_fstatfs,
        __NR_readlinkat,
        __NR_faccessat,
        __NR_getdents64,
        __NR_pread64,
        __NR_preadv2,
        __NR_fadvise64,
    ],
    // A directory is read again, to check whether its listing is still right.
    &[__NR_lseek],
    // The address of a listening socket that is lost, for the message.
    &[__NR_getsockname],
    // Watches that report changes of cached files.
    &[__NR_inotify_add_watch, __NR_inotify_rm_watch],
    // Memory is returned, or resized.
    &[__NR_munmap, __NR_brk, __NR_mremap],
    // The time, and the random keys of a thread's hash tables.
    &[__NR_clock_gettime, __NR_clock_nanosleep, __NR_getrandom],
    // Threads begin, wait for each other and end.
    &[
        __NR_futex,
        __NR_sched_yield,
        __NR_set_robust_list,
        __NR_rseq,
        __NR_sigaltstack,
        __NR_gettid,
        __NR_getpid,
        __NR_exit,
        __NR_exit_group,
    ],
    // A signal is taken, or the program aborts.
    &[
        __NR_rt_sigaction,
        __NR_rt_sigprocmask,
        __NR_rt_sigreturn,
        __NR_restart_syscall,
    ],
    // Older calls that the C library makes only on this architecture.
    #[cfg(target_arch = "x86_64")]
    &[__NR_epoll_wait, __NR_poll, __NR_readlink],
];

/// Calls that glibc can do without when it starts a thread. The arguments of clone3 are in memory, where a filter cannot see
/// them; sched_getaffinity takes the number of a thread, which a filter cannot know in advance.
const MISSING: &[u32] = &[__NR_clone3, __NR_sched_getaffinity];

/// The further calls of a handler that stores files.
const STORING: &[u32] = &[
    __NR_openat,
    __NR_pwrite64,
    __NR_writev,
    __NR_ftruncate,
    __NR_fsync,
    __NR_fdatasync,
    __NR_mkdirat,
    __NR_unlinkat,
    __NR_linkat,
    __NR_renameat2,
    #[cfg(target_arch = "x86_64")]
    __NR_open,
    #[cfg(target_arch = "x86_64")]
    __NR_mkdir,
    #[cfg(target_arch = "x86_64")]
    __NR_unlink,
    #[cfg(target_arch = "x86_64")]
    __NR_rmdir,
    #[cfg(target_arch = "x86_64")]
    __NR_link,
    #[cfg(target_arch = "x86_64")]
    __NR_rename,
    __NR_renameat,
];

/// The file of a UNIX socket is removed at the end. Landlock names the directory in which that is allowed.
const REMOVING: &[u32] = &[
    __NR_unlinkat,
    #[cfg(target_arch = "x86_64")]
    __NR_unlink,
];

/// Returns the policy that allows serving files, with `may_write` storing them, and with `may_remove` removing them.
pub(super) fn policy(may_write: bool, may_remove: bool) -> Policy {
    let mut listed: Vec<_> = ALLOWED.iter().copied().flatten().copied().collect();
    if may_write {
        listed.extend(STORING);
    } else if may_remove {
        listed.extend(REMOVING);
    }
    let is_listed = |call: &Conditional| call.numbers.iter().any(|number| listed.contains(number));
    let conditional = CONDITIONAL.iter().filter(|call| !is_listed(call));
    Policy {
        conditional: conditional.collect(),
        listed,
        verdict: Verdict::Allow,
        missing: MISSING,
    }
}

/// Calls that, with other arguments, could do more than serving needs; the most frequent one is first.
const CONDITIONAL: &[Conditional] = &[
    // Bytes are sent to the peer of a connection: an address, or Fast Open, could reach another one.
    Conditional::new(
        &[__NR_sendto],
        &[
            Check::is_wholly(4, &[0]),
            Check::bits(3, MSG_FASTOPEN, &[0]),
        ],
    ),
    // Only the sending side is shut: a listening socket that is shut on both sides could then be connected.
    Conditional::new(&[__NR_shutdown], &[Check::is(1, &[SHUT_WR])]),
    // Files are read.
    Conditional::new(&[__NR_openat], &[Check::bits(2, WRITING, &[O_RDONLY])]),
    // Its flags are in memory, where a filter cannot see them; Landlock makes sure that files are only read. A log file is opened
    // again by this call, because Landlock can limit that to a directory and seccomp cannot.
    Conditional::new(
        &[__NR_openat2],
        &[Check::is_wholly(3, &[size_of::<open_how>() as u32])],
    ),
    // A directory is read through one descriptor and watched through a duplicate.
    Conditional::new(&[__NR_fcntl], &[Check::is(1, &[F_DUPFD_CLOEXEC])]),
    // Replies are sent without delay, a connection is reset, a listening socket turns new clients away before it closes, and slow
    // readers are measured.
    Conditional::new(
        &[__NR_setsockopt],
        &[Check::is(1, &[SOL_TCP]), Check::is(2, &[TCP_NODELAY])],
    ),
    Conditional::new(
        &[__NR_setsockopt],
        &[Check::is(1, &[SOL_SOCKET]), Check::is(2, &[SO_LINGER])],
    ),
    Conditional::new(
        &[__NR_setsockopt],
        &[
            Check::is(1, &[IPPROTO_IP as u32]),
            Check::is(2, &[IP_MINTTL]),
        ],
    ),
    Conditional::new(
        &[__NR_setsockopt],
        &[
            Check::is(1, &[IPPROTO_IPV6 as u32]),
            Check::is(2, &[IPV6_MINHOPCOUNT]),
        ],
    ),
    Conditional::new(
        &[__NR_getsockopt],
        &[Check::is(1, &[SOL_TCP]), Check::is(2, &[TCP_INFO])],
    ),
    // Memory is private, is not mapped from a file, and never becomes code.
    Conditional::new(
        &[__NR_mmap],
        &[
            Check::bits(2, PROT_EXEC, &[0]),
            Check::bits(3, MAP_TYPE | MAP_ANONYMOUS, &[MAP_PRIVATE | MAP_ANONYMOUS]),
        ],
    ),
    Conditional::new(&[__NR_mprotect], &[Check::bits(2, PROT_EXEC, &[0])]),
    Conditional::new(
        &[__NR_madvise],
        &[Check::is(2, &[MADV_DONTNEED, MADV_FREE])],
    ),
    // The loops and the file threads are threads.
    Conditional::new(&[__NR_clone], &[Check::bits(0, !CLONE_DETACHED, &[THREAD])]),
    // It gives itself a name.
    Conditional::new(&[__NR_prctl], &[Check::is(0, &[PR_SET_NAME])]),
    // The limit of descriptors is read, not set.
    Conditional::new(
        &[__NR_prlimit64],
        &[Check::is(0, &[0]), Check::is_wholly(2, &[0])],
    ),
    // The program aborts itself.
    Conditional::new(&[__NR_tgkill], &[Check::is_own(0, &[])]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use linux_raw_sys::prctl::PR_SET_DUMPABLE;
    use rustix::process::getpid;

    use super::super::system_calls::UNKNOWN;
    use super::super::system_calls::tests::{ALLOW, ENOSYS, EPERM, answer, assert_answers};
    use super::*;

    const HIGH: u64 = 1 << 32;

    fn arguments(given: &[(usize, u32)]) -> [u64; 6] {
        let mut arguments = [0; 6];
        for (index, value) in given {
            arguments[*index] = u64::from(*value);
        }
        arguments
    }

    #[test]
    fn only_listed_calls_are_allowed() {
        let policy = policy(false, false);
        let decided: BTreeSet<_> = policy
            .conditional
            .iter()
            .flat_map(|call| call.numbers)
            .copied()
            .collect();
        for number in 0..UNKNOWN + 100 {
            let expected = if decided.contains(&number) {
                continue;
            } else if policy.listed.contains(&number) {
                ALLOW
            } else if number < UNKNOWN && !MISSING.contains(&number) {
                EPERM
            } else {
                ENOSYS
            };
            assert_eq!(answer(&policy, number, [u64::MAX; 6]), expected, "{number}");
        }
        assert!(policy.listed.len() + decided.len() < 60);
    }

    #[test]
    fn bytes_are_sent_only_to_the_peer() {
        let to = |flags: u32, address: u64| [9, 1, 1, u64::from(flags), address, 0];
        let table = [
            (__NR_sendto, to(0, 0), ALLOW),
            (__NR_sendto, to(0x4000 | 0x8000 | 0x40, 0), ALLOW),
            (__NR_sendto, to(MSG_FASTOPEN, 0), EPERM),
            (__NR_sendto, to(0x4000, 1), EPERM),
            (__NR_sendto, to(0x4000, HIGH), EPERM),
            (__NR_shutdown, arguments(&[(1, SHUT_WR)]), ALLOW),
            (__NR_shutdown, arguments(&[(1, 2)]), EPERM),
            (__NR_shutdown, arguments(&[(1, 0)]), EPERM),
        ];
        assert_answers(&policy(false, false), &table);
    }

    #[test]
    fn files_are_only_read_unless_they_may_be_written() {
        let flags = |flags| arguments(&[(2, flags)]);
        let opened = [
            (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, ALLOW),
            (O_PATH | O_DIRECTORY, ALLOW),
            (O_WRONLY, EPERM),
            (O_RDWR, EPERM),
            (O_ACCMODE, EPERM),
            (O_CREAT, EPERM),
            (O_TRUNC, EPERM),
            (O_TMPFILE, EPERM),
        ];
        for (how, expected) in opened {
            let table = [(__NR_openat, flags(how), expected)];
            assert_answers(&policy(false, false), &table);
            assert_answers(&policy(true, false), &[(__NR_openat, flags(how), ALLOW)]);
        }
        let size = size_of::<open_how>() as u32;
        let table = [
            (__NR_openat2, arguments(&[(3, size)]), ALLOW),
            (__NR_openat2, arguments(&[(3, size + 8)]), EPERM),
            (__NR_unlinkat, [0; 6], EPERM),
            (__NR_ioctl, [0; 6], EPERM),
        ];
        assert_answers(&policy(false, false), &table);
        assert_answers(&policy(false, true), &[(__NR_unlinkat, [0; 6], ALLOW)]);
    }

    #[test]
    fn only_needed_socket_options_are_allowed() {
        let option = |level, name| arguments(&[(1, level), (2, name)]);
        let table = [
            (__NR_setsockopt, option(SOL_TCP, TCP_NODELAY), ALLOW),
            (__NR_setsockopt, option(SOL_SOCKET, SO_LINGER), ALLOW),
            (__NR_setsockopt, option(IPPROTO_IP as u32, IP_MINTTL), ALLOW),
            (
                __NR_setsockopt,
                option(IPPROTO_IPV6 as u32, IPV6_MINHOPCOUNT),
                ALLOW,
            ),
            (__NR_setsockopt, option(SOL_SOCKET, IP_MINTTL), EPERM),
            // On the other level the same number means another option: congestion control and debugging.
            (__NR_setsockopt, option(SOL_TCP, SO_LINGER), EPERM),
            (__NR_setsockopt, option(SOL_SOCKET, TCP_NODELAY), EPERM),
            (__NR_getsockopt, option(SOL_TCP, TCP_INFO), ALLOW),
            (__NR_getsockopt, option(SOL_SOCKET, TCP_INFO), EPERM),
            (__NR_fcntl, arguments(&[(1, F_DUPFD_CLOEXEC)]), ALLOW),
            (__NR_fcntl, arguments(&[(1, F_SETOWN)]), EPERM),
            (__NR_fcntl, arguments(&[(1, F_SETFL)]), EPERM),
        ];
        assert_answers(&policy(false, false), &table);
    }

    #[test]
    fn memory_never_becomes_code() {
        let private = MAP_PRIVATE | MAP_ANONYMOUS;
        let map = |protection, flags| arguments(&[(2, protection), (3, flags)]);
        let (data, code) = (PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC);
        let table = [
            (__NR_mmap, map(data, private), ALLOW),
            (__NR_mmap, map(PROT_NONE, private | MAP_NORESERVE), ALLOW),
            (__NR_mmap, map(code, private), EPERM),
            (__NR_mmap, map(data, MAP_SHARED | MAP_ANONYMOUS), EPERM),
            (__NR_mmap, map(PROT_READ, MAP_PRIVATE), EPERM),
            (__NR_mprotect, map(data, 0), ALLOW),
            (__NR_mprotect, map(PROT_EXEC, 0), EPERM),
            (__NR_madvise, map(MADV_DONTNEED, 0), ALLOW),
            (__NR_madvise, map(MADV_HWPOISON, 0), EPERM),
        ];
        assert_answers(&policy(false, false), &table);
    }

    #[test]
    fn threads_may_start_and_processes_may_not() {
        let own = getpid().as_raw_pid().unsigned_abs();
        let first = |value| arguments(&[(0, value)]);
        let new_limit = [0, 7, 1, 0, 0, 0];
        let far_limit = [0, 7, HIGH, 0, 0, 0];
        let table = [
            (__NR_clone, first(THREAD), ALLOW),
            (__NR_clone, first(THREAD | CLONE_DETACHED), ALLOW),
            (__NR_clone, first(THREAD | CLONE_NEWUSER), EPERM),
            (__NR_clone, first(CLONE_VM | CLONE_VFORK), EPERM),
            (__NR_clone, first(17), EPERM),
            (__NR_prctl, first(PR_SET_NAME), ALLOW),
            (__NR_prctl, first(PR_SET_DUMPABLE), EPERM),
            (__NR_prlimit64, [0, 7, 0, 1, 0, 0], ALLOW),
            (__NR_prlimit64, new_limit, EPERM),
            (__NR_prlimit64, far_limit, EPERM),
            (__NR_prlimit64, first(1), EPERM),
            (__NR_tgkill, first(own), ALLOW),
            (__NR_tgkill, first(own + 1), EPERM),
        ];
        assert_answers(&policy(false, false), &table);
    }
}
