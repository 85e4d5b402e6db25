/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cosign.c - a log's side of tlog-witness: what to send, what to believe of the answer, what to keep.
 *
 * Of an answer nothing is taken but a cosignature of the witness's key over our own checkpoint.
 */
#include "record/cosigned.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/dirs.h"
#include "base/own.h"
#include "record/history.h"
#include "record/tiles.h"

struct cosigning {
	int dir;
	char *path;      /* of what is kept */
	uint8_t *kept;   /* all of it */
	size_t kept_len; /* without the entry that is being added to */
	struct checkpoint c;
	char text[NOTE_MAX]; /* of the checkpoint */
	size_t text_len;
	char note[NOTE_MAX]; /* the checkpoint, its signatures, the cosignatures */
	size_t note_len;
	bool taken;
};

int cosigned_path(char **out, const char *dir)
{
	owned(own_free) char *whole = realpath(dir, NULL);
	char *name = whole ? strrchr(whole, '/') : NULL;

	if (!whole)
		return -errno;
	*name++ = '\0';
	return asprintf(out, "%s.cosigned/%s", whole, name) < 0 ? -ENOMEM : 0;
}

void cosigning_close(struct cosigning **at)
{
	struct cosigning *c = *at;

	if (!c)
		return;
	own_close(&c->dir);
	free(c->path);
	free(c->kept);
	free(c);
	*at = NULL;
}

/* The last note that is kept may be of this very checkpoint: then it is the one to add to. */
static void go_on_with_last(struct cosigning *c)
{
	struct slice rest = slice_of(c->kept, c->kept_len), note, text, signatures;
	size_t before = 0;

	while (history_next(&rest, &note)) {
		if (!rest.len && !note_split(note, &text, &signatures) &&
		    slice_is(text, slice_of(c->text, c->text_len))) {
			memcpy(c->note, note.at, note.len);
			c->note_len = note.len;
			c->kept_len = before;
			return;
		}
		before = c->kept_len - rest.len;
	}
}

static int read_checkpoint(struct cosigning *c)
{
	owned(own_free) uint8_t *note = NULL;
	struct slice text, signatures;
	size_t len = 0;
	int err = history_read(c->dir, CHECKPOINT_FILE, NOTE_MAX, &note, &len);

	err = err ? err : note_split(slice_of(note, len), &text, &signatures);
	err = err ? err : checkpoint_read(&c->c, text);
	if (err)
		return err;
	memcpy(c->text, text.at, text.len);
	c->text_len = text.len;
	memcpy(c->note, note, len);
	c->note_len = len;
	return 0;
}

int cosigning_open(struct cosigning **out, const char *dir)
{
	owned(cosigning_close) struct cosigning *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->dir < 0)
		return -errno;
	err = cosigned_path(&c->path, dir);
	err = err ? err : read_checkpoint(c);
	if (err)
		return err;
	err = history_read(AT_FDCWD, c->path, COSIGNED_BYTES, &c->kept, &c->kept_len);
	if (err && err != -ENOENT)
		return err;
	go_on_with_last(c);
	*out = TAKE(c);
	return 0;
}

const char *cosigning_origin(const struct cosigning *c)
{
	return c->c.origin;
}

uint64_t cosigning_size(const struct cosigning *c)
{
	return c->c.size;
}

/* The note in front of the one at `end`, which begins where the mark before it ends. */
static bool note_before(struct slice all, size_t *end, struct slice *note)
{
	size_t mark = sizeof(CHECKPOINT_MARK) - 1, from;

	if (*end <= mark)
		return false;
	for (from = *end - mark; from > 0 && all.at[from - 1] != CHECKPOINT_MARK[0]; from--)
		;
	from += from > 0; /* behind the newline of the mark */
	if (from > *end - mark)
		return false;
	*note = slice_of(all.at + from, *end - mark - from);
	*end = from;
	return true;
}

static bool cosigned_by(struct slice note, const struct note_key *k, uint64_t *size, uint64_t *unix_s)
{
	struct slice text, signatures;
	struct checkpoint c;
	uint64_t when;

	if (note_split(note, &text, &signatures) || checkpoint_read(&c, text) ||
	    !note_signed_by(text, signatures, k, &when))
		return false;
	*size = c.size;
	*unix_s = when;
	return true;
}

