"""The system calls to make inside the confined program, by family: the reason, the right outcomes, and the calls.

A call given by its name only has -1 for every argument. If the filter allowed it, it would do no harm, because the kernel would
return EBADF, EFAULT or EINVAL. The filter decides before the kernel looks at any argument.
"""

import struct
from itertools import chain

# The calls of x86-64 in the order of their numbers, from 0 and from 424 on.
NAMES = """
read write open close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn ioctl
pread64 pwrite64 readv writev access pipe select sched_yield mremap msync mincore madvise shmget shmat shmctl dup dup2 pause
nanosleep getitimer alarm setitimer getpid sendfile socket connect accept sendto recvfrom sendmsg recvmsg shutdown bind
listen getsockname getpeername socketpair setsockopt getsockopt clone fork vfork execve exit wait4 kill uname semget semop
semctl shmdt msgget msgsnd msgrcv msgctl fcntl flock fsync fdatasync truncate ftruncate getdents getcwd chdir fchdir rename
mkdir rmdir creat link unlink symlink readlink chmod fchmod chown fchown lchown umask gettimeofday getrlimit getrusage
sysinfo times ptrace getuid syslog getgid setuid setgid geteuid getegid setpgid getppid getpgrp setsid setreuid setregid
getgroups setgroups setresuid getresuid setresgid getresgid getpgid setfsuid setfsgid getsid capget capset rt_sigpending
rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend sigaltstack utime mknod uselib personality ustat statfs fstatfs sysfs
getpriority setpriority sched_setparam sched_getparam sched_setscheduler sched_getscheduler sched_get_priority_max
sched_get_priority_min sched_rr_get_interval mlock munlock mlockall munlockall vhangup modify_ldt pivot_root _sysctl prctl
arch_prctl adjtimex setrlimit chroot sync acct settimeofday mount umount2 swapon swapoff reboot sethostname setdomainname
iopl ioperm create_module init_module delete_module get_kernel_syms query_module quotactl nfsservctl getpmsg putpmsg
afs_syscall tuxcall security gettid readahead setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr
flistxattr removexattr lremovexattr fremovexattr tkill time futex sched_setaffinity sched_getaffinity set_thread_area
io_setup io_destroy io_getevents io_submit io_cancel get_thread_area lookup_dcookie epoll_create epoll_ctl_old
epoll_wait_old remap_file_pages getdents64 set_tid_address restart_syscall semtimedop fadvise64 timer_create timer_settime
timer_gettime timer_getoverrun timer_delete clock_settime clock_gettime clock_getres clock_nanosleep exit_group epoll_wait
epoll_ctl tgkill utimes vserver mbind set_mempolicy get_mempolicy mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify
mq_getsetattr kexec_load waitid add_key request_key keyctl ioprio_set ioprio_get inotify_init inotify_add_watch
inotify_rm_watch migrate_pages openat mkdirat mknodat fchownat futimesat newfstatat unlinkat renameat linkat symlinkat
readlinkat fchmodat faccessat pselect6 ppoll unshare set_robust_list get_robust_list splice tee sync_file_range vmsplice
move_pages utimensat epoll_pwait signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime accept4 signalfd4
eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo perf_event_open recvmmsg fanotify_init
fanotify_mark prlimit64 name_to_handle_at open_by_handle_at clock_adjtime syncfs sendmmsg setns getcpu process_vm_readv
process_vm_writev kcmp finit_module sched_setattr sched_getattr renameat2 seccomp getrandom memfd_create kexec_file_load bpf
execveat userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx
io_pgetevents rseq uretprobe uprobe
""".split()
NEWER = """
pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig fsmount fspick
pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2 mount_setattr quotactl_fd
landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret process_mrelease futex_waitv
set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue statmount listmount
lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat listxattrat removexattrat open_tree_attr
file_getattr file_setattr
""".split()
NUMBERS = {name: number for number, name in chain(enumerate(NAMES), enumerate(NEWER, 424))}
# x32 programs, with 32-bit pointers, make the same calls with second numbers, which begin here.
X32 = 0x4000_0000

