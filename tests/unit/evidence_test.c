/* SPDX-License-Identifier: Apache-2.0 */
/* evidence_test.c - evidence is where its record says, until it is erased; what happens to it otherwise is told. */
#include <ftw.h>
#include <time.h>

#include "tests/lib/ledger.h"

#define RECIPIENT "age1yk72ey69qnuk67gsegrqqnh80qlrejtq3zaawnyv4p73svrg55fsnfmm7w"

static char root[64], ledger_dir[96], control_dir[96], said[4096];

static void collect(void *arg, enum fault what, const char *text)
{
	size_t len = strlen(said);

	(void)arg;
	snprintf(said + len, sizeof(said) - len, "%s: %s\n", fault_names[what], text);
}

static uint64_t faults(struct evidence_counts *n)
{
	said[0] = '\0';
	cr_assert_eq(evidence_verify(n, ledger_dir, control_dir, collect, NULL), 0);
	return n->faults;
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *at)
{
	(void)st, (void)what, (void)at;
	return remove(path);
}

static struct ledger *open_log(const char *dir)
{
	struct ledger *l = NULL;

	cr_assert_eq(ledger_open(&l, &(struct ledger_options){ .dir = dir }), 0);
	return l;
}

static struct evidence_store *open_store(struct ledger *l)
{
	struct evidence_store *s = NULL;
	const char *to = RECIPIENT;
	struct evidence_options o = { .dir = ledger_dir, .recipients = &to, .recipient_count = 1, .ledger = l };

	cr_assert_eq(evidence_open(&s, &o), 0);
	return s;
}

/* Each with a text, but for the first of them. */
static int put(struct evidence_store *s, size_t n, struct waiter *w)
{
	static const char text[] = "{\"match\":\"PLANTED-WORDS\"}\n";
	struct evidence_item items[8] = { 0 };
	Evidence evidence[8];
	Finding findings[8];
	Record records[8];

	for (size_t i = 0; i < n; i++) {
		records[i] = (Record)RECORD__INIT;
		findings[i] = (Finding)FINDING__INIT;
		evidence[i] = (Evidence)EVIDENCE__INIT;
		evidence[i].kind = (char *)"span";
		records[i].body_case = RECORD__BODY_FINDING;
		records[i].finding = &findings[i];
		findings[i].offset = i;
		items[i].record = &records[i];
		if (!i)
			continue;
		findings[i].evidence = &evidence[i];
		items[i].text = (const uint8_t *)text;
		items[i].len = strlen(text);
	}
	return evidence_append(s, items, n, &w->note);
}

static void begin(struct ledger **l, struct evidence_store **s)
{
	new_dir(root);
	snprintf(ledger_dir, sizeof(ledger_dir), "%s/ledger", root);
	snprintf(control_dir, sizeof(control_dir), "%s/control", root);
	*l = open_log(ledger_dir);
	*s = open_store(*l);
}

