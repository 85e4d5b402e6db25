/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - the door of record: what was decided, kept.
 *
 * A ledger is a folder of append-only segments; each file is one protobuf message `Segment` of proto/record.proto, each
 * record carries a CRC32C and is a leaf of an RFC 6962 tree, whose signed checkpoints stand beside the segments. One
 * writer thread commits groups: append never blocks on the disk, and the note tells when the record is durable.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "record.pb-c.h"

/* The two logs of a host, of one format: RECORD_DIR/ledger and RECORD_DIR/control. */
enum { LOG_LEDGER = 1, LOG_CONTROL = 2 };
#define LOG_LEDGER_FLOOR_DAYS  184  /* six months can be so long */
#define LOG_CONTROL_FLOOR_DAYS 1095 /* three years */
/* Which of them a kind of record belongs in, as a set; 0: unknown. */
unsigned record_logs(Record__BodyCase kind);

struct ledger;

struct ledger_options {
	const char *dir;             /* made if missing, mode 0750 */
	const char *origin;          /* name of the log and of its key: no space, no '+'; NULL: "sluice" */
	const char *key_file;        /* the day's signing key, mode 0600; NULL: `dir`.key */
	const char *origin_key;      /* PEM file of a second, lasting Ed25519 key, or NULL */
	uint32_t group_records;      /* commit at this many; 0: 256 */
	uint32_t group_us;           /* or this old; 0: 5000 */
	uint64_t segment_bytes;      /* roll at this size; 0: 64 MiB */
	uint32_t segment_s;          /* or at this age; 0: 24 h */
	uint32_t checkpoint_ms;      /* a checkpoint this often, if there is something new; 0: 1000 */
	uint32_t rotate_s;           /* the age at which the key is changed; 0: 24 h */
	const char *retention_class; /* in each segment's header, may be NULL */
	uint32_t floor_days;         /* no segment may be deleted before; 0: none */
	uint64_t retain_s;           /* sealed segments older than this are pruned; 0: never */
	const char *retain_policy;   /* as a Prune record names it; may be NULL */
	/* Whether a record of [first, last] is on hold; asked by a thread of the ledger's. NULL: none is. */
	bool (*held)(void *arg, uint64_t first, uint64_t last);
	void *held_arg;
	uint64_t queue_bytes; /* records waiting for the disk; 0: 64 MiB. Beyond: -ENOBUFS */
	/* Told of each checkpoint, a signed note, by a thread of the ledger's; may be NULL. */
	void (*issued)(void *arg, const char *note, size_t len);
	void *arg;
};

/* Told once, from the writer's thread: err 0 means durable under `seq`. Must not block. Embedded in what waits. */
struct ledger_note {
	void (*done)(struct ledger_note *n, uint64_t seq, int err);
};

/* Opens for writing; recovers first (and records that as `Recovery`), and issues a checkpoint. One process at a time:
 * -EBUSY. Errors: -EINVAL (a name that cannot stand in a note, a key that is none), -errno of the file system. */
int ledger_open(struct ledger **out, const struct ledger_options *o);
/* Commits what waits, issues a last checkpoint, then closes. */
void ledger_close(struct ledger **at);

/* Whether what is appended becomes durable, as far as is known: not failed, not full, not suspended. Cheap. */
bool ledger_is_sound(struct ledger *l);
/* Takes no more records (append: -ENOSPC), or takes them again; what was not taken is a Loss then. */
void ledger_suspend(struct ledger *l, bool suspend);

/* Queues a copy of r, whose seq, time, boot fields and CRC are set here. Any thread. `note` may be NULL; else it is
 * told unless this fails; on a full disk it is told -ENOSPC, and the record is written when there is space. Errors:
 * -ENOBUFS (queue full), -ENOSPC (suspended), -EMSGSIZE (over 65,535 bytes packed), -EIO (the ledger has failed),
 * -ENOMEM. */
int ledger_append(struct ledger *l, const Record *r, struct ledger_note *note);

