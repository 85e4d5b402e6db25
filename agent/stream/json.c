/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.c - JSON (RFC 8259) as it comes, and the text of its strings as a reader will see it.
 *
 * Strict, because a lenient reader behind us must not see a string that we did not. Every answer passes here, so runs
 * of plain bytes are found eight at a time and given as they stand in the input; only escapes are rewritten, one at a
 * time, so that each item says where its text came from.
 */
#include "stream/json_string.h"

void json_start(struct json *j)
{
	*j = (struct json){ .state = BLANK };
}

bool json_done(const struct json *j)
{
	return j->state == DONE;
}

bool json_blank(const struct json *j)
{
	return j->state == BLANK;
}

/* The value under way is complete; this item says so. */
static enum step value_end(struct json *j, struct json_item *item, enum json_kind kind)
{
	j->state = j->depth ? NEXT : DONE;
	return give_mark(item, kind);
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* ---- strings ---- */

static enum step string_end(struct json *j, struct json_item *item)
{
	if (!j->in_key)
		return value_end(j, item, JSON_STRING_END);
	j->state = COLON;
	return give_mark(item, JSON_KEY_END);
}

/* No run starts here: an escape, the end, or a fault. */
static enum step on_stop(struct json *j, struct cursor *c, struct json_item *item)
{
	if (j->utf8_left || *c->p >= 0x80)
		return refuse(j, item, "a string is not UTF-8");
	if (*c->p < 0x20)
		return refuse(j, item, "control character in a string");
	if (*c->p++ == '"')
		return string_end(j, item);
	j->raw++;
	j->state = ESCAPE;
	return c->p < c->end ? json_on_escape(j, c, item) : STEP_MORE;
}

static enum step on_string(struct json *j, struct cursor *c, struct json_item *item)
{
	const uint8_t *start = c->p, *end = run_limit(c), *p = start;

	if (j->high && *start != '\\')
		return json_give_lone(j, item);
	if (!j->utf8_left)
		p = ascii_run(start, end);
	if (p < end && (j->utf8_left || *p >= 0x80))
		p = json_text_run(j, p, end);
	if (p == start)
		return on_stop(j, c, item);
	c->p = p;
	return give_run(item, j->in_key ? JSON_KEY : JSON_STRING, start, p);
}

/* ---- numbers and literals ---- */

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* The part of the number that c brings, or 0: c does not belong to it. */
static uint8_t number_next(uint8_t state, uint8_t c)
{
	bool e = c == 'e' || c == 'E';

	switch (state) {
	case NUMBER_START:
	case NUMBER_MINUS:
		if (c == '-')
			return state == NUMBER_START ? NUMBER_MINUS : 0;
		return c == '0' ? NUMBER_ZERO : is_digit(c) ? NUMBER_INT : 0;
	case NUMBER_INT:
	case NUMBER_ZERO:
		if (c == '.')
			return NUMBER_POINT;
		return e ? NUMBER_E : state == NUMBER_INT && is_digit(c) ? NUMBER_INT : 0;
	case NUMBER_POINT:
	case NUMBER_FRACTION:
		return is_digit(c) ? NUMBER_FRACTION : e && state == NUMBER_FRACTION ? NUMBER_E : 0;
	case NUMBER_E:
		if (c == '+' || c == '-')
			return NUMBER_SIGN;
		/* fall through */
	default: /* NUMBER_SIGN, NUMBER_EXPONENT */
		return is_digit(c) ? NUMBER_EXPONENT : 0;
	}
}

static bool number_may_end(const struct json *j)
{
	return j->state == NUMBER_ZERO || j->state == NUMBER_INT || j->state == NUMBER_FRACTION ||
	       j->state == NUMBER_EXPONENT;
}

static enum step on_number(struct json *j, struct cursor *c, struct json_item *item)
{
	const uint8_t *start = c->p, *end = run_limit(c);
	uint8_t next;

	while (c->p < end && (next = number_next(j->state, *c->p))) {
		j->state = next;
		c->p++;
		while (number_may_end(j) && next != NUMBER_ZERO && c->p < end && is_digit(*c->p))
			c->p++;
	}
	if (c->p > start)
		return give_run(item, JSON_NUMBER, start, c->p);
	return number_may_end(j) ? value_end(j, item, JSON_NUMBER_END) : refuse(j, item, "not a number");
}

static enum step on_literal(struct json *j, struct cursor *c, struct json_item *item)
{
	static const char *const words[] = { [JSON_TRUE] = "true", [JSON_FALSE] = "false", [JSON_NULL] = "null" };
	const char *word = words[j->literal];

	while (c->p < c->end) {
		if (*c->p != (uint8_t)word[j->after])
			return refuse(j, item, "neither true nor false nor null");
		c->p++;
		if (!word[++j->after])
			return value_end(j, item, j->literal);
	}
	return STEP_MORE;
}

static enum step literal_start(struct json *j, struct cursor *c, enum json_kind literal, struct json_item *item)
{
	j->literal = literal;
	j->after = 0;
	j->state = LITERAL;
	return on_literal(j, c, item);
}

/* ---- structure ---- */

static bool in_object(const struct json *j)
{
	return j->depth && j->containers >> (j->depth - 1) & 1;
}

static enum step container_open(struct json *j, struct cursor *c, struct json_item *item)
{
	uint64_t bit = (uint64_t)1 << (j->depth & 63);
	bool object = *c->p == '{';

