/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness.c - cosigns the checkpoints of other hosts' logs, as C2SP tlog-witness asks.
 *
 * Of each log the witness keeps one thing, the newest checkpoint that it cosigned, and it is on the disk before the
 * cosignature leaves: a log that shrinks or parts from what it once showed gets no signature any more, whoever asks.
 */
#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/own.h"
#include "record/folder.h"
#include "record/history.h"
#include "record/keys.h"

#define WITNESS_PROOF 63 /* lines of a request */
#define STATE_NAME    (2 * HASH_LEN + 1)

/* A log that is known by one or more keys of its name. */
struct watched {
	struct note_key key;
	struct checkpoint last; /* cosigned; of size 0 and without an origin: none yet */
};

struct witness {
	int dir, lock;
	struct keys keys;
	struct note_signer cosigner;
	struct watched *logs;
	size_t n;
};

/* ---- what is kept ---- */

static void state_name(char to[STATE_NAME], const char *origin)
{
	struct hash h;

	hash_bytes(&h, slice_str(origin));
	for (size_t i = 0; i < HASH_LEN; i++)
		snprintf(to + 2 * i, 3, "%02x", h.at[i]);
}

/* A state that is there and cannot be read is an error: to begin anew would sign anything. */
static int load_state(int dir, const char *origin, struct checkpoint *out)
{
	owned(own_free) uint8_t *text = NULL;
	struct checkpoint c;
	char name[STATE_NAME];
	size_t len = 0;
	int err;

	state_name(name, origin);
	err = history_read(dir, name, NOTE_MAX, &text, &len);
	if (err)
		return err == -ENOENT ? 0 : err;
	err = checkpoint_read(&c, slice_of(text, len));
	if (err || strcmp(c.origin, origin) != 0)
		return -EBADMSG;
	*out = c;
	return 0;
}

static int keep_state(const struct witness *w, const struct checkpoint *c)
{
	char name[STATE_NAME], temporary[STATE_NAME + 4], text[NOTE_MAX];
	int len = checkpoint_text(c, text, sizeof(text));

	if (len < 0)
		return len;
	state_name(name, c->origin);
	snprintf(temporary, sizeof(temporary), "%s.new", name);
	return history_replace(&file_system, w->dir, name, temporary, slice_of(text, (size_t)len));
}

/* ---- life ---- */

void witness_close(struct witness **at)
{
	struct witness *w = *at;

	if (!w)
		return;
	keys_close(&w->keys);
	OPENSSL_cleanse(&w->cosigner, sizeof(w->cosigner));
	own_close(&w->lock);
	own_close(&w->dir);
	free(w->logs);
	free(w);
	*at = NULL;
}

static int open_key(struct witness *w, const struct witness_options *o)
{
	owned(own_free) char *file = NULL;
	int err;

	if (asprintf(&file, "%s/key", o->dir) < 0)
		return -ENOMEM;
	err = keys_open(&w->keys, file, o->name, NULL);
	return err ? err : note_signer_make(&w->cosigner, o->name, KEY_COSIGN, w->keys.now.seed);
}

int witness_open(struct witness **out, const struct witness_options *o)
{
	owned(witness_close) struct witness *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->dir = w->lock = -1;
	w->logs = calloc(o->log_count + 1, sizeof(*w->logs));
	if (!w->logs)
		return -ENOMEM;
	for (size_t i = 0; i < o->log_count; i++)
		if (note_key_read(&w->logs[i].key, slice_str(o->logs[i])) || w->logs[i].key.type != KEY_ED25519)
			return -EINVAL;
	w->n = o->log_count;
	if (!note_name_is_good(o->name))
		return -EINVAL;
	err = folder_open(o->dir, &w->dir, &w->lock);
	err = err ? err : open_key(w, o);
	for (size_t i = 0; !err && i < w->n; i++)
		err = load_state(w->dir, w->logs[i].key.name, &w->logs[i].last);
	if (err)
		return err;
	*out = TAKE(w);
	return 0;
}

void witness_vkey(const struct witness *w, char to[LEDGER_VKEY])
{
	note_key_text(&w->cosigner.pub, to);
}