/* ---- a log changes hands ---- */

/* This process writes the log no more: what waits is committed, a last checkpoint issued, and another process may open
 * the folder. From now on what is appended here goes to that process through `fd` (SOCK_SEQPACKET, taken), and notes
 * are told what it says. Called again, when that one is gone: what it did not confirm goes to the next. Waits for the
 * disk; one thread. -errno: nobody takes the records yet, they wait. */
int ledger_hand_over(struct ledger *l, int fd);
/* Records of a log that was handed over which the other process has not confirmed. */
uint64_t ledger_waiting(struct ledger *l);

struct ledger_inlet;
struct loop;

/* The other end, in the process that writes the log now: takes records for `log` (LOG_LEDGER or LOG_CONTROL) from `fd`,
 * which it owns, also if this fails. `l` and `loop`, whose thread this is, outlive it. -errno. */
int ledger_inlet_open(struct ledger_inlet **out, struct ledger *l, unsigned log, struct loop *loop, int fd);
/* Nothing more will come, and all that came is confirmed. *bad: what came was no record, and the rest was not taken. */
bool ledger_inlet_over(const struct ledger_inlet *in, bool *bad);
/* Confirms what is durable and takes no more. Only when it is over, or behind ledger_hand_over() or ledger_close() of
 * its ledger: a post of its may still come to the loop. */
void ledger_inlet_close(struct ledger_inlet **at);

struct ledger_stats {
	uint64_t next_seq, records, bytes, syncs, sync_failures, lost;
	uint64_t sync_max_us;
	uint64_t checkpoint_size, checkpoint_unix, checkpoint_failures; /* the newest one: records, seconds */
	uint64_t rotations, rotation_failures, seal_failures;
	uint64_t pruned, prune_failures, held; /* segments; held: would go if there were no hold */
	uint64_t oldest_unix;                  /* seconds: birth of the oldest segment; 0: not looked yet */
	uint64_t space_left;                   /* bytes of the file system, when last looked */
	uint64_t clock_steps;                  /* recorded since it was opened */
	bool failed;
	bool full; /* there is no space: records wait in memory, and are tried again every second */
};
void ledger_stats(struct ledger *l, struct ledger_stats *out);

/* The public key of today, as C2SP writes one. */
#define LEDGER_VKEY 320
void ledger_vkey(struct ledger *l, char to[LEDGER_VKEY]);

/* ---- which records: a filter is made once and outlives its readers ---- */

enum severity { SEVERITY_INFO, SEVERITY_LOW, SEVERITY_MEDIUM, SEVERITY_HIGH, SEVERITY_CRITICAL, SEVERITY_COUNT };
extern const char *const severity_names[SEVERITY_COUNT]; /* "info", "low", ... */

struct record_filter;

/* One that wants every record. -ENOMEM. */
int record_filter_new(struct record_filter **out);
void record_filter_free(struct record_filter **at);
/* FIELD=VALUE: a field of that name, however deep ("verdict", "exchange.verdict"), or "type". The same field again: or;
 * another: and; "+" between matches: or of what stands on its sides. NULL, or why not; then the filter is of no more
 * use. */
const char *record_filter_add(struct record_filter *f, const char *text);
/* Behind the last match: NULL, or why they cannot end so. */
const char *record_filter_end(const struct record_filter *f);
/* Both inclusive, nanoseconds since 1970. */
void record_filter_times(struct record_filter *f, uint64_t since, uint64_t until);
void record_filter_severity(struct record_filter *f, enum severity least, enum severity most);
/* A PCRE2 pattern that a text of the record must hold: a string, the name of a value, the kind. -EINVAL: `why`. */
int record_filter_grep(struct record_filter *f, const char *pattern, bool caseless, char *why, size_t room);

/* ---- reading: live or copied folders, no lock, no writer needed ---- */

struct ledger_reader;

