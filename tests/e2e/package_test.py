#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The .deb on a clean, booted Debian: install, guard a unit, block, kill, reload, upgrade, remove, purge.

A container is booted by systemd-nspawn from a tar in build/container, which is made once from the host's own package
source and has what the package depends on. What can be asked of the real service manager is asked there: order, readiness, watchdog, sandbox, restart.
"""
import hashlib
import shlex

from gate import *

CONTAINER = os.path.join(TOP, 'build', 'container')
SUITE = 'bookworm'
INCLUDE = 'systemd,systemd-sysv,dbus,iproute2,curl,jq,openssl,python3,python3-uvicorn,python3-fastapi'
NEXT = '0.1.0+next'
KEEPER = sum(1 << bit for bit in (2, 6, 7, 8, 12, 19, 38, 39))   # DAC_READ_SEARCH, SETGID, SETUID, SETPCAP, NET_ADMIN,
#                                                                 SYS_PTRACE, PERFMON, BPF
URL = 'http://127.0.0.1:8000' + CHAT
SERVER_UNIT = '''[Unit]
Description=an inference server
[Service]
DynamicUser=yes
ExecStart=/usr/bin/python3 /opt/chat_server.py --host 127.0.0.1 --port 8000 --loop asyncio --http h11
[Install]
WantedBy=multi-user.target
'''
CONFIG = '''services:
  - {name: vllm, unit: vllm.service, ports: auto, fail: closed}
policy: /etc/sluice/policy.d
record: {dir: /var/lib/sluice/record}
metrics: {listen: "127.0.0.1:9477"}
'''


def give_up(why):
    skip('package_test', why)
    sys.exit(0)


# ---- before the namespaces: what needs the host's network ----

def make_base(deb):
    """The clean system with what the package depends on, as a tar; None when it cannot be made here, with the reason in the
    log beside it."""
    depends = subprocess.check_output(['dpkg-deb', '-f', deb, 'Depends'], text=True)
    include = ','.join([INCLUDE, *sorted(re.findall(r'(?:^|, )([-+.a-z0-9]+)', depends))])
    base = os.path.join(CONTAINER, 'base-%s.tar' % hashlib.sha256(include.encode()).hexdigest()[:12])
    if os.path.exists(base):
        return base
    os.makedirs(CONTAINER, exist_ok=True)
    sources = [p for p in ('/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list') if os.path.exists(p)][:1]
    with open(os.path.join(CONTAINER, 'base.log'), 'w') as log:
        done = subprocess.run(['mmdebstrap', '--format=tar', '--variant=minbase', '--include=' + include, SUITE, base + '.new', *sources],
                              stdout=log, stderr=log, timeout=600)
    if done.returncode:
        return None
    os.rename(base + '.new', base)
    return base


def make_packages():
    """The package as it is, and a later one."""
    run('make', '-s', 'deb', cwd=TOP, timeout=600)
    version = subprocess.check_output([os.path.join(TOP, 'build', 'sluicectl'), 'version'], text=True).split()[1]
    run(os.path.join(TOP, 'packaging', 'deb'), NEXT, env={**os.environ, 'LINTIAN': 'no'}, stdout=subprocess.DEVNULL,
        timeout=300)
    arch = subprocess.check_output(['dpkg', '--print-architecture'], text=True).strip()
    return [os.path.join(TOP, 'build', 'deb', 'sluice_%s_%s.deb' % (v, arch)) for v in (version, NEXT)]


# ---- the container ----

class Machine:
    """A booted Debian in a folder of its own and cgroups of its own."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='sluice-machine-', dir='/var/tmp')
        self.root = os.path.join(self.dir, 'root')
        self.boot_log = os.path.join(self.dir, 'boot.log')
        self.name = os.path.basename(self.dir)
        self.process = self.leader = None
        self.groups = []

    def __enter__(self):
        atexit.register(self.clean)
        os.mkdir(self.root)
        run('tar', '-C', self.root, '--exclude=./dev/*', '-xf', os.environ['SLUICE_BASE'], timeout=120)
        with open('/proc/self/mountinfo') as file:
            mounts = [line.split(' - ') for line in file]
        for left, right in mounts:
            kind, _, options = right.strip().split(' ', 2)
            if kind == 'cgroup2' or 'name=systemd' in options.split(','):
                self.groups.append(os.path.join(left.split(' ')[4], self.name))
                os.mkdir(self.groups[-1])
        with open(self.boot_log, 'wb') as log:
            self.process = subprocess.Popen(
                ['systemd-nspawn', '-q', '-D', self.root, '--boot', '--register=no', '--keep-unit', '--capability=all',
                 '--private-network', '--link-journal=no', '--system-call-filter=bpf perf_event_open landlock_create_ruleset landlock_add_rule '
                 'landlock_restrict_self'],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=self.join)
        self.leader = wait_for(self.child, 20)
        return self

    def join(self):
        for group in self.groups:
            with open(os.path.join(group, 'cgroup.procs'), 'w') as file:
                file.write('0')

    def child(self):
        with contextlib.suppress(OSError), open('/proc/%d/task/%d/children' % ((self.process.pid,) * 2)) as file:
            for pid in file.read().split():
                with contextlib.suppress(OSError), open('/proc/%s/comm' % pid) as comm:
                    if comm.read().strip() == 'systemd':
                        return int(pid)
        return None

    def __call__(self, command, timeout=60):
        """Runs a shell command in there. Result with status and text."""
        done = subprocess.run(['nsenter', '-t', str(self.leader), '-m', '-u', '-i', '-n', '-p', '/bin/sh', '-c', command],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout,
                              env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'DEBIAN_FRONTEND': 'noninteractive',
                                   'LC_ALL': 'C.UTF-8'})
        done.text = done.stdout.decode(errors='replace').strip()
        return done

    def good(self, command, timeout=60):
        return self(command, timeout).returncode == 0

    def write(self, path, text):
        path = self.root + path
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as file:
            file.write(text)

    def show(self, unit, field):
        return self('systemctl show -P %s %s' % (field, unit)).text

    def ask(self, words, limit=8, where=''):
        """A streamed chat, as curl gets it: (exit status of curl, everything received)."""
        body = json.dumps({'stream': True, 'messages': [{'role': 'user', 'content': words}]})
        done = self("%s curl -sSN -m %d %s -H 'content-type: application/json' -d %s" % (where, limit, URL, shlex.quote(body)))
        return done.returncode, done.text

    def log(self):
        return self('journalctl -u sluice -u vllm --no-pager -n 25 -o cat; systemctl --no-pager status sluice vllm | head -40').text

    def clean(self):
        atexit.unregister(self.clean)
        if self.process and self.process.poll() is None:
            with contextlib.suppress(subprocess.SubprocessError, OSError):
                if self.leader:
                    self('systemctl poweroff --force --force', 10)
                self.process.wait(10)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(10)
        for group in self.groups:
            wait_for(lambda: remove_cgroup(group), 5)
        shutil.rmtree(self.dir, ignore_errors=True)

    def __exit__(self, *_):
        self.clean()


