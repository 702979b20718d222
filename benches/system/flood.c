// flood: what nobody wants, over UDP, at a given rate, from one address of 127.0.0.0/8 or from many.
//
//   flood -t 127.0.0.1:15060 -r 20000 -s 15 [-a 127.9.0.1] [-c 10000] [-k mixed|register|options|invite|junk]
//
// -r datagrams per second, -s seconds, -a first source address, -c how many. One line of JSON at the end.
//
// Build: cc -O2 -o flood flood.c
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32, SPACE = 700 };

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int junk(char *out, unsigned seed) {
    int length = 40 + seed % 400;
    for (int i = 0; i < length; i++) out[i] = (char)(seed = seed * 1664525 + 1013904223) >> 24 | 1;
    return length;
}

static int request(char *out, const char *method, const char *source, const char *server, unsigned n) {
    return snprintf(out, SPACE,
        "%s sip:%u@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s:5060;branch=z9hG4bKf%x;rport\r\nFrom: <sip:%u@%s>;tag=%x\r\nTo: <sip:%u@%s>\r\n"
        "Call-ID: flood-%x\r\nCSeq: 1 %s\r\nContact: <sip:%u@%s>\r\nMax-Forwards: 70\r\nUser-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n",
        method, n % 10000, server, source, n, n % 10000, server, n, n % 10000, server, n, method, n % 10000, source);
}

int main(int count, char **arguments) {
    const char *target = "127.0.0.1:15060", *first = "127.9.0.1", *kind = "mixed";
    double rate = 20000, seconds = 15;
    unsigned sources = 1;
    int option;
    while ((option = getopt(count, arguments, "t:r:s:a:c:k:")) != -1) switch (option) {
        case 't': target = optarg; break;
        case 'r': rate = atof(optarg); break;
        case 's': seconds = atof(optarg); break;
        case 'a': first = optarg; break;
        case 'c': sources = (unsigned)atoi(optarg); break;
        case 'k': kind = optarg; break;
        default: return 2;
        }
    char host[64];
    snprintf(host, sizeof host, "%s", target);
    char *colon = strrchr(host, ':');
    if (!colon || !sources) return 2;
    *colon = 0;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    struct in_addr base;
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1 || inet_pton(AF_INET, first, &base) != 1) return 2;
    int out = socket(AF_INET, SOCK_DGRAM, 0);

    static char texts[BATCH][SPACE];
    static union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } controls[BATCH];
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];
    static const char *methods[] = {"REGISTER", "OPTIONS", "INVITE", NULL};
    uint64_t begin = now_us(), sent = 0, refused = 0, bytes = 0;
    unsigned n = (unsigned)begin;
    while (now_us() - begin < (uint64_t)(seconds * 1e6)) {
        double due = (double)(now_us() - begin) * rate / 1e6 - (double)(sent + refused);
        if (due < BATCH) {
            usleep(200);
            continue;
        }
        for (int i = 0; i < BATCH; i++, n++) {
            struct in_addr from = {htonl(ntohl(base.s_addr) + n % sources)};
            char source[32];
            inet_ntop(AF_INET, &from, source, sizeof source);
            const char *method = methods[n % 4];
            if (strcmp(kind, "mixed")) method = !strcmp(kind, "junk") ? NULL : !strcmp(kind, "register") ? "REGISTER" : !strcmp(kind, "options") ? "OPTIONS" : "INVITE";
            int length = method ? request(texts[i], method, source, target, n) : junk(texts[i], n);
            parts[i] = (struct iovec){texts[i], (size_t)length};
            controls[i].head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
            struct in_pktinfo info = {.ipi_spec_dst = from};
            memcpy(CMSG_DATA(&controls[i].head), &info, sizeof info);
            messages[i].msg_hdr = (struct msghdr){.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &parts[i], .msg_iovlen = 1,
                .msg_control = &controls[i], .msg_controllen = sizeof controls[i]};
            bytes += (uint64_t)length;
        }
        for (int done = 0; done < BATCH;) {
            int some = sendmmsg(out, messages + done, (unsigned)(BATCH - done), 0);
            if (some > 0) {
                done += some;
                sent += (uint64_t)some;
            } else {
                // ICMP's word on an earlier one, or the queue is full.
                done++;
                refused++;
            }
        }
    }
    // What came back.
    uint64_t answers = 0, answered = 0;
    char answer[4096];
    for (ssize_t length; (length = recv(out, answer, sizeof answer, MSG_DONTWAIT)) >= 0 || errno == ECONNREFUSED;)
        if (length >= 0) answers++, answered += (uint64_t)length;
    printf("{\"sent\":%lu,\"not_sent\":%lu,\"rate\":%.0f,\"bytes\":%lu,\"answers\":%lu,\"answer_bytes\":%lu}\n", sent, refused,
        (double)sent / seconds, bytes, answers, answered);
    return 0;
}
