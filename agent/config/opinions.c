/* SPDX-License-Identifier: Apache-2.0 */
/* opinions.c - the keys of `opinions:`: which models may be asked, how, and what their answers mean. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/read.h"

const char *const opinion_kind_names[OPINION_KIND_COUNT] = { "moderations", "chat" };

/* What OpenAI's moderation names; another endpoint's are given by `categories`. */
static const char *const moderation_categories[] = {
	"harassment",
	"harassment/threatening",
	"hate",
	"hate/threatening",
	"illicit",
	"illicit/violent",
	"self-harm",
	"self-harm/intent",
	"self-harm/instructions",
	"sexual",
	"sexual/minors",
	"violence",
	"violence/graphic",
};

/* ---- values ---- */

static void word_list(struct reader *r, yaml_node_t *n, const char *what, struct config_words *to, size_t most)
{
	size_t count;

	if (n->type != YAML_SEQUENCE_NODE || n->data.sequence.items.start == n->data.sequence.items.top) {
		read_wrong(r, n, "%s must be a list with at least one word", what);
		return;
	}
	count = (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
	if (count > most) {
		read_wrong(r, n, "%s: at most %zu", what, most);
		return;
	}
	to->at = calloc(count, sizeof(*to->at));
	for (size_t i = 0; to->at && i < count; i++)
		read_text(r, yaml_document_get_node(&r->doc, n->data.sequence.items.start[i]), what,
		          &to->at[to->count++]);
}

static void milliseconds(struct reader *r, yaml_node_t *n, const char *what, uint64_t low, uint64_t high, uint32_t *to)
{
	uint64_t ms;

	if (read_number(r, n, what, ms_units, low, high, &ms))
		*to = (uint32_t)ms;
}

static void small_number(struct reader *r, yaml_node_t *n, const char *what, uint64_t high, uint32_t *to)
{
	uint64_t value;

	if (read_number(r, n, what, NULL, 1, high, &value))
		*to = (uint32_t)value;
}

/* ---- the URL ---- */

/* Digits of a port. 0: none. */
static uint16_t port_of(const char *text, size_t len)
{
	unsigned port = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || port > 6553)
			return 0;
		port = port * 10 + (unsigned)(text[i] - '0');
	}
	return port <= 65535 ? (uint16_t)port : 0;
}

static bool is_host(const char *host)
{
	static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
	struct in6_addr a;

	return *host && (inet_pton(AF_INET6, host, &a) == 1 || !host[strspn(host, name)]);
}

/* http://HOST[:PORT]/PATH and nothing that two readers could read differently: no user, fragment, blank or escape. */
static const char *split_url(struct config_opinion *o)
{
	bool tls = !strncmp(o->url, "https://", 8);
	const char *at = o->url + (tls ? 8 : 7), *end, *host_end;

	if (!tls && strncmp(o->url, "http://", 7))
		return "url must begin with http:// or https://";
	for (const char *p = o->url; *p; p++)
		if (*p <= ' ' || *p >= 0x7f || strchr("@#\\%\"<>{}|^`", *p))
			return "url holds a character that has no place there";
	end = at + strcspn(at, "/?");
	if (*end != '/')
		return "url needs a path";
	if (*at == '[') {
		at++;
		host_end = memchr(at, ']', (size_t)(end - at));
		if (!host_end)
			return "url: the address does not end";
	} else {
		host_end = memchr(at, ':', (size_t)(end - at));
		host_end = host_end ? host_end : end;
	}
	o->host = strndup(at, (size_t)(host_end - at));
	if (!o->host)
		return "out of memory";
	host_end += *host_end == ']';
	o->port = tls ? 443 : 80;
	if (*host_end == ':')
		o->port = port_of(host_end + 1, (size_t)(end - host_end - 1));
	else if (host_end != end)
		return "url: the address is followed by something else";
	if (!o->port || !is_host(o->host))
		return "url has no host, or no port, that can be one";
	return NULL;
}

static bool is_here(const char *host)
{
	struct in_addr v4;

	if (!strcmp(host, "localhost") || !strcmp(host, "::1"))
		return true;
	return inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* ---- keys ---- */

static void opinion_name(struct reader *r, yaml_node_t *n)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	char *name;

	read_text(r, n, "name", &r->opinion->name);
	name = r->opinion->name;
	if (name && (name[strspn(name, plain)] || strlen(name) > 64))
		read_wrong(r, n, "name: only letters, digits, '.', '_' and '-', at most 64");
}

static void opinion_url(struct reader *r, yaml_node_t *n)
{
	const char *why;

	read_text(r, n, "url", &r->opinion->url);
	why = r->opinion->url && !r->opinion->host ? split_url(r->opinion) : NULL;
	if (why)
		read_wrong(r, n, "%s", why);
}

