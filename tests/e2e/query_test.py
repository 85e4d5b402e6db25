#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The record asked from a shell: both logs, exit codes, cursors over a rotation, -f over a roll, names that are refused."""
import gzip
import select
import struct

from gate import *

need(binary('sluicectl'))
folder = tempfile.mkdtemp(prefix='sluice-query-')
atexit.register(shutil.rmtree, folder, True)
START = 1795255200
os.environ['TZ'] = 'UTC'


# ---- segments by hand, from proto/record.proto: nothing of the writer's ----

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def varint(value):
    out = b''
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed(number, value):
    return varint(number << 3 | 1) + struct.pack('<Q', value)


def sealed(body):
    return body + b'\x7d' + struct.pack('<I', crc32c(body))


def record(seq, second, kind, body, twin=0):
    return field(1, sealed(fixed(1, seq) + fixed(2, (START + second) * 10**9) + fixed(3, 1) + field(4, b'b' * 16) +
                           field(kind, body) + (fixed(40, twin) if twin else b'')))


def exchange(seq, second, model, verdict):
    return record(seq, second, 31, field(2, 'req-%d' % seq) + field(4, field(1, 'vllm') + field(2, model)) +
                  field(12, verdict) + field(25, 200))


def finding(seq, second, rule):
    return record(seq, second, 16, field(5, field(1, 'A.1.d') + field(2, rule)) + field(6, 3))


def segment(log, first, records, mode='wb'):
    place = os.path.join(folder, log)
    os.makedirs(place, exist_ok=True)
    head = field(2, sealed(field(1, 1) + field(2, 'test.example/' + log) + fixed(3, first)))
    with open(os.path.join(place, '%020d.seg' % first), mode) as file:
        file.write((head if mode == 'wb' else b'') + b''.join(records))


def ask(*args, **how):
    return subprocess.run([binary('sluicectl'), 'events', '-D', folder, *args], capture_output=True, text=True, timeout=60, **how)


def seqs(done):
    """(log, seq) of JSON lines: the control log's records are lifecycles here."""
    return [('c' if line['type'] == 'lifecycle' else 'l') + str(line['seq']) for line in map(json.loads, done.stdout.splitlines())]


segment('ledger', 0, [exchange(0, 0, 'qwen', 1), exchange(1, 10, 'llama', 3), finding(2, 11, 'weapons.nerve-agent')])
segment('ledger', 3, [exchange(3, 30, 'qwen', 1)])
segment('control', 0, [record(0, 5, 30, field(1, 1) + field(3, 'first')), record(1, 20, 30, field(1, 3) + field(3, 'second'))])

# ---- one history ----
done = ask('-o', 'json')
ok('both logs, by time', done.returncode == 0 and seqs(done) == ['l0', 'c0', 'l1', 'l2', 'c1', 'l3'], done)
ok('newest first', seqs(ask('-o', 'json', '-r')) == ['l3', 'c1', 'l2', 'l1', 'c0', 'l0'])
ok('the last three', seqs(ask('-o', 'json', '-n', '3')) == ['l2', 'c1', 'l3'])
ok('--log control', seqs(ask('-o', 'json', '--log', 'control')) == ['c0', 'c1'])
ok('times', seqs(ask('-o', 'json', '-S', '@%d' % (START + 10), '-U', '@%d' % (START + 20))) == ['l1', 'l2', 'c1'])
for args, wanted in ((['model=llama'], ['l1']), (['--model', 'qwen'], ['l0', 'l3']), (['-g', 'nerve'], ['l2']),
                     (['-p', 'high'], ['l1', 'l2']), (['verdict=BLOCKED', 'type=exchange', '+', 'reason=second'], ['l1', 'c1']),
                     (['rule_id=weapons.nerve-agent'], ['l2'])):
    done = ask('-o', 'json', *args)
    ok(' '.join(args), done.returncode == 0 and seqs(done) == wanted, done)

# ---- exit codes, as grep's ----
ok('nothing: 1', ask('model=none').returncode == 1)
for args, why in ((['verdikt=BLOCKED'], 'verdikt=BLOCKED: no record has such a field'), (['-g', '('], 'not a pattern'),
                  (['-p', 'grave'], 'not a level'), (['-S', 'whenever'], 'not a time'), (['--colour'], '--colour is not supported'),
                  (['-o', 'ocsf'], '-o ocsf is not supported'), (['--cursor', 'x'], 'not a cursor')):
    done = ask(*args)
    ok('%s: 2, by name' % ' '.join(args), done.returncode == 2 and why in done.stderr and not done.stdout, done)
for command in ('events', 'stats', 'reindex'):
    done = subprocess.run([binary('sluicectl'), command, '--help'], capture_output=True, text=True)
    ok(command + ' --help', done.returncode == 0 and done.stdout.startswith('usage: sluicectl ' + command), done)
done = subprocess.run('"%s" events -D "%s" | head -n 1' % (binary('sluicectl'), folder), shell=True, capture_output=True, text=True)
ok('quiet when nobody reads on', not done.stderr and done.stdout.count('\n') == 1, done)

