#include "cli/status.h"

#include <math.h>
#include <stdlib.h>

#include "base/assert.h"

/* -- numbers -- */

static double now_of(const struct status_input *input, const char *name, struct exposition_match match)
{
    return exposition_sum(input->after, name, match);
}

/* A second. A server that was started again between the scrapes counts from 0. */
static double rate_of(const struct status_input *input, const char *name, struct exposition_match match)
{
    double grown = now_of(input, name, match) - exposition_sum(input->before, name, match);
    return grown > 0 ? grown / input->seconds : 0;
}

static struct exposition_match by(const char *shard, const char *label, const char *value)
{
    return (struct exposition_match){shard, label, value};
}

static void set_count(json_t *object, const char *key, double value)
{
    json_object_set_new(object, key, json_integer((json_int_t)llround(value)));
}

static void set_real(json_t *object, const char *key, double value)
{
    json_object_set_new(object, key, json_real(round(value * 1000) / 1000));
}

static void set_now(json_t *object, const char *key, const struct status_input *input, const char *name,
                    struct exposition_match match)
{
    set_count(object, key, now_of(input, name, match));
}

static void set_rate(json_t *object, const char *key, const struct status_input *input, const char *name,
                     struct exposition_match match)
{
    set_real(object, key, rate_of(input, name, match));
}

/* All samples of `name` that are not 0, by the value of `label`. */
static json_t *counts_by(const struct status_input *input, const char *name, const char *label)
{
    json_t *counts = json_object();
    for (uint32_t i = 0; i < input->after->count; i++) {
        const struct exposition_sample *sample = &input->after->samples[i];
        struct span value = exposition_label(sample, label);
        if (!span_equal(sample->name, span_of(name)) || value.data == NULL || sample->value == 0)
            continue;
        const json_t *before = json_object_getn(counts, value.data, value.bytes);
        json_object_setn_new(counts, value.data, value.bytes,
                             json_integer(json_integer_value(before) + (json_int_t)llround(sample->value)));
    }
    return counts;
}

/* {"p50_ms":…,"p99_ms":…,"since_start":…}; null where nothing came, or it was above all bounds. */
static json_t *delay_of(const struct status_input *input, const char *name, struct exposition_match match)
{
    static const struct exposition nothing = {.samples = NULL};
    bool is_idle = exposition_quantile(input->before, input->after, name, match, 0.5) < 0;
    const struct exposition *before = is_idle ? &nothing : input->before;
    json_t *delay = json_object();
    for (int i = 0; i < 2; i++) {
        double bound = exposition_quantile(before, input->after, name, match, i == 0 ? 0.5 : 0.99);
        json_object_set_new(delay, i == 0 ? "p50_ms" : "p99_ms",
                            bound < 0 || isinf(bound) ? json_null() : json_real(bound * 1000));
    }
    json_object_set_new(delay, "since_start", json_boolean(is_idle));
    return delay;
}

/* -- parts -- */

static json_t *connections_of(const struct status_input *input, const char *shard)
{
    json_t *part = json_object();
    set_now(part, "open", input, "chitchat_connections", by(shard, NULL, NULL));
    set_now(part, "tls", input, "chitchat_connections", by(shard, "kind", "tls"));
    set_now(part, "users", input, "chitchat_users", by(shard, NULL, NULL));
    set_rate(part, "accepted_per_s", input, "chitchat_connections_accepted_total", by(shard, NULL, NULL));
    set_rate(part, "logins_per_s", input, "chitchat_logins_total", by(shard, "result", "ok"));
    set_rate(part, "refused_logins_per_s", input, "chitchat_logins_total", by(shard, "result", "refused"));
    return part;
}

static json_t *messages_of(const struct status_input *input, const char *shard)
{
    json_t *part = json_object();
    set_now(part, "takes_sends_shards", input, "chitchat_takes_sends", by(shard, NULL, NULL));
    set_rate(part, "stored_per_s", input, "chitchat_sends_total", by(shard, "outcome", "stored"));
    set_rate(part, "duplicates_per_s", input, "chitchat_sends_total", by(shard, "outcome", "duplicate"));
    set_rate(part, "refused_per_s", input, "chitchat_sends_total", by(shard, "outcome", "refused"));
    set_rate(part, "pushed_per_s", input, "chitchat_pushes_total", by(shard, "outcome", "written"));
    set_rate(part, "replayed_per_s", input, "chitchat_replayed_entries_total", by(shard, NULL, NULL));
    set_rate(part, "pages_per_s", input, "chitchat_history_pages_total", by(shard, NULL, NULL));
    set_now(part, "stored", input, "chitchat_sends_total", by(shard, "outcome", "stored"));
    set_now(part, "in_flight", input, "chitchat_places_used", by(shard, "use", "sends"));
    json_object_set_new(part, "send_to_ok", delay_of(input, "chitchat_send_to_ok_seconds", by(shard, NULL, NULL)));
    json_object_set_new(part, "send_to_push", delay_of(input, "chitchat_send_to_push_seconds", by(shard, NULL, NULL)));
    return part;
}