# ---- the steps ----

def blocked(answer):
    return answer[0] == 0 and 'content_filter' in answer[1] and ALPHA not in answer[1]


def passed(answer):
    return answer[0] == 0 and '[DONE]' in answer[1] and 'content_filter' not in answer[1]


def boot(m):
    ok('a clean Debian boots', wait_for(lambda: m('systemctl is-system-running').text in ('running', 'degraded'), 30, .2),
       open(m.boot_log, errors='replace').read()[-2000:])
    # a container's /sys is not the host's: there is no bpffs until somebody mounts one
    m('mountpoint -q /sys/fs/bpf || { mount -o remount,rw /sys; mkdir -p /sys/fs/bpf; mount -t bpf -o mode=0700 bpf /sys/fs/bpf; }')
    ok('it has a bpffs', m.good('mountpoint -q /sys/fs/bpf'))
    for source in glob.glob(os.path.join(GROUND, '*.py')):
        shutil.copy(source, m.root + '/opt/')
    m.write('/etc/systemd/system/vllm.service', SERVER_UNIT)


def install(m, deb):
    shutil.copy(deb, m.root + '/opt/sluice.deb')
    done = m('dpkg -i /opt/sluice.deb')
    ok('the package installs, its dependencies are in Debian', done.returncode == 0, done.text)
    ok('nothing is guarded before somebody says what', m.show('sluice', 'ActiveState') == 'inactive' and
       m('systemctl is-enabled sluice').text == 'disabled')
    ok('the user and the group of auditors are made', m.good('id sluice && getent group sluice-audit'))
    ok('what it brings is good: configuration and policy', m.good('sluiced --check'), m('sluiced --check').text)
    ok('manual pages and completions are there', m.good(
        'ls /usr/share/bash-completion/completions/sluicectl /usr/share/zsh/vendor-completions/_sluicectl '
        '/usr/share/fish/vendor_completions.d/sluicectl.fish') and
       subprocess.check_output(['dpkg-deb', '-c', deb], text=True).count('/usr/share/man/man') >= 4)
    m.write('/etc/sluice/sluice.yaml', CONFIG)