/* Opens folder `dir` for reading from its first record. -ENOENT, -errno. */
int ledger_reader_open(struct ledger_reader **out, const char *dir);
void ledger_reader_close(struct ledger_reader **at);

/* The next record: 1 and *out (valid until the next call; borrowed), 0 at the end for now (call again to follow a live
 * ledger), -EBADMSG when the bytes are not a record or its CRC is wrong: why() says where. After an error the reader
 * goes on with the next segment. A file that recovery set aside as damaged is read up to the damage. */
int ledger_next(struct ledger_reader *r, const Record **out);
/* The stored bytes of the last record, as they are a `record` field's value in a Segment. */
void ledger_raw(const struct ledger_reader *r, const uint8_t **at, size_t *len);
const char *ledger_reader_why(const struct ledger_reader *r);
/* As ledger_next(), but unpacks nothing: ledger_raw() says what came. */
int ledger_step(struct ledger_reader *r);
/* Skips to the last n records, whatever they are. 0 or -errno. */
int ledger_seek_last(struct ledger_reader *r, uint64_t n);

/* Before the first record is read: only records that the filter wants. Borrows it. Where there are indexes (NAME.idx)
 * blocks without such records are not read, and damage in them is not seen: verify looks at everything. */
void ledger_reader_filter(struct ledger_reader *r, const struct record_filter *f);
/* Likewise: nothing below `seq`. */
void ledger_seek_seq(struct ledger_reader *r, uint64_t seq);
/* Likewise: the newest first, from what is there now; of one segment the newest `last` are enough. 0 or -errno. */
int ledger_read_backwards(struct ledger_reader *r, uint64_t last);
/* Likewise: without indexes; without threads. The answers are the same. */
void ledger_reader_plainly(struct ledger_reader *r, bool no_index, bool no_threads);
/* A descriptor that becomes readable when the folder changes (inotify), for following; owned by the reader. Made at the
 * first call: call it before the ledger_next() whose 0 is to be waited on. -1: the kernel has none to give; ask now and
 * then instead. */
int ledger_reader_fd(struct ledger_reader *r);

/* A place in the log of folder `dir`, known again: "o=ORIGIN;s=SEQ;h=HASH" of a record's stored bytes. -errno. */
#define LEDGER_CURSOR 320
int ledger_cursor(const char *dir, const uint8_t *raw, size_t len, char to[LEDGER_CURSOR]);
/* The seq that a cursor of this log stands for. -EINVAL: no cursor; -ENOENT: of another log; -ENODATA: the record is no
 * longer there (*seq is set); -ESTALE: the log is not the one it was (*seq is set); -errno. */
int ledger_find_cursor(const char *dir, const char *text, size_t len, uint64_t *seq);

/* Writes the indexes of sealed segments that have none (or all of them) beside the segments. Returns in *made how many.
 * -errno of the last that failed. */
int ledger_reindex(const char *dir, bool all, uint64_t *made);

/* ---- proof ---- */

enum fault {
	FAULT_CRC,         /* the bytes of a record are not those that were written */
	FAULT_TAMPERED,    /* a record, a header, a tile or a signature is not the one that was signed */
	FAULT_TRUNCATED,   /* a file ends too early */
	FAULT_MISSING,     /* a file, or records that must be there */
	FAULT_ROLLED_BACK, /* the log is older than a checkpoint of it */
	FAULT_FORKED,      /* a signed checkpoint is of another history */
	FAULT_UNSIGNED,    /* nobody we know vouches for it */
	FAULT_COUNT
};
extern const char *const fault_names[FAULT_COUNT]; /* "bad crc", "tampered", ... */

struct verify_options {
	const char *dir;
	const char *const *vkeys; /* of the log, from outside; none: the folder's own is taken, which proves less */
	size_t vkey_count;
	const char *const *kept; /* files with checkpoints that were kept elsewhere */
	size_t kept_count;
	const char *const *witnesses; /* each must have cosigned a checkpoint; name+id+key of cosignature/v1 */
	size_t witness_count;
	void (*fault)(void *arg, enum fault what, const char *text);
	void *arg;
};

