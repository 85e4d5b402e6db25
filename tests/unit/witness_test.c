/* SPDX-License-Identifier: Apache-2.0 */
/*
 * witness_test.c - a witness signs what was only added to, and nothing else; what it signed is known again, and a log
 * that is not the one it saw is found out by verify and by a verifier that has nothing of ours.
 */
#include <inttypes.h>
#include <sys/wait.h>

#include "record/note.h"
#include "tests/lib/ledger.h"
#include "tests/lib/stranger.h"

#define ORIGIN  "test.example/log"
#define WITNESS "witness.example/w1"

static char scratch[64], base[80], dir[96], state[96]; /* base: the record */
static char vkey[400];                                 /* of the log */
static char said[8192];

static void collect(void *arg, enum fault what, const char *text)
{
	size_t len = strlen(said);

	(void)arg;
	snprintf(said + len, sizeof(said) - len, "%s: %s\n", fault_names[what], text);
}

static void write_log(const char *at, int from, int to)
{
	struct ledger_options o = { .dir = at, .origin = ORIGIN, .checkpoint_ms = 20 };
	struct ledger *l = NULL;
	char name[24];

	cr_assert_eq(ledger_open(&l, &o), 0);
	for (int i = from; i < to; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		cr_assert_eq(append_named(l, name, NULL), 0);
	}
	cr_assert_eq(append_wait(l, "end", NULL), 0);
	ledger_close(&l);
}

static struct witness *open_witness(const char *log_key)
{
	struct witness_options o = { .dir = state, .name = WITNESS, .logs = &log_key, .log_count = 1 };
	struct witness *w = NULL;

	cr_assert_eq(witness_open(&w, &o), 0);
	return w;
}

static void make(void)
{
	char path[128];
	size_t len;

	new_fast_dir(scratch);
	snprintf(base, sizeof(base), "%s/record", scratch);
	cr_assert_eq(mkdir(base, 0750), 0);
	snprintf(dir, sizeof(dir), "%s/ledger", base);
	snprintf(state, sizeof(state), "%s/witness", scratch);
	write_log(dir, 0, 20);
	snprintf(path, sizeof(path), "%s/vkey", dir);
	len = read_file(path, (uint8_t *)vkey, sizeof(vkey) - 1);
	vkey[len - 1] = '\0';
}

static void clean(void)
{
	char key[128];

	snprintf(key, sizeof(key), "%s.key", dir);
	unlink(key);
	remove_dir(scratch);
}

static void copy(const char *from, const char *to)
{
	char command[400];

	snprintf(command, sizeof(command), "rm -rf %s && cp -a %s %s", to, from, to);
	cr_assert_eq(system(command), 0);
}

/* Sends the newest checkpoint of the log at `of`, with a proof from `old`; the status. */
static unsigned send_from(struct witness *w, const char *of, uint64_t old, struct witness_answer *a)
{
	struct cosigning *c = NULL;
	char *body = NULL;
	size_t len = 0;

	cr_assert_eq(cosigning_open(&c, of), 0);
	cr_assert_eq(cosigning_request(c, old, &body, &len), 0);
	cr_assert_leq(len, WITNESS_BODY);
	witness_add(w, (uint8_t *)body, len, a);
	free(body);
	cosigning_close(&c);
	return a->status;
}

/* As a client does, and keeps it. */
static unsigned submit(struct witness *w, const char *of)
{
	char key[LEDGER_VKEY], *body = NULL;
	struct cosigning *c = NULL;
	struct witness_answer a;
	uint64_t old, when;
	size_t len = 0;

	witness_vkey(w, key);
	cr_assert_eq(cosigning_open(&c, of), 0);
	cr_assert_eq(cosigning_known(c, key, &old, &when), 0);
	cr_assert_eq(cosigning_request(c, old, &body, &len), 0);
	witness_add(w, (uint8_t *)body, len, &a);
	if (a.status == 200) {
		cr_assert_eq(cosigning_take(c, key, (uint8_t *)a.body, a.len), 0);
		cr_assert_eq(cosigning_keep(c), 0);
		cr_assert_eq(cosigning_known(c, key, &old, &when), 0);
		cr_assert_eq(old, cosigning_size(c));
		cr_assert_gt(when, 1700000000);
	}
	free(body);
	cosigning_close(&c);
	return a.status;
}

static uint64_t size_of(const char *of)
{
	struct cosigning *c = NULL;
	uint64_t size;

	cr_assert_eq(cosigning_open(&c, of), 0);
	size = cosigning_size(c);
	cosigning_close(&c);
	return size;
}