def closed_at_start(m):
    """A guard that cannot start: the server of a closed service stays down."""
    ok('the drop-in is written', m.good('sluicectl dropin --install --wait 2 && systemctl daemon-reload'),
       m('sluicectl dropin').text)
    m.write('/etc/sluice/policy.d/broken.yaml', 'pack: broken\nrules: nonsense\n')
    ok('with a broken policy the guard does not start, and the server behind it does not either',
       not m.good('systemctl start vllm') and m.show('vllm', 'ActiveState') == 'failed', m.log())
    m('systemctl stop sluice vllm; systemctl reset-failed; rm /etc/sluice/policy.d/broken.yaml')


def guard(m):
    ok('starting the server starts the guard first', m.good('systemctl start vllm') and
       m.show('sluice', 'ActiveState') == 'active', m.log())
    ready, began = (int(m.show(u, f) or 0) for u, f in (('sluice', 'ActiveEnterTimestampMonotonic'),
                                                        ('vllm', 'ExecMainStartTimestampMonotonic')))
    ok('the guard was ready before the server began', 0 < ready <= began, (ready, began))
    ok('ready is what the daemon says, not that it was started', 'guarding 1 services' in m.show('sluice', 'StatusText'))
    ok('the server is guarded when it listens', wait_for(lambda: '127.0.0.1:8000' in m('sluicectl services').text, 20, .2),
       m.log())
    answer = m.ask('say GOOD')
    ok('a harmless answer passes', passed(answer), answer)
    answer = m.ask('say BAD')
    ok('a forbidden one is ended in the words of the API', blocked(answer), answer)
    ok('and it is on record', wait_for(lambda: m.good('sluicectl events type=finding verdict=BLOCKED | grep -q selftest.block'), 5),
       m('sluicectl events').text)
    found = m('sluicectl discover --json --all')
    ok('discover sees that nobody is unguarded', found.returncode == 0 and '"service":"vllm"' in found.text, found.text)


def status_of(m, pid):
    return dict(line.split(':\t', 1) for line in m('cat /proc/%s/status' % pid).text.splitlines() if ':\t' in line)


def user_of(m, status):
    return m('id -nu ' + status['Uid'].split()[0]).text


