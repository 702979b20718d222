"""The official library for Python, asked one question a line: JSON in, JSON out."""

import contextlib
import hashlib
import hmac
import inspect
import io
import json
import logging
import sys
import xml.etree.ElementTree as ElementTree

import websockets.exceptions
import websockets.sync.client
from flask import Flask, Response, request
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http import HttpClient
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response as HttpResponse
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import VoiceGrant
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.voice_response import Application, Dial, VoiceResponse


class Fields(dict):
    """Names with one value or several, as web frameworks hand them over."""

    def __init__(self, pairs):
        super().__init__()
        for name, value in pairs:
            self.setdefault(name, []).append(value)

    def getlist(self, name):
        return self[name]


def fields(question):
    return question["body"] if "body" in question else Fields(question["params"])


def sign(question):
    algorithm = question["algorithm"]
    validator = RequestValidator(question["secret"])
    params = {} if "body" in question else fields(question)
    return validator.compute_signature(question["url"], params, algorithm)


def validate(question):
    validator = RequestValidator(question["secret"])
    signature, algorithm = question["signature"], question["algorithm"]
    try:
        return bool(validator.validate(question["url"], fields(question), signature, algorithm))
    except (TwilioException, KeyError, ValueError):
        return False


def decode(question):
    token = AccessToken.from_jwt(question["token"], question["secret"])
    return {"headers": token.headers, "payload": token.payload}


def mint(question):
    token = AccessToken(question["account"], question["key"], question["secret"], identity=question["identity"])
    token.add_grant(VoiceGrant(incoming_allow=True, outgoing_application_sid=question["application"]))
    return token.to_jwt()


def tree(question):
    def node(element):
        return [element.tag, dict(element.attrib), element.text or "", [node(child) for child in element]]

    return node(ElementTree.fromstring(question["xml"]))


def hand_off(question):
    values = [question[name] for name in ("original_to", "original_call", "number", "company")]
    names = ["OriginalTo", "OriginalCallSid", "RetreaverPhoneNumber", "RetreaverCompanyId"]
    digest = hmac.new(question["secret"].encode(), ":".join(values).encode(), hashlib.sha256)
    application = Application(question["application"])
    for name, value in zip(names + ["RetreaverSignature"], values + [digest.hexdigest()]):
        application.parameter(name=name, value=value)
    dial = Dial()
    dial.append(application)
    response = VoiceResponse()
    response.append(dial)
    return str(response)


