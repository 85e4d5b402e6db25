/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify.c - a whole log against its signed checkpoints.
 *
 * The records are hashed in order; where one is missing or not right its hash is taken from the tiles, so that one
 * fault does not hide what is behind it. Only what is under the newest checkpoint is judged: a log that is being
 * written is judged as exactly as a copy of it.
 */
#include "record/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include <openssl/evp.h>

#include "base/own.h"
#include "record/frame.h"
#include "record/gz.h"
#include "record/segment.h"

#define TOLD_MOST 20 /* of one kind; the rest is counted */

const char *const fault_names[FAULT_COUNT] = {
	[FAULT_CRC] = "bad crc",       [FAULT_TAMPERED] = "tampered",       [FAULT_TRUNCATED] = "truncated",
	[FAULT_MISSING] = "missing",   [FAULT_ROLLED_BACK] = "rolled back", [FAULT_FORKED] = "forked",
	[FAULT_UNSIGNED] = "unsigned",
};

void verify_fault(struct verify *v, enum fault what, const char *format, ...)
{
	char text[1024];
	va_list args;

	v->r.faults++;
	if (v->told[what]++ >= TOLD_MOST || !v->o->fault)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	v->o->fault(v->o->arg, what, text);
}

/* Records in front of the first segment. */
struct gone {
	uint64_t until; /* tree size; 0: none are missing */
	struct hash root;
	bool named; /* by a Prune record */
	char segment[NAME_ROOM];
	uint8_t *rotations; /* changes of key that were among them */
	struct slice rest;
	struct hash before; /* the root of one leaf less */
};

struct walk {
	struct verify *v;
	struct tiles tiles; /* made from the records */
	struct tile_source source;
	struct segment_name *list;
	size_t n;
	struct gone gone;
	bool edge_right; /* the unfinished tiles give the checkpoint's root */
	bool lost;       /* neither record nor tile: the tree cannot be made any further */
};

static void walk_free(struct walk **at)
{
	if (!*at)
		return;
	tiles_free(&(*at)->tiles);
	free((*at)->list);
	free((*at)->gone.rotations);
	free(*at);
}

/* ---- tiles ---- */

static void compare_tile(struct walk *w, unsigned level, uint64_t index, const struct hash *hash, unsigned width)
{
	struct hash there[TILE_WIDTH];
	char path[TILE_PATH];
	int err = tile_read(w->v->dir, level, index, width, there);

	tile_path(path, level, index, width);
	w->v->r.tiles++;
	if (err == -ENOENT)
		verify_fault(w->v, FAULT_MISSING, "%s", path);
	else if (err)
		verify_fault(w->v, FAULT_TRUNCATED, "%s: %s", path,
		             err == -EBADMSG ? "of a wrong length" : strerror(-err));
	else if (memcmp(there, hash, width * sizeof(*hash)) != 0)
		verify_fault(w->v, FAULT_TAMPERED, "%s: not the hashes of the records", path);
}

static void compare_full(struct walk *w)
{
	while (w->tiles.full) {
		struct tile *t = w->tiles.full;

		compare_tile(w, t->level, t->index, t->hash, TILE_WIDTH);
		w->tiles.full = t->next;
		free(t);
	}
	w->tiles.last = &w->tiles.full;
}

static void add_leaf(struct walk *w, const struct hash *leaf)
{
	tiles_add(&w->tiles, leaf);
	if (w->tiles.full)
		compare_full(w);
	verify_sizes(w->v, &w->tiles.tree);
}

static bool leaf_in_tiles(struct walk *w, uint64_t index, struct hash *out)
{
	return index < w->source.size && !w->source.source.get(&w->source.source, 0, index, out);
}

/* Whether the tiles may speak against a record: they are what was signed, as far as tiles can tell. */
static bool tile_speaks(struct walk *w, uint64_t index)
{
	uint64_t tile = index >> TILE_BITS;

	return w->edge_right && (tile >= w->source.size >> TILE_BITS || tile_is_right(&w->source, 0, tile));
}

/* A change of key whose segment was pruned: it is the leaf that the tiles have in its place. */
static void check_rotation(struct walk *w, uint64_t index, const struct hash *leaf)
{
	struct frame f;
	struct hash mine, root;
	Record *r;

	if (frame_read(w->gone.rest, &f) != FRAME_ITEM)
		return;
	hash_leaf(&mine, f.body);
	tree_root(&w->tiles.tree, &root);
	r = hash_is(&mine, leaf) ? record__unpack(NULL, f.body.len, f.body.at) : NULL;
	if (r && r->body_case == RECORD__BODY_KEY)
		verify_rotation(w->v, r->key, index, &root, index - 1, index ? &w->gone.before : NULL);
	if (r) {
		w->gone.rest = slice_from(w->gone.rest, f.used);
		record__free_unpacked(r, NULL);
	}
	w->gone.before = root;
}

