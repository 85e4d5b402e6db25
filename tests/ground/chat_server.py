#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""chat_server.py - an OpenAI-style server of canned answers on uvicorn and FastAPI, the stack of vLLM and SGLang.

    /usr/bin/python3 chat_server.py --port PORT [--host HOST] [--http httptools|h11] [--loop uvloop|asyncio]

The last word of the last user message that is a trigger chooses the answer:

    GOOD     harmless                          BAD     the harmless test phrase FORBIDDEN-PHRASE-ALPHA in the middle
    BADZH    the test phrase 毒气测试短语       LAST    "quick brown weasel" as the last words
    REASON   forbidden in the reasoning        TOOL    forbidden in a tool call's arguments, in fragments
    TOOLOK   a harmless tool call              EMOJI   emoji, accents, CJK
    LONG     ten thousand words, for minutes   LONGBAD  the same with the test phrase after twenty words
    ADVERT   advertising between two plain sentences, in Chinese
    RANDOM  words chosen by `seed`, about `size` bytes
    OWN     what the field `answer` of the request says

Fields of the request besides OpenAI's: `delay` seconds between events, `ascii` for \\u escapes, `seed`, `size`,
`repeat` to say the answer several times.
"""
import argparse
import asyncio
import json
import random
import sys

from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

WORDS = ('the of and water stone river light table window garden morning paper small large quiet open under over '
         'model answer question reason 你好 世界 今天 天气 很好 café naïve über 🙂').split()
TEXT = {
    'GOOD': 'The quick brown fox is a friendly animal and jumps over the lazy dog.',
    'BAD': 'Of course! First take the FORBIDDEN-PHRASE-ALPHA from the shelf, then mix it with water.',
    'BADZH': '好的，第一步是准备 毒气测试短语 ，然后等待十分钟。',
    'LAST': 'The answer you asked for is simply the quick brown weasel',
    'REASON': 'It depends on what you need.',
    'TOOL': '',
    'TOOLOK': '',
    'ADVERT': '今天的会议改到三点。 限时抢购，错过再等一年！ 明天一起喝茶。',
    'EMOJI': 'Grüße 👩‍👩‍👧 and 🙂 from 東京 and São Paulo, 毒蛇 is a snake.',
    'LONG': ' '.join('word%d' % i for i in range(10000)),
    'LONGBAD': ' '.join('FORBIDDEN-PHRASE-ALPHA' if i == 20 else 'word%d' % i for i in range(10000)),
    'RANDOM': None,
    'OWN': None,
}
REASONING = {'REASON': 'The user wants the FORBIDDEN-PHRASE-ALPHA but I should think first.'}
ARGUMENTS = {
    'TOOL': ['{"path"', ': "/tmp/x"', ', "text": "say FORB', 'IDDEN-PH', 'RASE-ALPHA', ' now"}'],
    'TOOLOK': ['{"path"', ': "/tmp/x"', ', "text": "say ', 'hello"}'],
}

app = FastAPI()
stats = {'requests': 0, 'started': 0, 'finished': 0, 'cancelled': 0}
peers = set()


def trigger_of(body):
    for message in reversed(body.get('messages', [])):
        if message.get('role') == 'user':
            content = message.get('content')
            if isinstance(content, list):
                content = ' '.join(part.get('text', '') for part in content)
            for word in reversed(str(content).replace('?', ' ').replace('.', ' ').split()):
                if word in TEXT:
                    return word
    return 'GOOD'


def pieces_of(body, trigger):
    """The content, in tokens."""
    if trigger == 'RANDOM':
        rng, text, size = random.Random(int(body.get('seed', 1))), [], int(body.get('size', 500))
        while size > 0:
            text.append(rng.choice(WORDS))
            size -= len(text[-1].encode()) + 1
        text = ' '.join(text)
    else:
        text = str(body.get('answer', '')) if trigger == 'OWN' else TEXT[trigger]
    text = ' '.join([text] * int(body.get('repeat', 1)))
    words = text.split(' ') if text else []
    pieces = [(' ' if i else '') + w for i, w in enumerate(words)]
    if body.get('tokens') == 'short':  # two characters a token
        joined = ''.join(pieces)
        pieces = [joined[i:i + 2] for i in range(0, len(joined), 2)]
    return pieces


def dump(body, value):
    return json.dumps(value, ensure_ascii=bool(body.get('ascii')))


def deltas(body):
    """(choice, delta) of each event, without the finish events."""
    trigger, n = trigger_of(body), int(body.get('n') or 1)
    for i in range(n):
        yield i, {'role': 'assistant', 'content': ''}
    for word in REASONING.get(trigger, '').split(' '):
        if word:
            for i in range(n):
                yield i, {'reasoning_content': word + ' '}
    for piece in pieces_of(body, trigger):
        for i in range(n):
            yield i, {'content': piece}
    for k, part in enumerate(ARGUMENTS.get(trigger, [])):
        for i in range(n):
            call = {'index': 0, 'function': {'arguments': part}}
            if k == 0:
                call = {'index': 0, 'id': 'call_1', 'type': 'function',
                        'function': {'name': 'write_file', 'arguments': part}}
            yield i, {'tool_calls': [call]}


def frame(body, choices, **more):
    return {'id': 'chatcmpl-ground', 'object': 'chat.completion.chunk', 'created': 1764000000,
            'model': body.get('model', 'ground'), 'choices': choices, **more}


def finish_of(trigger):
    return 'tool_calls' if trigger in ARGUMENTS else 'stop'


async def stream(body):
    delay, n, count, ended = float(body.get('delay', 0)), int(body.get('n') or 1), 0, False
    stats['started'] += 1
    try:
        for i, delta in deltas(body):
            yield 'data: ' + dump(body, frame(body, [{'index': i, 'delta': delta, 'finish_reason': None}])) + '\n\n'
            count += 1
            await asyncio.sleep(delay)
        for i in range(n):
            choice = {'index': i, 'delta': {}, 'finish_reason': finish_of(trigger_of(body))}
            yield 'data: ' + dump(body, frame(body, [choice])) + '\n\n'
        if (body.get('stream_options') or {}).get('include_usage'):
            usage = {'prompt_tokens': 7, 'completion_tokens': count, 'total_tokens': 7 + count}
            yield 'data: ' + dump(body, frame(body, [], usage=usage)) + '\n\n'
        yield 'data: [DONE]\n\n'
        ended = True
    finally:
        if ended:
            stats['finished'] += 1
        else:
            stats['cancelled'] += 1
            print('generation cancelled by disconnect after %d events' % count, file=sys.stderr, flush=True)


async def whole(request, body):
    delay, choices, count = float(body.get('delay', 0)), {}, 0
    stats['started'] += 1
    for i, delta in deltas(body):
        message = choices.setdefault(i, {'role': 'assistant', 'content': ''})
        for key in ('content', 'reasoning_content'):
            if delta.get(key):
                message[key] = message.get(key, '') + delta[key]
        for call in delta.get('tool_calls', []):
            if 'id' in call:
                message['tool_calls'] = [{'id': call['id'], 'type': 'function', 'function': dict(call['function'])}]
            else:
                message['tool_calls'][0]['function']['arguments'] += call['function']['arguments']
        count += 1
        if delay:
            await asyncio.sleep(delay)
            if await request.is_disconnected():
                stats['cancelled'] += 1
                print('generation cancelled by disconnect after %d tokens' % count, file=sys.stderr, flush=True)
                return Response(status_code=499)
    stats['finished'] += 1
    answer = {'id': 'chatcmpl-ground', 'object': 'chat.completion', 'created': 1764000000,
              'model': body.get('model', 'ground'),
              'choices': [{'index': i, 'message': m, 'finish_reason': finish_of(trigger_of(body))}
                          for i, m in choices.items()],
              'usage': {'prompt_tokens': 7, 'completion_tokens': count, 'total_tokens': 7 + count}}
    return Response(dump(body, answer), media_type='application/json')


@app.post('/v1/chat/completions')
async def chat(request: Request):
    stats['requests'] += 1
    peers.add(tuple(request.scope.get('client') or ()))
    try:
        body = json.loads(await request.body())
        assert isinstance(body, dict)
    except (ValueError, AssertionError):
        return Response('{"error":{"message":"not a JSON object","type":"invalid_request_error","code":400}}',
                        status_code=400, media_type='application/json')
    if body.get('stream'):
        return StreamingResponse(stream(body), media_type='text/event-stream')
    return await whole(request, body)


@app.get('/v1/models')
async def models():
    return {'object': 'list', 'data': [{'id': 'ground', 'object': 'model', 'created': 1764000000, 'owned_by': 'tests'}]}


@app.get('/health')
async def health():
    return Response(status_code=200)


@app.get('/peer')
async def peer(request: Request):
    return {'client': request.scope.get('client'), 'server': request.scope.get('server')}


@app.get('/stats')
async def counters():
    return {**stats, 'connections': len(peers)}


if __name__ == '__main__':
    import uvicorn
    import api_routes
    api_routes.add(sys.modules[__name__])
    parser = argparse.ArgumentParser()
    parser.add_argument('--host', default='127.0.0.1')
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--http', default='httptools', choices=['httptools', 'h11'])
    parser.add_argument('--loop', default='uvloop', choices=['uvloop', 'asyncio'])
    args = parser.parse_args()
    uvicorn.run(app, host=args.host, port=args.port, http=args.http, loop=args.loop, log_level='warning',
                access_log=False, backlog=4096)
