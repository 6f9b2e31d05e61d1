//! The system calls that a server refuses itself once it listens, by group, each with its reason.
//!
//! It is a list of what is refused, not of what is allowed: the C library, and handlers, may need more than is known here,
//! and a server must not break with the next version of either. A refused call is EPERM, so that whoever tries it is told.

use linux_raw_sys::general::*;
use rustix::io::Errno;
use rustix::process::getpid;
use seccompiler::{BpfProgram, Error, SeccompAction, apply_filter, sock_filter};

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

const REFUSED: &[&[u32]] = &[
    // A server runs no other program.
    &[__NR_execve, __NR_execveat],
    // It looks into no other process, and does nothing to it.
    &[
        __NR_ptrace,
        __NR_process_vm_readv,
        __NR_process_vm_writev,
        __NR_process_madvise,
        __NR_process_mrelease,
        __NR_kcmp,
        __NR_pidfd_open,
        __NR_pidfd_getfd,
        __NR_pidfd_send_signal,
    ],
    // It listens already, and asks nobody.
    &[__NR_socket, __NR_connect, __NR_bind, __NR_listen],
    // The tree of files stays as it is, and is entered by its names alone.
    &[
        __NR_mount,
        __NR_umount2,
        __NR_move_mount,
        __NR_open_tree,
        __NR_fsopen,
        __NR_fsconfig,
        __NR_fsmount,
        __NR_fspick,
        __NR_mount_setattr,
        __NR_pivot_root,
        __NR_chroot,
        __NR_name_to_handle_at,
        __NR_open_by_handle_at,
        __NR_swapon,
        __NR_swapoff,
        __NR_quotactl,
        __NR_quotactl_fd,
        __NR_acct,
    ],
    // In a namespace of its own a process is root, and reaches code of the kernel that was written for root.
    &[__NR_unshare, __NR_setns],
    // Whoever it is, it stays.
    &[
        __NR_setuid,
        __NR_setgid,
        __NR_setreuid,
        __NR_setregid,
        __NR_setresuid,
        __NR_setresgid,
        __NR_setfsuid,
        __NR_setfsgid,
        __NR_setgroups,
        __NR_capset,
        __NR_keyctl,
        __NR_add_key,
        __NR_request_key,
    ],
    // Large parts of the kernel that serving has no use for, where many holes have been; io_uring passes by this filter, too.
    &[
        __NR_bpf,
        __NR_perf_event_open,
        __NR_userfaultfd,
        __NR_io_uring_setup,
        __NR_io_uring_enter,
        __NR_io_uring_register,
        __NR_fanotify_init,
        __NR_personality,
    ],
    // The machine itself, where the process is root.
    &[
        __NR_init_module,
        __NR_finit_module,
        __NR_delete_module,
        __NR_kexec_load,
        __NR_kexec_file_load,
        __NR_reboot,
        __NR_syslog,
        __NR_vhangup,
        __NR_sethostname,
        __NR_setdomainname,
        __NR_settimeofday,
        __NR_clock_settime,
        __NR_clock_adjtime,
        __NR_adjtimex,
    ],
    // Older names, and what one architecture has alone.
    #[cfg(target_arch = "x86_64")]
    &[
        __NR_fork,
        __NR_vfork,
        __NR_iopl,
        __NR_ioperm,
        __NR_modify_ldt,
    ],
];

/// What Landlock does not know of: modes, owners, times and attributes of files that may be seen.
const ATTRIBUTES: &[&[u32]] = &[
    &[
        __NR_fchmod,
        __NR_fchmodat,
        __NR_fchmodat2,
        __NR_fchown,
        __NR_fchownat,
        __NR_utimensat,
        __NR_setxattr,
        __NR_lsetxattr,
        __NR_fsetxattr,
        __NR_setxattrat,
        __NR_removexattr,
        __NR_lremovexattr,
        __NR_fremovexattr,
        __NR_removexattrat,
    ],
    #[cfg(target_arch = "x86_64")]
    &[
        __NR_chmod,
        __NR_chown,
        __NR_lchown,
        __NR_utime,
        __NR_utimes,
        __NR_futimesat,
    ],
];

/// Calls that are allowed only if the bits of an argument that `mask` selects are these.
struct Conditional {
    numbers: &'static [u32],
    argument: u32,
    mask: u32,
    allowed: u32,
}

