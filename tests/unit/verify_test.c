/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify_test.c - a sound log is sound, and whatever is done to one of its files is noticed: by us, and by a verifier
 * that has nothing of ours (tests/verifier).
 */
#include <ftw.h>
#include <openssl/pem.h>
#include <sys/wait.h>
#include <time.h>

#include "record/note.h"
#include "tests/lib/ledger.h"
#include "tests/lib/stranger.h"

#define ORIGIN "test.example/log"

static char dir[64];
static char said[8192];

static void collect(void *arg, enum fault what, const char *text)
{
	size_t len = strlen(said);

	(void)arg;
	snprintf(said + len, sizeof(said) - len, "%s: %s\n", fault_names[what], text);
}

static uint64_t faults_of(const char *of, const char *vkey, const char *kept)
{
	struct verify_options o = { .dir = of, .vkeys = &vkey, .vkey_count = vkey != NULL, .fault = collect };
	struct verify_result r;

	o.kept = &kept;
	o.kept_count = kept != NULL;
	said[0] = '\0';
	cr_assert_eq(ledger_verify(&r, &o), 0);
	cr_assert_eq(r.faults > 0, said[0] != '\0');
	return r.faults;
}

static struct ledger *open_log(const char *at, uint64_t segment_bytes, uint32_t rotate_s)
{
	struct ledger_options o = {
		.dir = at, .origin = ORIGIN, .segment_bytes = segment_bytes, .checkpoint_ms = 20, .rotate_s = rotate_s
	};
	struct ledger *l = NULL;

	cr_assert_eq(ledger_open(&l, &o), 0);
	return l;
}

static void append_some(struct ledger *l, int from, int to)
{
	char name[24];

	for (int i = from; i < to; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		cr_assert_eq(append_named(l, name, NULL), 0);
	}
	cr_assert_eq(append_wait(l, "end", NULL), 0);
}

/* Sealed segments are there. */
static void wait_sealed(const char *at, uint64_t first_seq)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%020llu.seg.gz", at, (unsigned long long)first_seq);
	for (int i = 0; access(path, F_OK) && i < 500; i++)
		usleep(10000);
	cr_assert_eq(access(path, F_OK), 0, "%s", path);
}

static void copy_dir(const char *from, const char *to)
{
	char command[300];

	snprintf(command, sizeof(command), "rm -rf %s && cp -a %s %s", to, from, to);
	cr_assert_eq(system(command), 0);
}

/* Three segments of which two are sealed, complete tiles, a change of key, several checkpoints. `before`: a copy of
 * what it was in between; NULL: none. */
static void make(const char *before)
{
	struct ledger *l;

	new_fast_dir(dir);
	l = open_log(dir, 9000, 0);
	append_some(l, 0, 150);
	ledger_close(&l);
	if (before)
		copy_dir(dir, before);
	l = open_log(dir, 9000, 1);
	usleep(1100000);
	append_some(l, 150, 300);
	usleep(50000);
	append_some(l, 300, 330);
	wait_sealed(dir, 0);
	ledger_close(&l);
}

static void lasting_pem(char *pem, size_t room)
{
	EVP_PKEY *pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, (const unsigned char[32]){ 7 }, 32);
	BIO *bio = BIO_new(BIO_s_mem());
	int n;

	cr_assert(pair && bio && PEM_write_bio_PrivateKey(bio, pair, NULL, NULL, 0, NULL, NULL));
	n = BIO_read(bio, pem, (int)room - 1);
	cr_assert_gt(n, 0);
	pem[n] = '\0';
	BIO_free(bio);
	EVP_PKEY_free(pair);
}

