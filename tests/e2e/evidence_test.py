#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""evidence_test - P9: what a rule asks to keep is on the disk for the holders of age keys alone, and can be erased."""
import base64
import glob
import hashlib
import http.server
import json
import os
import random
import re
import shutil
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import TOP, ALPHA, ZH, Ground, binary, chat, finish, isolate, ok, run, skip, wait_for

isolate(200)
PROMPT, USER, SECOND, THIRD = 'prompt-secret-9d30ce', 'user-secret-7b61aa', 'user-secret-0c44d2', 'user-secret-f3e811'
CLOCK = '''#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
static long days(void) { const char *at = getenv("SHIFT_DAYS"); return at ? atol(at) * 86400 : 0; }
int clock_gettime(clockid_t which, struct timespec *t)
{
	int got = ((int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime"))(which, t);
	if (which == CLOCK_REALTIME)
		t->tv_sec += days();
	return got;
}
time_t time(time_t *to)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	if (to)
		*to = t.tv_sec;
	return t.tv_sec;
}
'''
RULES = '''pack: kept
version: "1"
rules:
  - {id: k.span, risk: A.1.d, action: block, keywords: [%s], evidence: span}
  - {id: k.full, risk: A.1.d, action: block, keywords: [%s], evidence: full}
  - {id: k.hash, risk: A.1.d, action: flag, keywords: [friendly animal], evidence: hash}
  - {id: k.none, risk: A.1.d, action: flag, keywords: [lazy dog], evidence: none}
  - {id: k.default, risk: A.1.d, action: flag, keywords: [東京]}
  - {id: k.person, risk: A.4.f, action: flag, keywords: [Paulo]}
''' % (ALPHA, ZH)


def keygen(name):
    path = os.path.join(ground.dir, name)
    run('age-keygen', '-o', path, capture_output=True)
    with open(path) as file:
        return path, [line.split()[-1] for line in file if line.startswith('# public key')][0]


def ctl(*args):
    done = gate.ctl(*args)
    return done.returncode, done.stdout, done.stderr.decode()


def kept(rule):
    """(seq, finding) of a rule's last finding, when there is one."""
    found = [(int(e['seq']), e['finding']) for e in gate.events() if e.get('finding', {}).get('risks', [{}])[0].get('rule_id') == rule]
    return found[-1] if found else (None, {})


def age_file(evidence):
    """Header and payload, as record.proto says; nothing of sluice's."""
    place = os.path.join(gate.record, 'ledger', 'evidence', evidence['pack'])
    with open(place + '.keys', 'rb') as keys, open(place + '.pack', 'rb') as pack:
        keys.seek(int(evidence.get('header_offset', 0)))
        pack.seek(int(evidence.get('offset', 0)))
        return keys.read(int(evidence['header_length'])), pack.read(int(evidence['length']))


def decrypt(identity, evidence):
    header, payload = age_file(evidence)
    done = run('age', '-d', '-i', identity, check=False, capture_output=True, input=header + payload)
    return json.loads(done.stdout) if done.returncode == 0 else None


def verify():
    done = run(binary('sluicectl'), 'verify', '-D', gate.record, check=False, capture_output=True)
    return done.returncode, done.stdout.decode() + done.stderr.decode()


def flip(path, at):
    with open(path, 'r+b') as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def bodies(kind, **more):
    found = [e[kind] for e in gate.events('type=' + kind) if kind in e]
    return [b for b in found if all(b.get(k) == v for k, v in more.items())]


def subject(name, *args):
    """Its pseudonyms: (pseudonym, days, field)."""
    done = run(binary('sluicectl'), '-c', gate.file, 'subject', *args, check=False, capture_output=True, input=name.encode() + b'\n')
    return done.returncode, [line.split('\t') for line in done.stdout.decode().splitlines()], done.stderr.decode()


def theirs_of(tag):
    """Findings of a pseudonym of which something was kept."""
    return [int(e['seq']) for e in gate.events('type=finding', 'subject_tag=' + tag) if e['finding'].get('evidence', {}).get('state') == 'KEPT']


exports = {}


