#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Metrics, health and alerts: what is counted is what happened, and no alert asks for a metric that is not there."""
import re
import urllib.error
import urllib.request

from gate import *

isolate(120)
RULES = os.path.join(TOP, 'packaging', 'prometheus', 'sluice.rules.yaml')
with open(RULES) as file:
    rules = file.read()
with open(os.path.join(TOP, 'docs', 'runbook.md')) as file:
    sections = re.findall(r'^## (\w+)$', file.read(), re.M)
alerts = re.findall(r'- alert: (\w+)', rules)
ok('each alert has a section in the runbook, and each section an alert', alerts == sections, (alerts, sections))

with open(os.path.join(TOP, 'agent', 'alert', 'judge.c')) as file:
    pushed = set(re.findall(r'"(Sluice\w+)"', file.read()))
with open(os.path.join(TOP, 'docs', 'operating.md')) as file:
    told = set(re.findall(r'`(Sluice\w+)`', file.read()))
ok('what sluiced pushes itself has the names of the shipped alerts, and is in docs/operating.md', pushed and pushed <= set(alerts) and
   pushed == told, (pushed - set(alerts), pushed ^ told))
with open(os.path.join(TOP, 'tests', 'fixtures', 'prometheus', 'rules_test.yaml')) as file:
    fired = set(re.findall(r'alertname: (\w+)\n\s+exp_alerts:\n?\s*(?!\[\])\S', file.read()))
ok('promtool is asked to see each of them fire', fired == set(alerts), fired ^ set(alerts))
with open(os.path.join(TOP, 'packaging', 'grafana', 'sluice.json')) as file:
    dashboard = json.load(file)
panels = dashboard['panels']
ok('the dashboard: each panel has its number, a title, and the datasource that is asked for',
   len({p['id'] for p in panels}) == len(panels) and all(p['title'] and p['datasource']['uid'] == '${source}' for p in panels) and
   [v['name'] for v in dashboard['templating']['list']] == ['source'])
places = [(p['gridPos']['x'] + x, p['gridPos']['y'] + y) for p in panels for x in range(p['gridPos']['w']) for y in range(p['gridPos']['h'])]
ok('the dashboard: no panel lies on another, or beside the grid', len(set(places)) == len(places) and all(x < 24 for x, _ in places))
PAGES = [os.path.join(TOP, 'README.md'), *sorted(glob.glob(os.path.join(TOP, 'docs', '*.md'))),
         *sorted(glob.glob(os.path.join(TOP, 'packaging', 'man', '*')))]


