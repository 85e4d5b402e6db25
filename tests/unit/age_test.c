/* SPDX-License-Identifier: Apache-2.0 */
/* age_test.c - what we encrypt, Debian's age decrypts, and nobody without the key or the header. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "record/age.h"
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
