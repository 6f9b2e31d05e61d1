//! The system calls that no server needs, by group, each with its reason. This list is for handlers that need more than
//! [serving files](super::allowed) does.
//!
//! It lists the refused calls, not the allowed ones, because the C library and handlers may need more than is known here. Calls
//! that are newer than the table are refused, too, with ENOSYS, as on an older kernel.

use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::{
    FICLONE, FICLONERANGE, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD, TCGETS, TIOCGWINSZ,
};
use linux_raw_sys::net::SOCK_STREAM;
use linux_raw_sys::prctl::{
    PR_GET_DUMPABLE, PR_GET_NAME, PR_GET_NO_NEW_PRIVS, PR_SET_NAME, PR_SET_NO_NEW_PRIVS,
    PR_SET_SECCOMP, PR_SET_VMA,
};

use super::allowed::MSG_FASTOPEN;
use super::system_calls::{Check, Conditional, Policy, Verdict};

/// As linux/ioprio.h has it.
const IOPRIO_WHO_PROCESS: u32 = 1;

const REFUSED: &[&[u32]] = &[
    // A server runs no other program.
    &[__NR_execve, __NR_execveat],
    // It does not inspect or change another process.
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
        __NR_migrate_pages,
        __NR_move_pages,
    ],
    // It shares no memory, queue or semaphore with another process; memory of this kind could also become code.
    &[
        __NR_shmget,
        __NR_shmat,
        __NR_shmctl,
        __NR_shmdt,
        __NR_msgget,
        __NR_msgsnd,
        __NR_msgrcv,
        __NR_msgctl,
        __NR_semget,
        __NR_semop,
        __NR_semtimedop,
        __NR_semctl,
        __NR_mq_open,
        __NR_mq_unlink,
        __NR_mq_timedsend,
        __NR_mq_timedreceive,
        __NR_mq_notify,
        __NR_mq_getsetattr,
    ],
    // It listens already, and connects to no other server.
    &[__NR_socket, __NR_connect, __NR_bind, __NR_listen],
    // The file tree stays as it is, and files are opened only by their paths.
    &[
        __NR_mount,
        __NR_umount2,
        __NR_move_mount,
        __NR_open_tree,
        __NR_open_tree_attr,
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
    // In its own namespace a process is root, and reaches code of the kernel that was written for root.
    &[__NR_unshare, __NR_setns],
    // It does not change its user or its capabilities.
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
    // Large parts of the kernel that serving does not use, and that have had many security holes. io_uring also bypasses this
    // filter, and asynchronous I/O changes files without a report.
    &[
        __NR_bpf,
        __NR_perf_event_open,
        __NR_userfaultfd,
        __NR_io_uring_setup,
        __NR_io_uring_enter,
        __NR_io_uring_register,
        __NR_fanotify_init,
        __NR_personality,
        __NR_remap_file_pages,
        __NR_map_shadow_stack,
        __NR_io_setup,
        __NR_io_submit,
        __NR_io_getevents,
        __NR_io_pgetevents,
        __NR_io_cancel,
        __NR_io_destroy,
        __NR_lsm_set_self_attr,
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
    // Older calls, and calls that only this architecture has.
    #[cfg(target_arch = "x86_64")]
    &[
        __NR_fork,
        __NR_vfork,
        __NR_iopl,
        __NR_ioperm,
        __NR_modify_ldt,
    ],
];

/// Calls that Landlock does not restrict: they change modes, owners, times and attributes of files that may be read.
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
        __NR_file_setattr,
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

/// Returns the policy that refuses the calls that no server needs; changing attributes of files only without `may_write`.
pub(super) fn policy(may_write: bool) -> Policy {
    let attributes: &[_] = if may_write { &[] } else { ATTRIBUTES };
    let listed = REFUSED.iter().chain(attributes).copied().flatten();
    Policy {
        conditional: CONDITIONAL.iter().collect(),
        listed: listed.copied().collect(),
        verdict: Verdict::Refuse,
        // Its arguments are in memory, where a filter cannot see them; the C library then uses clone.
        missing: &[__NR_clone3],
    }
}

/// The requests of `ioctl` that libraries make on files, sockets and terminals. Other requests type into a terminal, or change
/// attributes of files.
const REQUESTS: &[u32] = &[
    FIONREAD,
    FIONBIO,
    FIOCLEX,
    FIONCLEX,
    TCGETS,
    TIOCGWINSZ,
    FICLONE,
    FICLONERANGE,
];

/// The commands of `fcntl` that are allowed. Others make the kernel signal another process.
const COMMANDS: &[u32] = &[
    F_DUPFD,
    F_DUPFD_CLOEXEC,
    F_GETFD,
    F_SETFD,
    F_GETFL,
    F_SETFL,
    F_GETLK,
    F_SETLK,
    F_SETLKW,
    F_OFD_GETLK,
    F_OFD_SETLK,
    F_OFD_SETLKW,
    F_ADD_SEALS,
    F_GET_SEALS,
];

/// The operations of `prctl` that are allowed: they name threads and memory, and confine further.
const OPERATIONS: &[u32] = &[
    PR_SET_NAME,
    PR_GET_NAME,
    PR_SET_VMA,
    PR_GET_DUMPABLE,
    PR_GET_NO_NEW_PRIVS,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_SECCOMP,
];

/// Calls that are allowed with some arguments only.
const CONDITIONAL: &[Conditional] = &[
    // Sending must not make a connection. Each call has its flags in another argument.
    Conditional::new(
        &[__NR_sendto],
        &[
            Check::is_wholly(4, &[0]),
            Check::bits(3, MSG_FASTOPEN, &[0]),
        ],
    ),
    Conditional::new(&[__NR_sendmsg], &[Check::bits(2, MSG_FASTOPEN, &[0])]),
    Conditional::new(&[__NR_sendmmsg], &[Check::bits(3, MSG_FASTOPEN, &[0])]),
    // A pair of datagram sockets could send to any other socket.
    Conditional::new(&[__NR_socketpair], &[Check::bits(1, 0xf, &[SOCK_STREAM])]),
    // A process may send any signal to itself, as abort does.
    Conditional::new(
        &[
            __NR_kill,
            __NR_tkill,
            __NR_tgkill,
            __NR_rt_sigqueueinfo,
            __NR_rt_tgsigqueueinfo,
        ],
        &[Check::is_own(0, &[])],
    ),
    // No memory becomes code.
    Conditional::new(
        &[__NR_mmap, __NR_mprotect, __NR_pkey_mprotect],
        &[Check::bits(2, PROT_EXEC, &[0])],
    ),
    // Threads are started, processes are not.
    Conditional::new(
        &[__NR_clone],
        &[Check::bits(0, CLONE_THREAD, &[CLONE_THREAD])],
    ),
    // A process may change only its own limits and priorities.
    Conditional::new(
        &[
            __NR_prlimit64,
            __NR_sched_setaffinity,
            __NR_sched_setscheduler,
            __NR_sched_setparam,
            __NR_sched_setattr,
        ],
        &[Check::is_own(0, &[0])],
    ),
    Conditional::new(
        &[__NR_setpriority],
        &[Check::is(0, &[PRIO_PROCESS]), Check::is_own(1, &[0])],
    ),
    Conditional::new(
        &[__NR_ioprio_set],
        &[Check::is(0, &[IOPRIO_WHO_PROCESS]), Check::is_own(1, &[0])],
    ),
    Conditional::new(&[__NR_ioctl], &[Check::is(1, REQUESTS)]),
    Conditional::new(&[__NR_fcntl], &[Check::is(1, COMMANDS)]),
    Conditional::new(&[__NR_prctl], &[Check::is(0, OPERATIONS)]),
];

#[cfg(test)]
mod tests {
    use rustix::process::getpid;

    use super::super::system_calls::tests::{ALLOW, EPERM, answer, assert_answers};
    use super::*;

    #[test]
    fn calls_of_handlers_are_allowed_and_listed_calls_are_not() {
        let policy = policy(false);
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
            __NR_prlimit64,
            __NR_landlock_restrict_self,
            __NR_seccomp,
        ];
        for number in needed {
            assert_eq!(answer(&policy, number, [0; 6]), ALLOW, "{number}");
        }
        for number in REFUSED.iter().chain(ATTRIBUTES).copied().flatten() {
            assert_eq!(answer(&policy, *number, [0; 6]), EPERM, "{number}");
        }
    }

    #[test]
    fn attributes_of_files_may_change_where_files_may_be_written() {
        let policy = policy(true);
        for number in ATTRIBUTES.iter().copied().flatten() {
            assert_eq!(answer(&policy, *number, [0; 6]), ALLOW, "{number}");
        }
        assert_eq!(answer(&policy, __NR_execve, [0; 6]), EPERM);
    }

    #[test]
    fn arguments_decide_about_conditional_calls() {
        let own = u64::from(getpid().as_raw_pid().unsigned_abs());
        let data = u64::from(PROT_READ | PROT_WRITE);
        let thread = u64::from(CLONE_THREAD | CLONE_VM | CLONE_FS);
        let fast_open = u64::from(MSG_FASTOPEN);
        // The request of TIOCSTI, also with bits that the kernel ignores.
        let type_in = 0x5412;
        let table = [
            (__NR_kill, [own, 9, 0, 0, 0, 0], ALLOW),
            (__NR_kill, [1, 9, 0, 0, 0, 0], EPERM),
            (__NR_kill, [0, 9, 0, 0, 0, 0], EPERM),
            (__NR_kill, [u64::MAX, 9, 0, 0, 0, 0], EPERM),
            (__NR_tgkill, [own, 7, 6, 0, 0, 0], ALLOW),
            (__NR_tgkill, [own + 1, own, 6, 0, 0, 0], EPERM),
            (__NR_tkill, [own + 1, 6, 0, 0, 0, 0], EPERM),
            (__NR_mmap, [0, 0, data, 0, 0, 0], ALLOW),
            (__NR_mmap, [0, 0, 5, 0, 0, 0], EPERM),
            (__NR_mprotect, [0, 0, data, 0, 0, 0], ALLOW),
            (__NR_mprotect, [0, 0, 4, 0, 0, 0], EPERM),
            (__NR_clone, [thread, 0, 0, 0, 0, 0], ALLOW),
            (__NR_clone, [17, 0, 0, 0, 0, 0], EPERM),
            (__NR_ioctl, [0, u64::from(FIONREAD), 0, 0, 0, 0], ALLOW),
            (__NR_ioctl, [0, type_in, 0, 0, 0, 0], EPERM),
            (__NR_ioctl, [0, 1 << 32 | type_in, 0, 0, 0, 0], EPERM),
            (__NR_fcntl, [0, u64::from(F_SETOWN), 1, 0, 0, 0], EPERM),
            (__NR_sendto, [0, 0, 0, fast_open, 0, 0], EPERM),
            (__NR_sendto, [0, 0, 0, 0, 1 << 40, 16], EPERM),
            (__NR_sendmsg, [0, 0, fast_open, 0, 0, 0], EPERM),
            (__NR_sendmmsg, [0, 0, 1, fast_open, 0, 0], EPERM),
            (__NR_socketpair, [1, 1 | 0x80000, 0, 0, 0, 0], ALLOW),
            (__NR_socketpair, [1, 2 | 0x80000, 0, 0, 0, 0], EPERM),
            (__NR_prlimit64, [own, 0, 1, 0, 0, 0], ALLOW),
            (__NR_prlimit64, [own + 1, 0, 1, 0, 0, 0], EPERM),
            (__NR_setpriority, [0, 0, 5, 0, 0, 0], ALLOW),
            (__NR_setpriority, [2, 0, 5, 0, 0, 0], EPERM),
            (__NR_ioprio_set, [1, own + 1, 5, 0, 0, 0], EPERM),
            (__NR_prctl, [u64::from(PR_SET_NAME), 0, 0, 0, 0, 0], ALLOW),
            (__NR_prctl, [35, 0, 0, 0, 0, 0], EPERM),
        ];
        assert_answers(&policy(false), &table);
    }
}