def sandbox(m):
    keeper = m.show('sluice', 'MainPID')
    worker = m('cat /proc/%s/task/%s/children' % (keeper, keeper)).text.split()[0]
    held, given_up = status_of(m, keeper), status_of(m, worker)
    for name in ('CapEff', 'CapPrm', 'CapBnd'):
        ok('the keeper holds the capabilities it needs, no more: ' + name, int(held[name], 16) == KEEPER, held[name])
        ok('the worker holds none: ' + name, int(given_up[name], 16) == 0, given_up[name])
    ok('they are two users, neither is root', (user_of(m, held), user_of(m, given_up)) == ('sluice-keeper', 'sluice'))
    for name, status in (('keeper', held), ('worker', given_up)):
        ok('the %s gets no new privileges and is behind a filter of system calls' % name,
           status['NoNewPrivs'].strip() == '1' and status['Seccomp'].strip() == '2', status)
    missing = [line for line in m('sluicectl status').text.splitlines() if 'lacks' in line]
    ok('nothing is missing but what the kernel of this host lacks', not any('user:' in line or 'Landlock' in line or 'seccomp' in line for line in missing), missing)
    answer = m('systemd-analyze security --threshold=25 --no-pager sluice.service')
    ok('systemd-analyze security: at most 2.5', answer.returncode == 0, answer.text[-2000:])
    print('# ' + (answer.text.splitlines() or [''])[-1])
    modes = m('stat -c "%U:%G %a" /var/lib/sluice/record /var/lib/sluice/record.keys').text.split('\n')
    ok('the record is for the worker and its auditors, the keys for the worker',
       modes == ['sluice:sluice-audit 2750', 'sluice:sluice 700'], modes)
    m('useradd -G sluice-audit auditor; useradd stranger')
    ok('an auditor reads the record', m.good('su auditor -s /bin/sh -c "sluicectl events -n 1 -D /var/lib/sluice/record/ledger"') or
       m.good('su auditor -s /bin/sh -c "sluicectl events -n 1 -D /var/lib/sluice/record"'),
       m('su auditor -s /bin/sh -c "sluicectl events -n 1 -D /var/lib/sluice/record; ls -laR /var/lib/sluice/record"').text)
    ok('a stranger does not', not m.good('su stranger -s /bin/sh -c "cat /var/lib/sluice/record/*/*"'))
    boot_id = json.loads(m('sluicectl events -n 1 -o json').text.splitlines()[-1]).get('boot_id')
    ok('a record names the boot', boot_id and len(boot_id) == 32 and boot_id.strip('0'), boot_id)


def killed(m):
    """kill -9 under a client that keeps asking: nothing unread, closed, and back."""
    before = m.show('sluice', 'MainPID')
    body = shlex.quote(json.dumps({'stream': True, 'messages': [{'role': 'user', 'content': 'say BAD'}]}))
    done = m("kill -9 %s; for i in $(seq 40); do curl -sN -m 5 %s -H 'content-type: application/json' -d %s; "
             "echo \" exit=$?\"; sleep .02; done" % (before, URL, body))
    ok('killed: not one byte unread', ALPHA not in done.text, done.text[:500])
    first = done.text.split('exit=')[0], done.text.split('exit=')[1].split()[0]
    ok('killed: the gate is closed', not first[0].strip() and first[1] in ('7', '56'), first)
    ok('killed: systemd brings it back', wait_for(lambda: m.show('sluice', 'MainPID') not in ('0', before) and
                                                  m.good('sluicectl status'), 10, .1), m.log())
    ok('killed: and it guards again', blocked(m.ask('say BAD')) and passed(m.ask('say GOOD')), m.log())
    ok('killed: the server went on', m.show('vllm', 'NRestarts') == '0' and m.show('vllm', 'ActiveState') == 'active')


def worker_killed(m):
    keeper = m.show('sluice', 'MainPID')
    worker = m('cat /proc/%s/task/%s/children' % (keeper, keeper)).text.split()[0]
    body = shlex.quote(json.dumps({'stream': True, 'messages': [{'role': 'user', 'content': 'say BAD'}]}))
    done = m("kill -9 %s; for i in $(seq 5); do curl -sN -m 8 %s -H 'content-type: application/json' -d %s; done" % (
        worker, URL, body), 90)
    ok('worker killed: the keeper makes another, and nothing was unread', ALPHA not in done.text and
       'content_filter' in done.text and m.show('sluice', 'MainPID') == keeper, done.text[-500:])


