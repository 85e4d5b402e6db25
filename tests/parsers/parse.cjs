// SPDX-License-Identifier: Apache-2.0
// parse.cjs - what Node's llhttp makes of bytes on a connection. Cases and answers as http1_parse.c has them.
const {HTTPParser, methods} = require('_http_common');
const fs = require('fs');

const response = process.argv[2] === 'response';
const input = fs.readFileSync(0);

function parse(bytes) {
  const messages = [], parser = new HTTPParser();
  let error = null, now = null;
  parser.initialize(response ? HTTPParser.RESPONSE : HTTPParser.REQUEST, {});
  const pairs = raw => Array.from({length: raw.length / 2}, (_, i) => [raw[2 * i], raw[2 * i + 1]]);
  let early = [];
  parser[HTTPParser.kOnMessageBegin | 0] = () => { early = []; };
  parser[HTTPParser.kOnHeaders | 0] = (headers, url) => {
    if (now) now.trailers = true; else early.push(headers, url);
  };
  parser[HTTPParser.kOnHeadersComplete | 0] = (major, minor, headers, method, url, status, reason, upgrade) => {
    let all = headers || [], target = url;
    for (let i = 0; i < early.length; i += 2) { all = early[i].concat(all); target = early[i + 1] || target; }
    early = [];
    if (upgrade) { error = 'upgrade'; return 2; }
    now = {start: response ? [status, minor] : [methods[method], target, minor], fields: pairs(all), body: '', complete: false};
    messages.push(now);
    return 0;
  };
  parser[HTTPParser.kOnBody | 0] = data => { now.body += data.toString('hex'); };
  parser[HTTPParser.kOnMessageComplete | 0] = () => { if (now) now.complete = true; now = null; };
  const result = parser.execute(bytes);
  if (result instanceof Error) error = result.code || String(result);
  else if (!error) {
    const end = parser.finish();
    if (end instanceof Error) error = end.code || String(end);
  }
  return {messages, error};
}

let out = '';
for (let at = 0; at < input.length;) {
  const length = input.readUInt32BE(at);
  out += JSON.stringify(parse(Buffer.from(input.subarray(at + 4, at + 4 + length)))) + '\n';
  at += 4 + length;
}
process.stdout.write(out);