static void opinion_kind(struct reader *r, yaml_node_t *n)
{
	size_t which;

	if (read_one_of(r, n, "kind", opinion_kind_names, OPINION_KIND_COUNT, &which))
		r->opinion->kind = (enum opinion_kind)which;
}

static void opinion_model(struct reader *r, yaml_node_t *n)
{
	read_text(r, n, "model", &r->opinion->model);
}

static void opinion_token(struct reader *r, yaml_node_t *n)
{
	read_text(r, n, "token_file", &r->opinion->token_file);
}

static void opinion_deadline(struct reader *r, yaml_node_t *n)
{
	milliseconds(r, n, "deadline", 10, 60000, &r->opinion->deadline_ms);
}

static void opinion_concurrency(struct reader *r, yaml_node_t *n)
{
	small_number(r, n, "concurrency", 256, &r->opinion->concurrency);
}

static void breaker_failures(struct reader *r, yaml_node_t *n)
{
	small_number(r, n, "breaker.failures", 10000, &r->opinion->breaker_failures);
}

static void breaker_pause(struct reader *r, yaml_node_t *n)
{
	milliseconds(r, n, "breaker.pause", 100, 3600000, &r->opinion->breaker_pause_ms);
}

static const struct key breaker_keys[] = { { "failures", breaker_failures, NULL },
	                                   { "pause", breaker_pause, NULL },
	                                   {} };

static void opinion_breaker(struct reader *r, yaml_node_t *n)
{
	read_mapping(r, n, "breaker", breaker_keys);
}

static void opinion_on_timeout(struct reader *r, yaml_node_t *n)
{
	static const char *const words[] = { "release", "block" };
	size_t which;

	if (read_one_of(r, n, "on_timeout", words, 2, &which))
		r->opinion->block = which;
}

static void opinion_remote(struct reader *r, yaml_node_t *n)
{
	static const char *const words[] = { "false", "true" };
	size_t which;

	if (read_one_of(r, n, "remote", words, 2, &which))
		r->opinion->remote = which;
}

static void message_role(struct reader *r, yaml_node_t *n)
{
	static const char *const words[] = { "system", "user", "assistant" };
	size_t which;

	if (read_one_of(r, n, "role", words, 3, &which))
		read_text(r, n, "role", &r->opinion->messages[r->opinion->message_count - 1].role);
}

static void message_content(struct reader *r, yaml_node_t *n)
{
	read_text(r, n, "content", &r->opinion->messages[r->opinion->message_count - 1].content);
}

static const struct key message_keys[] = { { "role", message_role, NULL }, { "content", message_content, NULL }, {} };

