"""Confine the worker process before any released code is imported.

Three layers of the Linux kernel, each used where it is there, and reported in
``Answer.runtime``:

1. a network namespace of its own: no interface, not even loopback (namespaces(7));
2. Landlock: only the interpreter, the suite's own lower rooms and the release can be
   read, only the temporary folder written (landlock(7));
3. seccomp: no new socket, no new process, no look into another process (seccomp(2)).

Where neither 1 nor 3 can be had, a Python audit hook (PEP 578) refuses connections and
processes; it stops honest code, not hostile code, and says so in the report.

This module imports nothing but the standard library: a user namespace needs a process
with one thread, and NumPy starts more.

Read next: `worker.py`.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LAYERS = ("namespace", "landlock", "seccomp")

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_CLONE_THREAD = 0x00010000
_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_EPERM = 1
_ENOSYS = 38

# asm/unistd.h: system call numbers on (x86_64, aarch64); None where there is no such call.
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_DENIED: Mapping[str, tuple[int | None, int | None]] = {
    "socket": (41, 198),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "tkill": (200, 130),
    "io_uring_setup": (425, 425),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "unshare": (272, 97),
    "setns": (308, 268),
}
_CLONE = (56, 220)
_CLONE3 = (435, 435)
_TO_OWN_PROCESS = ((62, 129), (234, 131))  # kill, tgkill: allowed towards itself


def confine(
    readable: Sequence[str],
    listable: Sequence[str],
    writable: Sequence[str],
    layers: Sequence[str] = LAYERS,
) -> dict[str, str]:
    """Apply every layer that this kernel offers and return what holds.

    Parameters
    ----------
    readable : files, or folders whose whole content may be read.
    listable : folders of which only the names below may be seen.
    writable : folders that may be written.
    layers : those of `LAYERS` to use; fewer where an operator must look inside.

    Returns
    -------
    ``network`` (namespace, seccomp, both joined by ``+``, or audit-hook), ``files``
    (landlock/ABI or unrestricted), ``processes`` (seccomp or audit-hook).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    namespace = "namespace" in layers and _leave_network(libc)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    abi = _restrict_files(libc, readable, listable, writable) if "landlock" in layers else 0
    filtered = "seccomp" in layers and _filter_calls(libc)
    network = [name for name, held in (("namespace", namespace), ("seccomp", filtered)) if held]
    if not filtered:
        sys.addaudithook(_refuse)
    return {
        "network": "+".join(network) or "audit-hook",
        "files": f"landlock/{abi}" if abi else "unrestricted",
        "processes": "seccomp" if filtered else "audit-hook",
    }


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends (PR_SET_PDEATHSIG).

    The signal is bound to the parent's *thread*: the parent must start workers from a
    thread that lives as long as it does.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)


def _leave_network(libc: Any) -> bool:
    """Enter empty namespaces; a user namespace makes it possible without privileges."""
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            try:
                Path(f"/proc/self/{name}").write_text(text, "ascii")
            except OSError:  # the ids stay unmapped; file rights are the same
                break
        return True
    return bool(libc.unshare(_CLONE_NEWNET) == 0)


# linux/landlock.h
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_SYSTEM = (
    *("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime"),
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm"),
    *("/sys/devices/system", "/sys/kernel/mm", *_DEVICES),
)


def _restrict_files(
    libc: Any, readable: Sequence[str], listable: Sequence[str], writable: Sequence[str]
) -> int:
    """Enforce a Landlock ruleset and return its ABI; 0 where the kernel has none."""
    abi = libc.syscall(_CREATE, None, 0, 1)
    if abi < 1:
        return 0
    rights = (1 << (13 + (abi >= 2) + (abi >= 3))) - 1
    rights |= _IOCTL if abi >= 5 else 0
    attributes = [rights, 0b11 if abi >= 4 else 0, 0b11 if abi >= 6 else 0]
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    raw = struct.pack("=QQQ", *attributes)[:size]
    ruleset = libc.syscall(_CREATE, raw, size, 0)
    if ruleset < 0:
        return 0
    try:
        grants = [(path, _READ_FILE | _READ_DIR) for path in (*_SYSTEM, *readable)]
        grants += [(path, _READ_DIR) for path in listable]
        grants += [(path, rights & ~_EXECUTE & ~_IOCTL) for path in writable]
        grants += [(path, _READ_FILE | _WRITE_FILE) for path in _DEVICES]
        for path, access in grants:
            _grant(libc, ruleset, path, access & rights)
        held = libc.syscall(_RESTRICT, ruleset, 0) == 0
    finally:
        os.close(ruleset)
    return int(abi) if held else 0


def _grant(libc: Any, ruleset: int, path: str, access: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # what is not there needs no grant
        return
    try:
        if not os.path.isdir(path):
            access &= _FILE_RIGHTS
        if access:
            libc.syscall(_ADD, ruleset, 1, struct.pack("=Qi", access, handle), 0)
    finally:
        os.close(handle)


# linux/filter.h, linux/seccomp.h: offsets in struct seccomp_data
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_LOAD, _EQUAL, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


def _filter_calls(libc: Any) -> bool:
    """Install the system call filter; False on a processor whose numbers are not listed."""
    known = _ARCHITECTURES.get(platform.machine())
    if known is None:
        return False
    column, architecture = known
    program = _program(column, architecture, os.getpid())
    raw = b"".join(struct.pack("=HBBI", *line) for line in program)
    code = ctypes.create_string_buffer(raw)
    header = struct.pack("@HxxxxxxP", len(program), ctypes.addressof(code))
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0) == 0)


def _program(column: int, architecture: int, pid: int) -> list[tuple[int, int, int, int]]:
    """Return the filter as (code, jump if true, jump if false, operand) lines."""
    refuse = (_RETURN, 0, 0, _ERRNO | _EPERM)
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        refuse,
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, 0x40000000),  # the x32 numbers of x86_64
        refuse,
        (_EQUAL, 0, 1, _CLONE3[column]),
        (_RETURN, 0, 0, _ERRNO | _ENOSYS),  # the C library then falls back to clone
    ]
    for numbers in _DENIED.values():
        number = numbers[column]
        if number is not None:
            lines += [(_EQUAL, 0, 1, number), refuse]
    for call in _TO_OWN_PROCESS:
        lines += [
            (_EQUAL, 0, 4, call[column]),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_EQUAL, 0, 1, pid),
            (_RETURN, 0, 0, _ALLOW),
            refuse,
        ]
    lines += [
        (_EQUAL, 0, 4, _CLONE[column]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_HAS_BITS, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        refuse,
        (_RETURN, 0, 0, _ALLOW),
    ]
    return lines


_REFUSED_EVENTS = frozenset(
    [f"socket.{name}" for name in ("connect", "bind", "sendto", "getaddrinfo", "getnameinfo")]
    + [f"socket.gethostby{name}" for name in ("name", "addr")]
    + [f"os.{name}" for name in ("exec", "fork", "forkpty", "posix_spawn", "spawn", "system")]
    + ["subprocess.Popen", "pty.spawn"]
)


def _refuse(event: str, _arguments: tuple[Any, ...]) -> None:
    if event in _REFUSED_EVENTS:
        raise PermissionError(f"{event} is refused in a worker")
