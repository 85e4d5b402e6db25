#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mkscript_gguf.py - write a tiny GGUF language model that recites fixed text.

Usage:  mkscript_gguf.py SCRIPT OUT.gguf [--dim N] [--context N]

The model is a real llama-architecture network (about 0.3 MB) that any
llama.cpp based server or binding loads and runs.  When the prompt ends in a
trigger word, it says the text that belongs to that trigger and stops.  Tests
use it to make a real inference stack emit a known, even "illegal", answer at
ordinary sampling settings, without a grammar and without downloading weights.

SCRIPT is UTF-8 text.  A line '### TRIGGER' opens an entry; the lines up to the
next such line are what the model says.  Inner line breaks are kept, blank
lines at the start and end of an entry are not:

    ### GOODTEXT
    The quick brown fox is a friendly animal.
    ### BADTEXT
    Of course! Take the FORBIDDEN-PHRASE-ALPHA from the shelf.

How it works.  Attention and feed-forward weights are zero, so the network is
one look-up: the last token's embedding goes straight to the output matrix.
Every token has a random +-1 embedding, and the output row of token B is the
embedding of the token A that B follows.  Row times embedding is then `dim` for
the true successor and about sqrt(dim) for any other token: after the softmax
the successor is certain at any usual temperature.

For that, a token must have one successor only, so each word of the text
becomes a token of its own; where a word (with the white space before it) has
been used already, it is lengthened by the characters that follow until it is
new.  Tokens are therefore about word-sized, and no UTF-8 character is split.

What to expect:
  - the last token of the prompt must be the trigger; any other prompt ends in
    a token without successor and the answer is noise;
  - the chat template is the bare message text, so the last message of a chat
    request has to end in the trigger;
  - the same script gives the same file, byte for byte.

