#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""peer_test - P8: both ends see each other, not the gate."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import CLIENT, CLIENT6, HOST, HOST6, Ground, dial, finish, isolate, ok, receive, request_bytes

isolate(120)


def plain(address):
    return address.removeprefix('::ffff:')


def look(name, ground, host, source):
    ground.host = host
    with dial(ground, source) as s:
        s.sendall(request_bytes('GET', '/peer'))
        answer = receive(s, method='GET')
        mine, theirs = s.getsockname()[:2], s.getpeername()[:2]
    ok(name + ': the client sees the server', theirs == (host, ground.port), theirs)
    try:
        said = json.loads(answer.body)
    except ValueError:
        ok(name + ': the server answers', False, answer)
        return
    for what, want in (('accept', mine), ('getpeername', mine), ('getsockname', (host, ground.port)), ('client', mine),
                       ('server', (host, ground.port))):
        if what in said:
            got = (plain(said[what][0]), said[what][1])
            ok('%s: %s in the server' % (name, what), got == want, '%s, not %s' % (got, want))


for name, server, bind, host, source in (
        ('IPv4', ('fake',), HOST, HOST, CLIENT), ('IPv4 same address', ('fake',), HOST, HOST, None),
        ('IPv6', ('fake',), HOST6, HOST6, CLIENT6), ('IPv4 to a dual socket', ('fake',), '::', HOST, CLIENT),
        ('IPv6 to a dual socket', ('fake',), '::', HOST6, CLIENT6), ('IPv4 any', ('fake',), '0.0.0.0', '10.77.0.2', CLIENT),
        ('uvicorn', ('chat',), HOST, HOST, CLIENT), ('uvicorn asyncio', ('chat', '--loop', 'asyncio'), HOST, HOST, CLIENT)):
    with Ground(*server, host=bind) as ground:
        with ground.gate() as gate:
            look(name, ground, host, source)
            ok(name + ': went through the gate', len(gate.exchanges()) >= 1 or gate.status(), gate.log())
            ok(name + ': the daemon is sound', gate.sound(), gate.log())
finish()
