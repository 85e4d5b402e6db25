#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""confined_test - what the release build's worker and herald may not do, tried in their place: each call is made by the
process itself, by its registers, while it runs. tests/kernel/sandbox_test.c tries the sandbox; this one, who is in it."""
import ctypes
import errno
import platform

from gate import *

isolate(120)
RELEASE = os.path.join(TOP, 'build', 'release', 'sluiced')
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes, libc.ptrace.restype = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p], ctypes.c_long
SINGLESTEP, GETREGS, SETREGS, ATTACH, DETACH = 9, 12, 13, 16, 17
WALL = 0x40000000
AT_FDCWD = (1 << 64) - 100
# Numbers of x86-64.
CALLS = {'open': 2, 'mmap': 9, 'munmap': 11, 'getpid': 39, 'socket': 41, 'clone': 56, 'fork': 57, 'execve': 59, 'kill': 62,
         'truncate': 76, 'rename': 82, 'symlink': 88, 'ptrace': 101, 'setuid': 105, 'capset': 126, 'prctl': 157, 'chroot': 161,
         'mount': 165, 'init_module': 175, 'keyctl': 250, 'openat': 257, 'unshare': 272, 'perf_event_open': 298, 'setns': 308,
         'process_vm_readv': 310, 'memfd_create': 319, 'bpf': 321, 'execveat': 322, 'userfaultfd': 323, 'io_uring_setup': 425,
         'pidfd_open': 434, 'clone3': 435, 'openat2': 437, 'open_by_handle_at': 304}


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulong) for name in (
        'r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs '
        'gs').split()]


class Inside:
    """A process that is held still, and made to do system calls."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        self.trace(ATTACH)
        os.waitpid(self.pid, WALL)
        self.before = Registers()
        self.trace(GETREGS, ctypes.byref(self.before))
        self.memory = open('/proc/%d/mem' % self.pid, 'r+b', buffering=0)
        self.at = self.find_syscall()
        self.page = self.used = 0
        self.page = self('mmap', 0, 8192, 3, 0x22, (1 << 64) - 1, 0)
        return self

    def __exit__(self, *_):
        self('munmap', self.page, 8192)
        self.trace(SETREGS, ctypes.byref(self.before))
        self.trace(DETACH)
        self.memory.close()

    def trace(self, what, data=None):
        if libc.ptrace(what, self.pid, None, data) < 0:
            raise OSError(ctypes.get_errno(), 'ptrace %d' % what)

    def find_syscall(self):
        with open('/proc/%d/maps' % self.pid) as file:
            for line in file:
                if ' r-xp ' in line and '/libc.so' in line:
                    low, high = (int(x, 16) for x in line.split()[0].split('-'))
                    self.memory.seek(low)
                    found = self.memory.read(high - low).find(b'\x0f\x05')
                    if found >= 0:
                        return low + found
        raise LookupError('no system call in its C library')

    def put(self, value):
        """Where its bytes are, in there."""
        value = value.encode() + b'\0' if isinstance(value, str) else bytes(value)
        where = self.page + self.used
        self.memory.seek(where)
        self.memory.write(value)
        self.used += (len(value) + 15) & ~15
        return where

    def __call__(self, name, *args):
        """What the kernel answers there: a result, or a negative errno."""
        self.used = 0
        args = [a if isinstance(a, int) else self.put(a) for a in args] + [0] * 6
        now = Registers.from_buffer_copy(self.before)
        now.rax, now.orig_rax, now.rip = CALLS[name], (1 << 64) - 1, self.at
        now.rdi, now.rsi, now.rdx, now.r10, now.r8, now.r9 = args[:6]
        self.trace(SETREGS, ctypes.byref(now))
        self.trace(SINGLESTEP)
        _, status = os.waitpid(self.pid, WALL)
        if not os.WIFSTOPPED(status) or os.WSTOPSIG(status) != signal.SIGTRAP:
            raise ChildProcessError('%s ended it: %#x' % (name, status))
        self.trace(GETREGS, ctypes.byref(now))
        return ctypes.c_long(now.rax).value

    def opens(self, path, flags=os.O_RDONLY):
        return self('openat', AT_FDCWD, path, flags | os.O_CLOEXEC, 0o600)


PROGRAM = b'\xb7' + b'\0' * 7 + b'\x95' + b'\0' * 7     # r0 = 0; exit


