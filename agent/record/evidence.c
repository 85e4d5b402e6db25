/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evidence.c - texts are sealed, written and made durable, and then their records say where.
 *
 * A thread of its own: neither the loops that read traffic nor the ledger's writer wait for the disk here. What came
 * while it synced goes as one group. A pack is a day's: payloads in NAME.pack, age headers in NAME.keys, both only ever
 * appended to. Bytes that no record names are what a crash left.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/own.h"
#include "record/age.h"
#include "record/record.h"

#define QUEUE_BYTES (16u << 20)
#define ITEMS_MAX   1024

/* Of one call: packed records and texts, owned. */
struct piece {
	uint8_t *record, *text;
	size_t record_len, len;
	Record *now; /* unpacked, while it is being written */
};

struct job {
	struct job *next;
	struct ledger_note *note;
	size_t bytes, n;
	struct piece pieces[];
};

struct evidence_store {
	int dir;
	struct ledger *ledger;
	struct age_recipient to[AGE_RECIPIENTS];
	size_t to_count;
	pthread_t thread;
	bool running;

	pthread_mutex_t lock; /* guards what follows, up to the files */
	pthread_cond_t wake;
	struct job *first, **last;
	size_t queue_bytes;
	bool closing;
	struct evidence_stats stats;

	/* The thread's. */
	char pack[16]; /* of the open files; empty: none are */
	int pack_fd, keys_fd;
	uint64_t pack_size, keys_size;
};

static void job_free(struct job *j)
{
	for (size_t i = 0; i < j->n; i++) {
		struct piece *p = &j->pieces[i];

		if (p->text)
			explicit_bzero(p->text, p->len);
		free(p->text);
		free(p->record);
		if (p->now)
			record__free_unpacked(p->now, NULL);
	}
	free(j);
}

/* ---- files ---- */

static void close_pack(struct evidence_store *s)
{
	own_close(&s->pack_fd);
	own_close(&s->keys_fd);
	s->pack_fd = s->keys_fd = -1;
	*s->pack = '\0';
}

static int open_file(const struct evidence_store *s, const char *pack, const char *suffix, uint64_t *size)
{
	char name[32];
	struct stat st;
	int fd;

	snprintf(name, sizeof(name), "%s%s", pack, suffix);
	fd = openat(s->dir, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0 || fstat(fd, &st)) {
		int err = -errno;

		own_close(&fd);
		return err;
	}
	*size = (uint64_t)st.st_size;
	return fd;
}

static int open_pack(struct evidence_store *s)
{
	time_t now = time(NULL);
	char pack[16];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(pack, sizeof(pack), "%Y%m%d", &tm);
	if (!strcmp(pack, s->pack))
		return 0;
	close_pack(s);
	s->pack_fd = open_file(s, pack, ".pack", &s->pack_size);
	s->keys_fd = s->pack_fd < 0 ? s->pack_fd : open_file(s, pack, ".keys", &s->keys_size);
	if (s->pack_fd < 0 || s->keys_fd < 0 || fsync(s->dir)) {
		int err = s->pack_fd < 0 ? s->pack_fd : s->keys_fd < 0 ? s->keys_fd : -errno;

		close_pack(s);
		return err;
	}
	memcpy(s->pack, pack, sizeof(pack));
	return 0;
}

/* Another worker that ends its answers may write to the same files: where they end is known only behind the lock, which
 * goes with a process that dies. */
static int lock_pack(struct evidence_store *s)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct stat pack, keys;
	int got;

	do
		got = fcntl(s->pack_fd, F_OFD_SETLKW, &lock);
	while (got && errno == EINTR);
	if (got || fstat(s->pack_fd, &pack) || fstat(s->keys_fd, &keys))
		return -errno;
	s->pack_size = (uint64_t)pack.st_size;
	s->keys_size = (uint64_t)keys.st_size;
	return 0;
}

static void unlock_pack(const struct evidence_store *s)
{
	struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	(void)fcntl(s->pack_fd, F_OFD_SETLK, &lock);
}

