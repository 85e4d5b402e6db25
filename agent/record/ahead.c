/* SPDX-License-Identifier: Apache-2.0 */
#include "record/ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "base/own.h"
#include "record/frame.h"
#include "record/gz.h"
#include "record/index.h"

#define THREADS_MOST 8
#define CHUNK        (256u << 10) /* handed over at once */
#define JOB_MOST     (4u << 20)   /* found and not yet taken, of one segment */
#define READ_ROOM    (256u << 10)

/* Records found: a length of four bytes, then the record. */
struct chunk {
	struct chunk *next;
	size_t len, room, taken;
	uint8_t *data;
};

struct job {
	struct segment_name name;
	struct chunk *first, **last;
	size_t bytes;
	bool done;
	int err;
};

struct ahead {
	struct ahead_plan plan;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t threads[THREADS_MOST];
	unsigned running;
	size_t next, reading, count; /* job to begin, job its reader is at */
	bool stop;
	struct chunk *taking;
	struct job jobs[];
};

/* What a thread needs for a segment. */
struct search {
	struct ahead *a;
	struct job *job;
	struct filter_scratch *scratch;
	struct filter_look look;
	struct chunk *out;
	bool header, trailer;
	/* backwards: where the records are in `out` */
	size_t *places, count, room;
	uint8_t buffer[READ_ROOM];
};

static void chunk_free(struct chunk **at)
{
	if (!*at)
		return;
	free((*at)->data);
	free(*at);
	*at = NULL;
}

static int chunk_add(struct chunk **at, struct slice raw)
{
	uint32_t len = (uint32_t)raw.len;
	struct chunk *c = *at;

	if (!c) {
		c = *at = calloc(1, sizeof(*c));
		if (!c)
			return -ENOMEM;
	}
	if (c->room - c->len < raw.len + sizeof(len)) {
		size_t room = 2 * c->room + raw.len + 4096;
		uint8_t *more = realloc(c->data, room);

		if (!more)
			return -ENOMEM;
		c->data = more;
		c->room = room;
	}
	memcpy(c->data + c->len, &len, sizeof(len));
	memcpy(c->data + c->len + sizeof(len), raw.at, raw.len);
	c->len += sizeof(len) + raw.len;
	return 0;
}

/* Whether nobody waits for this job any more. */
static bool is_over(const struct ahead *a, const struct job *job)
{
	return a->stop || (size_t)(job - a->jobs) < a->reading;
}

/* Hands a chunk over; waits while its reader is far behind. -ECANCELED: nobody reads any more. */
static int hand_over(struct search *s)
{
	struct ahead *a = s->a;
	bool stop;

	if (!s->out)
		return 0;
	pthread_mutex_lock(&a->lock);
	while (!is_over(a, s->job) && s->job->bytes > JOB_MOST)
		pthread_cond_wait(&a->wake, &a->lock);
	stop = is_over(a, s->job);
	if (!stop) {
		s->job->bytes += s->out->len;
		*s->job->last = s->out;
		s->job->last = &s->out->next;
		s->out = NULL;
		pthread_cond_broadcast(&a->wake);
	}
	pthread_mutex_unlock(&a->lock);
	return stop ? -ECANCELED : 0;
}

/* Backwards only the last are of use: now and then the others are dropped. */
static int keep_place(struct search *s)
{
	uint64_t enough = s->a->plan.last;

	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 256, *more = reallocarray(s->places, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->places = more;
		s->room = room;
	}
	s->places[s->count++] = s->out ? s->out->len : 0;
	if (enough < 65536 && s->count > 2 * enough + 256) {
		size_t drop = s->count - (size_t)enough - 1, cut = s->places[drop];

		memmove(s->out->data, s->out->data + cut, s->out->len - cut);
		s->out->len -= cut;
		s->count -= drop;
		for (size_t i = 0; i < s->count; i++)
			s->places[i] = s->places[i + drop] - cut;
	}
	return 0;
}

static int found(struct search *s, struct slice raw)
{
	int err = s->a->plan.backwards ? keep_place(s) : 0;

	err = err ? err : chunk_add(&s->out, raw);
	return err || s->a->plan.backwards || s->out->len < CHUNK ? err : hand_over(s);
}

