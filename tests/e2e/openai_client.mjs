// SPDX-License-Identifier: Apache-2.0
// openai_client.mjs - the official client asks; one JSON line for each case: what a program using it would see.
//
//   node openai_client.mjs BASE_URL CASE...      CASE: WORDS:stream or WORDS:whole, "GOOD:stream"
//
// Runs where node_modules has openai (tests/ground/npm/openai).
import OpenAI from 'openai';

const [,, baseURL, ...cases] = process.argv;
let requests = 0;
const client = new OpenAI({baseURL, apiKey: 'x', timeout: 30000,
	fetch: (...args) => { requests++; return fetch(...args); }}); // default retries: a retry shows in the count

for (const entry of cases) {
	const [words, how] = entry.split(':');
	const seen = {case: entry, content: '', reasoning: '', tools: '', finish: null, chunks: 0, usage: null, error: null};
	const body = {model: 'ground', messages: [{role: 'user', content: 'say ' + words}]};
	requests = 0;
	try {
		if (how === 'stream') {
			for await (const chunk of await client.chat.completions.create({...body, stream: true,
				stream_options: {include_usage: true}})) {
				seen.chunks++;
				seen.usage = chunk.usage ?? seen.usage;
				for (const choice of chunk.choices ?? []) {
					seen.content += choice.delta?.content ?? '';
					seen.reasoning += choice.delta?.reasoning_content ?? '';
					for (const call of choice.delta?.tool_calls ?? [])
						seen.tools += call.function?.arguments ?? '';
					seen.finish = choice.finish_reason ?? seen.finish;
				}
			}
		} else {
			const answer = await client.chat.completions.create(body), choice = answer.choices[0];
			seen.content = choice.message.content ?? '';
			seen.reasoning = choice.message.reasoning_content ?? '';
			seen.tools = (choice.message.tool_calls ?? []).map(call => call.function.arguments).join('');
			seen.finish = choice.finish_reason;
			seen.usage = answer.usage ?? null;
		}
	} catch (error) {
		seen.error = `${error.constructor.name}: ${error.message}`;
	}
	console.log(JSON.stringify({...seen, requests}));
}