static void end(struct ledger **l, struct evidence_store **s)
{
	evidence_close(s);
	ledger_close(l);
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void erase_on_record(uint64_t seq, bool restricted)
{
	struct ledger *c = open_log(control_dir);
	Erasure e = ERASURE__INIT;
	Record r = RECORD__INIT;

	e.seq = seq;
	e.restricted = restricted;
	r.body_case = RECORD__BODY_ERASURE;
	r.erasure = &e;
	cr_assert_eq(ledger_append(c, &r, NULL), 0);
	ledger_close(&c);
}

/* A worker that others take over from ends its answers while the next one writes. */
TEST(evidence, two_writers_do_not_mix)
{
	struct ledger *l;
	struct evidence_store *s, *other;
	struct evidence_counts n;
	struct waiter w[40];

	begin(&l, &s);
	other = open_store(l);
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		waiter_init(&w[i]);
		cr_assert_eq(put(i % 2 ? s : other, 3, &w[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		cr_assert_eq(wait_told(&w[i]), 0);
	evidence_close(&other);
	cr_assert_eq(faults(&n), 0, "%s", said);
	cr_assert_eq(n.kept, 2 * ARRAY_LEN(w));
	end(&l, &s);
}

TEST(evidence, kept_in_order_and_erased)
{
	struct ledger *l;
	struct evidence_store *s;
	struct evidence_counts n;
	struct evidence_place p, q;
	struct evidence_stats stats;
	struct waiter w;
	uint8_t *file = NULL;
	size_t len;

	begin(&l, &s);
	waiter_init(&w);
	cr_assert_eq(put(s, 4, &w), 0);
	cr_assert_eq(wait_told(&w), 0);
	evidence_stats(s, &stats);
	cr_assert(stats.kept == 3 && !stats.lost);
	cr_assert_eq(evidence_find(&p, ledger_dir, w.seq - 3), -ENODATA, "the first has none");
	cr_assert_eq(evidence_find(&p, ledger_dir, w.seq), 0);
	cr_assert_eq(evidence_find(&q, ledger_dir, w.seq - 1), 0);
	cr_assert_eq(evidence_find(&q, ledger_dir, w.seq + 100), -ENOENT);
	cr_assert_eq(evidence_read(ledger_dir, &p, &file, &len), 0);
	cr_assert(!memcmp(file, "age-encryption.org/v1\n", 22) && !memmem(file, len, "PLANTED", 7));
	free(file);
	cr_assert_eq(faults(&n), 0);
	cr_assert(n.kept == 3 && !n.erased);
	erase_on_record(w.seq, true);
	cr_assert_eq(faults(&n), 0);
	cr_assert(n.kept == 3 && n.restricted == 1);
	erase_on_record(w.seq, false);
	cr_assert_eq(faults(&n), 1, "it is still there");
	cr_assert_eq(evidence_shred(ledger_dir, &p, 1), 0);
	cr_assert_eq(evidence_read(ledger_dir, &p, &file, &len), -ENODATA);
	cr_assert_eq(faults(&n), 0, "%s", said);
	cr_assert(n.kept == 2 && n.erased == 1);
	cr_assert_eq(evidence_find(&q, ledger_dir, w.seq - 1), 0);
	cr_assert_eq(evidence_shred(ledger_dir, &q, 1), 0);
	cr_assert_eq(faults(&n), 1, "nobody said so");
	/* After a restart it goes on behind what is there. */
	evidence_close(&s);
	s = open_store(l);
	cr_assert_eq(put(s, 2, &w), 0);
	cr_assert_eq(wait_told(&w), 0);
	cr_assert_eq(evidence_find(&q, ledger_dir, w.seq), 0);
	cr_assert(q.offset >= p.offset + p.length && q.header_offset >= p.header_offset + p.header_length);
	end(&l, &s);
}

TEST(evidence, what_cannot_be_written_is_lost_and_said)
{
	struct ledger *l;
	struct evidence_store *s;
	struct evidence_counts n;
	struct evidence_stats stats;
	struct waiter w;
	char command[256];

	begin(&l, &s);
	waiter_init(&w);
	/* Who may write everywhere may not write into a folder that is a file's name. */
	snprintf(command, sizeof(command), "cd %s/evidence && mkdir $(date -u +%%Y%%m%%d).pack", ledger_dir);
	cr_assert(!system(command));
	cr_assert_eq(put(s, 3, &w), 0);
	cr_assert_eq(wait_told(&w), 0, "the records are there all the same");
	evidence_stats(s, &stats);
	cr_assert(!stats.kept && stats.lost == 2);
	cr_assert_eq(faults(&n), 0);
	cr_assert_eq(n.lost, 2);
	end(&l, &s);
}

TEST(evidence, days_that_are_over_go)
{
	struct ledger *l;
	struct evidence_store *s;
	char command[256], path[160];

	begin(&l, &s);
	snprintf(command, sizeof(command),
	         "cd %s/evidence && echo x >20200101.pack && echo x >20200101.keys && "
	         "echo x >20200101.other",
	         ledger_dir);
	cr_assert(!system(command));
	cr_assert_eq(evidence_forget(ledger_dir, 36500), 0);
	cr_assert_eq(evidence_forget(ledger_dir, 200), 1);
	snprintf(path, sizeof(path), "%s/evidence/20200101.keys", ledger_dir);
	cr_assert(access(path, F_OK));
	snprintf(path, sizeof(path), "%s/evidence/20200101.other", ledger_dir);
	cr_assert(!access(path, F_OK), "not ours");
	end(&l, &s);
}

/* What a record says of a place is a stranger's word. */
TEST(evidence, places_that_cannot_be)
{
	Evidence e = EVIDENCE__INIT;
	Finding f = FINDING__INIT;
	Record r = RECORD__INIT;
	struct evidence_place p;
	uint8_t digest[32] = { 0 };
	static const char *const packs[] = { "", "../../etc", "2026112", "202611221", "2026112x" };

	r.body_case = RECORD__BODY_FINDING;
	r.finding = &f;
	cr_assert_eq(evidence_place(&p, &r), -ENODATA);
	f.evidence = &e;
	cr_assert_eq(evidence_place(&p, &r), -ENODATA);
	e.state = EVIDENCE__STATE__KEPT;
	e.kind = (char *)"span";
	e.pack = (char *)"20261122";
	e.sha256 = e.header_sha256 = (ProtobufCBinaryData){ 32, digest };
	e.length = e.header_length = 10;
	cr_assert_eq(evidence_place(&p, &r), 0);
	for (size_t i = 0; i < ARRAY_LEN(packs); i++) {
		e.pack = (char *)packs[i];
		cr_assert_eq(evidence_place(&p, &r), -EBADMSG, "%s", packs[i]);
	}
	e.pack = (char *)"20261122";
	e.length = UINT64_MAX;
	cr_assert_eq(evidence_place(&p, &r), -EBADMSG);
	e.length = 10;
	e.offset = UINT64_MAX - 5;
	cr_assert_eq(evidence_place(&p, &r), -EBADMSG);
	e.offset = 0;
	e.sha256.len = 31;
	cr_assert_eq(evidence_place(&p, &r), -EBADMSG);
}
