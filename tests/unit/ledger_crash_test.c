/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger_crash_test.c - a machine that loses power, simulated.
 *
 * A log is written through a layer that remembers every call. Then the machine "stops" after any of them: what was not
 * synced is there, gone, torn at a sector, zero, or there without what stands before it, and of the names that were not
 * synced some are there. Each such folder is opened as after a crash: whatever was told durable is there under its
 * number, nothing is there that was never written, and the log goes on from every checkpoint it ever issued.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/lib/ledger.h"

#define SECTOR      512
#define EVENTS_MOST 20000
#define FILES_MOST  2000
#define NAMES_MOST  4000

enum what { OPENED, APPENDED, SYNCED, CUT, RENAMED, SYNCED_DIR, REMOVED, TOLD, ISSUED };

static struct event {
	enum what what;
	int file; /* OPENED, APPENDED, SYNCED, CUT */
	char name[72], to[72];
	uint8_t *bytes;      /* APPENDED, ISSUED */
	size_t len;          /* of them; CUT: the size */
	uint64_t seq;        /* TOLD */
	int number;          /* TOLD: of the record's name */
	bool fresh, emptied; /* OPENED: the name is new; the file was cut to nothing */
} events[EVENTS_MOST];
static size_t event_count;
static pthread_mutex_t layer = PTHREAD_MUTEX_INITIALIZER;
static int file_of[4096]; /* by descriptor */
static struct {
	char name[72];
	int file;
} live[NAMES_MOST]; /* names as they are now */
static size_t live_count;
static int files;

static struct event *note_event(enum what what)
{
	cr_assert_lt(event_count, EVENTS_MOST);
	events[event_count] = (struct event){ .what = what };
	return &events[event_count++];
}

static int live_file(const char *name)
{
	for (size_t i = 0; i < live_count; i++)
		if (!strcmp(live[i].name, name))
			return live[i].file;
	return -1;
}

static void live_set(const char *name, int file)
{
	size_t i;

	for (i = 0; i < live_count && strcmp(live[i].name, name) != 0; i++)
		;
	if (i == live_count) {
		cr_assert_lt(live_count, NAMES_MOST);
		snprintf(live[live_count++].name, sizeof(live[0].name), "%s", name);
	}
	live[i].file = file;
}

static int sim_open(int dir, const char *name, int flags)
{
	int fd;

	pthread_mutex_lock(&layer);
	fd = file_system.open(dir, name, flags);
	if (fd >= 0) {
		struct event *e = note_event(OPENED);
		int file = live_file(name);

		e->fresh = file < 0;
		e->emptied = flags & O_TRUNC;
		if (e->fresh) {
			file = files++;
			cr_assert_lt(files, FILES_MOST);
			live_set(name, file);
		}
		snprintf(e->name, sizeof(e->name), "%s", name);
		e->file = file_of[fd] = file;
	}
	pthread_mutex_unlock(&layer);
	return fd;
}

static ssize_t sim_append(int fd, const void *at, size_t len)
{
	struct event *e;

	pthread_mutex_lock(&layer);
	cr_assert_eq(file_system.append(fd, at, len), (ssize_t)len);
	e = note_event(APPENDED);
	e->file = file_of[fd];
	e->bytes = malloc(len);
	memcpy(e->bytes, at, len);
	e->len = len;
	pthread_mutex_unlock(&layer);
	return (ssize_t)len;
}

static int sim_reserve(int fd, uint64_t bytes)
{
	(void)fd;
	(void)bytes;
	return 0;
}

static int sim_sync(int fd)
{
	pthread_mutex_lock(&layer);
	note_event(SYNCED)->file = file_of[fd];
	pthread_mutex_unlock(&layer);
	return 0;
}

static int sim_truncate(int fd, uint64_t size)
{
	struct event *e;
	int err;

	pthread_mutex_lock(&layer);
	err = file_system.truncate(fd, size);
	e = note_event(CUT);
	e->file = file_of[fd];
	e->len = (size_t)size;
	pthread_mutex_unlock(&layer);
	return err;
}

static int sim_rename(int dir, const char *from, const char *to)
{
	struct event *e;
	int err;

	pthread_mutex_lock(&layer);
	err = file_system.rename(dir, from, to);
	if (!err) {
		e = note_event(RENAMED);
		snprintf(e->name, sizeof(e->name), "%s", from);
		snprintf(e->to, sizeof(e->to), "%s", to);
		live_set(to, live_file(from));
		live_set(from, -1);
	}
	pthread_mutex_unlock(&layer);
	return err;
}

static int sim_sync_dir(int dir)
{
	(void)dir;
	pthread_mutex_lock(&layer);
	note_event(SYNCED_DIR);
	pthread_mutex_unlock(&layer);
	return 0;
}

static int sim_remove(int dir, const char *name)
{
	int err;

	pthread_mutex_lock(&layer);
	err = file_system.remove(dir, name);
	if (!err && live_file(name) >= 0) {
		struct event *e = note_event(REMOVED);

		snprintf(e->name, sizeof(e->name), "%s", name);
		live_set(name, -1);
	}
	pthread_mutex_unlock(&layer);
	return err;
}

