/* SPDX-License-Identifier: Apache-2.0 */
/* config_test.c - each key, each mistake with its place, the defaults, and the samples that we hand out. */
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>

#include "base/own.h"
#include "config/config.h"

#define ONE "services: [{name: a, cgroup: /a}]\n"

/* Loads text as the file c.yaml; *report is what was said, without the folder. */
static int load(const char *text, struct config **out, char **report)
{
	char dir[] = "/tmp/config-XXXXXX", path[64];
	int err;
	FILE *file;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/c.yaml", dir);
	file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
	err = config_load(out, path, report);
	unlink(path);
	rmdir(dir);
	for (char *at = *report; at && (at = strstr(at, dir)) != NULL;)
		memmove(at, at + strlen(dir) + 1, strlen(at + strlen(dir) + 1) + 1);
	return err;
}

static struct config *good(const char *text)
{
	struct config *c = NULL;
	char *report = NULL;
	int err = load(text, &c, &report);

	cr_assert_eq(err, 0, "%s", report);
	cr_assert_str_eq(report, "");
	free(report);
	return c;
}

TEST(config, defaults)
{
	owned(config_free) struct config *c = good(ONE);

	cr_assert_eq(c->service_count, 1);
	cr_assert_str_eq(c->services[0].name, "a");
	cr_assert_str_eq(c->services[0].cgroup, "/a");
	cr_assert_null(c->services[0].unit);
	cr_assert_eq(c->services[0].port_count, 0);
	cr_assert_not(c->services[0].fail_open);
	cr_assert_not(c->services[0].upgrade_pass);
	cr_assert_str_eq(c->policy, "/etc/sluice/policy.d");
	cr_assert_str_eq(c->record_dir, "/var/lib/sluice/record");
	cr_assert_eq(c->retain_days, 200);
	cr_assert(c->record_all);
	cr_assert_eq(c->identity_count, 0);
	cr_assert_null(c->metrics_listen);
	cr_assert_eq(c->log_level, LOG_INFO);
	cr_assert_str_eq(c->control, "/run/sluice/control.sock");
	cr_assert_str_eq(c->pins, "/sys/fs/bpf/sluice");
	cr_assert_str_eq(c->own_cgroup, "sluice");
	cr_assert_eq(c->loops, 0);
	cr_assert_eq(c->body_max, 16u << 20);
	cr_assert_eq(c->event_max, 1u << 20);
	cr_assert_eq(c->memory_max, 1u << 30);
	cr_assert_eq(c->head_timeout_ms, 60000);
	cr_assert_eq(c->stop_timeout_ms, 1000);
}

