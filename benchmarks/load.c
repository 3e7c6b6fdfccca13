/* The load of many.py: N streams of one packet each, by one sendmmsg per packet time; only sequence numbers and timestamps change.
 * load PORT INTERFACE CHANNELS FRAMES FIRST COUNT   sends to 239.70.HIGH.LOW, by the number of the stream; ends on SIGTERM and
 * prints as JSON the packets, the packet times that began more than one late, and the latest of all. */
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

int main(int argc, char **argv) {
    if (argc != 7) return 2;
    int channels = atoi(argv[3]), frames = atoi(argv[4]), first = atoi(argv[5]), n = atoi(argv[6]);
    long packets = 0, refused = 0, late = 0;
    int64_t latest = 0, interval = 1000000000LL * frames / RATE;
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20;
    struct in_addr interface = {inet_addr(argv[2])};
    if (n > STREAMS || setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &interface, sizeof interface)) { perror("interface"); return 1; }
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    for (int i = 0; i < n; i++) {
        int number = first + i;
        data[i][0] = 0x80, data[i][1] = 96;
        big_endian(data[i] + 8, number + 1, 4);
        to[i] = (struct sockaddr_in){AF_INET, htons(atoi(argv[1])), {htonl(239u << 24 | 70 << 16 | (number / 200 + 1) << 8 | (number % 200 + 1))}, {0}};
        iov[i] = (struct iovec){data[i], 12 + channels * frames * 3};
        msg[i].msg_hdr = (struct msghdr){.msg_name = &to[i], .msg_namelen = sizeof to[i], .msg_iov = &iov[i], .msg_iovlen = 1};
    }
    signal(SIGTERM, stop);
    prctl(PR_SET_TIMERSLACK, 1);
    struct timespec now, due;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t packet = ((uint64_t)(now.tv_sec + TAI) * RATE + (uint64_t)now.tv_nsec * RATE / 1000000000) / frames + 1;
    for (; !over; packet++) {
        uint64_t begin = packet * frames, end = begin + frames;
        due = (struct timespec){end / RATE - TAI, (end % RATE * 1000000000 + RATE - 1) / RATE};
        for (int i = 0; i < n; i++) big_endian(data[i] + 2, packet, 2), big_endian(data[i] + 4, begin, 4);
        clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &due, NULL);
        clock_gettime(CLOCK_REALTIME, &now);
        int64_t behind = (now.tv_sec - due.tv_sec) * 1000000000LL + now.tv_nsec - due.tv_nsec;
        if (behind > interval) late++;
        if (behind > latest) latest = behind;
        for (int done = 0, more; done < n; done += more) {
            more = sendmmsg(fd, msg + done, n - done, 0);
            if (more < 0) refused++, more = 1;
            else packets += more;
        }
    }
    printf("{\"packets\": %ld, \"refused\": %ld, \"late\": %ld, \"latest_us\": %ld}\n", packets, refused, late, (long)(latest / 1000));
}