static int write_all(int fd, const uint8_t *at, size_t len)
{
	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* ---- one text ---- */

static ProtobufCBinaryData digest(const uint8_t *at, size_t len)
{
	ProtobufCBinaryData d = { 0, malloc(32) };

	if (d.data && EVP_Digest(at, len, d.data, NULL, EVP_sha256(), NULL) == 1)
		d.len = 32;
	return d;
}

/* Seals and writes a piece; its record says where. The files' offsets are known only if nothing went wrong. */
static int write_piece(struct evidence_store *s, struct piece *p)
{
	Evidence *e = p->now->finding->evidence;
	owned(own_free) uint8_t *header = NULL;
	owned(own_free) uint8_t *payload = NULL;
	size_t header_len = 0, payload_len = 0;
	int err = age_seal(s->to, s->to_count, slice_of(p->text, p->len), &header, &header_len, &payload, &payload_len);

	explicit_bzero(p->text, p->len);
	if (err)
		return err;
	free(e->sha256.data);
	free(e->header_sha256.data);
	e->sha256 = digest(payload, payload_len);
	e->header_sha256 = digest(header, header_len);
	free(e->pack != protobuf_c_empty_string ? e->pack : NULL);
	e->pack = strdup(s->pack);
	if (!e->pack || !e->sha256.len || !e->header_sha256.len) {
		if (!e->pack)
			e->pack = (char *)protobuf_c_empty_string;
		return -ENOMEM;
	}
	err = write_all(s->pack_fd, payload, payload_len);
	err = err ? err : write_all(s->keys_fd, header, header_len);
	if (err)
		return err;
	e->offset = s->pack_size;
	e->length = payload_len;
	e->header_offset = s->keys_size;
	e->header_length = header_len;
	e->recipients = (uint32_t)s->to_count;
	e->state = EVIDENCE__STATE__KEPT;
	s->pack_size += payload_len;
	s->keys_size += header_len;
	return 0;
}

/* As if no file had been written: what is there is nobody's. */
static void lose(Evidence *e)
{
	free(e->sha256.data);
	free(e->header_sha256.data);
	free(e->pack != protobuf_c_empty_string ? e->pack : NULL);
	e->sha256 = e->header_sha256 = (ProtobufCBinaryData){ 0, NULL };
	e->pack = (char *)protobuf_c_empty_string;
	e->offset = e->length = e->header_offset = e->header_length = 0;
	e->recipients = 0;
	e->state = EVIDENCE__STATE__LOST;
}

/* ---- the thread ---- */

static bool has_place(const struct piece *p)
{
	return p->now && p->now->body_case == RECORD__BODY_FINDING && p->now->finding->evidence;
}

static int write_pieces(struct evidence_store *s, struct job *j)
{
	int err = 0;

	for (size_t i = 0; i < j->n; i++) {
		struct piece *p = &j->pieces[i];

		p->now = record__unpack(NULL, p->record_len, p->record);
		if (p->text && has_place(p) && !err)
			err = write_piece(s, p);
	}
	return err;
}

static void write_group(struct evidence_store *s, struct job *list)
{
	uint64_t kept = 0, lost = 0, bytes = 0;
	int err = ledger_is_sound(s->ledger) ? open_pack(s) : -EIO;

	err = err ? err : lock_pack(s);
	for (struct job *j = list; j; j = j->next) {
		int one = err ? err : write_pieces(s, j);

		for (size_t i = 0; err && i < j->n; i++)
			if (!j->pieces[i].now)
				j->pieces[i].now = record__unpack(NULL, j->pieces[i].record_len, j->pieces[i].record);
		err = err ? err : one;
	}
	/* A sync that failed is not tried again: what it was for is lost, and the files are opened anew. */
	if (!err && (fdatasync(s->pack_fd) || fdatasync(s->keys_fd)))
		err = -EIO;
	if (err)
		close_pack(s);
	else
		unlock_pack(s);
	for (struct job *j = list; j; j = j->next)
		for (size_t i = 0; i < j->n; i++) {
			struct piece *p = &j->pieces[i];

			if (!p->text || !has_place(p))
				continue;
			if (err || p->now->finding->evidence->state != EVIDENCE__STATE__KEPT)
				lose(p->now->finding->evidence);
			kept += !err;
			lost += err != 0;
			bytes += err ? 0 : p->now->finding->evidence->length;
		}
	pthread_mutex_lock(&s->lock);
	s->stats.kept += kept;
	s->stats.lost += lost;
	s->stats.bytes += bytes;
	pthread_mutex_unlock(&s->lock);
}

/* The note is told by the ledger, or here when the ledger does not take its record. */
static void append(struct evidence_store *s, struct job *j)
{
	struct ledger_note *note = j->note;

	for (size_t i = 0; i < j->n; i++) {
		bool last = i + 1 == j->n;
		int err = j->pieces[i].now ? ledger_append(s->ledger, j->pieces[i].now, last ? note : NULL) : -ENOMEM;

		if (err && last && note)
			note->done(note, 0, err);
	}
}

static void *run(void *arg)
{
	struct evidence_store *s = arg;

	pthread_setname_np(pthread_self(), "evidence");
	pthread_mutex_lock(&s->lock);
	while (s->first || !s->closing) {
		struct job *list = s->first;

		if (!list) {
			pthread_cond_wait(&s->wake, &s->lock);
			continue;
		}
		s->first = NULL;
		s->last = &s->first;
		pthread_mutex_unlock(&s->lock);
		write_group(s, list);
		while (list) {
			struct job *j = list;

			list = j->next;
			append(s, j);
			pthread_mutex_lock(&s->lock);
			s->queue_bytes -= j->bytes;
			pthread_mutex_unlock(&s->lock);
			job_free(j);
		}
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- the door ---- */

static int copy_piece(struct piece *to, const struct evidence_item *from)
{
	to->record_len = record__get_packed_size(from->record);
	to->record = malloc(to->record_len + 1);
	if (!to->record)
		return -ENOMEM;
	record__pack(from->record, to->record);
	if (!from->text)
		return 0;
	to->text = malloc(from->len + 1);
	if (!to->text)
		return -ENOMEM;
	memcpy(to->text, from->text, from->len);
	to->len = from->len;
	return 0;
}

int evidence_append(struct evidence_store *s, const struct evidence_item *items, size_t n, struct ledger_note *note)
{
	struct job *j = n && n <= ITEMS_MAX ? calloc(1, sizeof(*j) + n * sizeof(j->pieces[0])) : NULL;
	int err = 0;

	if (!j)
		return n && n <= ITEMS_MAX ? -ENOMEM : -EMSGSIZE;
	j->note = note;
	j->bytes = sizeof(*j);
	for (; j->n < n && !err; j->n++) {
		struct piece *p = &j->pieces[j->n];

		err = items[j->n].len > EVIDENCE_MAX ? -EMSGSIZE : copy_piece(p, &items[j->n]);
		j->bytes += p->record_len + p->len;
	}
	pthread_mutex_lock(&s->lock);
	if (!err && s->queue_bytes + j->bytes > QUEUE_BYTES)
		err = -ENOBUFS;
	if (!err) {
		s->queue_bytes += j->bytes;
		*s->last = j;
		s->last = &j->next;
		pthread_cond_signal(&s->wake);
	} else {
		for (size_t i = 0; i < n; i++)
			s->stats.lost += items[i].text != NULL;
	}
	pthread_mutex_unlock(&s->lock);
	if (err)
		job_free(j);
	return err;
}

void evidence_stats(struct evidence_store *s, struct evidence_stats *out)
{
	pthread_mutex_lock(&s->lock);
	*out = s->stats;
	pthread_mutex_unlock(&s->lock);
}

void evidence_close(struct evidence_store **at)
{
	struct evidence_store *s = *at;

	if (!s)
		return;
	if (s->running) {
		pthread_mutex_lock(&s->lock);
		s->closing = true;
		pthread_cond_signal(&s->wake);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->thread, NULL);
	}
	close_pack(s);
	own_close(&s->dir);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s);
	*at = NULL;
}

int evidence_open(struct evidence_store **out, const struct evidence_options *o)
{
	owned(evidence_close) struct evidence_store *s = calloc(1, sizeof(*s));
	owned(own_close) int folder = -1;
	int err = 0;

	if (!s)
		return -ENOMEM;
	s->dir = s->pack_fd = s->keys_fd = -1;
	s->last = &s->first;
	s->ledger = o->ledger;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	if (!o->recipient_count || o->recipient_count > AGE_RECIPIENTS)
		return -EINVAL;
	for (; !err && s->to_count < o->recipient_count; s->to_count++)
		err = age_recipient_read(&s->to[s->to_count], o->recipients[s->to_count]);
	if (err)
		return err;
	folder = open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0 || (mkdirat(folder, EVIDENCE_DIR, 0750) && errno != EEXIST))
		return -errno;
	s->dir = openat(folder, EVIDENCE_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (s->dir < 0)
		return -errno;
	err = -pthread_create(&s->thread, NULL, run, s);
	if (err)
		return err;
	s->running = true;
	*out = TAKE(s);
	return 0;
}