def fetch(path):
    try:
        with urllib.request.urlopen('http://127.0.0.1:9477' + path, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode()


def values(text):
    return {line.rsplit(' ', 1)[0]: float(line.rsplit(' ', 1)[1]) for line in text.splitlines() if line[:1] not in ('#', '')}


def promtool(*args, **how):
    return subprocess.run(['promtool', *args], capture_output=True, text=True, timeout=60, **how)


WITNESS = {'url': 'http://127.0.0.1:1', 'key': 'w.test/w1+00000000+BAAA'}  # nobody asks it: it is there for its metric
OPINION = {'name': 'guard', 'url': 'http://127.0.0.1:1/v1/moderations', 'kind': 'moderations'}
trial = tempfile.mkdtemp(prefix='sluice-metrics-')
atexit.register(shutil.rmtree, trial, True)
shutil.copytree(POLICY, trial, dirs_exist_ok=True)
with open(os.path.join(trial, 'trial.yaml'), 'w') as file:
    file.write('pack: trial\nrules:\n' + ''.join('  - {id: %s, risk: A.1.d, action: shadow, keywords: ["%s"]%s}\n' % rule for rule in (
        ('trial.met', ALPHA, ''), ('trial.not', 'never said by anybody', ''), ('trial.else', 'x', ', services: [kitchen]'))))
with Ground('chat') as ground, ground.gate(metrics={'listen': '"127.0.0.1:9477"'}, policy=trial, opinions=[OPINION],
                                             record={'witnesses': [WITNESS]}) as gate:
    chat(ground, 'say GOOD'), chat(ground, 'say GOOD'), chat(ground, 'say BAD'), chat(ground, 'say BAD', stream=False)
    wanted = {'sluice_exchanges_total{service="ground",verdict="blocked"}': 2, 'sluice_hold_characters_count': 3,
              'sluice_record_wait_seconds_count': 2}
    wait_for(lambda: wanted.items() <= values(fetch('/metrics')[1]).items())
    status, text = fetch('/metrics')
    got = values(text)
    finding = [key for key in got if key.startswith('sluice_findings_total{service="ground"') and 'action="block"' in key]
    ok('answers are counted by service and verdict', got['sluice_exchanges_total{service="ground",verdict="cleared"}'] == 2 and
       got['sluice_exchanges_total{service="ground",verdict="blocked"}'] == 2, text)
    ok('findings by rule and risk', len(finding) == 1 and got[finding[0]] == 2 and 'rule="' in finding[0], text)
    shadow = {key: got[key] for key in got if 'action="shadow"' in key}
    ok('rules that shadow are counted from nothing on', shadow == {
        'sluice_findings_total{service="ground",rule="%s",risk="A.1.d",action="shadow"}' % rule: count
        for rule, count in (('trial.met', 2), ('trial.not', 0))}, shadow)
    ok('hold, added time and the wait for the record are measured', got['sluice_hold_characters_count'] == 3 and
       got['sluice_added_seconds_count'] > 3 and got['sluice_record_wait_seconds_count'] == 2 and
       0 < got['sluice_record_wait_seconds_sum'] < 5, text)
    ok('the keeper says what is guarded', got['sluice_guarded_addresses{service="ground"}'] >= 1 and 'sluice_uncovered' in got, text)
    ok('no word of an answer is in there', ALPHA not in text)
    names = set(re.findall(r'\b(?:sluice|process)_[a-z_]+', re.sub(r'#.*', '', '\n'.join(re.findall(r'expr: (.*?)labels:', rules, re.S)))))
    missing = {n for n in names if not any(key.split('{')[0] == n for key in got)}
    ok('every metric of the alerts is there', names and not missing, missing)
    asked = ' '.join(t['expr'] for panel in panels for t in panel['targets'])
    missing = {n for n in re.findall(r'\bsluice_[a-z_]+', asked) if not any(key.split('{')[0] == n for key in got)}
    ok('and every metric of the dashboard', not missing, missing)
    families = set(re.findall(r'^# TYPE (\S+)', text, re.M)) | {key.split('{')[0] for key in got}
    for page in PAGES:
        with open(page, encoding='utf-8') as file:
            named = set(re.findall(r'\bsluice_[a-z_]+[a-z]\b', file.read()))
        ok('and every metric that %s names' % os.path.relpath(page, TOP), named <= families, named - families)
    ok('the worker knows how many descriptors it may hold', got.get('process_max_fds', 0) > 1000, got.get('process_max_fds'))
    ok('health: well', fetch('/healthz') == (200, 'ok\n'), fetch('/healthz'))
    ok('nothing else is served', fetch('/')[0] == 404 and fetch('/metricsx')[0] == 404)
    if shutil.which('promtool'):
        done = promtool('check', 'metrics', input=text)
        ok('promtool has nothing to say of the metrics', done.returncode == 0 and not done.stdout.strip(), done.stdout + done.stderr)
    else:
        skip('promtool check metrics', 'promtool is not there')
if shutil.which('promtool'):
    done = promtool('check', 'rules', RULES)
    ok('promtool takes the alerts', done.returncode == 0, done.stderr)
    with open(os.path.join(trial, 'asked.rules'), 'w') as file:
        json.dump({'groups': [{'name': 'dashboard', 'rules': [
            {'record': 'panel:%d' % p['id'], 'expr': t['expr'].replace('$__rate_interval', '5m')}
            for p in panels for t in p['targets']]}]}, file)
    done = promtool('check', 'rules', '--lint=none', file.name)
    ok('and what the dashboard asks', done.returncode == 0 and '%d rules' % sum(len(p['targets']) for p in panels) in done.stdout,
       done.stdout + done.stderr)
    done = promtool('test', 'rules', os.path.join(TOP, 'tests', 'fixtures', 'prometheus', 'rules_test.yaml'))
    ok('each alert fires for a sick host and for no other', done.returncode == 0, done.stdout + done.stderr)
finish()