# Calls that may be allowed: those that serving needs, and those that reach only open files and mapped memory. Where an argument
# decides, a family has the arguments. All other calls are tried, in a family or not.
MAY_BE_ALLOWED = """
read readv pread64 preadv preadv2 write writev close lseek fstat newfstatat statx stat lstat openat openat2 getdents64
readlink readlinkat access faccessat faccessat2 getcwd statfs fstatfs fadvise64 readahead dup inotify_init1
inotify_add_watch inotify_rm_watch sendfile fcntl ioctl accept accept4 recvfrom sendto shutdown setsockopt getsockopt
getsockname getpeername epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 poll ppoll select pselect6 eventfd2
pipe2 futex membarrier sched_yield nanosleep clock_nanosleep restart_syscall mmap munmap mremap mprotect madvise brk exit
exit_group rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack set_robust_list rseq clone set_tid_address getpid gettid
getppid getuid geteuid getgid getegid kill tkill tgkill sched_getaffinity prlimit64 getrlimit getrusage uname sysinfo
getrandom getcpu clock_gettime clock_getres gettimeofday time times prctl
""".split()
# The kernel does not ask the filter about these: it inserts them itself, and kills a program that makes them elsewhere.
MAY_BE_ALLOWED += ["uretprobe", "uprobe"]

HERE = -100
RDWR, CREATE, TRUNCATE, APPEND, PATH, TMPFILE = 2, 0o100, 0o1000, 0o2000, 0o10000000, 0o20200000
WRONLY, EXEC, DATA, ANONYMOUS = 1, 4, 3, 0x22
FASTOPEN, NOSIGNAL = 0x2000_0000, 0x4000
KILL, CHILD, NEWUSER = 9, 17, 0x1000_0000
TIOCSTI, FIONREAD = 0x5412, 0x541B
IN_MODIFY = 2
# A bit in the upper half of an argument. The kernel ignores that half of many arguments, and a filter compares each half.
HIGH = 1 << 32
ROOM = bytes(256)
REFUSED, UNREADABLE, UNWRITABLE, UNKNOWN, EITHER = "EPERM", "EACCES", "EACCES EPERM", "ENOSYS EPERM", "ok EPERM"


def words(*values):
    return struct.pack(f"={len(values)}q", *values)


def bare(names):
    """Returns the named calls with -1 for every argument."""
    return [(name, *[-1] * 6) for name in names.split()]


def commands(call, base, text):
    """Returns a call with each of several commands, given as pairs of name and number, on descriptor -1."""
    return [(call, -1, int(number, base), -1) for number in text.split()[1::2]]


def families(at):
    """Returns all families as reason, right outcomes and calls; `at` has the files and processes for the arguments."""
    return [*descriptors(), *network(at), *memory(at), *processes(at), *files(at), *rights(), *unknown()]


def descriptors():
    yield "input pushed into the terminal would be run by its shell", REFUSED, [
        ("ioctl", 0, TIOCSTI, b"x"),
        ("ioctl", 0, HIGH + TIOCSTI, b"x"),
    ]
    yield "other ioctl commands of terminals and of all descriptors", REFUSED, commands("ioctl", 16, """
        TCGETS 5401 TCSETS 5402 TCSETSF 5404 TCSBRK 5409 TIOCSCTTY 540e TIOCSPGRP 5410 TIOCSWINSZ 5414 TIOCLINUX 541c
        TIOCCONS 541d FIONBIO 5421 TIOCNOTTY 5422 TIOCSETD 5423 TIOCGPTPEER 5441 FIONCLEX 5450 FIOASYNC 5452 FIOSETOWN 8901
    """)
    yield "ioctl commands that change attributes and blocks of files", REFUSED, commands("ioctl", 16, """
        FS_IOC_SETFLAGS 40086602 FS_IOC_FSSETXATTR 401c5820 FICLONE 40049409 FICLONERANGE 4020940d FIDEDUPERANGE c0189436
        FITRIM c0185879 FIFREEZE c0045877 FS_IOC_ENABLE_VERITY 40806685 FS_IOC_ADD_ENCRYPTION_KEY c0506617 FIBMAP 1
    """)
    yield "ioctl commands of drivers", REFUSED, commands("ioctl", 16, """
        SIOCGIFCONF 8912 SIOCETHTOOL 8946 NS_GET_USERNS b701 KVM_CREATE_VM ae01 TUNSETIFF 400454ca USERFAULTFD_IOC_NEW aa00
        NONE 0 ALL ffffffff
    """)
    yield "serving does not ask how many bytes can be read", REFUSED, [
        ("ioctl", 0, FIONREAD, ROOM),
        ("ioctl", 0, HIGH + FIONREAD, ROOM),
    ]
    yield "fcntl commands that send signals and take leases", REFUSED, [
        ("fcntl", -1, HIGH + 8, -1),
        *commands("fcntl", 10, """
            SETOWN 8 SETSIG 10 SETOWN_EX 15 SETLEASE 1024 NOTIFY 1026 SETPIPE_SZ 1031 ADD_SEALS 1033 SET_RW_HINT 1036
        """),
    ]