struct verify_result {
	char origin[256];
	uint64_t size;   /* records under the newest checkpoint */
	uint64_t beyond; /* records behind it, which nothing proves yet */
	uint64_t segments, checkpoints, tiles, keys, faults;
	uint64_t pruned; /* records that went, as a Prune record says */
	/* What each of the witnesses has cosigned, the one that saw least: records, and when it said so. */
	uint64_t witnessed, witnessed_unix;
};

/* Reads a log, live or copied, and names each thing that is wrong. 0 (result->faults says whether it is sound), or
 * -errno: it cannot be said; -EINVAL: a vkey is none, -EBADMSG: a kept file is no checkpoint. */
int ledger_verify(struct verify_result *out, const struct verify_options *o);

/* A C2SP tlog-proof that record `seq` is in the log, against its newest checkpoint. The text is the caller's. -ENOENT:
 * there is no such record under it; -EBADMSG: the record or the tiles are not sound. */
int ledger_prove(const char *dir, uint64_t seq, char **text);
/* The hashes of a consistency proof from the checkpoint in file `old` to the newest, one a line of base64, checked.
 * -EBADMSG: they are not of one history. */
int ledger_prove_consistent(const char *dir, const char *old, char **text);

/* ---- witnesses: others who sign that a log was only added to (C2SP tlog-witness, tlog-cosignature) ---- */

struct witness;

struct witness_options {
	const char *dir;         /* key and state, made if missing; one process at a time */
	const char *name;        /* of the witness, as in its key: no space, no '+' */
	const char *const *logs; /* keys of the logs that it cosigns; a log may have several of one name */
	size_t log_count;
};

/* -EINVAL: a name or key is none; -EBUSY; -EBADMSG: what is kept of a log cannot be read; -errno. */
int witness_open(struct witness **out, const struct witness_options *o);
void witness_close(struct witness **at);
/* The public key, of cosignature/v1. */
void witness_vkey(const struct witness *w, char to[LEDGER_VKEY]);

#define WITNESS_BODY   32768 /* bytes of a request: 64 lines and a note */
#define WITNESS_ANSWER 512

struct witness_answer {
	unsigned status;  /* of HTTP: 200, 400, 403, 404, 409, 422, 500 */
	const char *type; /* constant */
	char body[WITNESS_ANSWER];
	size_t len;
};

/* Answers the body of a POST to add-checkpoint. With 200 the checkpoint is on the disk. Not for two threads. */
void witness_add(struct witness *w, const uint8_t *body, size_t len, struct witness_answer *out);

/* The newest checkpoint of a log, on its way to witnesses. */
struct cosigning;

/* Reads the checkpoint in folder `dir` and what was cosigned before, which lies in RECORD.cosigned/NAME for
 * RECORD/NAME. -ENOENT, -EBADMSG, -errno. */
int cosigning_open(struct cosigning **out, const char *dir);
void cosigning_close(struct cosigning **at);
const char *cosigning_origin(const struct cosigning *c);
uint64_t cosigning_size(const struct cosigning *c);
/* The largest size that this witness has cosigned, and when; 0 and 0: none is kept. -EINVAL: the key is none. */
int cosigning_known(const struct cosigning *c, const char *vkey, uint64_t *size, uint64_t *unix_s);
/* The body of a request, with the proof from `old` on. The text is the caller's. -ERANGE: old is above the size. */
int cosigning_request(const struct cosigning *c, uint64_t old, char **text, size_t *len);
/* Takes the witness's cosignature out of an answer. -EBADMSG: there is none that is right. */
int cosigning_take(struct cosigning *c, const char *vkey, const uint8_t *answer, size_t len);
/* Keeps the checkpoint with what was taken, durable; nothing if nothing was. -errno. */
int cosigning_keep(struct cosigning *c);

