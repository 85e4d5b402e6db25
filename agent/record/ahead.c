/* SPDX-License-Identifier: Apache-2.0 */
#include "record/ahead.h"

#include <errno.h>
#include <pthread.h>

#include "base/own.h"
#include "record/search.h"

#define THREADS_MOST 8
#define JOB_MOST     (4u << 20) /* found and not yet taken, of one segment */

struct job {
	struct segment_name name;
	struct chunk *first, **last;
	size_t bytes;
	bool done;
	int err;
};

struct ahead {
	struct search_plan plan;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t threads[THREADS_MOST];
	unsigned running;
	size_t next, reading, count; /* job to begin, job its reader is at */
	bool stop;
	struct chunk *taking;
	struct job jobs[];
};

/* A thread at its job. */
struct worker {
	struct ahead *a;
	struct job *job;
};

/* Whether nobody waits for this job any more. */
static bool is_over(const struct ahead *a, const struct job *job)
{
	return a->stop || (size_t)(job - a->jobs) < a->reading;
}

/* Takes a chunk of what was found; waits while its reader is far behind. -ECANCELED: nobody reads any more. */
static int take_chunk(void *arg, struct chunk **chunk)
{
	struct worker *w = arg;
	struct ahead *a = w->a;
	bool stop;

	pthread_mutex_lock(&a->lock);
	while (!is_over(a, w->job) && w->job->bytes > JOB_MOST)
		pthread_cond_wait(&a->wake, &a->lock);
	stop = is_over(a, w->job);
	if (!stop) {
		w->job->bytes += (*chunk)->len;
		*w->job->last = *chunk;
		w->job->last = &(*chunk)->next;
		*chunk = NULL;
		pthread_cond_broadcast(&a->wake);
	}
	pthread_mutex_unlock(&a->lock);
	return stop ? -ECANCELED : 0;
}

static bool is_stopped(void *arg)
{
	struct worker *w = arg;
	bool stop;

	pthread_mutex_lock(&w->a->lock);
	stop = is_over(w->a, w->job);
	pthread_mutex_unlock(&w->a->lock);
	return stop;
}

static void *run(void *arg)
{
	struct ahead *a = arg;
	struct worker w = { .a = a };
	struct search_ends ends = { take_chunk, is_stopped, &w };
	struct search *s = NULL;
	int err = search_new(&s, &a->plan, &ends);

	pthread_mutex_lock(&a->lock);
	while (!a->stop && a->next < a->count) {
		int job_err;

		/* Not further ahead of the reader than there are threads. */
		if (a->next > a->reading + a->running) {
			pthread_cond_wait(&a->wake, &a->lock);
			continue;
		}
		w.job = &a->jobs[a->next++];
		pthread_mutex_unlock(&a->lock);
		job_err = err ? err : search_segment(s, &w.job->name);
		pthread_mutex_lock(&a->lock);
		w.job->err = job_err;
		w.job->done = true;
		pthread_cond_broadcast(&a->wake);
	}
	pthread_mutex_unlock(&a->lock);
	search_free(&s);
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

int ahead_start(struct ahead **out, const struct search_plan *p, const struct segment_name *list, size_t n)
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