def network(at):
    address = struct.pack("=H2s4s8x", 2, b"\0\x50", b"\x7f\0\0\1")
    yield "the server has its listening sockets already, and connects to nothing", REFUSED, [
        *[("socket", family, kind, 0) for family in (1, 2, 10, 16, 17, 38, 40) for kind in (1, 2, 3)],
        *[("socketpair", 1, kind, 0, ROOM) for kind in (1, 2, 5)],
        *bare("bind listen connect"),
    ]
    yield "TCP Fast Open would connect while sending", REFUSED, [
        ("sendto", at.listener, b"x", 1, FASTOPEN, address, 16),
        ("sendto", -1, b"x", 1, FASTOPEN, address, 16),
        ("sendto", -1, b"x", 1, FASTOPEN | NOSIGNAL, 0, 0),
        ("sendto", -1, b"x", 1, HIGH + FASTOPEN, 0, 0),
    ]
    yield "a message would go to the address that it names", REFUSED, [
        ("sendto", -1, b"x", 1, 0, address, 16),
        # The lower half of this pointer is zero.
        ("sendto", -1, b"x", 1, NOSIGNAL, HIGH, 16),
    ]
    yield "a reply names no address", "EBADF", [("sendto", -1, b"x", 1, NOSIGNAL, 0, 0)]
    yield "messages can carry addresses and descriptors in memory, where no filter sees them", REFUSED, bare(
        "sendmsg sendmmsg recvmsg recvmmsg"
    )


def memory(at):
    yield "no memory becomes code", REFUSED, [
        *[("mmap", 0, 4096, protection, ANONYMOUS, -1, 0) for protection in (EXEC, 5, 7, HIGH + 7)],
        *[("mprotect", at.page, 4096, protection) for protection in (EXEC, 5, 7, HIGH + 7)],
        ("pkey_mprotect", at.page, 4096, 7, -1),
        ("shmat", 0, 0, 0o100000),
        ("personality", 0x0400000),
        *bare("remap_file_pages pkey_alloc memfd_create memfd_secret map_shadow_stack uselib"),
    ]
    yield "serving needs memory for data", "ok", [
        ("mmap", 0, 4096, DATA, ANONYMOUS, -1, 0),
        ("mprotect", at.page, 4096, DATA),
    ]


def processes(at):
    killing = struct.pack("=iii116x", KILL, 0, -1)
    vectors = words(at.page, 8), 1, words(at.page, 8), 1, 0
    yield "no program is run, and no process started", REFUSED, [
        ("execve", "/no/program", 0, 0),
        ("execveat", HERE, "/no/program", 0, 0, 0),
        *[("clone", flags, 0, 0, 0, 0) for flags in (CHILD, HIGH + CHILD, NEWUSER | CHILD)],
        *bare("execve execveat fork vfork"),
    ]
    yield "the C library tries clone3 before clone", UNKNOWN, bare("clone3")
    yield "no other process is signalled", REFUSED, [
        *[("kill", number, KILL) for number in (at.other, HIGH + at.other)],
        *[("kill", number, 0) for number in (1, 0, -1, -at.other)],
        ("tkill", at.other, KILL),
        ("tgkill", at.other, at.other, KILL),
        ("rt_sigqueueinfo", at.other, KILL, killing),
        ("rt_tgsigqueueinfo", at.other, at.other, KILL, killing),
        ("pidfd_open", at.other, 0),
        *bare("pidfd_send_signal pidfd_getfd process_mrelease"),
    ]
    yield "the memory of other processes is neither read nor written", REFUSED, [
        ("ptrace", 16, at.other, 0, 0),
        ("process_vm_readv", at.other, *vectors),
        ("process_vm_writev", at.other, *vectors),
        ("kcmp", at.other, at.own, 0, 0, 0),
        ("migrate_pages", at.other, 64, ROOM, ROOM),
        ("move_pages", at.other, 0, 0, 0, 0, 0),
        ("get_robust_list", at.other, ROOM, ROOM),
        *bare("process_madvise mbind set_mempolicy get_mempolicy set_mempolicy_home_node"),
    ]
    yield "the scheduling and the limits of other processes do not change", REFUSED, [
        ("setpriority", 0, at.other, 19),
        ("sched_setaffinity", at.other, 8, words(1)),
        ("sched_setscheduler", at.other, 5, words(0)),
        ("sched_setparam", at.other, words(0)),
        ("sched_setattr", at.other, struct.pack("=IIQiIQQQ", 48, 5, 0, 0, 0, 0, 0, 0), 0),
        ("ioprio_set", 1, at.other, 3 << 13 | 7),
        ("prlimit64", 1, 7, 0, ROOM),
        ("prlimit64", at.other, 7, words(3, 3), 0),
        ("prlimit64", HIGH + at.other, 7, words(3, 3), 0),
        # A limit of 0 s of processor time would kill it.
        ("prlimit64", at.other, 0, words(0, 0), 0),
    ]
    yield "System V and POSIX objects are shared with other processes", REFUSED, bare(
        "shmget shmctl shmdt msgget msgsnd msgrcv msgctl semget semop semtimedop semctl"
        " mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr"
    )


