/* The floor of send.py: clock_nanosleep, float32 -> L24 and one sendmmsg for all streams per packet time.
 * floor_send PORT INTERFACE CHANNELS FRAMES GROUP...   ends on SIGTERM. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

enum { STREAMS = 256, BYTES = 1536, RATE = 48000, TAI = 37 };
static uint8_t data[STREAMS][BYTES];
static struct iovec iov[STREAMS];
static struct mmsghdr msg[STREAMS];
static struct sockaddr_in to[STREAMS];
static volatile sig_atomic_t over;
static void stop(int number) { (void)number; over = 1; }
static void big_endian(uint8_t *p, uint32_t v, int bytes) { while (bytes--) p[bytes] = v, v >>= 8; }

int main(int argc, char **argv) {
    if (argc < 6) return 2;
    int channels = atoi(argv[3]), frames = atoi(argv[4]), n = argc - 5, samples = channels * frames;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct in_addr interface = {inet_addr(argv[2])};
    if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &interface, sizeof interface)) { perror("interface"); return 1; }
    float *tone = calloc((size_t)RATE * channels, sizeof *tone); /* one second of a whole number of periods */
    for (int i = 0; i < RATE * channels; i++) tone[i] = 0.1f * sinf(6.2831853f * 997 * (i / channels) / RATE);
    for (int i = 0; i < n; i++) {
        data[i][0] = 0x80, data[i][1] = 96;
        big_endian(data[i] + 8, i + 1, 4);
        to[i] = (struct sockaddr_in){AF_INET, htons(atoi(argv[1])), {inet_addr(argv[5 + i])}, {0}};
        iov[i] = (struct iovec){data[i], 12 + samples * 3};
        msg[i].msg_hdr = (struct msghdr){.msg_name = &to[i], .msg_namelen = sizeof to[i], .msg_iov = &iov[i], .msg_iovlen = 1};
    }
    signal(SIGTERM, stop);
    prctl(PR_SET_TIMERSLACK, 1);
    struct timespec now, due;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t packet = ((uint64_t)(now.tv_sec + TAI) * RATE + (uint64_t)now.tv_nsec * RATE / 1000000000) / frames + 1;
    for (; !over; packet++) {
        /* the packet leaves when its last frame would have been sampled */
        uint64_t first = packet * frames, end = first + frames;
        due = (struct timespec){end / RATE - TAI, (end % RATE * 1000000000 + RATE - 1) / RATE};
        for (int i = 0; i < n; i++) {
            big_endian(data[i] + 2, packet, 2);
            big_endian(data[i] + 4, first, 4);
            const float *from = tone + first % RATE * channels;
            for (int k = 0; k < samples; k++) big_endian(data[i] + 12 + 3 * k, (int32_t)(from[k] * 8388607.0f), 3);
        }
        clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &due, NULL);
        if (sendmmsg(fd, msg, n, 0) < 0) perror("sendmmsg");
    }
}
