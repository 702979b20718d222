// bare: what the kernel charges for moving a packet, with no product around it.
//
//   bare own|drain|shared ADDRESS PORT SESSIONS THREADS
//
// Session i has its caller at 127.1.x.y:20000 and its buyer at 127.2.x.y:20001, where x.y is i.
//   own     a socket per party, level-triggered epoll, one recvfrom and one sendto per event
//   drain   the same, edge-triggered, read until empty
//   shared  one socket for all, recvmmsg and sendmmsg; where a packet goes is looked up by where it comes from
// In own and drain the caller sends to PORT + 4i and the buyer to two ports further, in shared all to PORT.
// Nothing is checked: whatever comes is sent on. Build: cc -O2 -pthread -o bare bare.c
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 2048, BATCH = 64, EVENTS = 64 };

static int sessions, threads, is_drain, first_port;
static struct in_addr address;
static int *sockets;

static struct sockaddr_in phone(int net, int number) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(20000 + net - 1)};
    name.sin_addr.s_addr = htonl(127u << 24 | (uint32_t)net << 16 | (uint32_t)number);
    return name;
}

static int open_port(int port, int buffer) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = address};
    if (buffer && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer)) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name)) {
        perror("bind");
        exit(1);
    }
    return fd;
}

// Sockets 2i (faces the caller) and 2i + 1 (faces the buyer).
static void *serve_own(void *argument) {
    int me = (int)(long)argument, poll = epoll_create1(0);
    struct epoll_event events[EVENTS];
    char room[ROOM];
    for (int i = 0; i < 2 * sessions; i++) {
        struct epoll_event event = {.events = EPOLLIN | (is_drain ? EPOLLET : 0), .data.u32 = (uint32_t)i};
        if (i / 2 % threads == me) epoll_ctl(poll, EPOLL_CTL_ADD, sockets[i], &event);
    }
    for (;;) {
        int count = epoll_wait(poll, events, EVENTS, -1);
        for (int k = 0; k < count; k++) {
            int i = (int)events[k].data.u32;
            struct sockaddr_in from, to = i & 1 ? phone(1, i / 2) : phone(2, i / 2);
            do {
                socklen_t size = sizeof from;
                ssize_t length = recvfrom(sockets[i], room, ROOM, 0, (struct sockaddr *)&from, &size);
                if (length < 0) break;
                sendto(sockets[i ^ 1], room, (size_t)length, 0, (struct sockaddr *)&to, sizeof to);
            } while (is_drain);
        }
    }
    return NULL;
}

static void serve_shared(void) {
    static char rooms[BATCH][ROOM];
    static struct iovec parts[BATCH];
    static struct mmsghdr messages[BATCH];
    static struct sockaddr_in names[BATCH];
    // An open table: the address that a packet comes from, and the one that it goes to.
    uint32_t mask = 1;
    while (mask < 8u * (uint32_t)sessions) mask <<= 1;
    mask--;
    uint32_t *keys = calloc(mask + 1, sizeof *keys);
    struct sockaddr_in *places = calloc(mask + 1, sizeof *places);
    for (int i = 0; i < 2 * sessions; i++) {
        struct sockaddr_in from = phone(1 + i % 2, i / 2);
        uint32_t at = from.sin_addr.s_addr * 2654435761u >> 7 & mask;
        while (keys[at]) at = (at + 1) & mask;
        keys[at] = from.sin_addr.s_addr;
        places[at] = phone(2 - i % 2, i / 2);
    }
    int fd = open_port(first_port, 8 << 20), poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    for (;;) {
        epoll_wait(poll, &event, 1, -1);
        int count;
        do {
            for (int k = 0; k < BATCH; k++) {
                parts[k] = (struct iovec){rooms[k], ROOM};
                messages[k].msg_hdr = (struct msghdr){.msg_name = &names[k], .msg_namelen = sizeof names[k], .msg_iov = &parts[k], .msg_iovlen = 1};
            }
            count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
            for (int k = 0; k < count; k++) {
                uint32_t at = names[k].sin_addr.s_addr * 2654435761u >> 7 & mask;
                while (keys[at] && keys[at] != names[k].sin_addr.s_addr) at = (at + 1) & mask;
                parts[k].iov_len = messages[k].msg_len;
                names[k] = places[at];
            }
            for (int sent = 0; sent < count;) {
                int more = sendmmsg(fd, messages + sent, (unsigned)(count - sent), 0);
                sent += more > 0 ? more : 1;
            }
        } while (count == BATCH);
    }
}

int main(int count, char **words) {
    if (count != 6 || !inet_aton(words[2], &address)) {
        fprintf(stderr, "bare own|drain|shared ADDRESS PORT SESSIONS THREADS\n");
        return 2;
    }
    first_port = atoi(words[3]);
    sessions = atoi(words[4]);
    threads = atoi(words[5]);
    is_drain = !strcmp(words[1], "drain");
    struct rlimit limit = {65536, 65536};
    setrlimit(RLIMIT_NOFILE, &limit);
    if (!strcmp(words[1], "shared")) {
        printf("ready\n");
        fflush(stdout);
        serve_shared();
    }
    sockets = malloc(2 * (size_t)sessions * sizeof *sockets);
    for (int i = 0; i < 2 * sessions; i++) sockets[i] = open_port(first_port + 2 * i, 0);
    printf("ready\n");
    fflush(stdout);
    for (long i = 1; i < threads; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, serve_own, (void *)i);
    }
    serve_own((void *)0L);
}