/* Of a record at bytes at..end of what is looked through. What is no record is for the reader to say. */
static bool is_wanted(struct search *s, struct slice raw, size_t at, size_t end)
{
	const struct ahead_plan *p = &s->a->plan;
	struct record_head h;
	uint64_t seq;

	if (p->from && (!frame_seq(raw, &seq) || seq < p->from))
		return false;
	if (!filter_look_within(&s->look, at, end) && record_head_read(raw, &h))
		return false;
	return filter_wants(p->filter, s->scratch, raw);
}

/* The whole fields at the start of `in`; *used: their bytes. */
static int search_fields(struct search *s, struct slice in, size_t *used)
{
	size_t at = 0;
	struct frame f;

	filter_look_in(&s->look, in);
	while (frame_read(slice_from(in, at), &f) == FRAME_ITEM) {
		size_t from = at;
		int err = 0;

		at += f.used;
		if (s->trailer || (f.tag == TAG_HEADER) == s->header)
			return -EBADMSG;
		if (f.tag == TAG_TRAILER) {
			s->trailer = true;
			continue;
		}
		if (!frame_sealed(f.body))
			return -EBADMSG;
		if (f.tag == TAG_HEADER)
			s->header = true;
		else if (is_wanted(s, f.body, from, at))
			err = found(s, f.body);
		if (err)
			return err;
	}
	*used = at;
	return 0;
}

static bool is_stopped(struct search *s)
{
	bool stop;

	pthread_mutex_lock(&s->a->lock);
	stop = is_over(s->a, s->job);
	pthread_mutex_unlock(&s->a->lock);
	return stop;
}

static int search_raw(struct search *s, int fd)
{
	size_t have = 0;

	for (;;) {
		ssize_t n = read(fd, s->buffer + have, READ_ROOM - have);
		size_t used = 0;
		int err;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return have || !s->header ? -EBADMSG : 0;
		if (is_stopped(s))
			return -ECANCELED;
		have += (size_t)n;
		err = search_fields(s, slice_of(s->buffer, have), &used);
		if (err)
			return err;
		memmove(s->buffer, s->buffer + used, have - used);
		have -= used;
		if (have == READ_ROOM)
			return -EBADMSG;
	}
}

/* A member is made of whole fields. */
static int search_member(struct search *s, struct gz_members *g, uint64_t at, size_t *used)
{
	struct slice raw;
	size_t whole = 0;
	int got = gz_member(g, at, &raw, used), err;

	if (got <= 0)
		return got;
	err = search_fields(s, raw, &whole);
	if (!err && whole != raw.len)
		err = -EBADMSG;
	return err ? err : 1;
}

static int search_members(struct search *s, struct gz_members *g)
{
	uint64_t at = 0;

	for (;;) {
		size_t used;
		int got = is_stopped(s) ? -ECANCELED : search_member(s, g, at, &used);

		if (got < 0)
			return got;
		if (!got)
			return s->trailer ? 0 : -EBADMSG;
		at += used;
	}
}

/* One block of the index, which must be where and what it says. */
static int search_block(struct search *s, struct gz_members *g, const struct index *x, size_t i)
{
	struct index_block b = index_block(x, i);
	struct slice raw;
	struct frame f;
	size_t used, whole = 0;
	uint64_t seq;
	int got = gz_member(g, b.at, &raw, &used), err;

	if (got <= 0)
		return got ? got : -EBADMSG;
	if (used != b.len)
		return -EBADMSG;
	/* The header stands in front of the first block's records. */
	s->header = i > 0;
	if (frame_read(raw, &f) == FRAME_ITEM && f.tag == TAG_HEADER)
		(void)frame_read(slice_from(raw, f.used), &f);
	if (f.tag == TAG_RECORD && (!frame_seq(f.body, &seq) || seq != b.first_seq))
		return -EBADMSG;
	err = search_fields(s, raw, &whole);
	return err ? err : whole == raw.len ? 0 : -EBADMSG;
}

