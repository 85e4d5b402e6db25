/* SPDX-License-Identifier: Apache-2.0 */
/* readme_test.c - the README's exception table is the source's. */
#include "tests/lib/test.h"

#include <stdio.h>

#include "enforce/enforce.h"

TEST(readme, exception_table)
{
	FILE *f = fopen("README.md", "re");
	char line[512], want[512];
	int e = -1;

	cr_assert_not_null(f, "run from the top of the tree");
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "<!-- exceptions:", 16))
			e = EXCEPTION_NONE + 1;
		else if (e > 0 && line[0] == '|' && strncmp(line, "| exception |", 13) && strncmp(line, "|---", 4)) {
			cr_assert_lt(e, EXCEPTION_COUNT, "a row too many: %s", line);
			snprintf(want, sizeof(want), "| `%s` | %u | %s |\n", exception_table[e].name,
			         exception_table[e].status, exception_table[e].text);
			cr_expect_str_eq(line, want);
			e++;
		} else if (e > EXCEPTION_NONE + 1) {
			break;
		}
	}
	fclose(f);
	cr_assert_eq(e, EXCEPTION_COUNT, "rows are missing");
}
