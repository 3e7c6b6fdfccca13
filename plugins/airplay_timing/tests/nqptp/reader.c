/* A reader of nqptp's shared memory, written from the description of its interface (version 10).
 *
 * Takes a file and a number of reads. Every record that is written has local = 3 * id, offset = -id and
 * start = 7 * id, so a record that fits otherwise is torn. Prints: records taken, torn ones among them, reads given
 * up, different records.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct set {
    uint64_t master_clock_id;
    uint64_t local_time;
    uint64_t local_to_master_time_offset;
    uint64_t master_clock_start_time;
};

struct shm {
    uint16_t version;
    struct set main;
    struct set secondary;
};

static int take(const struct shm *shared, struct set *record) {
    struct shm first, second;
    for (int tries = 0; tries < 10; tries++) {
        memcpy(&first, shared, sizeof first);
        __sync_synchronize();
        memcpy(&second, shared, sizeof second);
        __sync_synchronize();
        if (memcmp(&first.main, &second.secondary, sizeof first.main) == 0) {
            *record = first.main;
            return second.version;
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int file = open(argv[1], O_RDONLY);
    const struct shm *shared = mmap(NULL, sizeof *shared, PROT_READ, MAP_SHARED, file, 0);
    if (file < 0 || shared == MAP_FAILED) return 3;
    long taken = 0, torn = 0, given_up = 0, different = 0;
    uint64_t last = 0;
    for (long reads = atol(argv[2]); reads > 0; reads--) {
        struct set record;
        int version = take(shared, &record);
        if (version == 0) {
            given_up++;
            continue;
        }
        if (version != 10) return 4;
        uint64_t id = record.master_clock_id;
        taken++;
        different += id != last;
        last = id;
        torn += record.local_time != 3 * id || record.local_to_master_time_offset != -id
                || record.master_clock_start_time != 7 * id;
    }
    printf("%ld %ld %ld %ld\n", taken, torn, given_up, different);
    return 0;
}