static int sim_make_dir(int dir, const char *name)
{
	return file_system.make_dir(dir, name);
}

static int sim_space(int dir, uint64_t *left)
{
	return file_system.space(dir, left);
}

static uint64_t sim_clock(clockid_t which)
{
	return file_system.clock(which);
}

static const struct file_ops simulated = {
	.open = sim_open,
	.append = sim_append,
	.reserve = sim_reserve,
	.sync = sim_sync,
	.truncate = sim_truncate,
	.rename = sim_rename,
	.sync_dir = sim_sync_dir,
	.remove = sim_remove,
	.make_dir = sim_make_dir,
	.space = sim_space,
	.clock = sim_clock,
};

/* ---- what is written ---- */

struct promise {
	struct ledger_note note;
	int number;
};

static void told(struct ledger_note *n, uint64_t seq, int err)
{
	struct promise *p = container_of(n, struct promise, note);
	struct event *e;

	cr_assert_eq(err, 0);
	pthread_mutex_lock(&layer);
	e = note_event(TOLD);
	e->seq = seq;
	e->number = p->number;
	pthread_mutex_unlock(&layer);
	free(p);
}

static void issued(void *arg, const char *note, size_t len)
{
	struct event *e;

	(void)arg;
	pthread_mutex_lock(&layer);
	e = note_event(ISSUED);
	e->bytes = malloc(len);
	memcpy(e->bytes, note, len);
	e->len = len;
	pthread_mutex_unlock(&layer);
}

static int numbers;

static void write_log(const char *dir, int records, unsigned pause_us)
{
	struct ledger_options o = { .dir = dir, .segment_bytes = 4000, .checkpoint_ms = 4, .issued = issued };
	struct ledger *l = NULL;
	char name[24];

	cr_assert_eq(ledger_open_on(&l, &o, &simulated), 0);
	for (int i = 0; i < records; i++) {
		struct promise *p = malloc(sizeof(*p));

		*p = (struct promise){ { told }, numbers++ };
		snprintf(name, sizeof(name), "r%d", p->number);
		cr_assert_eq(append_named(l, name, &p->note), 0);
		if (i % 5 == 0)
			usleep(pause_us);
	}
	ledger_close(&l);
}

/* ---- the crash ---- */

static struct {
	uint8_t *bytes;
	size_t len, room, durable; /* what is surely there: the first `durable` bytes */
} disk[FILES_MOST];
static struct {
	char name[72];
	int file; /* -1: gone */
	bool is_top;
} names[NAMES_MOST];
static size_t name_count;
static unsigned dice_state;

static unsigned dice(unsigned n)
{
	return (unsigned)rand_r(&dice_state) % n;
}

static void name_set(const char *name, int file)
{
	size_t i;

	for (i = 0; i < name_count && strcmp(names[i].name, name) != 0; i++)
		;
	if (i == name_count) {
		cr_assert_lt(name_count, NAMES_MOST);
		snprintf(names[name_count++].name, sizeof(names[0].name), "%s", name);
	}
	names[i].file = file;
}

static int name_file(const char *name)
{
	for (size_t i = 0; i < name_count; i++)
		if (!strcmp(names[i].name, name))
			return names[i].file;
	return -1;
}

static void apply_name(const struct event *e)
{
	if (e->what == OPENED) {
		name_set(e->name, e->file);
	} else if (e->what == RENAMED) {
		int file = name_file(e->name);

		if (file < 0)
			return;
		name_set(e->to, file);
		name_set(e->name, -1);
	} else if (e->what == REMOVED) {
		name_set(e->name, -1);
	}
}

/* Bytes as they were written up to the crash; what of them is durable. */
static void replay_bytes(size_t until)
{
	for (int i = 0; i < files; i++)
		disk[i].len = disk[i].durable = 0;
	for (size_t k = 0; k < until; k++) {
		const struct event *e = &events[k];

		if (e->what == APPENDED) {
			size_t len = disk[e->file].len + e->len;

			if (len > disk[e->file].room) {
				disk[e->file].room = 2 * len;
				disk[e->file].bytes = realloc(disk[e->file].bytes, disk[e->file].room);
			}
			memcpy(disk[e->file].bytes + disk[e->file].len, e->bytes, e->len);
			disk[e->file].len = len;
		} else if (e->what == SYNCED) {
			disk[e->file].durable = disk[e->file].len;
		} else if (e->what == CUT && e->len < disk[e->file].len) {
			disk[e->file].len = e->len;
			if (disk[e->file].durable > e->len)
				disk[e->file].durable = e->len;
		} else if (e->what == OPENED && e->emptied) {
			disk[e->file].len = disk[e->file].durable = 0;
		}
	}
}