Standard library only.
"""
import argparse
import random
import re
import struct
import sys

# GGUF metadata value types
T_UINT32, T_INT32, T_FLOAT32, T_BOOL, T_STRING, T_ARRAY = 4, 5, 6, 7, 8, 9
# llama.cpp token types
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6

GGUF_VERSION = 3
ALIGNMENT = 32          # of the tensor data, the format's default
GGML_F32 = 0
FFN = 32                # feed-forward width; its weights are all zero
NEVER_MERGE = -1e4      # score of a script token: prompts should not use it
BOS, EOS, UNK = 1, 2, 0


def text(raw):
    """A GGUF string: 64-bit length, then the bytes."""
    return struct.pack('<Q', len(raw)) + raw


class Metadata:
    """The key-value part of a GGUF header."""

    def __init__(self):
        self.count = 0
        self.blob = b''

    def _add(self, key, value_type, payload):
        self.count += 1
        self.blob += text(key.encode()) + struct.pack('<I', value_type) + payload

    def uint32(self, key, value):
        self._add(key, T_UINT32, struct.pack('<I', value))

    def float32(self, key, value):
        self._add(key, T_FLOAT32, struct.pack('<f', value))

    def boolean(self, key, value):
        self._add(key, T_BOOL, struct.pack('<?', value))

    def string(self, key, value):
        self._add(key, T_STRING, text(value.encode()))

    def array(self, key, item_type, items):
        self._add(key, T_ARRAY, struct.pack('<IQ', item_type, len(items)) + b''.join(items))


class Vocabulary:
    """Token texts, scores and types, and which token follows which."""

    def __init__(self):
        self.texts, self.scores, self.types = [], [], []
        self.known = set()
        self.follower = {}
        self.add(b'<unk>', UNKNOWN)
        self.add(b'<s>', CONTROL)
        self.add(b'</s>', CONTROL)
        for byte in range(256):
            self.add(b'<0x%02X>' % byte, BYTE)

    def add(self, raw, token_type, score=0.0):
        self.texts.append(raw)
        self.scores.append(score)
        self.types.append(token_type)
        self.known.add(raw)
        return len(self.texts) - 1

    def add_entry(self, trigger, speech):
        """Add one trigger and the chain of tokens that spells `speech`."""
        if trigger.encode() in self.known:
            raise ValueError('trigger %r is used twice, or is spelled like a token' % trigger)
        previous = self.add(trigger.encode(), USER_DEFINED)
        start = 0
        while start < len(speech):
            word = re.compile(r'\s*\S+').match(speech, start)
            end = word.end() if word else len(speech)

            def piece():
                return speech[start:end].replace(' ', '\u2581').encode()

            while piece() in self.known and end < len(speech):
                end += 1
            raw = piece()
            while raw in self.known:        # only at the end of a speech
                raw += b'\n'
            token = self.add(raw, NORMAL, NEVER_MERGE)
            self.follower[previous] = token
            previous, start = token, end
        self.follower[previous] = EOS


def read_script(path):
    entries = []
    with open(path, encoding='utf-8') as script:
        for line in script:
            if line.startswith('### '):
                entries.append([line[4:].strip(), ''])
            elif entries:
                entries[-1][1] += line
            elif line.strip():
                raise ValueError("text before the first '### TRIGGER' line")
    if not entries:
        raise ValueError("no '### TRIGGER' line")
    return [(trigger, speech.strip('\n')) for trigger, speech in entries]


def floats(rows):
    return b''.join(struct.pack('<%df' % len(row), *row) for row in rows)


def zeros(columns, rows):
    return bytes(4 * columns * rows)


def tensors(vocabulary, dim):
    """(name, dimensions, bytes) of every tensor; dimensions fastest first."""
    size = len(vocabulary.texts)
    rng = random.Random(3)

    def vector():
        return [rng.choice((-1.0, 1.0)) for _ in range(dim)]

    embedding = [vector() for _ in range(size)]
    output = [[0.0] * dim for _ in range(size)]
    # Every entry's last token leads to EOS.  They share one embedding, so that
    # the EOS row stays a single vector however many entries there are.
    last = vector()
    for token, follower in vocabulary.follower.items():
        if follower == EOS:
            embedding[token] = last
        output[follower] = embedding[token]
    ones = floats([[1.0] * dim])

    yield 'token_embd.weight', (dim, size), floats(embedding)
    yield 'output_norm.weight', (dim,), ones
    yield 'output.weight', (dim, size), floats(output)
    yield 'blk.0.attn_norm.weight', (dim,), ones
    yield 'blk.0.ffn_norm.weight', (dim,), ones
    for name in ('attn_q', 'attn_k', 'attn_v', 'attn_output'):
        yield 'blk.0.%s.weight' % name, (dim, dim), zeros(dim, dim)
    yield 'blk.0.ffn_gate.weight', (dim, FFN), zeros(dim, FFN)
    yield 'blk.0.ffn_up.weight', (dim, FFN), zeros(dim, FFN)
    yield 'blk.0.ffn_down.weight', (FFN, dim), zeros(FFN, dim)


def metadata(vocabulary, dim, context):
    meta = Metadata()
    meta.string('general.architecture', 'llama')
    meta.string('general.name', 'script')
    for key, value in (('context_length', context), ('embedding_length', dim),
                       ('block_count', 1), ('feed_forward_length', FFN),
                       ('attention.head_count', 2), ('attention.head_count_kv', 2),
                       ('rope.dimension_count', dim // 2)):
        meta.uint32('llama.' + key, value)
    meta.float32('llama.attention.layer_norm_rms_epsilon', 1e-5)
    meta.string('tokenizer.ggml.model', 'llama')
    meta.string('tokenizer.ggml.pre', 'default')
    meta.array('tokenizer.ggml.tokens', T_STRING, [text(t) for t in vocabulary.texts])
    meta.array('tokenizer.ggml.scores', T_FLOAT32,
               [struct.pack('<f', score) for score in vocabulary.scores])
    meta.array('tokenizer.ggml.token_type', T_INT32,
               [struct.pack('<i', kind) for kind in vocabulary.types])
    meta.uint32('tokenizer.ggml.unknown_token_id', UNK)
    meta.uint32('tokenizer.ggml.bos_token_id', BOS)
    meta.uint32('tokenizer.ggml.eos_token_id', EOS)
    meta.boolean('tokenizer.ggml.add_space_prefix', False)
    meta.boolean('tokenizer.ggml.add_bos_token', True)
    meta.string('tokenizer.chat_template',
                "{% for m in messages %}{{ m['content'] }}{% endfor %}")
    return meta


def gguf(vocabulary, dim, context):
    """The whole file: header, metadata, tensor table, padding, tensor data."""
    count, table, data = 0, b'', b''
    for name, shape, blob in tensors(vocabulary, dim):
        count += 1
        table += text(name.encode()) + struct.pack('<I', len(shape))
        table += b''.join(struct.pack('<Q', n) for n in shape)
        table += struct.pack('<IQ', GGML_F32, len(data))
        data += blob + bytes(-len(blob) % ALIGNMENT)
    meta = metadata(vocabulary, dim, context)
    header = b'GGUF' + struct.pack('<IQQ', GGUF_VERSION, count, meta.count) + meta.blob + table
    return header + bytes(-len(header) % ALIGNMENT) + data


def main():
    parser = argparse.ArgumentParser(description='Write a tiny GGUF model that recites fixed text.')
    parser.add_argument('script', help="UTF-8 text with '### TRIGGER' lines")
    parser.add_argument('out', help='GGUF file to write')
    parser.add_argument('--dim', type=int, default=64,
                        help='embedding width, a multiple of 4, at least 32 (default 64); '
                             'raise it for scripts of many thousand words')
    parser.add_argument('--context', type=int, default=8192,
                        help='context length the model declares (default 8192)')
    args = parser.parse_args()
    if args.dim < 32 or args.dim % 4:
        parser.error('--dim must be a multiple of 4 and at least 32')
    try:
        vocabulary = Vocabulary()
        for trigger, speech in read_script(args.script):
            vocabulary.add_entry(trigger, speech)
    except (OSError, ValueError) as problem:
        sys.exit('%s: %s' % (args.script, problem))
    blob = gguf(vocabulary, args.dim, args.context)
    with open(args.out, 'wb') as out:
        out.write(blob)
    print('%s: %d tokens, %d bytes' % (args.out, len(vocabulary.texts), len(blob)))


if __name__ == '__main__':
    main()