/* Somebody who gets a lasting key for a log that is there finds it beside the first one, which stays the first. */
TEST(verify, a_lasting_key_that_came_later)
{
	struct ledger_options o = { .dir = dir, .origin = ORIGIN, .checkpoint_ms = 20 };
	char pem[256], before[400] = "", after[400] = "", path[128], *lasting;
	size_t had;

	lasting_pem(pem, sizeof(pem));
	new_fast_dir(dir);
	snprintf(path, sizeof(path), "%s/vkey", dir);
	for (int turn = 0; turn < 3; turn++) {
		struct ledger *l = NULL;

		o.origin_pem = turn ? pem : NULL;
		cr_assert_eq(ledger_open(&l, &o), 0);
		append_some(l, 0, 5);
		ledger_close(&l);
		if (!turn)
			read_file(path, (uint8_t *)before, sizeof(before) - 1);
	}
	had = strlen(before);
	read_file(path, (uint8_t *)after, sizeof(after) - 1);
	cr_assert(had && !strncmp(after, before, had), "%s", after);
	lasting = after + had;
	cr_assert_eq(strncmp(lasting, ORIGIN "+", sizeof(ORIGIN)), 0, "%s", after);
	cr_assert_eq(strchr(lasting, '\n'), lasting + strlen(lasting) - 1, "%s", after);
	cr_assert_eq(faults_of(dir, NULL, NULL), 0, "%s", said);
	lasting[strlen(lasting) - 1] = '\0';
	cr_assert_eq(faults_of(dir, lasting, NULL), 0, "%s", said);
}

TEST(verify, sound)
{
	struct verify_options o = { .dir = dir };
	struct verify_result r;
	char vkey[400] = "", path[128];
	struct note_key stranger;
	size_t len;

	make(NULL);
	cr_assert_eq(faults_of(dir, NULL, NULL), 0, "%s", said);
	cr_assert_eq(ledger_verify(&r, &o), 0);
	cr_assert_str_eq(r.origin, ORIGIN);
	cr_assert_eq(r.size, 333 + r.keys - 1, "330, three ends, and each change of the key: %llu",
	             (unsigned long long)r.size);
	cr_assert_geq(r.segments, 3);
	cr_assert_geq(r.checkpoints, 4);
	cr_assert_geq(r.keys, 2);
	cr_assert_eq(r.tiles, 3, "a complete one, the rest of its level, the one above");
	snprintf(path, sizeof(path), "%s/vkey", dir);
	len = read_file(path, (uint8_t *)vkey, sizeof(vkey) - 1);
	vkey[len - 1] = '\0';
	cr_assert_eq(faults_of(dir, vkey, NULL), 0, "the first key vouches for the second: %s", said);
	note_key_make(&stranger, ORIGIN, KEY_ED25519, (const uint8_t[KEY_LEN]){ 9 });
	note_key_text(&stranger, vkey);
	cr_assert_gt(faults_of(dir, vkey, NULL), 0);
	cr_assert_not_null(strstr(said, "unsigned: "), "%s", said);
	vkey[strlen(vkey) - 1] ^= 1;
	cr_assert_eq(
		ledger_verify(
			&r, &(struct verify_options){ .dir = dir, .vkeys = &(const char *){ vkey }, .vkey_count = 1 }),
		-EINVAL);
	remove_dir(dir);
}

TEST(verify, while_it_is_written)
{
	struct ledger *l;

	new_fast_dir(dir);
	l = open_log(dir, 20000, 1);
	for (int i = 0; i < 60; i++) {
		append_some(l, 0, 40);
		cr_assert_eq(faults_of(dir, NULL, NULL), 0, "round %d: %s", i, said);
		if (i % 10 == 0)
			usleep(200000);
	}
	ledger_close(&l);
	cr_assert_eq(faults_of(dir, NULL, NULL), 0, "%s", said);
	remove_dir(dir);
}

/* ---- mutations ---- */

static struct {
	char path[200];
	uint8_t bytes[65536];
	size_t len;
} files[64];
static size_t file_count;

static int take_file(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	const char *name = path + ftw->base;

	(void)st;
	/* The lock is empty; a checkpoint that got no further is judged only with the newest. An index proves nothing.
	 */
	if (kind != FTW_F || !strcmp(name, "lock") || strstr(name, ".idx"))
		return 0;
	cr_assert_lt(file_count, ARRAY_LEN(files));
	snprintf(files[file_count].path, sizeof(files[0].path), "%s", path);
	files[file_count].len = read_file(path, files[file_count].bytes, sizeof(files[0].bytes));
	cr_assert(files[file_count].len && files[file_count].len < sizeof(files[0].bytes), "%s", path);
	file_count++;
	return 0;
}

