#include "storage/problems.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"

#define TEXT_BYTES 4096

void problems_add(struct problems *problems, const char *format, ...)
{
    char text[TEXT_BYTES];
    ASSERT(problems->report != NULL);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    problems->count++;
    problems->report(problems->context, text);
}