fn conditional() -> [Conditional; 3] {
    [
        // To itself a process may send what it likes: abort does.
        Conditional {
            numbers: &[
                __NR_kill,
                __NR_tkill,
                __NR_tgkill,
                __NR_rt_sigqueueinfo,
                __NR_rt_tgsigqueueinfo,
            ],
            argument: 0,
            mask: u32::MAX,
            allowed: getpid().as_raw_pid().unsigned_abs(),
        },
        // No memory becomes code.
        Conditional {
            numbers: &[__NR_mmap, __NR_mprotect, __NR_pkey_mprotect],
            argument: 2,
            mask: PROT_EXEC,
            allowed: 0,
        },
        // Threads are started, processes are not.
        Conditional {
            numbers: &[__NR_clone],
            argument: 0,
            mask: CLONE_THREAD,
            allowed: CLONE_THREAD,
        },
    ]
}

/// Refuses them all in this thread and those that it starts; attributes of files only where nothing may be written.
pub(super) fn refuse(may_write: bool) -> Result<(), String> {
    apply_filter(&filter(may_write)).map_err(|error| match error {
        Error::Prctl(error) | Error::Seccomp(error) => error.to_string(),
        _ => "refused".to_owned(),
    })
}

/// Writes the filter as one straight line of comparisons: the compiler of the crate would be a fiftieth of the program.
/// The kernel notes once which numbers are always allowed, so its length costs nothing.
fn filter(may_write: bool) -> BpfProgram {
    let refuse = || {
        returning(SeccompAction::Errno(
            Errno::PERM.raw_os_error().unsigned_abs(),
        ))
    };
    // The arguments of clone3 stand in memory, where no filter sees them; the C library takes this for an old kernel and
    // goes on with clone.
    let unknown = returning(SeccompAction::Errno(
        Errno::NOSYS.raw_os_error().unsigned_abs(),
    ));
    let mut filter = vec![
        step(LOAD, (0, 0), ARCHITECTURE_OFFSET),
        step(IS_EQUAL, (1, 0), ARCHITECTURE),
        returning(SeccompAction::KillProcess),
        step(LOAD, (0, 0), NUMBER_OFFSET),
        step(IS_EQUAL, (0, 1), __NR_clone3),
        unknown,
    ];
    // A kernel with x32 takes every call by a second number, too, from this one on.
    if cfg!(target_arch = "x86_64") {
        filter.extend([step(IS_AT_LEAST, (0, 1), 0x4000_0000), refuse()]);
    }
    let attributes: &[_] = if may_write { &[] } else { ATTRIBUTES };
    for number in REFUSED.iter().chain(attributes).copied().flatten() {
        filter.extend([step(IS_EQUAL, (0, 1), *number), refuse()]);
    }
    for call in conditional() {
        for number in call.numbers {
            filter.extend([
                step(IS_EQUAL, (0, 5), *number),
                step(LOAD, (0, 0), ARGUMENTS_OFFSET + 8 * call.argument),
                step(AND, (0, 0), call.mask),
                step(IS_EQUAL, (1, 0), call.allowed),
                refuse(),
                returning(SeccompAction::Allow),
            ]);
        }
    }
    filter.push(returning(SeccompAction::Allow));
    filter
}

/// Where `struct seccomp_data` has what is compared; of an argument, the lower half (both architectures are little-endian).
const NUMBER_OFFSET: u32 = 0;
const ARCHITECTURE_OFFSET: u32 = 4;
const ARGUMENTS_OFFSET: u32 = 16;

/// Instructions, as linux/bpf_common.h has them.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const IS_EQUAL: u16 = 0x15;
const IS_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// One instruction; `skips` is how many are left out where a comparison holds, and where it does not.
fn step(code: u16, skips: (u8, u8), k: u32) -> sock_filter {
    let (jt, jf) = skips;
    sock_filter { code, jt, jf, k }
}