def files(at):
    def open2(path, flags, mode=0):
        return "openat2", HERE, path, words(flags, mode, 0), 24

    upwards = at.directory + "/.." * 20 + at.outside
    outside = [at.outside, upwards, "/etc/passwd", "/proc/self/maps", "/proc/self/mem", "/dev/tty"]
    yield "served files can be read", "ok", [("newfstatat", HERE, at.file, ROOM, 0), ("openat", HERE, at.file, 0)]
    yield "files outside cannot be read", UNREADABLE, [
        *[("openat", HERE, path, 0) for path in (*outside, "/")],
        *[open2(path, 0) for path in (*outside, "/")],
    ]
    yield "files outside cannot be read by the older call", UNWRITABLE, [("open", at.outside, 0)]
    yield "a descriptor opened with O_PATH reads nothing", EITHER, [("openat", HERE, at.outside, PATH)]
    yield "no file is written or made, neither outside nor inside", UNWRITABLE, [
        *[("openat", HERE, path, RDWR) for path in outside],
        *[("openat", HERE, at.file, flags) for flags in (WRONLY, RDWR, WRONLY | APPEND, TRUNCATE)],
        *[("openat", HERE, at.free, CREATE | flags, 0o600) for flags in (0, WRONLY, RDWR)],
        *[("openat", HERE, at.directory, TMPFILE | flags, 0o600) for flags in (WRONLY, RDWR)],
        *[open2(at.file, flags) for flags in (WRONLY, RDWR, TRUNCATE)],
        open2(at.free, CREATE | WRONLY, 0o600),
        open2(at.directory, TMPFILE | RDWR, 0o600),
        ("open", at.file, RDWR),
        ("creat", at.free, 0o600),
    ]
    yield "no file gets other attributes or another length", REFUSED, [
        ("chmod", at.file, 0o777),
        ("fchmodat", HERE, at.file, 0o777),
        ("fchmodat2", HERE, at.file, 0o777, 0),
        ("chown", at.file, -1, -1),
        ("lchown", at.file, -1, -1),
        ("fchownat", HERE, at.file, -1, -1, 0),
        ("utime", at.file, 0),
        ("utimes", at.file, 0),
        ("futimesat", HERE, at.file, 0),
        ("utimensat", HERE, at.file, 0, 0),
        ("setxattr", at.file, "user.x", b"x", 1, 0),
        ("lsetxattr", at.file, "user.x", b"x", 1, 0),
        ("truncate", at.file, 0),
        *bare("fchmod fchown fsetxattr removexattr lremovexattr fremovexattr ftruncate fallocate"),
        *bare("copy_file_range splice tee vmsplice pwrite64 pwritev pwritev2"),
    ]
    yield "no file gets other attributes by the newest calls", UNKNOWN, bare("setxattrat removexattrat file_getattr file_setattr")
    yield "no file is renamed, linked or removed", REFUSED, [
        ("unlink", at.file),
        ("unlinkat", HERE, at.file, 0),
        ("rmdir", at.directory),
        ("rename", at.file, at.free),
        ("renameat", HERE, at.file, HERE, at.free),
        ("renameat2", HERE, at.file, HERE, at.free, 0),
        ("link", at.file, at.free),
        ("linkat", HERE, at.file, HERE, at.free, 0),
        ("symlink", "/", at.free),
        ("symlinkat", "/", HERE, at.free),
        ("mkdir", at.free, 0o700),
        ("mkdirat", HERE, at.free, 0o700),
        ("mknod", at.free, 0o10600, 0),
        ("mknodat", HERE, at.free, 0o10600, 0),
    ]
    yield "mounts, the current directory and handles of files do not change", REFUSED, bare(
        "chdir fchdir chroot pivot_root mount umount2 mount_setattr move_mount open_tree fsopen fsconfig fsmount fspick"
        " statmount listmount name_to_handle_at open_by_handle_at fanotify_init fanotify_mark quotactl quotactl_fd acct"
        " swapon swapoff umask sysfs ustat lookup_dcookie unshare setns"
    )
    yield "Landlock does not hide that a file exists or changes, and serving needs these calls", "ok", [
        ("newfstatat", HERE, at.outside, ROOM, 0),
        ("statx", HERE, at.outside, 0, 0x7FF, ROOM),
        ("inotify_add_watch", at.inotify, at.outside, IN_MODIFY),
    ]
    yield "Landlock does not hide the target of a link", EITHER, [
        ("readlink", at.link, ROOM, 256),
        ("readlinkat", HERE, at.link, ROOM, 256),
        ("access", at.outside, 0),
        ("stat", at.outside, ROOM),
    ]


