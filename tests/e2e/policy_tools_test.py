#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""policy_tools_test - what sluicectl says of a policy: what it lacks, whether it does what its author says, what a change comes to."""
import datetime
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import FIXTURES, POLICY, TOP, binary, finish, isolate, ok

isolate(300)
TODAY = datetime.date.today().isoformat()


def ctl(*args, stdin=b''):
    return subprocess.run([binary('sluicectl'), *args], input=stdin if isinstance(stdin, bytes) else stdin.encode(),
                          capture_output=True, timeout=120)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as file:
        file.write(text if isinstance(text, bytes) else text.encode())
    return path


def policy(name, rules, version=TODAY):
    write('/run/%s/a.yaml' % name, 'pack: %s\nversion: "%s"\nrules:\n' % (name, version) + ''.join('  - {%s}\n' % r for r in rules))
    return '/run/' + name


# ---- check ----

p = policy('check', (
    'id: a, risk: A.1.d, action: block, keywords: [alpha beta, 引信, 引號, 引号, alpha]',
    'id: b, risk: [A.1.d, A.2.a], action: flag, keywords: [weasel, 引号], except: [WEASEL, ferret]',
    'id: c, risk: A.2.a, action: flag, keywords: [stoat], except: [Stoat]',
    'id: d, risk: A.2.a, action: block, keywords: [late], valid_until: 2025-01-01',
    'id: e, risk: A.2.a, action: block, all_of: {words: [abcdefgh, b], within: 4}',
    'id: f, risk: A.2.b, action: block, keywords: [served], services: [kitchen]',
    'id: g, risk: A.2.c, action: block, pinyin: initials, keywords: [甲乙, latin]',
    'id: h, risk: A.2.c, action: block, boundary: none, keywords: [mole]',
    'id: i, risk: A.2.c, action: block, keywords: [molest]'), '2025.01.31')
result = ctl('policy', 'check', '-p', p, '--json')
said = json.loads(result.stdout)
ok('check: good is 0', result.returncode == 0 and not result.stderr, result)
kinds = {(r['kind'], r['text'].split(' (')[0]) for r in said['remarks']}
texts = [r['text'] for r in said['remarks']]


def remarked(kind, *parts):
    return any(r['kind'] == kind and all(part in r['text'] for part in parts) for r in said['remarks'])


ok('check: what folds to the same is named with both places',
   remarked('same', "a.yaml:4:72: rule 'a'", "'引号'", "'引號' of rule 'a' at a.yaml:4:68"), texts)
ok('check: and across rules', remarked('same', "rule 'b'", "of rule 'a'"), texts)
ok('check: a word inside another', remarked('inside', "'alpha beta' holds 'alpha'"), texts)
ok('check: boundaries decide what is inside', remarked('inside', "'molest' holds 'mole'") and not remarked('inside', "'latin'"), texts)
ok('check: an exception that takes its keyword', remarked('excepted', "rule 'b'", "'weasel'"), texts)
ok('check: a rule whose exceptions take all', remarked('idle', "rule 'c'") and not remarked('idle', "rule 'b'"), texts)
ok('check: a rule that is over', remarked('idle', "rule 'd'", 'last day'), texts)
ok('check: words that cannot be that near', remarked('idle', "rule 'e'"), texts)
ok('check: services are not judged without a configuration', not remarked('idle', "rule 'f'"), texts)
ok('check: the age of a pack', remarked('age', "pack 'check'", 'days old') and said['packs'][0]['age_days'] > 300, texts)
risks = {r['risk']: (r['keywords'], r['least']) for r in said['standard']['risks']}
# a: five, two of them the same; b: weasel, and the one that a has
ok('check: keywords by risk, each text once', risks['A.1.d'] == (5, 200) and risks['A.2.a'] == (3, 100) and
   risks['A.2.b'] == (1, 100) and risks['A.4.f'] == (0, 0) and len(risks) == 31, risks)
