/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_import.c - sluicectl policy import: word lists of others become a pack; what becomes of each word is said.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>

#include "base/own.h"
#include "cli/policy_import.h"

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

#define LISTED 20 /* of each kind, unless all are asked for */

/* A remark on words, and how many there were. `taken`: the words are taken all the same. */
static const struct {
	const char *name, *about;
	bool listed;
} fates[IMPORT_FATE_COUNT] = {
	[IMPORT_TAKEN] = { "taken", "taken", false },
	[IMPORT_SAME] = { "same", "same as another", true },
	[IMPORT_INSIDE] = { "pruned", "left out: another is found in them", true },
	[IMPORT_NOTHING] = { "nothing", "fold to nothing", true },
	[IMPORT_SHORT] = { "short", "too short (--least)", true },
	[IMPORT_LONG] = { "long", "too long", true },
	[IMPORT_BROKEN] = { "broken", "no text in that encoding", true },
	[IMPORT_LEFT] = { "left", "left out by their category", false },
};

static void importing_free(struct importing *x)
{
	import_free(&x->words);
	pack_key_free(&x->signer);
	policy_report_free(&x->report);
}

static int usage(FILE *to, int status)
{
	fputs("usage: sluicectl policy import [-o DIR] [--pack NAME] [--risk RISK] [--map CATEGORY=RISK]... [--action "
	      "ACTION]\n"
	      "                               [--form FORM] [--encoding NAME] [--base64] [--word-column C] "
	      "[--category-column C]\n"
	      "                               [--least N] [--prune] [--key FILE] [--force] [--all] [--json] LIST...\n"
	      "       sluicectl policy import -o DIR [--key FILE] [--force] PACK.yaml\n"
	      "\n"
	      "Reads word lists and says what they are worth; with -o a pack of them is written, NAME.yaml and "
	      "NAME.csv.\n"
	      "A pack is tried, and copied with its lists and signatures. Exit status: 0 good, 1 mistakes, 2 error.\n"
	      "\n"
	      "  -o, --into DIR          folder for the pack; without it nothing is written\n"
	      "      --pack NAME         (that of the first list)\n"
	      "      --risk RISK         of words without a category, like A.1.d or local.name\n"
	      "      --map CATEGORY=RISK of the list's own categories; '*' is any other, '-' leaves words out\n"
	      "      --action ACTION     block, redact, flag (the default) or shadow\n"
	      "      --form FORM         lines, csv, tsv, pairs (word|category) or json (as name and first line look)\n"
	      "      --encoding NAME     ",
	      to);
	for (size_t i = 0; import_encoding(i); i++)
		fprintf(to, "%s%s", i ? ", " : "", import_encoding(i));
	fputs("\n"
	      "                          (as a byte order mark says, else utf-8)\n"
	      "      --base64            words are base64\n"
	      "      --word-column C     name or number of the column; as their usual names, else the first\n"
	      "      --category-column C and the second\n"
	      "      --least N           fewest characters of a word (2)\n"
	      "      --prune             words in which another of the risk is found are left out\n"
	      "      --key FILE          lists must be signed with this key (the configuration's policy_key)\n"
	      "      --force             write over a pack that is there\n"
	      "      --all               list all remarks, not the first of each kind\n"
	      "      --json              one object\n",
	      to);
	return status;
}

/* ---- what becomes of the words ---- */

static void print_place(const struct import_word *w)
{
	cli_text(stdout, slice_str(w->file), 0);
	printf(":%u: '", w->line);
	cli_text(stdout, w->text, 60);
	putchar('\'');
}

static void print_remark(const struct importing *x, const struct import_word *w, const char *about)
{
	if (x->json)
		return;
	print_place(w);
	printf(" %s", about);
	if (w->other) {
		fputs(" ", stdout);
		print_place(import_word_at(x->words, w->other - 1));
	}
	putchar('\n');
}

struct counts {
	size_t fates[IMPORT_FATE_COUNT], inside;
};

static void print_words(const struct importing *x, struct counts *c)
{
	for (size_t i = 0; i < import_count(x->words); i++) {
		const struct import_word *w = import_word_at(x->words, i);

		c->fates[w->fate]++;
		if (fates[w->fate].listed && (x->all || c->fates[w->fate] <= LISTED))
			print_remark(x, w,
			             w->fate == IMPORT_SAME     ? "is the same as"
			             : w->fate == IMPORT_INSIDE ? "is left out, it holds"
			                                        : fates[w->fate].about);
		if (w->fate == IMPORT_TAKEN && w->other && (x->all || c->inside < LISTED))
			print_remark(x, w, "holds");
		c->inside += w->fate == IMPORT_TAKEN && w->other;
	}
}

