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
  // The sample of the documentation, run as it stands there; what it prints.
  sample: ({ code }) => {
    let out = '';
    new Function('require', 'console', code)(require, { log: (text) => (out += text) });
    return out;
  },
};

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const question = JSON.parse(line);
  let answer;
  try {
    answer = { is: questions[question.ask](question) };
  } catch (error) {
    answer = { error: `${error.name}: ${error.message}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
});
