/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/taxonomy.h"

#include <string.h>

const struct risk taxonomy[TAXONOMY_COUNT] = {
	{ "A.1.a", 11, "煽动颠覆国家政权、推翻社会主义制度",
	  "inciting subversion of state power, overthrow of the socialist system", 200 },
	{ "A.1.b", 12, "危害国家安全和利益、损害国家形象",
	  "endangering national security and interests, damaging the national image", 200 },
	{ "A.1.c", 13, "煽动分裂国家、破坏国家统一和社会稳定",
	  "inciting secession, undermining unity and social stability", 200 },
	{ "A.1.d", 14, "宣扬恐怖主义、极端主义", "promoting terrorism, extremism", 200 },
	{ "A.1.e", 15, "宣扬民族仇恨", "promoting ethnic hatred", 200 },
	{ "A.1.f", 16, "宣扬暴力、淫秽色情", "promoting violence, obscenity, pornography", 200 },
	{ "A.1.g", 17, "传播虚假有害信息", "spreading false and harmful information", 200 },
	{ "A.1.h", 18, "其他法律、行政法规禁止的内容",
	  "other content prohibited by laws and administrative regulations", 200 },
	{ "A.2.a", 21, "民族歧视内容", "ethnic discrimination", 100 },
	{ "A.2.b", 22, "信仰歧视内容", "discrimination by belief", 100 },
	{ "A.2.c", 23, "国别歧视内容", "discrimination by nationality", 100 },
	{ "A.2.d", 24, "地域歧视内容", "discrimination by region", 100 },
	{ "A.2.e", 25, "性别歧视内容", "gender discrimination", 100 },
	{ "A.2.f", 26, "年龄歧视内容", "age discrimination", 100 },
	{ "A.2.g", 27, "职业歧视内容", "discrimination by occupation", 100 },
	{ "A.2.h", 28, "健康歧视内容", "discrimination by health", 100 },
	{ "A.2.i", 29, "其他方面歧视内容", "other discrimination", 100 },
	{ "A.3.a", 31, "侵犯他人知识产权", "infringing intellectual property", 0 },
	{ "A.3.b", 32, "违反商业道德", "violating business ethics", 0 },
	{ "A.3.c", 33, "泄露他人商业秘密", "disclosing trade secrets", 0 },
	{ "A.3.d", 34, "利用算法、数据、平台等优势，实施垄断和不正当竞争行为",
	  "monopoly or unfair competition by algorithms, data, platform advantage", 0 },
	{ "A.3.e", 35, "其他商业违法违规行为", "other commercial violations", 0 },
	{ "A.4.a", 41, "危害他人身心健康", "endangering physical or mental health", 0 },
	{ "A.4.b", 42, "侵害他人肖像权", "portrait rights", 0 },
	{ "A.4.c", 43, "侵害他人名誉权", "reputation", 0 },
	{ "A.4.d", 44, "侵害他人荣誉权", "honour", 0 },
	{ "A.4.e", 45, "侵害他人隐私权", "privacy", 0 },
	{ "A.4.f", 46, "侵害他人个人信息权益", "personal-information rights", 0 },
	{ "A.4.g", 47, "侵犯他人其他合法权益", "other lawful rights", 0 },
	{ "A.5.a", 51, "内容不准确，严重不符合科学常识或主流认知",
	  "inaccurate: seriously contrary to scientific common sense or mainstream understanding", 0 },
	{ "A.5.b", 52, "内容不可靠，（虽不包含严重错误的内容，但）无法对使用者形成帮助",
	  "unreliable: no grave error, but no help to the user", 0 },
};

/* "A.1.d", "A.1 d", "a.1.D": all name one. */
static bool is_clause(struct slice text, const char *clause)
{
	if (text.len != strlen(clause))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = i == 3 && text.at[i] == ' ' ? '.' : text.at[i];

		if (ascii_lower(c) != ascii_lower((uint8_t)clause[i]))
			return false;
	}
	return true;
}

static bool is_local(struct slice text)
{
	static const char prefix[] = "local.";
	size_t n = sizeof(prefix) - 1;

	if (text.len <= n || text.len > n + 64 || memcmp(text.at, prefix, n))
		return false;
	for (size_t i = n; i < text.len; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.", text.at[i]) ||
		    !text.at[i])
			return false;
	return true;
}

bool taxonomy_find(struct slice text, struct slice *name, uint16_t *number)
{
	for (size_t i = 0; i < TAXONOMY_COUNT; i++)
		if (is_clause(text, taxonomy[i].clause)) {
			*name = slice_str(taxonomy[i].clause);
			*number = taxonomy[i].number;
			return true;
		}
	if (!is_local(text))
		return false;
	*name = text;
	*number = TAXONOMY_LOCAL;
	return true;
}