def kept(m):
    """A policy that was broken on disk, and a worker that dies: the next one goes on by the copy of the one in force."""
    m.write('/etc/sluice/policy.d/broken.yaml', 'pack: broken\nrules: nonsense\n')
    keeper = m.show('sluice', 'MainPID')
    worker = str(state_of(m)['worker_pid'])
    m('kill -9 ' + worker)
    ok('broken on disk: the worker that is made again guards by the copy', wait_for(lambda: blocked(m.ask('say BAD')), 30, .2) and
       str(state_of(m)['worker_pid']) != worker and m.show('sluice', 'MainPID') == keeper, m.log())
    ok('broken on disk: the copy is the keeper\'s, and the worker\'s to read',
       m('stat -c "%U:%G %a" /run/sluice/policy.kept').text == 'sluice-keeper:sluice 750', m('ls -laR /run/sluice').text)
    m('rm /etc/sluice/policy.d/broken.yaml')
    ok('broken on disk: mended', m.good('systemctl reload sluice') and blocked(m.ask('say BAD')), m.log())


def lasting_keys(m):
    """The keys of both logs that do not change with the day."""
    return [m('sed -n 2p /var/lib/sluice/record/%s/vkey' % log).text.split('+', 2)[-1] for log in ('ledger', 'control')]


def credential(m):
    """origin.key is root's, comes by LoadCredential= and signs; the worker's user cannot read it."""
    m.write('/etc/systemd/system/sluice.service.d/keys.conf', '[Service]\nLoadCredential=origin.key:/etc/sluice/origin.key\n')
    public = m('umask 077; openssl genpkey -algorithm ed25519 -out /etc/sluice/origin.key; '
               'openssl pkey -in /etc/sluice/origin.key -pubout -outform DER | (printf "\\001"; tail -c 32) | base64').text
    ok('credential: the daemon starts with it', m.good('systemctl daemon-reload && systemctl restart sluice') and
       blocked(m.ask('say BAD')), m.log())
    ok('credential: both logs are signed with it', lasting_keys(m) == [public] * 2, (public, lasting_keys(m)))
    ok('credential: neither user of the daemon reads root\'s file, the worker\'s not the copy either',
       not any(m.good('su %s -s /bin/sh -c "cat %s"' % who) for who in (
           ('sluice', '/etc/sluice/origin.key'), ('sluice-keeper', '/etc/sluice/origin.key'),
           ('sluice', '/run/credentials/sluice.service/origin.key'))))
    ok('credential: the record verifies', m.good('sluicectl verify'), m('sluicectl verify').text)


POD_UNIT = SERVER_UNIT.replace('[Service]', '[Service]\nPrivateNetwork=yes')
DROPIN = '/etc/systemd/system/sluice.service.d/containers.conf'


def in_pod(m):
    """How to run a command in the network namespace of the unit."""
    return 'nsenter -t %s -n' % m.show('pod', 'MainPID')