int cosigning_known(const struct cosigning *c, const char *vkey, uint64_t *size, uint64_t *unix_s)
{
	struct slice all = slice_of(c->kept, c->kept_len), note = slice_of(c->note, c->note_len);
	size_t end = all.len;
	struct note_key k;

	if (note_key_read(&k, slice_str(vkey)) || k.type != KEY_COSIGN)
		return -EINVAL;
	*size = *unix_s = 0;
	/* The newest first: a log only grows. */
	do {
		if (cosigned_by(note, &k, size, unix_s))
			return 0;
	} while (note_before(all, &end, &note));
	return 0;
}

int cosigning_request(const struct cosigning *c, uint64_t old, char **out, size_t *ret_len)
{
	owned(own_free) struct tile_source *s = malloc(sizeof(*s));
	struct hash proof[PROOF_MAX];
	size_t n = 0, len = 0;
	char *text = NULL;
	FILE *to;
	int err;

	if (!s)
		return -ENOMEM;
	tile_source_init(s, c->dir, c->c.size);
	err = tree_consistency(&s->source, old, c->c.size, proof, &n);
	if (err)
		return err;
	to = open_memstream(&text, &len);
	if (!to)
		return -ENOMEM;
	fprintf(to, "old %" PRIu64 "\n", old);
	hash_lines(to, proof, n);
	fprintf(to, "\n%.*s", (int)c->note_len, c->note);
	if (fclose(to)) {
		free(text);
		return -ENOMEM;
	}
	*out = text;
	*ret_len = len;
	return 0;
}

int cosigning_take(struct cosigning *c, const char *vkey, const uint8_t *answer, size_t len)
{
	struct slice text = slice_of(c->text, c->text_len), rest = slice_of(answer, len), line;
	struct note_key k;

	if (note_key_read(&k, slice_str(vkey)) || k.type != KEY_COSIGN)
		return -EINVAL;
	while (note_line(&rest, &line)) {
		struct slice whole = slice_of(line.at, line.len + 1);

		if (!note_signed_by(text, whole, &k, NULL))
			continue;
		/* One of a witness is enough, the first that it gave. */
		if (note_signed_by(text, slice_of(c->note + c->text_len, c->note_len - c->text_len), &k, NULL))
			return 0;
		if (whole.len > sizeof(c->note) - c->note_len)
			return -ENOBUFS;
		memcpy(c->note + c->note_len, whole.at, whole.len);
		c->note_len += whole.len;
		c->taken = true;
		return 0;
	}
	return -EBADMSG;
}

/* What is kept, thinned when it has grown long. */
static void put_kept(FILE *to, struct slice all)
{
	struct slice rest = all, note;
	size_t n = 0, i = 0;

	while (history_next(&rest, &note))
		n++;
	for (rest = all; history_next(&rest, &note); i++)
		if (n < COSIGNED_MOST || i >= n / 2 || i % 2 == 0)
			fprintf(to, "%.*s" CHECKPOINT_MARK, SLICE_ARG(note));
}

/* The file of these bytes at c->path, in a folder that is made if it is missing. */
static int replace_kept(const struct cosigning *c, struct slice bytes)
{
	owned(own_free) char *folder = strdup(c->path);
	owned(own_close) int dir = -1;
	char name[NAME_MAX + 1], temporary[NAME_MAX + 5];
	int err = folder ? make_parents(c->path, 0755) : -ENOMEM;

	if (err)
		return err;
	snprintf(name, sizeof(name), "%s", strrchr(c->path, '/') + 1);
	snprintf(temporary, sizeof(temporary), "%s.new", name);
	*strrchr(folder, '/') = '\0';
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = dir < 0 ? -errno : history_replace(&file_system, dir, name, temporary, bytes);
	/* It was signed to be shown: whoever counts how old it is need not be of our group. */
	return err ? err : fchmodat(dir, name, 0644, 0) ? -errno : 0;
}

int cosigning_keep(struct cosigning *c)
{
	owned(own_free) char *all = NULL;
	size_t len = 0;
	FILE *to;
	int err;

	if (!c->taken)
		return 0;
	to = open_memstream(&all, &len);
	if (!to)
		return -ENOMEM;
	if (c->kept)
		put_kept(to, slice_of(c->kept, c->kept_len));
	fprintf(to, "%.*s" CHECKPOINT_MARK, (int)c->note_len, c->note);
	if (fclose(to))
		return -ENOMEM;
	err = replace_kept(c, slice_of(all, len));
	c->taken = err != 0;
	return err;
}