static uint64_t faults(const char *of, const char *witness, struct verify_result *r)
{
	struct verify_options o = {
		.dir = of, .witnesses = &witness, .witness_count = witness != NULL, .fault = collect
	};

	said[0] = '\0';
	cr_assert_eq(ledger_verify(r, &o), 0);
	return r->faults;
}

TEST(witness, cosigns_what_was_added_to)
{
	char key[LEDGER_VKEY], again[LEDGER_VKEY];
	struct witness_answer a;
	struct verify_result r;
	struct witness *w;
	uint64_t first;

	make();
	first = size_of(dir);
	w = open_witness(vkey);
	witness_vkey(w, key);
	cr_assert_not_null(strstr(key, WITNESS "+"));
	cr_assert_gt(faults(dir, key, &r), 0);
	cr_assert_not_null(strstr(said, "unsigned: no checkpoint of this history that " WITNESS " cosigned"), "%s",
	                   said);

	cr_assert_eq(submit(w, dir), 200);
	cr_assert_eq(faults(dir, key, &r), 0, "%s", said);
	cr_assert_eq(r.witnessed, first);
	cr_assert_eq(submit(w, dir), 200, "the same once more");

	/* What it has signed outlives it. */
	witness_close(&w);
	write_log(dir, 20, 700);
	w = open_witness(vkey);
	witness_vkey(w, again);
	cr_assert_str_eq(key, again);
	cr_assert_eq(send_from(w, dir, 0, &a), 409);
	cr_assert_str_eq(a.type, "text/x.tlog.size");
	cr_assert_eq(strtoull(a.body, NULL, 10), first);
	cr_assert_eq(a.body[a.len - 1], '\n');
	cr_assert_eq(submit(w, dir), 200);
	cr_assert_eq(faults(dir, key, &r), 0, "%s", said);
	cr_assert_gt(r.witnessed, 700);
	cr_assert_gt(r.witnessed_unix, 1700000000);
	witness_close(&w);
	clean();
}

TEST(witness, one_process_at_a_time)
{
	struct witness_options o = { .dir = state, .name = WITNESS };
	struct witness *w, *other = NULL;

	make();
	w = open_witness(vkey);
	cr_assert_eq(witness_open(&other, &o), -EBUSY);
	witness_close(&w);
	clean();
}

/* An older state, another history of the same key: neither gets a signature, and verify finds both out. */
TEST(witness, refuses_rollback_and_fork)
{
	char old[96], key[LEDGER_VKEY], path[160], command[500];
	struct witness_answer a;
	struct verify_result r;
	struct witness *w;

	make();
	snprintf(old, sizeof(old), "%s/old", base);
	copy(dir, old);
	snprintf(command, sizeof(command), "cp %s.key %s.key", dir, old);
	cr_assert_eq(system(command), 0);
	write_log(dir, 20, 60);
	w = open_witness(vkey);
	witness_vkey(w, key);
	cr_assert_eq(submit(w, dir), 200);

	cr_assert_eq(send_from(w, old, 0, &a), 409, "rolled back");
	cr_assert_eq(send_from(w, old, size_of(old), &a), 409, "rolled back");
	cr_assert_eq(strtoull(a.body, NULL, 10), size_of(dir));

	write_log(old, 100, 140);
	cr_assert_eq(size_of(old), size_of(dir), "%llu %llu", (unsigned long long)size_of(old),
	             (unsigned long long)size_of(dir));
	cr_assert_eq(send_from(w, old, size_of(old), &a), 409, "another root of the same size");
	write_log(old, 200, 300);
	cr_assert_eq(send_from(w, old, size_of(dir), &a), 422, "goes on from another history");
	cr_assert_null(strstr(a.body, WITNESS));

	/* The forged log gets the true one's cosignatures: they are of another history. */
	snprintf(path, sizeof(path), "%s.cosigned", base);
	snprintf(command, sizeof(command), "cp %s/ledger %s/old", path, path);
	cr_assert_eq(system(command), 0);
	cr_assert_eq(faults(dir, key, &r), 0, "%s", said);
	cr_assert_gt(faults(old, key, &r), 0);
	cr_assert_not_null(strstr(said, "forked: cosigned: size "), "%s", said);
	cr_assert_not_null(strstr(said, "unsigned: no checkpoint of this history"), "%s", said);
	witness_close(&w);
	snprintf(path, sizeof(path), "%s.key", old);
	unlink(path);
	clean();
}

/* A log that is rolled back with all of its own files is found out by what a witness signed. */
TEST(witness, what_was_cosigned_stays)
{
	char old[96], key[LEDGER_VKEY];
	struct verify_result r;
	struct witness *w;

	make();
	snprintf(old, sizeof(old), "%s/kept", base);
	copy(dir, old);
	write_log(dir, 20, 60);
	w = open_witness(vkey);
	witness_vkey(w, key);
	cr_assert_eq(submit(w, dir), 200);
	copy(old, dir);
	cr_assert_gt(faults(dir, NULL, &r), 0);
	cr_assert_not_null(strstr(said, "rolled back: cosigned: it counts "), "%s", said);
	witness_close(&w);
	clean();
}