def namespaces(m):
    """A unit in a network namespace of its own: fenced, and with the drop-in guarded."""
    m.write('/etc/systemd/system/pod.service', POD_UNIT)
    m.write('/etc/sluice/sluice.yaml', CONFIG.replace('services:\n', 'services:\n  - {name: pod, unit: pod.service, ports: [8000]}\n'))
    m('systemctl daemon-reload; systemctl reload sluice; systemctl start pod')
    ok('namespace: without the drop-in status says what is missing',
       wait_for(lambda: 'CAP_SYS_ADMIN' in m('sluicectl status').text and 'net:[' in m('sluicectl status').text, 20, .2),
       m('sluicectl status').text)
    answer = m.ask('say GOOD', 1, in_pod(m))
    ok('namespace: and the server is fenced', answer[0] == 28 and '[DONE]' not in answer[1], answer)
    lines = [line[4:] for line in open(os.path.join(TOP, 'packaging', 'containers.conf')) if line.startswith('#   ')]
    ok('namespace: the drop-in is installed as its file says', len(lines) == 2 and m.good(''.join(lines)) and m.good('test -e ' + DROPIN),
       m.log())

    def guarded():
        return wait_for(lambda: '@' in m('sluicectl services pod').text and m.good('sluicectl services pod'), 20, .2)
    ok('namespace: guarded there', guarded(), m('sluicectl status').text + m.log())
    ok('namespace: harmless passes, forbidden is cut', passed(m.ask('say GOOD', 8, in_pod(m))) and
       blocked(m.ask('say BAD', 8, in_pod(m))), m.log())
    keeper = m.show('sluice', 'MainPID')
    held, given_up = status_of(m, keeper), status_of(m, state_of(m)['worker_pid'])
    ok('namespace: the keeper has one capability more, the worker none', int(held['CapEff'], 16) == KEEPER | 1 << 21 and
       int(given_up['CapEff'], 16) == int(given_up['CapBnd'], 16) == 0, (held, given_up))
    answer = m('systemd-analyze security --threshold=29 --no-pager sluice.service')
    ok('namespace: systemd-analyze security: at most 2.9', answer.returncode == 0, answer.text[-2000:])
    old = in_pod(m)
    m('systemctl restart pod')
    ok('namespace: guarded in the next one, too', in_pod(m) != old and
       wait_for(lambda: passed(m.ask('say GOOD', 2, in_pod(m))), 20, .2) and blocked(m.ask('say BAD', 8, in_pod(m))), m.log())
    m.write('/etc/sluice/sluice.yaml', CONFIG)
    m('systemctl stop pod; rm %s; systemctl daemon-reload; systemctl restart sluice' % DROPIN)


def watchdog(m):
    m.write('/etc/systemd/system/sluice.service.d/fast.conf', '[Service]\nWatchdogSec=2\n')
    m('systemctl daemon-reload; systemctl restart sluice')
    before = m.show('sluice', 'MainPID')
    m('sleep 3')
    ok('watchdog: a healthy daemon feeds it', m.show('sluice', 'MainPID') == before, m.log())
    m('kill -STOP %s' % before)
    ok('watchdog: one that stands still is replaced',
       wait_for(lambda: m.show('sluice', 'MainPID') not in ('0', before) and m.good('sluicectl status'), 15, .2), m.log())
    ok('watchdog: and systemd says why', m.good('journalctl -u sluice --no-pager | grep -qi watchdog'), m.log())
    m('rm /etc/systemd/system/sluice.service.d/fast.conf; systemctl daemon-reload; systemctl restart sluice')


def reload(m):
    pid, pack = m.show('sluice', 'MainPID'), '/etc/sluice/policy.d/more.yaml'
    rule = 'pack: more\nrules:\n  - {id: more.fox, risk: local.more, action: block, keywords: [quick brown fox]}\n'
    m.write(pack, rule)
    ok('reload: succeeds', m.good('systemctl reload sluice'), m.log())
    answer = m.ask('say GOOD')
    ok('reload: the new rule is in force when it returns', answer[0] == 0 and 'content_filter' in answer[1], answer)
    m.write(pack, rule.replace('block', 'nonsense'))
    ok('reload: a broken policy fails it', not m.good('systemctl reload sluice'))
    answer = m.ask('say GOOD')
    ok('reload: and the old one stays', 'content_filter' in answer[1] and m.show('sluice', 'ActiveState') == 'active', answer)
    m('rm ' + pack)
    ok('reload: the daemon was not restarted', m.good('systemctl reload sluice') and m.show('sluice', 'MainPID') == pid)