def attempts(p, keeper):
    """(what is tried, what the kernel says)"""
    load = [1, 2]
    code, licence = p.page + 4096, p.page + 4096 + 64
    p.memory.seek(code)
    p.memory.write(PROGRAM.ljust(64, b'\0') + b'GPL\0')
    prog = b''.join(x.to_bytes(4, 'little') for x in load) + code.to_bytes(8, 'little') + licence.to_bytes(8, 'little')
    array = b''.join(x.to_bytes(4, 'little') for x in (2, 4, 4, 1))
    pin = p.page + 4096 + 128
    p.memory.seek(pin)
    p.memory.write(b'/sys/fs/bpf/sluice/map_dials\0')
    zero = bytes(128)
    return {
        'execve': p('execve', '/bin/true', 0, 0),
        'execveat': p('execveat', AT_FDCWD, '/bin/true', 0, 0, 0),
        'ptrace its keeper': p('ptrace', ATTACH, keeper),
        'ptrace itself': p('ptrace', 0),
        'read the keeper\'s memory': p('process_vm_readv', keeper, zero, 1, zero, 1, 0),
        'signal its keeper': p('kill', keeper, 0),
        'pidfd_open': p('pidfd_open', keeper, 0),
        'fork': p('fork'),
        'clone of a process': p('clone', signal.SIGCHLD),
        'clone into a namespace': p('clone', 0x10000000 | signal.SIGCHLD),
        'bpf: load a program': p('bpf', 5, prog.ljust(128, b'\0'), 128),
        'bpf: make a map': p('bpf', 0, array.ljust(128, b'\0'), 128),
        'bpf: take a pinned map': p('bpf', 7, pin.to_bytes(8, 'little').ljust(128, b'\0'), 128),
        'bpf: write a map': p('bpf', 2, zero, 128),
        'bpf: delete from a map': p('bpf', 3, zero, 128),
        'bpf: attach': p('bpf', 8, zero, 128),
        'unshare': p('unshare', 0x40000000),
        'setns': p('setns', 0, 0),
        'mount': p('mount', 'none', '/tmp', 'tmpfs', 0, 0),
        'chroot': p('chroot', '/tmp'),
        'init_module': p('init_module', 0, 0, ''),
        'perf_event_open': p('perf_event_open', 0, 0, (1 << 64) - 1, (1 << 64) - 1, 0),
        'io_uring': p('io_uring_setup', 1, zero),
        'userfaultfd': p('userfaultfd', 0),
        'keyctl': p('keyctl', 0, 0, 0),
        'memfd_create': p('memfd_create', 'x', 0),
        'prctl': p('prctl', 4, 1),
        'setuid': p('setuid', 1),
        'capset': p('capset', 0, 0),
        'a raw socket': p('socket', socket.AF_INET, socket.SOCK_RAW, 1),
        'a packet socket': p('socket', socket.AF_PACKET, socket.SOCK_RAW, 0),
        'a netlink socket': p('socket', socket.AF_NETLINK, socket.SOCK_RAW, 0),
        'open /etc/shadow': p.opens('/etc/shadow'),
        'open(2) /etc/shadow': p('open', '/etc/shadow', 0, 0),
        'openat2': p('openat2', AT_FDCWD, '/etc/shadow', zero, 24),
        'open_by_handle_at': p('open_by_handle_at', AT_FDCWD, zero, 0),
        'open /': p.opens('/'),
        'open /proc': p.opens('/proc/%d/mem' % keeper, os.O_RDWR),
        'open the pins': p.opens('/sys/fs/bpf'),
        'write to /tmp': p.opens('/tmp/from-inside', os.O_WRONLY | os.O_CREAT),
        'truncate': p('truncate', '/etc/passwd', 0),
        'rename': p('rename', '/etc/hosts', '/etc/hosts.old'),
        'symlink': p('symlink', '/etc/shadow', '/tmp/link'),
    }


def confined(who, gate, pid, mine, others):
    """`mine`: (path, flags) that it needs; `others`: the same of what is not its own."""
    with open('/proc/%d/status' % pid) as file:
        fields = dict(line.rstrip('\n').split(':\t', 1) for line in file if ':\t' in line)
    ok('%s: no capability, none to be had, no new privileges, a filter' % who,
       all(int(fields['Cap' + s], 16) == 0 for s in ('Inh', 'Prm', 'Eff', 'Bnd', 'Amb')) and fields['NoNewPrivs'] == '1' and
       fields['Seccomp'] == '2', fields)
    with Inside(pid) as p:
        ok('%s: calls are made in its place' % who, p('getpid') == pid)
        for name, answer in attempts(p, gate.process.pid).items():
            ok('%s: refused: %s' % (who, name), -answer in (errno.EPERM, errno.EACCES), answer)
        ok('%s: clone3 is not there' % who, p('clone3', bytes(88), 88) == -errno.ENOSYS)
        for path, flags in others:
            answer = p.opens(path, flags)
            ok('%s: refused: %s' % (who, path.replace(gate.ground.dir, '')), -answer in (errno.EPERM, errno.EACCES), answer)
        for path, flags in mine:
            answer = p.opens(path, flags)
            ok('%s: what it needs: %s' % (who, path.replace(gate.ground.dir, '')), answer >= 0, answer)


if platform.machine() != 'x86_64' or not os.path.exists(RELEASE):
    skip('confined_test', 'needs x86-64 and build/release/sluiced')
    finish()
with Ground('chat') as ground:
    # what systemd hands to the unit is read before the worker is confined, and not again
    secret = os.path.join(ground.dir, 'credentials', 'alerts.token')
    os.mkdir(os.path.dirname(secret))
    with open(secret, 'w') as file:
        file.write('token\n')
    os.environ['CREDENTIALS_DIRECTORY'] = os.path.dirname(secret)
    alerts = {'webhook': 'http://%s:%d/' % (HOST, free_port())}
    with ground.gate(program=RELEASE, alerts=alerts) as gate:
        worker = gate.status()['worker_pid']
        ok('it guards', refused(chat(ground, 'say BAD')) and len(gate.children()) == 2, gate.log())
        herald = next(pid for pid in gate.children() if pid != worker)
        with Inside(gate.process.pid) as p:
            ok('the keeper, in the same way, may', p.opens('/etc/shadow') >= 0)
        reading, writing = os.O_RDONLY, os.O_WRONLY | os.O_CREAT
        new = os.path.join(gate.record, 'new')
        confined('worker', gate, worker, [(POLICY, reading), (new, writing)],
                 [(os.path.join(POLICY, 'new'), writing), (POLICY + '/../../ground', reading), ('/etc/hosts', reading), (secret, reading)])
        confined('herald', gate, herald, [('/etc/hosts', reading)],
                 [(POLICY, reading), (new, reading), (gate.record + '.keys', reading), ('/etc/hosts', os.O_WRONLY),
                  ('/etc/passwd', reading), (secret, reading)])
        os.unlink(new)
        ok('and both go on', refused(chat(ground, 'say BAD')) and gate.status()['worker_pid'] == worker and
           herald in gate.children(), gate.log())
        ok('it stops by itself', gate.stop(), gate.log())
finish()
