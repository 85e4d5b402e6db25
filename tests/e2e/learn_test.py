#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""learn_test - the whole way from a wrong block to one that does not happen again: block, evidence, review, feedback,
training. What leaves the host on the way tells of nobody, and who read what is on record before."""
import json
import os
import re
import shutil
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import TOP, ALPHA, Ground, binary, chat, finish, isolate, ok, run, skip, wait_for

isolate(200)
MODEL, DATA = os.path.join(TOP, 'build', 'advertising.model'), os.path.join(TOP, 'packaging', 'model', 'advertising.csv')
USER = 'user-7b61aa-of-nobody'
# what must not come out: a phone, a mail address, an identity number, keys; a customer that the policy masks
PHONE, MAIL, RESIDENT = '13800138000', 'zhang.san@mail.cn', '11010519491231002X'
KEY, AWS, CUSTOMER = 'sk-9f8Kd02LmQx7Tb41ZpWc8Yr3', 'AKIAQYLPMN5HHHFPZAM2', 'Zaphod Beeblebrox'
PEM = '-----BEGIN PRIVATE KEY-----\n' + 'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n' * 9 + 'kDzLqw==\n-----END PRIVATE KEY-----'
SECRETS = (PHONE, MAIL, RESIDENT, KEY, AWS, CUSTOMER, 'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC', 'kDzLqw==')
PERSONAL = '写信给 %s，电话 %s，身份证 %s。The key %s of %s opens %s now; then %s.' % (MAIL, PHONE, RESIDENT, KEY, CUSTOMER, ALPHA, AWS)
RULES = '''pack: learnt
version: "1"
rules:
  - {id: l.advert, risk: local.advertising, action: block, models: judged, evidence: span,
     classifier: {model: advertising.model, threshold: 0.9}}
  - {id: l.word, risk: A.1.d, action: block, models: [word, whole], keywords: [%s], evidence: full}
  - {id: l.zh, risk: [A.1.d, A.2.e], action: flag, models: word, keywords: [毒气测试短语], evidence: span}
  - {id: l.animal, risk: A.1.d, action: flag, keywords: [friendly animal]}
  - {id: l.customer, risk: A.3.c, action: redact, models: nobody, keywords: [%s]}
''' % (ALPHA, CUSTOMER)


def ctl(*args):
    done = gate.ctl(*args, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def say(words, model, **more):
    return chat(ground, words, model=model, fields=('Connection: close', 'X-User-Id: ' + USER), **more)


def found(rule):
    return [int(e['seq']) for e in gate.events('type=finding') if e['finding']['risks'][0]['rule_id'] == rule]


def bodies(kind, **more):
    return [b for b in (e[kind] for e in gate.events('type=' + kind)) if all(b.get(k) == v for k, v in more.items())]


def review(seq, outcome, *more):
    return ctl('review', str(seq), '--outcome', outcome, *more)


def counts(err):
    return {k: int(v) for k, v in re.findall(r'(\w+)=(\d+)', err.splitlines()[-1])} if err else {}


def lines(name):
    with open(os.path.join(ground.dir, name), encoding='utf-8') as file:
        return [json.loads(line) for line in file]


def out(name):
    return os.path.join(ground.dir, name)


def text_of(answer):
    events = [line[6:] for line in bytes(answer.body).split(b'\n') if line.startswith(b'data: {')]
    return ''.join(c.get('delta', {}).get('content') or '' for e in events for c in json.loads(e).get('choices', []))


def score(text):
    hits = [json.loads(line) for line in run(binary('sluicectl'), 'scan', '-p', policy, '--json', input=text.encode(), check=False,
                                             capture_output=True).stdout.splitlines()]
    return max([h['score'] for h in hits if h['rule'] == 'l.advert'], default=0)


if not shutil.which('age-keygen'):
    skip('learn_test', 'needs age')
    finish()
with Ground('chat') as ground:
    policy = os.path.join(ground.dir, 'policy.d')
    os.mkdir(policy)
    shutil.copy(MODEL, policy)
    with open(os.path.join(policy, 'learnt.yaml'), 'w') as file:
        file.write(RULES)
    keys = {}
    for name in ('mine', 'others'):
        run('age-keygen', '-o', out(name), capture_output=True)
        keys[name] = [line.split()[-1] for line in open(out(name)) if line.startswith('# public key')][0]
    gate = ground.gate(policy=policy, wait=False, identity={'headers': ['x-user-id']})
    gate.config['record']['recipients'] = [keys['mine']]
    gate.write()
    gate.start()
    ok('ready', wait_for(gate.ready, 30), gate.log())

    # ---- what happens ----
    blocked = say('say ADVERT', 'judged', tokens='short')
    ok('a sentence is blocked', '一年' not in text_of(blocked), blocked)
    for model in ('word', 'whole'):
        say('say OWN', model, answer='To %s: ' % model + PERSONAL)
    say('say OWN', 'word', answer='The manual says %s is only a test. %s' % (ALPHA, PHONE))
    say('say OWN', 'word', answer='%s\n毒气测试短语 and %s' % (PEM, PHONE))
    say('say GOOD', 'word')
    ok('five findings are on record', wait_for(lambda: len(gate.events('type=finding')) >= 6, 20), gate.events())
    advert, = found('l.advert')
    personal, whole, manual = found('l.word')
    zh, = found('l.zh')
    animal, = found('l.animal')

    # ---- nothing yet ----
    status, said, err = ctl('model', 'feedback', '-o', out('none'), '-i', out('mine'))
    ok('feedback: nothing was reviewed: exit status 1 and no file', status == 1 and not os.path.exists(out('none')), err)

    # ---- reviews ----
    exchange = next(int(e['seq']) for e in gate.events('type=exchange'))
    for name, args, why in (
            ('a record that is not there', ('999999', '--outcome', 'wrong'), 'no such record'),
            ('a record that is no finding', (str(exchange), '--outcome', 'wrong'), 'no finding'),
            ('an outcome that is none', (str(advert), '--outcome', 'maybe'), 'correct, wrong or unsure'),
            ('no outcome', (str(advert),), 'usage'), ('no record', ('--outcome', 'wrong'), 'usage'), ('a range', ('1-9', '--outcome', 'wrong'), 'usage'),
            ('a note with what the policy finds', (str(advert), '--outcome', 'wrong', '--note', 'it said ' + ALPHA), 'l.word finds something'),
            ('a note with personal data', (str(advert), '--outcome', 'wrong', '--note', 'call ' + PHONE), 'personal data or a secret'),
            ('a note with a line end', (str(advert), '--outcome', 'wrong', '--note', 'a\nb'), 'plain text')):
        status, said, err = ctl('review', *args)
        ok('review: refused: ' + name, status == 2 and why in err, err)
    ok('review: none of these is on record', not bodies('review'), bodies('review'))
    for seq, outcome, *more in ((advert, 'correct'), (advert, 'wrong', '--note', 'a public notice', '--reviewer', 'Wang, desk 3'), (personal, 'correct'),
                                (manual, 'wrong'), (zh, 'correct'), (animal, 'unsure')):
        status, said, err = review(seq, outcome, *more)
        ok('review: %d %s' % (seq, outcome), status == 0 and not err, err)
    mine = bodies('review', seq=advert)
    finding = next(e['finding'] for e in gate.events('type=finding') if int(e['seq']) == advert)
    ok('review: both stay on record, with who, which and why', [r['outcome'] for r in mine] == ['CORRECT', 'WRONG'] and
       mine[1]['note'] == 'a public notice' and mine[1]['reviewer_ref'] == 'Wang, desk 3' and mine[1]['rule_id'] == 'l.advert' and
       mine[1]['verdict'] == 'BLOCKED' and mine[1]['exchange_id'] == finding['exchange_id'] and int(mine[1].get('uid', 0)) == os.getuid() and
       int(mine[1]['pid']) > 1, mine)
    status, said, err = ctl('events', '-D', gate.record, 'type=review', 'outcome=WRONG', '-o', 'cat')
    ok('review: events finds it', status == 0 and said.count('outcome=WRONG') == 2 and 'note="a public notice"' in said, said)
    stats = {r['name']: r for r in map(json.loads, ctl('stats', '-D', gate.record, '--by', 'review', '--json')[1].splitlines())}
    ok('stats: how many were overturned, by rule; the last word counts', {k: (v['count'], v['wrong'], v['overturned']) for k, v in stats.items()} ==
       {'l.advert': (1, 1, 1), 'l.word': (2, 1, .5), 'l.zh': (1, 0, 0)}, stats)
    ok('stats: for people', 'overturned' in ctl('stats', '-D', gate.record)[1])
    status, said, err = ctl('export', '--bundle', out('reviews.tar'), '--control', 'type=review')
    ok('export --bundle: reviews with their proofs', status == 0 and 'records=6' in err, err)

    # ---- feedback ----
    before = len(bodies('access'))
    status, said, err = ctl('model', 'feedback', '-o', out('data.jsonl'), '-i', out('mine'), '--reason', 'May training')
    n = counts(err)
    ok('feedback: texts of what was called correct or wrong', status == 0 and n['correct'] == 2 and n['wrong'] == 2 and n['held'] == 0, err)
    shown = bodies('access', what='feedback')
    ok('feedback: who read which evidence is on record', len(bodies('access')) == before + 1 and
       sorted(shown[0]['seqs']) == sorted([advert, personal, manual, zh]) and shown[0]['reason'] == 'May training', shown)
    data = lines('data.jsonl')
    raw = open(out('data.jsonl'), encoding='utf-8').read()
    by = {d['rules'][0] + ' ' + d['outcome']: d for d in data}
    ok('feedback: the risks of the rule, or none', by['l.advert wrong']['risks'] == [] and by['l.word correct']['risks'] == ['A.1.d'] and
       by['l.word wrong']['risks'] == [] and by['l.zh correct']['risks'] == ['A.1.d', 'A.2.e'], by)
    ok('feedback: the sentence that was blocked', '限时抢购，错过再等一年' in by['l.advert wrong']['text'], by)
    leaks = [s for s in SECRETS + (USER,) if s in raw or s in json.dumps(data, ensure_ascii=False)]
    ok('feedback: nothing of a person, no secret, no user', not leaks, (leaks, raw))
    for place in ('[personal.cn-mobile]', '[personal.email]', '[personal.cn-resident-id]', '[secrets.openai]', '[l.customer]', ALPHA):
        ok('feedback: %s stands where it was' % place, place in by['l.word correct']['text'], by['l.word correct'])
    ok('feedback: for its owner alone', os.stat(out('data.jsonl')).st_mode & 0o777 == 0o600)
    status, said, err = ctl('model', 'feedback', '-o', out('data.jsonl'), '-i', out('mine'))
    ok('feedback: not over a file that is there', status == 2 and 'there already' in err, err)
    status, said, err = ctl('model', 'feedback', '-o', out('no'), '-i', out('others'))
    ok('feedback: not with another identity', status == 2 and 'not for this identity' in err and not os.path.exists(out('no')), err)
    status, said, err = ctl('model', 'feedback', '-o', '-', '-i', out('mine'), 'rule_id=l.zh', '+', 'rule_id=l.advert')
    ok('feedback: of a choice, through a pipe', status == 0 and len(said.splitlines()) == 2, (said, err))

    # ---- training ----
    status, said, err = ctl('export', '--training', out('negatives.jsonl'), '-i', out('mine'), '--reason', 'tuning')
    negatives = lines('negatives.jsonl') if status == 0 else []
    raw = ''.join(json.dumps(n, ensure_ascii=False) for n in negatives)
    ok('training: blocked or rightly found, reviewed first, none that was wrong', [(n['rule'], n['reviewed']) for n in negatives] ==
       [('l.word', True), ('l.zh', True), ('l.word', False)], (negatives, err))
    ok('training: unpaired preferences, all of them negative', all(n['prompt'] == '' and n['label'] is False and n['completion'] for n in negatives), negatives)
    ok('training: the answer as far as it is kept', negatives and negatives[0]['completion'].startswith('To word: 写信给') and not negatives[0]['excerpt'], negatives)
    leaks = [s for s in SECRETS + (USER,) if s in raw]
    ok('training: nothing of a person, no secret, no user', not leaks and '[personal.cn-mobile]' in raw, (leaks, raw))
    ok('training: on record', [sorted(a['seqs']) for a in bodies('access', what='training')] == [sorted([personal, zh, whole])], bodies('access'))
    status, said, err = ctl('export', '--training', '-', '-i', out('mine'), '--reviewed')
    ok('training: only what was reviewed', status == 0 and len(said.splitlines()) == 2, (said, err))

    # ---- what may not be read ----
    ctl('erase', str(zh), '--requester', 'ticket-8', '--basis', 'PIPL 47')
    ctl('hold', 'add', 'case-7', '--authority', 'court', '--seq', str(personal))
    status, said, err = ctl('model', 'feedback', '-o', out('less.jsonl'), '-i', out('mine'))
    n = counts(err)
    ok('restricted, or kept for a case: left out and counted', status == 0 and n['restricted'] == 1 and n['held'] == 1 and n['correct'] == 0 and
       n['wrong'] == 2 and sorted(bodies('access', what='feedback')[-1]['seqs']) == sorted([advert, manual]), err)
    status, said, err = ctl('model', 'feedback', '-o', out('nothing'), '-i', out('mine'), '--seq', str(personal))
    ok('none is left: exit status 1, no file, and on record', status == 1 and not os.path.exists(out('nothing')) and
       bodies('access', what='feedback refused')[-1]['seqs'] == [personal], err)

    # ---- the same block does not happen again ----
    sentence = '限时抢购，错过再等一年！'
    old = score(sentence)
    run(os.path.join(TOP, 'build', 'sluicectl'), 'model', 'train', '--data', DATA, *[out('less.jsonl')] * 2, '--risk', 'local.advertising', '--bits', '16',
        '--cost', '2', '--quiet', '-o', out('learnt.model'), timeout=120)
    os.replace(out('learnt.model'), os.path.join(policy, 'advertising.model'))
    new = score(sentence)
    ok('what was called wrong scores less: %.3f, then %.3f' % (old, new), old > .9 > new, (old, new))
    loaded = len(bodies('policy'))
    gate.process.send_signal(signal.SIGHUP)
    ok('the model is taken in', wait_for(lambda: len(bodies('policy')) > loaded, 20), gate.log())
    again = wait_for(lambda: '一年' in text_of(say('say ADVERT', 'judged', tokens='short')), 20)
    ok('and the block that was wrong does not happen again', again, gate.log())

    # ---- no record, nothing to learn ----
    ok('it is sound, and stops', gate.sound() and gate.stop(), gate.log())
    for name, args in (('feedback', ('model', 'feedback', '-o', out('late'))), ('training', ('export', '--training', out('late')))):
        status, said, err = ctl(*args, '-i', out('mine'))
        ok('%s: without a daemon not a byte' % name, status == 2 and not os.path.exists(out('late')), err)
    ok('review: without a daemon none', review(personal, 'wrong')[0] == 2)
finish()