/* The risks of the words that are taken, in order of first occurrence. False: too many. */
static bool count_risks(struct importing *x)
{
	for (size_t i = 0; i < import_count(x->words); i++) {
		const struct import_word *w = import_word_at(x->words, i);
		size_t k = 0;

		if (w->fate != IMPORT_TAKEN)
			continue;
		while (k < x->risk_count && !slice_is(x->risks[k].name, w->risk))
			k++;
		if (k == ARRAY_LEN(x->risks))
			return false;
		if (k == x->risk_count)
			x->risks[x->risk_count++].name = w->risk;
		x->risks[k].words++;
	}
	return true;
}

static void print_counts(const struct importing *x, const struct counts *c)
{
	if (x->json) {
		printf("{\"words\":%zu", import_count(x->words));
		for (size_t i = 0; i < IMPORT_FATE_COUNT; i++)
			printf(",\"%s\":%zu", fates[i].name, c->fates[i]);
		printf(",\"inside\":%zu,\"risks\":{", c->inside);
		for (size_t n = 0; n < x->risk_count; n++) {
			fputs(n ? "," : "", stdout);
			cli_json_text(stdout, x->risks[n].name);
			printf(":%zu", x->risks[n].words);
		}
		puts("}}");
		return;
	}
	printf("words %zu\n", import_count(x->words));
	for (size_t i = 0; i < IMPORT_FATE_COUNT; i++)
		if (c->fates[i] || i == IMPORT_TAKEN)
			printf("  %zu %s\n", c->fates[i], fates[i].about);
	if (c->inside)
		printf("  %zu of those taken hold another of their risk, and find nothing more (--prune)\n", c->inside);
	for (size_t n = 0; n < x->risk_count; n++)
		printf("  %.*s %zu\n", SLICE_ARG(x->risks[n].name), x->risks[n].words);
}

/* ---- options ---- */

static bool ends_in(const char *path, const char *end)
{
	size_t n = strlen(path), m = strlen(end);

	return n > m && !strcmp(path + n - m, end);
}

/* "/lists/terror words.txt" is the pack "terror-words". */
static char *pack_name(const char *path)
{
	const char *slash = strrchr(path, '/'), *dot;
	char *name = strdup(slash ? slash + 1 : path);

	dot = name ? strrchr(name, '.') : NULL;
	if (dot && dot > name)
		name[dot - name] = 0;
	for (char *at = name; at && *at; at++)
		if (!strchr(NAME_LETTERS, *at))
			*at = '-';
	return name;
}

static bool is_name(const char *name)
{
	return *name && *name != '.' && strspn(name, NAME_LETTERS) == strlen(name);
}

static bool add_map(struct importing *x, const char *option)
{
	const char *is = strrchr(option, '=');
	struct slice risk = is ? slice_str(is + 1) : SLICE("");
	struct slice name;
	uint16_t number;

	if (x->maps == IMPORT_MAPS_MAX || !is || (!slice_is(risk, SLICE("-")) && !taxonomy_find(risk, &name, &number)))
		return false;
	x->map[x->maps++] = (struct import_risk){ slice_of(option, (size_t)(is - option)),
		                                  slice_is(risk, SLICE("-")) ? risk : name };
	return true;
}

static bool choose(const char *const *names, size_t count, const char *option, size_t *out)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(names[i], option)) {
			*out = i;
			return true;
		}
	return false;
}

static int find_key(struct importing *x)
{
	owned(config_free) struct config *config = NULL;
	owned(own_free) char *mistakes = NULL;
	const char *file = cli_globals.config ? cli_globals.config : CONFIG_FILE;
	int err = 0;

	if (!x->key && (cli_globals.config || !access(file, F_OK))) {
		err = config_load(&config, file, &mistakes);
		if (err) {
			fputs(mistakes ? mistakes : "out of memory\n", stderr);
			return err;
		}
	}
	return cli_pack_key(&x->signer, x->key || !config ? x->key : config->policy_key);
}

