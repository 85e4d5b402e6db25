#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""sluicectl discover: finds servers by process and by answer, leaves the rest alone, and believes the daemon."""
import http.server

from gate import *

isolate(120)

ANSWERS = {
    'vLLM': {'/v1/models': '{"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "vllm"}]}'},
    'Ollama': {'/api/tags': '{"models":[{"name":"llama3:latest"}]}'},
    'Triton': {'/v2': '{"name":"triton","version":"2.50","extensions":["classification"]}', '/v2/health/ready': ''},
    'TGI': {'/info': '{"model_id":"bigscience/bloom","max_concurrent_requests":128}'},
    'llama.cpp': {'/props': '{ "default_generation_settings": {"n_ctx": 512} }'},
    'a blog': {'/info': '<html>model_id</html>', '/v2/health/ready': 'ok'},
}
asked = []


def serve(kind, host='127.0.0.1'):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((kind, self.path))
            body = ANSWERS[kind].get(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header('Content-Length', str(len(body or '')))
            self.end_headers()
            self.wfile.write((body or '').encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer((host, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def listener(reaction, host='127.0.0.1'):
    """A server that is none: `reaction` gets each connection."""
    s = socket.socket()
    s.bind((host, 0))
    s.listen(8)

    def run_it():
        while True:
            with contextlib.suppress(OSError):
                reaction(s.accept()[0])
    threading.Thread(target=run_it, daemon=True).start()
    return s.getsockname()[1]


def discover(*args, control='/nowhere.sock'):
    done = subprocess.run([binary('sluicectl'), '--control', control, 'discover', '--json', *args], capture_output=True,
                          timeout=60)
    return done.returncode, [json.loads(line) for line in done.stdout.decode().splitlines()], done.stderr.decode()


status, found, said = discover()
ok('nothing listens: nothing is unguarded', status == 0 and not found, (status, found, said))
ok('and it says that no daemon answers', 'no daemon answers' in said, said)

ports = {kind: serve(kind) for kind in ANSWERS}
conversations, held = [], []
banner = listener(lambda c: (c.sendall(b'220 mail.example ESMTP\r\n'), conversations.append('banner'), c.close()))
silent = listener(lambda c: (conversations.append('silent'), held.append(c)))


def flood(c):
    conversations.append('flood')
    threading.Thread(target=lambda: [c.sendall(b'HTTP/1.1 200 OK\r\n\r\n' if not i else b'x' * 65536) for i in range(10000)],
                     daemon=True).start()


def drip(c):
    conversations.append('drip')

    def slowly():
        with contextlib.suppress(OSError):
            for byte in b'HTTP/1.1 200 OK\r\n' + b'x: y\r\n' * 10000:
                c.send(bytes([byte]))
                time.sleep(.05)
    threading.Thread(target=slowly, daemon=True).start()


threading.excepthook = lambda _: None
flooding, dripping = listener(flood), listener(drip)
elsewhere = serve('vLLM', HOST)

began = time.monotonic()
status, found, said = discover('--timeout', '200')
took = time.monotonic() - began
by_port = {int(f['address'].rsplit(':', 1)[1]): f for f in found}
for kind, port in ports.items():
    one = by_port.get(port)
    if kind == 'a blog':
        ok('a web server that says yes is none', one is None, one)
    else:
        ok('%s is told by its answers' % kind, one and one['server'] == kind and not one['guarded'] and one['pid'] == os.getpid(),
           (one, said))
ok('exit status 1: somebody is unguarded', status == 1, status)
ok('what is no inference server is not shown', not {banner, silent, flooding, dripping} & set(by_port), by_port)
ok('what does not speak HTTP hears one request', conversations.count('banner') == 1 and conversations.count('silent') == 1,
   conversations)
ok('slow, silent and endless ones cost their time-out, not more', took < 8, took)
ok('an address that is not loopback is not asked', elsewhere not in by_port, by_port.get(elsewhere))

folder = tempfile.mkdtemp(dir='/run')
fake = os.path.join(folder, 'llama-server')
with open(fake, 'w') as file:
    file.write('#!%s\nimport socket, time\ns = socket.socket()\ns.bind(("%s", 0))\ns.listen()\n'
               'print(s.getsockname()[1], flush=True)\ntime.sleep(60)\n' % (PYTHON, HOST))
os.chmod(fake, 0o755)
process = subprocess.Popen([fake], stdout=subprocess.PIPE)
port = int(process.stdout.readline())
status, found, _ = discover('--timeout', '100')
one = {int(f['address'].rsplit(':', 1)[1]): f for f in found}.get(port)
ok('a server that cannot be asked is told by its process', one and one['server'] == 'llama.cpp' and one['api'] is None and
   one['pid'] == process.pid, (one, found))
process.kill()

with Ground('chat', host='127.0.0.1') as ground:
    status, found, _ = discover('--timeout', '300')
    ok('the ground is seen while nobody guards it', any(f['address'].endswith(':%d' % ground.port) and f['api'] == 'OpenAI'
                                                        for f in found), found)
    with ground.gate() as gate:
        control = gate.config['control']
        status, found, said = discover('--timeout', '300', control=control)
        ok('a guarded one is not listed', not any(f['address'].endswith(':%d' % ground.port) for f in found), found)
        status, found, _ = discover('--all', '--timeout', '300', control=control)
        one = [f for f in found if f['address'].endswith(':%d' % ground.port)]
        ok('but with --all, by the name of its service', one and one[0]['guarded'] and one[0]['service'] == 'ground', found)
        ok('and it was not asked', not gate.exchanges(), gate.exchanges())
for args in (('--timeout', '0'), ('--timeout', 'x'), ('more',), ('--nonsense',)):
    ok('wrong usage is refused: ' + ' '.join(args), discover(*args)[0] == 2)
finish()
