/* SPDX-License-Identifier: Apache-2.0 */
/* field.h - one row of a dialect's table: a key of a JSON message and what its value is. Private to stream. */
#pragma once

#include "stream/stream.h"

enum role {
	ROLE_UNKNOWN, /* a container, or a value that the table says nothing of: CHANNEL_OTHER */
	ROLE_TEXT,    /* part of a text that goes on from message to message */
	ROLE_LABEL,   /* a text by itself */
	ROLE_VALUE,   /* a number or literal that is tapped */
	ROLE_CHOICE,  /* a number: which choice the object around it is about */
	ROLE_TOOL,    /* a number: which tool call */
};

enum items {
	ITEMS_PLAIN,
	ITEMS_CHOICES,        /* each says in its "index" which choice it is about */
	ITEMS_TOOLS,          /* likewise, tool calls */
	ITEMS_CHOICES_PLACED, /* its place in the array says it */
	ITEMS_TOOLS_PLACED,
};

/* Rows end with one whose key is NULL. */
struct field {
	const char *key;
	enum role role;
	enum channel channel; /* ROLE_TEXT */
	uint8_t variant;      /* keys of one channel that servers may send side by side are texts of their own */
	enum tap tap;
	enum items items;          /* when the value is an array of objects */
	const struct field *below; /* fields of the object, or of each object of the array */
};