/* Goes on behind what is missing. */
static void fill_to(struct walk *w, uint64_t size)
{
	while (!w->lost && w->tiles.tree.size < size) {
		struct hash leaf;

		w->lost = !leaf_in_tiles(w, w->tiles.tree.size, &leaf);
		if (w->gone.rest.len && !w->lost)
			check_rotation(w, w->tiles.tree.size, &leaf);
		if (!w->lost)
			add_leaf(w, &leaf);
	}
	if (w->lost)
		verify_fault(w->v, FAULT_MISSING,
		             "record %" PRIu64 ": neither it nor its hash: what follows cannot be judged",
		             w->tiles.tree.size);
}

/* ---- segments ---- */

static int read_head(int dir, const struct segment_name *name, struct segment_head *out)
{
	owned(segment_walk_stop) struct segment_walk s = { .fd = -1 };
	struct slice raw;
	int err = segment_walk_open(&s, dir, name);

	if (err)
		return err;
	s.trust = true;
	(void)segment_walk_next(&s, &raw);
	if (!s.begun)
		return -EBADMSG;
	*out = s.head;
	return 0;
}

/* The size of the tree at which segment i ends; UINT64_MAX: it is the last. */
static uint64_t end_of(const struct walk *w, size_t i)
{
	struct segment_head next;

	for (size_t k = i + 1; k < w->n; k++)
		if (!read_head(w->v->dir, &w->list[k], &next) && next.proven)
			return next.tree_size;
	return UINT64_MAX;
}

static void check_prune(struct walk *w, const Prune *p, uint64_t index)
{
	struct hash said;

	if (!w->gone.until || p->tree_size < w->gone.until || p->tree_size > index || p->root.len != HASH_LEN)
		return;
	memcpy(said.at, p->root.data, HASH_LEN);
	if (p->tree_size == w->gone.until && !hash_is(&said, &w->gone.root))
		verify_fault(w->v, FAULT_TAMPERED, "record %" PRIu64 ": it says that another history was pruned",
		             index);
	else
		w->gone.named = true;
}

static void check_record(struct walk *w, const char *name, const struct segment_walk *s, struct slice raw)
{
	uint64_t index = w->tiles.tree.size, seq = 0;
	struct hash leaf, signed_leaf;

	hash_leaf(&leaf, raw);
	if (!frame_seq(raw, &seq) || (s->head.proven && seq != s->head.first_seq + (index - s->head.tree_size)))
		verify_fault(w->v, FAULT_TAMPERED, "%s: seq %" PRIu64 ": not the number that is due", name, seq);
	if (leaf_in_tiles(w, index, &signed_leaf) && !hash_is(&leaf, &signed_leaf) && tile_speaks(w, index)) {
		verify_fault(w->v, FAULT_TAMPERED, "%s: seq %" PRIu64 ": not the record that was signed", name, seq);
		leaf = signed_leaf;
	}
	if (frame_holds(raw, RECORD__BODY_KEY) || frame_holds(raw, RECORD__BODY_PRUNE)) {
		Record *r = record__unpack(NULL, raw.len, raw.at);
		struct hash root;

		tree_root(&w->tiles.tree, &root);
		if (r && r->body_case == RECORD__BODY_KEY)
			verify_rotation(w->v, r->key, index, &root, s->head.tree_size,
			                s->head.proven ? &s->head.root : NULL);
		if (r && r->body_case == RECORD__BODY_PRUNE)
			check_prune(w, r->prune, index);
		if (r)
			record__free_unpacked(r, NULL);
	}
	add_leaf(w, &leaf);
}

/* The log does not begin with its first record: a Prune record further on must say so. */
static void fill_gone(struct walk *w, const char *name, uint64_t size)
{
	size_t len = 0;

	w->gone.until = size;
	snprintf(w->gone.segment, sizeof(w->gone.segment), "%s", name);
	if (!history_read(w->v->dir, ROTATIONS_FILE, ROTATIONS_MAX, &w->gone.rotations, &len))
		w->gone.rest = slice_of(w->gone.rotations, len);
	fill_to(w, size);
	w->gone.rest = (struct slice){};
	tree_root(&w->tiles.tree, &w->gone.root);
}

static void check_gone(struct walk *w)
{
	if (!w->gone.until)
		return;
	if (w->gone.named)
		w->v->r.pruned = w->gone.until;
	else
		verify_fault(w->v, FAULT_MISSING,
		             "segment of record 0, in front of %s: no record says that it was pruned", w->gone.segment);
}

