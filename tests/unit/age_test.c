/* SPDX-License-Identifier: Apache-2.0 */
/* age_test.c - what we encrypt, Debian's age decrypts, and nobody without the key or the header. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "record/age.h"
#include "record/record.h"
#include "tests/lib/test.h"

static char dir[64];

static void in(char to[128], const char *name)
{
	snprintf(to, 128, "%s/%s", dir, name);
}

static void put(const char *name, struct slice a, struct slice b)
{
	char path[128];
	int fd;

	in(path, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	cr_assert(fd >= 0 && write(fd, a.at, a.len) == (ssize_t)a.len && write(fd, b.at, b.len) == (ssize_t)b.len);
	close(fd);
}

static int sh(const char *format, const char *a, const char *b)
{
	char command[512];

	snprintf(command, sizeof(command), format, dir, a, dir, b);
	return system(command);
}

/* A key of age's own making. */
static struct age_recipient new_key(const char *name)
{
	struct age_recipient r;
	char path[128], line[128] = "";
	FILE *f;

	cr_assert(!sh("age-keygen -o %s/%s 2>%s/%s", name, "said"));
	in(path, "said");
	f = fopen(path, "re");
	cr_assert(f && fgets(line, sizeof(line), f) && !strncmp(line, "Public key: ", 12));
	fclose(f);
	line[strcspn(line, "\n")] = '\0';
	cr_assert_eq(age_recipient_read(&r, line + 12), 0);
	/* Every digit counts. */
	for (size_t i = 12; line[i]; i++) {
		char was = line[i];
		struct age_recipient other;

		line[i] = was == 'q' ? 'p' : 'q';
		cr_assert_eq(age_recipient_read(&other, line + 12), -EINVAL, "%zu", i);
		line[i] = was;
	}
	return r;
}

static struct age_identity identity(const char *name)
{
	struct age_identity id;
	char path[128], line[128] = "";
	FILE *f;

	in(path, name);
	f = fopen(path, "re");
	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f) && *line == '#')
		;
	fclose(f);
	line[strcspn(line, "\n")] = '\0';
	cr_assert_eq(age_identity_read(&id, line), 0);
	line[20] = line[20] == 'Q' ? 'P' : 'Q';
	cr_assert_eq(age_identity_read(&(struct age_identity){ 0 }, line), -EINVAL);
	return id;
}

static int read_file(const struct age_identity *id, struct slice file, struct slice wanted)
{
	uint8_t *text = NULL;
	size_t len = 0;
	int err = age_open(id, 1, file.at, file.len, &text, &len);

	if (!err)
		cr_assert(len == wanted.len && (!len || !memcmp(text, wanted.at, len)));
	free(text);
	return err;
}

/* What we wrote, we read, and not a byte less or otherwise. */
static void read_again(const char *name, struct slice header, struct slice payload, struct slice plain)
{
	struct age_identity id = identity(name), other = identity("c");
	size_t len = header.len + payload.len;
	owned(own_free) uint8_t *file = malloc(len);

	memcpy(file, header.at, header.len);
	memcpy(file + header.len, payload.at, payload.len);
	cr_assert_eq(read_file(&id, slice_of(file, len), plain), 0);
	cr_assert_eq(read_file(&other, slice_of(file, len), plain), -EACCES);
	for (size_t at = 0; at < len; at += at < 1000 || len - at < 200 ? 1 : 9973) {
		cr_assert_lt(read_file(&id, slice_of(file, at), plain), 0, "cut at %zu", at);
		file[at] ^= 1;
		cr_assert_lt(read_file(&id, slice_of(file, len), plain), 0, "changed at %zu", at);
		file[at] ^= 1;
	}
}

