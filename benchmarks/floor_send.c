/* The floor of send.py: clock_nanosleep, float32 -> L24 and one sendmmsg for all streams per packet time.
 * floor_send PORT INTERFACE CHANNELS FRAMES GROUP...   ends on SIGTERM. */
#include "_paced_streams.h"
#include <math.h>

int main(int argc, char **argv) {
    if (argc < 6 || argc - 5 > STREAMS) return 2;
    int channels = atoi(argv[3]), frames = atoi(argv[4]), n = argc - 5, samples = channels * frames;
    int fd = open_socket(argv[2]);
    if (fd < 0) return 1;
    float *tone = calloc((size_t)RATE * channels, sizeof *tone); /* one second of a whole number of periods */
    for (int i = 0; i < RATE * channels; i++) tone[i] = 0.1f * sinf(6.2831853f * 997 * (i / channels) / RATE);
    for (int i = 0; i < n; i++) prepare_stream(i, atoi(argv[1]), inet_addr(argv[5 + i]), i + 1, samples);
    for (uint64_t packet = begin_pacing(frames); !over; packet++) {
        uint64_t first = packet * frames;
        struct timespec due = time_of(first + frames);
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
