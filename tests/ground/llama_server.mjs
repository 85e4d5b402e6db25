// SPDX-License-Identifier: Apache-2.0
// llama_server.mjs - llama.cpp itself behind a small OpenAI-style server.
//
//   node llama_server.mjs MODEL.gguf PORT [HOST]
//
// Runs where node_modules has node-llama-cpp (tests/ground/npm/llama). A fixed pool of sequences: a new one per
// request would end in "No sequences left" under load. GET /health, GET /stats, POST /v1/chat/completions.
import http from 'node:http';
import {getLlama, LlamaCompletion} from 'node-llama-cpp';

const [,, modelPath, port, host = '127.0.0.1'] = process.argv;
const slots = 8, waiting = [];
const stats = {requests: 0, started: 0, finished: 0, cancelled: 0};
const llama = await getLlama({gpu: false, build: 'never', skipDownload: true, maxThreads: 1, logLevel: 'error'});
const model = await llama.loadModel({modelPath});
const context = await model.createContext({contextSize: 2048, sequences: slots});
const free = Array.from({length: slots}, () => context.getSequence());
const take = () => free.pop() ?? new Promise(resolve => waiting.push(resolve));
const give = sequence => waiting.length ? waiting.shift()(sequence) : free.push(sequence);

const json = (res, value, status = 200) => {
	const body = JSON.stringify(value);
	res.writeHead(status, {'content-type': 'application/json', 'content-length': Buffer.byteLength(body)});
	res.end(body);
};

async function chat(req, res) {
	let raw = '';
	for await (const part of req)
		raw += part;
	let body;
	try {
		body = JSON.parse(raw);
	} catch {
		return json(res, {error: {message: 'not JSON', type: 'invalid_request_error', code: 400}}, 400);
	}
	const stop = new AbortController(), base = {id: 'chatcmpl-llama', created: 1764000000, model: 'script'};
	const delay = (body.delay ?? 0) * 1000;
	const event = (delta, finish_reason = null) => res.write('data: ' + JSON.stringify({...base,
		object: 'chat.completion.chunk', choices: [{index: 0, delta, finish_reason}]}) + '\n\n');
	stats.requests++;
	stats.started++;
	res.on('close', () => {
		if (!res.writableFinished) {
			stats.cancelled++;
			stop.abort(); // a cut connection ends the generation
		}
	});
	const sequence = await take();
	try {
		if (body.stream) {
			res.writeHead(200, {'content-type': 'text/event-stream'});
			event({role: 'assistant', content: ''});
		}
		await sequence.clearHistory();
		let queue = Promise.resolve();
		const text = await new LlamaCompletion({contextSequence: sequence}).generateCompletion(
			body.messages.at(-1).content, {
				maxTokens: body.max_tokens ?? 500, signal: stop.signal, stopOnAbortSignal: true,
				onTextChunk: content => {
					if (body.stream)
						queue = queue.then(() => event({content})).then(() => delay && new Promise(r => setTimeout(r, delay)));
				}});
		await queue;
		if (body.stream) {
			event({}, 'stop');
			res.end('data: [DONE]\n\n');
		} else {
			json(res, {...base, object: 'chat.completion',
				choices: [{index: 0, message: {role: 'assistant', content: text}, finish_reason: 'stop'}]});
		}
		if (!stop.signal.aborted)
			stats.finished++;
	} finally {
		give(sequence);
	}
}

http.createServer((req, res) => {
	if (req.url === '/health')
		return json(res, {status: 'ok'});
	if (req.url === '/stats')
		return json(res, stats);
	if (req.method === 'POST' && req.url === '/v1/chat/completions')
		return chat(req, res).catch(error => {
			console.error('llama_server: ' + error.message);
			res.destroy();
		});
	json(res, {error: {message: 'not found', code: 404}}, 404);
}).listen(+port, host);