/* Names that were synced, and of the others, in order, those that made it: the first few, or any of them. */
static void replay_names(size_t until)
{
	size_t synced = 0, most;
	bool any = dice(2);

	for (size_t k = 0; k < until; k++)
		if (events[k].what == SYNCED_DIR)
			synced = k;
	most = synced + (until > synced ? dice((unsigned)(until - synced) + 1) : 0);
	name_count = 0;
	for (size_t k = 0; k < until; k++) {
		const struct event *e = &events[k];
		bool top = !strchr(e->name, '/');

		if (e->what != OPENED && e->what != RENAMED && e->what != REMOVED)
			continue;
		if (e->what == OPENED && !e->fresh)
			continue;
		if ((top && k < synced) || (any ? dice(2) : k < most))
			apply_name(e);
	}
}

static size_t lose(int file, uint8_t *to)
{
	size_t len = disk[file].len, durable = disk[file].durable;
	size_t more = len - durable, cut = durable + (more ? dice((unsigned)(more / SECTOR) + 1) * SECTOR : 0);

	if (cut > len)
		cut = len;
	if (len)
		memcpy(to, disk[file].bytes, len);
	switch (more ? dice(5) : 0) {
	case 0:
		return len;
	case 1:
		return durable;
	case 2:
		return cut;
	case 3:
		memset(to + cut, 0, len - cut);
		return len;
	default:
		memset(to + durable, 0, cut - durable);
		return len;
	}
}

static void build(const char *dir)
{
	static uint8_t bytes[1 << 20];
	char path[300];

	for (size_t i = 0; i < name_count; i++) {
		if (names[i].file < 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, names[i].name);
		for (char *slash = strchr(path + strlen(dir) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
			*slash = '\0';
			mkdir(path, 0750);
			*slash = '/';
		}
		write_file(path, bytes, lose(names[i].file, bytes));
	}
}

static struct found found;
static char faults[4096];

static void collect(void *arg, enum fault what, const char *text)
{
	size_t len = strlen(faults);

	(void)arg;
	snprintf(faults + len, sizeof(faults) - len, "%s: %s\n", fault_names[what], text);
}

static void check(const char *dir, size_t until, const char *kept)
{
	static uint64_t seq_of[8192];
	const struct event *newest = NULL;
	struct verify_options o = { .dir = dir, .kept = &kept, .fault = collect };
	struct verify_result r;

	memset(seq_of, 0xFF, sizeof(seq_of));
	read_all(dir, &found);
	cr_assert(!found.errors && found.in_order, "crash at %zu", until);
	for (size_t i = 0; i + 1 < found.n; i++) { /* the last is what was appended behind the crash */
		int number = atoi(found.seen[i].name + 1);

		cr_assert(found.seen[i].name[0] == 'r' && number < numbers, "crash at %zu: invented: %s", until,
		          found.seen[i].name);
		seq_of[number] = found.seen[i].seq;
	}
	for (size_t k = 0; k < until; k++) {
		if (events[k].what == TOLD)
			cr_assert_eq(seq_of[events[k].number], events[k].seq, "crash at %zu: record %d was told %llu",
			             until, events[k].number, (unsigned long long)events[k].seq);
		if (events[k].what == ISSUED)
			newest = &events[k];
	}
	if (newest)
		write_file(kept, newest->bytes, newest->len);
	o.kept_count = newest != NULL;
	faults[0] = '\0';
	cr_assert_eq(ledger_verify(&r, &o), 0);
	cr_assert_eq(r.faults, 0, "crash at %zu: %s", until, faults);
}

TEST(ledger_crash, power_loss_at_any_call)
{
	char dir[64], after[80], kept[80], key[96];
	struct ledger_options o = { .dir = after, .key_file = key, .segment_bytes = 4000, .checkpoint_ms = 1000 };
	size_t crashes = 0, step;

	new_fast_dir(dir);
	snprintf(after, sizeof(after), "%s.after", dir);
	snprintf(kept, sizeof(kept), "%s.kept", dir);
	snprintf(key, sizeof(key), "%s.key", dir);
	write_log(dir, 400, 300);
	write_log(dir, 100, 1000);
	step = event_count / 400 + 1;
	for (size_t until = 1; until <= event_count; until += step)
		for (unsigned turn = 0; turn < 2; turn++, crashes++) {
			struct ledger *l = NULL;
			int err;

			dice_state = (unsigned)(until * 7 + turn);
			replay_bytes(until);
			replay_names(until);
			cr_assert_eq(mkdir(after, 0700), 0);
			build(after);
			err = ledger_open(&l, &o);
			cr_assert_eq(err, 0, "crash at %zu: %s", until, strerror(-err));
			cr_assert_eq(append_wait(l, "later", NULL), 0);
			ledger_close(&l);
			check(after, until, kept);
			empty_dir(after);
			cr_assert_eq(rmdir(after), 0);
		}
	printf("%zu crashes over %zu calls\n", crashes, event_count);
	for (size_t k = 0; k < event_count; k++)
		free(events[k].bytes);
	for (int i = 0; i < files; i++)
		free(disk[i].bytes);
	unlink(kept);
	remove_dir(dir);
}