static int run(struct importing *x, char **files, int count)
{
	struct slice none = { 0 };
	struct counts counts = { { 0 } };
	struct slice name;
	uint16_t number;
	int err = 0;

	if (find_key(x))
		return 2;
	if (ends_in(files[0], ".yaml") || ends_in(files[0], ".yml"))
		return count == 1 ? import_copy_pack(x, files[0]) : usage(stderr, 2);
	if (x->none && taxonomy_find(slice_str(x->none), &name, &number))
		none = name;
	x->how.key = x->signer;
	err = import_new(&x->words);
	for (int i = 0; i < count && !err; i++) {
		size_t had = import_count(x->words);
		enum import_form form;

		err = import_add(x->words, files[i], &x->how, &form, &x->report);
		if (!err && !x->json)
			printf("%s: %zu words, read as %s\n", files[i], import_count(x->words) - had,
			       import_form_names[form]);
	}
	if (!err)
		err = import_risks(x->words, x->map, x->maps, none, &x->report);
	fwrite(x->report.text ? x->report.text : "", 1, x->report.len, stderr);
	if (err)
		return x->report.errors && err == -EINVAL ? 1 : 2;
	err = import_sift(x->words, x->least, x->prune);
	if (err) {
		fprintf(stderr, "sluicectl: %s\n", err == -EINVAL ? "too many words for one policy" : strerror(-err));
		return 2;
	}
	print_words(x, &counts);
	if (!count_risks(x)) {
		fprintf(stderr, "sluicectl: more than %zu risks\n", ARRAY_LEN(x->risks));
		return 1;
	}
	print_counts(x, &counts);
	if (!counts.fates[IMPORT_TAKEN]) {
		fputs("sluicectl: no words are left\n", stderr);
		return 1;
	}
	return x->into ? import_write_pack(x) : 0;
}

int policy_import_main(int argc, char **argv)
{
	enum {
		PACK = 256,
		RISK,
		MAP,
		ACTION,
		FORM,
		ENCODING,
		BASE64,
		WORD,
		CATEGORY,
		LEAST,
		PRUNE,
		KEY,
		FORCE,
		ALL,
		JSON
	};
	static const struct option options[] = {
		{ "into", required_argument, NULL, 'o' },
		{ "pack", required_argument, NULL, PACK },
		{ "risk", required_argument, NULL, RISK },
		{ "map", required_argument, NULL, MAP },
		{ "action", required_argument, NULL, ACTION },
		{ "form", required_argument, NULL, FORM },
		{ "encoding", required_argument, NULL, ENCODING },
		{ "base64", no_argument, NULL, BASE64 },
		{ "word-column", required_argument, NULL, WORD },
		{ "category-column", required_argument, NULL, CATEGORY },
		{ "least", required_argument, NULL, LEAST },
		{ "prune", no_argument, NULL, PRUNE },
		{ "key", required_argument, NULL, KEY },
		{ "force", no_argument, NULL, FORCE },
		{ "all", no_argument, NULL, ALL },
		{ "json", no_argument, NULL, JSON },
		{ "help", no_argument, NULL, 'h' },
		{},
	};
	owned(importing_free) struct importing x = { .least = 2, .action = ACTION_FLAG };
	owned(own_free) char *name = NULL;
	struct slice known;
	uint16_t number;
	size_t which;
	bool fine = true;
	char *end;
	int c;

	while (fine && (c = getopt_long(argc, argv, "o:h", options, NULL)) != -1) {
		switch (c) {
		case 'o':
			x.into = optarg;
			break;
		case PACK:
			x.pack = optarg;
			fine = is_name(optarg);
			break;
		case RISK:
			x.none = optarg;
			fine = taxonomy_find(slice_str(optarg), &known, &number);
			break;
		case MAP:
			fine = add_map(&x, optarg);
			break;
		case ACTION:
			fine = choose(action_names, ACTION_COUNT, optarg, &which);
			x.action = fine ? (enum action)which : ACTION_FLAG;
			break;
		case FORM:
			fine = choose(import_form_names, IMPORT_FORM_COUNT, optarg, &which);
			x.how.form = fine ? (enum import_form)which : IMPORT_AUTO;
			break;
		case ENCODING:
			x.how.encoding = optarg;
			break;
		case BASE64:
			x.how.base64 = true;
			break;
		case WORD:
			x.how.word_column = optarg;
			break;
		case CATEGORY:
			x.how.category_column = optarg;
			break;
		case LEAST:
			x.least = strtoul(optarg, &end, 10);
			fine = end != optarg && !*end;
			break;
		case PRUNE:
			x.prune = true;
			break;
		case KEY:
			x.key = optarg;
			break;
		case FORCE:
			x.force = true;
			break;
		case ALL:
			x.all = true;
			break;
		case JSON:
			x.json = true;
			break;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, 2);
		}
	}
	if (!fine) {
		fprintf(stderr, "sluicectl: %s is not what that option takes\n", optarg);
		return 2;
	}
	if (optind == argc)
		return usage(stderr, 2);
	name = pack_name(argv[optind]);
	if (!name)
		return 2;
	if (!x.pack)
		x.pack = name;
	return run(&x, argv + optind, argc - optind);
}