/* The mean of a histogram between the scrapes, else since the start; 0: nothing came. */
static double mean_of(const struct status_input *input, const char *sum, const char *count,
                      struct exposition_match match)
{
    double counted = rate_of(input, count, match);
    if (counted > 0)
        return rate_of(input, sum, match) / counted;
    counted = now_of(input, count, match);
    return counted > 0 ? now_of(input, sum, match) / counted : 0;
}

static json_t *storage_of(const struct status_input *input, const char *shard)
{
    struct exposition_match all = by(shard, NULL, NULL);
    json_t *part = json_object();
    json_object_set_new(part, "log_write", delay_of(input, "chitchat_wal_write_seconds", all));
    set_rate(part, "log_writes_per_s", input, "chitchat_wal_write_seconds_count", all);
    set_rate(part, "log_bytes_per_s", input, "chitchat_wal_written_bytes_total", all);
    set_real(part, "batch_records",
             mean_of(input, "chitchat_wal_batch_records_sum", "chitchat_wal_batch_records_count", all));
    set_count(part, "batch_bytes",
              mean_of(input, "chitchat_wal_batch_bytes_sum", "chitchat_wal_batch_bytes_count", all));
    set_now(part, "segments", input, "chitchat_wal_segments", all);
    set_now(part, "segment_bytes", input, "chitchat_wal_segment_bytes", all);
    set_now(part, "memtable_bytes", input, "chitchat_memtable_bytes", all);
    set_now(part, "memtable_limit_bytes", input, "chitchat_memtable_limit_bytes", all);
    set_now(part, "checkpoints", input, "chitchat_checkpoints_total", by(shard, "result", "ok"));
    set_now(part, "checkpoint_failures", input, "chitchat_checkpoint_failures", all);
    set_now(part, "merges", input, "chitchat_merges_total", by(shard, "result", "ok"));
    set_now(part, "merge_failures", input, "chitchat_merge_failures", all);
    set_now(part, "runs", input, "chitchat_runs", all);
    set_now(part, "runs_limit", input, "chitchat_runs_limit", all);
    set_now(part, "run_entries", input, "chitchat_run_entries", all);
    return part;
}

static json_t *memory_of(const struct status_input *input, const char *shard)
{
    static const char *const uses[] = {"records", "output", "input", "messages", "keys", "presence", "programs"};
    json_t *part = json_object();
    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++) {
        json_t *use = json_object();
        set_now(use, "used_bytes", input, "chitchat_memory_used_bytes", by(shard, "use", uses[i]));
        set_now(use, "limit_bytes", input, "chitchat_memory_limit_bytes", by(shard, "use", uses[i]));
        json_object_set_new(part, uses[i], use);
    }
    return part;
}

/* Of one shard (NULL: of all). */
static json_t *parts_of(const struct status_input *input, const char *shard)
{
    json_t *parts = json_object();
    json_object_set_new(parts, "connections", connections_of(input, shard));
    json_object_set_new(parts, "messages", messages_of(input, shard));
    json_object_set_new(parts, "storage", storage_of(input, shard));
    json_object_set_new(parts, "memory", memory_of(input, shard));
    set_real(parts, "busy", rate_of(input, "chitchat_turn_seconds_sum", by(shard, NULL, NULL)));
    return parts;
}

static json_t *process_of(const struct status_input *input)
{
    json_t *part = json_object();
    double certificate_s = now_of(input, "chitchat_tls_certificate_expiry_seconds", EXPOSITION_ALL);
    set_real(part, "cpu", rate_of(input, "process_cpu_seconds_total", EXPOSITION_ALL));
    set_now(part, "resident_bytes", input, "process_resident_memory_bytes", EXPOSITION_ALL);
    set_now(part, "anonymous_bytes", input, "chitchat_anonymous_memory_bytes", EXPOSITION_ALL);
    set_now(part, "anonymous_limit_bytes", input, "chitchat_anonymous_memory_limit_bytes", EXPOSITION_ALL);
    set_now(part, "open_files", input, "process_open_fds", EXPOSITION_ALL);
    set_now(part, "open_files_limit", input, "process_max_fds", EXPOSITION_ALL);
    set_now(part, "connections_limit", input, "chitchat_connections_limit", EXPOSITION_ALL);
    set_now(part, "disk_free_bytes", input, "chitchat_disk_free_bytes", EXPOSITION_ALL);
    set_now(part, "disk_size_bytes", input, "chitchat_disk_size_bytes", EXPOSITION_ALL);
    set_now(part, "log_lines_dropped", input, "chitchat_log_lines_dropped_total", EXPOSITION_ALL);
    json_object_set_new(part, "store_failed",
                        json_boolean(now_of(input, "chitchat_store_failed", EXPOSITION_ALL) != 0));
    json_object_set_new(part, "draining", json_boolean(now_of(input, "chitchat_draining", EXPOSITION_ALL) != 0));
    json_object_set_new(part, "reload_failed",
                        json_boolean(now_of(input, "chitchat_reload_failed", EXPOSITION_ALL) != 0));
    json_object_set_new(part, "certificate_expires_in_s",
                        certificate_s == 0 ? json_null() : json_integer((json_int_t)(certificate_s - input->now_s)));
    return part;
}

