#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""top_test - `sluicectl top` shows what happened, draws on a terminal and leaves it as it was."""
import os
import pty
import re
import select
import signal
import sys
import termios
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import ALPHA, CHAT, Ground, binary, chat, dial, finish, isolate, ok, receive, request_bytes, wait_for

isolate(90)
NAME = 'g\x1b[31mr'  # a name that would like to say something to the terminal


def top(gate, *args):
    done = gate.ctl('top', '-b', *args)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def row(text, name):
    """The last row of that name, by columns."""
    return next((line for line in reversed(text.splitlines()) if line.startswith(name)), '')[25:].split()


class Terminal:
    """The program on a terminal of its own, 100 by 30."""

    def __init__(self, gate, *args):
        self.out = b''
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.execv(binary('sluicectl'), ['sluicectl', '-c', gate.file, 'top', '-d', '0.2', *args])
        self.before = termios.tcgetattr(self.fd)

    def until(self, words, seconds=15):
        end = time.monotonic() + seconds
        while words not in self.out and time.monotonic() < end:
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.out += os.read(self.fd, 65536)
                except OSError:
                    break
        return words in self.out

    def ended(self):
        """Its exit status, or None if it does not end."""
        state = []

        def gone():
            self.until(b'\0', 0.1)  # takes what it says
            state[:] = os.waitpid(self.pid, os.WNOHANG)
            return state[0]
        return os.waitstatus_to_exitcode(state[1]) if wait_for(gone, 10) else None


with Ground('chat') as ground:
    services = [{'name': '"g\\e[31mr"', 'cgroup': '/' + ground.name, 'ports': [ground.port]}]
    with ground.gate(services=services) as gate:
        for words in ('say GOOD',) * 3 + ('say BAD',) * 2:
            chat(ground, words)
        wait_for(lambda: gate.status()['counters']['exchanges'] == 5)
        status, text, problem = top(gate, '-n', '1')
        ok('-b -n 1: one view', status == 0 and not problem and text.count('SERVICE') == 1, (status, text, problem))
        got = row(text, 'g?[31mr')
        ok('the service: how it fails, addresses, answers by verdict', got[:2] == ['closed', '1'] and
           got[3:] == ['3', '0', '2', '0', '0', '0'] and float(got[2]) > 0, (got, text))
        ok('what a name holds is not said to the terminal', '\x1b' not in text)
        added = row(text, 'added to a message')
        ok('latencies, from small to large', len(re.findall(r'added to a message +\d[\d.]* (?:us|ms|s) +\d[\d.]* (?:us|ms|s) +>?\d[\d.]* (?:us|ms|s)', text)) == 1 and
           re.search(r'refusal for its record +\d', text), (added, text))
        ok('no word of an answer', ALPHA not in text)
        with dial(ground) as s:
            s.sendall(request_bytes('POST', CHAT, {'stream': True, 'delay': 0.5, 'messages': [{'role': 'user', 'content': 'say GOOD'}]}))
            s.recv(4096)
            status, text, _ = top(gate, '-n', '2', '-d', '0.3')
            ok('a stream that is under way', status == 0 and text.count('SERVICE') == 2 and 'connections 1, streams 1,' in text, text)
            ok('nothing was answered between two views', row(text, 'g?[31mr')[2] == '0.0', text)
            receive(s, 20)
        ok('and is over', wait_for(lambda: 'connections 0, streams 0,' in top(gate, '-n', '1')[1], 10), top(gate, '-n', '1'))
        ok('no terminal, no -b: said, and nothing drawn', gate.ctl('top').returncode == 2 and not gate.ctl('top').stdout)
        for wrong in (('-n', '0'), ('-n', 'x'), ('-d', '0'), ('-d', 'nan'), ('extra',)):
            done = gate.ctl('top', '-b', *wrong)
            ok('top %s: exit 2' % ' '.join(wrong), done.returncode == 2 and not done.stdout and done.stderr, done)

        t = Terminal(gate)
        ok('on a terminal: its own screen, and drawn', t.until(b'refusal for its record') and t.out.startswith(b'\x1b[?1049h'), t.out[-600:])
        ok('no key is echoed', not termios.tcgetattr(t.fd)[3] & termios.ECHO)
        t.out = b''
        ok('drawn again', t.until(b'refusal for its record'), t.out)
        os.write(t.fd, b'q')
        ok('q ends it', t.ended() == 0 and t.out.endswith(b'\x1b[?1049l'), t.out[-100:])
        t = Terminal(gate)
        t.until(b'refusal for its record')
        os.kill(t.pid, signal.SIGTERM)
        ok('so does SIGTERM, and the screen is given back', t.ended() == 0 and t.out.endswith(b'\x1b[?1049l'), t.out[-100:])
        t = Terminal(gate)
        t.until(b'refusal for its record')
        os.kill(gate.worker(), signal.SIGKILL)
        wait_for(gate.ready, 20)
        ok('another worker is looked at, too', t.until(b'1 workers before this one'), t.out[-600:])
        ok('the daemon is sound', gate.sound(), gate.log())
        gate.stop()
        ok('no daemon: it says so, and waits for one', t.until(b'no daemon answers'), t.out[-600:])
        os.write(t.fd, b'q')
        ok('and ends', t.ended() == 0)
        ok('no daemon with -b: 2', top(gate)[0] == 2)
finish()