def restarts(m):
    server = m.show('vllm', 'MainPID')
    ok('a restart of the guard does not touch the server', m.good('systemctl restart sluice') and
       m.show('vllm', 'MainPID') == server and blocked(m.ask('say BAD')), m.log())
    body = shlex.quote(json.dumps({'stream': True, 'messages': [{'role': 'user', 'content': 'say BAD'}]}))
    done = m("systemctl restart --no-block vllm; for i in $(seq 60); do curl -sN -m 5 %s -H 'content-type: application/json' "
             "-d %s; echo; sleep .05; done" % (URL, body), 90)
    ok('a restart of the server opens no window', ALPHA not in done.text and 'content_filter' in done.text and
       m.show('vllm', 'MainPID') != server, done.text[-500:])


LOAD = '''import http.client, json, sys, threading, time, urllib.request
asked, wrong, stop = [0], [], threading.Event()
def body(words, delay): return json.dumps({'stream': True, 'delay': delay, 'messages': [{'role': 'user', 'content': words}]})
def judge(status, text, words):
    asked[0] += 1
    if status != 200 or '[DONE]' not in text or ('content_filter' in text) != (words == 'say BAD') or 'PHRASE-ALPHA' in text:
        wrong.append((words, status, text[-200:]))
def work(words, delay, keep):
    connection = None
    while not stop.is_set():
        try:
            connection = connection or http.client.HTTPConnection('127.0.0.1', 8000, timeout=30)
            connection.request('POST', '/v1/chat/completions', body(words, delay), {'content-type': 'application/json'})
            answer = connection.getresponse()
            judge(answer.status, answer.read().decode(), words)
        except Exception as problem:
            wrong.append((words, repr(problem)))
            connection = None
        if not keep:
            connection = None
        time.sleep(.01)
todo = [('say GOOD', 0, True), ('say GOOD', 0, False), ('say GOOD', .2, False), ('say BAD', .01, False)]
threads = [threading.Thread(target=work, args=t) for t in todo]
[t.start() for t in threads]
print('running', flush=True)
sys.stdin.readline()
stop.set()
[t.join() for t in threads]
print(json.dumps({'asked': asked[0], 'wrong': wrong[:5]}), flush=True)
'''


def program_of(m):
    return m('stat -L -c %%i /proc/%s/exe' % m.show('sluice', 'MainPID')).text


def state_of(m):
    return json.loads(m('sluicectl status --json').text)