/* ---- a request ---- */

struct request {
	uint64_t old;
	struct hash proof[WITNESS_PROOF];
	size_t n;
	struct slice text, signatures;
	struct checkpoint c;
};

static bool read_request(struct request *out, struct slice body)
{
	struct slice line;

	if (!note_line(&body, &line) || line.len < 5 || memcmp(line.at, "old ", 4) != 0 ||
	    !checkpoint_size_read(slice_from(line, 4), &out->old))
		return false;
	for (out->n = 0; note_line(&body, &line) && line.len; out->n++)
		if (out->n == WITNESS_PROOF || base64_read(out->proof[out->n].at, HASH_LEN, line) != HASH_LEN)
			return false;
	return !line.len && !note_split(body, &out->text, &out->signatures) && !checkpoint_read(&out->c, out->text);
}

static void answer(struct witness_answer *a, unsigned status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void answer(struct witness_answer *a, unsigned status, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(a->body, sizeof(a->body), format, args);
	va_end(args);
	a->status = status;
	a->type = "text/plain; charset=utf-8";
	a->len = len < 0 ? 0 : (size_t)len < sizeof(a->body) ? (size_t)len : sizeof(a->body) - 1;
}

/* The size that a proof must begin at. */
static void answer_size(struct witness_answer *a, const struct checkpoint *last)
{
	answer(a, 409, "%" PRIu64 "\n", last->size);
	a->type = "text/x.tlog.size";
}

/* The log's state, once one of its keys has signed; else *status says why not. */
static struct watched *find_log(struct witness *w, const struct request *q, unsigned *status)
{
	struct watched *first = NULL;

	*status = 404;
	for (size_t i = 0; i < w->n; i++) {
		struct watched *k = &w->logs[i];

		if (strcmp(k->key.name, q->c.origin) != 0)
			continue;
		first = first ? first : k;
		*status = 403;
		if (note_signed_by(q->text, q->signatures, &k->key, NULL))
			return first;
	}
	return NULL;
}

/* From no records anything may follow; no records have one root. */
static bool is_proven(const struct watched *log, const struct request *q)
{
	struct hash nothing;

	hash_bytes(&nothing, SLICE(""));
	if (!q->c.size && !hash_is(&q->c.root, &nothing))
		return false;
	return tree_consistent(q->old, &log->last.root, q->c.size, &q->c.root, q->proof, q->n);
}

static void cosign(struct witness *w, struct watched *log, const struct request *q, struct witness_answer *a)
{
	char line[WITNESS_ANSWER];
	bool again = log->last.origin[0] && log->last.size == q->c.size;
	int err = again ? 0 : keep_state(w, &q->c), len;

	if (err) {
		answer(a, 500, "the checkpoint could not be kept\n");
		return;
	}
	log->last = q->c;
	len = note_signature(&w->cosigner, q->text, (uint64_t)time(NULL), line, sizeof(line));
	if (len < 0)
		answer(a, 500, "the checkpoint could not be signed\n");
	else
		answer(a, 200, "%.*s", len, line);
}

void witness_add(struct witness *w, const uint8_t *body, size_t len, struct witness_answer *out)
{
	struct request q;
	struct watched *log;
	unsigned status;

	if (!read_request(&q, slice_of(body, len))) {
		answer(out, 400, "not a request as tlog-witness has it\n");
		return;
	}
	log = find_log(w, &q, &status);
	if (!log) {
		answer(out, status, "%s\n",
		       status == 404 ? "no log of that origin" : "not signed by a key of that log");
		return;
	}
	if (q.old > q.c.size) {
		answer(out, 400, "the old size is above that of the checkpoint\n");
		return;
	}
	if (q.old != log->last.size ||
	    (log->last.origin[0] && q.old == q.c.size && !hash_is(&q.c.root, &log->last.root))) {
		answer_size(out, &log->last);
		return;
	}
	if (!is_proven(log, &q))
		answer(out, 422, "the proof does not show that the log was only added to\n");
	else
		cosign(w, log, &q, out);
}
