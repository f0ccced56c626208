"""Runs a program whose system calls are denied as a container's seccomp profile may deny them.

    deny-calls.py CALL ERRNO PROGRAM ARGUMENT …

CALL is one of those below, ERRNO a name such as EPERM. Needs no privilege, and nothing but Python 3.9 on Linux.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 3, 4, 22, 38
SECCOMP_MODE_FILTER = 2
RLIMIT_CORE = 4
AT_EMPTY_PATH = 0x1000

# Of unistd.h: prctl, setrlimit, prlimit64, statx.
NUMBERS = {'x86_64': (157, 160, 302, 332), 'aarch64': (167, 164, 261, 291)}
PRCTL, SETRLIMIT, PRLIMIT, STATX = NUMBERS[platform.machine()]

# Which argument of which call has to have which value.
CALLS = {
    'dumpable': [(PRCTL, 0, PR_GET_DUMPABLE), (PRCTL, 0, PR_SET_DUMPABLE)],
    'get-dumpable': [(PRCTL, 0, PR_GET_DUMPABLE)],
    'set-dumpable': [(PRCTL, 0, PR_SET_DUMPABLE)],
    'core-limit': [(SETRLIMIT, 0, RLIMIT_CORE), (PRLIMIT, 1, RLIMIT_CORE)],
    'statx': [(STATX, 2, AT_EMPTY_PATH)],
}

# Of linux/bpf_common.h and linux/seccomp.h.
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


def instruction(code, value, if_true=0, if_false=0):
    return struct.pack('HBBI', code, if_true, if_false, value)


def rule(call, argument, value, number):
    """Looks at struct seccomp_data: the call's number is at 0, its arguments from 16 on."""
    return (
        instruction(LOAD, 0)
        + instruction(JUMP_IF_EQUAL, call, 0, 3)
        + instruction(LOAD, 16 + 8 * argument)
        + instruction(JUMP_IF_EQUAL, value, 0, 1)
        + instruction(RETURN, ERRNO | number)
    )


class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('instructions', ctypes.c_char_p)]


def install(code):
    libc = ctypes.CDLL(None, use_errno=True)
    program = Program(len(code) // 8, code)
    mode = ctypes.c_ulong(SECCOMP_MODE_FILTER)
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, mode, ctypes.byref(program), 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), 'prctl')


def main(name, error, *command):
    number = getattr(errno, error)
    rules = b''.join(rule(*which, number) for which in CALLS[name])
    install(rules + instruction(RETURN, ALLOW))
    os.execvp(command[0], command)


main(*sys.argv[1:])