static void put_back(size_t i)
{
	write_file(files[i].path, files[i].bytes, files[i].len);
}

static void noticed(size_t i, const char *what, size_t at)
{
	static unsigned turn;

	cr_assert_gt(faults_of(dir, NULL, NULL), 0, "%s: %s at %zu", files[i].path, what, at);
	if (turn++ % 8 == 0) /* a process each */
		cr_assert_neq(stranger(dir), 0, "%s: %s at %zu: not noticed by the other verifier", files[i].path, what,
		              at);
}

/* Another one for each run of `SEED=$RANDOM verify_test`. */
static unsigned seed(void)
{
	const char *given = getenv("SEED");

	return given ? (unsigned)strtoul(given, NULL, 10) : 11;
}

/* A raw segment: what is behind its end is for recovery to judge. */
static bool is_active(const char *path)
{
	return !strcmp(path + strlen(path) - 4, ".seg");
}

static bool has(const char *name)
{
	for (size_t i = 0; i < file_count; i++)
		if (!strcmp(name, ".seg") ? is_active(files[i].path) : strstr(files[i].path, name) != NULL)
			return true;
	return false;
}

/* Each file as it was before, where it was another. How many there are. */
static size_t each_rolled_back(const char *before)
{
	static uint8_t old[65536];
	size_t n = 0;

	for (size_t i = 0; i < file_count; i++) {
		char path[300];
		size_t len;

		snprintf(path, sizeof(path), "%s%s", before, files[i].path + strlen(dir));
		if (access(path, F_OK))
			continue;
		len = read_file(path, old, sizeof(old));
		if (len == files[i].len && !memcmp(old, files[i].bytes, len))
			continue;
		write_file(files[i].path, old, len);
		cr_assert_gt(faults_of(dir, NULL, NULL), 0, "%s: rolled back", files[i].path);
		cr_assert_neq(stranger(dir), 0, "%s: rolled back: not noticed by the other verifier", files[i].path);
		put_back(i);
		n++;
	}
	return n;
}

TEST(verify, each_file_changed_is_noticed)
{
	static uint8_t copy[65536];
	uint64_t tried = 0;
	static const char *const kinds[] = { "/checkpoint",    "/checkpoints", "/vkey",          "/tile/0/000",
		                             "/tile/1/000.p/", ".seg.gz",      ".seg.gz.sha256", ".seg" };
	char before[] = "/tmp/sluice-verify-XXXXXX";

	cr_assert_not_null(mkdtemp(before));
	make(before);
	file_count = 0;
	cr_assert_eq(nftw(dir, take_file, 16, FTW_PHYS), 0);
	cr_assert_geq(file_count, 8);
	cr_assert_eq(stranger(dir), 0);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		cr_assert(has(kinds[i]), "%s", kinds[i]);
	cr_assert_geq(each_rolled_back(before), 2);
	srand(seed());
	for (size_t i = 0; i < file_count; i++) {
		size_t len = files[i].len, flips = len < 300 ? len : 300;

		for (size_t k = 0; k < flips; k++, tried++) {
			size_t at = flips == len ? k : (size_t)rand() % len;

			memcpy(copy, files[i].bytes, len);
			copy[at] ^= (uint8_t)(1 << (rand() % 8));
			write_file(files[i].path, copy, len);
			noticed(i, "a flipped bit", at);
		}
		for (size_t k = 0; k < 40; k++, tried++) {
			size_t at = k ? (size_t)rand() % len : 0;

			write_file(files[i].path, files[i].bytes, at);
			noticed(i, "cut", at);
		}
		if (!is_active(files[i].path)) {
			memcpy(copy, files[i].bytes, len);
			copy[len] = (uint8_t)rand();
			write_file(files[i].path, copy, len + 1);
			noticed(i, "longer", len);
			tried++;
		}
		cr_assert_eq(unlink(files[i].path), 0);
		noticed(i, "dropped", 0);
		tried++;
		for (size_t k = 0; k < file_count; k++) {
			if (k == i || (files[k].len == len && !memcmp(files[k].bytes, files[i].bytes, len)))
				continue;
			write_file(files[i].path, files[k].bytes, files[k].len); /* replaced */
			noticed(i, files[k].path, k);
			write_file(files[k].path, files[i].bytes, len); /* swapped */
			noticed(i, files[k].path, k);
			put_back(k);
			tried += 2;
		}
		put_back(i);
	}
	cr_assert_eq(faults_of(dir, NULL, NULL), 0, "%s", said);
	cr_assert_eq(stranger(dir), 0);
	printf("%llu changes in %zu files\n", (unsigned long long)tried, file_count);
	remove_dir(before);
	remove_dir(dir);
}

