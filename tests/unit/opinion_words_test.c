/* SPDX-License-Identifier: Apache-2.0 */
/* opinion_words_test.c - requests as they are written, answers as they are read, the shipped forms, and the breaker. */
#include "tests/lib/test.h"

#include <errno.h>
#include <stdio.h>

#include "base/own.h"
#include "opinion/breaker.h"
#include "opinion/words.h"

#define SERVICE "services: [{name: a, cgroup: /a}]\n"

static struct config *config(const char *opinions, char **report)
{
	char path[] = "/tmp/opinion-XXXXXX";
	int fd = mkstemp(path);
	struct config *c = NULL;

	cr_assert(fd >= 0);
	dprintf(fd, SERVICE "%s", opinions);
	close(fd);
	config_load(&c, path, report);
	unlink(path);
	return c;
}

/* A shipped example behind a service. */
static struct config *shipped(const char *name)
{
	char path[128], text[8192], *report = NULL;
	struct config *c;
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "packaging/opinions/%s", name);
	file = fopen(path, "r");
	cr_assert_not_null(file, "%s", path);
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	fclose(file);
	c = config(text, &report);
	cr_assert_not_null(c, "%s: %s", path, report);
	free(report);
	return c;
}

static struct config *moderations(void)
{
	char *report = NULL;
	struct config *c = config("opinions: [{name: m, url: 'http://127.0.0.1:1/m', kind: moderations}]\n", &report);

	cr_assert_not_null(c, "%s", report);
	free(report);
	return c;
}

static void expect_ask(const struct config_opinion *c, struct slice text, const char *want)
{
	struct buf out = BUF(65536);

	cr_assert_eq(words_ask(&out, c, text), 0);
	cr_expect(slice_is(buf_slice(&out), slice_str(want)), "%.*s\n%s", SLICE_ARG(buf_slice(&out)), want);
	buf_free(&out);
}

TEST(opinion_words, asks)
{
	owned(config_free) struct config *c = moderations(), *guard = shipped("llama-guard.yaml");

	expect_ask(&c->opinions[0], SLICE("a \"b\" \\ \n\x01 毒"),
	           "{\"input\":\"a \\\"b\\\" \\\\ \\u000a\\u0001 毒\"}");
	expect_ask(
		&guard->opinions[0], SLICE("{text} \"x\""),
		"{\"model\":\"meta-llama/Llama-Guard-3-8B\",\"messages\":[{\"role\":\"user\",\"content\":\"Please go "
		"on.\"},{\"role\":\"assistant\",\"content\":\"{text} \\\"x\\\"\"}],\"max_tokens\":32,"
		"\"temperature\":0,\"stream\":false}");
}

/* "safe", "unsafe", or "bad", with the categories that were named. */
static void expect_read(const struct config_opinion *c, struct slice body, const char *want, uint64_t categories)
{
	struct label label = {};
	int err = words_read(c, body, &label);
	const char *got = err ? "bad" : label.unsafe ? "unsafe" : "safe";

	cr_assert(!err || err == -EBADMSG);
	cr_expect_str_eq(got, want, "%.*s", SLICE_ARG(body));
	if (!err)
		cr_expect_eq(label.categories, categories, "%.*s: %lx", SLICE_ARG(body), label.categories);
}

#define READ(c, body, ...) expect_read(&(c)->opinions[0], SLICE(body), __VA_ARGS__)

