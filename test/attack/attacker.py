"""What a process may try on another one of its own user.

    attacker.py ATTACK PID < NEEDLES

Standard input holds what is looked for, one a line. The answer is one line: `found`, `nothing`, or `denied` with the
name of the error number. Needs nothing but Python 3.9 on Linux.
"""

import ctypes
import errno
import os
import resource
import stat
import sys

CHUNK_BYTES = 8 << 20
# Numbers of the generic system call table, which x86-64 shares from 424 on.
SYS_PIDFD_GETFD = 438
PTRACE_SEIZE = 0x4206

libc = ctypes.CDLL(None, use_errno=True)


class IoVector(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]


def checked(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), what)
    return result


def holds(text, needles):
    return any(needle in text for needle in needles)


# -- Memory ----------------------------------------------------------------------------------------------------------


def resident_regions(pid):
    """Readable mappings of which anything is in memory: proc(5), smaps."""
    region = None
    with open(f'/proc/{pid}/smaps') as smaps:
        for line in smaps:
            words = line.split()
            if not words[0].endswith(':'):
                start, end = (int(number, 16) for number in words[0].split('-'))
                region = (start, end) if words[1].startswith('r') and end < 1 << 63 else None
            elif words[0] == 'Rss:' and region and words[1] != '0':
                yield region


def scan(pid, needles, read):
    overlap = max(map(len, needles))
    for start, end in resident_regions(pid):
        for address in range(start, end, CHUNK_BYTES - overlap):
            try:
                if holds(read(address, min(CHUNK_BYTES, end - address)), needles):
                    return True
            except OSError as error:
                # Pages of a device, or ones that went away meanwhile.
                if error.errno not in (errno.EIO, errno.EFAULT):
                    raise
    return False


def memory(pid, needles):
    with open(f'/proc/{pid}/mem', 'rb', buffering=0) as file:
        return scan(pid, needles, lambda address, length: os.pread(file.fileno(), length, address))


def memory_of_thread(pid, needles):
    with open(f'/proc/{pid}/task/{os.listdir(f"/proc/{pid}/task")[-1]}/mem', 'rb', buffering=0) as file:
        return scan(pid, needles, lambda address, length: os.pread(file.fileno(), length, address))


def memory_for_writing(pid, _needles):
    os.close(os.open(f'/proc/{pid}/mem', os.O_RDWR))
    return True


def process_vm_readv(pid, needles):
    def read(address, length):
        buffer = ctypes.create_string_buffer(length)
        local = IoVector(ctypes.addressof(buffer), length)
        remote = IoVector(address, length)
        arguments = (pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
        count = checked(libc.process_vm_readv(*arguments), 'process_vm_readv')
        return buffer.raw[:count]

    try:
        # Nothing is mapped there: whoever may read is told so, and the others are denied without a look at the maps.
        read(0x1000, 1)
    except OSError as error:
        if error.errno != errno.EFAULT:
            raise
    return scan(pid, needles, read)


def ptrace_seize(pid, _needles):
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    checked(libc.ptrace(PTRACE_SEIZE, pid, None, None), 'ptrace')
    return True


# -- Files of /proc and descriptors ------------------------------------------------------------------------------------


def environ(pid, needles):
    with open(f'/proc/{pid}/environ', 'rb') as file:
        return holds(file.read(), needles)


# What PTRACE_MODE_READ or more guards: proc(5).
GUARDED_FILES = ['maps', 'smaps', 'smaps_rollup', 'pagemap', 'auxv', 'io', 'personality', 'syscall', 'stack']
GUARDED_LINKS = ['exe', 'cwd', 'root']
GUARDED_FOLDERS = ['fd', 'map_files']


def proc_files(pid, _needles):
    """Anything at all that opens."""
    attempts = [(name, read_byte) for name in GUARDED_FILES]
    attempts += [(name, os.readlink) for name in GUARDED_LINKS]
    attempts += [(name, os.listdir) for name in GUARDED_FOLDERS]
    for name, attempt in attempts:
        try:
            attempt(f'/proc/{pid}/{name}')
            return True
        except OSError as error:
            # A kernel may be built without some of them.
            if error.errno not in (errno.EACCES, errno.EPERM, errno.ENOENT):
                raise
    raise PermissionError(errno.EACCES, 'all of them')


def read_byte(path):
    with open(path, 'rb', buffering=0) as file:
        return file.read(1)


def descriptors(pid, needles):
    """Opens anew what the process has open, also what was unlinked."""
    return any(holds(read_regular(f'/proc/{pid}/fd/{name}'), needles) for name in os.listdir(f'/proc/{pid}/fd'))


def read_regular(path):
    if not stat.S_ISREG(os.stat(path).st_mode):
        return b''
    with open(path, 'rb') as file:
        return file.read(CHUNK_BYTES)


def pidfd_getfd(pid, needles):
    """Takes descriptors over."""
    pidfd = os.pidfd_open(pid)
    for number in range(64):
        try:
            stolen = checked(libc.syscall(SYS_PIDFD_GETFD, pidfd, number, 0), 'pidfd_getfd')
        except OSError as error:
            if error.errno == errno.EBADF:
                continue
            raise
        if stat.S_ISREG(os.fstat(stolen).st_mode) and holds(os.pread(stolen, CHUNK_BYTES, 0), needles):
            return True
        os.close(stolen)
    return False


def raise_core_limit(pid, _needles):
    resource.prlimit(pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return True


ATTACKS = {
    'memory': memory,
    'memory-of-thread': memory_of_thread,
    'memory-for-writing': memory_for_writing,
    'process-vm-readv': process_vm_readv,
    'ptrace-seize': ptrace_seize,
    'environ': environ,
    'proc-files': proc_files,
    'descriptors': descriptors,
    'pidfd-getfd': pidfd_getfd,
    'raise-core-limit': raise_core_limit,
}


def main():
    needles = sys.stdin.buffer.read().splitlines()
    try:
        print('found' if ATTACKS[sys.argv[1]](int(sys.argv[2]), needles) else 'nothing')
    except OSError as error:
        print('denied', errno.errorcode.get(error.errno, error.errno))


main()
