/* SPDX-License-Identifier: Apache-2.0 */
/* logs.c - the two logs of the host: opened, and their checkpoints told to the journal. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/log.h"
#include "daemon.h"

#define ORIGIN_KEY "origin.key" /* the credential's name */

static int open_one(struct daemon *d, struct ledger **out, struct journal_told *told, const char *name,
                    const char *suffix, uint32_t floor_days)
{
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");
	char dir[4096], key[4096], origin_key[4096], origin[256], host[128] = "host", vkey[LEDGER_VKEY];
	struct ledger_options o = {
		.dir = dir, .origin = origin, .key_file = key, .issued = journal_checkpoint, .arg = told
	};
	char *policy = d->retain_policy[out == &d->control];
	uint32_t retain;
	int err = 0;

	told->id = log_event_table[EVENT_CHECKPOINT].id;
	(void)gethostname(host, sizeof(host) - 1);
	snprintf(origin, sizeof(origin), "sluice/%s%s", host, suffix);
	if ((size_t)snprintf(dir, sizeof(dir), "%s/%s", d->config->record_dir, name) >= sizeof(dir) ||
	    /* Beside the record and not in it: who copies the record must not get the keys. */
	    (size_t)snprintf(key, sizeof(key), "%s.keys/%s.key", d->config->record_dir, name) >= sizeof(key) ||
	    (size_t)snprintf(origin_key, sizeof(origin_key), "%s/" ORIGIN_KEY, credentials ? credentials : "") >=
	            sizeof(origin_key))
		err = -ENAMETOOLONG;
	if (credentials && !access(origin_key, R_OK))
		o.origin_key = origin_key;
	o.retention_class = name;
	o.floor_days = floor_days;
	o.segment_bytes = d->config->segment_bytes;
	/* The unit of time is the day; the control log is kept for its own floor at least. */
	retain = d->config->retain_days > floor_days ? d->config->retain_days : floor_days;
	if (d->config->retain_unsafe)
		o.floor_days = retain = d->config->retain_days;
	o.retain_s = retain * 86400ull;
	snprintf(policy, sizeof(d->retain_policy[0]), "record.retain %ud%s", retain,
	         d->config->retain_unsafe ? ", unsafe" : "");
	o.retain_policy = policy;
	o.held = out == &d->control ? holds_on_control : holds_on_ledger;
	o.held_arg = d->holds;
	err = err ? err : ledger_open(out, &o);
	if (err) {
		log_error("record: %s: %s", dir, strerror(-err));
		return err;
	}
	ledger_vkey(*out, vkey);
	log_info("record: log=%s key=%s", name, vkey);
	return 0;
}

static int open_evidence(struct daemon *d)
{
	char dir[4096];
	struct evidence_options o = { .dir = dir,
		                      .recipients = (const char *const *)d->config->recipients,
		                      .recipient_count = d->config->recipient_count,
		                      .ledger = d->ledger };
	int err;

	if (!o.recipient_count)
		return 0;
	snprintf(dir, sizeof(dir), "%s/ledger", d->config->record_dir);
	err = evidence_open(&d->evidence, &o);
	if (err)
		log_error("record: %s/" EVIDENCE_DIR ": %s", dir,
		          err == -EINVAL ? "a recipient is no key" : strerror(-err));
	return err;
}

int logs_open(struct daemon *d)
{
	char dir[4096];
	int err;

	if ((size_t)snprintf(dir, sizeof(dir), "%s/ledger", d->config->record_dir) >= sizeof(dir))
		return -ENAMETOOLONG;
	err = make_dirs(d->config->record_dir, 0750);
	if (err) {
		log_error("record: %s: %s", d->config->record_dir, strerror(-err));
		return err;
	}
	d->last_unix = note_last(dir);
	if ((size_t)snprintf(dir, sizeof(dir), "%s/control", d->config->record_dir) >= sizeof(dir))
		return -ENAMETOOLONG;
	err = holds_open(&d->holds, dir);
	if (err) {
		log_error("record: the holds in %s: %s", dir, strerror(-err));
		return err;
	}
	err = erasures_open(&d->erasures, dir);
	if (err) {
		log_error("record: the erasures in %s: %s", dir, strerror(-err));
		return err;
	}
	err = open_one(d, &d->ledger, &d->told[0], "ledger", "", LOG_LEDGER_FLOOR_DAYS);
	err = err ? err : open_one(d, &d->control, &d->told[1], "control", "/control", LOG_CONTROL_FLOOR_DAYS);
	if (err)
		return err;
	err = open_evidence(d);
	if (err)
		return err;
	snprintf(dir, sizeof(dir), "%s.keys", d->config->record_dir);
	err = subjects_open(&d->subjects, dir);
	if (err)
		log_error("record: %s: %s", dir, strerror(-err));
	return err;
}

int logs_ledger_dir(const struct daemon *d, char *to, size_t room)
{
	return (size_t)snprintf(to, room, "%s/ledger", d->config->record_dir) < room ? 0 : -ENAMETOOLONG;
}