# ---- cursors over a rotation ----
place = os.path.join(folder, 'place')
done = ask('-o', 'json', '--cursor-file', place, '-n', '2')
ok('a cursor file that is not there yet', seqs(done) == ['c1', 'l3'], done)
ok('nothing new: 1', ask('-o', 'json', '--cursor-file', place).returncode == 1)
segment('ledger', 3, [exchange(4, 40, 'qwen', 1)], 'ab')
segment('ledger', 5, [exchange(5, 50, 'gemma', 1)])
for name in ('%020d' % 0, '%020d' % 3):  # sealed meanwhile, as one member, with the trailer
    raw = os.path.join(folder, 'ledger', name + '.seg')
    body = open(raw, 'rb').read()
    tail = field(3, fixed(1, 0) + field(2, b'r' * 32) + field(3, 1) + field(4, len(body)) + field(5, b's' * 32))
    with gzip.open(raw + '.gz', 'wb') as file:
        file.write(body + tail)
    os.remove(raw)
done = ask('-o', 'json', '--cursor-file', place)
ok('goes on behind it, over the roll and the sealing', seqs(done) == ['l4', 'l5'], done)
ok('both logs are still one history', seqs(ask('-o', 'json')) == ['l0', 'c0', 'l1', 'l2', 'c1', 'l3', 'l4', 'l5'])
cursor = [line for line in ask('--show-cursor', '--log', 'ledger', 'seq=3').stdout.splitlines() if line.startswith('-- cursor: ')][0][11:]
ok('--cursor', seqs(ask('-o', 'json', '--log', 'ledger', '--cursor', cursor)) == ['l3', 'l4', 'l5'])
ok('--after-cursor', seqs(ask('-o', 'json', '--log', 'ledger', '--after-cursor', cursor)) == ['l4', 'l5'])
done = ask('--log', 'ledger', '--cursor', cursor[:-1] + ('0' if cursor[-1] != '0' else '1'))
ok('a cursor into a log that was written anew: 2', done.returncode == 2 and 'written anew' in done.stderr, done)

# ---- indexes change nothing ----
before = ask('-o', 'json').stdout
done = subprocess.run([binary('sluicectl'), 'reindex', '-D', folder], capture_output=True, text=True)
ok('reindex', done.returncode == 0 and len(glob.glob(folder + '/ledger/*.idx')) == 2, done)
ok('the same with indexes and without', ask('-o', 'json').stdout == before == ask('-o', 'json', '--no-index').stdout)
ok('a filter, too', seqs(ask('-o', 'json', 'model=llama')) == ['l1'])

# ---- following over a roll ----
follower = subprocess.Popen([binary('sluicectl'), 'events', '-f', '-n', '1', '-o', 'json', '-D', folder, 'type=exchange'],
                            stdout=subprocess.PIPE)


def line(seconds=5):
    return json.loads(follower.stdout.readline())['seq'] if select.select([follower.stdout], [], [], seconds)[0] else None


ok('-f begins with the last', line() == 5)
segment('ledger', 5, [finding(6, 60, 'x'), exchange(7, 61, 'gemma', 1)], 'ab')
ok('goes on with the next that matches', line() == 7)
segment('ledger', 8, [exchange(8, 70, 'gemma', 1)])
ok('and over a roll', line() == 8)
follower.stdout.close()
ok('and ends when nobody reads', follower.wait(10) in (0, 1))

# ---- stats ----
def stats(*args):
    return subprocess.run([binary('sluicectl'), 'stats', '-D', folder, *args], capture_output=True, text=True, timeout=60)


done = stats('--json', '--by', 'model,rule')
rows = [json.loads(line) for line in done.stdout.splitlines()]
ok('stats --json', [(r['by'], r['name'], r['count'], r['blocked']) for r in rows] ==
   [('model', 'gemma', 3, 0), ('model', 'qwen', 3, 0), ('model', 'llama', 1, 1), ('rule', 'weapons.nerve-agent', 1, 1), ('rule', 'x', 1, 1)], done)
done = stats()
ok('stats for people', done.returncode == 0 and 'by model (exchanges: 7)' in done.stdout and '█' in done.stdout, done)
ok('stats --by nothing known: 2', stats('--by', 'colour').returncode == 2)
ok('stats of nothing: 1', stats('model=none').returncode == 1)

# ---- damage ----
path = os.path.join(folder, 'ledger', '%020d.seg' % 5)
raw = bytearray(open(path, 'rb').read())
raw[-1] ^= 1
with open(path, 'wb') as file:
    file.write(raw)
done = ask('-o', 'json')
ok('a damaged record: 3, told once, the rest is shown', done.returncode == 3 and done.stderr.count('\n') == 1 and
   'the CRC is wrong' in done.stderr and seqs(done)[-1] == 'l8', done)

# ---- records that stand in both logs ----
folder = os.path.join(folder, 'twins')
LIFE = [record(n, n, 30, field(1, 1) + field(3, 'both'), 7000 + n) for n in range(3)]
segment('ledger', 0, [LIFE[0], exchange(1, 1, 'qwen', 1), record(2, 2, 30, field(3, 'own'), 0), record(3, 4, 30, field(3, 'x'), 7001)])
segment('control', 0, [LIFE[0], LIFE[1], LIFE[2]])
every = ['own' if r.get('lifecycle', {}).get('reason') == 'own' else r.get('twin', r['type']) for r in map(json.loads, ask('-o', 'json').stdout.splitlines())]
ok('once, whichever log comes first', sorted(map(str, every)) == ['7000', '7001', '7002', 'exchange', 'own'], every)
ok('also newest first', ask('-r').stdout.count('\n') == 5 == ask('-n', '9').stdout.count('\n'))
ok('the last three are three', ask('-n', '3', '-o', 'json').stdout.count('\n') == 3)
ok('each log has its own', ask('--log', 'ledger').stdout.count('\n') == 4 and ask('--log', 'control').stdout.count('\n') == 3)
finish()