ok('check: the total likewise', said['standard']['keywords'] == 11 and said['standard']['least'] == 10000 and said['standard']['short'], said)
ok('check: forms that are missing or too short', said['unread'] == 1 and said['brief'] == 1, said)
ok('check: remarks fail only when asked', ctl('policy', 'check', '-p', p, '--strict').returncode == 1)
result = ctl('policy', 'check', '-p', p)
ok('check: the same in words', result.returncode == 0 and '5 of 200, short' in result.stdout.decode() and
   'keywords of GB/T 45654, A.1 and A.2: 11 of 10000' in result.stdout.decode(), result)
conf = write('/run/sluice.yaml', 'services: [{name: vllm, unit: vllm.service}]\npolicy: %s\n' % p)
result = ctl('-c', conf, 'policy', 'check', '--json')
ok('check: a rule for a service that is not there', "rule 'f': it is for services" in result.stdout.decode(), result)
many = ['%s%d' % (chr(0xac00 + i // 10), i % 10) for i in range(12000)]
write('/run/full/words.csv', 'keyword,risk\n' + ''.join('%s,A.%d.%s\n' % (w, *((1, 'abcdefgh'[i % 17]) if i % 17 < 8 else (2, 'abcdefghi'[i % 17 - 8])))
                                                       for i, w in enumerate(many)))
p = policy('full', ['id: all, risk: [%s], action: flag, keywords_file: words.csv' % ', '.join(['A.1.' + c for c in 'abcdefgh'] + ['A.2.' + c for c in 'abcdefghi'])])
result = ctl('policy', 'check', '-p', p, '--json', '--strict')
said = json.loads(result.stdout)
ok('check: enough keywords, young and distinct: strict is 0', result.returncode == 0 and said['standard']['keywords'] == 12000 and
   not said['standard']['short'] and not said['remarks'] and
   all(r['keywords'] in (705, 706) for r in said['standard']['risks'][:17]), (result.returncode, said['standard'], said['remarks'][:3]))
text = write('/run/text', '가각갂0 가0 각' * 100)
result = ctl('policy', 'check', '-p', p, '--json', '--hold', text)
hold = json.loads(result.stdout)['hold']
# each character begins keywords, a digit ends one that waits for what follows, a space is nothing: 1 1 1 2 0 1 2 0 1
ok('check: how much is held', hold['characters'] == 900 and hold['keywords'] == hold['all'] ==
   {'mean': 1.0, 'p50': 1, 'p90': 2, 'p99': 2, 'max': 2}, hold)
ok('check: mistakes are 1, a missing text 2', ctl('policy', 'check', '-p', policy('bad', ['id: x'])).returncode == 1 and
   ctl('policy', 'check', '-p', p, '--hold', '/nonexistent').returncode == 2)

# ---- test ----

p = policy('test', (
    'id: a, risk: A.1.d, action: block, keywords: [alpha], examples: {hit: [an alpha male, ＡＬＰＨＡ], miss: [alphabet]}',
    'id: b, risk: A.1.d, action: flag, keywords: [beta], except: [beta test], examples: {hit: [beta], miss: [beta test]}'))
result = ctl('policy', 'test', '-p', p)
ok('test: examples that hold are 0', result.returncode == 0 and result.stdout == b'rules 2, examples 5, wrong 0\n', result)
wrong = policy('wrong', ('id: a, risk: A.1.d, action: block, keywords: [alpha], examples: {hit: [alphabet], miss: [alpha, gamma]}',))
result = ctl('policy', 'test', '-p', wrong, '--json')
said = json.loads(result.stdout)
ok('test: examples that do not are 1, each named', result.returncode == 1 and said['examples'] == 3 and
   [w['text'] for w in said['wrong']] == ['alphabet', 'alpha'] and said['wrong'][0]['rule'] == 'a', result)
bank = write('/run/bank.txt', 'harmless\n' * 95 + 'alpha\n' * 5 + '\n' + 'beta\n' * 0)
ok('test: 5 % of a bank refused are good', ctl('policy', 'test', '-p', p, '--bank', bank).returncode == 0)
over = write('/run/over.csv', 'id,Question\n' + ''.join('%d,"harmless, beta"\n' % i for i in range(93)) + '9,the alpha\n' * 6)
result = ctl('policy', 'test', '-p', p, '--bank', over, '--json')
said = json.loads(result.stdout)['banks'][0]
ok('test: 6 of 99 are not, and said which', result.returncode == 1 and said['refused'] == 6 and said['texts'] == 99 and
   not said['good'] and len(said['wrong']) == 6 and said['wrong'][0] == {'number': 94, 'rule': 'a', 'text': 'the alpha'}, said)
for n, good in ((95, True), (94, False)):
    bank = write('/run/refuse.txt', 'alpha\n' * n + 'no\n' * (100 - n))
    result = ctl('policy', 'test', '-p', p, '--refuse', bank)
    ok('test: %d %% of what must be refused' % n, result.returncode == (0 if good else 1) and b'refused: %d.00 %%' % n in result.stdout, result)
for n, good in ((90, True), (89, False)):
    bank = write('/run/answers.txt', 'no\n' * n + 'alpha\n' * (100 - n))
    ok('test: %d %% of answers pass' % n, ctl('policy', 'test', '-p', p, '--answers', bank).returncode == (0 if good else 1))
ok('test: no bank, an empty one, no such column are 2', all(ctl('policy', 'test', '-p', p, '--bank', b).returncode == 2 for b in
   ('/nonexistent', write('/run/empty.txt', '\n'), write('/run/no.csv', 'a,b\n1,2\n'))))
ok('test: the shipped packs do what their authors say', ctl('policy', 'test', '-p', os.path.join(TOP, 'packaging/policy.d')).returncode == 0)

# ---- show ----

p = policy('show', (
    'id: a, risk: A.1.d, action: block, gap: 1, keywords: [毒物], near: {words: [配方], within: 4}',
    'id: b, risk: A.1.d, action: flag, keywords: [beta], except: [beta test]',
    'id: c, risk: A.1.d, action: block, pinyin: true, keywords: [引信]',
    'id: d, risk: A.1.d, action: block, keywords: [only], services: [kitchen]',
    'id: e, risk: A.1.d, action: block, all_of: {words: [fuse, powder], within: 12}',
    "id: f, risk: A.4.f, action: redact, pattern: 'ORD-[0-9]{6}'"))
result = ctl('policy', 'show', '-p', p)
ok('show: rules and digest', result.returncode == 0 and b'c  block  A.1.d  keywords 1  pinyin' in result.stdout and
   b'rules 6, keywords 4, patterns 1\ndigest ' in result.stdout, result)


def explained(text, *args):
    result = ctl('policy', 'show', '-p', p, '--explain', '-', *args, stdin=text)
    return result.returncode, result.stdout.decode()


for name, text, status, parts in (
        ('what folds to what', 'Ｂe\u200bTA', 0, ['0-3  Ｂ  ef bc a2  -> b', '4-7  \u200b  e2 80 8b  -> nothing', "0-9  Ｂe\u200bTA  keyword 'beta' of b", 'counts, flag']),
        ('an exception', 'a beta test', 1, ["2-6  beta  keyword 'beta' of b", 'held back, inside the exception at 2-11']),
        ('nothing near', '毒-物', 1, ["0-7  毒-物  keyword '毒物' of a", 'held back, none of its near words within 4']),
        ('something near', '毒物的配方', 0, ["keyword '毒物' of a, a.yaml:4:", 'counts, block', "near '配方' of a"]),
        ('a form', 'the yinxin', 0, ["4-10  yinxin  keyword 'yinxin', pinyin of c", 'counts, block']),
        ('one of all words', 'a fuse', 1, ['e: held back, not all of its words are there']),
        ('all words, too far apart', 'fuse' + ' ' * 20 + 'powder', 1, ['e: held back, its words are not near enough']),
        ('all words', 'fuse powder', 0, ['0-11  fuse powder  all words of e: counts, block']),
        ('a pattern', 'x ORD-123456', 0, ['2-12  ORD-123456  pattern of f: counts, redact']),
        ('nothing', 'harmless', 1, [])):
    got = explained(text)
    ok('show --explain: ' + name, got[0] == status and all(part in got[1] for part in parts), got)
got = explained('only', '--service', 'cellar'), explained('only', '--service', 'kitchen')
ok('show --explain: a rule for another service', got[0][0] == 1 and 'not for this service' in got[0][1] and got[1][0] == 0, got)

# ---- import, and signed packs ----

lists = {
    '/run/lists/plain.txt': '# ours\n毒物\n毒物\nalpha\nthe alpha male\nx\n\u200b\n',
    '/run/lists/chinese.csv': '敏感词,分类\n毒气,武器\n"a, b",A.1.d\n闲话,闲\n'.encode('gb18030'),
    '/run/lists/pairs': 'beta|武器\ngamma|other\n'.encode('utf-16'),
    '/run/lists/list.json': json.dumps({'武器': ['\U0001f4a3 delta', 'epsilon']}),
    '/run/lists/secret.txt': 'eGkgdGhldGE=\n',
}
for path, text in lists.items():
    write(path, text)
maps = ['--map', '武器=A.1.d', '--map', '闲=-', '--map', '*=local.other', '--risk', 'A.2.a']
result = ctl('policy', 'import', '--json', *maps, '--prune', '-o', '/run/imported', '/run/lists/plain.txt')
ok('import: what becomes of each word', result.returncode == 0 and json.loads(result.stdout) ==
   {'words': 6, 'taken': 2, 'same': 1, 'pruned': 1, 'nothing': 1, 'short': 1, 'long': 0, 'broken': 0, 'left': 0, 'inside': 0,
    'risks': {'A.2.a': 2}}, result)
result = ctl('policy', 'import', *maps, '/run/lists/plain.txt')
ok('import: each with its line', result.returncode == 0 and "plain.txt:3: '毒物' is the same as /run/lists/plain.txt:2: '毒物'" in
   result.stdout.decode() and "plain.txt:5: 'the alpha male' holds /run/lists/plain.txt:4: 'alpha'" in result.stdout.decode(), result)
for args in (['--encoding', 'gbk', '/run/lists/chinese.csv'], ['/run/lists/pairs', '/run/lists/list.json', '--action', 'block'],
             ['--base64', '/run/lists/secret.txt']):
    result = ctl('policy', 'import', *maps, '-o', '/run/imported', *args)
    ok('import: %s' % args[-1], result.returncode == 0 and not result.stderr, result)
result = ctl('policy', 'check', '-p', '/run/imported')
ok('import: check takes what it wrote', result.returncode == 0 and b'packs 4, rules 5, keywords 9, patterns 0' in result.stdout, result)
for text, rules in (('毒气', ['chinese.A.1.d']), ('a, b', ['chinese.A.1.d']), ('\U0001f4a3 delta', ['pairs.A.1.d']), ('gamma', ['pairs.local.other']),
                    ('xi theta', ['secret.A.2.a']), ('闲话', [])):
    result = ctl('scan', '-p', '/run/imported', '--json', stdin=text)
    ok('import: finds %s' % text, [json.loads(line)['rule'] for line in result.stdout.splitlines()] == rules, result)
ok('import: a pack that is there stays', ctl('policy', 'import', '--risk', 'A.1.d', '-o', '/run/imported', '/run/lists/plain.txt').returncode == 2 and
   ctl('policy', 'import', '--risk', 'A.1.d', '--force', '-o', '/run/imported', '/run/lists/plain.txt').returncode == 0)
for name, args, said in (('a category without a risk', ['/run/lists/pairs', '--risk', 'A.1.d'], "the category '武器' has no risk"),
                         ('a word without one', ['/run/lists/plain.txt'], 'a word without a category'),
                         ('the wrong encoding', ['/run/lists/chinese.csv'], 'chinese.csv:1:1: not UTF-8'),
                         ('no words', [write('/run/lists/none.txt', '#\n'), '--risk', 'A.1.d'], 'no words are left')):
    result = ctl('policy', 'import', *args)
    ok('import: %s is 1' % name, result.returncode == 1 and said in result.stderr.decode(), result)
ok('import: what options do not take is 2', all(ctl('policy', 'import', *args, '/run/lists/plain.txt').returncode == 2 for args in
   (['--risk', 'Z'], ['--map', 'x'], ['--form', 'x'], ['--pack', '../x'], ['--action', 'x'], [])[:5]) and
   ctl('policy', 'import').returncode == 2 and ctl('policy', 'import', '--risk', 'A.1.d', '/nonexistent').returncode == 2)


def openssl(*args):
    subprocess.run(['openssl', *args], check=True, capture_output=True)


def sign(path, key='/run/sign.pem'):
    openssl('pkeyutl', '-sign', '-rawin', '-inkey', key, '-in', path, '-out', path + '.sig')


for name in ('sign', 'other'):
    openssl('genpkey', '-algorithm', 'ed25519', '-out', '/run/%s.pem' % name)
openssl('pkey', '-in', '/run/sign.pem', '-pubout', '-out', '/run/sign.pub')
conf = write('/run/signed.yaml', 'services: [{name: vllm, unit: vllm.service}]\npolicy: /run/vendor\npolicy_key: /run/sign.pub\n')
write('/run/vendor/v.yaml', 'pack: v\nversion: "%s"\nrules:\n  - {id: v.a, risk: A.1.d, action: block, keywords_file: v.txt}\n' % TODAY)
write('/run/vendor/v.txt', 'vendor\n')
plain = ['policy', 'import', '--risk', 'A.1.d', '/run/lists/plain.txt']
result = ctl('-c', conf, *plain)
ok('signed: a list without a signature is refused', result.returncode == 1 and b'plain.txt.sig: not signed' in result.stderr, result)
sign('/run/lists/plain.txt', '/run/other.pem')
result = ctl(*plain, '--key', '/run/sign.pub')
ok('signed: with another key, too', result.returncode == 1 and b'is not that of the' in result.stderr, result)
sign('/run/lists/plain.txt')
ok('signed: with the key it is read', ctl('-c', conf, *plain).returncode == 0)
result = ctl('-c', conf, 'policy', 'check')
ok('signed: check of the configured policy', result.returncode == 1 and b'v.yaml:1:1: v.yaml.sig: not signed' in result.stderr, result)
result = subprocess.run([binary('sluiced'), '--check', '-c', conf], capture_output=True)
ok('signed: the guard does not take it', result.returncode and b'v.yaml.sig: not signed' in result.stderr, result)
sign('/run/vendor/v.yaml')
result = ctl('policy', 'import', '-o', '/run/signed', '--key', '/run/sign.pub', '/run/vendor/v.yaml')
ok('signed: a pack whose list is not', result.returncode == 1 and b'v.txt.sig: not signed' in result.stderr and not os.path.exists('/run/signed'), result)
sign('/run/vendor/v.txt')
ok('signed: all of it is', ctl('-c', conf, 'policy', 'check').returncode == 0 and ctl('-c', conf, 'scan', stdin='vendor').returncode == 0 and
   subprocess.run([binary('sluiced'), '--check', '-c', conf], capture_output=True).returncode == 0)
result = ctl('policy', 'import', '-o', '/run/signed', '--key', '/run/sign.pub', '/run/vendor/v.yaml')
ok('signed: a pack comes with its list and signatures', result.returncode == 0 and
   ctl('policy', 'check', '-p', '/run/signed', '--key', '/run/sign.pub').returncode == 0 and len(os.listdir('/run/signed')) == 4, result)
result = ctl('policy', 'check', '-p', '/run/signed', '--key', '/run/vendor/v.txt')
ok('signed: a key that is none is 2', result.returncode == 1 and b'not the public key of Ed25519' in result.stderr or result.returncode == 2, result)
write('/run/vendor/v.txt', 'vendor\nadded\n')
result = ctl('-c', conf, 'scan', stdin='vendor')
ok('signed: one word more and it is refused', result.returncode == 2 and b'v.txt.sig: the signature beside it is not that of' in result.stderr, result)

# ---- replay --against ----

before = policy('before', ('id: a, risk: A.1.d, action: block, keywords: [alpha]', 'id: b, risk: A.1.d, action: flag, keywords: [beta]'))
after = policy('after', ('id: a, risk: A.1.d, action: flag, keywords: [alpha]', 'id: c, risk: A.1.d, action: block, keywords: [gamma]'))
texts = write('/run/texts', 'alpha\nbeta\ngamma\nalpha gamma\nharmless\n')
result = ctl('replay', '-p', before, '--against', after, '--json', texts)
said = json.loads(result.stdout)
ok('against: what texts lose and gain, by rule', result.returncode == 1 and said['texts'] == 5 and said['differ'] == 4 and
   {r['rule']: (r['before'], r['after'], r['gained'], r['lost']) for r in said['rules']} == {'b': (1, 0, 0, 1), 'c': (0, 2, 2, 0)} and
   {(a['before'], a['after']): a['texts'] for a in said['actions']} == {('block', 'flag'): 1, ('flag', 'nothing'): 1, ('nothing', 'block'): 1}, said)
ok('against: the same policy is 0', ctl('replay', '-p', before, '--against', before, texts).returncode == 0)
ok('against: a broken one is 2', ctl('replay', '-p', before, '--against', '/run/bad', texts).returncode == 2)
exchange = ['--request', os.path.join(FIXTURES, 'hit-one-event.req'), '--response', os.path.join(FIXTURES, 'hit-one-event.http')]
result = ctl('replay', '-p', POLICY, '--against', after, '--json', *exchange)
said = json.loads(result.stdout)
ok('against: an exchange', result.returncode == 1 and (said['before'], said['after']) == ('blocked', 'flagged') and
   said['lost'] == ['test.alpha'] and said['gained'] == ['a'] and said['released'][0] < said['released'][1], said)
ok('against: the same exchange is 0', ctl('replay', '-p', POLICY, '--against', POLICY, *exchange).returncode == 0)

# ---- selftest ----

for name, p in (('the shipped packs', os.path.join(TOP, 'packaging/policy.d')), ('the policy of the tests', POLICY)):
    result = ctl('selftest', '-p', p, '--quick', '--json')
    said = json.loads(result.stdout)
    ok('selftest: nothing missed of ' + name, result.returncode == 0 and said['missed'] == 0 and said['tried'] and
       (said['time_was_up'] or said['tried'] == said['of']) and len(said['apis']) == 15, (result.stderr, said))
p = policy('self', (
    'id: a, risk: A.1.d, action: block, keywords: [繁体测试, sarin gas]',
    'id: b, risk: A.1.d, action: redact, gap: 1, keywords: [mole], near: {words: [hill], within: 12}',
    'id: c, risk: A.1.d, action: block, all_of: {words: [fuse, powder], within: 30}',
    "id: d, risk: A.4.f, action: block, pattern: 'ORD-[0-9]{6}'"))
result = ctl('selftest', '-p', p, '--json', '--seconds', '60')
said = json.loads(result.stdout)
ok('selftest: every form of every rule', result.returncode == 0 and said['of'] == 4 and said['tried'] == 4 and said['without_examples'] == 1 and
   all(form['runs'] for form in said['forms'].values()), (result.stderr, said))
p = policy('miss', ('id: a, risk: A.1.d, action: block, keywords: [weasel], except: [WEASEL]',))
result = ctl('selftest', '-p', p, '--json')
said = json.loads(result.stdout)
ok('selftest: what is missed is 1, each API and form', result.returncode == 1 and said['missed'] and
   all(api['misses'] for api in said['apis'].values()) and b"missed: rule 'a', openai chat" in result.stderr, (result.stderr[:400], said))
p = policy('draw', ['id: a, risk: A.1.d, action: flag, keywords: [%s]' % ', '.join(many[:300])])
said = json.loads(ctl('selftest', '-p', p, '--json', '--keywords', '3').stdout)
ok('selftest: says how many were drawn', said['tried'] == 3 and said['of'] == 300, said)

finish()
