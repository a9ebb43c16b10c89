#include "cli/exposition.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

#define BOUNDS_MAX 64u
#define VALUE_BYTES_MAX 63u
#define NAME_BYTES_MAX 128u

static struct span cut(struct span text, size_t from)
{
    ASSERT(from <= text.bytes);
    return (struct span){text.data + from, text.bytes - from};
}

/* Takes the next line off, without its end. */
static struct span take_line(struct span *text)
{
    const char *end = memchr(text->data, '\n', text->bytes);
    struct span line = {text->data, end != NULL ? (size_t)(end - text->data) : text->bytes};
    *text = cut(*text, line.bytes + (end != NULL));
    return line;
}

/* A decimal number, +Inf, -Inf or NaN; false: something else. */
static bool read_value(struct span text, double *value_r)
{
    char copy[VALUE_BYTES_MAX + 1];
    char *end;
    if (text.bytes == 0 || text.bytes > VALUE_BYTES_MAX)
        return false;
    memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    *value_r = strtod(copy, &end);
    return *end == '\0';
}

/* NAME VALUE or NAME{LABELS} VALUE. */
static bool read_sample(struct span line, struct exposition_sample *sample_r)
{
    size_t name_bytes = 0;
    while (name_bytes < line.bytes && line.data[name_bytes] != ' ' && line.data[name_bytes] != '{')
        name_bytes++;
    if (name_bytes == 0 || name_bytes == line.bytes)
        return false;
    *sample_r = (struct exposition_sample){.name = {line.data, name_bytes}};
    struct span rest = cut(line, name_bytes);
    if (rest.data[0] == '{') {
        const char *end = memchr(rest.data, '}', rest.bytes);
        if (end == NULL)
            return false;
        sample_r->labels = (struct span){rest.data + 1, (size_t)(end - rest.data) - 1};
        rest = cut(rest, (size_t)(end - rest.data) + 1);
    }
    return rest.bytes > 1 && rest.data[0] == ' ' && read_value(cut(rest, 1), &sample_r->value);
}

static uint32_t count_lines(struct span text)
{
    uint32_t count = 1;
    for (size_t i = 0; i < text.bytes; i++)
        count += text.data[i] == '\n';
    return count;
}

int exposition_parse(struct exposition *exposition_r, struct span text)
{
    *exposition_r = (struct exposition){.samples = malloc(count_lines(text) * sizeof(struct exposition_sample))};
    if (exposition_r->samples == NULL)
        return -ENOMEM;
    while (text.bytes > 0) {
        struct span line = take_line(&text);
        if (line.bytes == 0 || line.data[0] == '#')
            continue;
        if (!read_sample(line, &exposition_r->samples[exposition_r->count]))
            return -EBADMSG;
        exposition_r->count++;
    }
    return 0;
}

void exposition_close(struct exposition *exposition)
{
    free(exposition->samples);
    *exposition = (struct exposition){.samples = NULL};
}

/* Labels are NAME="VALUE", joined by commas; the server's values have no quotes, commas or backslashes in them. */
struct span exposition_label(const struct exposition_sample *sample, const char *label)
{
    struct span rest = sample->labels;
    size_t name_bytes = strlen(label);
    while (rest.bytes > 0) {
        const char *comma = memchr(rest.data, ',', rest.bytes);
        size_t bytes = comma != NULL ? (size_t)(comma - rest.data) : rest.bytes;
        if (bytes >= name_bytes + 3 && memcmp(rest.data, label, name_bytes) == 0
            && memcmp(rest.data + name_bytes, "=\"", 2) == 0)
            return (struct span){rest.data + name_bytes + 2, bytes - name_bytes - 3};
        rest = cut(rest, bytes + (comma != NULL));
    }
    return (struct span){.data = NULL};
}

static bool has_label(const struct exposition_sample *sample, const char *label, const char *value)
{
    return label == NULL || value == NULL || span_equal(exposition_label(sample, label), span_of(value));
}

static bool matches(const struct exposition_sample *sample, struct span name, struct exposition_match match)
{
    return span_equal(sample->name, name) && has_label(sample, "shard", match.shard)
           && has_label(sample, match.label, match.value);
}

double exposition_sum(const struct exposition *exposition, const char *name, struct exposition_match match)
{
    double sum = 0;
    for (uint32_t i = 0; i < exposition->count; i++)
        if (matches(&exposition->samples[i], span_of(name), match))
            sum += exposition->samples[i].value;
    return sum;
}

/* -- histograms -- */

struct buckets {
    uint32_t count;
    double bounds[BOUNDS_MAX];
    double counts[BOUNDS_MAX]; /* cumulative, as in the text */
};

static void add_bucket(struct buckets *buckets, double bound, double count)
{
    uint32_t i = 0;
    while (i < buckets->count && buckets->bounds[i] != bound)
        i++;
    if (i == BOUNDS_MAX)
        return;
    if (i == buckets->count) {
        buckets->bounds[i] = bound;
        buckets->counts[i] = 0;
        buckets->count++;
    }
    buckets->counts[i] += count;
}

/* Adds the buckets of all samples that match; `sign` -1 takes them off. */
static void add_buckets(struct buckets *buckets, const struct exposition *exposition, struct span name,
                        struct exposition_match match, double sign)
{
    double bound;
    for (uint32_t i = 0; i < exposition->count; i++) {
        const struct exposition_sample *sample = &exposition->samples[i];
        if (matches(sample, name, match) && read_value(exposition_label(sample, "le"), &bound))
            add_bucket(buckets, bound, sign * sample->value);
    }
}

double exposition_quantile(const struct exposition *before, const struct exposition *after, const char *name,
                           struct exposition_match match, double part)
{
    char bucket_name[NAME_BYTES_MAX];
    struct buckets buckets = {0};
    double total = 0, least = INFINITY;
    ASSERT(part >= 0 && part <= 1);
    int bytes = snprintf(bucket_name, sizeof bucket_name, "%s_bucket", name);
    ASSERT(bytes > 0 && (size_t)bytes < sizeof bucket_name);
    add_buckets(&buckets, after, span_of(bucket_name), match, 1);
    add_buckets(&buckets, before, span_of(bucket_name), match, -1);
    for (uint32_t i = 0; i < buckets.count; i++)
        if (isinf(buckets.bounds[i]))
            total = buckets.counts[i];
    if (total <= 0)
        return -1;
    for (uint32_t i = 0; i < buckets.count; i++)
        if (buckets.counts[i] >= part * total && buckets.bounds[i] < least)
            least = buckets.bounds[i];
    return least;
}
