#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""fake_server.py - answers with raw bytes as scripted, however odd.

    /usr/bin/python3 fake_server.py --port PORT [--host HOST] [--fixtures DIR]

    /raw/NAME?OPTIONS   DIR/NAME.http byte for byte, whatever the method
        piece=N         N bytes a write (1: byte by byte)      gap=S   S seconds between writes
        stop=N          only the first N bytes (negative: all but the last N)
        end=keep|fin|rst|hang    what follows: next request (default), close, reset, silence for a minute
    /ANY/PATH?raw=NAME&OPTIONS   the same under an API's own path
    /flood?bytes=N      an event stream of N bytes, as fast as the socket takes it
    /peer               what accept, getpeername and getsockname say
    /stats              counters: requests, connections, open, flood (bytes written), aborted
    /health             empty 200

A Host header is not asked for; requests may be bad: what cannot be read ends the connection.
"""
import argparse
import asyncio
import json
import os
import socket
import struct
import sys
from urllib.parse import parse_qsl, urlsplit

stats = {'requests': 0, 'connections': 0, 'open': 0, 'flood': 0, 'aborted': 0, 'bad': 0}
fixtures = {}


def fixture(folder, name):
    path = os.path.join(folder, os.path.basename(name) + '.http')
    if path not in fixtures:
        with open(path, 'rb') as file:
            fixtures[path] = file.read()
    return fixtures[path]


async def read_request(reader):
    """Method, target; None at the end of the connection."""
    head = await reader.readuntil(b'\r\n\r\n')
    lines = head.decode('latin-1').split('\r\n')
    method, target, _ = lines[0].split(' ', 2)
    fields = {}
    for line in lines[1:]:
        name, colon, value = line.partition(':')
        if colon:
            fields[name.strip().lower()] = value.strip()
    if 'chunked' in fields.get('transfer-encoding', '').lower():
        while True:
            size = int((await reader.readuntil(b'\r\n')).split(b';')[0], 16)
            await reader.readexactly(size + 2)
            if size == 0:
                break
    elif fields.get('content-length'):
        await reader.readexactly(int(fields['content-length']))
    return method, target


def plain(body, kind='application/json'):
    return b'HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s' % (kind.encode(), len(body), body)


async def send_raw(writer, data, options):
    stop = options.get('stop')
    if stop is not None:
        data = data[:int(stop)]
    piece, gap = int(options.get('piece', 0)) or len(data) or 1, float(options.get('gap', 0))
    for at in range(0, len(data), piece):
        writer.write(data[at:at + piece])
        await writer.drain()
        if piece < len(data):
            await asyncio.sleep(gap)
    end = options.get('end', 'keep')
    if end == 'rst':
        await asyncio.sleep(0.05)  # what was written leaves first
        writer.get_extra_info('socket').setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        writer.transport.abort()
    elif end == 'hang':
        await asyncio.sleep(60)
    return end == 'keep'


async def flood(writer, total):
    writer.write(b'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n')
    delta = {'object': 'chat.completion.chunk',
             'choices': [{'index': 0, 'delta': {'content': 'harmless words in a row ' * 20}, 'finish_reason': None}]}
    event = b'data: %s\n\n' % json.dumps(delta).encode()
    chunk = b'%x\r\n%s\r\n' % (len(event), event)
    while total > 0:
        writer.write(chunk)
        await writer.drain()
        stats['flood'] += len(chunk)
        total -= len(chunk)
    last = {'object': 'chat.completion.chunk', 'choices': [{'index': 0, 'delta': {}, 'finish_reason': 'stop'}]}
    for event in (b'data: %s\n\n' % json.dumps(last).encode(), b'data: [DONE]\n\n'):
        writer.write(b'%x\r\n%s\r\n' % (len(event), event))
    writer.write(b'0\r\n\r\n')
    await writer.drain()
    return True


async def answer(writer, target, folder):
    url = urlsplit(target)
    options = dict(parse_qsl(url.query))
    name = options.get('raw') or (url.path[5:] if url.path.startswith('/raw/') else None)
    if name:
        return await send_raw(writer, fixture(folder, name), options)
    if url.path == '/flood':
        return await flood(writer, int(options.get('bytes', 1 << 20)))
    if url.path == '/peer':
        sock = writer.get_extra_info('socket')
        writer.write(plain(json.dumps({'accept': writer.get_extra_info('peername')[:2],
                                       'getpeername': sock.getpeername()[:2],
                                       'getsockname': sock.getsockname()[:2]}).encode()))
    elif url.path == '/stats':
        writer.write(plain(json.dumps(stats).encode()))
    elif url.path == '/health':
        writer.write(plain(b'', 'text/plain'))
    else:
        writer.write(b'HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}')
    await writer.drain()
    return True


async def connection(reader, writer, folder):
    stats['connections'] += 1
    stats['open'] += 1
    try:
        while True:
            _, target = await read_request(reader)
            stats['requests'] += 1
            if not await answer(writer, target, folder):
                break
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as end:
        if not (isinstance(end, asyncio.IncompleteReadError) and not end.partial):
            stats['bad'] += 1
    except (ConnectionError, OSError) as end:
        stats['aborted'] += 1
        print('fake_server: %s' % end, file=sys.stderr, flush=True)
    finally:
        stats['open'] -= 1
        writer.close()


async def serve(args):
    sock = socket.socket(socket.AF_INET6 if ':' in args.host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if ':' in args.host:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # :: serves both families
    sock.bind((args.host, args.port))
    server = await asyncio.start_server(lambda r, w: connection(r, w, args.fixtures), sock=sock, backlog=4096,
                                        limit=1 << 20)
    async with server:
        await server.serve_forever()


if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('--host', default='127.0.0.1')
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--fixtures', default=os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'fixtures'))
    asyncio.run(serve(parser.parse_args()))
