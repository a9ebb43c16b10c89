#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void assert_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "level=fatal event=assert_failed file=%s line=%d condition=\"%s\"\n", file, line, condition);
    abort();
}
