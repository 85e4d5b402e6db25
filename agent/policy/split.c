/* SPDX-License-Identifier: Apache-2.0 */
/*
 * split.c - which characters fall into parts that are characters.
 *
 * The table is our own and small: common characters of which the left part is a radical and the right one a character
 * that can be typed, for that is what people write. An operator's list says the rest.
 */
#include "policy/split.h"

#include <errno.h>
#include <stdlib.h>

#include "policy/csv.h"

/* A radical, what is written in its place too (NULL: nothing), and pairs: a character and what is right of, or below,
 * the radical. */
static const struct {
	const char *radical, *also, *pairs;
} own[] = {
	{ "木", NULL,
	  "枪仓杠工材才村寸杆干杜土杯不板反林木松公柏白柱主标示栋东样羊根艮桃兆梅每梯弟棉帛棋其棒奉植直椅奇楼娄槐鬼模莫"
	  "橡象"
	  "机几权又杭亢枝支枯古柳卯析斤栏兰桥乔格各校交核亥械戒棍昆棚朋棺官榜旁柜巨杉彡极及构勾" },
	{ "火", NULL, "炸乍烧尧灯丁炉户炒少炮包烂兰烛虫烟因焊旱煤某熄息爆暴灶土炖屯炕亢烤考焰臽燃然烘共灿山炊欠烙各" },
	{ "氵", "水",
	  "法去海每河可油由洋羊汁十汗干江工池也污亏沙少汽气沟勾没殳沈冘沉冗沪户沫末泡包波皮泥尼注主泪目泳永洗先活舌洞同"
	  "洲州"
	  "浓农浪良浮孚消肖涂余液夜淡炎深罙清青渔鱼温昷湖胡滴啇漂票漏屚潮朝激敫滨宾漠莫演寅泻写沽古汪王沃夭泄世治台沾占"
	  "泊白"
	  "泣立洁吉浅戋测则济齐淋林混昆港巷渡度游斿溪奚溜留滑骨滚衮酒酉" },
	{ "亻", "人",
	  "他也们门仆卜仁二什十仃丁仇九仙山代弋付寸仗丈伟韦传专伤力价介任壬份分仿方休木优尤伙火估古体本何可佐左佑右佛弗"
	  "作乍"
	  "你尔伯白伴半位立住主伸申但旦低氐使吏例列供共依衣侄至侦贞侨乔侮每侵帚便更促足俄我信言俗谷保呆修攸俱具倍咅倒到"
	  "借昔"
	  "值直假叚偏扁停亭健建偷俞催崔像象僧曾" },
	{ "扌", "手",
	  "打丁扎乚扑卜扔乃扛工扣口托乇执丸扩广扫彐扬昜扭丑扮分扯止扰尤抗亢折斤抓爪投殳抖斗护户报𠬝披皮抬台抱包抵氐抹末"
	  "押甲"
	  "抽由拆斥拉立拌半拍白拐另拔犮拖㐌招召拥用拦兰拧宁拨发择睪括舌拼并拾合持寺挂圭指旨按安挑兆挖穵挡当挤齐挥军振辰"
	  "捆困"
	  "捉足捐肙损员捡佥换奂据居捷疌掉卓排非掠京接妾控空推隹描苗提是插臿握屋援爰搏尃搞高摇䍃撞童撒散操喿擦察" },
	{ "讠", "言",
	  "话舌说兑语吾谈炎讲井许午论仑设殳访方证正评平诉斥词司译睪试式诗寺诚成该亥误吴请青诸者课果谁隹调周谋某谎荒谢射"
	  "谣䍃"
	  "计十订丁认人讥几讨寸让上训川议义记己讯卂诈乍识只诊㐱诞延询旬诡危谊宜谍枼谜迷谱普谴遣详羊" },
	{ "钅", "金",
	  "钱戋铁失银艮铜同钢冈针十钉丁钓勺钟中钩勾铃令铅㕣锁肖错昔锦帛键建镇真镜竟钻占铝吕锅呙锈秀锋夆锡易锤垂镖票" },
	{ "口", NULL,
	  "吃乞吐土吓下叶十叫丩叮丁吗马吧巴吵少吹欠吸及吻勿听斤呀牙呢尼味未呼乎咐付咪米咬交哄共响向哈合哑亚哦我哪那唱昌"
	  "啊阿"
	  "啤卑喂畏喊咸喝曷喷贲嗅臭嘴觜嘲朝噪喿" },
	{ "女", NULL,
	  "奸干好子如口妇彐妈马妓支妖夭妙少妨方姐且姑古姓生妹未始台姚兆娃圭姨夷姻因娇乔娘良娱吴婚昏婶审媒某嫁家嫌兼嫖票"
	  "嫩敕"
	  "奴又她也妞丑婊表" },
	{ "土", NULL, "地也场昜坏不坑亢块夬坡皮坦旦垃立圾及城成培咅堆隹塔荅填真境竟墙啬增曾坛云址止坟文坊方埋里" },
	{ "忄", "心", "忙亡快夬怀不怕白性生怪圣恨艮恼㐫悔每悟吾情青惊京惜昔惧具愉俞慌荒慢曼憎曾懂董恒亘惨参惯贯忆乙" },
	{ "纟", "糸",
	  "红工约勺级及纪己纯屯纱少纸氏线戋组且细田织只经圣结吉给合统充绝色继㡭绩责绿录缓爰编扁缝逢纳内绑邦" },
	{ "犭", "犬", "狗句猫苗猪者狼良独虫狐瓜猎昔猛孟猜青狂王猴侯狠艮犯㔾" },
	{ "王", "玉", "玩元环不现见珍㐱珠朱理里球求琴今瑞耑玛马玻皮" },
	{ "石", NULL, "砍欠研开码马破皮砸匝硝肖硫㐬碎卒碰並碍㝵磁兹砖专砂少砒比碱咸矿广" },
	{ "米", NULL, "粉分粒立粗且粮良精青糖唐糊胡糕羔粘占料斗" },
	{ "虫", NULL, "蛇它蚊文虾下蚁义蜂夆蝶枼蛙圭蚂马虹工" },
	{ "足", NULL, "跑包跟艮路各跳兆踢易踩采距巨跃夭践戋跌失蹈舀" },
	{ "车", NULL, "轮仑软欠转专较交辆两输俞轨九轰双辅甫辐畐" },
	{ "贝", NULL, "败攵财才贩反购勾贴占赃庄赌者赔咅赚兼贿有赂各账长" },
	{ "月", NULL, "肚土肝干肠昜股殳肥巴肺市胖半胎台胞包脏庄脑㐫脚却脱兑腿退膜莫胁办肌几肿中胀长朋月" },
	{ "日", NULL, "明月时寸晚免晴青暗音暖爰映央昨乍晒西旺王" },
	{ "目", NULL, "眼艮睡垂盯丁眠民睛青瞎害瞒㒼盼分眨乏" },
	{ "禾", NULL, "种中秋火科斗秒少秘必租且秤平积只称尔移多程呈稀希税兑稳急私厶和口" },
	{ "饣", "食", "饭反饮欠饱包饿我馆官馒曼饼并饥几" },
	{ "艹", "草", "药约草早花化芽牙苗田若右苦古英央茶余荒巟荷何莫旲菜采菌囷萌明落洛葬死蒙冡蓝监藏臧芥介苯本" },
	{ "弓", NULL, "弹单引丨张长强虽弛也" },
	{ "马", NULL, "骗扁驾加驶史驻主骂叩骑奇驱区驴户骚蚤" },
	{ "鱼", NULL, "鲜羊鲁日鲸京鳄咢" },
	{ "阝", NULL, "防方阳日阴月阵车附付际示陆击陈东降夅限艮院完除余险佥陷臽阻且随有隔鬲障章" },
	{ "衤", "衣", "初刀补卜衫彡袖由被皮裤库裸果裙君袜末" },
	{ "礻", "示", "礼乚社土视见祖且神申祝兄祸呙福畐祥羊" },
	{ "山", NULL, "峡夹峰夆崎奇岭令峭肖岖区" },
	{ "酉", NULL, "配己酥禾酬州酷告酸夋醉卒醒星酗凶酚分" },
	{ "革", NULL, "鞋圭鞭便靴化靶巴" },
	{ "歹", NULL, "死匕残戋歼千殊朱殖直殓佥" },
	{ "彳", NULL, "行亍往主很艮律聿待寺得㝵征正彻切" },
	{ "气", NULL, "氧羊氮炎氯录氰青氟弗氨安氦亥" },
};

