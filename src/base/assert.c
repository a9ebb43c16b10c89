#include "base/assert.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

/* The lines before the failure are written first; the process ends even if nobody reads them. */
#define FLUSH_US 1000000u

_Noreturn void assert_failed(const char *condition, const char *file, int line)
{
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    log_flush(FLUSH_US);
    if (poll(&ready, 1, 0) > 0)
        (void)fprintf(stderr, "level=fatal event=assert_failed file=%s line=%d condition=\"%s\"\n", file, line,
                      condition);
    abort();
}
