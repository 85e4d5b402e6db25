// SPDX-License-Identifier: Apache-2.0
// anthropic_client.mjs - the official client asks; one JSON line for each case, as openai_client.mjs does.
//
// Runs where node_modules has @anthropic-ai/sdk (tests/ground/npm/anthropic).
import Anthropic from '@anthropic-ai/sdk';

const [,, baseURL, ...cases] = process.argv;
let requests = 0;
const client = new Anthropic({baseURL, apiKey: 'x', timeout: 30000,
	fetch: (...args) => { requests++; return fetch(...args); }});

for (const entry of cases) {
	const [words, how] = entry.split(':');
	const seen = {case: entry, content: '', reasoning: '', tools: '', finish: null, error: null};
	const body = {model: 'ground', max_tokens: 100, messages: [{role: 'user', content: 'say ' + words}]};
	requests = 0;
	try {
		let message;
		if (how === 'stream') {
			const stream = client.messages.stream(body);
			stream.on('text', text => { seen.content += text; });
			stream.on('thinking', text => { seen.reasoning += text; });
			stream.on('inputJson', text => { seen.tools += text; });
			message = await stream.finalMessage();
		} else {
			message = await client.messages.create(body);
			for (const block of message.content) {
				seen.content += block.text ?? '';
				seen.reasoning += block.thinking ?? '';
				seen.tools += block.input ? JSON.stringify(block.input) : '';
			}
		}
		seen.finish = message.stop_reason;
	} catch (error) {
		seen.error = `${error.constructor.name}: ${error.message}`;
	}
	console.log(JSON.stringify({...seen, requests}));
}
