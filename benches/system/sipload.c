// sipload: SIP load for one server over UDP, TCP or TLS, both ends of every call in one thread.
//
//   carrier (-u)            server under test (-t)            buyer (-b)
//      INVITE ---------------------> INVITE --------------------->
//      [401, ACK, INVITE with digest, if -A]
//      <--------------- 100, 180, 200 <------------- 100, 180, 200
//      ACK ------------------------> ACK ------------------------>
//                      (-d milliseconds of talk)
//      BYE ------------------------> BYE ------------------------>
//      <------------------------ 200 <------------------------ 200
//
// It batches its system calls and costs about 30 us of CPU per call, so that the server is the bottleneck. It
// is strict: nothing is sent again, so each lost or late datagram is a failed call. With -R it sends INVITE and BYE again after
// 0.5, 1.5, 3.5 and 7.5 s, as a carrier does. One line of JSON at the end.
// With -s tcp or tls the carrier has one connection to the server, and the buyer takes those that the server opens.
//
// Build: cc -O2 -o sipload sipload.c -lssl -lcrypto
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef uint32_t u32;
typedef uint64_t u64;

static u64 now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void fail(const char *what) {
    fprintf(stderr, "sipload: %s\n", what);
    exit(2);
}

// ---------------------------------------------------------------- MD5 (RFC 1321)

static u32 md5_table[64];

// The table of RFC 1321 is floor(2^32 * |sin(i + 1)|); the sine is had from its recurrence, without libm.
static void md5_init(void) {
    const long double cos1 = 0.540302305868139717400936607442976604L;
    long double before = 0, here = 0.841470984807896506652502321630298999622563L;
    for (int i = 0; i < 64; i++) {
        md5_table[i] = (u32)((here < 0 ? -here : here) * 4294967296.0L);
        long double next = 2 * cos1 * here - before;
        before = here;
        here = next;
    }
}

static u32 rotate(u32 x, int by) { return x << by | x >> (32 - by); }

