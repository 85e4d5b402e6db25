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
