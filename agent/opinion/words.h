/* SPDX-License-Identifier: Apache-2.0 */
/* words.h - what is asked and what was answered, as bytes. Pure. */
#pragma once

#include "base/buf.h"
#include "opinion/opinion.h"

struct label {
	bool unsafe;
	const char *word;    /* of the configuration; NULL: the answer has only yes and no */
	uint64_t categories; /* places in the configuration's list */
};

/* The body of a request about `text`. -ENOBUFS, -ENOMEM. */
int words_ask(struct buf *out, const struct config_opinion *c, struct slice text);

/* Reads an answer's whole body. -EBADMSG: it is not one that the configuration knows, or says two things. */
int words_read(const struct config_opinion *c, struct slice body, struct label *out);

/* Reads the label that a guard model wrote. -EBADMSG. */
int words_label(const struct config_opinion *c, struct slice text, struct label *out);
