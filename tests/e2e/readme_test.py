#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""readme_test - what README, the pages behind it and the shipped examples show is what the programs take. Needs no root."""
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


def page(*path):
    with open(os.path.join(TOP, *path), encoding='utf-8') as file:
        return file.read()


# docs/decisions.md says what was, too.
PAGES = ['README.md', *sorted(os.path.join('docs', name) for name in os.listdir(os.path.join(TOP, 'docs')) if name != 'decisions.md')]
pages = {name: page(name) for name in PAGES}
readme, everything = pages['README.md'], '\n'.join(pages.values())
ok('the README is a tour: 350 lines at most', len(readme.splitlines()) <= 350, len(readme.splitlines()))
# Each example is of a kind that is tried below, by how it begins.
shown = {}
for block in re.findall(r'```yaml\n(.*?)```', everything, re.S):
    shown.setdefault(block.split(':', 1)[0].strip(), []).append(block)
ok('one example of each kind, and no other', {kind: len(blocks) for kind, blocks in shown.items()} ==
   {'services': 1, 'pack': 1, '- id': 1, 'opinions': 1, 'alerts': 1}, shown.keys())
config, pack, judged, opinions, alerts = (shown[kind][0] for kind in ('services', 'pack', '- id', 'opinions', 'alerts'))
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
    start = pages['docs/quickstart.md']
    services = re.findall(r'`(\{name: [^`]*\})`', start)
    for service in sorted(set(services)):
        with open(file, 'w', encoding='utf-8') as out:
            out.write('services:\n  - %s\npolicy: %s\n' % (service.replace('…', 'pod'), policy))
        got = run(program('sluiced'), '--check', '-c', file)
        ok('quick start: %s' % service, got.returncode == 0, got.stderr)
    for server in ('vLLM', 'SGLang', 'llama.cpp', 'Ollama', 'Triton'):
        ok('quick start: %s has its row and its service' % server, re.search(r'^\| %s \| `\{name: ' % re.escape(server), start, re.M))
    lines = re.findall(r'^#   (.*)$', page('packaging', 'containers.conf'), re.M)
    ok('quick start: the drop-in is installed as its file says', len(lines) == 2 and '\n'.join(lines) in start, lines)
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
for name in sorted(set(re.findall(r'(?:^|`)make ([a-z-]+)', everything, re.M))):
    ok('make %s is a target' % name, re.search(r'^\s+%s\s' % name, targets, re.M), targets)
listed = run(program('sluicectl'), '--help').stdout
for name in sorted(set(re.findall(r'\bsluicectl ([a-z]+)', everything))):
    ok('sluicectl %s is a command' % name, re.search(r'^\s+%s\s' % name, listed, re.M), listed)


def anchors(name):
    return {re.sub(r'[^-\w ]', '', line).strip().lower().replace(' ', '-') for line in re.findall(r'^#+ (.*)$', page(name), re.M)}


for name in PAGES:
    links = [link for link in re.findall(r'\]\(([^)\s]+)\)', pages[name]) if not link.startswith('https://')]
    broken = []
    for link in links:
        path, _, anchor = link.partition('#')
        there = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
        if not os.path.exists(os.path.join(TOP, there)) or (anchor and anchor not in anchors(there)):
            broken.append(link)
    ok('%s: its %d links lead somewhere' % (name, len(links)), not broken, broken)
named = {p for p in re.findall(r'`((?:agent|bpf|docs|packaging|proto|scripts|tests)/[-\w./]+)`', everything)}
missing = {p for p in named if not any(os.path.exists(os.path.join(TOP, p + end)) for end in ('', '.py', '.c'))}
ok('files that pages name are there', len(named) > 20 and not missing, missing)
ok('every page is in the README', all(name in readme for name in PAGES if name != 'README.md'), PAGES)
sys.exit(failed)
