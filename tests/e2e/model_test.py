#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""model_test - the classifier's tools: train, eval, show and explain, on the demonstration data and on data gone wrong.

COLD=DIR names a folder with train.csv and dev.csv of COLDataset: the bars are then measured on it, too.
"""
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import xml.dom.minidom

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import TOP, binary, finish, ok

DATA = os.path.join(TOP, 'packaging', 'model', 'advertising.csv')
RISK = 'local.advertising'
DIR = tempfile.TemporaryDirectory()


def path(name):
    return os.path.join(DIR.name, name)


def model(*args, stdin=b''):
    return subprocess.run([binary('sluicectl'), 'model', *args], input=stdin, capture_output=True, timeout=300)


def write(name, data):
    with open(path(name), 'wb') as file:
        file.write(data.encode() if isinstance(data, str) else data)
    return path(name)


def measured(m, data, *args):
    result = model('eval', '-m', m, '--data', data, '--json', *args)
    return json.loads(result.stdout) if result.returncode == 0 else {}


def rows_of(name):
    with open(name, encoding='utf-8-sig', newline='') as file:
        return list(csv.reader(file))


def disguised(source, name, change):
    """The same data with the text column changed."""
    rows = rows_of(source)
    at = [c.lower() for c in rows[0]].index('text')
    with open(path(name), 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        for row in rows[1:]:
            writer.writerow(row[:at] + [change(row[at])] + row[at + 1:])
    return path(name)


rng = random.Random(3)
DISGUISES = {
    'zero width': lambda t: ''.join(c + rng.choice(['', '\u200b', '\u200d', '\u00ad', '\ufe0f']) for c in t),
    'full width': lambda t: ''.join(chr(ord(c) + 0xFEE0) if '!' <= c <= '~' else '\u3000' if c == ' ' else c for c in t),
    'case': lambda t: ''.join(rng.choice((c.upper(), c.lower())) for c in t),
}

for args in ([], ['dance'], ['train'], ['train', '--data', DATA], ['train', '-o', path('x')], ['eval', '-m', path('x')], ['show'],
             ['explain'], ['train', '--data', DATA, '-o', path('x'), '--risk', 'weapons'],
             ['train', '--data', DATA, '-o', path('x'), '--ngrams', '6'], ['train', '--data', DATA, '-o', path('x'), '--cost', '0'],
             ['train', '--data', path('none'), '-o', path('x')], ['eval', '-m', path('none'), '--data', DATA],
             ['eval', '-m', path('x'), '--data', DATA, '--window', 'last:0'], ['train', '--data', DATA, '-o', '/nonexistent/x']):
    result = model(*args)
    ok('%s: exit 2, said on standard error' % ' '.join(args)[:50], result.returncode == 2 and result.stderr, result)
for args in ([], ['train'], ['eval'], ['show'], ['explain']):
    result = model(*args, '--help')
    ok('%s --help' % ' '.join(args), result.returncode == 0 and result.stdout.startswith(b'usage: '), result)

# one model from the same data, whatever the format and however often
TRAIN = ['--risk', RISK, '--bits', '16', '--cost', '2']
result = model('train', '--data', DATA, *TRAIN, '-o', path('a'))
ok('train: says what cross-validation found', result.returncode == 0 and b'cross-validation' in result.stdout, result)
rows = rows_of(DATA)[1:]
write('data.jsonl', ''.join(json.dumps({'text': t, 'risks': [RISK] if label == '1' else []}) + '\n' for label, t in rows))
write('quoted.csv', '\ufeff"n","Comment","Risk"\r\n' + ''.join('%d,"%s",%s\r\n' % (n, t.replace('"', '""'), RISK if label == '1' else '')
                                                              for n, (label, t) in enumerate(rows)))
for name, data in (('b', DATA), ('c', path('data.jsonl')), ('d', path('quoted.csv'))):
    result = model('train', '--data', data, *TRAIN, '-o', path(name), '--quiet')
    ok('train: the same bytes from %s' % os.path.basename(data), result.returncode == 0 and not result.stdout and
       open(path(name), 'rb').read() == open(path('a'), 'rb').read(), result)

got = measured(path('a'), DATA, '--overblock', '0.02')
ok('eval: the fields that scripts rely on', all(f in got for f in ('accuracy', 'macro_f1', 'per_risk', 'recall_at_fpr_05', 'chars_to_decision'))
   and list(got['per_risk']) == [RISK], got)
ok('eval: what was learnt is known', got.get('accuracy', 0) > .95 and got['per_risk'][RISK]['auc'] > .98, got)
ok('eval: reading along decides before the end', 0 < got.get('chars_to_decision', 0) < got.get('chars_of_text', 0), got)
for name, change in DISGUISES.items():
    other = measured(path('a'), disguised(DATA, 'disguised.csv', change))
    ok('eval: blind to %s' % name, abs(other.get('accuracy', 9) - got['accuracy']) <= .01, (got, other))
# by hand: two texts, one of them labelled wrongly on purpose
two = write('two.csv', 'label,text\n1,"Buy now, amazing deal, act fast!!!"\n1,The library is closed on Mondays\n0,Please send the report\n')
hand = measured(path('a'), two)
ok('eval: figures as by hand', abs(hand.get('accuracy', 0) - 2 / 3) < 1e-6 and hand['per_risk'][RISK]['precision'] == 1 and
   hand['per_risk'][RISK]['recall'] == .5 and abs(hand['macro_f1'] - 2 / 3) < 1e-6, hand)
for window in ('sentence', 'last:20'):
    other = measured(path('a'), DATA, '--window', window)
    ok('eval --window %s' % window, other.get('accuracy', 0) > .9, other)
result = model('eval', '-m', path('a'), '--data', DATA, '--svg', path('curve.svg'))
ok('eval: curves in the terminal', result.returncode == 0 and b'overblocked' in result.stdout, result)
ok('eval: curves as SVG', xml.dom.minidom.parse(path('curve.svg')).documentElement.tagName == 'svg')

result = model('show', path('a'))
ok('show', result.returncode == 0 and RISK.encode() in result.stdout and b'digest ' in result.stdout, result)
result = model('explain', '-m', path('a'), '限时抢购！')
lines = result.stdout.decode().splitlines()
logit = float(lines[0].split('logit ')[1].split(',')[0]) if result.returncode == 0 else 0
base = float(lines[0].split('of nothing ')[1]) if result.returncode == 0 else 0
result = model('explain', '-m', path('a'), '-n', '1000', '限时抢购！')
parts = sum(float(line.split()[0]) for line in result.stdout.decode().splitlines()[1:])
ok('explain: the n-grams add up to the logit', abs(base + parts - logit) < .05, (lines, base, parts, logit))
ok('explain: control characters do not reach the terminal', b'\x1b' not in model('explain', '-m', path('a'), 'a\x1b[2Jb').stdout)

# signatures
subprocess.run(['openssl', 'genpkey', '-algorithm', 'ed25519', '-out', path('key')], check=True, capture_output=True)
subprocess.run(['openssl', 'pkey', '-in', path('key'), '-pubout', '-out', path('pub')], check=True, capture_output=True)
subprocess.run(['openssl', 'pkeyutl', '-sign', '-rawin', '-inkey', path('key'), '-in', path('a'), '-out', path('a.sig')], check=True,
               capture_output=True)
ok('show --key: signed is 0', model('show', path('a'), '--key', path('pub')).returncode == 0)
write('bad.sig', open(path('a.sig'), 'rb').read()[::-1])
ok('show --key: another signature is 1', model('show', path('a'), '--key', path('pub'), '--signature', path('bad.sig')).returncode == 1)
ok('show --key: no signature is 2', model('show', path('b'), '--key', path('pub')).returncode == 2)

# several risks
zh = ['这是关于%s的第%d句话' % (w, n) for w in ('天气', '股票', '足球') for n in range(20)]
write('three.csv', 'text,risks\n' + ''.join('%s,%s\n' % (t, 'A.1.d' if '天气' in t else '"local.x,A.2 e"' if '股票' in t else 'none') for t in zh))
result = model('train', '--data', path('three.csv'), '--bits', '14', '-o', path('three'))
got = measured(path('three'), path('three.csv'))
ok('several risks in one model', result.returncode == 0 and sorted(got.get('per_risk', {})) == ['A.1.d', 'A.2.e', 'local.x'] and
   got['accuracy'] > .95, (result, got))

# data gone wrong: each with file and line
for name, data, line, what in (
        ('unclosed', 'text,label\na,0\n"b,1\nc\n', 3, 'never closed'), ('fields', 'text,label\na,0\nb,1,2\n', 3, '3 fields'),
        ('quote', 'text,label\na"b,0\n', 2, 'quote'), ('behind', 'text,label\n"a"b,0\n', 2, 'behind a field'),
        ('label', 'text,label\n"a\nb",0\nb,weapons\n', 4, 'unknown label'), ('column', 'a,b\n1,2\n', 1, "no column 'text'"),
        ('twice', 'text,content,label\n', 1, 'two columns'), ('zero', b'text,label\na\0b,0\n', 2, 'value 0'), ('empty', '', 1, 'empty'),
        ('json', '{"text":"a","label":0}\n{"text":\n', 2, 'end on its line'), ('nolabel', '{"text":"a"}\n', 1, 'no label'),
        ('notext', '{"text":"a","label":0}\n\n{"text":1,"label":0}\n', 3, 'not a string'), ('array', '{"text":"a","label":0}\n[1]\n', 2, 'object'),
        ('twotexts', '{"text":"a","label":0,"content":"b"}\n', 1, 'two values')):
    file = write(name, data)
    result = model('train', '--data', file, '-o', path('x'))
    ok('data: %s' % name, result.returncode == 2 and result.stderr.decode().startswith('%s:%d: ' % (file, line)) and
       what in result.stderr.decode(), result)
result = model('train', '--data', write('few', 'text,label\na,0\nb,1\n'), '-o', path('x'))
ok('data: too little teaches nothing', result.returncode == 2 and b'at least 10' in result.stderr, result)
ok('nothing was written by what failed', not os.path.exists(path('x')) and not os.path.exists(path('x.new')))
whole = open(path('a'), 'rb').read()
for name, data in (('short', whole[:1000]), ('flipped', whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]), ('text', b'hello' * 100)):
    result = model('show', write('model-' + name, data))
    ok('a model that is %s is refused with the place' % name, result.returncode == 2 and b': byte ' in result.stderr, result)

cold = os.environ.get('COLD')
if cold:
    begin = time.process_time(), os.times().children_user
    result = model('train', '--data', os.path.join(cold, 'train.csv'), '-o', path('cold'))
    seconds = os.times().children_user - begin[1]
    dev = os.path.join(cold, 'dev.csv')
    got = measured(path('cold'), dev)
    print('# %s# %.1f s; %s' % (result.stdout.decode().splitlines()[0], seconds, got))
    ok('COLD: accuracy and macro-F1 >= 0.905', got['accuracy'] >= .905 and got['macro_f1'] >= .905, got)
    ok('COLD: trained in 60 s, 8 MB', seconds < 60 and os.path.getsize(path('cold')) <= 8e6, seconds)
    for name, change in DISGUISES.items():
        other = measured(path('cold'), disguised(dev, 'disguised.csv', change))
        ok('COLD: blind to %s' % name, abs(other['accuracy'] - got['accuracy']) <= .01, other)
else:
    print('ok - COLD: the bars # skip COLD names no folder')
finish()
