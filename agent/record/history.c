/* SPDX-License-Identifier: Apache-2.0 */
#include "record/history.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/own.h"

int history_read(int dir, const char *name, size_t most, uint8_t **out, size_t *ret_len)
{
	owned(own_close) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	owned(own_free) uint8_t *data = NULL;
	size_t len = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if ((uint64_t)st.st_size > most)
		return -EFBIG;
	data = malloc((size_t)st.st_size + 1);
	if (!data)
		return -ENOMEM;
	while (len < (size_t)st.st_size) {
		ssize_t n = read(fd, data + len, (size_t)st.st_size - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		len += (size_t)n;
	}
	*out = TAKE(data);
	*ret_len = len;
	return 0;
}

bool history_next(struct slice *rest, struct slice *note)
{
	const uint8_t *mark = rest->len ? memmem(rest->at, rest->len, "\n" CHECKPOINT_MARK, 3) : NULL;

	if (!mark)
		return false;
	*note = slice_of(rest->at, (size_t)(mark - rest->at) + 1);
	*rest = slice_from(*rest, note->len + sizeof(CHECKPOINT_MARK) - 1);
	return true;
}

/* Takes the note if it is good and newer than *best. */
static bool take_note(struct slice note, const struct note_key *const *keys, size_t n, struct checkpoint *best,
                      bool *any)
{
	struct slice text, signatures;
	struct checkpoint c;
	bool good = false;

	if (note_split(note, &text, &signatures) || checkpoint_read(&c, text))
		return false;
	for (size_t i = 0; i < n && !good; i++)
		good = !strcmp(c.origin, keys[i]->name) && note_signed_by(text, signatures, keys[i], NULL);
	if (good && (!*any || c.size > best->size)) {
		*best = c;
		*any = true;
	}
	return good;
}

int history_newest(int dir, const struct note_key *const *keys, size_t n, struct checkpoint *out)
{
	owned(own_free) uint8_t *newest = NULL;
	owned(own_free) uint8_t *all = NULL;
	struct slice rest, note, last = { NULL, 0 };
	struct checkpoint best;
	size_t len, all_len = 0;
	bool any = false;
	int err = history_read(dir, CHECKPOINT_FILE, NOTE_MAX, &newest, &len);
	int all_err = history_read(dir, CHECKPOINTS_FILE, HISTORY_BYTES_MOST, &all, &all_len);

	if (err == -ENOENT && all_err == -ENOENT)
		return -ENOENT;
	if (!err)
		take_note(slice_of(newest, len), keys, n, &best, &any);
	for (rest = slice_of(all, all_len); !all_err && history_next(&rest, &note);)
		last = note;
	if (last.len)
		take_note(last, keys, n, &best, &any);
	if (!any)
		return -EBADMSG;
	*out = best;
	return 0;
}

/* ---- writing ---- */

static int write_whole(const struct file_ops *ops, int fd, struct slice bytes)
{
	while (bytes.len) {
		ssize_t n = ops->append(fd, bytes.at, bytes.len);

		if (n <= 0)
			return n ? (int)n : -EIO;
		bytes = slice_from(bytes, (size_t)n);
	}
	return 0;
}

/* A file of these bytes, durable, under a name that is nobody's yet. */
static int write_new(const struct file_ops *ops, int dir, const char *name, struct slice bytes)
{
	owned(own_close) int fd = -1;
	int opened = ops->open(dir, name, O_WRONLY | O_CREAT | O_TRUNC), err;

	if (opened < 0)
		return opened;
	fd = opened;
	err = write_whole(ops, fd, bytes);
	return err ? err : ops->sync(fd);
}

int history_replace(const struct file_ops *ops, int dir, const char *name, const char *temporary, struct slice bytes)
{
	int err = write_new(ops, dir, temporary, bytes);

	err = err ? err : ops->rename(dir, temporary, name);
	return err ? err : ops->sync_dir(dir);
}

int history_open(struct history *h, const struct file_ops *ops, int dir)
{
	owned(own_free) uint8_t *all = NULL;
	struct slice rest, note;
	size_t len = 0;
	int err = history_read(dir, CHECKPOINTS_FILE, HISTORY_BYTES_MOST, &all, &len);

	*h = (struct history){ .fd = -1 };
	if (err)
		return err == -ENOENT ? 0 : err;
	for (rest = slice_of(all, len); history_next(&rest, &note);)
		h->entries++;
	if (!rest.len)
		return 0;
	return history_replace(ops, dir, CHECKPOINTS_FILE, CHECKPOINTS_FILE ".new", slice_of(all, len - rest.len));
}

void history_close(struct history *h)
{
	own_close(&h->fd);
	h->fd = -1;
}

/* The older day goes to the thin file first: a crash in between leaves entries in both, which is harmless. */
static int thin(struct history *h, const struct file_ops *ops, int dir)
{
	owned(own_free) uint8_t *all = NULL;
	owned(own_close) int old = -1;
	struct slice rest, note;
	uint64_t i = 0, keep_from = h->entries > HISTORY_DAY ? h->entries - HISTORY_DAY : 0;
	size_t len = 0;
	int err = history_read(dir, CHECKPOINTS_FILE, HISTORY_BYTES_MOST, &all, &len);

	if (err)
		return err;
	old = ops->open(dir, CHECKPOINTS_OLD, O_WRONLY | O_APPEND | O_CREAT);
	if (old < 0)
		return old;
	for (rest = slice_of(all, len); i < keep_from && history_next(&rest, &note); i++)
		if (i % HISTORY_THIN == 0) {
			err = write_whole(ops, old, slice_of(note.at, note.len + sizeof(CHECKPOINT_MARK) - 1));
			if (err)
				return err;
		}
	err = ops->sync(old);
	err = err ? err : history_replace(ops, dir, CHECKPOINTS_FILE, CHECKPOINTS_FILE ".new", rest);
	if (err)
		return err;
	h->entries -= i;
	history_close(h);
	return 0;
}

int history_issue(struct history *h, const struct file_ops *ops, int dir, struct slice note)
{
	int err = write_new(ops, dir, CHECKPOINT_NEW, note);

	if (!err && h->entries >= 2 * HISTORY_DAY)
		err = thin(h, ops, dir);
	if (!err && h->fd < 0) {
		h->fd = ops->open(dir, CHECKPOINTS_FILE, O_WRONLY | O_APPEND | O_CREAT);
		err = h->fd < 0 ? h->fd : 0;
	}
	if (err)
		return err;
	err = write_whole(ops, h->fd, note);
	err = err ? err : write_whole(ops, h->fd, SLICE(CHECKPOINT_MARK));
	err = err ? err : ops->sync(h->fd);
	if (err) {
		/* Nothing is tried twice on a file that failed: it is made anew, without a torn end. */
		history_close(h);
		(void)history_open(h, ops, dir);
		return err;
	}
	h->entries++;
	err = ops->rename(dir, CHECKPOINT_NEW, CHECKPOINT_FILE);
	return err ? err : ops->sync_dir(dir);
}
