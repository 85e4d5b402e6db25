// SPDX-License-Identifier: Apache-2.0
// openai_apis_client.mjs - the official openai client asks for completions and responses; a JSON line for each case.
//
//   node openai_apis_client.mjs BASE_URL CASE...      CASE: WORDS:HOW, HOW one of completions, responses and "…-whole"
import OpenAI from 'openai';

const [,, baseURL, ...cases] = process.argv;
let requests = 0;
const client = new OpenAI({baseURL, apiKey: 'x', timeout: 30000,
	fetch: (...args) => { requests++; return fetch(...args); }});

const ask = {
	async completions(seen, prompt) {
		for await (const chunk of await client.completions.create({model: 'ground', prompt, stream: true}))
			for (const choice of chunk.choices) {
				seen.content += choice.text;
				seen.finish = choice.finish_reason ?? seen.finish;
			}
	},
	async 'completions-whole'(seen, prompt) {
		const [choice] = (await client.completions.create({model: 'ground', prompt})).choices;
		seen.content = choice.text;
		seen.finish = choice.finish_reason;
	},
	async responses(seen, input) {
		const stream = client.responses.stream({model: 'ground', input});
		stream.on('response.output_text.delta', event => { seen.content += event.delta; });
		stream.on('response.function_call_arguments.delta', event => { seen.tools += event.delta; });
		const answer = await stream.finalResponse();
		seen.finish = answer.incomplete_details?.reason ?? answer.status;
	},
	async 'responses-whole'(seen, input) {
		const answer = await client.responses.create({model: 'ground', input});
		seen.content = answer.output_text;
		seen.finish = answer.incomplete_details?.reason ?? answer.status;
	},
};

for (const entry of cases) {
	const [words, how] = entry.split(':');
	const seen = {case: entry, content: '', tools: '', finish: null, error: null};
	requests = 0;
	try {
		await ask[how](seen, 'say ' + words);
	} catch (error) {
		seen.error = `${error.constructor.name}: ${error.message}`;
	}
	console.log(JSON.stringify({...seen, requests}));
}
