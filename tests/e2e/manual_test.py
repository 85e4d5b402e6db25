#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Manual pages, completions, drop-ins and the unit: what they say is what the programs do."""
import glob
import re

from gate import *

need(binary('sluiced'), binary('sluicectl'))
PAGES = sorted(glob.glob(os.path.join(TOP, 'packaging', 'man', '*')))
folder = tempfile.mkdtemp(prefix='sluice-manual-')
atexit.register(shutil.rmtree, folder, True)
SCRATCH = os.path.join(folder, 'scratch')
os.makedirs(SCRATCH)


def ctl(*args, program='sluicectl', **how):
    return subprocess.run([binary(program), *args], capture_output=True, text=True, timeout=60, **how)


def literal(page, number=0):
    """The `number`-th literal block of a page."""
    with open(os.path.join(TOP, 'packaging', 'man', page)) as file:
        return re.findall(r'\.Bd -literal[^\n]*\n(.*?)\.Ed', file.read(), re.S)[number]


def commands():
    """Names of the subcommands, as the program lists them."""
    return re.findall(r'^  ([a-z]+) ', ctl('--help').stdout, re.M)


def options(command):
    return set(re.findall(r'(?<![-\w])--[a-z][-a-z]*', ctl(command, '--help').stdout))


def actions(command):
    """What a subcommand does, where it does more than one thing."""
    return {word for words in re.findall(r'sluicectl %s ([a-z]+(?:\|[a-z]+)*)' % command, ctl(command, '--help').stdout)
            for word in words.split('|')}


