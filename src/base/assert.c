#include "base/assert.h"

#include <stdlib.h>

#include "base/log.h"

_Noreturn void assert_failed(const char *condition, const char *file, int line)
{
    log_fatal("assert_failed", "file=%s line=%d condition=\"%s\"", file, line, condition);
    abort();
}
