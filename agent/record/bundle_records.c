/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle_records.c - chosen records handed out, each with a proof that it is in the log, and nothing of the others.
 *
 * The changes of key go along, with proofs, too: by them the first key vouches for the one that signed the checkpoint.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/own.h"
#include "record/bundle.h"
#include "record/filter.h"
#include "record/frame.h"

struct choice {
	struct bundled b;
	struct tile_source *source;
	struct filter_scratch *scratch;
	const struct record_filter *filter;
	struct bundle_evidence *evidence;
	uint64_t first, last, most;
	uint64_t chosen;
	FILE *json, *pb; /* of all that were chosen */
	char *json_text, *pb_text;
	size_t json_len, pb_len;
};

static void choice_close(struct choice *c)
{
	if (c->json)
		fclose(c->json);
	if (c->pb)
		fclose(c->pb);
	free(c->json_text);
	free(c->pb_text);
	free(c->source);
	filter_scratch_free(&c->scratch);
	bundled_close(&c->b);
}

static int put_proof(struct choice *c, struct slice raw, uint64_t index, uint64_t seq)
{
	owned(own_free) char *text = NULL;
	char name[64];
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);
	int err;

	if (!to)
		return -ENOMEM;
	err = prove_leaf(to, &c->source->source, raw, index, &c->b.c, slice_of(c->b.note, c->b.note_len));
	if (fclose(to) && !err)
		err = -ENOMEM;
	snprintf(name, sizeof(name), "records/%" PRIu64 ".pb", seq);
	err = err ? err : bundled_put(&c->b, name, raw);
	snprintf(name, sizeof(name), "proofs/%" PRIu64, seq);
	return err ? err : bundled_put(&c->b, name, slice_of(text, len));
}

static int keep(struct choice *c, struct slice raw)
{
	owned(own_free) char *line = NULL;
	uint8_t head[8];
	Record *r = record__unpack(NULL, raw.len, raw.at);
	size_t len = 0;
	int err = r ? record_json(r, &line, &len) : -EBADMSG;

	if (!err && c->evidence)
		err = bundled_evidence(&c->b, c->evidence, r);
	if (r)
		record__free_unpacked(r, NULL);
	if (err)
		return err;
	fprintf(c->json, "%.*s\n", (int)len, line);
	fwrite(head, 1, frame_start(head, TAG_RECORD, raw.len), c->pb);
	fwrite(raw.at, 1, raw.len, c->pb);
	return 0;
}

static int look_at(void *arg, struct slice raw, uint64_t index)
{
	struct choice *c = arg;
	uint64_t seq = 0;
	bool key = frame_holds(raw, RECORD__BODY_KEY), chosen;
	int err = 0;

	if (!frame_seq(raw, &seq))
		return -EBADMSG;
	chosen = seq >= c->first && seq <= c->last && filter_wants(c->filter, c->scratch, raw);
	if (chosen && c->chosen++ == c->most)
		return -E2BIG;
	if (chosen)
		err = keep(c, raw);
	return err || !(chosen || key) ? err : put_proof(c, raw, index, seq);
}

static int put_all(struct choice *c)
{
	int err = bundled_put(&c->b, CHECKPOINT_FILE, slice_of(c->b.note, c->b.note_len));

	err = err ? err : bundled_copy(&c->b, VKEY_FILE, NOTE_MAX);
	err = err ? err : bundled_copy(&c->b, ROTATIONS_FILE, ROTATIONS_MAX);
	err = err ? err : bundled_each(&c->b, look_at, c);
	if (err)
		return err;
	if (fflush(c->json) || fflush(c->pb))
		return -ENOMEM;
	err = bundled_put(&c->b, "records.json", slice_of(c->json_text, c->json_len));
	return err ? err : bundled_put(&c->b, "records.pb", slice_of(c->pb_text, c->pb_len));
}

int bundle_records(struct bundle_sink *sink, const char *dir, const char *prefix, const struct bundle_choice *of,
                   uint64_t *records)
{
	owned(choice_close) struct choice c = {
		.filter = of->filter, .evidence = of->evidence, .first = of->first, .last = of->last, .most = of->most
	};
	int err = bundled_open(&c.b, dir, prefix, sink);

	if (err)
		return err;
	c.source = malloc(sizeof(*c.source));
	c.json = open_memstream(&c.json_text, &c.json_len);
	c.pb = open_memstream(&c.pb_text, &c.pb_len);
	if (!c.source || !c.json || !c.pb)
		return -ENOMEM;
	tile_source_init(c.source, c.b.dir, c.b.c.size);
	err = filter_scratch_new(&c.scratch, of->filter);
	err = err ? err : put_all(&c);
	if (!err)
		*records = c.chosen;
	return err;
}
