/* SPDX-License-Identifier: Apache-2.0 */
/* craft.h - a segment with times of the test's choice, and the records that the tests of formats print. */
#pragma once

#include "record/segment.h"
#include "tests/lib/ledger.h"

#define CRAFT_TIME 1795255200123456789u /* 2026-11-21T10:00:00.123456789Z */

/* Writes the records as one segment, seq from first_seq, each a second after the one before. */
static inline void craft(const char *dir, uint64_t first_seq, Record *const *records, size_t n)
{
	int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct segment_head head = { .origin = "test", .first_seq = first_seq, .tree_size = first_seq, .proven = true };
	struct segment s;

	cr_assert_eq(segment_create(&s, &file_system, at, &head, 0), 0);
	for (size_t i = 0; i < n; i++) {
		struct stamp stamp = {
			first_seq + i, CRAFT_TIME + (first_seq + i) * 1000000000u, 7000 + i, { 0xB0, 0x07 }
		};
		uint8_t body[4096], frame[5000];
		size_t len = record__get_packed_size(records[i]);

		cr_assert_leq(len, sizeof(body));
		record__pack(records[i], body);
		len = frame_record(frame, &stamp, slice_of(body, len));
		cr_assert_eq(segment_write(&s, &file_system, slice_of(frame, len)), 0);
	}
	segment_finish(&s, &file_system);
	close(at);
}

static uint8_t craft_id[4] = { 0xDE, 0xAD, 0xBE, 0xEF };

/* A blocked exchange. Borrowed, static. */
static inline Record *craft_exchange(void)
{
	static Service service;
	static Coverage coverage;
	static Exchange x;
	static Record r;

	record__init(&r);
	exchange__init(&x);
	service__init(&service);
	coverage__init(&coverage);
	service.name = "vllm";
	coverage.in = 700;
	coverage.scanned = 500;
	coverage.structural = 190;
	coverage.withheld = 10;
	coverage.released = 650;
	x.exchange_id = (ProtobufCBinaryData){ sizeof(craft_id), craft_id };
	x.service = &service;
	x.coverage = &coverage;
	x.verdict = VERDICT__BLOCKED;
	x.action = ACTION__BLOCK;
	x.method = "POST";
	x.path = "/v1/chat/completions";
	x.status = 200;
	x.finish = "cut";
	r.body_case = RECORD__BODY_EXCHANGE;
	r.exchange = &x;
	return &r;
}

/* Its finding. Borrowed, static. */
static inline Record *craft_finding(void)
{
	static RiskHit hit, *hits[1] = { &hit };
	static Measure stop;
	static Finding f;
	static Record r;

	record__init(&r);
	finding__init(&f);
	risk_hit__init(&hit);
	measure__init(&stop);
	hit.rule_id = "weapons.nerve-agent";
	hit.risk_id = "A.1.d";
	hit.score = 0.5;
	stop.method = "fin";
	stop.result = MEASURE__RESULT__CONFIRMED;
	stop.at_unix_nano = CRAFT_TIME;
	f.exchange_id = (ProtobufCBinaryData){ sizeof(craft_id), craft_id };
	f.n_risks = 1;
	f.risks = hits;
	f.verdict = VERDICT__BLOCKED;
	f.action = ACTION__BLOCK;
	f.channel = CHANNEL__CONTENT;
	f.offset = 12;
	f.length = 6;
	f.stop_generation = &stop;
	f.automated_detection = true;
	r.body_case = RECORD__BODY_FINDING;
	r.finding = &f;
	return &r;
}

/* A start of the daemon, with a reason that wants to be a control sequence. Borrowed, static. */
static inline Record *craft_lifecycle(void)
{
	static Lifecycle life;
	static Record r;

	record__init(&r);
	lifecycle__init(&life);
	life.kind = LIFECYCLE__KIND__START;
	life.version = "0.1.0";
	life.reason = "a \x1b[31m\"b\" \xff\xe4\xbd\xa0";
	r.body_case = RECORD__BODY_LIFECYCLE;
	r.lifecycle = &life;
	return &r;
}