def upgrade(m, deb):
    shutil.copy(deb, m.root + '/opt/next.deb')
    m.write('/opt/load.py', LOAD)
    before, server, was = m.show('sluice', 'MainPID'), m.show('vllm', 'MainPID'), state_of(m)
    old, keys = program_of(m), lasting_keys(m)
    records = int(m('sluicectl events -o json | wc -l').text)
    load = subprocess.Popen(['nsenter', '-t', str(m.leader), '-m', '-u', '-i', '-n', '-p', '/usr/bin/python3', '/opt/load.py'],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    load.stdout.readline()
    done = m('dpkg -i /opt/next.deb')
    now = state_of(m)
    ok('upgrade: good, and asks nothing', done.returncode == 0 and 'Conffile' not in done.text and 'stays the old' not in done.text,
       done.text + m.log())
    ok('upgrade: the new program runs, in the process that systemd knows; the server was not touched',
       m.show('sluice', 'MainPID') == before and program_of(m) != old and
       program_of(m) == m('stat -c %i /usr/sbin/sluiced').text and m.show('vllm', 'MainPID') == server and
       m("dpkg-query -Wf '${Version}' sluice").text == NEXT, m.log())
    ok('upgrade: another worker serves', now['worker_pid'] != was['worker_pid'] and now['generation'] > was['generation'], now)
    ok('upgrade: reload works as before', m.good('systemctl reload sluice') and m.show('sluice', 'ActiveState') == 'active', m.log())
    said = load.communicate('\n', 60)[0]
    ok('upgrade: no request failed: ' + said.strip(), load.returncode == 0 and json.loads(said)['wrong'] == [] and
       json.loads(said)['asked'] > 20, said)
    ok('upgrade: the old worker is gone', wait_for(lambda: len(m('cat /proc/%s/task/%s/children' % (before, before)).text.split()) == 1, 30),
       m.log())
    ok('upgrade: it guards, with the configuration that was there', blocked(m.ask('say BAD')) and
       m('cat /etc/sluice/sluice.yaml').text == CONFIG.strip(), m.log())
    ok('upgrade: the record goes on', int(m('sluicectl events -o json | wc -l').text) > records and
       m.good('sluicectl verify'), m('sluicectl verify').text)
    ok('upgrade: and is signed with the key that was given', lasting_keys(m) == keys, (keys, lasting_keys(m)))
    held = status_of(m, before)
    ok('upgrade: the keeper holds what it held', int(held['CapEff'], 16) == KEEPER and held['NoNewPrivs'].strip() == '1', held)
    m.write('/etc/sluice/policy.d/broken.yaml', 'pack: broken\nrules: nonsense\n')
    old, was = program_of(m), state_of(m)
    done = m('dpkg -i /opt/next.deb')
    ok('upgrade: over a broken policy the old daemon guards on, and the package says so', done.returncode == 0 and
       m.show('sluice', 'MainPID') == before and program_of(m) == old and state_of(m)['generation'] == was['generation'] and
       'broken.yaml' in done.text and blocked(m.ask('say BAD')), done.text)
    m('rm /etc/sluice/policy.d/broken.yaml')


def taken_away(m):
    m('systemctl stop sluice')
    ok('stopped: the gate is closed', m.ask('say GOOD')[0] != 0)
    m('systemctl start sluice')
    ok('started: open again', passed(m.ask('say GOOD')), m.log())
    done = m('dpkg -r sluice')
    ok('removed: the guard is down, and the package says so', done.returncode == 0 and 'unread' in done.text and
       not m.good('test -e /sys/fs/bpf/sluice'), done.text)
    answer = m.ask('say BAD')
    ok('removed: the server is reachable, unread', answer[0] == 0 and ALPHA in answer[1], answer)
    ok('removed: the configuration stays', m.good('test -e /etc/sluice/sluice.yaml'))
    done = m('dpkg -P sluice')
    ok('purged: configuration and unit are gone', done.returncode == 0 and
       not m.good('ls -d /etc/sluice/sluice.yaml /lib/systemd/system/sluice.service /run/sluice'), done.text)
    ok('purged: the record stays, because it has to be kept', m.good('ls /var/lib/sluice/record/*') and
       'the record stays in /var/lib/sluice' in done.text, done.text)


def main():
    if os.environ.get('SLUICE_GROUND') != 'inside':
        if os.geteuid() != 0:
            give_up('needs root')
        for program in ('systemd-nspawn', 'mmdebstrap', 'dpkg-buildpackage', 'dh', 'lintian', 'nsenter'):
            if not shutil.which(program):
                give_up(program + ' is not there')
        try:
            debs = make_packages()
        except subprocess.CalledProcessError as problem:
            ok('the package is built, and lintian has nothing to say', False, problem)
            finish()
        ok('the package is built, and lintian has nothing to say', True)
        base = make_base(debs[0])
        if not base:
            give_up('no clean Debian could be made: see build/container/base.log')
        os.environ['SLUICE_BASE'] = base
        os.environ['SLUICE_DEBS'] = ':'.join(debs)
    isolate(300, programs=False)
    first, later = os.environ['SLUICE_DEBS'].split(':')
    with Machine() as m:
        boot(m)
        install(m, first)
        closed_at_start(m)
        guard(m)
        sandbox(m)
        killed(m)
        worker_killed(m)
        kept(m)
        watchdog(m)
        credential(m)
        namespaces(m)
        reload(m)
        restarts(m)
        upgrade(m, later)
        taken_away(m)
    finish()


main()
