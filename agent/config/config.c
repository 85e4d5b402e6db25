/* SPDX-License-Identifier: Apache-2.0 */
/* config.c - a table of keys, each with the function that reads its value. */
#include "config/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/own.h"
#include "config/read.h"

#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/* What the name of a field is made of (RFC 9110 5.6.2). */
#define FIELD_NAME "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

const struct unit ms_units[] = { { "ms", 1 }, { "s", 1000 }, { "min", 60000 }, {} };

/* ---- services ---- */

static void service_name(struct reader *r, yaml_node_t *n)
{
	read_text(r, n, "name", &r->service->name);
}

static void service_unit(struct reader *r, yaml_node_t *n)
{
	read_text(r, n, "unit", &r->service->unit);
	if (r->service->unit && strchr(r->service->unit, '/'))
		read_wrong(r, n, "unit must be the name of a systemd unit, not a path");
}

static void service_cgroup(struct reader *r, yaml_node_t *n)
{
	read_text(r, n, "cgroup", &r->service->cgroup);
	if (r->service->cgroup && strstr(r->service->cgroup, ".."))
		read_wrong(r, n, "cgroup must not contain '..'");
}

static void service_ports(struct reader *r, yaml_node_t *n)
{
	size_t count;

	if (n->type == YAML_SCALAR_NODE && !strcmp((char *)n->data.scalar.value, "auto"))
		return;
	if (n->type != YAML_SEQUENCE_NODE || n->data.sequence.items.start == n->data.sequence.items.top) {
		read_wrong(r, n, "ports must be 'auto' or a list of port numbers");
		return;
	}
	count = (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
	free(r->service->ports);
	r->service->port_count = 0;
	r->service->ports = calloc(count, sizeof(*r->service->ports));
	if (!r->service->ports)
		return;
	for (size_t i = 0; i < count; i++) {
		yaml_node_t *item = yaml_document_get_node(&r->doc, n->data.sequence.items.start[i]);
		uint64_t port = 0;

		if (read_number(r, item, "a port", NULL, 1, 65535, &port))
			r->service->ports[r->service->port_count++] = (uint16_t)port;
	}
}

static void service_fail(struct reader *r, yaml_node_t *n)
{
	static const char *const words[] = { "closed", "open" };
	size_t which;

	if (read_one_of(r, n, "fail", words, 2, &which))
		r->service->fail_open = which;
}

/* Where token ids are all that an answer holds. */
static void service_token_ids(struct reader *r, yaml_node_t *n)
{
	static const char *const words[] = { "refuse", "strip", "pass" };
	size_t which;

	if (read_one_of(r, n, "token_ids", words, 3, &which) && which)
		read_wrong(r, n, "token_ids: %s is not supported by this version, only refuse", words[which]);
}

static void service_upgrade(struct reader *r, yaml_node_t *n)
{
	static const char *const words[] = { "refuse", "pass" };
	size_t which;

	if (read_one_of(r, n, "upgrade", words, 2, &which))
		r->service->upgrade_pass = which;
}

static const struct key service_keys[] = {
	{ "name", service_name, NULL },       { "unit", service_unit, NULL },
	{ "cgroup", service_cgroup, NULL },   { "ports", service_ports, NULL },
	{ "fail", service_fail, NULL },       { "token_ids", service_token_ids, NULL },
	{ "upgrade", service_upgrade, NULL }, {},
};

static void services(struct reader *r, yaml_node_t *n)
{
	size_t count;

	if (n->type != YAML_SEQUENCE_NODE || n->data.sequence.items.start == n->data.sequence.items.top) {
		read_wrong(r, n, "services must be a list with at least one service");
		return;
	}
	count = (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
	if (r->config->services || count > CONFIG_SERVICES_MAX) {
		read_wrong(r, n, "services: at most %d, in one list", CONFIG_SERVICES_MAX);
		return;
	}
	r->config->services = calloc(count, sizeof(*r->config->services));
	if (!r->config->services)
		return;
	for (size_t i = 0; i < count; i++) {
		yaml_node_t *item = yaml_document_get_node(&r->doc, n->data.sequence.items.start[i]);
		struct config_service *s = r->service = &r->config->services[r->config->service_count++];

		read_mapping(r, item, "a service", service_keys);
		if (!s->name)
			read_wrong(r, item, "a service needs a name");
		for (size_t j = 0; s->name && j + 1 < r->config->service_count; j++)
			if (r->config->services[j].name && !strcmp(r->config->services[j].name, s->name))
				read_wrong(r, item, "two services are called '%.64s'", s->name);
		if (s->unit && s->cgroup)
			read_wrong(r, item, "a service has a unit or a cgroup, not both");
		if (!s->unit && !s->cgroup && !s->port_count)
			read_wrong(r, item, "a service needs a unit, a cgroup, or a list of ports");
	}
}

/* ---- the rest ---- */

static void policy(struct reader *r, yaml_node_t *n)
{
	read_text(r, n, "policy", &r->config->policy);
}

static void policy_key(struct reader *r, yaml_node_t *n)
{
	read_text(r, n, "policy_key", &r->config->policy_key);
}

static void identity_headers(struct reader *r, yaml_node_t *n)
{
	size_t count;

	if (n->type != YAML_SEQUENCE_NODE) {
		read_wrong(r, n, "identity.headers must be a list");
		return;
	}
	count = (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
	if (r->config->identity_headers || count > 16) {
		read_wrong(r, n, "identity.headers: at most 16, in one list");
		return;
	}
	r->config->identity_headers = calloc(count + 1, sizeof(char *));
	for (size_t i = 0; r->config->identity_headers && i < count; i++) {
		yaml_node_t *item = yaml_document_get_node(&r->doc, n->data.sequence.items.start[i]);

		char **to = &r->config->identity_headers[r->config->identity_count++];

		read_text(r, item, "a header name", to);
		if (*to && (*to)[strspn(*to, FIELD_NAME)])
			read_wrong(r, item, "'%.64s' is not the name of a header", *to);
	}
}

static const struct key identity_keys[] = { { "headers", identity_headers, NULL }, {} };

static void identity(struct reader *r, yaml_node_t *n)
{
	read_mapping(r, n, "identity", identity_keys);
}

static bool is_loopback(const char *address)
{
	const char *colon = strrchr(address, ':');
	size_t host_len = colon ? (size_t)(colon - address) : 0;
	char host[INET_ADDRSTRLEN] = "", *end;
	struct in_addr a;
	long port;

	if (!colon || colon[1] < '0' || colon[1] > '9')
		return false;
	port = strtol(colon + 1, &end, 10);
	if (*end || port < 1 || port > 65535)
		return false;
	if (host_len == 5 && !memcmp(address, "[::1]", 5))
		return true;
	if (host_len >= sizeof(host))
		return false;
	memcpy(host, address, host_len);
	return inet_pton(AF_INET, host, &a) == 1 && ntohl(a.s_addr) >> 24 == IN_LOOPBACKNET;
}

static void metrics_listen(struct reader *r, yaml_node_t *n)
{
	read_text(r, n, "metrics.listen", &r->config->metrics_listen);
	if (r->config->metrics_listen && !is_loopback(r->config->metrics_listen))
		read_wrong(r, n, "metrics.listen must be a loopback address with a port, like 127.0.0.1:9477");
}

static const struct key metrics_keys[] = { { "listen", metrics_listen, NULL }, {} };

static void metrics(struct reader *r, yaml_node_t *n)
{
	read_mapping(r, n, "metrics", metrics_keys);
}

static void log_level(struct reader *r, yaml_node_t *n)
{
	size_t which;

	if (read_one_of(r, n, "log.level", log_level_names, LOG_LEVEL_COUNT, &which))
		r->config->log_level = (enum log_level)which;
}

static const struct key log_keys[] = { { "level", log_level, NULL }, {} };

static void log_section(struct reader *r, yaml_node_t *n)
{
	read_mapping(r, n, "log", log_keys);
}

static void user(struct reader *r, yaml_node_t *n)
{
	read_text(r, n, "user", &r->config->user);
}

static void control(struct reader *r, yaml_node_t *n)
{
	read_text(r, n, "control", &r->config->control);
	if (r->config->control && strlen(r->config->control) > SOCKET_PATH_MAX)
		read_wrong(r, n, "control: the path of a socket has at most %zu bytes", SOCKET_PATH_MAX);
}

static void capture_pins(struct reader *r, yaml_node_t *n)
{
	read_text(r, n, "capture.pins", &r->config->pins);
}

static void capture_cgroup(struct reader *r, yaml_node_t *n)
{
	read_text(r, n, "capture.cgroup", &r->config->own_cgroup);
}

static const struct key capture_keys[] = { { "pins", capture_pins, NULL }, { "cgroup", capture_cgroup, NULL }, {} };

static void capture(struct reader *r, yaml_node_t *n)
{
	read_mapping(r, n, "capture", capture_keys);
}

static void loops(struct reader *r, yaml_node_t *n)
{
	uint64_t count;

	if (read_number(r, n, "loops", NULL, 1, 256, &count))
		r->config->loops = (uint32_t)count;
}

static void limit_body(struct reader *r, yaml_node_t *n)
{
	read_number(r, n, "limits.body", size_units, 65536, 1u << 30, &r->config->body_max);
}

static void limit_event(struct reader *r, yaml_node_t *n)
{
	read_number(r, n, "limits.event", size_units, 4096, 1u << 28, &r->config->event_max);
}

static void limit_memory(struct reader *r, yaml_node_t *n)
{
	read_number(r, n, "limits.memory", size_units, 16u << 20, 1ull << 40, &r->config->memory_max);
}

static void limit_head(struct reader *r, yaml_node_t *n)
{
	uint64_t ms;

	if (read_number(r, n, "limits.head_timeout", ms_units, 100, 3600000, &ms))
		r->config->head_timeout_ms = (uint32_t)ms;
}

static void limit_stop(struct reader *r, yaml_node_t *n)
{
	uint64_t ms;

	if (read_number(r, n, "limits.stop_timeout", ms_units, 100, 60000, &ms))
		r->config->stop_timeout_ms = (uint32_t)ms;
}

static void limit_drain(struct reader *r, yaml_node_t *n)
{
	uint64_t ms;

	if (read_number(r, n, "limits.drain_timeout", ms_units, 100, 86400000, &ms))
		r->config->drain_timeout_ms = (uint32_t)ms;
}

static const struct key limit_keys[] = {
	{ "body", limit_body, NULL },
	{ "event", limit_event, NULL },
	{ "memory", limit_memory, NULL },
	{ "head_timeout", limit_head, NULL },
	{ "stop_timeout", limit_stop, NULL },
	{ "drain_timeout", limit_drain, NULL },
	{},
};

static void limits(struct reader *r, yaml_node_t *n)
{
	read_mapping(r, n, "limits", limit_keys);
}

static const struct key top_keys[] = {
	{ "services", services, NULL },
	{ "policy", policy, NULL },
	{ "policy_key", policy_key, NULL },
	{ "record", read_record, NULL },
	{ "identity", identity, NULL },
	{ "metrics", metrics, NULL },
	{ "log", log_section, NULL },
	{ "alerts", read_alerts, NULL },
	{ "user", user, NULL },
	{ "control", control, NULL },
	{ "capture", capture, NULL },
	{ "loops", loops, NULL },
	{ "limits", limits, NULL },
	{ "opinions", read_opinions, NULL },
	{ "exceptions", NULL, "every exception closes" },
	{ "upgrade", NULL, "a change of protocol is refused" },
	{},
};

/* ---- loading ---- */

void config_free(struct config **at)
{
	struct config *c = *at;

	if (!c)
		return;
	for (size_t i = 0; i < c->service_count; i++) {
		free(c->services[i].name);
		free(c->services[i].unit);
		free(c->services[i].cgroup);
		free(c->services[i].ports);
	}
	for (size_t i = 0; i < c->witness_count; i++) {
		free(c->witnesses[i].url);
		free(c->witnesses[i].key);
	}
	free(c->witnesses);
	for (size_t i = 0; i < c->identity_count; i++)
		free(c->identity_headers[i]);
	for (size_t i = 0; i < c->recipient_count; i++)
		free(c->recipients[i]);
	free(c->recipients);
	free(c->identity_headers);
	free(c->services);
	free(c->policy);
	free(c->policy_key);
	free(c->record_dir);
	free(c->metrics_listen);
	free(c->alerts.alertmanager);
	free(c->alerts.webhook);
	free(c->user);
	free(c->control);
	free(c->pins);
	free(c->own_cgroup);
	opinions_config_free(c);
	free(c);
	*at = NULL;
}

static int fill_defaults(struct config *c)
{
	static const struct {
		size_t at;
		const char *value;
	} defaults[] = {
		{ offsetof(struct config, policy), "/etc/sluice/policy.d" },
		{ offsetof(struct config, record_dir), CONFIG_RECORD_DIR },
		{ offsetof(struct config, control), "/run/sluice/control.sock" },
		{ offsetof(struct config, pins), "/sys/fs/bpf/sluice" },
		{ offsetof(struct config, own_cgroup), "sluice" },
	};

	for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
		char **to = (char **)((char *)c + defaults[i].at);

		if (!*to)
			*to = strdup(defaults[i].value);
		if (!*to)
			return -ENOMEM;
	}
	return 0;
}

/* The next document of the file, if it is YAML; its root may be NULL. The caller deletes it. */
static bool next_document(struct reader *r, yaml_parser_t *parser, yaml_document_t *doc)
{
	if (yaml_parser_load(parser, doc))
		return true;
	fprintf(r->report, "%s:%zu:%zu: %s\n", r->file, parser->problem_mark.line + 1, parser->problem_mark.column + 1,
	        parser->problem ? parser->problem : "not YAML");
	r->mistakes++;
	return false;
}

static void read_document(struct reader *r, yaml_parser_t *parser)
{
	yaml_node_t *root = yaml_document_get_root_node(&r->doc);
	yaml_document_t more;

	if (!root) {
		fprintf(r->report, "%s:1:1: the file is empty\n", r->file);
		r->mistakes++;
	} else {
		read_mapping(r, root, "the configuration", top_keys);
		if (!r->config->services && !r->mistakes)
			read_wrong(r, root, "'services' is missing: nothing would be guarded");
	}
	if (!root || !next_document(r, parser, &more))
		return;
	root = yaml_document_get_root_node(&more);
	if (root)
		read_wrong(r, root, "a second document is not read: the configuration is one");
	yaml_document_delete(&more);
}

static void read_file(struct reader *r, FILE *in)
{
	yaml_parser_t parser;

	if (!yaml_parser_initialize(&parser)) {
		r->mistakes++;
		return;
	}
	yaml_parser_set_input_file(&parser, in);
	if (next_document(r, &parser, &r->doc)) {
		read_document(r, &parser);
		yaml_document_delete(&r->doc);
	}
	yaml_parser_delete(&parser);
}

static void close_file(FILE **at)
{
	if (*at)
		fclose(*at);
}

static uint64_t print_of(FILE *in)
{
	uint64_t h = 0xcbf29ce484222325;
	int c;

	while ((c = getc(in)) != EOF)
		h = (h ^ (uint8_t)c) * 0x100000001b3;
	rewind(in);
	return h;
}

int config_load(struct config **out, const char *file, char **report)
{
	owned(config_free) struct config *c = calloc(1, sizeof(*c));
	owned(close_file) FILE *in = fopen(file, "re");
	struct reader r = { .file = file, .config = c };
	size_t len;
	int err = 0;

	*report = NULL;
	r.report = open_memstream(report, &len);
	if (!c || !r.report)
		err = -ENOMEM;
	if (!err && !in) {
		err = -errno;
		fprintf(r.report, "%s: %s\n", file, strerror(-err));
	}
	if (!err) {
		c->record_all = true;
		c->retain_days = 200;
		c->disk = (struct config_disk){ .space_left = 1u << 30,
			                        .admin_space_left = 256u << 20,
			                        .space_left_action = DISK_SYSLOG,
			                        .admin_space_left_action = DISK_SYSLOG,
			                        .disk_full_action = DISK_SYSLOG,
			                        .disk_error_action = DISK_SYSLOG };
		c->alerts = (struct config_alerts){ .blocks = 10, .window_s = 300, .policy_age_s = 30 * 86400 };
		c->log_level = LOG_INFO;
		c->body_max = 16u << 20;
		c->event_max = 1u << 20;
		c->memory_max = 1u << 30;
		c->head_timeout_ms = 60000;
		c->stop_timeout_ms = 1000;
		c->drain_timeout_ms = 600000;
		c->print = print_of(in);
		read_file(&r, in);
		err = r.mistakes ? -EINVAL : fill_defaults(c);
	}
	if (r.mistakes > MISTAKES_MAX)
		fprintf(r.report, "%s: %zu more mistakes\n", file, r.mistakes - MISTAKES_MAX);
	if (r.report)
		fclose(r.report);
	if (err)
		return err;
	*out = TAKE(c);
	return 0;
}
