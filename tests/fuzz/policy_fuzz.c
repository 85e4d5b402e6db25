/* SPDX-License-Identifier: Apache-2.0 */
/* A pack from memory, naming no files: never a crash, and either something to look for or a mistake that says where. */
#include <stdlib.h>

#include "base/own.h"
#include "policy/draft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	owned(policy_report_free) struct policy_report report = { 0 };
	owned(draft_free) struct draft d = { .report = &report };
	owned(scanner_free) struct scanner *s = NULL;
	enum scan_fault fault;
	size_t which;

	draft_pack(&d, "fuzz.yaml", slice_of(data, size));
	if (!report.errors) {
		bool something = d.keyword_count;

		for (size_t i = 0; i < d.rule_count; i++)
			something |= d.rules[i].rule.has_pattern;
		if (!d.rule_count || !something || scanner_compile(&s, d.keywords, d.keyword_count, &fault, &which))
			abort();
	} else if (!report.text || strncmp(report.text, "fuzz.yaml:", 10)) {
		abort();
	}
	return 0;
}
