/* The floor of receive.py: batched receive, header check and L24 -> float32 into a ring, once per tick.
 * floor PORT INTERFACE CHANNELS FRAMES TICK_US GROUP...   ends on SIGTERM and prints its counts as JSON. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 256, BYTES = 1536, PER_SOCKET = 16, STREAMS = 256, RING = 4800 };
static uint8_t data[BATCH][BYTES], control[BATCH][64];
static struct iovec iov[BATCH];
static struct mmsghdr msg[BATCH];
static struct stream { float *ring; uint16_t next; int started; } stream[STREAMS];
static volatile sig_atomic_t over;
static void stop(int number) { (void)number; over = 1; }

static int open_socket(int port, const char *interface, char **groups, int count) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), on = 1, off = 0, size = 4 << 20;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off);
    if (bind(fd, (struct sockaddr *)&at, sizeof at)) { perror("bind"); exit(1); }
    for (int i = 0; i < count; i++) {
        struct ip_mreq member = {.imr_multiaddr.s_addr = inet_addr(groups[i]), .imr_interface.s_addr = inet_addr(interface)};
        if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof member)) { perror(groups[i]); exit(1); }
    }
    return fd;
}

int main(int argc, char **argv) {
    if (argc < 7) return 2;
    int channels = atoi(argv[3]), frames = atoi(argv[4]), groups = argc - 6, sockets = 0, fd[STREAMS];
    long tick = atol(argv[5]) * 1000, packets = 0, lost = 0, stamps = 0;
    for (int i = 0; i < groups; i += PER_SOCKET)
        fd[sockets++] = open_socket(atoi(argv[1]), argv[2], argv + 6 + i, groups - i < PER_SOCKET ? groups - i : PER_SOCKET);
    for (int i = 0; i < STREAMS; i++) stream[i].ring = calloc((size_t)RING * channels, sizeof(float));
    for (int i = 0; i < BATCH; i++) {
        iov[i] = (struct iovec){data[i], BYTES};
        msg[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1, .msg_control = control[i]};
    }
    signal(SIGTERM, stop);
    prctl(PR_SET_TIMERSLACK, 1);
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    while (!over) {
        for (int s = 0, n = BATCH; s < sockets; s++, n = BATCH) while (n == BATCH) {
            for (int i = 0; i < BATCH; i++) msg[i].msg_hdr.msg_controllen = sizeof control[i];
            n = recvmmsg(fd[s], msg, BATCH, 0, NULL);
            for (int i = 0; i < n; i++) {
                const uint8_t *p = data[i];
                /* fixed places: the stamp's control message comes first, then packet-info with the group */
                struct stream *to = &stream[control[i][59]];
                stamps += control[i][24];
                if (msg[i].msg_len != 12u + frames * channels * 3u || p[0] != 0x80) continue;
                uint16_t sequence = p[2] << 8 | p[3];
                uint32_t stamp = (uint32_t)p[4] << 24 | p[5] << 16 | p[6] << 8 | p[7];
                if (to->started) lost += (int16_t)(sequence - to->next);
                to->started = 1, to->next = sequence + 1, packets++;
                float *out = to->ring + (size_t)(stamp % RING / frames * frames) * channels;
                p += 12;
                for (int k = 0; k < frames * channels; k++, p += 3)
                    out[k] = (float)(int32_t)((uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8) * (1.0f / 2147483648.0f);
            }
        }
        due.tv_nsec += tick;
        while (due.tv_nsec >= 1000000000) due.tv_nsec -= 1000000000, due.tv_sec++;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    }
    printf("{\"packets\": %ld, \"lost\": %ld, \"stamps\": %ld}\n", packets, lost, stamps);
}
