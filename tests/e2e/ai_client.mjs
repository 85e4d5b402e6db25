// SPDX-License-Identifier: Apache-2.0
// ai_client.mjs - the AI SDK asks an OpenAI-compatible server; one JSON line for each case, as openai_client.mjs does.
//
// Runs where node_modules has ai and @ai-sdk/openai-compatible (tests/ground/npm/ai).
import {createOpenAICompatible} from '@ai-sdk/openai-compatible';
import {generateText, streamText} from 'ai';

const [,, baseURL, ...cases] = process.argv;
let requests = 0;
const provider = createOpenAICompatible({name: 'ground', baseURL, apiKey: 'x',
	fetch: (...args) => { requests++; return fetch(...args); }});

for (const entry of cases) {
	const [words, how] = entry.split(':');
	const seen = {case: entry, content: '', reasoning: '', tools: '', finish: null, error: null};
	const body = {model: provider('ground'), prompt: 'say ' + words,
		onError: ({error}) => { seen.error = String(error.message ?? error); }};
	requests = 0;
	try {
		if (how === 'stream') {
			for await (const part of streamText(body).fullStream) {
				if (part.type === 'text-delta')
					seen.content += part.text;
				if (part.type === 'reasoning-delta')
					seen.reasoning += part.text;
				if (part.type === 'tool-input-delta')
					seen.tools += part.delta;
				if (part.type === 'finish')
					seen.finish = part.finishReason;
			}
		} else {
			const answer = await generateText(body);
			seen.content = answer.text;
			seen.reasoning = answer.reasoningText ?? '';
			seen.finish = answer.finishReason;
		}
	} catch (error) {
		seen.error = `${error.constructor.name}: ${error.message}`;
	}
	console.log(JSON.stringify({...seen, requests}));
}