def sample(question):
    """The sample of the documentation, run as it stands there; what it prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(question["code"], {})
    return out.getvalue().strip()


class Recorder(HttpClient):
    """Sends nothing, and remembers what would have been sent."""

    def __init__(self):
        super().__init__(logging.getLogger(__name__), False)
        self.seen = None
        self.answers = []

    def request(self, method, url, params=None, data=None, headers=None, auth=None, **_):
        self.seen = {"method": method, "url": url, "params": params or {}, "data": data or {}, "auth": auth}
        return HttpResponse(200, json.dumps(self.answers.pop(0) if self.answers else {"sid": "x"}))


def rest(question):
    recorder = Recorder()
    client = Client(question["account"], question["secret"], http_client=recorder)
    numbers, values = client.incoming_phone_numbers, question["values"]
    what = question["what"]
    if what == "list":
        recorder.answers.append({"incoming_phone_numbers": [], "next_page_uri": None})
        numbers.page(page_size=values["page_size"])
    elif what == "buy":
        numbers.create(**values)
    elif what == "set":
        numbers(question["sid"]).update(**values)
    elif what == "release":
        recorder.request = lambda *args, **more: (Recorder.request(recorder, *args, **more), HttpResponse(204, ""))[1]
        numbers(question["sid"]).delete()
    elif what == "fetch":
        numbers(question["sid"]).fetch()
    elif what == "account":
        client.api.v2010.accounts(question["sid"]).fetch()
    elif what == "call":
        client.calls(question["sid"]).update(**values)
    elif what == "application":
        client.applications(question["sid"]).update(**values)
    else:
        raise ValueError(what)
    return recorder.seen


def pages(question):
    """All numbers of a list of several pages, and the address of each page that was asked for."""
    recorder = Recorder()
    recorder.answers = question["pages"]
    asked = []
    request = recorder.request
    recorder.request = lambda method, url, **more: (asked.append(url), request(method, url, **more))[1]
    client = Client(question["account"], question["secret"], http_client=recorder)
    found = client.incoming_phone_numbers.list(page_size=2)
    return {"asked": asked, "found": [number.sid for number in found]}


class Local(HttpClient):
    """Sends what is for Twilio to a server of ours."""

    def __init__(self, url):
        super().__init__(logging.getLogger(__name__), False)
        self.url = url
        self.session = TwilioHttpClient()

    def request(self, method, url, **more):
        return self.session.request(method, url.replace("https://api.twilio.com", self.url), **more)


def live(question):
    """Lists page by page, buys, finds, changes, reads, releases, and is refused."""
    client = Client(question["account"], question["token"], http_client=Local(question["url"]))
    numbers = client.incoming_phone_numbers
    listed = numbers.list(page_size=2)
    bought = numbers.create(phone_number="+14155550100", voice_method="POST")
    found = numbers.list(phone_number="+14155550100")
    changed = numbers(bought.sid).update(voice_url="https://edge.example.com/voice", trunk_sid="")
    read = numbers(bought.sid).fetch()
    numbers(bought.sid).delete()

    def code(ask):
        try:
            return ask()
        except TwilioRestException as error:
            return error.code

    stranger = Client(question["account"], "wrong", http_client=Local(question["url"]))
    return {
        "listed": len(listed),
        "bought": bought.phone_number,
        "found": len(found),
        "changed": read.voice_url if changed.sid == read.sid else None,
        "left": len(numbers.list(page_size=1)),
        "missing": code(lambda: numbers(bought.sid).fetch()),
        "refused": code(lambda: stranger.incoming_phone_numbers(bought.sid).fetch()),
    }


def number(question):
    client = Client(question["account"], question["token"], http_client=Local(question["url"]))
    found = client.incoming_phone_numbers(question["sid"]).fetch()
    names = ["voice_url", "voice_method", "sms_url", "status_callback", "trunk_sid"]
    return {name: getattr(found, name) for name in names}


def parameters(question):
    """The names of all that can be sent."""

    def names(ask, part):
        recorder = Recorder()
        client = Client(question["account"], "token", http_client=recorder)
        if part == "params":
            recorder.answers.append({"incoming_phone_numbers": [], "next_page_uri": None})
        method = ask(client.incoming_phone_numbers)
        given = {
            name: True if name in ("beta", "voice_caller_id_lookup") else "1"
            for name in inspect.signature(method).parameters
        }
        method(**given)
        # What the library says a value is; `other`: one of a list of words.
        kinds = {}
        for name, parameter in inspect.signature(method).parameters.items():
            annotation = str(parameter.annotation)
            kind = next((kind for kind in ("bool", "int", "str") if f"{kind}," in annotation), "other")
            sent = "".join(part.capitalize() for part in name.split("_"))
            kinds["Page" if sent == "PageNumber" else sent] = kind
        return {name: kinds[name] for name in sorted(recorder.seen[part])}

    return {
        "list": names(lambda numbers: numbers.page, "params"),
        "create": names(lambda numbers: numbers.create, "data"),
        "update": names(lambda numbers: numbers("PN" + 32 * "0").update, "data"),
    }


BINDINGS = []
SENT = []
app = Flask(__name__)


@app.route("/calls/notificationWebhook", methods=["POST"])
def notification_webhook():
    try:
        payload = request.json
    except Exception:
        return Response(status=400, mimetype="text/plain")
    parts = payload["twi_to"].split(":")
    identity = parts[1] if len(parts) == 2 else None
    account = payload["twi_account_sid"]
    if not identity:
        return Response("Invalid callee identity", status=400, mimetype="text/plain")
    found = [bound for bound in BINDINGS if bound == [identity, account]]
    if not found:
        return Response("Not found", status=404, mimetype="text/plain")
    SENT.extend(found)
    return Response(status=200, mimetype="text/plain")


def notify(question):
    BINDINGS[:] = question["bound"]
    SENT.clear()
    app.config["PROPAGATE_EXCEPTIONS"] = False
    answer = app.test_client().post(
        "/calls/notificationWebhook", data=question["body"].encode(), content_type="application/json"
    )
    return {"status": answer.status_code, "text": answer.get_data(as_text=True), "sent": len(SENT)}


PHONES = []
OPEN = contextlib.ExitStack()


def phone(question):
    """A soft phone: a client of a WebSocket that nobody here has written."""
    try:
        socket = OPEN.enter_context(
            websockets.sync.client.connect(
                question["url"],
                additional_headers=question.get("headers"),
                subprotocols=question.get("protocols"),
            )
        )
    except websockets.exceptions.InvalidStatus as error:
        return {"status": error.response.status_code}
    PHONES.append(socket)
    return {"phone": len(PHONES) - 1, "protocol": socket.subprotocol}


def hear(question):
    """The next message, or the code with which the other side says farewell."""
    try:
        return {"text": PHONES[question["phone"]].recv(timeout=10)}
    except websockets.exceptions.ConnectionClosed as error:
        return {"code": error.rcvd and error.rcvd.code}


def ping(question):
    return PHONES[question["phone"]].ping(question["bytes"].encode()).wait(10)


def say(question):
    """In one message, or in fragments of one."""
    PHONES[question["phone"]].send(question["text"])


def hang_up(question):
    socket = PHONES[question["phone"]]
    socket.close()
    return socket.close_code


QUESTIONS = {
    "phone": phone,
    "hear": hear,
    "ping": ping,
    "say": say,
    "hang_up": hang_up,
    "sign": sign,
    "validate": validate,
    "decode": decode,
    "mint": mint,
    "tree": tree,
    "hand_off": hand_off,
    "sample": sample,
    "rest": rest,
    "pages": pages,
    "notify": notify,
    "live": live,
    "number": number,
    "parameters": parameters,
}

app.logger.disabled = True
for line in sys.stdin:
    question = json.loads(line)
    try:
        answer = {"is": QUESTIONS[question["ask"]](question)}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