static void md5_block(u32 state[4], const unsigned char *block) {
    static const int turns[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
    u32 words[16], a = state[0], b = state[1], c = state[2], d = state[3];
    memcpy(words, block, 64); // little-endian, as every machine this runs on
    for (int i = 0; i < 64; i++) {
        u32 f;
        int word;
        switch (i / 16) {
        case 0: f = (b & c) | (~b & d), word = i; break;
        case 1: f = (d & b) | (~d & c), word = (5 * i + 1) % 16; break;
        case 2: f = b ^ c ^ d, word = (3 * i + 5) % 16; break;
        default: f = c ^ (b | ~d), word = 7 * i % 16; break;
        }
        u32 last = d;
        d = c;
        c = b;
        b += rotate(a + f + md5_table[i] + words[word], turns[i / 16][i % 4]);
        a = last;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
}

// Writes MD5 of a formatted text as 32 hex digits.
__attribute__((format(printf, 2, 3))) static void md5(char hex[33], const char *format, ...) {
    unsigned char text[1024] = {0};
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf((char *)text, 900, format, arguments);
    va_end(arguments);
    if (length >= 900) fail("text too long for MD5");

    u32 state[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    size_t padded = ((length + 8) / 64 + 1) * 64;
    u64 bits = (u64)length * 8;
    text[length] = 0x80;
    memset(text + length + 1, 0, padded - length - 1);
    memcpy(text + padded - 8, &bits, 8);
    for (size_t at = 0; at < padded; at += 64) md5_block(state, text + at);
    for (int i = 0; i < 16; i++) sprintf(hex + 2 * i, "%02x", ((unsigned char *)state)[i]);
}

// ---------------------------------------------------------------- what is known of each call

enum stage { OVER, CHALLENGED, INVITED, TALKING, ENDING };

struct call {
    u64 since;    // when its last request was sent
    u64 deadline; // when it has failed; 0: never
    char *dialog; // "target\0Route lines\0To tag\0", once it is answered
    u32 line;     // which of the lines it dials
    unsigned char stage;
    bool ringing, heard;
};

struct line {
    char number[24], user[24], password[32];
};

static struct call *calls;
static struct line *lines;
static u32 call_count, line_count, run_id;

static struct sockaddr_in server;
static int carrier, buyer; // sockets
static const char *server_text = "127.0.0.1:15060", *carrier_text = "127.0.0.1:15080", *buyer_text = "127.0.0.1:15090";
static bool use_digest, verbose, sends_again;
static int talk_ms = 200, nap_us;

static u64 started, succeeded, failed, refused, in_time, again, unexpected, received, sent, not_sent;
static u64 buyer_invites, buyer_invites_told, buyer_acks, buyer_byes;

// Latency: how many per 10 us, up to a second.
enum { BINS = 100000 };
static u32 to_challenge[BINS], to_ringing[BINS], to_answer[BINS], to_bye_answer[BINS];

static void note(u32 *bins, u64 us) { bins[us / 10 < BINS ? us / 10 : BINS - 1]++; }

static double quantile(const u32 *bins, double share) {
    u64 all = 0, below = 0;
    for (int i = 0; i < BINS; i++) all += bins[i];
    for (int i = 0; i < BINS; i++) {
        below += bins[i];
        if (all && below > (u64)(share * (all - 1))) return i * 0.01;
    }
    return 0;
}

static void finish(u32 id, bool is_good) {
    struct call *call = &calls[id];
    if (call->stage == OVER) return;
    call->stage = OVER;
    free(call->dialog);
    call->dialog = NULL;
    *(is_good ? &succeeded : &failed) += 1;
}

// ---------------------------------------------------------------- sending, in batches

enum { BATCH = 128, SPACE = 2048 };
static char out_text[BATCH][SPACE];
static struct iovec out_parts[BATCH];
static struct mmsghdr out_messages[BATCH];
static struct sockaddr_in out_to[BATCH];
static int out_count, out_socket;

static bool is_stream;
static SSL_CTX *tls; // NULL: TCP
static const char *via_name = "UDP", *uri_end = "";
static void flush_streams(void);
static char *begin_stream(int socket);
static void commit_stream(int length);

static void flush(void) {
    int done = 0;
    if (is_stream) {
        flush_streams();
        return;
    }
    while (done < out_count) {
        int count = sendmmsg(out_socket, out_messages + done, out_count - done, 0);
        if (count > 0) {
            done += count;
            sent += count;
        } else if (errno == EAGAIN || errno == ENOBUFS) {
            struct pollfd wait = {out_socket, POLLOUT, 0};
            poll(&wait, 1, 10);
        } else {
            done++;
            not_sent++;
        }
    }
    out_count = 0;
}

// A place for the next message; `commit` says how long it has become.
static char *begin(int socket, const struct sockaddr_in *to) {
    if (is_stream) return begin_stream(socket);
    if (out_count == BATCH || (out_count && socket != out_socket)) flush();
    out_socket = socket;
    out_to[out_count] = *to;
    return out_text[out_count];
}

static void commit(int length) {
    if (length <= 0 || length >= SPACE) fail("message too long");
    if (is_stream) {
        commit_stream(length);
        return;
    }
    out_parts[out_count] = (struct iovec){out_text[out_count], length};
    out_messages[out_count].msg_hdr = (struct msghdr){
        .msg_name = &out_to[out_count], .msg_namelen = sizeof out_to[0], .msg_iov = &out_parts[out_count], .msg_iovlen = 1};
    out_count++;
}

// ---------------------------------------------------------------- reading: one pass over the lines

struct text {
    const char *at;
    int length;
};

struct message {
    struct text start, via[8], record_route[8], from, to, call_id, cseq, contact, challenge;
    int vias, record_routes;
};

#define SHOW(text) (text).length, (text).at // for %.*s

static bool is_named(struct text name, const char *full, char compact) {
    if (name.length == 1) return compact && (name.at[0] | 32) == compact;
    return name.length == (int)strlen(full) && !strncasecmp(name.at, full, name.length);
}

// A parameter of a challenge, without quotes.
static bool parameter(struct text header, const char *name, char *out, int space) {
    const char *end = header.at + header.length;
    int length = strlen(name), count = 0;
    for (const char *p = header.at; p + length + 1 < end; p++) {
        if (strncasecmp(p, name, length) || p[length] != '=' || (p > header.at && p[-1] != ' ' && p[-1] != ',')) continue;
        p += length + 1;
        bool is_quoted = *p == '"';
        if (is_quoted) p++;
        while (p < end && count < space - 1 && (is_quoted ? *p != '"' : *p != ',' && *p != ' ')) out[count++] = *p++;
        out[count] = 0;
        return true;
    }
    out[0] = 0;
    return false;
}

static void read_header(struct message *message, struct text name, struct text value) {
    if (is_named(name, "Via", 'v')) {
        if (message->vias < 8) message->via[message->vias++] = value;
    } else if (is_named(name, "Record-Route", 0)) {
        if (message->record_routes < 8) message->record_route[message->record_routes++] = value;
    } else if (is_named(name, "From", 'f')) {
        message->from = value;
    } else if (is_named(name, "To", 't')) {
        message->to = value;
    } else if (is_named(name, "Call-ID", 'i')) {
        message->call_id = value;
    } else if (is_named(name, "CSeq", 0)) {
        message->cseq = value;
    } else if (is_named(name, "Contact", 'm')) {
        message->contact = value;
    } else if (is_named(name, "WWW-Authenticate", 0) || is_named(name, "Proxy-Authenticate", 0)) {
        char algorithm[32];
        if (!parameter(value, "algorithm", algorithm, sizeof algorithm) || !strcasecmp(algorithm, "MD5")) message->challenge = value;
    }
}

static void read_message(const char *text, int length, struct message *message) {
    memset(message, 0, sizeof *message);
    const char *end = text + length;
    bool is_first = true;
    while (text < end) {
        const char *newline = memchr(text, '\n', end - text);
        const char *stop = newline ? newline : end;
        struct text line = {text, stop - text};
        if (line.length && line.at[line.length - 1] == '\r') line.length--;
        if (is_first) {
            message->start = line;
            is_first = false;
        } else if (line.length == 0) {
            return;
        } else {
            const char *colon = memchr(line.at, ':', line.length);
            if (colon) {
                struct text name = {line.at, colon - line.at}, value = {colon + 1, line.length - (colon + 1 - line.at)};
                while (name.length && name.at[name.length - 1] == ' ') name.length--;
                while (value.length && *value.at == ' ') value.at++, value.length--;
                read_header(message, name, value);
            }
        }
        text = stop + 1;
    }
}

// ---------------------------------------------------------------- the carrier

static const char *CARRIER_SDP = "v=0\r\no=uac 53655765 2353687637 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                                 "m=audio 6000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
                                 "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";

static void send_invite(u32 id, int cseq, const char *authorization) {
    const struct line *line = &lines[calls[id].line];
    commit(snprintf(begin(carrier, &server), SPACE,
        "INVITE sip:%s@%s SIP/2.0\r\n"
        "Via: SIP/2.0/%s %s;branch=z9hG4bK-%x-%07u-%d\r\n"
        "From: <sip:%s@%s>;tag=%xu%07u\r\n"
        "To: <sip:%s@%s>\r\n"
        "Call-ID: %07u-%x@sipload\r\n"
        "CSeq: %d INVITE\r\n"
        "Contact: <sip:%s@%s%s>\r\n"
        "%s"
        "Max-Forwards: 70\r\n"
        "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE\r\n"
        "Supported: timer, replaces\r\n"
        "User-Agent: carrier-sbc/1.0\r\n"
        "P-Asserted-Identity: <sip:+14165550123@127.0.0.1>\r\n"
        "Content-Type: application/sdp\r\n"
        "Content-Length: %zu\r\n\r\n%s",
        line->number, server_text, via_name, carrier_text, run_id, id, cseq, line->user, carrier_text, run_id, id, line->number,
        server_text, id, run_id, cseq, line->user, carrier_text, uri_end, authorization, strlen(CARRIER_SDP), CARRIER_SDP));
}

static void acknowledge(u32 id, int cseq, struct text to) {
    const struct line *line = &lines[calls[id].line];
    commit(snprintf(begin(carrier, &server), SPACE,
        "ACK sip:%s@%s SIP/2.0\r\n"
        "Via: SIP/2.0/%s %s;branch=z9hG4bK-%x-%07u-%d\r\n"
        "From: <sip:%s@%s>;tag=%xu%07u\r\n"
        "To: %.*s\r\n"
        "Call-ID: %07u-%x@sipload\r\n"
        "CSeq: %d ACK\r\n"
        "Max-Forwards: 70\r\n"
        "Content-Length: 0\r\n\r\n",
        line->number, server_text, via_name, carrier_text, run_id, id, cseq, line->user, carrier_text, run_id, id, SHOW(to), id, run_id,
        cseq));
}

// ACK of the 200, or BYE.
static void send_within(u32 id, const char *method, int cseq) {
    const struct line *line = &lines[calls[id].line];
    const char *target = calls[id].dialog, *routes = target + strlen(target) + 1, *tag = routes + strlen(routes) + 1;
    commit(snprintf(begin(carrier, &server), SPACE,
        "%s %s SIP/2.0\r\n"
        "Via: SIP/2.0/%s %s;branch=z9hG4bK-%x-%07u-%s\r\n"
        "%s"
        "From: <sip:%s@%s>;tag=%xu%07u\r\n"
        "To: <sip:%s@%s>;tag=%s\r\n"
        "Call-ID: %07u-%x@sipload\r\n"
        "CSeq: %d %s\r\n"
        "Max-Forwards: 70\r\n"
        "Content-Length: 0\r\n\r\n",
        method, target, via_name, carrier_text, run_id, id, method, routes, line->user, carrier_text, run_id, id, line->number, server_text,
        tag, id, run_id, cseq, method));
}

static void answer_challenge(u32 id, const struct message *message, int status) {
    const struct line *line = &lines[calls[id].line];
    char realm[128], nonce[200], qop[32], opaque[128], secret[33], request[33], response[33], header[900];
    parameter(message->challenge, "realm", realm, sizeof realm);
    parameter(message->challenge, "nonce", nonce, sizeof nonce);
    parameter(message->challenge, "qop", qop, sizeof qop);
    bool has_opaque = parameter(message->challenge, "opaque", opaque, sizeof opaque);
    bool has_qop = strstr(qop, "auth");

    md5(secret, "%s:%s:%s", line->user, realm, line->password);
    md5(request, "INVITE:sip:%s@%s", line->number, server_text);
    if (has_qop) md5(response, "%s:%s:00000001:6c6f6164:auth:%s", secret, nonce, request);
    else md5(response, "%s:%s:%s", secret, nonce, request);
    snprintf(header, sizeof header,
        "%s: Digest username=\"%s\",realm=\"%s\",nonce=\"%s\",uri=\"sip:%s@%s\",response=\"%s\",algorithm=MD5%s%s%s%s\r\n",
        status == 401 ? "Authorization" : "Proxy-Authorization", line->user, realm, nonce, line->number, server_text, response,
        has_qop ? ",qop=auth,nc=00000001,cnonce=\"6c6f6164\"" : "", has_opaque ? ",opaque=\"" : "", opaque, has_opaque ? "\"" : "");
    send_invite(id, 2, header);
}

// Keeps what later requests of the dialog need: Contact's URI, Record-Route backwards, the To tag.
static void keep_dialog(struct call *call, const struct message *message) {
    char all[2048];
    struct text contact = message->contact;
    const char *open = contact.at ? memchr(contact.at, '<', contact.length) : NULL;
    const char *close = open ? memchr(open, '>', contact.at + contact.length - open) : NULL;
    int length = 0;
    if (close) length += snprintf(all, 512, "%.*s", (int)(close - open - 1), open + 1);
    all[length++] = 0;
    for (int i = message->record_routes - 1; i >= 0; i--)
        length += snprintf(all + length, 256, "Route: %.*s\r\n", SHOW(message->record_route[i]));
    all[length++] = 0;
    struct text to = message->to;
    const char *tag = to.at ? memmem(to.at, to.length, ";tag=", 5) : NULL;
    if (tag) length += snprintf(all + length, 128, "%.*s", (int)strcspn(tag + 5, ";\r\n"), tag + 5);
    all[length++] = 0;
    call->dialog = malloc(length);
    memcpy(call->dialog, all, length);
}

// Calls that talk, in the order in which they will hang up: the time of talk is the same for all.
static struct {
    u32 id;
    u64 at;
} *talking;
static u32 talking_first, talking_end;

static void on_invite_answer(u32 id, int status, const struct message *message, u64 now) {
    struct call *call = &calls[id];
    int cseq = atoi(message->cseq.at);
    if (call->stage == CHALLENGED) {
        if (status == 100) return;
        if (status != 401 && status != 407) {
            if (status >= 300) acknowledge(id, cseq, message->to), refused++;
            finish(id, false);
            return;
        }
        note(to_challenge, now - call->since);
        acknowledge(id, 1, message->to);
        call->stage = INVITED;
        call->since = now;
        answer_challenge(id, message, status);
        return;
    }
    if (status == 401 && cseq == 1) return;
    if (call->stage != INVITED) {
        if (status >= 200 && call->stage == TALKING) unexpected++;
        return;
    }
    call->heard = true;
    if (status < 180) return;
    if (status < 200) {
        if (!call->ringing) note(to_ringing, now - call->since);
        call->ringing = true;
        return;
    }
    if (status >= 300) {
        if (verbose) fprintf(stderr, "call %u: %.*s\n", id, SHOW(message->start));
        acknowledge(id, cseq, message->to);
        refused++;
        finish(id, false);
        return;
    }
    note(to_answer, now - call->since);
    keep_dialog(call, message);
    send_within(id, "ACK", use_digest ? 2 : 1);
    call->stage = TALKING;
    call->deadline = 0;
    talking[talking_end].id = id;
    talking[talking_end++].at = now + (u64)talk_ms * 1000;
}

static void on_carrier(const char *text, int length, u64 now) {
    struct message message;
    read_message(text, length, &message);
    if (message.start.length < 12 || strncmp(message.start.at, "SIP/2.0 ", 8) || !message.call_id.at || !message.cseq.at) {
        unexpected++;
        return;
    }
    int status = atoi(message.start.at + 8);
    char *rest;
    u32 id = strtoul(message.call_id.at, &rest, 10);
    if (*rest != '-' || id >= call_count || strtoul(rest + 1, NULL, 16) != run_id || calls[id].stage == OVER) {
        unexpected++;
        return;
    }
    if (memmem(message.cseq.at, message.cseq.length, "INVITE", 6)) {
        on_invite_answer(id, status, &message, now);
    } else if (calls[id].stage == ENDING && status >= 200) {
        if (status == 200) note(to_bye_answer, now - calls[id].since);
        else if (verbose) fprintf(stderr, "call %u: BYE got %d\n", id, status);
        finish(id, status == 200);
    }
}

// ---------------------------------------------------------------- the buyer

static const char *BUYER_SDP = "v=0\r\no=uas 20800 20800 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 7000 RTP/AVP 0 101\r\n"
                               "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n";

static void respond(const struct message *message, const char *status, bool is_dialog, const char *headers, const char *body,
    const struct sockaddr_in *to) {
    char *out = begin(buyer, to), tag[40] = "";
    int length = snprintf(out, SPACE, "SIP/2.0 %s\r\n", status);
    for (int i = 0; i < message->vias; i++) length += snprintf(out + length, SPACE - length, "Via: %.*s\r\n", SHOW(message->via[i]));
    if (is_dialog) {
        for (int i = 0; i < message->record_routes; i++)
            length += snprintf(out + length, SPACE - length, "Record-Route: %.*s\r\n", SHOW(message->record_route[i]));
        int shown = message->call_id.length < 24 ? message->call_id.length : 24;
        snprintf(tag, sizeof tag, ";tag=b%.*s", shown, message->call_id.at);
        for (char *p = tag + 5; *p; p++)
            if (*p == '@' || *p == ':') *p = '.';
    }
    length += snprintf(out + length, SPACE - length,
        "From: %.*s\r\nTo: %.*s%s\r\nCall-ID: %.*s\r\nCSeq: %.*s\r\n%sContent-Length: %zu\r\n\r\n%s", SHOW(message->from),
        SHOW(message->to), tag, SHOW(message->call_id), SHOW(message->cseq), headers, strlen(body), body);
    commit(length);
}

static bool has(const char *text, int length, const char *part) { return memmem(text, length, part, strlen(part)); }

static void on_buyer(const char *text, int length, const struct sockaddr_in *from) {
    struct message message;
    read_message(text, length, &message);
    if (!strncmp(text, "INVITE ", 7)) {
        if (has(message.to.at, message.to.length, ";tag=")) {
            unexpected++;
            return;
        }
        buyer_invites++;
        if (has(text, length, "X-PH-RetreaverUUID: ") && has(text, length, "X-PH-RetreaverKey: ") &&
            has(text, length, "X-PH-RetreaverAFID: ") && has(text, length, "X-PH-RetreaverSID: "))
            buyer_invites_told++;
        char contact[128], answer[300];
        snprintf(contact, sizeof contact, "Contact: <sip:buyer@%s%s>\r\n", buyer_text, uri_end);
        snprintf(answer, sizeof answer, "%sAllow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\nContent-Type: application/sdp\r\n", contact);
        respond(&message, "100 Trying", false, "", "", from);
        respond(&message, "180 Ringing", true, contact, "", from);
        respond(&message, "200 OK", true, answer, BUYER_SDP, from);
    } else if (!strncmp(text, "BYE ", 4)) {
        buyer_byes++;
        respond(&message, "200 OK", false, "", "", from);
    } else if (!strncmp(text, "ACK ", 4)) {
        buyer_acks++;
    } else {
        unexpected++;
    }
}

// ---------------------------------------------------------------- sockets and files

static struct sockaddr_in address(const char *text) {
    char host[64];
    snprintf(host, sizeof host, "%s", text);
    char *colon = strrchr(host, ':');
    struct sockaddr_in out = {.sin_family = AF_INET};
    if (!colon) fail("an address is ADDRESS:PORT");
    *colon = 0;
    out.sin_port = htons(atoi(colon + 1));
    if (inet_pton(AF_INET, host, &out.sin_addr) != 1) fail("an address is IPv4");
    return out;
}

static int open_socket(const char *text) {
    struct sockaddr_in own = address(text);
    int space = 8 << 20, out = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (setsockopt(out, SOL_SOCKET, SO_RCVBUFFORCE, &space, sizeof space)) setsockopt(out, SOL_SOCKET, SO_RCVBUF, &space, sizeof space);
    if (setsockopt(out, SOL_SOCKET, SO_SNDBUFFORCE, &space, sizeof space)) setsockopt(out, SOL_SOCKET, SO_SNDBUF, &space, sizeof space);
    if (bind(out, (void *)&own, sizeof own)) {
        perror(text);
        exit(2);
    }
    return out;
}

// ---------------------------------------------------------------- streams

enum { STREAMS = 64, ROOM = 1 << 20 };

struct stream {
    int fd;
    SSL *ssl;
    char *in, *out;
    int in_length, out_length;
};

static struct stream streams[STREAMS]; // the first one is the carrier's
static int stream_count = 1;
static struct stream *answering; // the one that a request to the buyer came on
static struct stream *writing;
static char stream_text[SPACE];

static void add_stream(struct stream *stream, int fd, bool is_client) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *stream = (struct stream){.fd = fd, .in = malloc(ROOM), .out = malloc(ROOM)};
    if (!tls) return;
    stream->ssl = SSL_new(tls);
    SSL_set_fd(stream->ssl, fd);
    if (is_client) SSL_set_connect_state(stream->ssl);
    else SSL_set_accept_state(stream->ssl);
}

static void flush_streams(void) {
    for (int i = 0; i < stream_count; i++) {
        struct stream *stream = &streams[i];
        while (stream->out_length) {
            int count = stream->ssl ? SSL_write(stream->ssl, stream->out, stream->out_length)
                                    : write(stream->fd, stream->out, stream->out_length);
            if (count <= 0) break;
            stream->out_length -= count;
            memmove(stream->out, stream->out + count, stream->out_length);
        }
    }
}

static char *begin_stream(int socket) {
    writing = socket == carrier ? &streams[0] : answering;
    return stream_text;
}

static void commit_stream(int length) {
    if (writing->out_length + length > ROOM) {
        not_sent++;
        return;
    }
    memcpy(writing->out + writing->out_length, stream_text, length);
    writing->out_length += length;
    sent++;
}

// Length of the message that a text begins with; 0: it is not whole.
static int whole(const char *text, int length) {
    const char *end = memmem(text, length, "\r\n\r\n", 4);
    if (!end) return 0;
    int head = end + 4 - text;
    const char *field = memmem(text, head, "\r\nContent-Length:", 17);
    int all = head + (field ? atoi(field + 17) : 0);
    return all <= length ? all : 0;
}

static int drain_stream(struct stream *stream) {
    int all = 0;
    for (;;) {
        int space = ROOM - stream->in_length - 1;
        char *to = stream->in + stream->in_length;
        int count = stream->ssl ? SSL_read(stream->ssl, to, space) : read(stream->fd, to, space);
        if (count <= 0) break;
        stream->in_length += count;
        int at = 0, length;
        u64 now = now_us();
        while ((length = whole(stream->in + at, stream->in_length - at))) {
            char after = stream->in[at + length];
            stream->in[at + length] = 0;
            if (stream == &streams[0]) on_carrier(stream->in + at, length, now);
            else answering = stream, on_buyer(stream->in + at, length, &server);
            stream->in[at + length] = after;
            at += length;
            all++;
        }
        stream->in_length -= at;
        memmove(stream->in, stream->in + at, stream->in_length);
    }
    return all;
}

static int drain_streams(int socket) {
    int all = 0;
    if (socket == carrier) {
        all = drain_stream(&streams[0]);
    } else {
        int fd;
        while (stream_count < STREAMS && (fd = accept4(buyer, NULL, NULL, SOCK_NONBLOCK)) >= 0)
            add_stream(&streams[stream_count++], fd, false);
        for (int i = 1; i < stream_count; i++) all += drain_stream(&streams[i]);
    }
    flush_streams();
    received += all;
    return all;
}

// What there is to wait for.
static void wait_streams(void) {
    struct pollfd wait[STREAMS + 1] = {{buyer, POLLIN, 0}};
    for (int i = 0; i < stream_count; i++)
        wait[i + 1] = (struct pollfd){streams[i].fd, POLLIN | (streams[i].out_length ? POLLOUT : 0), 0};
    poll(wait, stream_count + 1, 1);
}

// Connects the carrier, and listens for the server as the buyer. `folder` has the certificates.
static void open_streams(const char *folder) {
    if (folder) {
        char path[512];
        tls = SSL_CTX_new(TLS_method());
        snprintf(path, sizeof path, "%s/peer-cert.pem", folder);
        if (SSL_CTX_use_certificate_chain_file(tls, path) != 1) fail("no certificate");
        snprintf(path, sizeof path, "%s/peer-key.pem", folder);
        if (SSL_CTX_use_PrivateKey_file(tls, path, SSL_FILETYPE_PEM) != 1) fail("no key");
        snprintf(path, sizeof path, "%s/authority.pem", folder);
        if (SSL_CTX_load_verify_locations(tls, path, NULL) != 1) fail("no authority");
        SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
    struct sockaddr_in own = address(buyer_text), from = address(carrier_text);
    int on = 1;
    buyer = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(buyer, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(buyer, (void *)&own, sizeof own) || listen(buyer, STREAMS)) fail("the buyer cannot listen");
    carrier = socket(AF_INET, SOCK_STREAM, 0);
    from.sin_port = 0;
    struct sockaddr_in to = server;
    if (tls) to.sin_port = htons(ntohs(to.sin_port) + 1);
    if (bind(carrier, (void *)&from, sizeof from) || connect(carrier, (void *)&to, sizeof to)) fail("the carrier cannot connect");
    add_stream(&streams[0], carrier, true);
    if (tls && SSL_do_handshake(streams[0].ssl) != 1) fail("no TLS with the server");
    if (ioctl(carrier, FIONBIO, &(int){1}) < 0) fail("the carrier's socket blocks");
}

// Takes all that has come; gives how many messages that were.
static int drain(int socket) {
    if (is_stream) return drain_streams(socket);
    enum { MOST = 64, LONGEST = 4096 };
    static char texts[MOST][LONGEST];
    static struct iovec parts[MOST];
    static struct mmsghdr messages[MOST];
    static struct sockaddr_in from[MOST];
    int all = 0, count = MOST;
    while (count == MOST) {
        for (int i = 0; i < MOST; i++) {
            parts[i] = (struct iovec){texts[i], LONGEST - 1};
            messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &parts[i], .msg_iovlen = 1};
        }
        count = recvmmsg(socket, messages, MOST, MSG_DONTWAIT, NULL);
        u64 now = now_us();
        for (int i = 0; i < count; i++) {
            texts[i][messages[i].msg_len] = 0;
            if (socket == carrier) on_carrier(texts[i], messages[i].msg_len, now);
            else on_buyer(texts[i], messages[i].msg_len, &from[i]);
        }
        if (count > 0) all += count;
        if (out_count) flush();
    }
    received += all;
    return all;
}

// Lines "number,..."; users "name,realm,password,..." are dealt out to them in turn.
static void read_lines(const char *numbers, const char *users) {
    static struct line names[4096];
    u32 name_count = 0;
    char text[256];
    FILE *file = users ? fopen(users, "r") : NULL;
    while (file && name_count < 4096 && fgets(text, sizeof text, file)) {
        char *name = strtok(text, ",\n"), *realm = strtok(NULL, ",\n"), *password = strtok(NULL, ",\n");
        if (!realm || !password) continue;
        snprintf(names[name_count].user, sizeof names->user, "%s", name);
        snprintf(names[name_count++].password, sizeof names->password, "%s", password);
    }
    if (file) fclose(file);
    if (use_digest && !name_count) fail("-A wants -f users.csv");

    enum { MOST = 1000000 };
    file = fopen(numbers, "r");
    if (!file) fail("cannot read the numbers");
    lines = calloc(MOST, sizeof *lines);
    while (line_count < MOST && fgets(text, sizeof text, file)) {
        text[strcspn(text, ",;\r\n")] = 0;
        if (text[0] != '+') continue;
        struct line *line = &lines[line_count];
        if (name_count) *line = names[line_count % name_count];
        else snprintf(line->user, sizeof line->user, "trunk%u", line_count % 200);
        snprintf(line->number, sizeof line->number, "%.23s", text);
        line_count++;
    }
    fclose(file);
    if (!line_count) fail("no numbers");
}

// ---------------------------------------------------------------- the run

// Requests that may have to be sent again, by how often they were: the pause is the same for all of one queue.
enum { TIMES = 4, QUEUED = 1 << 20 };
static struct {
    struct {
        u32 id;
        unsigned char stage;
        u64 at;
    } *all;
    u32 first, end;
} repeats[TIMES];

static void repeat_later(int times, u32 id, u64 now) {
    if (!sends_again || times >= TIMES) return;
    u32 place = repeats[times].end++ % QUEUED;
    repeats[times].all[place].id = id;
    repeats[times].all[place].stage = calls[id].stage;
    repeats[times].all[place].at = now + (500000ul << times);
}

static void repeat(u64 now) {
    for (int times = 0; times < TIMES; times++)
        while (repeats[times].first < repeats[times].end && repeats[times].all[repeats[times].first % QUEUED].at <= now) {
            u32 place = repeats[times].first++ % QUEUED, id = repeats[times].all[place].id;
            if (calls[id].stage != repeats[times].all[place].stage || (calls[id].stage != ENDING && calls[id].heard)) continue;
            again++;
            if (calls[id].stage == ENDING) send_within(id, "BYE", use_digest ? 3 : 2);
            else send_invite(id, 1, "");
            repeat_later(times + 1, id, now);
        }
}

enum { BURST = 64 }; // new requests between two looks at the sockets

static void run(double rate, double patience) {
    u64 begin_us = now_us(), last_start = begin_us, all_started_at = 0;
    u32 next = 0, oldest = 0, random = 12345;
    while (succeeded + failed < call_count) {
        u64 now = now_us();
        double due_now = (double)(now - begin_us) * rate / 1e6;
        u32 due = due_now < call_count ? (u32)due_now : call_count;
        for (int i = 0; next < due && i < BURST; i++) {
            struct call *call = &calls[next];
            random = random * 1664525 + 1013904223;
            *call = (struct call){.line = (random >> 8) % line_count, .since = now, .deadline = now + (u64)(patience * 1e6),
                .stage = use_digest ? CHALLENGED : INVITED};
            repeat_later(0, next, now);
            send_invite(next++, 1, "");
            started++;
            last_start = now;
        }
        for (int i = 0; talking_first < talking_end && talking[talking_first].at <= now && i < BURST; i++) {
            u32 id = talking[talking_first++].id;
            if (calls[id].stage != TALKING) continue;
            calls[id].stage = ENDING;
            calls[id].since = now;
            calls[id].deadline = now + (u64)(patience * 1e6);
            repeat_later(0, id, now);
            send_within(id, "BYE", use_digest ? 3 : 2);
        }
        if (sends_again) repeat(now);
        if (out_count) flush();
        int got = drain(carrier) + drain(buyer);

        // What has waited too long has failed; the oldest call is looked at only.
        for (; oldest < next; oldest++) {
            struct call *call = &calls[oldest];
            if (call->stage == OVER) continue;
            if (!call->deadline || call->deadline > now) break;
            finish(oldest, false);
        }
        if (next == call_count) {
            if (!all_started_at) all_started_at = now, in_time = succeeded;
            if (now - all_started_at > (u64)((patience + talk_ms / 1000.0 + 1) * 1e6))
                for (u32 id = 0; id < call_count; id++) finish(id, false);
        }
        if (nap_us) {
            struct timespec nap = {0, nap_us * 1000L};
            nanosleep(&nap, NULL);
        } else if (!got && next >= due && is_stream) {
            wait_streams();
        } else if (!got && next >= due) {
            struct pollfd wait[2] = {{carrier, POLLIN, 0}, {buyer, POLLIN, 0}};
            poll(wait, 2, 1);
        }
    }
    usleep(100000);
    drain(buyer);
    drain(carrier);

    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
    double elapsed = (last_start - begin_us) / 1e6;
    printf("{\"started\":%lu,\"ok\":%lu,\"failed\":%lu,\"ok_in_time\":%lu,\"refused\":%lu,\"again\":%lu,\"unexpected\":%lu,\"rate\":%.1f,\"generator_us\":%.2f,\"received\":%lu,\"sent\":%lu,"
           "\"not_sent\":%lu,\"buyer_invites\":%lu,\"buyer_invites_told\":%lu,\"buyer_acks\":%lu,\"buyer_byes\":%lu,",
        started, succeeded, failed, in_time, refused, again, unexpected, elapsed > 0 ? (started - 1) / elapsed : 0, started ? cpu * 1e6 / started : 0, received,
        sent, not_sent, buyer_invites, buyer_invites_told, buyer_acks, buyer_byes);
    printf("\"challenge_ms\":[%.2f,%.2f],\"ringing_ms\":[%.2f,%.2f],\"answer_ms\":[%.2f,%.2f],\"bye_ms\":[%.2f,%.2f]}\n",
        quantile(to_challenge, .5), quantile(to_challenge, .99), quantile(to_ringing, .5), quantile(to_ringing, .99),
        quantile(to_answer, .5), quantile(to_answer, .99), quantile(to_bye_answer, .5), quantile(to_bye_answer, .99));
}

int main(int count, char **arguments) {
    const char *numbers = NULL, *users = NULL, *certificates = NULL;
    double rate = 100, patience = 8;
    int option;
    while ((option = getopt(count, arguments, "t:u:b:r:m:d:n:f:w:z:s:c:ARv")) != -1) switch (option) {
        case 't': server_text = optarg; break;
        case 'u': carrier_text = optarg; break;
        case 'b': buyer_text = optarg; break;
        case 'r': rate = atof(optarg); break;
        case 'm': call_count = atoi(optarg); break;
        case 'd': talk_ms = atoi(optarg); break;
        case 'n': numbers = optarg; break;
        case 'f': users = optarg; break;
        case 'w': patience = atof(optarg); break;
        case 'z': nap_us = atoi(optarg); prctl(PR_SET_TIMERSLACK, 1); break;
        case 's': is_stream = strcmp(optarg, "udp"); if (is_stream) via_name = strcmp(optarg, "tls") ? "TCP" : "TLS"; break;
        case 'c': certificates = optarg; break;
        case 'A': use_digest = true; break;
        case 'R': sends_again = true; break;
        case 'v': verbose = true; break;
        default: numbers = NULL; optind = count; break;
        }
    if (!numbers || !call_count || rate <= 0)
        fail("-n numbers.csv -m calls [-t server] [-u carrier] [-b buyer] [-r calls/s] [-d talk ms] [-w patience s] [-z nap us] [-A -f users.csv] [-s udp|tcp|tls -c certificates] [-R] [-v]");
    if (use_digest && sends_again) fail("-R is for carriers without digest");
    for (int times = 0; times < TIMES; times++) repeats[times].all = calloc(QUEUED, sizeof *repeats[times].all);
    md5_init();
    run_id = ((u32)getpid() << 12 ^ (u32)now_us()) & 0x7fffffff;
    read_lines(numbers, users);
    server = address(server_text);
    if (is_stream) {
        bool is_tls = !strcmp(via_name, "TLS");
        uri_end = is_tls ? ";transport=tls" : ";transport=tcp";
        open_streams(is_tls ? certificates : NULL);
    } else {
        carrier = open_socket(carrier_text);
        buyer = open_socket(buyer_text);
    }
    calls = calloc(call_count, sizeof *calls);
    talking = calloc(call_count, sizeof *talking);
    run(rate, patience);
    return failed ? 1 : 0;
}
