/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.h - what the process that gave a log away and the one that writes it say to each other, over a SOCK_SEQPACKET
 * pair: records one way, a relay_head and the record's own fields; a relay_ack for each the other way.
 */
#pragma once

#include <stdint.h>

/* Of both messages; a process that meets another says so and takes nothing. */
#define RELAY_VERSION 1

struct relay_head {
	uint32_t version, zero;
	uint64_t no; /* what it is confirmed by */
};

struct relay_ack {
	uint64_t no, seq; /* seq: in the log, if err is 0 */
	int32_t err;      /* 0: durable; or -errno, as a ledger_note is told */
	uint32_t zero;
};
