# SPDX-License-Identifier: Apache-2.0
"""api_routes.py - the canned answers of chat_server.py in other APIs: completions, responses, Anthropic's messages."""
import json

from fastapi import Request
from fastapi.responses import Response, StreamingResponse


def named(server, body, value):
    return 'event: %s\ndata: %s\n\n' % (value['type'], server.dump(body, value))


def parts_of(server, body, trigger):
    """('text' | 'thinking' | 'tool', pieces) of what is said."""
    thought = server.REASONING.get(trigger)
    if thought:
        yield 'thinking', [w + ' ' for w in thought.split(' ')]
    pieces = server.pieces_of(body, trigger)
    if pieces:
        yield 'text', pieces
    if trigger in server.ARGUMENTS:
        yield 'tool', server.ARGUMENTS[trigger]


# ---- completions ----

def completion(body, text, finish):
    return {'id': 'cmpl-ground', 'object': 'text_completion', 'created': 1764000000, 'model': body.get('model', 'ground'),
            'choices': [{'index': 0, 'text': text, 'logprobs': None, 'finish_reason': finish}]}


def completion_events(server, body, trigger):
    for piece in server.pieces_of(body, trigger):
        yield 'data: ' + server.dump(body, completion(body, piece, None)) + '\n\n'
    yield 'data: ' + server.dump(body, completion(body, '', 'stop')) + '\n\n'
    yield 'data: [DONE]\n\n'


# ---- messages ----

BLOCKS = {'text': {'type': 'text', 'text': ''}, 'thinking': {'type': 'thinking', 'thinking': '', 'signature': ''},
          'tool': {'type': 'tool_use', 'id': 'toolu_1', 'name': 'write_file', 'input': {}}}
DELTAS = {'text': ('text_delta', 'text'), 'thinking': ('thinking_delta', 'thinking'),
          'tool': ('input_json_delta', 'partial_json')}


def message(body, content, stop):
    return {'id': 'msg_ground', 'type': 'message', 'role': 'assistant', 'model': body.get('model', 'ground'),
            'content': content, 'stop_reason': stop, 'stop_sequence': None, 'usage': {'input_tokens': 7, 'output_tokens': 1}}


def message_events(server, body, trigger):
    stop = 'tool_use' if trigger in server.ARGUMENTS else 'end_turn'
    events = [{'type': 'message_start', 'message': message(body, [], None)}, {'type': 'ping'}]
    for index, (kind, pieces) in enumerate(parts_of(server, body, trigger)):
        name, key = DELTAS[kind]
        events.append({'type': 'content_block_start', 'index': index, 'content_block': BLOCKS[kind]})
        events += [{'type': 'content_block_delta', 'index': index, 'delta': {'type': name, key: p}} for p in pieces]
        events.append({'type': 'content_block_stop', 'index': index})
    events += [{'type': 'message_delta', 'delta': {'stop_reason': stop, 'stop_sequence': None}, 'usage': {'output_tokens': 9}},
               {'type': 'message_stop'}]
    for event in events:
        yield named(server, body, event)


def whole_message(server, body, trigger):
    content = []
    for kind, pieces in parts_of(server, body, trigger):
        text = ''.join(pieces)
        content.append({**BLOCKS[kind], **({'input': json.loads(text)} if kind == 'tool' else {DELTAS[kind][1]: text})})
    return message(body, content, 'tool_use' if trigger in server.ARGUMENTS else 'end_turn')


# ---- responses ----

def response(body, status, output):
    return {'id': 'resp_ground', 'object': 'response', 'created_at': 1764000000, 'status': status, 'error': None,
            'incomplete_details': None, 'instructions': None, 'metadata': {}, 'model': body.get('model', 'ground'),
            'output': output, 'parallel_tool_calls': True, 'temperature': 1, 'tool_choice': 'auto', 'tools': [], 'top_p': 1,
            'usage': {'input_tokens': 7, 'input_tokens_details': {'cached_tokens': 0}, 'output_tokens': 9,
                      'output_tokens_details': {'reasoning_tokens': 0}, 'total_tokens': 16}}


def item_of(kind, index, text, status):
    done = status == 'completed'
    if kind == 'tool':
        return {'id': 'fc_%d' % index, 'type': 'function_call', 'status': status, 'call_id': 'call_1', 'name': 'write_file',
                'arguments': text}
    if kind == 'thinking':
        return {'id': 'rs_%d' % index, 'type': 'reasoning', 'status': status, 'summary': [],
                'content': [{'type': 'reasoning_text', 'text': text}] if done else []}
    return {'id': 'msg_%d' % index, 'type': 'message', 'status': status, 'role': 'assistant',
            'content': [{'type': 'output_text', 'text': text, 'annotations': []}] if done else []}


def item_events(kind, index, pieces):
    text, first = ''.join(pieces), item_of(kind, index, '', 'in_progress')
    place = {'item_id': first['id'], 'output_index': index}
    name = {'text': 'output_text', 'thinking': 'reasoning_text', 'tool': 'function_call_arguments'}[kind]
    yield {'type': 'response.output_item.added', 'output_index': index, 'item': first}
    if kind != 'tool':
        place['content_index'] = 0
        part = {'type': name, 'text': '', **({'annotations': []} if kind == 'text' else {})}
        yield {'type': 'response.content_part.added', **place, 'part': part}
    for piece in pieces:
        yield {'type': 'response.%s.delta' % name, **place, 'delta': piece}
    if kind == 'tool':
        yield {'type': 'response.%s.done' % name, **place, 'name': 'write_file', 'arguments': text}
    else:
        yield {'type': 'response.%s.done' % name, **place, 'text': text}
        yield {'type': 'response.content_part.done', **place, 'part': {**part, 'text': text}}
    yield {'type': 'response.output_item.done', 'output_index': index, 'item': item_of(kind, index, text, 'completed')}


def output_of(server, body, trigger):
    return [item_of(kind, i, ''.join(pieces), 'completed')
            for i, (kind, pieces) in enumerate(parts_of(server, body, trigger))]


def response_events(server, body, trigger):
    events = [{'type': 'response.created', 'response': response(body, 'in_progress', [])},
              {'type': 'response.in_progress', 'response': response(body, 'in_progress', [])}]
    for index, (kind, pieces) in enumerate(parts_of(server, body, trigger)):
        events += item_events(kind, index, pieces)
    events.append({'type': 'response.completed', 'response': response(body, 'completed', output_of(server, body, trigger))})
    for number, event in enumerate(events):
        yield named(server, body, {**event, 'sequence_number': number})


APIS = {
    '/v1/completions': (completion_events, lambda s, b, t: {
        **completion(b, ''.join(s.pieces_of(b, t)), 'stop'),
        'usage': {'prompt_tokens': 7, 'completion_tokens': 9, 'total_tokens': 16}}),
    '/v1/messages': (message_events, whole_message),
    '/v1/responses': (response_events, lambda s, b, t: response(b, 'completed', output_of(s, b, t))),
}


def add(server):
    def route(path, events, whole):
        @server.app.post(path)
        async def answer(request: Request):
            server.stats['requests'] += 1
            body = json.loads(await request.body())
            asked = body.get('messages') or [{'role': 'user', 'content': body.get('input') or body.get('prompt')}]
            trigger = server.trigger_of({'messages': asked})
            if body.get('stream'):
                return StreamingResponse(events(server, body, trigger), media_type='text/event-stream')
            return Response(server.dump(body, whole(server, body, trigger)), media_type='application/json')
    for path, (events, whole) in APIS.items():
        route(path, events, whole)
