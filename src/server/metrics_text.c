#include "server/metrics_text.h"

#include <string.h>

#include "protocol/json_put.h"
#include "server/core.h"
#include "server/metrics_families.h"

static const char *const type_names[] = {
    [FAMILY_COUNTER] = "counter", [FAMILY_GAUGE] = "gauge", [FAMILY_HISTOGRAM] = "histogram"};

/* Labels, their values and a number: a sample without the name of its family. */
#define SAMPLE_BYTES_MAX 128u

static char *put_text(char *at, const char *text)
{
    size_t bytes = strlen(text);
    memcpy(at, text, bytes);
    return at + bytes;
}

/* A count; or, of microseconds, seconds without zeros at the end. */
static char *put_number(char *at, uint64_t value, bool is_us)
{
    if (!is_us)
        return json_put_unsigned(at, value);
    at = json_put_unsigned(at, value / 1000000);
    uint32_t rest = (uint32_t)(value % 1000000);
    if (rest == 0)
        return at;
    *at++ = '.';
    for (uint32_t unit = 100000; rest > 0; rest %= unit, unit /= 10)
        *at++ = (char)('0' + rest / unit);
    return at;
}

/* `suffix` follows the name. `shard` below 0: the process. `label` NULL: none. */
static char *put_name(char *at, const struct family *family, const char *suffix, int64_t shard, const char *label,
                      const char *value)
{
    at = put_text(put_text(at, family->name), suffix);
    if (shard < 0 && label == NULL)
        return at;
    *at++ = '{';
    if (shard >= 0) {
        at = json_put_unsigned(put_text(at, "shard=\""), (uint64_t)shard);
        at = put_text(at, label != NULL ? "\"," : "\"");
    }
    if (label != NULL)
        at = put_text(put_text(put_text(put_text(at, label), "=\""), value), "\"");
    *at++ = '}';
    return at;
}

static char *put_value(char *at, uint64_t value, bool is_us)
{
    *at++ = ' ';
    at = put_number(at, value, is_us);
    *at++ = '\n';
    return at;
}

static char *put_histogram(char *at, const struct family *family, const struct histogram *histogram, int64_t shard)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i <= family->shape->bounds; i++) {
        char bound[32];
        count += metric_read(&histogram->counts[i]);
        bool is_last = i == family->shape->bounds;
        char *end = is_last ? put_text(bound, "+Inf")
                            : put_number(bound, UINT64_C(1) << (family->shape->first + i), family->is_us);
        *end = '\0';
        at = put_value(put_name(at, family, "_bucket", shard, "le", bound), count, false);
    }
    at = put_value(put_name(at, family, "_sum", shard, NULL, NULL), metric_read(&histogram->sum), family->is_us);
    return put_value(put_name(at, family, "_count", shard, NULL, NULL), count, false);
}

/* The numbers of a family; `base` is what its offset counts from. */
static char *put_samples(char *at, const struct family *family, const void *base, int64_t shard)
{
    const void *numbers = (const char *)base + family->offset;
    if (family->type == FAMILY_HISTOGRAM)
        return put_histogram(at, family, numbers, shard);
    const struct metric *metrics = numbers;
    for (uint32_t i = 0; i < family->count; i++) {
        const char *value = family->label != NULL ? family->value(i) : NULL;
        at = put_value(put_name(at, family, "", shard, family->label, value), metric_read(&metrics[i]), family->is_us);
    }
    return at;
}

static char *put_head(char *at, const struct family *family)
{
    at = put_text(put_text(put_text(at, "# HELP "), family->name), " ");
    at = put_text(put_text(at, family->help), "\n");
    at = put_text(put_text(put_text(at, "# TYPE "), family->name), " ");
    return put_text(put_text(at, type_names[family->type]), "\n");
}

#define BUILD_INFO                                                                                                     \
    "# HELP chitchat_build_info The program; always 1.\n# TYPE chitchat_build_info gauge\n"                            \
    "chitchat_build_info{version=\"" CHITCHAT_VERSION "\"} 1\n"

static size_t family_bytes_max(const struct family *family, size_t sets)
{
    size_t name = strlen(family->name);
    size_t samples = family->type == FAMILY_HISTOGRAM ? family->shape->bounds + 3u : family->count;
    return 2 * name + strlen(family->help) + 32 + sets * samples * (name + SAMPLE_BYTES_MAX);
}

/* A table of families. */
typedef const struct family *(*families_function)(uint32_t *count_r);

static size_t table_bytes_max(families_function table, size_t sets)
{
    uint32_t count;
    size_t bytes = 0;
    const struct family *families = table(&count);
    for (uint32_t i = 0; i < count; i++)
        bytes += family_bytes_max(&families[i], sets);
    return bytes;
}

size_t metrics_text_bytes_max(const struct server *server)
{
    size_t bytes = sizeof BUILD_INFO + table_bytes_max(metrics_process_families, 1)
                   + table_bytes_max(metrics_shard_families, server->core_count);
    if (server->cluster != NULL)
        bytes += table_bytes_max(metrics_node_families, 1) + table_bytes_max(metrics_slot_families, server->core_count);
    return bytes;
}

static char *put_process(char *at, families_function table, const void *base)
{
    uint32_t count;
    const struct family *families = table(&count);
    for (uint32_t i = 0; i < count; i++)
        at = put_samples(put_head(at, &families[i]), &families[i], base, -1);
    return at;
}

static char *put_shards(char *at, families_function table, const struct server *server)
{
    uint32_t count;
    const struct family *families = table(&count);
    for (uint32_t i = 0; i < count; i++) {
        at = put_head(at, &families[i]);
        for (uint32_t shard = 0; shard < server->core_count; shard++)
            at = put_samples(at, &families[i], server->cores[shard], shard);
    }
    return at;
}

size_t metrics_text_write(const struct server *server, char *out)
{
    char *at = put_text(out, BUILD_INFO);
    at = put_process(at, metrics_process_families, &server->metrics);
    bool is_standby = server->cluster != NULL && metric_read(&server->cluster_metrics.owner) == 0;
    if (!is_standby)
        at = put_shards(at, metrics_shard_families, server);
    if (server->cluster != NULL) {
        at = put_process(at, metrics_node_families, &server->cluster_metrics);
        at = put_shards(at, metrics_slot_families, server);
    }
    ASSERT((size_t)(at - out) <= metrics_text_bytes_max(server));
    return (size_t)(at - out);
}