void splits_free(struct splits *s)
{
	free(s->at);
	*s = (struct splits){ 0 };
}

/* The bytes of the character at the front of text that is UTF-8. */
static size_t character(struct slice text)
{
	size_t n = text.len > 0;

	while (n < text.len && (text.at[n] & 0xc0) == 0x80)
		n++;
	return n;
}

struct folded {
	uint32_t at;
	size_t count;
};

static void on_symbol(void *to, const struct scan_symbol *s)
{
	struct folded *f = to;

	f->at = s->folded;
	f->count++;
}

/* 0: it is not one symbol. */
static uint32_t fold(struct slice text)
{
	struct folded f = { 0 };

	scan_explain(text, on_symbol, &f);
	return f.count == 1 ? f.at : 0;
}

static bool add(struct splits *s, struct slice of, struct slice parts)
{
	struct split one = { fold(of), parts };

	if (!one.folded || !draft_reserve((void **)&s->at, &s->room, s->count, sizeof(*s->at)))
		return false;
	s->at[s->count++] = one;
	return true;
}

/* A radical and what is beside it. */
static bool add_pair(struct splits *s, struct arena *kept, struct slice of, const char *radical, struct slice rest)
{
	struct slice left = slice_str(radical);
	uint8_t *at = arena_take(kept, left.len + rest.len);

	if (!at)
		return false;
	memcpy(at, left.at, left.len);
	memcpy(at + left.len, rest.at, rest.len);
	return add(s, of, slice_of(at, left.len + rest.len));
}