/* ---- an older state, another history ---- */

TEST(verify, rolled_back_and_forked)
{
	char old[80], kept[160], path[160], key[160], command[500];
	struct ledger *l;

	new_fast_dir(dir);
	snprintf(old, sizeof(old), "%s.old", dir);
	l = open_log(dir, 0, 0);
	append_some(l, 0, 20);
	ledger_close(&l);
	copy_dir(dir, old);
	l = open_log(dir, 0, 0);
	append_some(l, 20, 40);
	ledger_close(&l);
	snprintf(kept, sizeof(kept), "%s.kept", dir);
	snprintf(command, sizeof(command), "cp %s/checkpoint %s", dir, kept);
	cr_assert_eq(system(command), 0);

	cr_assert_eq(faults_of(dir, NULL, kept), 0, "%s", said);
	cr_assert_eq(faults_of(old, NULL, NULL), 0, "an older copy is sound by itself: %s", said);
	cr_assert_eq(faults_of(old, NULL, kept), 1);
	cr_assert_not_null(strstr(said, "rolled back: "), "%s", said);

	/* The same key signs another history. */
	snprintf(command, sizeof(command), "cp %s.key %s.key", dir, old);
	cr_assert_eq(system(command), 0);
	l = open_log(old, 0, 0);
	append_some(l, 100, 140);
	ledger_close(&l);
	cr_assert_eq(faults_of(old, NULL, NULL), 0, "%s", said);
	cr_assert_eq(faults_of(old, NULL, kept), 1);
	cr_assert_not_null(strstr(said, "forked: "), "%s", said);

	/* One file of the log as it was. */
	snprintf(command, sizeof(command), "cp %s/%020d.seg %s/checkpoint /tmp/", old, 0, old);
	snprintf(path, sizeof(path), "%s/%020d.seg", dir, 0);
	cr_assert_eq(truncate(path, 0), 0);
	cr_assert_gt(faults_of(dir, NULL, NULL), 0);
	cr_assert_not_null(strstr(said, "truncated: "), "%s", said);
	cr_assert_eq(unlink(path), 0);
	cr_assert_gt(faults_of(dir, NULL, NULL), 0);
	cr_assert_not_null(strstr(said, "missing: "), "%s", said);
	snprintf(key, sizeof(key), "%s.key", old);
	unlink(key);
	unlink(kept);
	remove_dir(old);
	remove_dir(dir);
}

/* Who changes a record and makes its CRC right is told apart from bad luck, by segment and seq. */
TEST(verify, a_changed_record_is_named)
{
	static uint8_t bytes[65536];
	char path[128];
	struct ledger *l;
	struct frame f;
	size_t len, at = 0;
	uint64_t seq = 0;

	new_fast_dir(dir);
	l = open_log(dir, 0, 0);
	append_some(l, 0, 20);
	ledger_close(&l);
	len = read_file(path_of(path, dir, 0), bytes, sizeof(bytes));
	for (; frame_read(slice_of(bytes + at, len - at), &f) == FRAME_ITEM; at += f.used)
		if (f.tag == TAG_RECORD && frame_seq(f.body, &seq) && seq == 7)
			break;
	cr_assert_eq(seq, 7);
	((uint8_t *)f.body.at)[f.body.len - CRC_LEN - 1] ^= 1;
	write_file(path, bytes, len);
	cr_assert_gt(faults_of(dir, NULL, NULL), 0);
	cr_assert_not_null(strstr(said, "bad crc: 00000000000000000000.seg: offset "), "%s", said);
	cr_assert_not_null(strstr(said, "seq 7: the CRC is wrong"), "%s", said);
	frame_seal((uint8_t *)f.body.at, f.body.len - CRC_LEN);
	write_file(path, bytes, len);
	cr_assert_gt(faults_of(dir, NULL, NULL), 0);
	cr_assert_not_null(strstr(said, "tampered: 00000000000000000000.seg: seq 7: not the record that was signed"),
	                   "%s", said);
	remove_dir(dir);
}