	if (j->depth == JSON_DEPTH_MAX)
		return refuse(j, item, "depth");
	c->p++;
	j->containers = object ? j->containers | bit : j->containers & ~bit;
	j->depth++;
	j->state = object ? FIRST_KEY : FIRST_VALUE;
	return give_mark(item, object ? JSON_OBJECT : JSON_ARRAY);
}

static enum step container_close(struct json *j, struct cursor *c, struct json_item *item)
{
	bool object = in_object(j);

	c->p++;
	j->depth--;
	return value_end(j, item, object ? JSON_OBJECT_END : JSON_ARRAY_END);
}

/* The opening quote is here. */
static inline enum step string_start(struct json *j, struct cursor *c, bool key, struct json_item *item)
{
	c->p++;
	j->in_key = key;
	j->state = STRING;
	return c->p < c->end ? on_string(j, c, item) : STEP_MORE;
}

static inline enum step on_value(struct json *j, struct cursor *c, struct json_item *item)
{
	switch (*c->p) {
	case '"':
		return string_start(j, c, false, item);
	case '{':
	case '[':
		return container_open(j, c, item);
	case 't':
		return literal_start(j, c, JSON_TRUE, item);
	case 'f':
		return literal_start(j, c, JSON_FALSE, item);
	case 'n':
		return literal_start(j, c, JSON_NULL, item);
	case '-':
	case '0' ... '9':
		j->state = NUMBER_START;
		return on_number(j, c, item);
	default:
		return refuse(j, item, "not a value");
	}
}

/* The punctuation at c->p and what must follow it. STEP_MORE: it was used, and the state is another. */
static enum step on_punctuation(struct json *j, struct cursor *c, struct json_item *item)
{
	uint8_t b = *c->p;

	if (j->state == COLON) {
		if (b != ':')
			return refuse(j, item, "no colon after a key");
		j->state = VALUE;
	} else if (j->state == NEXT) {
		if (b == (in_object(j) ? '}' : ']'))
			return container_close(j, c, item);
		if (b != ',')
			return refuse(j, item, "neither a comma nor the end of the container");
		j->state = in_object(j) ? KEY : VALUE;
	} else {
		return refuse(j, item, "more than one value");
	}
	c->p++;
	return STEP_MORE;
}

/* Between the tokens: white space, punctuation, and the start of the next token. */
static enum step on_structure(struct json *j, struct cursor *c, struct json_item *item)
{
	enum step step = STEP_MORE;

	do {
		while (c->p < c->end && is_space(*c->p))
			c->p++;
		if (c->p == c->end)
			return STEP_MORE;
		if (j->state == FIRST_KEY || j->state == KEY) {
			if (*c->p == '"')
				return string_start(j, c, true, item);
			if (j->state == KEY || *c->p != '}')
				return refuse(j, item, "not a key");
			return container_close(j, c, item);
		}
		if (j->state == FIRST_VALUE && *c->p == ']')
			return container_close(j, c, item);
		if (j->state <= FIRST_VALUE)
			return on_value(j, c, item);
		step = on_punctuation(j, c, item);
	} while (step == STEP_MORE && c->p < c->end);
	return step;
}

/* The next step. At least one byte is there. A byte that is refused is not used. */
static enum step on_byte(struct json *j, struct cursor *c, struct json_item *item)
{
	if (j->state == STRING) {
		if (*c->p == '"' && !j->utf8_left && !j->high) { /* as it mostly is, behind the text */
			c->p++;
			return string_end(j, item);
		}
		return on_string(j, c, item);
	}
	if (j->state < STRING)
		return on_structure(j, c, item);
	switch (j->state) {
	case ESCAPE:
		return json_on_escape(j, c, item);
	case HEX:
		return json_on_hex(j, c, item);
	case LITERAL:
		return on_literal(j, c, item);
	default:
		return on_number(j, c, item);
	}
}

enum step json_feed(struct json *j, struct slice in, size_t *used, struct json_item *item)
{
	struct cursor c = { in.at, in.len ? in.at + in.len : in.at };
	enum step step = STEP_MORE;

	*used = 0;
	if (j->state == BROKEN)
		return refuse(j, item, "refused before");
	while (step == STEP_MORE && c.p < c.end)
		step = on_byte(j, &c, item);
	*used = (size_t)(c.p - in.at);
	return step;
}

enum step json_finish(struct json *j, struct json_item *item)
{
	if (j->state == BROKEN)
		return refuse(j, item, "refused before");
	if (j->state == BLANK || j->state == DONE)
		return STEP_MORE;
	if (number_may_end(j))
		return value_end(j, item, JSON_NUMBER_END);
	return refuse(j, item, "cut short");
}