static void opinion_messages(struct reader *r, yaml_node_t *n)
{
	struct config_opinion *o = r->opinion;
	size_t count;
	bool text = false;

	if (n->type != YAML_SEQUENCE_NODE || n->data.sequence.items.start == n->data.sequence.items.top) {
		read_wrong(r, n, "messages must be a list with at least one message");
		return;
	}
	count = (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
	if (count > 16 || o->messages) {
		read_wrong(r, n, "messages: at most 16, in one list");
		return;
	}
	o->messages = calloc(count, sizeof(*o->messages));
	for (size_t i = 0; o->messages && i < count; i++) {
		yaml_node_t *item = yaml_document_get_node(&r->doc, n->data.sequence.items.start[i]);
		struct config_message *m = &o->messages[o->message_count++];

		read_mapping(r, item, "a message", message_keys);
		if (!m->role || !m->content)
			read_wrong(r, item, "a message needs a role and content");
		else
			text |= strstr(m->content, "{text}") != NULL;
	}
	if (!text)
		read_wrong(r, n, "messages: {text} stands in none of them");
}

static void opinion_max_tokens(struct reader *r, yaml_node_t *n)
{
	small_number(r, n, "max_tokens", 4096, &r->opinion->max_tokens);
}

static void verdict_after(struct reader *r, yaml_node_t *n)
{
	read_text(r, n, "verdict.after", &r->opinion->verdict_after);
}

static void verdict_safe(struct reader *r, yaml_node_t *n)
{
	word_list(r, n, "verdict.safe", &r->opinion->safe, CONFIG_CATEGORIES_MAX);
}

static void verdict_unsafe(struct reader *r, yaml_node_t *n)
{
	word_list(r, n, "verdict.unsafe", &r->opinion->unsafe, CONFIG_CATEGORIES_MAX);
}

static const struct key verdict_keys[] = {
	{ "after", verdict_after, NULL }, { "safe", verdict_safe, NULL }, { "unsafe", verdict_unsafe, NULL }, {}
};

static void opinion_verdict(struct reader *r, yaml_node_t *n)
{
	read_mapping(r, n, "verdict", verdict_keys);
}

static void categories_after(struct reader *r, yaml_node_t *n)
{
	read_text(r, n, "categories.after", &r->opinion->category_after);
}

static void categories_names(struct reader *r, yaml_node_t *n)
{
	word_list(r, n, "categories.names", &r->opinion->categories, CONFIG_CATEGORIES_MAX);
}

static const struct key category_keys[] = { { "after", categories_after, NULL },
	                                    { "names", categories_names, NULL },
	                                    {} };

static void opinion_categories(struct reader *r, yaml_node_t *n)
{
	read_mapping(r, n, "categories", category_keys);
}

static const struct key opinion_keys[] = {
	{ "name", opinion_name, NULL },
	{ "url", opinion_url, NULL },
	{ "kind", opinion_kind, NULL },
	{ "model", opinion_model, NULL },
	{ "token_file", opinion_token, NULL },
	{ "deadline", opinion_deadline, NULL },
	{ "concurrency", opinion_concurrency, NULL },
	{ "breaker", opinion_breaker, NULL },
	{ "on_timeout", opinion_on_timeout, NULL },
	{ "remote", opinion_remote, NULL },
	{ "messages", opinion_messages, NULL },
	{ "max_tokens", opinion_max_tokens, NULL },
	{ "verdict", opinion_verdict, NULL },
	{ "categories", opinion_categories, NULL },
	{},
};

/* ---- one of them, and all ---- */

static bool fill(struct config_opinion *o)
{
	size_t count = ARRAY_LEN(moderation_categories);
	bool full = true;

	if (!o->verdict_after)
		o->verdict_after = strdup("");
	if (!o->category_after)
		o->category_after = strdup("");
	if (o->kind == OPINION_MODERATIONS && !o->categories.count) {
		o->categories.at = calloc(count, sizeof(char *));
		for (size_t i = 0; o->categories.at && i < count; i++) {
			o->categories.at[i] = strdup(moderation_categories[i]);
			full &= o->categories.at[i] != NULL;
			o->categories.count++;
		}
		full &= o->categories.at != NULL;
	}
	return full && o->verdict_after && o->category_after;
}

static void read_opinion(struct reader *r, yaml_node_t *item, struct config_opinion *o)
{
	struct config *c = r->config;

	*o = (struct config_opinion){ .kind = OPINION_KIND_COUNT,
		                      .deadline_ms = 2000,
		                      .concurrency = 8,
		                      .breaker_failures = 5,
		                      .breaker_pause_ms = 10000,
		                      .max_tokens = 64,
		                      .block = true };
	r->opinion = o;
	read_mapping(r, item, "an opinion", opinion_keys);
	if (!o->name || !o->url || o->kind == OPINION_KIND_COUNT)
		read_wrong(r, item, "an opinion needs a name, a url and a kind");
	else if (o->kind == OPINION_CHAT && (!o->message_count || !o->safe.count || !o->unsafe.count))
		read_wrong(r, item,
		           "an opinion of kind chat needs messages, and a verdict's words for safe and unsafe");
	else if (o->kind == OPINION_MODERATIONS && (o->message_count || o->safe.count || o->unsafe.count))
		read_wrong(r, item, "an opinion of kind moderations has neither messages nor a verdict's words");
	if (o->host && !o->remote && !is_here(o->host))
		read_wrong(r, item,
		           "'%.64s' is not on this host: texts of answers would leave it. remote: true allows that",
		           o->host);
	for (size_t i = 0; o->name && i + 1 < c->opinion_count; i++)
		if (c->opinions[i].name && !strcmp(c->opinions[i].name, o->name))
			read_wrong(r, item, "two opinions are called '%.64s'", o->name);
	if (!fill(o))
		read_wrong(r, item, "out of memory");
}

void read_opinions(struct reader *r, yaml_node_t *n)
{
	size_t count;

	if (n->type != YAML_SEQUENCE_NODE) {
		read_wrong(r, n, "opinions must be a list");
		return;
	}
	count = (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
	if (r->config->opinions || count > CONFIG_OPINIONS_MAX) {
		read_wrong(r, n, "opinions: at most %d, in one list", CONFIG_OPINIONS_MAX);
		return;
	}
	r->config->opinions = calloc(count + 1, sizeof(*r->config->opinions));
	for (size_t i = 0; r->config->opinions && i < count; i++)
		read_opinion(r, yaml_document_get_node(&r->doc, n->data.sequence.items.start[i]),
		             &r->config->opinions[r->config->opinion_count++]);
}

static void free_words(struct config_words *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->at[i]);
	free(w->at);
}

void opinions_config_free(struct config *c)
{
	for (size_t i = 0; i < c->opinion_count; i++) {
		struct config_opinion *o = &c->opinions[i];

		for (size_t k = 0; k < o->message_count; k++) {
			free(o->messages[k].role);
			free(o->messages[k].content);
		}
		free(o->messages);
		free_words(&o->safe);
		free_words(&o->unsafe);
		free_words(&o->categories);
		free(o->name);
		free(o->url);
		free(o->host);
		free(o->model);
		free(o->token_file);
		free(o->verdict_after);
		free(o->category_after);
	}
	free(c->opinions);
}
