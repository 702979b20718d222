// The official library for Node.js, asked one question a line: JSON in, JSON out.
const crypto = require('crypto');
const readline = require('readline');
const twilio = require('twilio');

const fields = (pairs) => {
  const all = {};
  for (const [name, value] of pairs) (all[name] ||= []).push(value);
  return Object.fromEntries(Object.entries(all).map(([name, values]) => [name, values.length > 1 ? values : values[0]]));
};

const questions = {
  sign: ({ secret, url, params }) => twilio.getExpectedTwilioSignature(secret, url, fields(params || [])),
  validate: ({ secret, url, params, body, signature }) =>
    body === undefined
      ? twilio.validateRequest(secret, signature, url, fields(params))
      : twilio.validateRequestWithBody(secret, signature, url, body),
  decode: ({ token, secret }) => require('jsonwebtoken').verify(token, secret, { algorithms: ['HS256'], complete: true }),
  mint: ({ account, key, secret, identity, application }) => {
    const { AccessToken } = twilio.jwt;
    const token = new AccessToken(account, key, secret, { identity });
    token.addGrant(new AccessToken.VoiceGrant({ incomingAllow: true, outgoingApplicationSid: application }));
    return token.toJwt();
  },
  hand_off: (question) => {
    const values = [question.original_to, question.original_call, question.number, question.company];
    const names = ['OriginalTo', 'OriginalCallSid', 'RetreaverPhoneNumber', 'RetreaverCompanyId', 'RetreaverSignature'];
    const signature = crypto.createHmac('sha256', question.secret).update(values.join(':'), 'utf8').digest('hex');
    const response = new twilio.twiml.VoiceResponse();
    const application = response.dial().application(question.application);
    [...values, signature].forEach((value, at) => application.parameter({ name: names[at], value }));
    return response.toString();
  },
  // The names of all that can be sent: whatever the library looks for is there.
  parameters: async ({ account }) => {
    const names = async (ask, part) => {
      let seen;
      const request = async (options) => {
        seen = options[part] || {};
        return { statusCode: 200, body: { sid: 'x', incoming_phone_numbers: [], next_page_uri: null } };
      };
      const all = new Proxy({}, { get: (_, name) => (typeof name === 'string' && name !== 'then' ? '1' : undefined) });
      await ask(twilio(account, 'token', { httpClient: { request } }).incomingPhoneNumbers, all);
      return Object.fromEntries(Object.keys(seen).sort().map((name) => [name, 'any']));
    };
    return {
      list: await names((numbers, all) => numbers.page(all), 'params'),
      create: await names((numbers, all) => numbers.create(all), 'data'),
      update: await names((numbers, all) => numbers('PN' + '0'.repeat(32)).update(all), 'data'),
    };
  },
  // Lists page by page, buys, finds, changes, reads, releases, and is refused.
  live: async ({ url, account, token }) => {
    const of = (secret) => {
      const client = new twilio.RequestClient();
      const request = (options) => client.request({ ...options, uri: options.uri.replace('https://api.twilio.com', url) });
      return twilio(account, secret, { httpClient: { request } }).incomingPhoneNumbers;
    };
    const code = (asked) => asked.then(() => null, (error) => error.code);
    const numbers = of(token);
    const listed = await numbers.list({ pageSize: 2 });
    const bought = await numbers.create({ phoneNumber: '+14155550100', voiceMethod: 'POST' });
    const found = await numbers.list({ phoneNumber: '+14155550100' });
    const changed = await numbers(bought.sid).update({ voiceUrl: 'https://edge.example.com/voice', trunkSid: '' });
    const read = await numbers(bought.sid).fetch();
    await numbers(bought.sid).remove();
    return {
      listed: listed.length,
      bought: bought.phoneNumber,
      found: found.length,
      changed: changed.sid === read.sid ? read.voiceUrl : null,
      left: (await numbers.list({ pageSize: 1 })).length,
      missing: await code(numbers(bought.sid).fetch()),
      refused: await code(of('wrong')(bought.sid).fetch()),
    };
  },
  // The sample of the documentation, run as it stands there; what it prints.
  sample: ({ code }) => {
    let out = '';
    new Function('require', 'console', code)(require, { log: (text) => (out += text) });
    return out;
  },
};

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const question = JSON.parse(line);
  let answer;
  try {
    answer = { is: await questions[question.ask](question) };
  } catch (error) {
    answer = { error: `${error.name}: ${error.message}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
});