def written(name, text):
    path = os.path.join(SCRATCH, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as file:
        file.write(text)
    return path


# ---- manual pages ----
for page in PAGES:
    name = os.path.basename(page)
    if shutil.which('mandoc'):
        said = subprocess.run(['mandoc', '-Tlint', '-Wwarning', page], capture_output=True, text=True)
        ok('mandoc has nothing to say: ' + name, not said.returncode and not said.stdout, said.stdout + said.stderr)
    else:
        skip('mandoc has nothing to say: ' + name, 'mandoc is not there')
with open(os.path.join(TOP, 'packaging', 'man', 'sluicectl.1')) as file:
    manual = file.read()
for command in commands():
    ok('sluicectl.1 has ' + command, re.search(r'^\.It Cm %s\b' % command, manual, re.M))
    for action in actions(command):
        ok('sluicectl.1 has %s %s' % (command, action), re.search(r'^\.It Cm %s .*\b%s\b' % (command, action), manual, re.M))
with open(os.path.join(TOP, 'packaging', 'man', 'sluiced.8')) as file:
    text = file.read()
for option in re.findall(r'(?<![-\w])--([a-z]+)', ctl('--help', program='sluiced').stdout):
    ok('sluiced.8 has --' + option, 'Fl -' + option in text or ', -' + option in text or '| -' + option in text, option)

pack = written('policy.d/pack.yaml', literal('sluice-policy.5'))
done = ctl('policy', 'check', '-p', os.path.dirname(pack))
ok('the pack in sluice-policy.5 is good', done.returncode == 0 and 'rules 2' in done.stdout, done.stdout + done.stderr)
config = written('sluice.yaml', literal('sluice.yaml.5').replace('/etc/sluice/policy.d', os.path.dirname(pack)))
done = ctl('-c', config, '--check', program='sluiced')
ok('the configuration in sluice.yaml.5 is good', done.returncode == 0 and 'good' in done.stdout, done.stdout + done.stderr)
example = literal('sluicectl.1', 1).strip().replace('/etc/sluice/policy.d', os.path.join(TOP, 'packaging', 'policy.d'))
done = subprocess.run(['sh', '-c', example.replace('sluicectl', binary('sluicectl'))], capture_output=True, text=True)
ok('the example of scan in sluicectl.1 finds', done.returncode == 0 and 'selftest.block' in done.stdout, done)

# ---- completions ----
source = {s: written('completion.' + s, ctl('completion', s).stdout) for s in ('bash', 'zsh', 'fish')}
path = os.path.dirname(binary('sluicectl')) + ':' + os.environ['PATH']
TRY = {
    'bash': 'source %s; COMP_WORDS=(sluicectl %s "%s"); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _sluicectl; '
            'printf "%%s\\n" "${COMPREPLY[@]}"',
    'fish': 'source %s; complete -C "sluicectl %s %s" | string split -f1 \\t',
    # what compadd would be given, and _describe
    'zsh': 'compdef() { :; }; source %s; _describe() { print -l ${commands%%%%:*}; }; words_of=(%s); last="%s"; '
           '_arguments() { if (( $#words_of )); then state=rest; line=($words_of); else state=command; fi; }; _files() { :; }; '
           'compadd() { shift; print -l -- $@; }; _sluicectl',
}
for shell, script in TRY.items():
    if not shutil.which(shell):
        skip('completion for ' + shell, shell + ' is not there')
        continue

    def complete(command, start):
        done = subprocess.run([shell, *(['--norc', '--noprofile'] if shell == 'bash' else ['-f'] if shell == 'zsh' else ['-N']),
                               '-c', script % (source[shell], command, start)], capture_output=True, text=True, cwd=folder,
                              env={**os.environ, 'PATH': path, 'HOME': folder}, timeout=60)
        return set(done.stdout.split()), done
    got, done = complete('', '')
    ok('%s completes every subcommand' % shell, set(commands()) <= got, (got, done))
    for command in commands():
        got, done = complete(command, '--')
        ok('%s completes the options of %s' % (shell, command), options(command) <= got, (options(command) - got, done))
    for command, few in (('policy', {'check', 'import'}), ('model', {'train', 'feedback'}), ('witness', {'submit'}), ('hold', {'add'})):
        got, done = complete(command, '')
        ok('%s completes what %s does' % (shell, command), few <= actions(command) <= got, (got, actions(command), done))
for wrong in ((), ('tcsh',), ('bash', 'zsh')):
    ok('completion %s: wrong usage' % ' '.join(wrong), ctl('completion', *wrong).returncode == 2)

# ---- drop-ins ----
config = written('units.yaml', '''services:
  - {name: 'the "first" 100%$', unit: vllm.service}
  - {name: second, unit: vllm.service, ports: [9000]}
  - {name: lax, unit: lax@1.service, fail: open}
  - {name: third, ports: [9001]}
''')
done = ctl('-c', config, 'dropin', '--install', '--root', SCRATCH)
files = {p: open(os.path.join(SCRATCH, 'etc/systemd/system', p + '.d/50-sluice.conf')).read() for p in
         ('vllm.service', 'lax@1.service')}
ok('one drop-in a unit, none for a service without one', done.returncode == 0 and done.stdout.count('.conf') == 2 and
   'third has no unit' in done.stderr, done)
ok('a closed unit asks for the guard before it starts, for all of its services',
   'services --wait 60 "the \\"first\\" 100%%$$" "second"' in files['vllm.service'], files['vllm.service'])
ok('an open one does not', 'ExecStartPre' not in files['lax@1.service'] and 'After=sluice.service' in files['lax@1.service'])
ok('neither is stopped with the guard', not any('Requires' in f or 'BindsTo' in f for f in files.values()))
evil = written('evil.yaml', 'services:\n  - {name: a, unit: "..-x y.service"}\n')
done = ctl('-c', evil, 'dropin', '--root', SCRATCH)
ok('what is no name of a unit is refused', done.returncode == 2 and 'not the name of a unit' in done.stderr, done)
none = written('none.yaml', 'services:\n  - {name: a, ports: [1]}\n')
ok('no unit at all: exit status 1', ctl('-c', none, 'dropin').returncode == 1)

# ---- installing ----
root = os.path.join(folder, 'root')
run('make', '-s', 'install', 'DESTDIR=' + root, cwd=TOP, timeout=300)
there = {os.path.relpath(os.path.join(p, f), root) for p, _, fs in os.walk(root) for f in fs}
wanted = {'usr/sbin/sluiced', 'usr/bin/sluicectl', 'lib/systemd/system/sluice.service', 'usr/lib/sysusers.d/sluice.conf',
          'usr/lib/tmpfiles.d/sluice.conf', 'etc/sluice/sluice.yaml', 'usr/share/man/man8/sluiced.8',
          'usr/share/man/man1/sluicectl.1', 'usr/share/man/man5/sluice.yaml.5', 'usr/share/man/man5/sluice-policy.5',
          'usr/share/doc/sluice/README.md', 'usr/share/doc/sluice/docs/runbook.md', 'usr/share/sluice/systemd/containers.conf'}
ok('make install puts everything in its place', wanted <= there, wanted - there)
ok('and drop-ins are examples: none is in force', not [name for name in there if name.startswith(('lib/systemd', 'etc/systemd')) and
                                                      name.endswith('.conf')], there)
for name in ('etc/sluice/sluice.yaml', 'etc/sluice/policy.d/mine.yaml'):
    with open(os.path.join(root, name), 'w') as file:
        file.write('mine\n')
os.remove(os.path.join(root, 'etc/sluice/policy.d/selftest.yaml'))
run('make', '-s', 'install', 'DESTDIR=' + root, cwd=TOP, timeout=300)
ok('a second one keeps configuration and policy', open(os.path.join(root, 'etc/sluice/sluice.yaml')).read() == 'mine\n' and
   os.listdir(os.path.join(root, 'etc/sluice/policy.d')) == ['mine.yaml'])

# ---- the package ----
with open(os.path.join(TOP, 'scripts', 'deps')) as file:
    builds = set(re.search(r'^build="([^"]*)"', file.read(), re.M).group(1).split())
with open(os.path.join(TOP, 'packaging', 'debian', 'control')) as file:
    asked = set(re.findall(r'[-+.\w]+', re.search(r'^Build-Depends:((?:.*\n)(?: .*\n)*)', file.read(), re.M).group(1)))
missing = builds - asked - {'gcc', 'make', 'libc6-dev'}   # build-essential's
ok('the package is built with what scripts/deps installs to build with', len(builds) > 20 and not missing, missing)

# ---- the unit ----
if shutil.which('systemd-analyze'):
    unit = os.path.join(root, 'lib/systemd/system/sluice.service')
    done = subprocess.run(['systemd-analyze', 'security', '--offline=true', '--threshold=25', '--no-pager', unit],
                          capture_output=True, text=True)
    ok('systemd-analyze security: at most 2.5', done.returncode == 0, done.stdout[-300:])
    for name in ('sluice-witness', 'sluice-cosign'):
        done = subprocess.run(['systemd-analyze', 'security', '--offline=true', '--threshold=15', '--no-pager',
                               os.path.join(os.path.dirname(unit), name + '.service')], capture_output=True, text=True)
        ok('systemd-analyze security of %s: at most 1.5' % name, done.returncode == 0, done.stdout[-300:] + done.stderr[-300:])
    done = subprocess.run(['systemd-analyze', 'verify', '--man=no', unit, os.path.join(os.path.dirname(unit), 'sluice-witness.service'),
                           os.path.join(os.path.dirname(unit), 'sluice-cosign.timer')], capture_output=True, text=True)
    said = [line for line in done.stderr.splitlines() if re.search(r'sluice[-a-z]*\.(service|timer)', line) and
            'not executable' not in line]
    ok('systemd-analyze verify has nothing to say', not said, said)
else:
    skip('systemd-analyze', 'it is not there')
finish()