def unpacked(name, file=''):
    return os.path.join(ground.dir, 'out-' + name, 'sluice-bundle', file)


def export(name, *args):
    """A bundle, unpacked: its files."""
    bundle = os.path.join(ground.dir, name + '.tar')
    done = gate.ctl('export', '--bundle', bundle, *args)
    exports[name] = done.stderr
    ok('export ' + ' '.join(args), done.returncode == 0, done)
    os.mkdir(os.path.dirname(unpacked(name)[:-1]))
    run('tar', '-C', os.path.dirname(unpacked(name)[:-1]), '-xf', bundle)
    out = {}
    for folder, _, files in os.walk(unpacked(name)):
        for file in files:
            with open(os.path.join(folder, file), 'rb') as f:
                out[os.path.relpath(f.name, unpacked(name))] = f.read()
    return out


def check(name, evidence, *what):
    """The exit status of a verifier that has nothing of ours, of a bundle with evidence."""
    return run(glob.glob(os.path.join(TOP, 'build', '*', 'verifier'))[0], '-evidence', evidence, *what, check=False, capture_output=True, cwd=unpacked(name)).returncode


def plants():
    """Everything that is text of an answer, a prompt or a name, in the forms that a leak could have."""
    words = [ALPHA, ZH, 'friendly animal', 'lazy dog', 'from the shelf', '今天', '第一步', PROMPT, USER, SECOND, THIRD]
    forms = (str.encode, lambda w: base64.b64encode(w.encode()), lambda w: w.encode().hex().encode(),
             lambda w: hashlib.sha256(w.encode()).digest(), lambda w: hashlib.sha256(w.encode()).hexdigest().encode(),
             lambda w: json.dumps(w)[1:-1].encode())
    return {form(w) for w in words for form in forms}


class Listener:
    """What is told to a journal and to a webhook."""

    def __init__(self):
        self.journal, self.bodies = [], []
        os.makedirs('/run/systemd/journal')
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind('/run/systemd/journal/socket')
        os.chmod('/run/systemd/journal/socket', 0o666)
        threading.Thread(target=self.listen, daemon=True).start()
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                listener.bodies.append(self.rfile.read(int(self.headers['content-length'])) + str(self.headers).encode())
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = 'http://127.0.0.1:%d/' % server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def listen(self):
        while True:
            self.journal.append(self.socket.recv(1 << 16))


