#include "load/argument.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

bool load_argument_refuse(const char *program, const char *name, const char *why)
{
    fprintf(stderr, "%s: %s %s; see --help\n", program, name, why);
    return false;
}

static bool refuse_range(const char *program, const char *name, const char *kind, double min, double max)
{
    fprintf(stderr, "%s: %s must be a %s from %.12g to %.12g; see --help\n", program, name, kind, min, max);
    return false;
}

bool load_argument_number(const char *program, const char *name, const char *text, double min, double max,
                          double *number_r)
{
    char *end;
    *number_r = strtod(text, &end);
    return (end != text && *end == '\0' && *number_r >= min && *number_r <= max)
           || refuse_range(program, name, "number", min, max);
}

bool load_argument_whole(const char *program, const char *name, const char *text, uint64_t min, uint64_t max,
                         uint64_t *number_r)
{
    char *end;
    errno = 0;
    *number_r = strtoull(text, &end, 10);
    return (text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *number_r >= min && *number_r <= max)
           || refuse_range(program, name, "whole number", (double)min, (double)max);
}
