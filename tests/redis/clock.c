/* gettimeofday() tells the microseconds that stand in the file $LOG_CLOCK: a server's clock becomes that of a log. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    static volatile const int64_t *clock_us;
    (void)zone;
    if (!clock_us) {
        int file = open(getenv("LOG_CLOCK"), O_RDONLY);
        void *seen = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *clock_us, PROT_READ, MAP_SHARED, file, 0);
        if (seen == MAP_FAILED)
            abort();
        clock_us = seen;
    }
    now->tv_sec = *clock_us / 1000000;
    now->tv_usec = *clock_us % 1000000;
    return 0;
}