TEST(opinion_words, moderations_are_read)
{
	owned(config_free) struct config *c = moderations();

	READ(c, "{\"results\":[{\"flagged\":false}]}", "safe", 0);
	READ(c,
	     " {\"id\":\"x\",\"n\":1.5,\"results\":[{\"categories\":{\"hate\":true,\"violence\":false,\"x\":true},"
	     "\"category_scores\":{\"hate\":0.9},\"flagged\":true}]} \n",
	     "unsafe", 1 << 2);
	READ(c, "{\"results\":[{\"fl\\u0061gged\":true}]}", "unsafe", 0);
	READ(c, "{\"x\":{\"results\":[{\"flagged\":true}]},\"results\":[{\"a\":{\"flagged\":true},\"flagged\":false}]}",
	     "safe", 0);
	READ(c, "{\"results\":[{\"flagged\":false},{\"flagged\":true}]}", "unsafe", 0);
	READ(c, "{\"results\":[{\"flagged\":false,\"flagged\":true}]}", "bad", 0);
	READ(c, "{\"results\":[{\"flagged\":false}],\"results\":[{\"flagged\":true}]}", "bad", 0);
	READ(c, "{\"results\":[{\"flagged\":\"false\"}]}", "bad", 0);
	READ(c, "{\"results\":[{\"flagged\":null}]}", "bad", 0);
	READ(c, "{\"results\":{\"0\":{\"flagged\":false}}}", "bad", 0);
	READ(c, "[{\"results\":[{\"flagged\":false}]}]", "bad", 0);
	READ(c, "{\"results\":[]}", "bad", 0);
	READ(c, "{\"results\":[{\"flagged\":false}]", "bad", 0);
	READ(c, "{\"results\":[{\"flagged\":false}]}x", "bad", 0);
	READ(c, "", "bad", 0);
	READ(c, "null", "bad", 0);
	READ(c, "{\"\":1,\"results\":[{\"\":{},\"flagged\":false}]}", "safe", 0);
}

#define CHAT(text) "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"" text "\"}}]}"

TEST(opinion_words, qwen3guard_is_read)
{
	owned(config_free) struct config *c = shipped("qwen3guard.yaml");

	READ(c, CHAT("Safety: Safe\\nCategories: None"), "safe", 0);
	READ(c, CHAT("Safety: Safe\\nCategories: None\\nRefusal: Yes"), "safe", 0);
	READ(c, CHAT("Safety: Unsafe\\nCategories: Violent, PII"), "unsafe", 1 | 1 << 3);
	READ(c, CHAT("\\n safety:  CONTROVERSIAL \\r\\nCategories: Unethical Acts\\n"), "unsafe", 1 << 5);
	READ(c, CHAT("Categories: Violent"), "bad", 0);
	READ(c, CHAT("Safety: Safe\\nSafety: Unsafe"), "bad", 0);
	READ(c, CHAT("Safety: Safe or not"), "bad", 0);
	READ(c, CHAT("It is Safety: Safe"), "bad", 0);
	READ(c, CHAT(""), "bad", 0);
	READ(c, "{\"choices\":[]}", "bad", 0);
	READ(c, "{\"choices\":[{\"message\":{\"content\":null}}]}", "bad", 0);
	READ(c, "{\"choices\":[{\"text\":\"x\"},{\"message\":{\"content\":\"Safety: Safe\"}}]}", "bad", 0);
	READ(c, "{\"choices\":[{\"message\":{\"content\":\"Safety: Safe\",\"content\":\"Safety: Unsafe\"}}]}", "bad",
	     0);
}

TEST(opinion_words, llama_guard_is_read)
{
	owned(config_free) struct config *c = shipped("llama-guard.yaml");

	READ(c, CHAT("\\n\\nsafe"), "safe", 0);
	READ(c, CHAT("unsafe\\nS1,S10"), "unsafe", 1 | 1 << 9);
	READ(c, CHAT("unsafe\\n\\nS2, S99"), "unsafe", 1 << 1);
	READ(c, CHAT("unsafe"), "unsafe", 0);
	READ(c, CHAT("S1\\nunsafe"), "bad", 0);
	READ(c, CHAT("unsafe S1"), "bad", 0);
	READ(c, CHAT("I am sorry"), "bad", 0);
}

/* Whatever an answer says, what comes out are words of the configuration. */
TEST(opinion_words, labels_are_ours)
{
	owned(config_free) struct config *c = shipped("qwen3guard.yaml");
	struct label label = {};

	cr_assert_eq(words_label(&c->opinions[0], SLICE("SAFETY: unSAFE"), &label), 0);
	cr_assert_str_eq(label.word, "Unsafe");
	cr_assert_eq(label.word, c->opinions[0].unsafe.at[0]);
}

TEST(opinion_words, the_moderations_example_is_good)
{
	owned(config_free) struct config *c = shipped("moderations.yaml");

	cr_assert_eq(c->opinions[0].kind, OPINION_MODERATIONS);
	cr_assert_eq(c->opinions[0].categories.count, 13);
	cr_assert(c->opinions[0].block);
}

