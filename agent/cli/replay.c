/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.c - sluicectl replay: raw HTTP bytes through the daemon's own decode, scan and enforce path, without a
 * network.
 *
 * Several requests may stand in one file, and their answers in the other, as on a connection.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli/cli.h"
#include "exchange/exchange.h"

#define INPUT_MAX (64u << 20)
#define CUT_NONE  SIZE_MAX
#define CUT_BYTES (SIZE_MAX - 1) /* a byte at a time */

enum { EXIT_CLEARED = 0, EXIT_ERROR = 2, EXIT_REDACTED = 10, EXIT_BLOCKED = 11, EXIT_EXCEPTION = 12 };

struct input {
	uint8_t *data;
	size_t len;
};

/* What one run gave; of several exchanges the heaviest verdict. */
struct outcome {
	struct buf out;
	enum verdict verdict;
	enum exception exception;
	const char *detail;
	char rule[128], risk[32];
	uint32_t max_hold;
	struct coverage coverage;
	unsigned exchanges;
	bool reset;
};

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl replay [-p DIR] --request FILE --response FILE [--cut N|each|bytes] [--json]\n"
	      "\n"
	      "Writes what a client would have got to standard output. Exit status: 0 cleared, 10 redacted, 11 "
	      "blocked,\n"
	      "12 exception, 2 error.\n"
	      "\n"
	      "  -p, --policy DIR     folder of packs (as the configuration says)\n"
	      "      --request FILE   what the client sent\n"
	      "      --response FILE  what the server sent\n"
	      "      --cut N          the response comes in two pieces, the first N bytes long\n"
	      "      --cut each       once for each N, and a byte at a time; any difference is an error\n"
	      "      --cut bytes      a byte at a time\n"
	      "      --json           verdict, rule, coverage as one line on standard error\n",
	      to);
	return status;
}

static void sum_up(struct outcome *o, struct exchange *x)
{
	const struct exchange_report *r = exchange_report(x);

	o->exchanges++;
	if (r->verdict > o->verdict) {
		o->verdict = r->verdict;
		o->exception = r->verdict == VERDICT_EXCEPTION ? r->exception : EXCEPTION_NONE;
		o->detail = r->detail;
	}
	for (size_t i = 0; i < r->finding_count; i++) {
		const struct rule *rule = r->findings[i].rule;
		enum action action = r->findings[i].action;

		/* The first rule that decided. */
		if (o->rule[0] && !(action == ACTION_BLOCK && r->verdict == VERDICT_BLOCKED) &&
		    !(action == ACTION_REDACT && r->verdict == VERDICT_REDACTED))
			continue;
		snprintf(o->rule, sizeof(o->rule), "%s", rule->id);
		snprintf(o->risk, sizeof(o->risk), "%s", rule->risks[0]);
		if (action == ACTION_BLOCK || (action == ACTION_REDACT && r->verdict == VERDICT_REDACTED))
			break;
	}
	if (r->max_hold > o->max_hold)
		o->max_hold = r->max_hold;
	o->coverage.in += r->coverage.in;
	o->coverage.scanned += r->coverage.scanned;
	o->coverage.structural += r->coverage.structural;
	o->coverage.withheld += r->coverage.withheld;
	o->coverage.released += r->coverage.released;
}

/* Moves what is cleared from the lane to the output. */
static int take_cleared(struct lane *l, struct buf *out)
{
	int err = buf_add(out, lane_sendable(l));

	lane_sent(l, l->cleared);
	return err;
}

/* Brings the request until it is complete. Its bytes go nowhere. */
static enum order ask(struct exchange *x, struct lane *up, const struct input *request, size_t *at)
{
	for (;;) {
		size_t n = request->len - *at < 65536 ? request->len - *at : 65536;
		enum order order;

		if (buf_add(&up->buf, slice_of(request->data + *at, n)))
			return exchange_except(x, EXCEPTION_MEMORY, NULL);
		*at += n;
		order = exchange_request(x, up, *at == request->len);
		lane_sent(up, up->cleared);
		if (order != ORDER_PUMP || *at == request->len)
			return order;
	}
}