TEST(config, every_key)
{
	owned(config_free) struct config *c = good(
		"services:\n"
		"  - {name: a, unit: a.service, ports: auto, fail: open, upgrade: pass}\n"
		"  - {name: b, ports: [1, 65535], fail: closed, token_ids: refuse}\n"
		"  - {name: c, cgroup: x/y}\n"
		"policy: /p\n"
		"record: {dir: /r, retain: 1y, exchanges: flagged, on_record_failure: closed,\n"
		"  segment: 1M, space_left: 2G, admin_space_left: 1G, disk_full_action: stop-serving,\n"
		"  witnesses: [{url: 'http://w:1', key: 'w+01234567+AA'}, {url: 'https://x', key: x+01234567+B}]}\n"
		"identity: {headers: [authorization, X-Api-Key]}\n"
		"metrics: {listen: '[::1]:1'}\n"
		"log: {level: debug}\n"
		"alerts: {alertmanager: 'http://[::1]:9093/am', webhook: 'https://h.example/a?b=c', blocks: 3,\n"
		"  window: 90s, policy_age: 7d}\n"
		"control: /c.sock\n"
		"capture: {pins: /pins, cgroup: own}\n"
		"loops: 3\n"
		"limits: {body: 2MiB, event: 64K, memory: 2G, head_timeout: 2min,"
		" stop_timeout: 500ms}\n");

	cr_assert_eq(c->service_count, 3);
	cr_assert_str_eq(c->services[0].unit, "a.service");
	cr_assert(c->services[0].fail_open);
	cr_assert(c->services[0].upgrade_pass);
	cr_assert_eq(c->services[1].port_count, 2);
	cr_assert_eq(c->services[1].ports[1], 65535);
	cr_assert_not(c->services[1].fail_open);
	cr_assert_str_eq(c->services[2].cgroup, "x/y");
	cr_assert_str_eq(c->policy, "/p");
	cr_assert_str_eq(c->record_dir, "/r");
	cr_assert_eq(c->retain_days, 366);
	cr_assert(c->disk.closed && c->segment_bytes == 1 << 20 && c->disk.space_left == 2ull << 30);
	cr_assert(c->disk.disk_full_action == DISK_STOP_SERVING && c->disk.disk_error_action == DISK_SYSLOG);
	cr_assert_not(c->record_all);
	cr_assert_eq(c->witness_count, 2);
	cr_assert_str_eq(c->witnesses[0].url, "http://w:1");
	cr_assert_str_eq(c->witnesses[1].key, "x+01234567+B");
	cr_assert_eq(c->identity_count, 2);
	cr_assert_str_eq(c->identity_headers[1], "X-Api-Key");
	cr_assert_str_eq(c->metrics_listen, "[::1]:1");
	cr_assert_eq(c->log_level, LOG_DEBUG);
	cr_assert_str_eq(c->control, "/c.sock");
	cr_assert_str_eq(c->pins, "/pins");
	cr_assert_str_eq(c->own_cgroup, "own");
	cr_assert_eq(c->loops, 3);
	cr_assert_eq(c->body_max, 2u << 20);
	cr_assert_eq(c->event_max, 65536);
	cr_assert_str_eq(c->alerts.alertmanager, "http://[::1]:9093/am");
	cr_assert_str_eq(c->alerts.webhook, "https://h.example/a?b=c");
	cr_assert_eq(c->alerts.blocks, 3);
	cr_assert(c->alerts.window_s == 90 && c->alerts.policy_age_s == 7 * 86400);
	cr_assert_eq(c->memory_max, 2ull << 30);
	cr_assert_eq(c->head_timeout_ms, 120000);
	cr_assert_eq(c->stop_timeout_ms, 500);
}