static void check_head(struct walk *w, const char *name, const struct segment_head *h)
{
	struct hash root;

	if (!h->proven)
		return;
	if (strcmp(h->origin, w->v->newest.origin) != 0)
		verify_fault(w->v, FAULT_TAMPERED, "%s: a segment of another log: %s", name, h->origin);
	if (h->tree_size > w->v->newest.size)
		return;
	if (h->tree_size > w->tiles.tree.size && !w->tiles.tree.size) {
		fill_gone(w, name, h->tree_size);
	} else if (h->tree_size > w->tiles.tree.size) {
		verify_fault(w->v, FAULT_MISSING, "segment of record %" PRIu64 ", in front of %s", w->tiles.tree.size,
		             name);
		fill_to(w, h->tree_size);
	} else if (h->tree_size < w->tiles.tree.size) {
		verify_fault(w->v, FAULT_TAMPERED, "%s: it says that it begins at record %" PRIu64 ", not %" PRIu64,
		             name, h->tree_size, w->tiles.tree.size);
	}
	if (w->lost || h->tree_size != w->tiles.tree.size)
		return;
	tree_root(&w->tiles.tree, &root);
	if (!hash_is(&root, &h->root))
		verify_fault(w->v, FAULT_TAMPERED, "%s: the records before it give another root than its header says",
		             name);
}

/* What follows the last record that counts: the trailer, or what a failed disk was given. */
static void check_end(struct walk *w, size_t i, const char *name, struct segment_walk *s, bool proven)
{
	uint64_t over = 0;
	struct slice raw;
	struct hash root;
	int step;

	while ((step = segment_walk_next(s, &raw)) == WALK_RECORD)
		over++;
	if (!proven)
		w->v->r.beyond += over;
	if (!proven || !w->list[i].sealed)
		return;
	tree_root(&w->tiles.tree, &root);
	if (step == WALK_BAD)
		verify_fault(w->v, FAULT_TAMPERED, "%s: offset %" PRIu64 ": %s", name, s->offset, s->why);
	else if (step != WALK_END || !s->sealed)
		verify_fault(w->v, FAULT_TRUNCATED, "%s: it ends before its trailer", name);
	else if (over || s->sealed_records != w->tiles.tree.size - s->head.tree_size ||
	         !hash_is(&root, &s->sealed_root))
		verify_fault(w->v, FAULT_TAMPERED, "%s: its trailer does not fit its records", name);
}

static void hex(char *to, const uint8_t *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		snprintf(to + 2 * i, 3, "%02x", at[i]);
}

static void own_md(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
}

