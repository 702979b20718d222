// load: calls' sound through a relay, both ways, and what of it comes out at the other end.
//
//   load SESSIONS_FILE SESSIONS SECONDS WARM_SECONDS PID[,PID...]
//
// A line of SESSIONS_FILE is "IP PORT IP PORT": where the caller of a session sends, and where its buyer does. The caller of
// session i is at 127.1.x.y:20000 and the buyer at 127.2.x.y:20001, where x.y is i: one socket plays all callers and one
// all buyers, so that the load costs little and each party has an address of its own all the same.
// A session is two streams of 50 packets a second of 172 bytes. CPU time of the processes PID is read at both ends of the
// measured time. Result: one line of JSON. Build: cc -O2 -pthread -o load load.c
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 16384, BATCH = 32, LENGTH = 172, SLOTS = 40, LONGEST = 200000 };
enum { WARM, MEASURED, TAIL, OVER };

// What follows the 12 bytes of RTP's header.
struct packet {
    uint8_t version, payload;
    uint16_t sequence;
    uint32_t timestamp, ssrc;
    uint64_t sent; // nanoseconds; 0: not measured
    uint32_t phase;
    char rest[LENGTH - 24];
} __attribute__((packed));

static struct sockaddr_in gates[2][MOST];
static int sessions, sockets[2];
static volatile int phase = WARM;
static volatile uint64_t received, received_measured, wrong;
static uint64_t sent_measured, send_errors;
static uint32_t *histogram; // microseconds

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static double cpu_of(const char *pids) {
    double total = 0;
    for (const char *at = pids; *at;) {
        char name[64], text[1024], *end;
        snprintf(name, sizeof name, "/proc/%ld/stat", strtol(at, &end, 10));
        at = *end == ',' ? end + 1 : end;
        FILE *file = fopen(name, "r");
        if (!file) continue;
        text[fread(text, 1, sizeof text - 1, file)] = 0;
        fclose(file);
        unsigned long user = 0, kernel = 0;
        char *rest = strrchr(text, ')');
        if (rest) sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel);
        total += (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
    }
    return total;
}

static int open_side(int side) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 64 << 20, on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size)) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size)) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    // Bound to all addresses, and not to one, so that each packet may name its own.
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(20000 + side)};
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name)) {
        perror("bind");
        exit(1);
    }
    return fd;
}

static void take(int fd) {
    static char rooms[BATCH][2048], controls[BATCH][64];
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int count = BATCH; count == BATCH;) {
        for (int k = 0; k < BATCH; k++) {
            parts[k] = (struct iovec){rooms[k], sizeof rooms[k]};
            messages[k].msg_hdr = (struct msghdr){.msg_iov = &parts[k], .msg_iovlen = 1, .msg_control = controls[k], .msg_controllen = sizeof controls[k]};
        }
        count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
        for (int k = 0; k < count; k++) {
            struct packet *packet = (void *)rooms[k];
            if (messages[k].msg_len != LENGTH || packet->version != 0x80) {
                wrong++;
                continue;
            }
            received++;
            if (packet->phase != MEASURED) continue;
            received_measured++;
            uint64_t came = 0;
            struct msghdr *head = &messages[k].msg_hdr;
            for (struct cmsghdr *entry = CMSG_FIRSTHDR(head); entry; entry = CMSG_NXTHDR(head, entry))
                if (entry->cmsg_type == SO_TIMESTAMPNS) {
                    struct timespec *time = (void *)CMSG_DATA(entry);
                    came = (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec;
                }
            if (!packet->sent || !came) continue;
            uint64_t took = came > packet->sent ? (came - packet->sent) / 1000 : 0;
            histogram[took < LONGEST ? took : LONGEST - 1]++;
        }
    }
}

static void *receive(void *unused) {
    (void)unused;
    prctl(PR_SET_TIMERSLACK, 1);
    while (phase < OVER) {
        struct pollfd polled[2] = {{sockets[0], POLLIN, 0}, {sockets[1], POLLIN, 0}};
        poll(polled, 2, 100);
        take(sockets[0]);
        take(sockets[1]);
        nanosleep(&(struct timespec){0, 300000}, NULL);
    }
    return NULL;
}

