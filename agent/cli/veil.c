/* SPDX-License-Identifier: Apache-2.0 */
/*
 * veil.c - what is taken out of a text before anybody learns from it: what the shipped packs of personal data and
 * secrets find, which are in this program so that no policy is without them, and what the operator's own rules redact.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli/cli.h"
#include "cli/embed.h"
#include "cli/lesson.h"

EMBED(embedded_personal, "packaging/policy.d/personal.yaml");
EMBED(embedded_secrets, "packaging/policy.d/secrets.yaml");

int veil_open_shipped(struct veil *v)
{
	owned(policy_report_free) struct policy_report report = {};
	const struct pack_text packs[] = {
		{ "personal.yaml", slice_of(embedded_personal, (size_t)(embedded_personal_end - embedded_personal)) },
		{ "secrets.yaml", slice_of(embedded_secrets, (size_t)(embedded_secrets_end - embedded_secrets)) },
	};
	int err = ruleset_load_texts(&v->shipped, packs, ARRAY_LEN(packs), &report);

	if (err) {
		fprintf(stderr, "%ssluicectl: the packs of personal data: %s\n", report.text ? report.text : "",
		        strerror(-err));
	}
	return err;
}

int veil_open(struct veil *v, const char *policy)
{
	int err = veil_open_shipped(v);

	return err ? err : cli_policy(&v->own, policy);
}

void veil_close(struct veil *v)
{
	ruleset_put(&v->shipped);
	ruleset_put(&v->own);
}

static int draw(const struct ruleset *rules, bool all, struct buf *text, uint64_t *replaced)
{
	struct buf out = BUF(text->cap);
	int err = ruleset_deidentify(rules, all, buf_slice(text), &out, replaced);

	if (text->data)
		explicit_bzero(text->data, text->room);
	buf_free(text);
	if (err)
		buf_free(&out);
	else
		*text = out;
	return err;
}

int veil_draw(const struct veil *v, struct buf *text, uint64_t *replaced)
{
	int err = draw(v->shipped, true, text, replaced);

	return err ? err : draw(v->own, false, text, replaced);
}
