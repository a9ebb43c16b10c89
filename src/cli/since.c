#include "cli/since.h"

#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "cli/config_value.h"

#define TS_DIGITS_MIN 12u

static bool read_date(const char *text, uint64_t *ts_r)
{
    static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M",
                                          "%Y-%m-%d"};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct tm fields = {.tm_isdst = -1};
        const char *end = strptime(text, formats[i], &fields);
        bool is_utc = end != NULL && strcmp(end, "Z") == 0;
        if (end == NULL || (*end != '\0' && !is_utc))
            continue;
        int day = fields.tm_mday;
        time_t seconds = is_utc ? timegm(&fields) : mktime(&fields);
        if (seconds < 0 || fields.tm_mday != day) /* 30 February is taken as 2 March */
            return false;
        *ts_r = (uint64_t)seconds * 1000000;
        return true;
    }
    return false;
}

bool since_parse(const char *text, uint64_t now_us, uint64_t *ts_r)
{
    uint64_t seconds;
    size_t bytes = strlen(text);
    if (strspn(text, "0123456789") == bytes)
        return bytes >= TS_DIGITS_MIN && config_value_number(text, false, ts_r) && *ts_r <= LIMIT_TS_MAX;
    if (!config_value_duration(text, &seconds))
        return read_date(text, ts_r);
    *ts_r = seconds < now_us / 1000000 ? now_us - seconds * 1000000 : 0;
    return true;
}