/* ---- handing the record out: files for somebody who has none of our software ---- */

struct erasures;

/* Where they go: begin() with path and length, then the bytes, in one or more calls. 0 or -errno, which ends it. */
struct bundle_sink {
	int (*begin)(struct bundle_sink *s, const char *path, uint64_t len);
	int (*bytes)(struct bundle_sink *s, struct slice bytes);
};

/* Evidence that goes along, as the age files that it is: FOLDER/SEQ.age. */
struct bundle_evidence {
	const char *folder;
	const struct erasures *erasures;
	uint64_t sealed;     /* files that were handed out */
	uint64_t restricted; /* not handed out: to be erased, and kept for the term of the law or a hold alone */
	uint64_t erased;
	uint64_t gone; /* its pack is not there */
};

/* The log in folder `dir` as RECORD/LOG, what was cosigned as RECORD.cosigned/LOG: all that is under its newest
 * checkpoint, live or not. `evidence`: of its findings, counted there; NULL: none. *records: how many that counts.
 * -ENOENT also when a segment was pruned meanwhile; -EBADMSG: what is there is not what was signed. */
int bundle_log(struct bundle_sink *sink, const char *dir, const char *record, const char *log,
               struct bundle_evidence *evidence, uint64_t *records);

struct bundle_choice {
	const struct record_filter *filter;
	uint64_t first, last, most;       /* seqs; records: -E2BIG beyond */
	struct bundle_evidence *evidence; /* of the findings among them; NULL: none */
};

/* Chosen records: PREFIX/records/SEQ.pb, each with a tlog-proof PREFIX/proofs/SEQ; all of them in records.pb (a
 * Segment) and records.json; the checkpoint and keys. -EBADMSG: what is there is not what was signed. */
int bundle_records(struct bundle_sink *sink, const char *dir, const char *prefix, const struct bundle_choice *of,
                   uint64_t *records);

/* One record as a line of JSON (design, section 10): field names in snake_case, enums by name, bytes as hex, times RFC
 * 3339. Appends to a malloc'd string through *text and *len. */
int record_json(const Record *r, char **text, size_t *len);

/* ---- legal holds ---- */

#define HOLDS_MAX 1024
#define HOLD_ID   64

struct hold {
	char id[HOLD_ID];
	bool all;                 /* of both logs */
	uint64_t first, last;     /* else, of the ledger */
	uint64_t until_unix_nano; /* 0: until it is released */
};

struct holds;

/* Reads a record. -EINVAL: it has no id, or its range is none. */
int hold_read(struct hold *out, const Hold *h);
/* What is in force, from the control log in folder `dir`, which need not be there yet. -errno. */
int holds_open(struct holds **out, const char *dir);
void holds_close(struct holds **at);
/* A hold more, or one that is released. Any thread. -EEXIST, -ENOENT (to release), -ENOSPC, -EINVAL. */
int holds_apply(struct holds *s, const Hold *h);
bool holds_has(struct holds *s, const char *id);
/* For ledger_options.held, with the holds as its argument. */
bool holds_on_ledger(void *holds, uint64_t first, uint64_t last);
bool holds_on_control(void *holds, uint64_t first, uint64_t last);

/* ---- who asked, as a pseudonym ---- */

#define SUBJECT_TAG 16

/* The keys of the pseudonyms, files of mode 0600 in a folder of their own. */
struct subjects;

/* Opens folder `dir` (made with mode 0700) and the key of these days, which is made if there is none. -errno. */
int subjects_open(struct subjects **out, const char *dir);
void subjects_close(struct subjects **at);
/* Erases the keys whose days are all more than `days` ago: what they made can be told of nobody any more. How many, or
 * -errno. */
