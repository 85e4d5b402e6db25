#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""evasions_test - the ways around a filter that are known, a line each: blocked with not a byte of the match released,
refused by a named exception, or named as not covered in docs/.

A case is a fixture, which must end as blocked or refused, or an answer made here. Of these the place is known before
which all may go out: the event in which the match begins.
"""
import base64
import gzip
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gate import ALPHA, FIXTURES, POLICY, TOP, finish, leaks, need, ok

CTL = os.path.join(TOP, 'build', 'sluicectl')
WORDS = ('Take ', 'a ')


def chat(text, **choice):
    return {'choices': [{'index': 0, 'delta': {'content': text}, **choice}]}


def event(message):
    return ('data: %s\n\n' % (message if isinstance(message, str) else json.dumps(message, ensure_ascii=False))).encode()


def request(path='/v1/chat/completions', method='POST', fields=''):
    return ('%s %s HTTP/1.1\r\nhost: a\r\n%scontent-length: 2\r\n\r\n{}' % (method, path, fields)).encode()


def head(kind='text/event-stream', fields=''):
    return ('HTTP/1.1 200 OK\r\ncontent-type: %s\r\n%s\r\n' % (kind, fields)).encode()


def said(*texts):
    """A chat stream: words that may go out, then these, of which nothing may. Raw, and in escapes."""
    return [(request(), lead, b''.join(write(chat(t)) for t in texts + (' and so on', )))
            for write in (event, lambda m: event(json.dumps(m)))
            for lead in [head() + b''.join(write(chat(w)) for w in WORDS)]]


def sent(body, *more):
    """An answer of which nothing may go out, but its head."""
    raw = head(*more)
    return [(request(), raw, body if isinstance(body, bytes) else body.encode())]


def asked(rq, cases):
    return [(rq, lead, rest) for _, lead, rest in cases]


def map_letters(first):
    """ALPHA with its letters in another alphabet that begins at `first`."""
    return ''.join(chr(first + ord(c) - ord('A')) if c.isalpha() else c for c in ALPHA)


HALF = ALPHA[:9], ALPHA[9:]

# The row, its cases, and for what is not covered the words of docs/limits.md or docs/policy.md that say so.
ROWS = [
    ('split over events or tokens', ['hit-over-events', 'hit-letters', 'hit-chunk-borders'] + said(*ALPHA) + said(*HALF)),
    ('prefix already released', ['hit-one-event', 'hit-first-words', 'hit-last-words'] + said('FORB', 'IDDEN', '-PHRASE-ALPH', 'A')),
    ('split over choices', ['hit-n2-choice1', 'hit-generic-interleaved', 'api-completions-hit-n2', 'api-sglang-hit-index']),
    ('split over content and reasoning', 'A phrase of which one part is in one text and the rest in another'),
    ('zero-width, soft hyphen, bidi, variation selectors, Hangul filler',
     ['hit-zero-width'] + [c for n in (0x200b, 0x200d, 0xad, 0x202e, 0x2066, 0xfe0f, 0xe0100, 0x3164, 0x115f, 0x34f, 0xfeff)
                           for c in said(chr(n).join(ALPHA))]),
    ('controls and bytes that are no text', said('\x01'.join(ALPHA)) + said('\ufffd'.join(ALPHA)) + said('\x7f'.join('毒气测试短语'))),
    ('a word parted, or glued to another, by what shows as nothing',
     [c for w in ('\u200b', '\x01', '\x7f', '\ufffd', '\ufeff', '\u2060', '\u3164', '\u202d', '\u2063', '\U000e0041')
      for t in (['x' + w + ALPHA], [ALPHA + w + 'x'], [ALPHA, w, 'x'], ['x' + w + w.join(ALPHA[:9]), w.join(ALPHA[9:]), w, 'x'])
      for c in said(*t)]),
    ('full-width, circled, mathematical letters',
     ['hit-full-width'] + said(''.join(chr(ord(c) + 0xfee0) for c in ALPHA)) + said(map_letters(0x24b6)) +
     said(map_letters(0x1d400)) + said(map_letters(0x1d670))),
    ('homoglyphs', said(ALPHA.replace('O', 'О').replace('A', 'А').replace('P', 'Р').replace('E', 'Ε'))),
    ('combining marks', said('\u0301'.join(ALPHA)) + said(ALPHA.replace('O', 'Ö').replace('E', 'É'))),
    ('tag smuggling: tags between the letters', said('\U000e0041'.join(ALPHA))),
    ('tag smuggling: letters as tags', 'nor are tag characters\n  (U+E0020…) read as the letters that they stand for'),
    ('traditional and simplified', said('毒氣測試短語') + said('毒氣', '測試', '短語')),
    ('pinyin, initials, homophones',
     said('du qi ce shi duan yu ') + said('duqiceshiduanyu ') + said('Du qi ', 'ce shi ', 'duan yu ') + said('dqcsdy ')),
    ('split characters', said('木仓支测试') + said('木', '倉支', '测试')),
    ('noise between characters', said('。'.join('毒气测试短语')) + said('毒 ', '气。。测', '试*短', '😀语')),
    ('repeats, leet, masked letters', 'Repeated letters, leet and masked letters (`f*rb*dden`) are not folded'),
    ('dashes for one another, Markdown\'s backslashes, a line end for a blank',
     [c for d in '\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d' for c in said(*ALPHA.replace('-', d))] +
     said(*ALPHA.replace('-', '\\-')) + said(ALPHA.replace('-', '\\-')) + said('quick', '\n', 'brown', '\u2003weasel')),
    ('HTML and URLs', 'character references (`&#70;`) and percent signs of HTML and URLs are not resolved, nor JSON in JSON in JSON'),
    ('JSON escapes, cut by segments', ['hit-escaped-zh', 'hit-escaped-ascii', 'hit-tools-escaped', 'hit-emoji-before']),
    ('duplicate keys, wrong types, NaN, deep nesting, BOM',
     ['hit-duplicate-key', 'bad-string-index', 'bad-deep'] +
     sent(event('{"choices":[{"index":0,"delta":{"content":NaN,"x":"%s"}}]}' % ALPHA)) +
     sent(b'\xef\xbb\xbf' + event(chat(ALPHA))) +
     sent(event('{"choices":[{"index":0,"delta":{"content":["%s","%s"]}}]}' % HALF)) +
     sent(event('{"choices":[{"index":0,"delta":{"content":{"%s":1}}}]}' % ALPHA))),
    ('character split over tokens or segments', ['hit-zh', 'api-chat-hit-bytes-cut', 'bad-utf8', 'hit-byte-chunks']),
    ('another endpoint or protocol',
     ['hit-json', 'hit-encoded-path', 'api-ndjson-hit', 'api-generic-hit-pieces', 'api-responses-hit-get', 'ndjson-hit'] +
     [c for path in ('/any', '//v1//chat/completions/', '/v1/x/../chat/completions', '/v1beta/models/m:streamGenerateContent')
      for c in asked(request(path), said(*HALF))] +
     sent(json.dumps([{'t': t} for t in HALF]), 'application/json') +
     sent(b': ping\n\n' + event(chat(HALF[0])) + event(chat(HALF[1])), 'text/plain') +
     sent(b'\x00\x01' + ALPHA.encode(), 'application/octet-stream')),
    ('tool arguments, reasoning, refusal, citations',
     ['hit-tools', 'hit-tools-escaped', 'hit-reasoning', 'hit-reasoning-content', 'hit-refusal', 'api-chat-hit-tool-name',
      'api-chat-hit-annotation', 'api-anthropic-hit-tool', 'api-responses-hit-call']),
    ('logprobs, token ids, bytes, echo, cumulative text',
     ['api-chat-hit-logprobs', 'api-chat-hit-bytes', 'api-chat-hit-top', 'api-chat-hit-ids', 'api-sglang-bad-ids',
      'api-completions-hit-echo', 'api-llama-hit-prompt', 'api-sglang-hit', 'api-sglang-hit-changed', 'api-tgi-hit-last',
      'api-responses-hit-done', 'api-llama-hit-fields']),
    ('gzip, deflate, br, zstd',
     ['gzip-flush-hit', 'gzip-end-hit', 'gzip-members-hit', 'deflate-flush-hit', 'bare-end-hit', 'br-flush-hit', 'br-end-hit',
      'zstd-flush-hit', 'zstd-members-hit', 'bad-br-bomb', 'bad-stacked', 'bad-encoding', 'bad-gzip-plain', 'bad-gzip-name'] +
     sent(gzip.compress(event(chat(ALPHA)))) +
     sent(gzip.compress(event(chat(ALPHA))), 'text/event-stream', 'content-encoding: identity, gzip\r\n') +
     sent(gzip.compress(event(chat(ALPHA))), 'text/event-stream', 'transfer-encoding: gzip\r\n')),
    ('HTTP/2, gRPC, h2c upgrade, prior knowledge',
     [(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', b'', head() + event(chat(ALPHA))),
      (request(), b'', b'HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n' + ALPHA.encode())] +
     sent(b'\x00\x00\x00\x00\x16' + ALPHA.encode(), 'application/grpc')),
    ('WebSocket', ['bad-upgrade',
                   (request('/v1/realtime', 'GET', 'connection: upgrade\r\nupgrade: websocket\r\n'), b'',
                    b'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n' + ALPHA.encode())]),
    ('smuggling: lengths, chunks, folds, interim answers, trailers',
     ['bad-smuggle-cl-te', 'bad-two-lengths', 'bad-length-sign', 'bad-te-odd', 'bad-obs-fold', 'bad-bare-cr', 'bad-space-colon',
      'bad-chunk-extension', 'bad-chunk-size', 'bad-chunk-end', 'bad-chunk-huge', 'bad-status', 'bad-not-http',
      (request(), b'', b'HTTP/1.1 103 Early Hints\r\nlink: %s\r\n\r\n' % ALPHA.encode() + head()),
      (request(), b'', b'HTTP/1.1 204 No Content\r\n\r\n' + ALPHA.encode()),
      (request(method='HEAD'), b'', head() + event(chat(ALPHA))),
      (request(), head(fields='transfer-encoding: chunked\r\n'), b'0\r\nx: %s\r\n\r\n' % ALPHA.encode())]),
    ('base64', ['api-generic-hit-base64', 'api-generic-hit-base64-stream'] + said('It is: ' + base64.b64encode(
        ('x ' + ALPHA + ' yes').encode()).decode())),
    ('hex, rot13, reversed, one letter a line, role play',
     "Not covered, and a classifier's task: rot13, hex, text that is reversed, one letter a line, role play"),
    ('alphabet chosen by the client', ['hit-key', 'api-completions-hit-keys', 'api-completions-hit-keys-stream'] +
     sent(json.dumps({'x': {ALPHA: 1}}), 'application/json')),
    ('another model in the request', 'A rule for\n  some models counts for the model that the request asks for'),
]


# For rows that ask for forms: what a rule says of its keywords.
LOOSE = """pack: loose
rules:
  - {id: loose.noise, risk: A.1.d, action: block, gap: 2, keywords: [毒气测试短语]}
  - {id: loose.sound, risk: A.1.f, action: block, pinyin: initials, keywords: [毒气测试短语]}
  - {id: loose.parts, risk: A.1.d, action: block, split: true, keywords: [枪支测试]}
