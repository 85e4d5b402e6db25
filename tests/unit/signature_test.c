/* SPDX-License-Identifier: Apache-2.0 */
/* signature_test.c - packs signed by OpenSSL's command, and what was changed since. */
#include "tests/lib/test.h"

#include <errno.h>

#include "base/own.h"
#include "policy/policy.h"

/* RFC 8032, section 7.1, test 2, as SubjectPublicKeyInfo. */
#define KEY                                                                                                            \
	"-----BEGIN PUBLIC KEY-----\n"                                                                                 \
	"MCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n"                                               \
	"-----END PUBLIC KEY-----\n"

static const uint8_t message[] = { 0x72 };
static const uint8_t signature[PACK_SIGNATURE] = {
	0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8, 0x72, 0x0e, 0x82, 0x0b, 0x5f, 0x64, 0x25, 0x40,
	0xa2, 0xb2, 0x7b, 0x54, 0x16, 0x50, 0x3f, 0x8f, 0xb3, 0x76, 0x22, 0x23, 0xeb, 0xdb, 0x69, 0xda,
	0x08, 0x5a, 0xc1, 0xe4, 0x3e, 0x15, 0x99, 0x6e, 0x45, 0x8f, 0x36, 0x13, 0xd0, 0xf1, 0x1d, 0x8c,
	0x38, 0x7b, 0x2e, 0xae, 0xb4, 0x30, 0x2a, 0xee, 0xb0, 0x0d, 0x29, 0x16, 0x12, 0xbb, 0x0c, 0x00,
};

TEST(signature, vector)
{
	owned(pack_key_free) struct pack_key *k = NULL;
	struct slice pack = slice_of(message, sizeof(message)), sig = slice_of(signature, sizeof(signature));

	cr_assert_eq(pack_key_parse(&k, SLICE(KEY)), 0);
	cr_expect_eq(pack_verify(k, pack, sig), 0);
	cr_expect_eq(pack_verify(k, SLICE(""), sig), -EBADMSG);
	cr_expect_eq(pack_verify(k, SLICE("s"), sig), -EBADMSG);
	cr_expect_eq(pack_verify(k, pack, slice_of(signature, 63)), -EBADMSG);
	cr_expect_eq(pack_verify(k, pack, SLICE("")), -EBADMSG);
	for (size_t bit = 0; bit < 8 * sizeof(signature); bit++) {
		uint8_t changed[PACK_SIGNATURE];

		memcpy(changed, signature, sizeof(changed));
		changed[bit / 8] ^= (uint8_t)(1u << bit % 8);
		cr_expect_eq(pack_verify(k, pack, slice_of(changed, sizeof(changed))), -EBADMSG, "bit %zu", bit);
	}
}

TEST(signature, keys_that_are_none)
{
	static const char rsa[] = "-----BEGIN PUBLIC KEY-----\n"
				  "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMKBCTNIcKUSDii11ySs3526iDZ8A\n"
				  "iTo7Tu6KPAqv7D7gS2XpJFbZiItSs3m9+9Ue6GnvHw/GW2ZZaVtszggXIw==\n"
				  "-----END PUBLIC KEY-----\n";
	struct pack_key *k = NULL;

	cr_expect_eq(pack_key_parse(&k, SLICE("")), -EINVAL);
	cr_expect_eq(pack_key_parse(&k, SLICE("nothing")), -EINVAL);
	cr_expect_eq(pack_key_parse(&k, SLICE(rsa)), -EINVAL);
	cr_expect_eq(pack_key_load(&k, "/nonexistent"), -ENOENT);
	cr_expect_null(k);
}

TEST(signature, openssl_signs)
{
	char dir[] = "/tmp/sluice-sign-XXXXXX", command[1024], path[64];
	owned(pack_key_free) struct pack_key *k = NULL;
	FILE *file;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(command, sizeof(command),
	         "cd %s && printf 'pack: p\\n' > a.yaml && openssl genpkey -algorithm ed25519 -out key.pem && "
	         "openssl pkey -in key.pem -pubout -out pub.pem && "
	         "openssl pkeyutl -sign -rawin -in a.yaml -inkey key.pem -out a.yaml.sig && cp a.yaml b.yaml",
	         dir);
	cr_assert_eq(system(command), 0);
	snprintf(path, sizeof(path), "%s/pub.pem", dir);
	cr_assert_eq(pack_key_load(&k, path), 0);
	snprintf(path, sizeof(path), "%s/b.yaml", dir);
	cr_expect_eq(pack_verify_file(k, path), -ENOENT);
	snprintf(path, sizeof(path), "%s/a.yaml", dir);
	cr_expect_eq(pack_verify_file(k, path), 0);
	file = fopen(path, "ae");
	fputs("x", file);
	fclose(file);
	cr_expect_eq(pack_verify_file(k, path), -EBADMSG);
	snprintf(path, sizeof(path), "%s/a.yaml.sig", dir);
	file = fopen(path, "ae");
	fputs("x", file);
	fclose(file);
	snprintf(path, sizeof(path), "%s/a.yaml", dir);
	cr_expect_eq(pack_verify_file(k, path), -EBADMSG);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	cr_expect_eq(system(command), 0);
}