def rights():
    yield "rights that were given up cannot be regained", REFUSED, [
        *[(name, 0, 0, 0) for name in ("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid")],
        *bare("setfsuid setfsgid setgroups capset add_key request_key keyctl seccomp"),
        *bare("landlock_create_ruleset landlock_add_rule landlock_restrict_self lsm_set_self_attr lsm_get_self_attr"),
    ]
    options = commands("prctl", 10, """
        SET_PDEATHSIG 1 SET_DUMPABLE 4 SET_KEEPCAPS 8 SET_TIMING 14 SET_SECCOMP 22 CAPBSET_DROP 24 SET_TSC 26
        SET_SECUREBITS 28 SET_MM 35 SET_CHILD_SUBREAPER 36 CAP_AMBIENT 47 SET_SPECULATION_CTRL 53
        SET_SYSCALL_USER_DISPATCH 59 SCHED_CORE 62 SET_PTRACER 1499557217
    """)
    yield "prctl would change the rights of the process, and those of others over it", REFUSED, [
        ("prctl", 4, 1, 0, 0, 0),
        ("prctl", HIGH + 4, 1, 0, 0, 0),
        *[("prctl", option, -1, -1, -1, -1) for _, _, option, _ in options],
    ]
    yield "a thread may have a name", EITHER, [("prctl", 15, "httpoll", 0, 0, 0)]
    yield "a server does not need these large parts of the kernel, which have had many holes", REFUSED, bare(
        "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents io_uring_setup io_uring_enter io_uring_register"
        " userfaultfd perf_event_open bpf modify_ldt set_thread_area get_thread_area arch_prctl timer_create timer_settime"
        " timerfd_create timerfd_settime signalfd signalfd4 futex_waitv futex_wake futex_wait futex_requeue cachestat mseal"
        " lsm_list_modules"
    )
    yield "the server does not control the machine", REFUSED, bare(
        "reboot kexec_load kexec_file_load init_module finit_module delete_module syslog vhangup iopl ioperm"
        " sethostname setdomainname settimeofday clock_settime clock_adjtime adjtimex"
    )


def unknown():
    yield "calls that are newer than the list, or do not exist", UNKNOWN, [
        *bare("open_tree_attr"),
        *[(number, *[-1] * 6) for number in (470, 471, 480, 600, 1000, 1 << 20, (1 << 31) - 1, -1)],
    ]
    yield "calls by their second numbers", UNKNOWN, [
        *[(X32 + NUMBERS[name], *[-1] * 6) for name in "read getpid ioctl execve socket openat ptrace".split()],
        *[(X32 + number, *[-1] * 6) for number in (512, 520, 547)],
    ]


def others(named):
    """Returns all calls below 1024, and their second numbers, except those in `named` and those that may be allowed."""
    numbers = {*range(1024), *range(X32, X32 + 1024)}
    numbers -= {NUMBERS[name] for name in MAY_BE_ALLOWED} | {NUMBERS.get(name, name) for name in named}
    return [(number, *[-1] * 6) for number in sorted(numbers)]


def shown(call, at):
    """Returns a call in the notation of C, without its arguments if all of them are -1."""
    name, *arguments = call
    if isinstance(name, int):
        name = next((known for known, number in NUMBERS.items() if number == name), f"{name:#x}")
    if arguments == [-1] * 6:
        return name

    def written(argument):
        if isinstance(argument, bytes):
            return "{...}"
        if isinstance(argument, str):
            return "/".join(argument.split("/")[-2:])
        known = {at.other: "OTHER", HIGH + at.other: "HIGH+OTHER", at.own: "OWN", at.page: "PAGE", at.listener: "LISTENER"}
        return known.get(argument, f"{argument:#x}" if argument > 9 else str(argument))

    return f"{name}({', '.join(map(written, arguments))})"