TEST(age, debian_reads_it)
{
	static const size_t lengths[] = { 0, 1, 30, 65535, 65536, 65537, 131072, 200000 };
	static uint8_t text[200000];
	struct age_recipient to[2];

	strcpy(dir, "/tmp/sluice-age-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	cr_assert(!chdir(dir));
	to[0] = new_key("a");
	to[1] = new_key("b");
	(void)new_key("c");
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 31 + (i >> 8));
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		owned(own_free) uint8_t *header = NULL;
		owned(own_free) uint8_t *payload = NULL;
		struct slice plain = { text, lengths[i] };
		size_t header_len, payload_len;

		cr_assert_eq(age_seal(to, 2, plain, &header, &header_len, &payload, &payload_len), 0);
		put("in.age", slice_of(header, header_len), slice_of(payload, payload_len));
		cr_assert(!system("age -d -i a in.age >first && age -d -i b in.age >out.txt && "
		                  "cmp -s first out.txt"));
		put("plain", plain, (struct slice){ text, 0 });
		cr_assert(!system("cmp -s plain out.txt"), "%zu", lengths[i]);
		cr_assert(system("age -d -i c in.age >/dev/null 2>&1"), "somebody else's key");
		cr_assert(plain.len < 16 || !memmem(payload, payload_len, text, 16), "the text is in the clear");
		read_again("a", slice_of(header, header_len), slice_of(payload, payload_len), plain);
		header[header_len - 3] ^= 1;
		put("in.age", slice_of(header, header_len), slice_of(payload, payload_len));
		cr_assert(system("age -d -i a in.age >/dev/null 2>&1"), "a changed header");
	}
	cr_assert(!system("rm -f a b c said in.age out.txt first plain"));
	rmdir(dir);
}

TEST(age, not_a_recipient)
{
	static const char *const wrong[] = {
		"",
		"age1",
		"AGE1",
		"age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq",
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP//////////////////////////////////////////",
	};
	struct age_recipient r;
	uint8_t *header, *payload;
	size_t a, b;

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		cr_assert_eq(age_recipient_read(&r, wrong[i]), -EINVAL, "%zu", i);
	cr_assert_eq(age_seal(&r, 0, (struct slice){ (const uint8_t *)"x", 1 }, &header, &a, &payload, &b), -EINVAL);
	memset(&r, 0, sizeof(r)); /* a point of small order */
	cr_assert_eq(age_seal(&r, 1, (struct slice){ (const uint8_t *)"x", 1 }, &header, &a, &payload, &b), -EINVAL);
}

/* The other way round, and what is hostile about it. */
TEST(age, we_read_what_debian_wrote)
{
	static const char *const bad[] = {
		"",
		"age-encryption.org/v1\n",
		"age-encryption.org/v2\n-> X25519 a\nb\n--- c\n",
		"age-encryption.org/v1\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
		"age-encryption.org/v1\n-> X25519 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
		"age-encryption.org/v1\n-> "
		"x\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
	};
	static const size_t lengths[] = { 0, 30, 65536, 65537, 140000 };
	struct age_identity id;

	strcpy(dir, "/tmp/sluice-age-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	cr_assert(!chdir(dir));
	(void)new_key("a");
	(void)new_key("b");
	id = identity("a");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert_lt(read_file(&id, slice_str(bad[i]), (struct slice){ 0 }), 0, "%zu", i);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		char command[256];
		static uint8_t file[200000], plain[200000];
		size_t len, plain_len;
		FILE *f;

		snprintf(command, sizeof(command),
		         "head -c %zu /dev/urandom >plain && age -e -i b -i a -o in.age plain", lengths[i]);
		cr_assert(!system(command));
		f = fopen("in.age", "re");
		len = f ? fread(file, 1, sizeof(file), f) : 0;
		fclose(f);
		f = fopen("plain", "re");
		plain_len = f ? fread(plain, 1, sizeof(plain), f) : 0;
		fclose(f);
		cr_assert_eq(read_file(&id, slice_of(file, len), slice_of(plain, plain_len)), 0, "%zu", lengths[i]);
		cr_assert_lt(read_file(&id, slice_of(file, len - 1), slice_of(plain, plain_len)), 0);
		file[len] = 0;
		cr_assert_lt(read_file(&id, slice_of(file, len + 1), slice_of(plain, plain_len)), 0, "joined on");
	}
	cr_assert(!system("rm -f a b said in.age plain"));
	rmdir(dir);
}
