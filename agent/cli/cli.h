/* SPDX-License-Identifier: Apache-2.0 */
/* cli.h - the subcommands of sluicectl. Each gets its own argv (argv[0] is its name) and returns the exit status. */
#pragma once

#include "config/config.h"
#include "policy/policy.h"
#include "serve/serve.h"

/* What the global options say. */
struct cli_globals {
	const char *config;  /* file; NULL: CONFIG_FILE, if it is there */
	const char *control; /* socket; NULL: as the configuration says */
};

extern struct cli_globals cli_globals;

int change_main(int argc, char **argv); /* reload, upgrade */
int completion_main(int argc, char **argv);
int discover_main(int argc, char **argv);
int dropin_main(int argc, char **argv);
int erase_main(int argc, char **argv);
int export_main(int argc, char **argv);
int events_main(int argc, char **argv);
int hold_main(int argc, char **argv);
int model_main(int argc, char **argv);
int policy_main(int argc, char **argv);
int reindex_main(int argc, char **argv);
int replay_main(int argc, char **argv);
int reveal_main(int argc, char **argv);
int review_main(int argc, char **argv);
int scan_main(int argc, char **argv);
int selftest_main(int argc, char **argv);
int services_main(int argc, char **argv);
int stats_main(int argc, char **argv);
int status_main(int argc, char **argv);
int subject_main(int argc, char **argv);
int top_main(int argc, char **argv);
int verify_main(int argc, char **argv);
int witness_main(int argc, char **argv);

/* The subcommands of this version, in the order of the table; false behind the last one. Strings are constant. */
bool cli_command(size_t index, const char **name, const char **about);

/* Loads the policy in `dir` (NULL: what the configuration names), prints what is wrong with it. 0 or -errno. */
int cli_policy(struct ruleset **out, const char *dir);

/* The key of a file; NULL: none. What is wrong is printed. 0 or -errno. */
int cli_pack_key(struct pack_key **out, const char *path);

/* Asks the daemon; says on standard error what went wrong. The reply is the caller's. 0 or -errno. */
int cli_ask(ControlReply **out, const ControlRequest *request);

/* The daemon's status, with nothing printed where there is none. The reply is the caller's. 0 or -errno. */
int cli_status_quietly(ControlReply **out);

/* The folder of the record, as the configuration says; the string is the caller's. 0, or -errno with the reason
 * printed. */
int cli_record_dir(char **out);

/* FIRST or FIRST-LAST. False: it is none. */
bool cli_range(const char *text, uint64_t *first, uint64_t *last);

/* Reads all of `path` ("-": standard input) into memory. On success *data is the caller's. -errno, -EFBIG over `most`.
 */
int cli_read(const char *path, size_t most, uint8_t **data, size_t *len);

/* Writes a JSON string, quotes included. Bytes that are not UTF-8 are written as U+FFFD. */
void cli_json_string(FILE *to, const char *text);
void cli_json_text(FILE *to, struct slice text);
