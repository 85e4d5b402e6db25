#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ports_test - one address has few ports, and a dial that its client ended keeps one for a minute: nobody is turned away."""
import os
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import CHAT, CLIENT, GROUND, HOST, PYTHON, Ground, finish, free_port, isolate, ok, receive, request_bytes, run, wait_for

isolate(120)
FIRST, PORTS, MANY = 62000, 32, 100  # no port that the servers or the clients here have
turn = 0


def system(name, value):
    with open('/proc/sys/net/ipv4/' + name, 'w') as file:
        file.write(value)


def waiting():
    """Dials in TIME_WAIT: our end has closed first, as the client did."""
    out = run('ss', '-Htan', 'state', 'time-wait', 'src', HOST, capture_output=True).stdout.decode()
    return sum(FIRST <= int(line.split()[2].rsplit(':', 1)[1]) < FIRST + PORTS for line in out.splitlines())


def once(port):
    """One answer on a connection that the client ends, from a port outside the range; None, or what went wrong."""
    global turn
    turn += 1
    try:
        with socket.socket() as s:
            s.settimeout(10)
            s.bind((CLIENT, 61000 + turn))
            s.connect((HOST, port))
            s.sendall(request_bytes('POST', CHAT, {'messages': [{'role': 'user', 'content': 'say GOOD'}]}))
            return receive(s, 10).error
    except OSError as problem:
        return str(problem)


def ended(gate):
    return wait_for(lambda: gate.status()['counters']['open'] == 0, 20)


with Ground('chat') as ground:
    second = free_port()
    ground.start([PYTHON, os.path.join(GROUND, 'chat_server.py'), '--host', HOST, '--port', str(second)])
    services = [{'name': 'ground', 'cgroup': '/' + ground.name, 'ports': [ground.port, second], 'fail': 'closed'}]
    with ground.gate(services=services) as gate:
        system('ip_local_port_range', '%d %d' % (FIRST, FIRST + PORTS - 1))
        system('tcp_tw_reuse', '0')  # it needs no leave of the host
        wrong = [once(ground.port) for _ in range(MANY)]
        ok('%d clients one after another, where a server address has %d ports: all are served' % (MANY, PORTS), not any(wrong),
           (sum(w is not None for w in wrong), [w for w in wrong if w][:3], gate.status()['counters']))
        ok('they were all taken (%d)' % waiting(), ended(gate) and waiting() == PORTS, waiting())
        wrong = once(second)
        ok('those that wait for one server are free for another', wrong is None, wrong)
        ok('it is sound', gate.sound() and gate.stop(), gate.log())
finish()