static void refuses(const char *opinions, const char *why)
{
	char *report = NULL;
	struct config *c = config(opinions, &report);

	cr_expect_null(c, "%s", opinions);
	cr_expect(report && strstr(report, why), "%s\n%s", opinions, report);
	config_free(&c);
	free(report);
}

#define ONE(url, more) "opinions: [{name: m, kind: moderations, url: '" url "'" more "}]\n"

TEST(opinion_words, mistakes_are_named)
{
	refuses(ONE("http://example.com/m", ""), "not on this host");
	refuses(ONE("http://10.0.0.1/m", ""), "not on this host");
	refuses(ONE("http://127.1/m", ""), "not on this host");
	refuses(ONE("http://localhost.evil.example/m", ""), "not on this host");
	refuses(ONE("http://127.0.0.1@evil.example/m", ""), "no place there");
	refuses(ONE("http://127.0.0.1#@evil.example/m", ""), "no place there");
	refuses(ONE("http://127.0.0.1%2eevil/m", ""), "no place there");
	refuses(ONE("http://[::1/m", ""), "does not end");
	refuses(ONE("http://[::1]x/m", ""), "something else");
	refuses(ONE("http://127.0.0.1:0/m", ""), "no port");
	refuses(ONE("http://127.0.0.1:70000/m", ""), "no port");
	refuses(ONE("http://127.0.0.1", ""), "path");
	refuses(ONE("file:///etc/passwd", ""), "must begin");
	refuses(ONE("http://127.0.0.1/m", ", deadline: 1"), "deadline");
	refuses(ONE("http://127.0.0.1/m", ", on_timeout: maybe"), "on_timeout");
	refuses(ONE("http://127.0.0.1/m", ", verdict: {safe: [a], unsafe: [b]}"), "neither messages");
	refuses("opinions: [{name: m, kind: moderations}]\n", "needs a name, a url");
	refuses("opinions: [{name: m, kind: chat, url: 'http://127.0.0.1/m'}]\n", "needs messages");
	refuses("opinions: [{name: m, kind: chat, url: 'http://127.0.0.1/m', messages: [{role: user, content: x}], "
	        "verdict: {safe: [a], unsafe: [b]}}]\n",
	        "{text}");
	refuses("opinions: [{name: m, kind: moderations, url: 'http://127.0.0.1/m'}, "
	        "{name: m, kind: moderations, url: 'http://127.0.0.1/m'}]\n",
	        "two opinions");
}

TEST(opinion_words, what_is_on_this_host)
{
	static const char *const good[] = { ONE("http://[::1]:8000/m?x=1", ""), ONE("http://localhost/m", ""),
		                            ONE("https://127.8.9.10:443/m", ""),
		                            ONE("https://example.com/m", ", remote: true") };

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		char *report = NULL;
		owned(config_free) struct config *c = config(good[i], &report);

		cr_expect_not_null(c, "%s\n%s", good[i], report);
		free(report);
	}
}

TEST(opinion_words, the_breaker)
{
	struct breaker b = { .most = 2, .pause = 10 };

	cr_assert_not(breaker_shut_off(&b, 0));
	breaker_end(&b, 0, false);
	breaker_end(&b, 0, true); /* in a row, or not at all */
	breaker_end(&b, 1, false);
	cr_assert_not(b.open);
	breaker_end(&b, 2, false);
	cr_assert(b.open);
	cr_assert_eq(b.opened, 1);
	cr_assert(breaker_shut_off(&b, 11));
	cr_assert_not(breaker_shut_off(&b, 12));
	breaker_begin(&b); /* one is tried, */
	cr_assert(breaker_shut_off(&b, 13), "and only one");
	breaker_end(&b, 14, false);
	cr_assert(breaker_shut_off(&b, 23));
	cr_assert_eq(b.opened, 1, "it was open all the time");
	cr_assert_not(breaker_shut_off(&b, 24));
	breaker_begin(&b);
	breaker_leave(&b); /* nothing was learnt */
	cr_assert(b.open);
	cr_assert_not(breaker_shut_off(&b, 25));
	breaker_begin(&b);
	breaker_end(&b, 26, true);
	cr_assert_not(b.open);
	cr_assert_not(breaker_shut_off(&b, 26));
}
