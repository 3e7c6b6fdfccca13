/* The load of many.py: N streams of one packet each, by one sendmmsg per packet time; only sequence numbers and timestamps change.
 * load PORT INTERFACE CHANNELS FRAMES FIRST COUNT   sends to 239.70.HIGH.LOW, by the number of the stream; ends on SIGTERM and
 * prints as JSON the packets, the packet times that began more than one late, and the latest of all. */
#include "_paced_streams.h"

int main(int argc, char **argv) {
    if (argc != 7 || atoi(argv[6]) > STREAMS) return 2;
    int channels = atoi(argv[3]), frames = atoi(argv[4]), first = atoi(argv[5]), n = atoi(argv[6]);
    long packets = 0, refused = 0, late = 0;
    int64_t latest = 0, interval = 1000000000LL * frames / RATE;
    int fd = open_socket(argv[2]), size = 4 << 20;
    if (fd < 0) return 1;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    for (int i = 0; i < n; i++) {
        int number = first + i;
        in_addr_t group = htonl(239u << 24 | 70 << 16 | (number / 200 + 1) << 8 | (number % 200 + 1));
        prepare_stream(i, atoi(argv[1]), group, number + 1, channels * frames);
    }
    for (uint64_t packet = begin_pacing(frames); !over; packet++) {
        uint64_t begin = packet * frames;
        struct timespec due = time_of(begin + frames), now;
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