/* Brings the answer in the pieces that `cut` asks for. */
static enum order answer(struct exchange *x, struct lane *down, const struct input *response, size_t *at, size_t cut,
                         struct buf *out)
{
	enum order order = ORDER_PUMP;
	bool first = true;

	while (order == ORDER_PUMP && (*at < response->len || first)) {
		size_t n = response->len - *at;

		if (cut == CUT_BYTES && n)
			n = 1;
		else if (*at < cut && cut < response->len)
			n = cut - *at;
		if (n > 65536)
			n = 65536;
		if (buf_add(&down->buf, slice_of(response->data + *at, n)))
			return exchange_except(x, EXCEPTION_MEMORY, NULL);
		*at += n;
		first = false;
		order = exchange_answer(x, down, *at == response->len);
		if (take_cleared(down, out))
			return exchange_except(x, EXCEPTION_MEMORY, NULL);
	}
	return order;
}

/* 0, or -errno. */
static int run(struct ruleset *rules, const struct input *request, const struct input *response, size_t cut,
               struct outcome *o)
{
	struct lane up = LANE(HTTP1_HEAD_MAX + (1u << 20));
	struct lane down = LANE(EXCHANGE_BODY_MAX + HTTP1_HEAD_MAX + (1u << 20));
	size_t asked = 0, answered = 0;
	bool on = true;
	int err = 0;

	*o = (struct outcome){ .out = BUF(SIZE_MAX / 2) };
	while (on && !err) {
		struct exchange *x = NULL;
		enum order order;

		err = exchange_new(&x, rules, NULL);
		if (err)
			break;
		order = ask(x, &up, request, &asked);
		if (order != ORDER_CUT)
			order = answer(x, &down, response, &answered, cut, &o->out);
		/* What is behind a complete answer without another request is for exchange_answer() to refuse. */
		on = order == ORDER_DONE && exchange_asked(x) && (asked < request->len || buf_len(&up.buf));
		if (order == ORDER_DONE && !on && (answered < response->len || buf_len(&down.buf) > down.parsed)) {
			buf_add(&down.buf, slice_of(response->data + answered, answered < response->len ? 1 : 0));
			answered += answered < response->len;
			order = exchange_answer(x, &down, answered == response->len);
		}
		if (order == ORDER_CUT) {
			enum conclusion how;

			exchange_discard(x, response->len - answered);
			answered = response->len;
			how = exchange_conclude(x, &down, false);
			err = take_cleared(&down, &o->out);
			o->reset |= how == CONCLUDE_RESET;
			on = false;
		}
		sum_up(o, x);
		exchange_free(&x);
	}
	lane_free(&up);
	lane_free(&down);
	return err;
}

static bool same(const struct outcome *a, const struct outcome *b)
{
	return a->verdict == b->verdict && a->exception == b->exception && !strcmp(a->rule, b->rule) &&
	       a->max_hold == b->max_hold && a->reset == b->reset && a->exchanges == b->exchanges &&
	       slice_is(buf_slice(&a->out), buf_slice(&b->out)) &&
	       !memcmp(&a->coverage, &b->coverage, sizeof(a->coverage));
}

static void print_json(const struct outcome *o)
{
	fprintf(stderr, "{\"verdict\":\"%s\",\"rule\":", verdict_names[o->verdict]);
	if (o->rule[0])
		cli_json_string(stderr, o->rule);
	else
		fputs("null", stderr);
	fputs(",\"risk\":", stderr);
	if (o->risk[0])
		cli_json_string(stderr, o->risk);
	else
		fputs("null", stderr);
	fprintf(stderr,
	        ",\"released\":%" PRIu64 ",\"withheld\":%" PRIu64 ",\"held_max_chars\":%" PRIu32 ",\"exception\":",
	        o->coverage.released, o->coverage.withheld, o->max_hold);
	if (o->exception != EXCEPTION_NONE)
		cli_json_string(stderr, exception_table[o->exception].name);
	else
		fputs("null", stderr);
	if (o->detail) {
		fputs(",\"detail\":", stderr);
		cli_json_string(stderr, o->detail);
	}
	fprintf(stderr,
	        ",\"exchanges\":%u,\"coverage\":{\"in\":%" PRIu64 ",\"scanned\":%" PRIu64 ",\"structural\":%" PRIu64
	        ",\"withheld\":%" PRIu64 "}}\n",
	        o->exchanges, o->coverage.in, o->coverage.scanned, o->coverage.structural, o->coverage.withheld);
}