// Sends the packets of one side of sessions `low` to `high`, each from its own address.
static void send_side(int side, int low, int high, uint32_t number) {
    static struct packet packets[BATCH];
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];
    static char controls[BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))];
    for (int start = low; start < high; start += BATCH) {
        int count = high - start < BATCH ? high - start : BATCH;
        uint64_t time = now();
        for (int k = 0; k < count; k++) {
            int i = start + k;
            // Only the first of a batch leaves when the clock is read.
            packets[k] = (struct packet){0x80, 0, htons((uint16_t)number), htonl(number * 160), htonl((uint32_t)(2 * i + side + 1)), k ? 0 : time, (uint32_t)phase, {0}};
            parts[k] = (struct iovec){&packets[k], LENGTH};
            messages[k].msg_hdr = (struct msghdr){.msg_iov = &parts[k], .msg_iovlen = 1, .msg_name = &gates[side][i], .msg_namelen = sizeof gates[side][i],
                                                  .msg_control = controls[k], .msg_controllen = sizeof controls[k]};
            struct cmsghdr *entry = CMSG_FIRSTHDR(&messages[k].msg_hdr);
            *entry = (struct cmsghdr){.cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO, .cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo))};
            struct in_pktinfo source = {.ipi_spec_dst.s_addr = htonl(127u << 24 | (uint32_t)(side + 1) << 16 | (uint32_t)i)};
            memcpy(CMSG_DATA(entry), &source, sizeof source);
        }
        for (int sent = 0; sent < count;) {
            int more = sendmmsg(sockets[side], messages + sent, (unsigned)(count - sent), 0);
            if (more <= 0) send_errors++;
            sent += more > 0 ? more : 1;
        }
        if (phase == MEASURED) sent_measured += (uint64_t)count;
    }
}

int main(int count, char **words) {
    FILE *file = count == 6 ? fopen(words[1], "r") : NULL;
    if (!file) {
        fprintf(stderr, "load SESSIONS_FILE SESSIONS SECONDS WARM_SECONDS PID[,PID...]\n");
        return 2;
    }
    char near[64], far[64];
    int near_port, far_port, wanted = atoi(words[2]);
    while (sessions < MOST && sessions < wanted && fscanf(file, "%63s %d %63s %d", near, &near_port, far, &far_port) == 4) {
        gates[0][sessions] = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)near_port)};
        gates[1][sessions] = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)far_port)};
        inet_aton(near, &gates[0][sessions].sin_addr);
        inet_aton(far, &gates[1][sessions].sin_addr);
        sessions++;
    }
    histogram = calloc(LONGEST, sizeof *histogram);
    sockets[0] = open_side(0);
    sockets[1] = open_side(1);
    prctl(PR_SET_TIMERSLACK, 1);
    pthread_t receiver;
    pthread_create(&receiver, NULL, receive, NULL);

    // A packet time of 20 ms has 40 slots, in each of which a fortieth of the sessions sends.
    uint64_t start = now(), late = 0, began = 0, ended = 0, first = 0, last = 0;
    uint64_t warm = (uint64_t)(atof(words[4]) * 50) * SLOTS, end = warm + (uint64_t)(atof(words[3]) * 50) * SLOTS;
    double cpu_before = 0, cpu_after = 0;
    for (uint64_t slot = 0; phase < TAIL; slot++) {
        uint64_t due = start + slot * 500000, time = now();
        if (time < due)
            nanosleep(&(struct timespec){0, (long)(due - time)}, NULL);
        else if (time - due > 5000000)
            late++;
        if (slot == warm) {
            cpu_before = cpu_of(words[5]);
            began = now();
            first = received;
            phase = MEASURED;
        }
        if (slot == end) {
            cpu_after = cpu_of(words[5]);
            ended = now();
            last = received;
            phase = TAIL;
            break;
        }
        int low = (int)((uint64_t)sessions * (slot % SLOTS) / SLOTS), high = (int)((uint64_t)sessions * (slot % SLOTS + 1) / SLOTS);
        send_side(0, low, high, (uint32_t)(slot / SLOTS));
        send_side(1, low, high, (uint32_t)(slot / SLOTS));
    }
    usleep(700000);
    phase = OVER;
    pthread_join(receiver, NULL);

    uint64_t measured = 0, seen = 0;
    for (int i = 0; i < LONGEST; i++) measured += histogram[i];
    double shares[2] = {0.5, 0.99}, delays[2] = {0, 0};
    for (int k = 0; k < 2; k++, seen = 0)
        for (int i = 0; i < LONGEST && (double)seen <= shares[k] * (double)measured; i++) {
            seen += histogram[i];
            delays[k] = i;
        }
    double seconds = (double)(ended - began) / 1e9;
    printf("{\"sessions\": %d, \"rate\": %.0f, \"sent\": %lu, \"received\": %lu, \"wrong\": %lu, \"send_errors\": %lu, \"late\": %lu, \"cpu\": %.3f,"
           " \"us_per_packet\": %.4f, \"cores\": %.4f, \"p50_us\": %.0f, \"p99_us\": %.0f}\n",
           sessions, (double)sent_measured / seconds, sent_measured, received_measured, wrong, send_errors, late, cpu_after - cpu_before,
           last > first ? (cpu_after - cpu_before) * 1e6 / (double)(last - first) : 0, (cpu_after - cpu_before) / seconds, delays[0], delays[1]);
}