/* A folder of a pack and its list, and OpenSSL's key pair. */
static void make_policy(char dir[static 64])
{
	char command[1024];

	strcpy(dir, "/tmp/sluice-sign-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(command, sizeof(command),
	         "cd %s && openssl genpkey -algorithm ed25519 -out key.pem && openssl pkey -in key.pem -pubout -out "
	         "pub.pem "
	         "&& printf 'weasel\\nstoat\\n' > words.txt && printf 'pack: p\\nrules:\\n  - {id: a, risk: A.1.d, "
	         "action: block, keywords_file: words.txt}\\n' > a.yaml",
	         dir);
	cr_assert_eq(system(command), 0);
}

static void in_folder(const char *dir, const char *what)
{
	char command[1024];

	snprintf(command, sizeof(command), "cd %s && %s", dir, what);
	cr_assert_eq(system(command), 0, "%s", what);
}

#define SIGN(file) "openssl pkeyutl -sign -rawin -in " file " -inkey key.pem -out " file ".sig"

/* What loading says; "": nothing, and there is a ruleset. */
static void expect_load(const char *dir, bool with_key, const char *expected)
{
	owned(policy_report_free) struct policy_report report = {};
	owned(pack_key_free) struct pack_key *k = NULL;
	owned(ruleset_put) struct ruleset *r = NULL;
	char path[128];
	int error;

	snprintf(path, sizeof(path), "%s/pub.pem", dir);
	cr_assert_eq(pack_key_load(&k, path), 0);
	error = ruleset_load_signed(&r, dir, with_key ? k : NULL, &report);
	cr_expect_str_eq(report.text ? report.text : "", expected, "said:\n%s", report.text ? report.text : "");
	cr_expect_eq(error, *expected ? -EINVAL : 0);
	cr_expect_eq(r != NULL, !*expected);
}

#define UNSIGNED "not signed: the configuration has a 'policy_key', and there is no signature beside it\n"
#define FORGED   "the signature beside it is not that of the 'policy_key' over what the file holds\n"

TEST(signature, policies)
{
	char dir[64];

	make_policy(dir);
	expect_load(dir, false, "");
	expect_load(dir, true, "a.yaml:1:1: a.yaml.sig: " UNSIGNED);
	in_folder(dir, SIGN("a.yaml"));
	expect_load(dir, true, "a.yaml:3:56: words.txt.sig: " UNSIGNED);
	in_folder(dir, SIGN("words.txt"));
	expect_load(dir, true, "");
	in_folder(dir, "echo ermine >> words.txt");
	expect_load(dir, true, "a.yaml:3:56: words.txt.sig: " FORGED);
	expect_load(dir, false, "");
	in_folder(dir, "cp a.yaml.sig words.txt.sig");
	expect_load(dir, true, "a.yaml:3:56: words.txt.sig: " FORGED);
	in_folder(dir, SIGN("words.txt") " && echo >> a.yaml");
	expect_load(dir, true, "a.yaml:1:1: a.yaml.sig: " FORGED);
	in_folder(dir, SIGN("a.yaml") " && head -c 63 a.yaml.sig > b && mv b a.yaml.sig");
	expect_load(dir, true, "a.yaml:1:1: a.yaml.sig: " FORGED);
	in_folder(dir, SIGN("a.yaml") " && echo >> a.yaml.sig");
	expect_load(dir, true, "a.yaml:1:1: a.yaml.sig: " FORGED);
	in_folder(dir, "rm a.yaml.sig && mkfifo a.yaml.sig");
	expect_load(dir, true, "a.yaml:1:1: a.yaml.sig: not a regular file\n");
	in_folder(dir, "rm -r $PWD");
}