static int exit_status(const struct outcome *o)
{
	switch (o->verdict) {
	case VERDICT_REDACTED:
		return EXIT_REDACTED;
	case VERDICT_BLOCKED:
		return EXIT_BLOCKED;
	case VERDICT_EXCEPTION:
		return EXIT_EXCEPTION;
	default:
		return EXIT_CLEARED;
	}
}

/* Every cut gives what the whole gave, or -EILSEQ. */
static int run_each(struct ruleset *rules, const struct input *request, const struct input *response,
                    const struct outcome *whole)
{
	for (size_t cut = 0; cut <= response->len; cut++) {
		struct outcome o;
		size_t how = cut == response->len ? CUT_BYTES : cut;
		int err = run(rules, request, response, how, &o);
		bool alike = !err && same(&o, whole);

		buf_free(&o.out);
		if (err)
			return err;
		if (!alike) {
			fprintf(stderr, "sluicectl: cut %s%zu: the result differs\n",
			        how == CUT_BYTES ? "by bytes, " : "at ", cut);
			return -EILSEQ;
		}
	}
	return 0;
}

static bool parse_cut(const char *text, size_t *cut, bool *each)
{
	char *end;

	if (!strcmp(text, "each")) {
		*each = true;
		return true;
	}
	if (!strcmp(text, "bytes")) {
		*cut = CUT_BYTES;
		return true;
	}
	errno = 0;
	*cut = strtoull(text, &end, 10);
	return end != text && !*end && !errno && text[0] != '-';
}

int replay_main(int argc, char **argv)
{
	enum { REQUEST = 256, RESPONSE, CUT, JSON };
	static const struct option options[] = {
		{ "policy", required_argument, NULL, 'p' },
		{ "request", required_argument, NULL, REQUEST },
		{ "response", required_argument, NULL, RESPONSE },
		{ "cut", required_argument, NULL, CUT },
		{ "json", no_argument, NULL, JSON },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	const char *policy = NULL, *files[2] = {};
	owned(ruleset_put) struct ruleset *rules = NULL;
	struct input in[2] = {};
	struct outcome o = {};
	size_t cut = CUT_NONE;
	bool json = false, each = false;
	int c, err = 0, status = EXIT_ERROR;

	while ((c = getopt_long(argc, argv, "p:h", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			policy = optarg;
			break;
		case REQUEST:
		case RESPONSE:
			files[c - REQUEST] = optarg;
			break;
		case CUT:
			if (!parse_cut(optarg, &cut, &each)) {
				fprintf(stderr, "sluicectl: --cut takes a number, 'each' or 'bytes', not '%s'\n",
				        optarg);
				return EXIT_ERROR;
			}
			break;
		case JSON:
			json = true;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, EXIT_ERROR);
		}
	}
	if (!files[0] || !files[1] || optind < argc)
		return usage(stderr, EXIT_ERROR);
	for (int i = 0; i < 2 && !err; i++) {
		err = cli_read(files[i], INPUT_MAX, &in[i].data, &in[i].len);
		if (err)
			fprintf(stderr, "sluicectl: %s: %s\n", files[i], strerror(-err));
	}
	if (!err && !cli_policy(&rules, policy)) {
		err = run(rules, &in[0], &in[1], cut, &o);
		if (!err && each)
			err = run_each(rules, &in[0], &in[1], &o);
		if (err && err != -EILSEQ)
			fprintf(stderr, "sluicectl: replay: %s\n", strerror(-err));
		if (!err) {
			if (buf_len(&o.out))
				fwrite(buf_slice(&o.out).at, 1, buf_len(&o.out), stdout);
			if (fflush(stdout))
				err = -errno;
			if (json)
				print_json(&o);
			status = err ? EXIT_ERROR : exit_status(&o);
		}
	}
	buf_free(&o.out);
	free(in[0].data);
	free(in[1].data);
	return status;
}
