/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subject.c - sluicectl subject: which pseudonyms has somebody had?
 *
 * Who it is comes from a file and not from the command line, which everybody on the host can see. Its digest is made
 * here; the daemon, which has the keys, is told no more than that.
 */
#include <errno.h>
#include <getopt.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/own.h"
#include "base/slice.h"
#include "cli/cli.h"

enum { SUBJECT_OK = 0, SUBJECT_ERROR = 2 };

#define VALUE_MAX  65536
#define DIGEST     32
#define FIELDS_MAX 64
#define NS         1000000000u

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl subject [--header NAME] [--reason TEXT] [FILE]\n"
	      "\n"
	      "Prints the pseudonyms that somebody has had, a line each: pseudonym, days, field. FILE (or standard\n"
	      "input) holds the value of the field that says who asks, as the client sends it. No name is stored: "
	      "they\n"
	      "are made again from the keys that are left. Who asked for them is on record before that. Then:\n"
	      "\n"
	      "  sluicectl events subject_tag=PSEUDONYM          what is on record of them\n"
	      "  sluicectl erase --subject PSEUDONYM ...         erases what was kept of their answers\n"
	      "\n"
	      "      --header NAME  one of identity.headers; without it all of them\n"
	      "      --reason TEXT  for the record\n"
	      "\n"
	      "Exit status: 0 told, 2 not.\n",
	      to);
	return status;
}

static int wrong(const char *what, const char *why)
{
	fprintf(stderr, "subject: %s: %s\n", what, why);
	return SUBJECT_ERROR;
}

/* The value as HTTP has it: no line end, no white space around it. */
static struct slice trim(struct slice s)
{
	while (s.len && strchr(" \t\r\n", s.at[s.len - 1]))
		s.len--;
	while (s.len && strchr(" \t", s.at[0]))
		s = slice_from(s, 1);
	return s;
}

/* SHA-256(name in lower case, 0, value), as the daemon makes it of a request. */
static bool digest_of(const char *name, struct slice value, uint8_t to[DIGEST])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool good = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL);

	for (; good && *name; name++) {
		uint8_t c = *name >= 'A' && *name <= 'Z' ? (uint8_t)(*name - 'A' + 'a') : (uint8_t)*name;

		good = EVP_DigestUpdate(md, &c, 1);
	}
	good = good && EVP_DigestUpdate(md, "", 1) && EVP_DigestUpdate(md, value.at, value.len) &&
	       EVP_DigestFinal_ex(md, to, NULL);
	EVP_MD_CTX_free(md);
	return good;
}

/* ---- what the daemon says ---- */

static void day(uint64_t unix_nano, char to[16])
{
	time_t t = (time_t)(unix_nano / NS);
	struct tm tm;

	snprintf(to, 16, "?");
	if (gmtime_r(&t, &tm))
		strftime(to, 16, "%Y-%m-%d", &tm);
}

/* Of each field as many, in the order of the fields. */
static void print(const SubjectReply *reply, char *const *fields, size_t count)
{
	uint64_t first = UINT64_MAX;
	char from[16], until[16];

	for (size_t i = 0; i < reply->n_pseudonyms; i++) {
		const Pseudonym *p = reply->pseudonyms[i];

		for (size_t k = 0; k < p->tag.len; k++)
			printf("%02x", p->tag.data[k]);
		day(p->from_unix_nano, from);
		day(p->until_unix_nano - 1, until);
		printf("\t%s..%s\t%s\n", from, until, fields[i / (reply->n_pseudonyms / count)]);
		first = p->from_unix_nano < first ? p->from_unix_nano : first;
	}
	if (first == UINT64_MAX) {
		fputs("subject: no key is left: nobody can tell whose a record is\n", stderr);
		return;
	}
	day(first, from);
	fprintf(stderr,
	        "subject: the oldest key is of %s: of records before that day nobody can tell any more whose they "
	        "are\n",
	        from);
}

static int ask(SubjectRequest *body, char *const *fields)
{
	ControlRequest request = CONTROL_REQUEST__INIT;
	ControlReply *reply = NULL;
	int status = SUBJECT_OK;

	request.op_case = CONTROL_REQUEST__OP_SUBJECT;
	request.subject = body;
	if (cli_ask(&reply, &request))
		return SUBJECT_ERROR;
	if (*reply->error || !reply->subject || reply->subject->n_pseudonyms % body->n_digests)
		status = wrong("the daemon", *reply->error ? reply->error : "it does not say");
	else
		print(reply->subject, fields, body->n_digests);
	control_reply__free_unpacked(reply, NULL);
	return status;
}

/* ---- who it is ---- */

/* The fields that are meant, of the configuration's. */
static int choose(const struct config *c, const char *header, char *fields[FIELDS_MAX], size_t *n)
{
	*n = 0;
	for (size_t i = 0; i < c->identity_count && *n < FIELDS_MAX; i++)
		if (!header || !strcasecmp(header, c->identity_headers[i]))
			fields[(*n)++] = c->identity_headers[i];
	if (*n)
		return SUBJECT_OK;
	return header ? wrong(header, "it is none of identity.headers")
	              : wrong("identity.headers", "there is none: nobody is told apart");
}

static int tell(const struct config *c, const char *header, const char *path, const char *reason)
{
	ProtobufCBinaryData digests[FIELDS_MAX];
	uint8_t room[FIELDS_MAX][DIGEST];
	SubjectRequest body = SUBJECT_REQUEST__INIT;
	char *fields[FIELDS_MAX];
	uint8_t *data = NULL;
	size_t len = 0, n = 0;
	int err, status = choose(c, header, fields, &n);
	struct slice value;

	if (status)
		return status;
	err = cli_read(path, VALUE_MAX, &data, &len);
	if (err)
		return wrong(path, strerror(-err));
	value = trim(slice_of(data, len));
	if (!value.len)
		status = wrong(path, "it is empty");
	for (size_t i = 0; i < n && !status; i++) {
		if (!digest_of(fields[i], value, room[i]))
			status = wrong(fields[i], strerror(ENOMEM));
		digests[i] = (ProtobufCBinaryData){ .data = room[i], .len = DIGEST };
	}
	if (data)
		explicit_bzero(data, len);
	free(data);
	body.digests = digests;
	body.n_digests = n;
	body.reason = (char *)reason;
	return status ? status : ask(&body, fields);
}

int subject_main(int argc, char **argv)
{
	enum { HEADER = 256, REASON };
	static const struct option options[] = {
		{ "header", required_argument, NULL, HEADER },
		{ "reason", required_argument, NULL, REASON },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	owned(config_free) struct config *config = NULL;
	owned(own_free) char *mistakes = NULL;
	const char *header = NULL, *reason = "";
	int c;

	optind = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case HEADER:
			header = optarg;
			break;
		case REASON:
			reason = optarg;
			break;
		case 'h':
			return usage(stdout, SUBJECT_OK);
		default:
			return usage(stderr, SUBJECT_ERROR);
		}
	}
	if (optind + 1 < argc)
		return usage(stderr, SUBJECT_ERROR);
	if (config_load(&config, cli_globals.config ? cli_globals.config : CONFIG_FILE, &mistakes)) {
		fputs(mistakes ? mistakes : "out of memory\n", stderr);
		return SUBJECT_ERROR;
	}
	return tell(config, header, optind < argc ? argv[optind] : "-", reason);
}