static const struct {
	const char *text, *report;
} mistakes[] = {
	{ "", "c.yaml:1:1: the file is empty\n" },
	{ "# nothing\n", "c.yaml:1:1: the file is empty\n" },
	{ "policy: /p\n", "c.yaml:1:1: 'services' is missing: nothing would be guarded\n" },
	{ "[a]\n", "c.yaml:1:1: the configuration must be a mapping\n" },
	{ "services: [\n", "c.yaml:2:1: did not find expected node content\n" },
	{ ONE "colour: red\n", "c.yaml:2:1: unknown key 'colour' in the configuration\n" },
	{ ONE "? [a]\n: b\n", "c.yaml:2:3: a key must be a single value\n" },
	{ ONE ONE, "c.yaml:2:1: 'services' is given twice\n"
	           "c.yaml:2:11: services: at most 256, in one list\n" },
	{ ONE "---\n" ONE, "c.yaml:3:1: a second document is not read: the configuration is one\n" },
	{ ONE "--- [\n", "c.yaml:3:1: did not find expected node content\n" },
	{ ONE "record: {witnesses: [{url: ftp://w, key: w}]}\n",
	  "c.yaml:2:28: a witness's url begins with http:// or https://, not 'ftp://w'\n"
	  "c.yaml:2:42: a witness's key is name+id+key, as `sluicectl witness key` prints it\n" },
	{ ONE "record: {witnesses: [{key: w+01234567+A}]}\n", "c.yaml:2:22: a witness needs a url and a key\n" },
	{ ONE "record: {witnesses: x}\n", "c.yaml:2:21: record.witnesses: one list, of at most 16 with url and key\n" },
	{ "services: a\n", "c.yaml:1:11: services must be a list with at least one service\n" },
	{ "services: []\n", "c.yaml:1:11: services must be a list with at least one service\n" },
	{ "services: [a]\n", "c.yaml:1:12: a service must be a mapping\n"
	                     "c.yaml:1:12: a service needs a name\n"
	                     "c.yaml:1:12: a service needs a unit, a cgroup, or a list of ports\n" },
	{ "services:\n  - name: a\n", "c.yaml:2:5: a service needs a unit, a cgroup, or a list of ports\n" },
	{ "services:\n  - name: a\n    ports: auto\n",
	  "c.yaml:2:5: a service needs a unit, a cgroup, or a list of ports\n" },
	{ "services:\n  - ports: [1]\n", "c.yaml:2:5: a service needs a name\n" },
	{ "services:\n  - {name: '', ports: [1]}\n", "c.yaml:2:12: name is empty\n"
	                                             "c.yaml:2:5: a service needs a name\n" },
	{ "services:\n  - {name: \"a\\0b\", ports: [1]}\n", "c.yaml:2:12: name contains a NUL\n"
	                                                    "c.yaml:2:5: a service needs a name\n" },
	{ "services:\n  - {name: [x], ports: [1]}\n", "c.yaml:2:12: name must be a single value\n"
	                                              "c.yaml:2:5: a service needs a name\n" },
	{ "services:\n  - {name: a, ports: [1]}\n  - {name: a, ports: [2]}\n",
	  "c.yaml:3:5: two services are called 'a'\n" },
	{ "services:\n  - {name: a, unit: a.service, cgroup: /a}\n",
	  "c.yaml:2:5: a service has a unit or a cgroup, not both\n" },
	{ "services:\n  - {name: a, unit: system/a.service}\n",
	  "c.yaml:2:21: unit must be the name of a systemd unit, not a path\n" },
	{ "services:\n  - {name: a, cgroup: /a/../b}\n", "c.yaml:2:23: cgroup must not contain '..'\n" },
	{ "services:\n  - {name: a, ports: 8000}\n",
	  "c.yaml:2:22: ports must be 'auto' or a list of port numbers\n"
	  "c.yaml:2:5: a service needs a unit, a cgroup, or a list of ports\n" },
	{ "services:\n  - {name: a, cgroup: /a, ports: []}\n",
	  "c.yaml:2:34: ports must be 'auto' or a list of port numbers\n" },
	{ "services:\n  - {name: a, ports: [1, 0, 65536, x, -1, 80d]}\n",
	  "c.yaml:2:26: a port must be from 1 to 65535\n"
	  "c.yaml:2:29: a port must be from 1 to 65535\n"
	  "c.yaml:2:36: a port must be a whole number, not 'x'\n"
	  "c.yaml:2:39: a port must be a whole number, not '-1'\n"
	  "c.yaml:2:43: a port: unknown unit 'd'\n" },
	{ "services:\n  - {name: a, ports: [1, 2, 3, 4], ports: [5, 6, 7, 8]}\n",
	  "c.yaml:2:36: 'ports' is given twice\n" },
	{ "services:\n  - {name: a, ports: [1], upgrade: maybe}\n",
	  "c.yaml:2:36: upgrade must be refuse | pass, not 'maybe'\n" },
	{ "services:\n  - {name: a, ports: [1], fail: maybe}\n",
	  "c.yaml:2:33: fail must be closed | open, not 'maybe'\n" },
	{ "services:\n  - {name: a, ports: [1], token_ids: pass}\n",
	  "c.yaml:2:38: token_ids: pass is not supported by this version, only refuse\n" },
	{ "services:\n  - {name: a, ports: [1], token_ids: drop}\n",
	  "c.yaml:2:38: token_ids must be refuse | strip | pass, not 'drop'\n" },
	{ "services:\n  - {name: a, ports: [1], colour: red}\n", "c.yaml:2:27: unknown key 'colour' in a service\n" },
	{ ONE "policy: ''\n", "c.yaml:2:9: policy is empty\n" },
	{ ONE "record: x\n", "c.yaml:2:9: record must be a mapping\n" },
	{ ONE "record: {on_record_failure: open}\n",
	  "c.yaml:2:29: record.on_record_failure must be continue | closed, not 'open'\n" },
	{ ONE "record: {disk_full_action: exec}\n",
	  "c.yaml:2:28: record.disk_full_action: 'exec' is not supported by this version\n" },
	{ ONE "record: {space_left: 1M, admin_space_left: 2M}\n",
	  "c.yaml:2:9: record.admin_space_left must not be above record.space_left\n" },
	{ ONE "record: {retain: 183d}\n",
	  "c.yaml:2:18: record.retain must be from 184 to 36600, or unsafe: true beside it\n" },
	{ ONE "record: {retain: 99999999999999999999d}\n",
	  "c.yaml:2:18: record.retain must be a whole number, not '99999999999999999999d'\n" },
	{ ONE "record: {retain: 10000000000000000000y}\n", "c.yaml:2:18: record.retain must be from 1 to 36600\n" },
	{ ONE "record: {retain: 6months}\n", "c.yaml:2:18: record.retain: unknown unit 'months'\n" },
	{ ONE "record: {retain: ' 200d'}\n", "c.yaml:2:18: record.retain must be a whole number, not ' 200d'\n" },
	{ ONE "record: {exchanges: some}\n", "c.yaml:2:21: record.exchanges must be flagged | all, not 'some'\n" },
	{ ONE "record: {retain: 30d, unsafe: false}\n",
	  "c.yaml:2:18: record.retain must be from 184 to 36600, or unsafe: true beside it\n" },
	{ ONE "record: {unsafe: yes}\n", "c.yaml:2:18: record.unsafe must be false | true, not 'yes'\n" },
	{ ONE "identity: {headers: a}\n", "c.yaml:2:21: identity.headers must be a list\n" },
	{ ONE "identity: {headers: ['x y', 'a:', ok]}\n", "c.yaml:2:22: 'x y' is not the name of a header\n"
	                                                  "c.yaml:2:29: 'a:' is not the name of a header\n" },
	{ ONE "metrics: {listen: 0.0.0.0:9477}\n",
	  "c.yaml:2:19: metrics.listen must be a loopback address with a port, like 127.0.0.1:9477\n" },
	{ ONE "metrics: {listen: 127.0.0.1}\n",
	  "c.yaml:2:19: metrics.listen must be a loopback address with a port, like 127.0.0.1:9477\n" },
	{ ONE "metrics: {listen: '127.0.0.1:94770'}\n",
	  "c.yaml:2:19: metrics.listen must be a loopback address with a port, like 127.0.0.1:9477\n" },
	{ ONE "metrics: {listen: '127.evil.example:80'}\n",
	  "c.yaml:2:19: metrics.listen must be a loopback address with a port, like 127.0.0.1:9477\n" },
	{ ONE "metrics: {listen: '[::1]:9477x'}\n",
	  "c.yaml:2:19: metrics.listen must be a loopback address with a port, like 127.0.0.1:9477\n" },
	{ ONE "log: {level: loud}\n", "c.yaml:2:14: log.level must be error | warn | info | debug, not 'loud'\n" },
	{ ONE "control: /0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123"
	      "4567890123456789\n",
	  "c.yaml:2:10: control: the path of a socket has at most 107 bytes\n" },
	{ ONE "loops: 0\n", "c.yaml:2:8: loops must be from 1 to 256\n" },
	{ ONE "loops: two\n", "c.yaml:2:8: loops must be a whole number, not 'two'\n" },
	{ ONE "limits: {body: 1K}\n", "c.yaml:2:16: limits.body must be from 65536 to 1073741824\n" },
	{ ONE "limits: {event: 1}\n", "c.yaml:2:17: limits.event must be from 4096 to 268435456\n" },
	{ ONE "alerts: {webhook: 'ftp://a'}\n",
	  "c.yaml:2:19: alerts.webhook must be a URL that begins with http:// or https://\n" },
	{ ONE "alerts: {webhook: 'http://a b'}\n",
	  "c.yaml:2:19: alerts.webhook must be a URL that begins with http:// or https://\n" },
	{ ONE "alerts: {webhook: 'https://me:pw@a/b'}\n",
	  "c.yaml:2:19: alerts.webhook: no name or password here: the credential alerts.token is for that\n" },
	{ ONE "alerts: {alertmanager: 'http://a/?x'}\n",
	  "c.yaml:2:24: alerts.alertmanager is the URL of its root: /api/v2/alerts is put behind it\n" },
	{ ONE "alerts: {window: 2w}\n", "c.yaml:2:18: alerts.window: unknown unit 'w'\n" },
	{ ONE "limits: {memory: 1M}\n", "c.yaml:2:18: limits.memory must be from 16777216 to 1099511627776\n" },
	{ ONE "limits: {head_timeout: 1h}\n", "c.yaml:2:24: limits.head_timeout: unknown unit 'h'\n" },
	{ ONE "limits: {stop_timeout: 99ms}\n", "c.yaml:2:24: limits.stop_timeout must be from 100 to 60000\n" },
	{ ONE "exceptions: {}\n",
	  "c.yaml:2:1: 'exceptions' is not supported by this version: every exception closes\n" },
	{ ONE "loops: 0\nlog: {level: loud}\n",
	  "c.yaml:2:8: loops must be from 1 to 256\n"
	  "c.yaml:3:14: log.level must be error | warn | info | debug, not 'loud'\n" },
};