int subjects_forget(struct subjects *s, unsigned days);
/* The pseudonym of whom `digest` stands for: the same for 30 days at most, then another. Any thread. -errno. */
int subjects_tag(struct subjects *s, const uint8_t *digest, size_t len, uint8_t tag[SUBJECT_TAG]);
/* A pseudonym, and the days (since 1970) in which it may have been given. */
struct subject_name {
	uint8_t tag[SUBJECT_TAG];
	long first_day, last_day;
};
#define SUBJECT_NAMES 4096
/* All that `digest` has had under the keys that are left, the oldest first; the list is the caller's. Any thread.
 * -E2BIG: more than SUBJECT_NAMES keys; -EBADMSG: a key is damaged; -errno. */
int subjects_names(struct subjects *s, const uint8_t *digest, size_t len, struct subject_name **out, size_t *n);
/* The same for a text: the tag tells equal texts, and under no key that is left what they were. -errno. */
int subjects_content_tag(struct subjects *s, const uint8_t *text, size_t len, uint8_t tag[SUBJECT_TAG]);

/* ---- evidence: text for the holders of age keys ---- */

#define EVIDENCE_DIR     "evidence" /* in the ledger's folder */
#define EVIDENCE_MAX     (1u << 20) /* bytes of one text */
#define EVIDENCE_PAYLOAD (EVIDENCE_MAX + 4096)
#define EVIDENCE_HEADER  8192

struct evidence_store;

struct evidence_options {
	const char *dir;               /* the ledger's folder */
	const char *const *recipients; /* 1 to 16, "age1..." */
	size_t recipient_count;
	struct ledger *ledger; /* borrowed; closed after the store */
};

/* Takes texts from now on. -EINVAL: a recipient is none; -errno. */
int evidence_open(struct evidence_store **out, const struct evidence_options *o);
/* Writes what waits. */
void evidence_close(struct evidence_store **at);

/* A record, and what is to be kept beside it, which is nothing for some. */
struct evidence_item {
	const Record *record;
	const uint8_t *text;
	size_t len;
};

/* Seals and writes the texts, makes them durable, then appends the records in order, each with the place of its text;
 * where that fails the record says LOST. Queues copies, any thread. The note is of the last record and is told as by
 * ledger_append(), also when that fails. Only findings have texts. -ENOBUFS (queue full), -EMSGSIZE, -ENOMEM: nothing
 * was taken. */
int evidence_append(struct evidence_store *s, const struct evidence_item *items, size_t n, struct ledger_note *note);

struct evidence_stats {
	uint64_t kept, lost, bytes;
};
void evidence_stats(struct evidence_store *s, struct evidence_stats *out);

/* Where the evidence of a record is. */
struct evidence_place {
	uint64_t seq, time_unix_nano;
	char pack[16], kind[16];
	uint64_t offset, length, header_offset, header_length;
	uint8_t sha256[32], header_sha256[32];
};

/* Of a record. -ENODATA: it has none; -EBADMSG: what it says cannot be. */
int evidence_place(struct evidence_place *out, const Record *r);
/* Of record `seq` of the ledger in folder `dir`. -ENOENT: there is no such record; -EBADMSG; -ENODATA. */
int evidence_find(struct evidence_place *out, const char *dir, uint64_t seq);
/* Each finding of seqs first to last in the ledger in `dir`, until `each` returns other than 0, which is returned. What
 * is damaged is left out. -errno. */
int evidence_each(const char *dir, uint64_t first, uint64_t last, int (*each)(void *arg, const Record *r), void *arg);
/* Its age file, the caller's, the header in the first header_length bytes. -ENOENT: the files are not there; -ENODATA:
 * the header was erased; -EBADMSG: these are not the bytes that were written. */
int evidence_read(const char *dir, const struct evidence_place *p, uint8_t **file, size_t *len);
/* Overwrites their headers for good; places of one pack beside each other cost one sync. -errno of the first that is
 * left. */
int evidence_shred(const char *dir, const struct evidence_place *list, size_t n);
/* Removes the packs of days that are all more than `days` ago, their headers overwritten first. How many, or -errno. */
int evidence_forget(const char *dir, unsigned days);