TEST(verify, unsigned_is_never_sound)
{
	char path[128];
	struct ledger *l;

	new_fast_dir(dir);
	l = open_log(dir, 0, 0);
	append_some(l, 0, 5);
	ledger_close(&l);
	snprintf(path, sizeof(path), "%s/checkpoint", dir);
	unlink(path);
	strcat(path, "s");
	unlink(path);
	cr_assert_gt(faults_of(dir, NULL, NULL), 0);
	cr_assert_not_null(strstr(said, "unsigned: "), "%s", said);
	/* Nor does the daemon sign over it in silence. */
	l = open_log(dir, 0, 0);
	ledger_close(&l);
	cr_assert_eq(faults_of(dir, NULL, NULL), 0, "%s", said);
	{
		static struct found found;

		read_all(dir, &found);
		cr_assert(found.recoveries == 1 && found.kind == RECOVERY__KIND__UNPROVEN);
	}
	remove_dir(dir);
}

TEST(verify, a_lost_key_is_told)
{
	char key[128];
	struct ledger *l;

	new_fast_dir(dir);
	l = open_log(dir, 0, 0);
	append_some(l, 0, 5);
	ledger_close(&l);
	snprintf(key, sizeof(key), "%s.key", dir);
	cr_assert_eq(unlink(key), 0);
	l = open_log(dir, 0, 0);
	append_some(l, 5, 9);
	ledger_close(&l);
	cr_assert_gt(faults_of(dir, NULL, NULL), 0);
	cr_assert_not_null(strstr(said, "the signing key was lost and replaced by"), "%s", said);
	remove_dir(dir);
}

TEST(verify, proofs)
{
	char old[160], command[400];
	char *text = NULL;
	struct ledger *l;

	new_fast_dir(dir);
	snprintf(old, sizeof(old), "%s.kept", dir);
	l = open_log(dir, 12000, 0);
	append_some(l, 0, 100);
	ledger_close(&l);
	snprintf(command, sizeof(command), "cp %s/checkpoint %s", dir, old);
	cr_assert_eq(system(command), 0);
	l = open_log(dir, 12000, 0);
	append_some(l, 100, 600);
	ledger_close(&l);
	for (uint64_t seq = 0; seq < 602; seq += 7) {
		cr_assert_eq(ledger_prove(dir, seq, &text), 0, "seq %llu", (unsigned long long)seq);
		cr_assert_eq(strncmp(text, "c2sp.org/tlog-proof@v1\nindex ", 29), 0);
		free(text);
	}
	cr_assert_eq(ledger_prove(dir, 602, &text), -ENOENT);
	cr_assert_eq(ledger_prove_consistent(dir, old, &text), 0);
	free(text);
	unlink(old);
	remove_dir(dir);
}

/* zcat, sha256sum and protoc read a sealed segment. */
TEST(verify, public_tools_read_it)
{
	char command[800];

	make(NULL);
	snprintf(command, sizeof(command),
	         "cd %s && sha256sum --quiet -c *.sha256 && for f in *.seg.gz; do zcat $f || exit 1; done > all && "
	         "gzip -t *.gz && protoc --proto_path=%s/proto --decode=Segment record.proto < all > text && "
	         "test $(grep -c '^record {' text) -ge 100 && grep -q '^trailer {' text && rm all text",
	         dir, getenv("PWD"));
	cr_assert_eq(system(command), 0);
	remove_dir(dir);
}