TEST(witness, who_may_ask)
{
	struct witness_answer a;
	struct note_signer other;
	char key[VKEY_MAX];
	struct witness *w;

	make();
	cr_assert_eq(note_signer_make(&other, ORIGIN, KEY_ED25519, (const uint8_t[KEY_LEN]){ 7 }), 0);
	note_key_text(&other.pub, key);
	w = open_witness(key);
	cr_assert_eq(send_from(w, dir, 0, &a), 403);
	witness_close(&w);
	cr_assert_eq(note_signer_make(&other, "somebody.else", KEY_ED25519, (const uint8_t[KEY_LEN]){ 7 }), 0);
	note_key_text(&other.pub, key);
	w = open_witness(key);
	cr_assert_eq(send_from(w, dir, 0, &a), 404);
	witness_close(&w);
	clean();
}

static unsigned say(struct witness *w, const char *text, struct witness_answer *a)
{
	witness_add(w, (const uint8_t *)text, strlen(text), a);
	return a->status;
}

/* Whatever is cut from, put into or changed in a request: an answer, and a signature only over what was asked. */
TEST(witness, hostile_requests)
{
	static const char *const nonsense[] = { "",
		                                "\n",
		                                "old",
		                                "old \n",
		                                "old 0",
		                                "old 0\n",
		                                "old 0\n\n",
		                                "old 00\n\n",
		                                "old -1\n\nx\n",
		                                "new 0\n\n",
		                                "old 1 \n",
		                                "old 0\r\n\r\n",
		                                "old 18446744073709551616\n\n" };
	struct witness_answer a;
	struct cosigning *c = NULL;
	char *body = NULL, copied[4096], big[8192] = "old 0\n";
	struct witness *w;
	size_t len = 0;

	make();
	w = open_witness(vkey);
	for (size_t i = 0; i < ARRAY_LEN(nonsense); i++)
		cr_assert_eq(say(w, nonsense[i], &a), 400, "%s", nonsense[i]);
	cr_assert_eq(cosigning_open(&c, dir), 0);
	cr_assert_eq(cosigning_request(c, 0, &body, &len), 0);
	cr_assert_lt(len, sizeof(copied));
	srand(5);
	for (size_t cut = 0; cut < len; cut++) {
		witness_add(w, (uint8_t *)body, cut, &a);
		cr_assert_neq(a.status, 200, "cut at %zu", cut);
	}
	for (int turn = 0; turn < 3000; turn++) {
		memcpy(copied, body, len);
		copied[(size_t)rand() % len] ^= (char)(1 << (rand() % 8));
		witness_add(w, (uint8_t *)copied, len, &a);
		/* A signature line that is not the log's may be anything; there is none here. */
		cr_assert_neq(a.status, 200, "%.*s", (int)len, copied);
	}
	for (int i = 0; i < 64; i++)
		strcat(big, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
	strcat(big, strchr(body, '\n') + 1);
	cr_assert_eq(say(w, big, &a), 400, "64 lines of a proof");
	strcpy(big, "old 0\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
	strcat(big, strchr(body, '\n') + 1);
	cr_assert_eq(say(w, big, &a), 422, "from nothing there is no proof");
	snprintf(big, sizeof(big), "old %" PRIu64 "%s", cosigning_size(c) + 1, strchr(body, '\n'));
	cr_assert_eq(say(w, big, &a), 400, "an old size above the new one");
	cr_assert_eq(say(w, body, &a), 200);
	free(body);
	cosigning_close(&c);
	witness_close(&w);
	clean();
}

/* A witness that says anything at all: only its own cosignature of our checkpoint is taken. */
TEST(witness, hostile_answers)
{
	char key[LEDGER_VKEY], other_key[VKEY_MAX], line[512];
	uint8_t noise[16384];
	struct cosigning *c = NULL;
	struct note_signer stranger;
	struct witness_answer a;
	struct verify_result r;
	uint64_t size, when;
	struct witness *w;
	int len;

	make();
	w = open_witness(vkey);
	witness_vkey(w, key);
	cr_assert_eq(send_from(w, dir, 0, &a), 200);
	cr_assert_eq(cosigning_open(&c, dir), 0);
	srand(3);
	for (int turn = 0; turn < 200; turn++) {
		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = (uint8_t)(rand() % 7 ? rand() : '\n');
		cr_assert_eq(cosigning_take(c, key, noise, sizeof(noise)), -EBADMSG);
	}
	for (size_t cut = 0; cut < a.len; cut++)
		cr_assert_eq(cosigning_take(c, key, (uint8_t *)a.body, cut), -EBADMSG);
	for (size_t i = 0; i < a.len; i++) {
		struct witness_answer b = a;

		b.body[i] ^= 1;
		cr_assert_eq(cosigning_take(c, key, (uint8_t *)b.body, b.len), -EBADMSG, "byte %zu", i);
	}
	cr_assert_eq(cosigning_keep(c), 0);
	cr_assert_eq(cosigning_known(c, key, &size, &when), 0);
	cr_assert_eq(size, 0, "nothing was taken");
	/* A stranger's signature in front of it is not taken along. */
	cr_assert_eq(note_signer_make(&stranger, "other.example", KEY_COSIGN, (const uint8_t[KEY_LEN]){ 9 }), 0);
	len = note_signature(&stranger, SLICE("another text\n"), 5, line, sizeof(line));
	cr_assert_gt(len, 0);
	memcpy(line + len, a.body, a.len);
	cr_assert_eq(cosigning_take(c, key, (uint8_t *)line, (size_t)len + a.len), 0);
	cr_assert_eq(cosigning_keep(c), 0);
	cosigning_close(&c);
	note_key_text(&stranger.pub, other_key);
	cr_assert_eq(faults(dir, key, &r), 0, "%s", said);
	cr_assert_gt(faults(dir, other_key, &r), 0);
	cr_assert_eq(cosigning_open(&c, dir), 0);
	cr_assert_eq(cosigning_known(c, vkey, &size, &when), -EINVAL, "not a key of a witness");
	cosigning_close(&c);
	witness_close(&w);
	clean();
}

/* The state of a log that cannot be read is not taken for none. */
TEST(witness, a_damaged_state_is_not_a_new_one)
{
	const char *key = vkey;
	struct witness_options o = { .dir = state, .name = WITNESS, .logs = &key, .log_count = 1 };
	struct witness *w;
	char command[400];

	make();
	w = open_witness(vkey);
	cr_assert_eq(submit(w, dir), 200);
	witness_close(&w);
	snprintf(command, sizeof(command),
	         "for f in %s/[0-9a-f]*; do case $f in *key|*lock) ;; *) echo x > $f ;; esac; done", state);
	cr_assert_eq(system(command), 0);
	cr_assert_eq(witness_open(&w, &o), -EBADMSG);
	clean();
}

/* What is kept does not grow for ever, and is still what was signed. */
TEST(witness, what_is_kept_is_thinned)
{
	static uint8_t bytes[4 << 20];
	char path[160];
	struct witness *w;
	FILE *to;
	size_t len;

	make();
	w = open_witness(vkey);
	cr_assert_eq(submit(w, dir), 200);
	snprintf(path, sizeof(path), "%s.cosigned/ledger", base);
	len = read_file(path, bytes, sizeof(bytes));
	to = fopen(path, "w");
	for (int i = 0; i < 5000; i++)
		fwrite(bytes, 1, len, to);
	fclose(to);
	write_log(dir, 20, 30);
	cr_assert_eq(submit(w, dir), 200);
	cr_assert_eq(read_file(path, bytes, sizeof(bytes)) / len, 3751);
	witness_close(&w);
	clean();
}

/* ---- the other verifier ---- */

static int stranger_of(const char *of, const char *witness)
{
	char arguments[1024];

	snprintf(arguments, sizeof(arguments), "-witness '%s' %s", witness, of);
	return stranger(arguments);
}

TEST(witness, another_verifier_checks_it)
{
	char key[LEDGER_VKEY], path[160];
	struct verify_result r;
	uint8_t bytes[4096];
	struct witness *w;
	size_t len;

	make();
	w = open_witness(vkey);
	witness_vkey(w, key);
	cr_assert_eq(stranger_of(dir, key), 1, "nothing was cosigned yet");
	cr_assert_eq(submit(w, dir), 200);
	cr_assert_eq(stranger_of(dir, key), 0);
	snprintf(path, sizeof(path), "%s.cosigned/ledger", base);
	len = read_file(path, bytes, sizeof(bytes));
	cr_assert_lt(len, sizeof(bytes));
	for (size_t i = 0; i < len; i += 5) {
		bytes[i] ^= 2;
		write_file(path, bytes, len);
		cr_assert_gt(faults(dir, key, &r), 0, "byte %zu", i);
		if (i % 40 == 0)
			cr_assert_neq(stranger_of(dir, key), 0, "byte %zu", i);
		bytes[i] ^= 2;
	}
	witness_close(&w);
	clean();
}
