# SPDX-License-Identifier: Apache-2.0
"""codings.py - content codings put on and taken off, by the libraries themselves: Python has no brotli and no zstd.

    body = encode('br', pieces, 'flush')        # forms: flush, end; gzip and zstd also members
    text = decode('br', body)                   # as far as it goes
"""
import ctypes
import gzip
import zlib

NAMES = ('gzip', 'deflate', 'br', 'zstd')
FORMS = ('flush', 'end', 'members')
P, SIZE = ctypes.c_void_p, ctypes.c_size_t


class Bytes(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer."""
    _fields_ = [('at', P), ('size', SIZE), ('pos', SIZE)]


def library(name, results):
    lib = ctypes.CDLL(name)
    for function, result in results.items():
        getattr(lib, function).restype = result
    return lib


def encode_zlib(name, pieces, form):
    window = {'gzip': 31, 'deflate': 15, 'bare': -15}[name]
    if form == 'members':
        return b''.join(gzip.compress(p, mtime=0) for p in pieces)
    z = zlib.compressobj(6, zlib.DEFLATED, window)
    out = b''.join(z.compress(p) + (z.flush(zlib.Z_SYNC_FLUSH) if form == 'flush' else b'') for p in pieces)
    return out + z.flush()


def encode_brotli(pieces, form):
    lib = library('libbrotlienc.so.1', {'BrotliEncoderCreateInstance': P, 'BrotliEncoderTakeOutput': P})
    state, out = P(lib.BrotliEncoderCreateInstance(None, None, None)), b''
    lib.BrotliEncoderSetParameter(state, 1, 5)  # quality
    for piece, op in [(p, 1 if form == 'flush' else 0) for p in pieces] + [(b'', 2)]:
        data = ctypes.create_string_buffer(piece, len(piece))
        left, at, none = SIZE(len(piece)), P(ctypes.addressof(data)), SIZE(0)
        while True:
            if not lib.BrotliEncoderCompressStream(state, op, ctypes.byref(left), ctypes.byref(at), ctypes.byref(none),
                                                   None, None):
                raise ValueError('brotli')
            size = SIZE(0)
            more = lib.BrotliEncoderTakeOutput(state, ctypes.byref(size))
            out += ctypes.string_at(more, size.value) if size.value else b''
            if not left.value and not lib.BrotliEncoderHasMoreOutput(state):
                break
    lib.BrotliEncoderDestroyInstance(state)
    return out


def encode_zstd(pieces, form):
    lib = library('libzstd.so.1', {'ZSTD_createCCtx': P, 'ZSTD_compressStream2': SIZE})
    state, out, room = P(lib.ZSTD_createCCtx()), b'', ctypes.create_string_buffer(1 << 16)
    last = [] if form == 'members' else [(b'', 2)]
    for piece, op in [(p, {'flush': 1, 'end': 0, 'members': 2}[form]) for p in pieces] + last:
        data = ctypes.create_string_buffer(piece, len(piece))
        given = Bytes(ctypes.addressof(data), len(piece), 0)
        while True:
            got = Bytes(ctypes.addressof(room), len(room), 0)
            left = lib.ZSTD_compressStream2(state, ctypes.byref(got), ctypes.byref(given), op)
            if lib.ZSTD_isError(SIZE(left)):
                raise ValueError('zstd')
            out += room.raw[:got.pos]
            if given.pos == given.size and (not op or not left):
                break
    lib.ZSTD_freeCCtx(state)
    return out


def encode(name, pieces, form='flush'):
    """name: one of NAMES, or 'bare' for deflate without its wrapper."""
    if name == 'br':
        return encode_brotli(pieces, form)
    if name == 'zstd':
        return encode_zstd(pieces, form)
    return encode_zlib(name, pieces, form)


def decode_zlib(body, window):
    out = b''
    while body:
        z = zlib.decompressobj(window)
        try:
            out += z.decompress(body)
        except zlib.error:
            break
        if not z.eof or not z.unused_data:
            break
        body = z.unused_data
    return out


def decode_brotli(body):
    lib = library('libbrotlidec.so.1', {'BrotliDecoderCreateInstance': P, 'BrotliDecoderTakeOutput': P})
    state, out = P(lib.BrotliDecoderCreateInstance(None, None, None)), b''
    data = ctypes.create_string_buffer(body, len(body))
    left, at, none = SIZE(len(body)), P(ctypes.addressof(data)), SIZE(0)
    while True:
        result = lib.BrotliDecoderDecompressStream(state, ctypes.byref(left), ctypes.byref(at), ctypes.byref(none), None,
                                                   None)
        size = SIZE(0)
        more = lib.BrotliDecoderTakeOutput(state, ctypes.byref(size))
        out += ctypes.string_at(more, size.value) if size.value else b''
        if result != 3 and not lib.BrotliDecoderHasMoreOutput(state):
            break
    lib.BrotliDecoderDestroyInstance(state)
    return out


def decode_zstd(body):
    lib = library('libzstd.so.1', {'ZSTD_createDCtx': P, 'ZSTD_decompressStream': SIZE})
    state, out, room = P(lib.ZSTD_createDCtx()), b'', ctypes.create_string_buffer(1 << 16)
    data = ctypes.create_string_buffer(body, len(body))
    given = Bytes(ctypes.addressof(data), len(body), 0)
    while True:
        got = Bytes(ctypes.addressof(room), len(room), 0)
        left = lib.ZSTD_decompressStream(state, ctypes.byref(got), ctypes.byref(given))
        out += room.raw[:got.pos]
        if lib.ZSTD_isError(SIZE(left)) or (given.pos == given.size and got.pos < got.size):
            break
    lib.ZSTD_freeDCtx(state)
    return out


def decode(name, body):
    """The text of an encoded body or of its beginning; what is not encoded so is empty."""
    if name == 'br':
        return decode_brotli(body)
    if name == 'zstd':
        return decode_zstd(body)
    if name in ('gzip', 'x-gzip'):
        return decode_zlib(body, 31)
    return decode_zlib(body, 15) or decode_zlib(body, -15)