static json_t *events_of(const struct status_input *input)
{
    json_t *part = json_object();
    json_object_set_new(part, "errors", counts_by(input, "chitchat_errors_total", "code"));
    json_object_set_new(part, "disconnects", counts_by(input, "chitchat_disconnects_total", "code"));
    json_object_set_new(part, "refusals", counts_by(input, "chitchat_refusals_total", "cause"));
    return part;
}

/* The greatest value of a sample of each shard. */
static double most_of(const struct status_input *input, const char *name)
{
    double most = 0;
    for (uint32_t i = 0; i < input->after->count; i++)
        if (span_equal(input->after->samples[i].name, span_of(name)))
            most = fmax(most, input->after->samples[i].value);
    return most;
}

/* The shards, by the samples that each of them has once. */
static json_t *shards_of(const struct status_input *input)
{
    json_t *shards = json_array();
    for (uint32_t i = 0; i < input->after->count; i++) {
        const struct exposition_sample *sample = &input->after->samples[i];
        if (!span_equal(sample->name, span_of("chitchat_users")))
            continue;
        char number[16];
        struct span shard = exposition_label(sample, "shard");
        (void)snprintf(number, sizeof number, "%.*s", (int)shard.bytes, shard.data);
        json_t *parts = parts_of(input, number);
        json_object_set_new(parts, "shard", json_integer(atoi(number)));
        json_array_append_new(shards, parts);
    }
    return shards;
}

/* Of a node of a cluster; else NULL. */
static json_t *cluster_of(const struct status_input *input)
{
    bool is_node = false;
    uint32_t slots = 0;
    for (uint32_t i = 0; i < input->after->count; i++) {
        struct span name = input->after->samples[i].name;
        is_node = is_node || span_equal(name, span_of("chitchat_cluster_owner"));
        slots += span_equal(name, span_of("chitchat_log_connected"));
    }
    if (!is_node)
        return NULL;
    json_t *part = json_object();
    json_object_set_new(part, "owner", json_boolean(now_of(input, "chitchat_cluster_owner", EXPOSITION_ALL) != 0));
    set_now(part, "generation", input, "chitchat_cluster_generation", EXPOSITION_ALL);
    set_count(part, "slots", slots);
    set_now(part, "slots_connected", input, "chitchat_log_connected", EXPOSITION_ALL);
    set_now(part, "batches_behind", input, "chitchat_log_lag_batches", EXPOSITION_ALL);
    set_real(part, "behind_s", now_of(input, "chitchat_cluster_lag_seconds", EXPOSITION_ALL));
    json_object_set_new(part, "append", delay_of(input, "chitchat_log_append_seconds", EXPOSITION_ALL));
    set_rate(part, "acked_per_s", input, "chitchat_log_appends_total", by(NULL, "outcome", "acked"));
    return part;
}

json_t *status_make(const struct status_input *input)
{
    ASSERT(input->seconds > 0);
    struct span version = {.data = NULL};
    for (uint32_t i = 0; i < input->after->count; i++)
        if (span_equal(input->after->samples[i].name, span_of("chitchat_build_info")))
            version = exposition_label(&input->after->samples[i], "version");
    if (version.data == NULL)
        return NULL;
    json_t *status = json_object();
    json_object_set_new(status, "url", json_string(input->url));
    json_object_set_new(status, "version", json_stringn(version.data, version.bytes));
    set_count(status, "up_s", input->now_s - now_of(input, "process_start_time_seconds", EXPOSITION_ALL));
    set_real(status, "seconds", input->seconds);
    json_object_set_new(status, "process", process_of(input));
    json_object_set_new(status, "total", parts_of(input, NULL));
    json_object_set_new(status, "since_start", events_of(input));
    set_real(status, "longest_turn_ms", most_of(input, "chitchat_turn_longest_seconds") * 1000);
    set_real(status, "clock_floor_ahead_s", most_of(input, "chitchat_clock_floor_ahead_seconds"));
    set_real(status, "last_checkpoint_round_s", most_of(input, "chitchat_checkpoint_round_age_seconds"));
    json_object_set_new(status, "shards", shards_of(input));
    json_t *cluster = cluster_of(input);
    if (cluster != NULL)
        json_object_set_new(status, "cluster", cluster);
    return status;
}