TEST(config, each_mistake_is_named_with_its_place)
{
	for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
		struct config *c = NULL;
		char *report = NULL;

		cr_expect_eq(load(mistakes[i].text, &c, &report), -EINVAL, "row %zu", i);
		cr_expect_str_eq(report, mistakes[i].report, "row %zu: got: %s", i, report);
		cr_expect_null(c);
		free(report);
	}
}

TEST(config, a_file_that_cannot_be_read)
{
	struct config *c = NULL;
	char *report = NULL;

	cr_assert_eq(config_load(&c, "/nonexistent/sluice.yaml", &report), -ENOENT);
	cr_assert_str_eq(report, "/nonexistent/sluice.yaml: No such file or directory\n");
	free(report);
	cr_assert_eq(config_load(&c, "/tmp", &report), -EINVAL);
	cr_assert_eq(strncmp(report, "/tmp:1:1: ", 10), 0, "%s", report);
	free(report);
}

TEST(config, mistakes_without_end)
{
	char text[20000] = ONE;
	struct config *c = NULL;
	char *report = NULL;
	size_t lines = 0;

	for (int i = 0; i < 500; i++)
		snprintf(text + strlen(text), 32, "k%d: x\n", i);
	cr_assert_eq(load(text, &c, &report), -EINVAL);
	for (const char *at = report; (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	cr_assert_eq(lines, 51, "%zu", lines);
	cr_assert_not_null(strstr(report, "c.yaml: 450 more mistakes\n"));
	free(report);
}

TEST(config, random_bytes_are_refused)
{
	char text[256];
	uint32_t seed = 7;

	for (int round = 0; round < 500; round++) {
		struct config *c = NULL;
		char *report = NULL;

		for (size_t i = 0; i < sizeof(text) - 1; i++) {
			seed = seed * 1664525 + 1013904223;
			text[i] = round % 2 ? "[]{}:,-&*!|>'\"%@`#? \n\tab1"[seed >> 28] : (char)(seed >> 24 | 1);
		}
		text[sizeof(text) - 1] = '\0';
		cr_assert_neq(load(text, &c, &report), 0);
		cr_assert_neq(report[0], '\0');
		free(report);
	}
}

/* The sample of the design, section 10, and the file that is installed. */
TEST(config, samples_load)
{
	owned(config_free) struct config *c =
		good("services:\n"
	             "  - name: vllm\n"
	             "    unit: vllm.service            # or cgroup: /path\n"
	             "    ports: auto                   # or [8000, 8001]\n"
	             "    fail: closed                  # closed | open\n"
	             "policy: /etc/sluice/policy.d\n"
	             "record: {dir: /var/lib/sluice/record, retain: 200d, exchanges: all}\n"
	             "identity: {headers: [authorization, x-api-key, x-user-id]}\n"
	             "metrics: {listen: 127.0.0.1:9477}\n"
	             "log: {level: info}\n");
	owned(config_free) struct config *sample = NULL;
	owned(own_free) char *report = NULL;
	char path[512] = __FILE__;

	cr_assert_eq(c->identity_count, 3);
	path[strlen(path) - strlen("tests/unit/config_test.c")] = '\0';
	strncat(path, "packaging/sluice.yaml", sizeof(path) - strlen(path) - 1);
	cr_assert_eq(config_load(&sample, path, &report), 0, "%s", report);
	cr_assert_str_eq(sample->services[0].unit, "vllm.service");
	cr_assert_eq(sample->retain_days, 200);
}