/* ---- erasures: what the Erasure records of a control log come to ---- */

enum erasure { ERASURE_NONE, ERASURE_RESTRICTED, ERASURE_DONE };

struct erasures;

/* From the control log in folder `dir`, which need not be there. -errno. */
int erasures_open(struct erasures **out, const char *dir);
void erasures_close(struct erasures **at);
/* A record more, written at that time. -ENOMEM. */
int erasures_apply(struct erasures *e, const Erasure *r, uint64_t time_unix_nano);
enum erasure erasures_state(const struct erasures *e, uint64_t seq);
struct erasure_entry {
	uint64_t seq;
	enum erasure what;
	uint64_t time_unix_nano; /* of the record */
	uint64_t not_before_unix_nano;
};
/* Each that is not NONE, in order of seq, until `each` returns other than 0, which is returned. */
int erasures_each(const struct erasures *e, int (*each)(void *arg, const struct erasure_entry *one), void *arg);

/* ---- reviews: what people say of findings ---- */

enum review { REVIEW_NONE, REVIEW_CORRECT, REVIEW_WRONG, REVIEW_UNSURE, REVIEW_COUNT };

extern const char *const review_names[REVIEW_COUNT]; /* "none", "correct", "wrong", "unsure" */

#define EXCHANGE_ID 16

/* What a review is of. */
struct reviewable {
	uint64_t seq;
	uint8_t exchange_id[EXCHANGE_ID];
	char rule[256];
	Verdict verdict;
};

/* A finding. -EINVAL: it is none, or says less than a finding does. */
int reviewable_of(struct reviewable *out, const Record *r);
/* Finding `seq` of the ledger in folder `dir`. -ENOENT: there is no such record; -ENODATA: it was pruned; -EINVAL: it
 * is no finding; -EBADMSG: it is damaged; -errno. */
int reviewable_find(struct reviewable *out, const char *dir, uint64_t seq);

/* The last word on each finding that somebody has looked at. */
struct reviews;

struct review_entry {
	uint64_t seq;
	uint8_t exchange_id[EXCHANGE_ID];
	enum review outcome;
	const char *rule; /* as long as the reviews */
};

int reviews_new(struct reviews **out); /* -ENOMEM */
/* From the control log in folder `dir`, which need not be there. -errno. */
int reviews_open(struct reviews **out, const char *dir);
void reviews_close(struct reviews **at);
/* A later one. -EINVAL: it says nothing that this version knows; -ENOMEM. */
int reviews_apply(struct reviews *s, const Review *r);
/* Of that finding, if it is the one that was reviewed. */
enum review reviews_state(const struct reviews *s, uint64_t seq, const uint8_t exchange_id[EXCHANGE_ID]);
/* Each, in order of seq, until `each` returns other than 0, which is returned. */
int reviews_each(const struct reviews *s, int (*each)(void *arg, const struct review_entry *one), void *arg);

struct evidence_counts {
	uint64_t kept, erased, restricted, lost, faults;
};

/* Is all evidence of the ledger in `dir` what its records say, but for what was erased? `control`: folder of the log
 * with the erasures. 0 and the counts, each fault told; -errno. */
int evidence_verify(struct evidence_counts *out, const char *dir, const char *control,
                    void (*fault)(void *arg, enum fault what, const char *text), void *arg);

/* ---- reading age files, for who has an identity ---- */

struct age_identity {
	uint8_t secret[32], recipient[32];
};
#define AGE_IDENTITIES 64

/* "AGE-SECRET-KEY-1...". -EINVAL. */
int age_identity_read(struct age_identity *out, const char *text);
/* Decrypts an age file for X25519 recipients. The text is the caller's, who should wipe it. -EBADMSG: it is no age
 * file, or was changed or cut; -EACCES: it is for somebody else; -ENOMEM, -EIO. */
int age_open(const struct age_identity *ids, size_t n, const uint8_t *file, size_t len, uint8_t **text,
             size_t *text_len);