static int file_sum(int dir, const char *name, char text[2 * HASH_LEN + 1])
{
	owned(own_close) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	owned(own_md) EVP_MD_CTX *c = EVP_MD_CTX_new();
	static _Thread_local uint8_t data[64 << 10];
	uint8_t sum[HASH_LEN];
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (!c || EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	while ((n = read(fd, data, sizeof(data))) > 0)
		EVP_DigestUpdate(c, data, (size_t)n);
	if (n < 0)
		return -errno;
	EVP_DigestFinal_ex(c, sum, NULL);
	hex(text, sum, sizeof(sum));
	return 0;
}

/* gzip's own checks do not cover every bit of the file. */
static void check_sum(struct walk *w, const char *name)
{
	char path[NAME_ROOM + 8], sum[2 * HASH_LEN + 1], line[2 * HASH_LEN + NAME_ROOM + 4];
	owned(own_free) uint8_t *said = NULL;
	size_t len = 0;
	int err;

	snprintf(path, sizeof(path), "%s" SUM_SUFFIX, name);
	err = history_read(w->v->dir, path, 4096, &said, &len);
	if (err) {
		verify_fault(w->v, FAULT_MISSING, "%s: %s", path, strerror(-err));
		return;
	}
	err = file_sum(w->v->dir, name, sum);
	if (err) {
		verify_fault(w->v, FAULT_MISSING, "%s: %s", name, strerror(-err));
		return;
	}
	snprintf(line, sizeof(line), "%s  %s\n", sum, name);
	if (!slice_is(slice_of(said, len), slice_str(line)))
		verify_fault(w->v, FAULT_TAMPERED, "%s: not the file whose SHA-256 stands in %s", name, path);
}

static void tell_gap(struct walk *w, const char *name, const struct segment_walk *s, int step, uint64_t end)
{
	if (step == WALK_BAD)
		verify_fault(w->v, strstr(s->why, "CRC") ? FAULT_CRC : FAULT_TAMPERED,
		             "%s: offset %" PRIu64 ", seq %" PRIu64 ": %s", name, s->offset, s->expected, s->why);
	else if (step < 0)
		verify_fault(w->v, FAULT_MISSING, "%s: offset %" PRIu64 ": %s", name, s->offset, strerror(-step));
	else
		verify_fault(w->v, FAULT_TRUNCATED,
		             "%s: it ends at offset %" PRIu64 ", before seq %" PRIu64 ": %" PRIu64 " records", name,
		             s->offset, s->expected, end - w->tiles.tree.size);
}

static void check_segment(struct walk *w, size_t i)
{
	owned(segment_walk_stop) struct segment_walk s = { .fd = -1 };
	uint64_t full = end_of(w, i), end = full < w->v->newest.size ? full : w->v->newest.size;
	char name[NAME_ROOM];
	struct slice raw;
	bool headed = false;
	int step, err = segment_walk_open(&s, w->v->dir, &w->list[i]);

	segment_name_text(name, &w->list[i]);
	w->v->r.segments++;
	if (err) {
		verify_fault(w->v, FAULT_MISSING, "%s: %s", name, strerror(-err));
		return;
	}
	if (w->list[i].corrupt)
		verify_fault(w->v, FAULT_TAMPERED, "%s: it was damaged, and set aside by recovery", name);
	/* The header is read with the first record, or with the end. */
	while ((step = segment_walk_next(&s, &raw)) == WALK_RECORD || step == WALK_END) {
		if (!headed && s.begun) {
			check_head(w, name, &s.head);
			headed = true;
		}
		if (step == WALK_END || w->lost || w->tiles.tree.size >= end)
			break;
		check_record(w, name, &s, raw);
		if (w->tiles.tree.size >= end)
			break;
	}
	if (w->lost)
		return;
	if (w->tiles.tree.size < end) {
		tell_gap(w, name, &s, step, end);
		fill_to(w, end);
	} else if (!w->list[i].corrupt && step == WALK_RECORD) {
		check_end(w, i, name, &s, full <= w->v->newest.size);
	}
	if (w->list[i].sealed)
		check_sum(w, name);
}

static void check_edge(struct walk *w)
{
	uint64_t size = w->tiles.tree.size;

	for (unsigned level = 0; level < TILE_LEVELS; level++) {
		unsigned width = tiles_partial(size, level);

		if (width)
			compare_tile(w, level, size >> (TILE_BITS * level) >> TILE_BITS, w->tiles.edge[level], width);
	}
}

static int walk_log(struct verify *v)
{
	owned(walk_free) struct walk *w = calloc(1, sizeof(*w));
	struct tree signed_tree;
	struct hash root;
	int err;

	if (!w)
		return -ENOMEM;
	w->v = v;
	tiles_init(&w->tiles);
	tile_source_init(&w->source, v->dir, v->newest.size);
	if (!tree_load(&signed_tree, v->newest.size, &w->source.source)) {
		tree_root(&signed_tree, &root);
		w->edge_right = hash_is(&root, &v->newest.root);
	}
	err = segment_list(v->dir, &w->list, &w->n);
	if (err)
		return err;
	verify_sizes(v, &w->tiles.tree);
	for (size_t i = 0; i < w->n && !w->lost; i++)
		check_segment(w, i);
	if (!w->lost && w->tiles.tree.size < v->newest.size) {
		verify_fault(v, FAULT_MISSING, "segments behind record %" PRIu64, w->tiles.tree.size);
		fill_to(w, v->newest.size);
	}
	check_gone(w);
	if (!w->lost)
		check_edge(w);
	return 0;
}

int ledger_verify(struct verify_result *out, const struct verify_options *o)
{
	owned(verify_free) struct verify v = { .o = o, .dir = -1 };
	int err;

	for (size_t i = 0; i < o->witness_count; i++) {
		struct note_key k;

		if (note_key_read(&k, slice_str(o->witnesses[i])) || k.type != KEY_COSIGN)
			return -EINVAL;
	}
	v.dir = open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (v.dir < 0)
		return -errno;
	err = verify_load(&v);
	if (!err && !v.has_newest)
		verify_fault(&v, FAULT_UNSIGNED, "there is no checkpoint: nothing is proven");
	else if (!err)
		err = walk_log(&v);
	if (err)
		return err;
	if (v.has_newest)
		verify_signatures(&v);
	snprintf(v.r.origin, sizeof(v.r.origin), "%s", v.newest.origin);
	v.r.size = v.newest.size;
	*out = v.r;
	return 0;
}
