/* SPDX-License-Identifier: Apache-2.0 */
/* verify_witness.c - did others see the log, and is it still the one that they saw? */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include "base/own.h"
#include "record/cosigned.h"
#include "record/verify.h"

int verify_load_cosigned(struct verify *v)
{
	owned(own_free) char *path = NULL;
	struct slice rest, note;
	struct signed_note *n;
	int err = cosigned_path(&path, v->o->dir);

	err = err ? err : verify_keep_file(v, AT_FDCWD, path, COSIGNED_BYTES, &rest);
	if (err)
		return err == -ENOMEM ? err : 0; /* what is not there is missed where a witness is asked for */
	while (!err && history_next(&rest, &note)) {
		err = verify_add_note(v, note, COSIGNED_FILE, true, &n);
		if (!err && !n->read) {
			verify_fault(v, FAULT_TAMPERED, COSIGNED_FILE ": an entry is not a checkpoint");
			v->note_count--;
		}
	}
	if (!err && rest.len)
		verify_fault(v, FAULT_TRUNCATED, COSIGNED_FILE ": the end is not a whole entry");
	return err;
}

/* The newest that it cosigned of this history. */
static bool look(struct verify *v, const struct note_key *k, uint64_t *size, uint64_t *unix_s)
{
	bool any = false;

	for (size_t i = 0; i < v->note_count; i++) {
		const struct signed_note *n = &v->notes[i];
		uint64_t when = 0;

		if (!n->read || !note_names(n->signatures, k))
			continue;
		if (!note_signed_by(n->text, n->signatures, k, &when)) {
			verify_fault(v, FAULT_TAMPERED, "%s: size %" PRIu64 ": not what %s signed", n->file, n->c.size,
			             k->name);
			continue;
		}
		/* Another history is told where the notes are judged. */
		if (!n->right || strcmp(n->c.origin, v->newest.origin) != 0)
			continue;
		any = true;
		if (n->c.size >= *size) {
			*size = n->c.size;
			*unix_s = when;
		}
	}
	return any;
}

void verify_witnesses(struct verify *v)
{
	for (size_t i = 0; i < v->o->witness_count; i++) {
		uint64_t size = 0, unix_s = 0;
		struct note_key k;

		if (note_key_read(&k, slice_str(v->o->witnesses[i])) || k.type != KEY_COSIGN)
			continue; /* ledger_verify() has refused it */
		if (!look(v, &k, &size, &unix_s))
			verify_fault(v, FAULT_UNSIGNED, "no checkpoint of this history that %s cosigned", k.name);
		if (i && size >= v->r.witnessed)
			continue;
		v->r.witnessed = size;
		v->r.witnessed_unix = unix_s;
	}
}