static int search_indexed(struct search *s, struct gz_members *g, const struct index *x)
{
	const struct ahead_plan *p = &s->a->plan;
	size_t n = index_blocks(x);

	for (size_t k = 0; k < n; k++) {
		size_t i = k;
		int err;

		/* The next block's first seq bounds this one. */
		if (!index_may_match(x, i, p->filter) || (i + 1 < n && index_block(x, i + 1).first_seq <= p->from))
			continue;
		err = is_stopped(s) ? -ECANCELED : search_block(s, g, x, i);
		if (err)
			return err;
	}
	return 0;
}

/* The last so many: from the last block on. What each gives goes in front of what is there. */
static int search_last(struct search *s, struct gz_members *g, const struct index *x)
{
	owned(chunk_free) struct chunk *all = NULL;
	uint64_t left = s->a->plan.last;

	for (size_t i = index_blocks(x); i > 0 && left; i--) {
		int err;

		if (!index_may_match(x, i - 1, s->a->plan.filter))
			continue;
		s->count = 0;
		err = is_stopped(s) ? -ECANCELED : search_block(s, g, x, i - 1);
		for (; !err && s->count && left; left--) {
			const uint8_t *at = s->out->data + s->places[--s->count];
			uint32_t len;

			memcpy(&len, at, sizeof(len));
			err = chunk_add(&all, slice_of(at + sizeof(len), len));
		}
		chunk_free(&s->out);
		if (err)
			return err;
	}
	s->count = 0;
	s->out = TAKE(all);
	return 0;
}

/* Turns what was found round and hands it over. */
static int hand_over_last(struct search *s)
{
	owned(chunk_free) struct chunk *all = NULL;
	int err = 0;

	while (s->count && !err) {
		const uint8_t *at = s->out->data + s->places[--s->count];
		uint32_t len;

		memcpy(&len, at, sizeof(len));
		err = chunk_add(&all, slice_of(at + sizeof(len), len));
	}
	if (err)
		return err;
	if (all) {
		chunk_free(&s->out);
		s->out = TAKE(all);
	}
	return hand_over(s);
}

static int search_sealed(struct search *s, int fd)
{
	owned(gz_members_close) struct gz_members *g = NULL;
	owned(index_free) struct index *x = NULL;
	const struct ahead_plan *p = &s->a->plan;
	int err = gz_members_open(&g, fd);

	if (err)
		return err;
	if (p->no_index || index_load(&x, p->dir, s->job->name.first_seq, fd))
		return search_members(s, g);
	if (!p->backwards)
		return search_indexed(s, g, x);
	return search_last(s, g, x);
}

/* Opens the segment by whichever name it has now. */
static int open_segment(int dir, struct segment_name *name)
{
	for (int turn = 0; turn < 2; turn++) {
		char text[NAME_ROOM];
		int fd;

		segment_name_text(text, name);
		fd = openat(dir, text, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 || errno != ENOENT)
			return fd < 0 ? -errno : fd;
		name->sealed = !name->sealed;
	}
	return -ENOENT;
}

static int search(struct search *s)
{
	owned(own_close) int fd = open_segment(s->a->plan.dir, &s->job->name);
	int err;

	if (fd < 0)
		return fd;
	err = s->job->name.sealed ? search_sealed(s, fd) : search_raw(s, fd);
	if (err && s->a->plan.backwards)
		return err;
	return err ? err : s->a->plan.backwards ? hand_over_last(s) : hand_over(s);
}

