/* N streams of L24 packets, sent at the packet times of media time by CLOCK_REALTIME; ends on SIGTERM. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

enum { STREAMS = 1024, BYTES = 1536, RATE = 48000, TAI = 37 };
static uint8_t data[STREAMS][BYTES];
static struct iovec iov[STREAMS];
static struct mmsghdr msg[STREAMS];
static struct sockaddr_in to[STREAMS];
static volatile sig_atomic_t over;
static void stop(int number) { (void)number; over = 1; }
static void big_endian(uint8_t *p, uint32_t v, int bytes) { while (bytes--) p[bytes] = v, v >>= 8; }

/* A socket that sends multicast by the interface; -1, with a message, where there is none. */
static int open_socket(const char *interface) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct in_addr address = {inet_addr(interface)};
    if (!setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &address, sizeof address)) return fd;
    perror("interface");
    return -1;
}

/* What stays the same in all packets of stream i; the group is in network order. */
static void prepare_stream(int i, int port, in_addr_t group, uint32_t ssrc, int samples) {
    data[i][0] = 0x80, data[i][1] = 96;
    big_endian(data[i] + 8, ssrc, 4);
    to[i] = (struct sockaddr_in){AF_INET, htons(port), {group}, {0}};
    iov[i] = (struct iovec){data[i], 12 + samples * 3};
    msg[i].msg_hdr = (struct msghdr){.msg_name = &to[i], .msg_namelen = sizeof to[i], .msg_iov = &iov[i], .msg_iovlen = 1};
}

/* From now on SIGTERM sets `over`. Returns the number of the next packet. */
static uint64_t begin_pacing(int frames) {
    struct timespec now;
    signal(SIGTERM, stop);
    prctl(PR_SET_TIMERSLACK, 1);
    clock_gettime(CLOCK_REALTIME, &now);
    return ((uint64_t)(now.tv_sec + TAI) * RATE + (uint64_t)now.tv_nsec * RATE / 1000000000) / frames + 1;
}

/* When a frame would have been sampled: a packet leaves at the one after its last. */
static struct timespec time_of(uint64_t frame) {
    return (struct timespec){frame / RATE - TAI, (frame % RATE * 1000000000 + RATE - 1) / RATE};
}