def places():
    with socket.create_connection(('127.0.0.1', 9498), 5) as s:
        s.sendall(b'GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
        with s.makefile('rb') as answer:
            metrics = answer.read()
    ok('(there are metrics)', b'sluice_up 1' in metrics)
    yield 'metrics', metrics
    yield 'status', gate.ctl('status', '--json').stdout
    yield 'journal', b'\n'.join(listener.journal)
    yield 'webhook', b'\n'.join(listener.bodies)
    for pid in (gate.process.pid, gate.status()['worker_pid']):
        for file in ('cmdline', 'environ'):
            with open('/proc/%d/%s' % (pid, file), 'rb') as f:
                yield f.name, f.read()
    own = (ground.pins, policy, os.path.join(ground.dir, 'policy.kept'))  # a policy names its words
    for top in (ground.dir, '/run', '/var/lib/sluice', '/dev/shm/sluice'):
        for folder, _, files in os.walk(top):
            for file in files:
                path = os.path.join(folder, file)
                if os.path.isfile(path) and not folder.startswith(own) and file != 'server.log':
                    with open(path, 'rb') as f:
                        yield path, f.read()


for tool in ('age', 'gcc'):
    if not shutil.which(tool):
        skip('evidence_test', 'needs ' + tool)
        finish()
with Ground('chat') as ground:
    policy = os.path.join(ground.dir, 'kept.d')
    os.mkdir(policy)
    with open(os.path.join(policy, 'kept.yaml'), 'w') as file:
        file.write(RULES)
    mine, recipient = keygen('mine.key')
    others, _ = keygen('others.key')
    second, recipient2 = keygen('second.key')
    gate = ground.gate(policy=policy, wait=False, asan='verify_asan_link_order=0', metrics={'listen': '127.0.0.1:9498'},
                       identity={'headers': ['x-user-id']})

    # ---- nobody to seal for: refused where it stands ----
    gate.write()
    done = run(gate.program, '-c', gate.file, '--check', check=False, capture_output=True)
    said = done.stderr.decode()
    ok('a rule that asks for text needs a recipient: file, line, column', done.returncode != 0 and
       "kept.yaml:4:" in said and "kept.yaml:5:" in said and said.count('record.recipients') == 2, said)
    gate.config['record']['evidence'] = 'span'
    gate.write()
    done = run(gate.program, '-c', gate.file, '--check', check=False, capture_output=True)
    ok('so does the default', b'sluice.yaml:' in done.stderr and b'span needs record.recipients' in done.stderr, done)
    gate.config['record']['recipients'] = [recipient, recipient[:-1] + ('q' if recipient[-1] != 'q' else 'p')]
    gate.write()
    done = run(gate.program, '-c', gate.file, '--check', check=False, capture_output=True)
    ok('a recipient that is none is named by place', b'a recipient must be the public half of an age key' in done.stderr, done)
    gate.config['record']['recipients'] = [recipient, recipient2]
    listener = Listener()
    gate.config['alerts'] = {'webhook': listener.url, 'blocks': 1, 'window': '2s'}
    gate.write()

    # ---- kept ----
    with open(os.path.join(ground.dir, 'sluiced.log'), 'ab') as file:
        place = os.fstat(file.fileno())
    os.environ['JOURNAL_STREAM'] = '%d:%d' % (place.st_dev, place.st_ino)  # as if the file were the journal's
    gate.start()
    del os.environ['JOURNAL_STREAM']
    ok('ready', wait_for(gate.ready, 30), gate.log())
    for who in (SECOND, SECOND, THIRD):
        chat(ground, PROMPT + ' say BAD', fields=('Connection: close', 'X-User-Id: ' + who))
    for words in ('say BAD', 'say BADZH', 'say GOOD', 'say EMOJI', 'say TOOL'):
        for stream in (False, True):
            chat(ground, PROMPT + ' ' + words, stream, fields=('Connection: close', 'X-User-Id: ' + USER))
    ok('the last of them is on record', wait_for(lambda: len(bodies('exchange')) == 13, 20), gate.events())
    seq, finding = kept('k.span')
    evidence = finding.get('evidence', {})
    opened = decrypt(mine, evidence) if evidence.get('state') == 'KEPT' else None
    ok('span: age -d reads the match with what is around it', opened and opened['match'] == ALPHA and
       '"text": "say ' in opened['before'] and opened['rule'] == 'k.span' and opened['channel'] == 'tool_arguments' and
       opened['exchange_id'] == finding['exchange_id'] and 'answer' not in opened, (finding, opened))
    ok('the other recipient reads it, too', decrypt(second, evidence) == opened)
    ok('nobody else does', decrypt(others, evidence) is None)
    ok('a text of two answers has one tag', len({e['finding']['content_tag'] for e in gate.events() if
       e.get('finding', {}).get('risks', [{}])[0].get('rule_id') == 'k.span'}) == 1)
    header, payload = age_file(evidence)
    ok('the record holds the digests', evidence['sha256'] == hashlib.sha256(payload).hexdigest() and
       evidence['header_sha256'] == hashlib.sha256(header).hexdigest() and evidence['recipients'] == 2)
    full_seq, finding = kept('k.full')
    opened = decrypt(mine, finding['evidence'])
    ok('full: what there was of the answer', opened['match'] == ZH and finding['evidence']['kind'] == 'full' and
       opened['answer'][0]['channel'] == 'content' and opened['answer'][0]['text'].startswith('好的，第一步是准备 ' + ZH), opened)
    _, finding = kept('k.hash')
    ok('hash: a tag and no text', len(finding.get('content_tag', '')) == 32 and 'evidence' not in finding, finding)
    _, finding = kept('k.none')
    ok('none: neither', finding and 'content_tag' not in finding and 'evidence' not in finding, finding)
    _, finding = kept('k.default')
    ok('the default of the configuration', decrypt(mine, finding['evidence'])['match'] == '東京', finding)
    _, finding = kept('k.person')
    ok('which is not for personal data', finding and 'content_tag' not in finding and 'evidence' not in finding, finding)
    ok('(the journal and the webhook are told of it)', wait_for(lambda: b'SluiceBlocksMany' in b''.join(listener.bodies) and
       b'SluiceBlocksMany' in b''.join(listener.journal), 20), (listener.bodies, listener.journal))
    found = [(place, plant) for place, data in places() for plant in plants() if plant in data]
    ok('P9: no word of an answer, a prompt or a name in any file, metric, status, journal or push', not found, found)
    with open('/proc/%d/limits' % gate.status()['worker_pid']) as file:
        ok('and no core', re.search(r'^Max core file size +0 +0 ', file.read(), re.M))
    with open(os.path.join(ground.dir, 'planted'), 'w') as file:
        file.write('x' + USER)
    ok('(one that is there is found)', [p for p, data in places() for plant in plants() if plant in data] == [os.path.join(ground.dir, 'planted')])
    os.remove(os.path.join(ground.dir, 'planted'))
    ok('files are not for everybody', all(os.stat(p).st_mode & 0o7 == 0 for p in glob.glob(gate.record + '/ledger/evidence/*')))

    # ---- shown ----
    status, out, err = ctl('reveal', str(seq), '--identity', mine, '--reason', 'case 12')
    ok('reveal', status == 0 and json.loads(out)['match'] == ALPHA, err)
    shown = bodies('access', what='reveal')
    ok('is on record, with who asked and why', shown and shown[-1]['seqs'] == [seq] and shown[-1]['reason'] == 'case 12' and
       int(shown[-1].get('uid', 0)) == os.getuid(), shown)
    status, out, err = ctl('reveal', str(seq), '--identity', others)
    ok('not with another identity', status == 2 and not out and 'not for this identity' in err and len(bodies('access', what='reveal')) == 2, err)
    status, out, err = ctl('reveal', str(seq), '--sealed')
    ok('sealed: the age file itself', status == 0 and out == header + payload)
    none = kept('k.none')[0]
    status, out, err = ctl('reveal', str(none), '--identity', mine)
    ok('where nothing was kept', status == 2 and 'no text was kept' in err, err)
    status, out, err = ctl('reveal', '999999', '--identity', mine)
    ok('no such record', status == 2 and 'no such record' in err, err)
    wrapped = os.path.join(ground.dir, 'wrapped.key')
    run('age', '-r', recipient, '-o', wrapped, mine)
    status, out, err = ctl('reveal', str(seq), '--identity', wrapped)
    ok('an identity that is encrypted is refused by name', status == 2 and 'not supported by this version' in err, err)

    # ---- handed out ----
    exported = export('with', '--evidence', '--reason', 'case 13', 'type=finding')
    files = {name: exported[name] for name in exported if name.startswith('chosen/evidence/')}
    kept_all = {int(e['seq']): e['finding']['evidence'] for e in gate.events('type=finding')
                if e['finding'].get('evidence', {}).get('state') == 'KEPT'}
    ok('export --evidence: the age files as they are', files == {
        'chosen/evidence/%d.age' % n: b''.join(age_file(e)) for n, e in kept_all.items()} and len(files) > 3, sorted(files))
    done = run('age', '-d', '-i', mine, check=False, capture_output=True, input=files['chosen/evidence/%d.age' % seq])
    ok('age opens one', json.loads(done.stdout or '{}').get('match') == ALPHA, done)
    took = bodies('access', what='export')
    ok('on record, as what it is', took and took[-1]['filter'] == 'with evidence: type=finding' and took[-1]['reason'] == 'case 13', took)
    ok('without it there is none', not [n for n in export('without', 'type=finding') if 'evidence' in n])
    one = export('one', '--evidence', '--seq', str(seq))
    ok('of those that were chosen', [n for n in one if 'evidence' in n] == ['chosen/evidence/%d.age' % seq], sorted(one))
    whole = export('whole', '--evidence')
    ok('and of the whole', {n for n in whole if n.startswith('evidence/')} == {'evidence/%d.age' % n for n in kept_all}, sorted(whole))
    if glob.glob(os.path.join(TOP, 'build', '*', 'verifier')):
        ok('a stranger checks them against the records', check('whole', 'evidence', 'record/ledger') == 0 and
           check('with', 'chosen/evidence', '-records', 'chosen') == 0)
        path = unpacked('whole', 'evidence/%d.age' % seq)
        for at in (0, 100, os.stat(path).st_size - 1):
            flip(path, at)
            ok('and finds a flipped byte at %d' % at, check('whole', 'evidence', 'record/ledger') == 1)
            flip(path, at)
        os.rename(path, unpacked('whole', 'evidence/999999.age'))
        ok('and one that no record names', check('whole', 'evidence', 'record/ledger') == 1)
    else:
        skip('a stranger checks them against the records', 'it is not built')

    # ---- changed ----
    status, said = verify()
    ok('verify: sound', status == 0 and 'evidence sound: kept=' in said, said)
    place = os.path.join(gate.record, 'ledger', 'evidence', evidence['pack'])
    for path, at in ((place + '.pack', int(evidence['offset']) + 40), (place + '.keys', int(evidence['header_offset']) + 40)):
        flip(path, at)
        status, said = verify()
        ok('a flipped byte in %s is found' % path[-5:], status == 1 and 'record %d: it is not what was written' % seq in said, said)
        status, out, err = ctl('reveal', str(seq), '--identity', mine)
        ok('and not shown', status == 2 and not out and 'not what was written' in err, err)
        flip(path, at)

    # ---- erased: within the term of the law ----
    status, out, err = ctl('erase', str(seq), '--requester', 'ticket-8')
    ok('not without a legal basis', status == 2)
    status, out, err = ctl('erase', str(seq), '--requester', 'ticket-8', '--basis', 'PIPL 47', '--reason', 'asked for')
    ok('within the term it is restricted', status == 0 and out == b'erased 0, restricted 1, before 0\n', (out, err))
    said = bodies('erasure', seq=seq)
    ok('on record, with the day', said and said[0]['restricted'] and said[0]['requester_ref'] == 'ticket-8' and
       said[0]['legal_basis'] == 'PIPL 47' and said[0].get('not_before_unix_nano') and bodies('access', what='erase'), said)
    ok('the text is still there', decrypt(mine, evidence))
    status, out, err = ctl('reveal', str(seq), '--identity', mine)
    ok('and nobody is shown it', status == 2 and not out and 'restricted' in err and bodies('access', what='reveal refused'), err)
    status, out, err = ctl('erase', str(seq), '--requester', 'ticket-8', '--basis', 'PIPL 47')
    ok('once', status == 1 and out == b'erased 0, restricted 0, before 1\n', out)
    status, said = verify()
    ok('verify says so', status == 0 and 'restricted=1 erased=0' in said, said)
    left = export('restricted', '--evidence')
    ok('export leaves it out, and nothing else', {n for n in left if n.startswith('evidence/')} ==
       {'evidence/%d.age' % n for n in kept_all if n != seq} and b'restricted=1' in exports['restricted'], exports['restricted'])

    # ---- all that is kept of one subject ----
    status, told, err = subject(SECOND)
    pseudonym = told[0][0] if told else ''
    theirs = {e['subject_tag'] for e in bodies('exchange') if e['subject_tag'] == pseudonym}
    ok('subject: the pseudonym of a name', status == 0 and len(told) == 1 and told[0][2] == 'x-user-id' and len(theirs) == 1, (told, err))
    ok('and what it can not tell', 'nobody can tell any more whose they are' in err, err)
    ok('that it was asked for is on record, without the name', bodies('access', what='subject', filter='subject_tag=' + pseudonym), bodies('access'))
    ok('their findings have it, too', len(theirs_of(pseudonym)) == 2, theirs_of(pseudonym))
    ok('not with a field that is none', subject(SECOND, '--header', 'x-other')[0] == 2)
    ok('not of nobody', subject('')[0] == 2)
    status, out, err = ctl('erase', '--subject', pseudonym[:-1], '--requester', 'ticket-10', '--basis', 'PIPL 47')
    ok('what is no pseudonym is refused', status == 2 and not out, err)
    status, out, err = ctl('erase', '--subject', pseudonym, '--requester', 'ticket-10', '--basis', 'PIPL 47')
    ok('erase --subject, within the term', status == 0 and out == b'erased 0, restricted 2, before 0\n', (out, err))
    ok('of them and of nobody else', {int(b['seq']) for b in bodies('erasure')} == {seq} | set(theirs_of(pseudonym)), bodies('erasure'))
    ok('on record as what it was', [[int(n) for n in a['seqs']] for a in bodies('access', what='erase', filter='subject_tag=' + pseudonym)] ==
       [theirs_of(pseudonym)], bodies('access', what='erase'))
    status, out, err = ctl('erase', '--subject', '0' * 32, '--requester', 'ticket-10', '--basis', 'PIPL 47')
    ok('nobody has that one', status == 1 and out == b'erased 0, restricted 0, before 0\n', (out, err))
    old = subject(THIRD)[1][0][0]
    found = [(place, plant) for place, data in places() for plant in plants() if plant in data]
    ok('P9: nor in what was handed out, asked or written since', not found, found)
    ok('it stops', gate.stop(), gate.log())

    # ---- counted, for years: a Window a minute, and one at the end ----
    windows, said = bodies('window'), {}
    for row in [f for w in windows for f in w['findings']]:
        said[row['rule_id']] = said.get(row['rule_id'], 0) + int(row['count'])
    told = {}
    for b in bodies('finding'):
        told[b['risks'][0]['rule_id']] = told.get(b['risks'][0]['rule_id'], 0) + 1
    ok('Windows count what the records of the answers say', windows and {w['service'] for w in windows} == {'ground'} and
       sum(int(w['exchanges']) for w in windows) == len(bodies('exchange')) == sum(int(v['count']) for w in windows for v in w['verdicts']) and
       said == told, (windows, told))

    # ---- each file of a record with both logs and evidence, a byte of it ----
    copy, unnoticed, files = os.path.join(ground.dir, 'copy'), [], 0
    shutil.copytree(gate.record, copy)
    random.seed(os.environ.get('SEED', '7'))
    for folder, _, names in os.walk(copy):
        for name in names:
            path = os.path.join(folder, name)
            if name == 'lock' or name.endswith('.idx') or not os.path.getsize(path):
                continue
            files += 1
            for at in {0, random.randrange(os.path.getsize(path)), os.path.getsize(path) - 1}:
                flip(path, at)
                done = run(binary('sluicectl'), 'verify', '-D', copy, '-q', check=False, capture_output=True)
                if done.returncode != 1:
                    unnoticed.append((path, at, done))
                flip(path, at)
            os.rename(path, path + '.away')
            if run(binary('sluicectl'), 'verify', '-D', copy, '-q', check=False, capture_output=True).returncode != 1:
                unnoticed.append((path, 'gone'))
            os.rename(path + '.away', path)
    ok('verify notices a flipped byte in any of %d files, and that it is gone' % files, files >= 12 and not unnoticed, unnoticed)
    done = run(binary('sluicectl'), 'verify', '-D', copy, check=False, capture_output=True)
    ok('(and nothing when it is back)', done.returncode == 0, done)
    shutil.rmtree(copy)

    # ---- erased: after it ----
    with open('/run/clock.c', 'w') as file:
        file.write(CLOCK)
    run('gcc', '-shared', '-fPIC', '-o', '/run/clock.so', '/run/clock.c')
    os.environ.update({'LD_PRELOAD': '/run/clock.so', 'SHIFT_DAYS': '190'})
    gate.start()
    del os.environ['LD_PRELOAD'], os.environ['SHIFT_DAYS']
    ok('ready, half a year later', wait_for(gate.ready, 30), gate.log())
    ok('what was restricted is erased by itself', wait_for(lambda: len(bodies('erasure', seq=seq)) == 2, 20), gate.log())
    ok('for good', decrypt(mine, evidence) is None and age_file(evidence)[0] == bytes(len(header)) and age_file(evidence)[1] == payload)
    ok('and what was of the subject', wait_for(lambda: all(len(bodies('erasure', seq=n)) == 2 for n in theirs_of(pseudonym)), 20), gate.log())
    chat(ground, PROMPT + ' say BAD', fields=('Connection: close', 'X-User-Id: ' + THIRD))
    status, told, err = subject(THIRD)
    ok('with another key somebody has another pseudonym, and the old one is still known', status == 0 and len(told) == 2 and
       told[0][0] == old != told[1][0], (told, err))
    new = told[1][0]
    ok('(both have evidence)', wait_for(lambda: len(theirs_of(old)) == 1 and len(theirs_of(new)) == 1, 20))
    gone = {n: kept_all[n] for n in theirs_of(old)}
    status, out, err = ctl('erase', '--subject', old, '--subject', new, '--requester', 'ticket-11', '--basis', 'PIPL 47')
    ok('erase --subject: what may be is erased, the rest is restricted', status == 0 and out == b'erased 1, restricted 1, before 0\n', (out, err))
    ok('for good', all(decrypt(mine, e) is None and not any(age_file(e)[0]) for e in gone.values()))
    ok('the Erasure says so', [b.get('restricted', False) for n in theirs_of(old) + theirs_of(new) for b in bodies('erasure', seq=n)] == [False, True])
    status, said = verify()
    ok('and the tree still verifies', status == 0, said)
    keys = sorted(glob.glob(gate.record + '.keys/subject-*.key'))
    os.rename(keys[0], keys[0] + '.gone')
    status, told, err = subject(THIRD)
    ok('a key that is gone took its pseudonyms with it', status == 0 and [line[0] for line in told] == [new] and
       told[0][1][:10] in err, (told, err))
    os.rename(keys[0] + '.gone', keys[0])
    status, out, err = ctl('hold', 'add', 'case-9', '--authority', 'court', '--seq', str(full_seq))
    ok('a hold', status == 0, err)
    full = kept('k.full')[1]['evidence']
    status, out, err = ctl('erase', str(full_seq), '--requester', 'ticket-9', '--basis', 'PIPL 47')
    ok('under which nothing is erased', status == 0 and out == b'erased 0, restricted 1, before 0\n' and decrypt(mine, full), (out, err))
    status, out, err = ctl('hold', 'release', 'case-9')
    status, out, err = ctl('erase', '0-%d' % full_seq, '--requester', 'ticket-9', '--basis', 'PIPL 47')
    ok('and with its end it can be, as all others', status == 0 and b'restricted 0' in out and int(out.split()[1][:-1]) >= 2, (out, err))
    ok('it is gone', decrypt(mine, full) is None)
    status, out, err = ctl('reveal', str(full_seq), '--identity', mine)
    ok('reveal says so', status == 2 and not out and 'it was erased' in err, err)
    status, said = verify()
    ok('the tree still verifies, and verify says what was erased', status == 0 and 'erased=' in said and 'erased=0' not in said, said)
    stranger = glob.glob(os.path.join(TOP, 'build', '*', 'verifier'))
    if stranger:
        said = [run(stranger[0], os.path.join(gate.record, log), check=False, capture_output=True) for log in ('ledger', 'control')]
        ok('so does it for a verifier that has nothing of ours', [done.returncode for done in said] == [0, 0], said)
    else:
        skip('a verifier that has nothing of ours', 'it is not built')
    keys = place + '.keys'
    with open(keys, 'rb') as file:
        before = file.read()
    left = [int(e['seq']) for e in gate.events('type=finding') if e['finding'].get('evidence', {}).get('state') == 'KEPT']
    left = [n for n in left if not bodies('erasure', seq=n)]
    ok('what nobody asked to erase is left', left, left)
    with open(keys, 'r+b') as file:
        file.write(bytes(len(before)))
    status, said = verify()
    ok('a key that went without an Erasure is told', status == 1 and 'record %d: its key was erased, and no Erasure says so' % left[0] in said, said)
    with open(keys, 'r+b') as file:
        file.write(before)
    ok('it was sound', gate.sound(), gate.log())
finish()