static void *run(void *arg)
{
	struct ahead *a = arg;
	struct search *s = malloc(sizeof(*s));
	int err = s ? 0 : -ENOMEM;

	pthread_mutex_lock(&a->lock);
	while (!a->stop && a->next < a->count) {
		struct job *job;

		/* Not further ahead of the reader than there are threads. */
		if (a->next > a->reading + a->running) {
			pthread_cond_wait(&a->wake, &a->lock);
			continue;
		}
		job = &a->jobs[a->next++];
		pthread_mutex_unlock(&a->lock);
		if (!err) {
			memset(s, 0, offsetof(struct search, buffer));
			s->a = a;
			s->job = job;
			filter_look_for(&s->look, a->plan.filter);
			err = filter_scratch_new(&s->scratch, a->plan.filter);
		}
		if (!err) {
			int job_err = search(s);

			chunk_free(&s->out);
			free(s->places);
			filter_scratch_free(&s->scratch);
			pthread_mutex_lock(&a->lock);
			job->err = job_err;
		} else {
			pthread_mutex_lock(&a->lock);
			job->err = err;
		}
		job->done = true;
		pthread_cond_broadcast(&a->wake);
	}
	pthread_mutex_unlock(&a->lock);
	free(s);
	return NULL;
}

void ahead_stop(struct ahead **at)
{
	struct ahead *a = *at;

	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	a->stop = true;
	pthread_cond_broadcast(&a->wake);
	pthread_mutex_unlock(&a->lock);
	for (unsigned i = 0; i < a->running; i++)
		pthread_join(a->threads[i], NULL);
	for (size_t i = 0; i < a->count; i++)
		while (a->jobs[i].first) {
			struct chunk *c = a->jobs[i].first;

			a->jobs[i].first = c->next;
			chunk_free(&c);
		}
	chunk_free(&a->taking);
	pthread_cond_destroy(&a->wake);
	pthread_mutex_destroy(&a->lock);
	free(a);
	*at = NULL;
}

int ahead_start(struct ahead **out, const struct ahead_plan *p, const struct segment_name *list, size_t n)
{
	struct ahead *a = calloc(1, sizeof(*a) + n * sizeof(a->jobs[0]));
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned want = cores < 1 ? 1 : cores > THREADS_MOST ? THREADS_MOST : (unsigned)cores;
	int err = 0;

	if (!a)
		return -ENOMEM;
	a->plan = *p;
	a->count = n;
	for (size_t i = 0; i < n; i++) {
		a->jobs[i].name = list[i];
		a->jobs[i].last = &a->jobs[i].first;
	}
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->wake, NULL);
	pthread_mutex_lock(&a->lock);
	while (a->running < want && a->running < n) {
		err = pthread_create(&a->threads[a->running], NULL, run, a);
		if (err)
			break;
		a->running++;
	}
	pthread_mutex_unlock(&a->lock);
	if (!a->running)
		ahead_stop(&a);
	else
		*out = a;
	return a ? 0 : -EAGAIN;
}

bool ahead_has(const struct ahead *a, const struct segment_name *name, size_t *job)
{
	for (size_t i = 0; a && !name->corrupt && i < a->count; i++)
		if (a->jobs[i].name.first_seq == name->first_seq) {
			*job = i;
			return true;
		}
	return false;
}

/* The chunk that is being taken from, or the next one: 1; 0 or -errno at the end. */
static int have_chunk(struct ahead *a, struct job *job)
{
	int got = 0;

	if (a->taking && a->taking->taken < a->taking->len)
		return 1;
	chunk_free(&a->taking);
	pthread_mutex_lock(&a->lock);
	if (a->reading != (size_t)(job - a->jobs)) {
		a->reading = (size_t)(job - a->jobs);
		pthread_cond_broadcast(&a->wake);
	}
	while (!job->first && !job->done)
		pthread_cond_wait(&a->wake, &a->lock);
	if (job->first) {
		a->taking = job->first;
		job->first = a->taking->next;
		if (!job->first)
			job->last = &job->first;
		job->bytes -= a->taking->len;
		pthread_cond_broadcast(&a->wake);
		got = 1;
	} else {
		got = job->err;
	}
	pthread_mutex_unlock(&a->lock);
	return got;
}

int ahead_next(struct ahead *a, size_t number, struct slice *raw)
{
	int got = have_chunk(a, &a->jobs[number]);
	uint32_t len;

	if (got <= 0)
		return got;
	memcpy(&len, a->taking->data + a->taking->taken, sizeof(len));
	*raw = slice_of(a->taking->data + a->taking->taken + sizeof(len), len);
	a->taking->taken += sizeof(len) + len;
	return 1;
}
