/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logs.c - which record goes into which log.
 *
 * The ledger says what became of each answer and is pruned after half a year; the control log says what people and the
 * daemon did, and is kept for years. What one needs to understand either stands in both.
 */
#include "record/record.h"

#include "base/own.h"

#define BOTH (LOG_LEDGER | LOG_CONTROL)

unsigned record_logs(Record__BodyCase kind)
{
	static const unsigned char where[] = {
		[RECORD__BODY_FINDING] = LOG_LEDGER,
		[RECORD__BODY_WINDOW] = LOG_CONTROL,
		[RECORD__BODY_LOSS] = LOG_LEDGER,
		[RECORD__BODY_HEARTBEAT] = BOTH,
		[RECORD__BODY_KEY] = BOTH,
		[RECORD__BODY_ACCESS] = LOG_CONTROL,
		[RECORD__BODY_POLICY] = BOTH,
		[RECORD__BODY_HOLD] = LOG_CONTROL,
		[RECORD__BODY_ERASURE] = LOG_CONTROL,
		[RECORD__BODY_PRUNE] = BOTH,
		[RECORD__BODY_RECOVERY] = BOTH,
		[RECORD__BODY_CLOCK] = BOTH,
		[RECORD__BODY_LIFECYCLE] = BOTH,
		[RECORD__BODY_EXCHANGE] = LOG_LEDGER,
		[RECORD__BODY_BYPASS] = BOTH,
		[RECORD__BODY_OPINION] = LOG_LEDGER,
		[RECORD__BODY_REVIEW] = LOG_CONTROL,
	};

	return (size_t)kind < ARRAY_LEN(where) ? where[kind] : 0;
}
