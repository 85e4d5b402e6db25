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
	ROLE_TOOL,    /* a number: which tool call, or which other part of the choice */
	ROLE_KIND,    /* a label that says what the message is: the first of the table's `kinds` of that name */
	ROLE_IDS,     /* numbers: tokens of a vocabulary that we do not know */
};

enum items {
	ITEMS_PLAIN,
	ITEMS_CHOICES,        /* each says in its "index" which choice it is about */
	ITEMS_TOOLS,          /* likewise, tool calls */
	ITEMS_CHOICES_PLACED, /* its place in the array says it */
	ITEMS_TOOLS_PLACED,
};

/* What a message of that name carries. The last has no name. */
struct kind {
	const char *name;
	enum channel channel; /* of the rows that are BY_KIND; CHANNEL_NONE: of these it has none that we know */
	enum tap tap;         /* of the name itself */
};

/* Rows end with one whose key is NULL; at most 64 in a table. A table whose messages are each about one choice has the
 * row that says which one in front. */
struct field {
	const char *key;
	uint8_t len; /* of the key */
	enum role role;
	enum channel channel; /* ROLE_TEXT */
	uint8_t variant;      /* keys of one channel that servers may send side by side are texts of their own */
	bool by_kind;         /* ROLE_TEXT: the kind of the message says the channel */
	bool again;           /* ROLE_TEXT: some servers send all of it again in each message */
	bool asked;           /* ROLE_TEXT: what the client sent, not what was generated */
	bool loose;           /* ROLE_CHOICE: says the choice of those rows alone that are `placed` */
	bool placed;
	bool keys; /* the keys of the object, or of each object of the array, are parts of a text, too */
	enum tap tap;
	enum items items;          /* when the value is an array of objects */
	const struct field *below; /* fields of the object, or of each object of the array */
	const struct field *each;  /* the row of the values whose keys are in no row below */
	const struct kind *kinds;  /* ROLE_KIND */
};

/* The families of APIs, each in a file of its own; the last row of each has no name. */
extern const struct dialect openai_dialects[];
extern const struct dialect responses_dialects[];
extern const struct dialect anthropic_dialects[];
extern const struct dialect ollama_dialects[];
extern const struct dialect kserve_dialects[];
extern const struct dialect native_dialects[];

/* What OpenAI's rows share with others that imitate them. */
extern const struct field openai_usage[];
extern const struct field openai_token[];

#define KEY(name) .key = name, .len = sizeof(name) - 1

/* A value that is no text, or one that nothing more can be said of. */
#define PLAIN(name)                                                                                                    \
	{                                                                                                              \
		KEY(name)                                                                                              \
	}
#define BELOW(name, rows)                                                                                              \
	{                                                                                                              \
		KEY(name), .below = rows                                                                               \
	}
#define ITEMS(name, how, rows)                                                                                         \
	{                                                                                                              \
		KEY(name), .items = how, .below = rows                                                                 \
	}
#define TEXT(name, of)                                                                                                 \
	{                                                                                                              \
		KEY(name), .role = ROLE_TEXT, .channel = of                                                            \
	}
/* A text apart from others of its channel: servers send the same words under old and new names side by side. */
#define TEXT_APART(name, of, n)                                                                                        \
	{                                                                                                              \
		KEY(name), .role = ROLE_TEXT, .channel = of, .variant = n                                              \
	}
/* Words of the client's, given back to it. */
#define TEXT_ASKED(name, n)                                                                                            \
	{                                                                                                              \
		KEY(name), .role = ROLE_TEXT, .channel = CHANNEL_CONTENT, .variant = n, .asked = true                  \
	}
#define TEXT_BY_KIND(name, n)                                                                                          \
	{                                                                                                              \
		KEY(name), .role = ROLE_TEXT, .by_kind = true, .variant = n                                            \
	}
#define LABEL(name)                                                                                                    \
	{                                                                                                              \
		KEY(name), .role = ROLE_LABEL                                                                          \
	}
#define TAPPED(name, t)                                                                                                \
	{                                                                                                              \
		KEY(name), .role = ROLE_LABEL, .tap = t                                                                \
	}
#define VALUE(name, t)                                                                                                 \
	{                                                                                                              \
		KEY(name), .role = ROLE_VALUE, .tap = t                                                                \
	}
#define KIND(name, of)                                                                                                 \
	{                                                                                                              \
		KEY(name), .role = ROLE_KIND, .kinds = of                                                              \
	}
#define IDS(name)                                                                                                      \
	{                                                                                                              \
		KEY(name), .role = ROLE_IDS, .tap = TAP_IDS                                                            \
	}
#define INDEX(name, of)                                                                                                \
	{                                                                                                              \
		KEY(name), .role = of                                                                                  \
	}