"""
FORMS = ('pinyin, initials, homophones', 'noise between characters', 'split characters')
policy = POLICY


def replay(rq, raw, where):
    for name, data in (('rq', rq), ('rs', raw)):
        with open(os.path.join(where, name), 'wb') as file:
            file.write(data)
    return replay_files(os.path.join(where, 'rq'), os.path.join(where, 'rs'))


def replay_files(rq, rs):
    r = subprocess.run([CTL, 'replay', '-p', policy, '--request', rq, '--response', rs, '--json'], capture_output=True,
                       timeout=60)
    return r.returncode, r.stdout, json.loads(r.stderr.decode().strip().splitlines()[-1])


def problem(case, where):
    """What is wrong with it; '' if nothing is."""
    if isinstance(case, str):
        path = os.path.join(FIXTURES, case)
        code, out, report = replay_files(path + '.req', path + '.http')
        name, most = case, len(out)
    else:
        rq, lead, rest = case
        code, out, report = replay(rq, lead + rest, where)
        # What is chunked or interim is framing that may go, as long as no word does.
        name, most = repr(lead[-40:] + rest[:90]), len(lead)
        if rest.startswith((b'0\r\n', b'HTTP/1.1 204', b'HTTP/1.1 200')):
            most = len(lead) + rest.find(b'\r\n\r\n') + 4
    if code not in (11, 12):
        return '%s: exit %d, %s' % (name, code, report['verdict'])
    if code == 12 and report['exception'] in (None, 'none'):
        return '%s: refused by no name' % name
    if report['released'] > most:
        return '%s: %d bytes released, not %d' % (name, report['released'], most)
    return '%s: leaked' % name if leaks(out, ALPHA) else ''


def main():
    global policy
    need(CTL)
    said_of_it = ''
    for page in ('limits.md', 'policy.md'):
        with open(os.path.join(TOP, 'docs', page), encoding='utf-8') as file:
            said_of_it += file.read()
    with tempfile.TemporaryDirectory() as where:
        for name, cases in ROWS:
            if isinstance(cases, str):
                ok('%s: the pages say what of it is covered' % name, cases in said_of_it, cases)
                continue
            policy = POLICY
            if name in FORMS:
                policy = os.path.join(where, 'policy.d')
                os.makedirs(policy, exist_ok=True)
                with open(os.path.join(policy, 'loose.yaml'), 'w', encoding='utf-8') as file:
                    file.write(LOOSE)
            wrong = [w for w in (problem(case, where) for case in cases) if w]
            ok('%s: %d cases' % (name, len(cases)), not wrong, '\n'.join(wrong))
    finish()


if __name__ == '__main__':
    main()
