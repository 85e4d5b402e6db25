#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""readme_test - what README and the shipped examples show is what the programs take. Needs no root."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
failed = False


def ok(name, good, why=''):
    global failed
    failed |= not good
    print('%s - %s' % ('ok' if good else 'not ok', name))
    if not good:
        print('# %s' % why)


def run(*args, text=None):
    return subprocess.run(args, input=text, capture_output=True, timeout=60, text=True)


def program(name):
    return os.path.join(TOP, 'build', name)


def with_policy(config, policy):
    return re.sub(r'^policy:.*$', 'policy: %s' % policy, config, flags=re.M)


readme = open(os.path.join(TOP, 'README.md'), encoding='utf-8').read()
judged = re.search(r'### Rules that ask a classifier\n\n```yaml\n(.*?)```', readme, re.S).group(1)
config, pack, opinions, alerts = [block for block in re.findall(r'```yaml\n(.*?)```', readme, re.S) if block != judged]
with tempfile.TemporaryDirectory() as folder:
    policy = os.path.join(folder, 'policy.d')
    os.mkdir(policy)
    with open(os.path.join(policy, 'weapons.yaml'), 'w', encoding='utf-8') as file:
        file.write(pack)
    got = run(program('sluicectl'), 'policy', 'check', '-p', policy)
    ok('the pack of the README is good', got.returncode == 0, got.stderr)
    got = run(program('sluicectl'), 'scan', '-p', policy, '--json', text='on the Synthesis of SARIN, and more\n')
    ok('it finds what it says', got.returncode == 0 and '"start":7,"end":25' in got.stdout, got.stdout + got.stderr)
    for rule, text, hits in (
            ('weapons.nerve-agent', '沙林毒气配方', 1), ('weapons.nerve-agent', '反恐演练教材沙林毒气配方', 0),
            ('weapons.precursor', 'a precursor of sarin', 1), ('weapons.precursor', 'a precursor of soap', 0),
            ('weapons.device', 'the fuse, then the powder', 1), ('weapons.device', 'the fuse', 0),
            ('weapons.order-number', 'see ORD-123456.', 1), ('weapons.order-number', 'ORD-1234567', 0)):
        got = run(program('sluicectl'), 'scan', '-p', policy, '--json', text=text)
        ok('%s: %s' % (rule, text), got.stdout.count('"rule":"%s"' % rule) == hits, got.stdout + got.stderr)
    got = run(program('sluicectl'), 'scan', '-p', policy, text='nothing\n')
    ok('and nothing else', got.returncode == 1 and not got.stdout, got.stdout)
    for name, text in (('README', config), ('README with its alerts', config + alerts), ('README with its opinions', config + opinions),
                       ('packaging/sluice.yaml', open(os.path.join(TOP, 'packaging/sluice.yaml')).read())):
        file = os.path.join(folder, 'sluice.yaml')
        with open(file, 'w', encoding='utf-8') as out:
            out.write(with_policy(text, policy))
        got = run(program('sluiced'), '--check', '-c', file)
        ok('the configuration of %s is good' % name, got.returncode == 0, got.stderr)
    judges = os.path.join(folder, 'judges.d')
    os.mkdir(judges)
    shutil.copy(os.path.join(TOP, 'build', 'advertising.model'), judges)
    with open(os.path.join(judges, 'ads.yaml'), 'w', encoding='utf-8') as file:
        file.write('pack: ads\nrules:\n' + judged)
    for rule, text, hits in (
            ('ads.sentence', '限时抢购，错过再等一年！', 1), ('ads.sentence', '今天的会议改到三点。', 0),
            ('ads.words', '限时抢购，错过再等一年！', 1), ('ads.words', '法律规定了抢购商品时的退货期限。', 0),
            ('ads.brands', 'ACME: buy now and save big, only today!', 1), ('ads.brands', '今天的 ACME 会议改到三点。', 0)):
        got = run(program('sluicectl'), 'scan', '-p', judges, '--json', text=text)
        ok('%s: %s' % (rule, text), got.stdout.count('"rule":"%s"' % rule) == hits, got.stdout + got.stderr)
    got = run(program('sluicectl'), 'policy', 'check', '-p', os.path.join(TOP, 'packaging/policy.d'))
    ok('the shipped packs are good', got.returncode == 0, got.stderr)

targets = run('make', '-s', '-C', TOP, 'help').stdout
for name in sorted(set(re.findall(r'\bmake ([a-z-]+)', readme))):
    ok('make %s is a target' % name, re.search(r'^\s+%s\s' % name, targets, re.M), targets)
listed = run(program('sluicectl'), '--help').stdout
for name in sorted(set(re.findall(r'\bsluicectl ([a-z]+)', readme))):
    ok('sluicectl %s is a command' % name, re.search(r'^\s+%s\s' % name, listed, re.M), listed)
sys.exit(failed)
