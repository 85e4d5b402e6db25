#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""prometheus_test - Debian's Prometheus scrapes, each shipped alert fires when the metrics say so and is resolved when
they no longer do, and Debian's Alertmanager passes both on. Two hosts are scraped: a real daemon, whose worker dies and
whose policy is broken and mended, and its page again with the values of a sick host in it. The rules are the shipped ones
with their windows and waits cut to seconds, nothing else."""
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import HOST, POLICY, TOP, Ground, chat, finish, free_port, isolate, ok, skip, wait_for

isolate(150)
DAEMON = '127.0.0.1:9455'
# What a sick host says: metric, its value; "+": it grows by so much with every scrape.
SICK = {
    'SluiceWorkerRestarts': [('sluice_worker_restarts_total', '+1')],
    'SluiceLoopStuck': [('sluice_loops_stuck', 1)],
    'SluiceRecordFailed': [('sluice_audit_writable', 0)],
    'SluiceCheckpointStale': [('sluice_audit_checkpoint_timestamp_seconds{log="control"}', 1000000000)],
    'SluiceWitnessStale': [('sluice_audit_witness_timestamp_seconds{log="ledger",witness="w.test/w1"}', 1000000000)],
    'SluiceFailOpen': [('sluice_fail_open_connections_total', 3), ('process_start_time_seconds', 'now')],
    'SluiceUncovered': [('sluice_uncovered', 2)],
    'SluiceNotListening': [('sluice_guarded_addresses{service="ground"}', 0)],
    'SluiceStopNotConfirmed': [('sluice_stops_not_confirmed_total', '+1')],
    'SluicePolicyRefused': [('sluice_policy_refused', 1)],
    'SluicePolicyOld': [('sluice_policy_loaded_timestamp_seconds', 1000000000)],
    'SluiceBlocksMany': [('sluice_exchanges_total{service="ground",verdict="blocked"}', '+20')],
    'SluiceExceptionsMany': [('sluice_exceptions_total{service="ground",exception="http2"}', '+20')],
    'SluiceOpinionBreaker': [('sluice_opinion_breaker_open{opinion="guard"}', 1)],
    'SluiceCoverageMismatch': [('sluice_coverage_mismatch_total', 1)],
    'SluiceSlow': [('sluice_added_seconds_bucket{le="+Inf"}', '+100'), ('sluice_added_seconds_count', '+100')],
    'SluiceConnectionsMany': [('sluice_connections_open', 1 << 30)],
    'SluiceMemoryShort': [('sluice_memory_bytes', 1 << 40)],
    'SluiceClockStepped': [('sluice_clock_steps_total', '+1')],
    'SluiceKernelLacks': [('sluice_kernel_lacks', 1)],
    'SluiceDown': [('sluice_up', 0)],
}
NOW = ('sluice_policy_loaded_timestamp_seconds', 'sluice_audit_checkpoint_timestamp_seconds{log="control"}',
       'sluice_audit_checkpoint_timestamp_seconds{log="ledger"}', 'sluice_audit_witness_timestamp_seconds{log="control",witness="w.test/w1"}',
       'sluice_audit_witness_timestamp_seconds{log="ledger",witness="w.test/w1"}')
WELL = {'sluice_kernel_lacks': 0, 'sluice_uncovered': 0}  # whatever this test's own host lacks


class Exporter(http.server.ThreadingHTTPServer):
    """The daemon's page as it was, with other values."""

    def __init__(self, page):
        self.page, self.sick, self.scrapes = page, False, 0
        exporter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                text = exporter.text().encode()
                self.send_response(200)
                self.send_header('content-type', 'text/plain; version=0.0.4')
                self.send_header('content-length', str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        super().__init__((HOST, 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def text(self):
        values = {'process_start_time_seconds': 1000, **{name: int(time.time()) for name in NOW}, **WELL}
        self.scrapes += self.sick
        for rows in SICK.values():
            for name, value in rows:
                if isinstance(value, str) and value[0] == '+':
                    values[name] = 1000 + int(value) * self.scrapes
                elif self.sick:
                    values[name] = int(time.time()) if value == 'now' else value
        lines, unused = [], set(values)
        for line in self.page.splitlines():
            name = line.rsplit(' ', 1)[0]
            unused.discard(name)
            lines.append('%s %d' % (name, values[name]) if name in values else line)
        if unused:
            raise KeyError('the daemon has no ' + ', '.join(unused))
        return '\n'.join(lines) + '\n'


class Receiver(http.server.ThreadingHTTPServer):
    """What Alertmanager passes on: (status, alert, instance)."""

    def __init__(self):
        self.heard = set()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                for a in json.loads(self.rfile.read(int(self.headers['content-length'])))['alerts']:
                    receiver.heard.add((a['status'], a['labels']['alertname'], a['labels']['instance']))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        super().__init__((HOST, 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def quick(rules):
    """Minutes and hours become seconds; the numbers that are compared stay."""
    rules = re.sub(r'\[\d+[mh]\]', '[4s]', rules)
    return re.sub(r'^(\s+for:).*$', r'\1 1s', rules, flags=re.M)


def write(path, text):
    with open(path, 'w') as file:
        file.write(text)
    return path


def start(folder, name, *args):
    log = open(os.path.join(folder, name + '.log'), 'w')
    return subprocess.Popen([name, *args], stdout=log, stderr=log)


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ''


def both(receiver, names, instance, status):
    """Waits until all are told; those that are not."""
    def missing():
        return {n for n in names if (status, n, instance) not in receiver.heard}
    wait_for(lambda: not missing(), 60, 0.2)
    return missing()


for program in ('prometheus', 'prometheus-alertmanager', 'promtool'):
    if not shutil.which(program):
        skip('Prometheus and Alertmanager', program + ' is not there')
        finish()
with Ground('chat') as ground:
    shipped = open(os.path.join(TOP, 'packaging', 'prometheus', 'sluice.rules.yaml')).read()
    alerts = re.findall(r'- alert: (\w+)', shipped)
    ok('each shipped alert has its sick host here', sorted(alerts) == sorted(SICK), set(alerts) ^ set(SICK))
    policy = os.path.join(ground.dir, 'policy.d')
    shutil.copytree(POLICY, policy)
    # nobody asks them: they are there for their metrics
    opinion = {'name': 'guard', 'url': 'http://127.0.0.1:1/v1/moderations', 'kind': 'moderations'}
    witness = {'url': 'http://127.0.0.1:1', 'key': 'w.test/w1+00000000+BAAA'}
    with ground.gate(policy=policy, metrics={'listen': DAEMON}, opinions=[opinion], record={'witnesses': [witness]}) as gate:
        chat(ground, 'say GOOD')
        exporter, receiver = Exporter(get('http://%s/metrics' % DAEMON)), Receiver()
        sick_host = '%s:%d' % exporter.server_address
        rules = write(os.path.join(ground.dir, 'rules.yaml'), quick(shipped))
        manager_port, port = free_port(), free_port()
        config = write(os.path.join(ground.dir, 'prom.yml'), '''global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}
rule_files: [%s]
scrape_configs: [{job_name: sluice, static_configs: [{targets: ['%s', '%s']}]}]
alerting: {alertmanagers: [{static_configs: [{targets: ['%s:%d']}]}]}
''' % (rules, DAEMON, sick_host, HOST, manager_port))
        manager = write(os.path.join(ground.dir, 'am.yml'), '''route: {receiver: hook, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: 'http://%s:%d/', send_resolved: true}]}]
''' % receiver.server_address)
        programs = [
            start(ground.dir, 'prometheus-alertmanager', '--config.file=' + manager, '--storage.path=' + os.path.join(ground.dir, 'am'),
                  '--web.listen-address=%s:%d' % (HOST, manager_port), '--cluster.listen-address='),
            start(ground.dir, 'prometheus', '--config.file=' + config, '--storage.tsdb.path=' + os.path.join(ground.dir, 'tsdb'),
                  '--web.listen-address=%s:%d' % (HOST, port), '--rules.alert.resend-delay=1s'),
        ]
        url = 'http://%s:%d/api/v1/query?query=' % (HOST, port)
        ok('Prometheus scrapes both', wait_for(lambda: get(url + 'sum(up)').find('"2"') > 0, 30, 0.2), get(url + 'up'))
        ok('and finds them well', 'ALERTS' not in get(url + 'ALERTS{instance="%s",alertstate="firing"}' % sick_host), get(url + 'ALERTS'))

        exporter.sick = True
        broken = write(os.path.join(policy, 'broken.yaml'), 'rules: 7\n')
        ok('a broken policy is refused', gate.ctl('policy', 'reload').returncode != 0)
        missing = both(receiver, alerts, sick_host, 'firing')
        for name in alerts:
            ok('%s fires' % name, name not in missing, get(url + 'ALERTS') if name in missing else '')
        missing = both(receiver, ['SluicePolicyRefused'], DAEMON, 'firing')
        ok('the daemon itself: a policy that was refused', not missing, get(url + 'ALERTS'))
        os.unlink(broken)
        ok('the policy is mended', gate.ctl('policy', 'reload').returncode == 0, gate.log())
        exporter.sick = False
        os.kill(gate.worker(), signal.SIGKILL)
        missing = both(receiver, ['SluiceWorkerRestarts'], DAEMON, 'firing')
        ok('the daemon itself: a worker that died', not missing, get(url + 'ALERTS'))
        missing = both(receiver, alerts, sick_host, 'resolved')
        for name in alerts:
            ok('%s is resolved' % name, name not in missing, get(url + 'ALERTS') if name in missing else '')
        missing = both(receiver, ('SluiceWorkerRestarts', 'SluicePolicyRefused'), DAEMON, 'resolved')
        ok('the daemon itself: both are resolved', not missing, (missing, get(url + 'ALERTS')))
        for program in programs:
            program.kill()
            program.wait()
        ok('the daemon is sound', gate.sound(), gate.log())
finish()