int splits_add_own(struct splits *s, struct arena *kept)
{
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		for (struct slice pairs = slice_str(own[i].pairs); pairs.len;) {
			struct slice of = slice_of(pairs.at, character(pairs)), rest = slice_from(pairs, of.len);

			rest.len = character(rest);
			pairs = slice_from(pairs, of.len + rest.len);
			if (!add_pair(s, kept, of, own[i].radical, rest) ||
			    (own[i].also && !add_pair(s, kept, of, own[i].also, rest)))
				return -ENOMEM;
		}
	return 0;
}

bool splits_add_line(struct splits *s, struct slice line)
{
	struct slice of = { line.at, character(line) }, parts = csv_trim(slice_from(line, of.len));

	return parts.len < line.len - of.len && parts.len > character(parts) && add(s, of, parts);
}

static int by_character(const void *x, const void *y)
{
	const struct split *a = x, *b = y;

	if (a->folded != b->folded)
		return a->folded < b->folded ? -1 : 1;
	/* In one order whatever sorts: what comes of a policy is the same every time. */
	if (a->parts.len != b->parts.len)
		return a->parts.len < b->parts.len ? -1 : 1;
	return memcmp(a->parts.at, b->parts.at, a->parts.len);
}

void splits_sort(struct splits *s)
{
	if (s->count)
		qsort(s->at, s->count, sizeof(*s->at), by_character);
}

struct slice splits_find(const struct splits *s, struct slice of, size_t n)
{
	uint32_t folded = fold(of);
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (s->at[mid].folded < folded)
			low = mid + 1;
		else
			high = mid;
	}
	return low + n < s->count && folded && s->at[low + n].folded == folded ? s->at[low + n].parts : SLICE("");
}