fn returning(action: SeccompAction) -> sock_filter {
    step(RETURN, (0, 0), action.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: u32 = 0x7fff_0000;
    const KILL: u32 = 0x8000_0000;
    const EPERM: u32 = 0x0005_0001;
    const ENOSYS: u32 = 0x0005_0026;

    /// Runs the filter as the kernel does.
    fn verdict(filter: &BpfProgram, architecture: u32, number: u32, arguments: [u32; 3]) -> u32 {
        let (mut accumulator, mut at) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = filter[at].clone();
            let mut jump = |holds: bool| at += usize::from(if holds { jt } else { jf });
            match (code, k) {
                (LOAD, NUMBER_OFFSET) => accumulator = number,
                (LOAD, ARCHITECTURE_OFFSET) => accumulator = architecture,
                (LOAD, _) => accumulator = arguments[(k - ARGUMENTS_OFFSET) as usize / 8],
                (AND, _) => accumulator &= k,
                (IS_EQUAL, _) => jump(accumulator == k),
                (IS_AT_LEAST, _) => jump(accumulator >= k),
                (RETURN, _) => return k,
                _ => panic!("{code}"),
            }
            at += 1;
        }
    }

    #[test]
    fn what_a_server_needs_is_allowed_and_nothing_of_the_list() {
        let filter = filter(false);
        let asked = |number| verdict(&filter, ARCHITECTURE, number, [0; 3]);
        let needed = [
            __NR_read,
            __NR_write,
            __NR_openat,
            __NR_openat2,
            __NR_statx,
            __NR_sendfile,
            __NR_accept4,
            __NR_recvfrom,
            __NR_sendto,
            __NR_shutdown,
            __NR_setsockopt,
            __NR_epoll_pwait,
            __NR_futex,
            __NR_getrandom,
            __NR_getdents64,
            __NR_preadv2,
            __NR_exit_group,
            __NR_mmap,
        ];
        for number in needed {
            assert_eq!(asked(number), ALLOW, "{number}");
        }
        for number in REFUSED.iter().chain(ATTRIBUTES).copied().flatten() {
            assert_eq!(asked(*number), EPERM, "{number}");
        }
        assert_eq!(asked(__NR_clone3), ENOSYS);
    }

    #[test]
    fn attributes_of_files_may_change_where_files_may_be_written() {
        let filter = filter(true);
        for number in ATTRIBUTES.iter().copied().flatten() {
            let verdict = verdict(&filter, ARCHITECTURE, *number, [0; 3]);
            assert_eq!(verdict, ALLOW, "{number}");
        }
        let execve = verdict(&filter, ARCHITECTURE, __NR_execve, [0; 3]);
        assert_eq!(execve, EPERM);
    }

    #[test]
    fn some_calls_depend_on_an_argument() {
        let filter = filter(false);
        let own = getpid().as_raw_pid().unsigned_abs();
        let (readable, thread) = (PROT_READ | PROT_WRITE, CLONE_THREAD | CLONE_VM | CLONE_FS);
        let table = [
            (__NR_kill, [own, 9, 0], ALLOW),
            (__NR_kill, [1, 9, 0], EPERM),
            (__NR_kill, [0, 9, 0], EPERM),
            (__NR_kill, [u32::MAX, 9, 0], EPERM),
            (__NR_tgkill, [own, 7, 6], ALLOW),
            (__NR_tgkill, [own + 1, own, 6], EPERM),
            (__NR_mmap, [0, 0, readable], ALLOW),
            (__NR_mmap, [0, 0, PROT_READ | PROT_EXEC], EPERM),
            (__NR_mprotect, [0, 0, readable], ALLOW),
            (__NR_mprotect, [0, 0, PROT_EXEC], EPERM),
            (__NR_clone, [thread, 0, 0], ALLOW),
            (__NR_clone, [CLONE_VM | CLONE_VFORK, 0, 0], EPERM),
            (__NR_clone, [17, 0, 0], EPERM),
        ];
        for (number, arguments, expected) in table {
            let verdict = verdict(&filter, ARCHITECTURE, number, arguments);
            assert_eq!(verdict, expected, "{number} {arguments:?}");
        }
    }

    #[test]
    fn no_call_has_a_second_door() {
        let filter = filter(false);
        // As a program of 32 bits would call it.
        assert_eq!(verdict(&filter, 0x4000_0003, __NR_read, [0; 3]), KILL);
        #[cfg(target_arch = "x86_64")]
        for number in [__NR_read, __NR_execve, 520, u32::MAX] {
            let verdict = verdict(&filter, ARCHITECTURE, number | 0x4000_0000, [0; 3]);
            assert_eq!(verdict, EPERM, "{number}");
        }
    }
}
