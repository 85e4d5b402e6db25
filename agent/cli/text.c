/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - words of a policy on a terminal and in JSON. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/json_text.h"
#include "base/own.h"
#include "cli/policy.h"

void cli_text(FILE *to, struct slice text, size_t most)
{
	size_t n = text.len;

	if (most && n > most)
		for (n = most; n && (text.at[n] & 0xc0) == 0x80;)
			n--;
	for (size_t i = 0; i < n; i++)
		fputc(text.at[i] < 0x20 || text.at[i] == 0x7f ? '?' : text.at[i], to);
	if (n < text.len)
		fputs("...", to);
}

void cli_json_text(FILE *to, struct slice text)
{
	struct buf b = BUF(SIZE_MAX);

	if (json_text(&b, text))
		fputs("null", to); /* no memory */
	else
		fwrite(buf_slice(&b).at, 1, buf_len(&b), to);
	buf_free(&b);
}

void cli_hex(FILE *to, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fprintf(to, "%02x", bytes[i]);
}

int cli_pack_key(struct pack_key **out, const char *path)
{
	int err = path ? pack_key_load(out, path) : 0;

	if (err)
		fprintf(stderr, "sluicectl: %s: %s\n", path,
		        err == -EINVAL ? "not the public key of Ed25519 in PEM" : strerror(-err));
	return err;
}

int cli_policy_words(struct ruleset **out, const char *dir, const char *key, struct config **config, double *taken)
{
	owned(pack_key_free) struct pack_key *signer = NULL;
	owned(policy_report_free) struct policy_report report = {};
	owned(config_free) struct config *c = NULL;
	owned(own_free) char *mistakes = NULL;
	struct policy_terms terms = { .words = true };
	struct timespec begin, end;
	int err = 0;

	if (!dir || cli_globals.config)
		err = config_load(&c, cli_globals.config ? cli_globals.config : CONFIG_FILE, &mistakes);
	if (err) {
		fputs(mistakes ? mistakes : "out of memory\n", stderr);
		if (!dir)
			fputs("sluicectl: -p DIR names a policy without a configuration\n", stderr);
		return -ENOENT;
	}
	err = cli_pack_key(&signer, key || dir ? key : c->policy_key);
	if (err)
		return err;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	terms.evidence = c ? (enum evidence)c->evidence : EVIDENCE_NONE;
	terms.sealed = !c || c->recipient_count; /* without a configuration it is nobody's to say */
	terms.key = signer;
	err = ruleset_load_on(out, dir ? dir : c->policy, &terms, &report);
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (report.text)
		fwrite(report.text, 1, report.len, stderr);
	if (taken)
		*taken = (double)(end.tv_sec - begin.tv_sec) * 1e3 + (double)(end.tv_nsec - begin.tv_nsec) / 1e6;
	if (!err && config)
		*config = TAKE(c);
	return err;
}
