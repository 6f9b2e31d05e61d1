"""Makes system calls in a thread of another process, as an intruder could after exploiting a hole in that process.

A thread that waited in a system call is stopped just after its instruction `syscall`. For each call the tracer sets the registers,
moves the instruction pointer back by that instruction and makes a single step. No other code of the program runs, and its
registers are restored at the end.
"""

import ctypes
import errno
import os
import signal
import time

from . import Skip, Wrong, check, wait_until

# The registers as PTRACE_GETREGS gives them on x86-64.
REGISTERS = (
    "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs"
)
ARGUMENTS = "rdi rsi rdx r10 r8 r9".split()
CONT, SINGLESTEP, GETREGS, SETREGS, DETACH, GETEVENTMSG, SEIZE, INTERRUPT = 7, 9, 12, 13, 17, 0x4201, 0x4206, 0x4207
# The kernel stops children before their first instruction, and kills the traced process when the tracer ends.
OPTIONS = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 20
CHILD_EVENTS = (1, 2, 3)
WALL = 0x40000000
# The status of a thread that has made its single step.
STEPPED = signal.SIGTRAP << 8 | 0x7F
SYSCALL, INT_80 = b"\x0f\x05", b"\xcd\x80"
PAGE = 4096
WORD = (1 << 64) - 1


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulong) for name in REGISTERS.split()]


class Ended(Wrong):
    """A call has ended the process."""


def ptrace(request, thread, data=None):
    call = ctypes.CDLL(None, use_errno=True).ptrace
    call.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    if call(request, thread, None, data) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Thread:
    """A stopped thread that makes calls until the context ends. One thread of the tracer must make all requests."""

    def __init__(self, process, number):
        self.number, self.own, self.call = number, Registers(), 0
        try:
            ptrace(SEIZE, number, OPTIONS)
        except OSError as error:
            raise Skip(f"tracing is not permitted here: {error.strerror}") from None
        self.memory = open(f"/proc/{process}/mem", "r+b", buffering=0)
        wait_until("a thread waits in a system call", self._stop)
        # A page for the data that arguments point to.
        self.page = self.result(9, 0, PAGE, 3, 0x22, WORD, 0)
        check(self.page > 0, f"no memory for arguments: {self.page}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.result(11, self.page, PAGE)
            ptrace(SETREGS, self.number, ctypes.byref(self.own))
            ptrace(DETACH, self.number)
        except OSError:
            # The thread has ended; the fault reports that.
            pass
        self.memory.close()

    def _stop(self):
        """Stops the thread; returns whether it is just after a system call, and lets it continue otherwise."""
        ptrace(INTERRUPT, self.number)
        check(self._wait(), "a thread does not stop")
        ptrace(GETREGS, self.number, ctypes.byref(self.own))
        stands = self.read(self.own.rip - len(SYSCALL), len(SYSCALL)) == SYSCALL
        if not stands:
            ptrace(CONT, self.number)
        return stands

    def read(self, address, length):
        self.memory.seek(address)
        return self.memory.read(length)

    def write(self, address, data):
        self.memory.seek(address)
        self.memory.write(data)

    def _wait(self, seconds=5):
        """Waits until the thread stops; returns its wait status, or None if it does not stop in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found, status = os.waitpid(self.number, WALL | os.WNOHANG)
            if found and not os.WIFSTOPPED(status):
                raise Ended(f"call {self.call:#x} has ended the process, status {status:#x}")
            if found:
                return status
        return None

    def _place(self, arguments):
        """Writes strings and structures into the page, each followed by a NUL; yields the values for the registers."""
        room = 0
        for argument in arguments:
            if isinstance(argument, int):
                yield argument & WORD
            else:
                data = os.fsencode(argument) + bytes(1)
                check(room + len(data) <= PAGE, "the arguments are too large")
                self.write(self.page + room, data)
                yield self.page + room
                room += (len(data) + 15) & ~15

    def result(self, call, *arguments):
        """Makes the call with this number; returns the result of the kernel: a value, or a negative error."""
        self.call = call
        registers = Registers.from_buffer_copy(self.own)
        registers.rax, registers.rip = call & WORD, self.own.rip - len(SYSCALL)
        # -1 keeps the kernel from restarting the call in which the thread waited.
        registers.orig_rax = WORD
        for name, value in zip(ARGUMENTS, self._place(arguments)):
            setattr(registers, name, value)
        ptrace(SETREGS, self.number, ctypes.byref(registers))
        ptrace(SINGLESTEP, self.number)
        is_late = False
        while (status := self._wait(seconds=1)) != STEPPED:
            if status is None:
                check(not is_late, f"call {call:#x} does not return")
                is_late = True
                ptrace(INTERRUPT, self.number)
                continue
            if status >> 16 in CHILD_EVENTS:
                self._end_child()
            else:
                stopped_by = os.WSTOPSIG(status)
                check(stopped_by in (signal.SIGTRAP, signal.SIGCHLD), f"call {call:#x} causes signal {stopped_by}")
            ptrace(SINGLESTEP, self.number)
        if is_late:
            return -errno.ETIMEDOUT
        ptrace(GETREGS, self.number, ctypes.byref(registers))
        return ctypes.c_long(registers.rax).value

    def outcome(self, call, *arguments):
        """Makes the call; returns `ok` or the name of its error."""
        result = self.result(call, *arguments)
        return errno.errorcode.get(-result, str(result)) if -PAGE < result < 0 else "ok"

    def outcome_by_32_bits(self, call):
        """Makes the call as a 32-bit program does; returns `the end` if that ends the process."""
        self.write(self.own.rip - len(SYSCALL), INT_80)
        try:
            return self.outcome(call)
        except Ended:
            return "the end"

    def _end_child(self):
        child = ctypes.c_ulong()
        ptrace(GETEVENTMSG, self.number, ctypes.byref(child))
        os.kill(child.value, signal.SIGKILL)
        os.waitpid(child.value, WALL)
