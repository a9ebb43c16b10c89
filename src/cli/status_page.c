/* status_page.c: the page of `chitchat status` for a terminal (status.h). */
#include <string.h>

#include "cli/status.h"

#define COLUMNS 80u
#define INDENT 15u
#define VALUE_BYTES 24u
#define ITEM_BYTES 64u /* of a list: a name and a value */

/* The value at `path`, as "total.storage.runs"; NULL: there is none, or it is null. */
static const json_t *at(const json_t *object, const char *path)
{
    while (object != NULL && *path != '\0') {
        size_t bytes = strcspn(path, ".");
        object = json_object_getn(object, path, bytes);
        path += bytes + (path[bytes] == '.');
    }
    return json_is_null(object) ? NULL : object;
}

static double number(const json_t *object, const char *path)
{
    return json_number_value(at(object, path));
}

/* -- values as text, in one of a few buffers, so that several fit one call of printf -- */

struct words {
    char text[16][VALUE_BYTES];
    unsigned next;
};

static char *word(struct words *words)
{
    return words->text[words->next++ % 16];
}

/* 1234567 as 1,234,567; from 10 million on as 12.3 M, 12.3 G or 12.3 T. */
static const char *count_word(struct words *words, double value)
{
    char digits[VALUE_BYTES], *out = word(words);
    size_t used = 0;
    if (value >= 1e7) {
        double unit = value < 1e9 ? 1e6 : value < 1e12 ? 1e9 : 1e12;
        (void)snprintf(out, VALUE_BYTES, "%.1f %c", value / unit, value < 1e9 ? 'M' : value < 1e12 ? 'G' : 'T');
        return out;
    }
    int bytes = snprintf(digits, sizeof digits, "%.0f", value);
    for (int i = 0; i < bytes && used + 2 < VALUE_BYTES; i++) {
        if (i > 0 && (bytes - i) % 3 == 0)
            out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = '\0';
    return out;
}

static const char *rate_word(struct words *words, double value)
{
    if (value >= 100 || value == 0)
        return count_word(words, value);
    char *out = word(words);
    (void)snprintf(out, VALUE_BYTES, "%.1f", value);
    return out;
}

static const char *bytes_word(struct words *words, double value)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        value /= 1024;
    char *out = word(words);
    (void)snprintf(out, VALUE_BYTES, value < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return out;
}

static const char *time_word(struct words *words, double seconds)
{
    char *out = word(words);
    if (seconds < 120)
        (void)snprintf(out, VALUE_BYTES, "%.0f s", seconds);
    else if (seconds < 2 * 3600)
        (void)snprintf(out, VALUE_BYTES, "%.0f min", seconds / 60);
    else if (seconds < 2 * 86400)
        (void)snprintf(out, VALUE_BYTES, "%.0f h", seconds / 3600);
    else
        (void)snprintf(out, VALUE_BYTES, "%.0f days", seconds / 86400);
    return out;
}

/* A bound in milliseconds; "-": nothing came. */
static const char *delay_word(struct words *words, const json_t *delay, const char *key)
{
    const json_t *value = at(delay, key);
    char *out = word(words);
    (void)snprintf(out, VALUE_BYTES, value == NULL ? "-" : "%.3g ms", json_number_value(value));
    return out;
}

static const char *percent_word(struct words *words, double part, double whole)
{
    char *out = word(words);
    (void)snprintf(out, VALUE_BYTES, "%.0f %%", whole > 0 ? 100 * part / whole : 0);
    return out;
}

/* -- lines -- */

static void print_cluster(const json_t *cluster, FILE *out)
{
    struct words words = {.next = 0};
    double slots = number(cluster, "slots"), connected = number(cluster, "slots_connected");
    if (connected < slots)
        fprintf(out, "LOG SERVERS    those of %.0f of %.0f slots do not answer: see the log\n", slots - connected,
                slots);
    if (!json_is_true(at(cluster, "owner")))
        fprintf(out, "log            %s batches behind, %s; generation %.0f\n",
                count_word(&words, number(cluster, "batches_behind")), time_word(&words, number(cluster, "behind_s")),
                number(cluster, "generation"));
    else
        fprintf(out, "log            owner, generation %.0f; %s/s batches, p99 %s\n", number(cluster, "generation"),
                rate_word(&words, number(cluster, "acked_per_s")), delay_word(&words, at(cluster, "append"), "p99_ms"));
}

/* Then no shard runs: there is nothing of shards. */
static bool is_standby(const json_t *status)
{
    const json_t *cluster = at(status, "cluster");
    return cluster != NULL && !json_is_true(at(cluster, "owner"));
}

static void print_head(const json_t *status, FILE *out)
{
    struct words words = {.next = 0};
    double shards = (double)json_array_size(at(status, "shards"));
    double takes = number(status, "total.messages.takes_sends_shards");
    bool has_failed = json_is_true(at(status, "process.store_failed"));
    fprintf(out, "chitchat %s, up %s, %.0f shards\n%.*s\n", json_string_value(at(status, "version")),
            time_word(&words, number(status, "up_s")), shards, (int)COLUMNS, json_string_value(at(status, "url")));
    const json_t *cluster = at(status, "cluster");
    if (is_standby(status))
        fprintf(out, "standby        another node owns the slots: no clients, no shards\n");
    else if (has_failed)
        fprintf(out, "FAILED         a write to the log failed: no sends are accepted; see the log\n");
    else if (json_is_true(at(status, "process.draining")))
        fprintf(out, "STOPPING       health checks get 503, and connections are closed\n");
    else if (takes < shards)
        fprintf(out, "REFUSING       %.0f of %.0f shards refuse sends: see the log\n", shards - takes, shards);
    else
        fprintf(out, "ready          all shards accept sends\n");
    if (cluster != NULL)
        print_cluster(cluster, out);
    if (json_is_true(at(status, "process.reload_failed")))
        fprintf(out, "NOT RELOADED   a certificate or key file could not be read: see the log\n");
}

static void print_traffic(const json_t *status, FILE *out)
{
    struct words words = {.next = 0};
    const json_t *conns = at(status, "total.connections"), *messages = at(status, "total.messages");
    fprintf(out, "connections    %s of %s, %s with TLS; %s users\n", count_word(&words, number(conns, "open")),
            count_word(&words, number(status, "process.connections_limit")), count_word(&words, number(conns, "tls")),
            count_word(&words, number(conns, "users")));
    fprintf(out, "               new %s/s, logins %s/s, refused logins %s/s\n",
            rate_word(&words, number(conns, "accepted_per_s")), rate_word(&words, number(conns, "logins_per_s")),
            rate_word(&words, number(conns, "refused_logins_per_s")));
    fprintf(out, "sends          %s/s stored, %s/s refused; %s in flight\n",
            rate_word(&words, number(messages, "stored_per_s")), rate_word(&words, number(messages, "refused_per_s")),
            count_word(&words, number(messages, "in_flight")));
    fprintf(out, "               %s/s duplicates; %s since the start\n",
            rate_word(&words, number(messages, "duplicates_per_s")), count_word(&words, number(messages, "stored")));
    fprintf(out, "reads          %s/s pushed, %s/s replayed, %s/s pages\n",
            rate_word(&words, number(messages, "pushed_per_s")), rate_word(&words, number(messages, "replayed_per_s")),
            rate_word(&words, number(messages, "pages_per_s")));
}

static void print_delay(const char *name, const json_t *delay, FILE *out)
{
    struct words words = {.next = 0};
    if (at(delay, "p50_ms") == NULL && at(delay, "p99_ms") == NULL) {
        fprintf(out, "%-*snone yet\n", (int)INDENT, name);
        return;
    }
    fprintf(out, "%-*sp50 <= %s, p99 <= %s%s\n", (int)INDENT, name, delay_word(&words, delay, "p50_ms"),
            delay_word(&words, delay, "p99_ms"), json_is_true(at(delay, "since_start")) ? " (since the start)" : "");
}

static void print_storage(const json_t *status, FILE *out)
{
    struct words words = {.next = 0};
    const json_t *storage = at(status, "total.storage");
    print_delay("send to ok", at(status, "total.messages.send_to_ok"), out);
    print_delay("send to push", at(status, "total.messages.send_to_push"), out);
    print_delay("log write", at(storage, "log_write"), out);
    fprintf(out, "               %s/s, %s/s; %s records, %s each\n",
            rate_word(&words, number(storage, "log_writes_per_s")),
            bytes_word(&words, number(storage, "log_bytes_per_s")), rate_word(&words, number(storage, "batch_records")),
            bytes_word(&words, number(storage, "batch_bytes")));
    fprintf(out, "log files      %s, %s\n", count_word(&words, number(storage, "segments")),
            bytes_word(&words, number(storage, "segment_bytes")));
    fprintf(out, "checkpoints    %s, %s failing; last round %s ago; memtable %s\n",
            count_word(&words, number(storage, "checkpoints")),
            count_word(&words, number(storage, "checkpoint_failures")),
            time_word(&words, number(status, "last_checkpoint_round_s")),
            percent_word(&words, number(storage, "memtable_bytes"), number(storage, "memtable_limit_bytes")));
    fprintf(out, "runs           %s of %s, %s entries; merges %s, %s failing\n",
            count_word(&words, number(storage, "runs")), count_word(&words, number(storage, "runs_limit")),
            count_word(&words, number(storage, "run_entries")), count_word(&words, number(storage, "merges")),
            count_word(&words, number(storage, "merge_failures")));
}

/* -- lists, in lines that fit -- */

/* Prints a blank and `text`. *column_r: where the next one begins. */
static void print_item(const char *text, size_t *column_r, FILE *out)
{
    size_t bytes = strlen(text) + 1;
    if (*column_r + bytes > COLUMNS) {
        fprintf(out, "\n%*s", (int)INDENT - 1, "");
        *column_r = INDENT - 1;
    }
    fprintf(out, " %s", text);
    *column_r += bytes;
}

/* "use percent use percent …" */
static void print_memory(const json_t *uses, FILE *out)
{
    struct words words = {.next = 0};
    char item[ITEM_BYTES];
    size_t column = (size_t)fprintf(out, "%*s", (int)INDENT - 1, "");
    const char *use;
    json_t *sizes;
    json_object_foreach((json_t *)uses, use, sizes)
    {
        (void)snprintf(item, sizeof item, "%s %s", use,
                       percent_word(&words, number(sizes, "used_bytes"), number(sizes, "limit_bytes")));
        print_item(item, &column, out);
    }
    fprintf(out, "\n");
}

/* "NAME  key count, key count, …" since the start. */
static void print_events(const char *name, const json_t *counts, FILE *out)
{
    struct words words = {.next = 0};
    char item[ITEM_BYTES];
    size_t printed = 0;
    size_t column = (size_t)fprintf(out, "%-*s", (int)INDENT - 1, name);
    const char *key;
    json_t *count;
    if (json_object_size(counts) == 0)
        fprintf(out, " none");
    json_object_foreach((json_t *)counts, key, count)
    {
        (void)snprintf(item, sizeof item, "%s %s%s", key, count_word(&words, json_number_value(count)),
                       ++printed < json_object_size(counts) ? "," : "");
        print_item(item, &column, out);
    }
    fprintf(out, "\n");
}

static void print_process(const json_t *status, FILE *out)
{
    struct words words = {.next = 0};
    const json_t *process = at(status, "process");
    fprintf(out, "disk           %s free of %s\n", bytes_word(&words, number(process, "disk_free_bytes")),
            bytes_word(&words, number(process, "disk_size_bytes")));
    fprintf(out, "memory         %s of %s; with mapped files %s\n",
            bytes_word(&words, number(process, "anonymous_bytes")),
            bytes_word(&words, number(process, "anonymous_limit_bytes")),
            bytes_word(&words, number(process, "resident_bytes")));
    print_memory(at(status, "total.memory"), out);
    fprintf(out, "cpu            %.2f cores; longest turn %.3g ms\n", number(process, "cpu"),
            number(status, "longest_turn_ms"));
    fprintf(out, "files          %s of %s; log lines dropped %s\n", count_word(&words, number(process, "open_files")),
            count_word(&words, number(process, "open_files_limit")),
            count_word(&words, number(process, "log_lines_dropped")));
    if (number(status, "clock_floor_ahead_s") >= 1)
        fprintf(out, "clock          new ts are %s ahead of the clock\n",
                time_word(&words, number(status, "clock_floor_ahead_s")));
    const json_t *certificate = at(process, "certificate_expires_in_s");
    if (certificate != NULL && json_number_value(certificate) <= 0)
        fprintf(out, "certificate    EXPIRED\n");
    else if (certificate != NULL)
        fprintf(out, "certificate    expires in %s\n", time_word(&words, json_number_value(certificate)));
}

static void print_shards(const json_t *shards, FILE *out)
{
    size_t i;
    json_t *shard;
    fprintf(out, "\n%5s %6s %8s %8s %9s %9s %10s %8s %5s\n", "shard", "busy", "conns", "users", "stored/s", "pushed/s",
            "ok p99", "memtable", "runs");
    json_array_foreach((json_t *)shards, i, shard)
    {
        struct words words = {.next = 0};
        fprintf(out, "%5.0f %6s %8.0f %8.0f %9.0f %9.0f %10s %8s %5.0f\n", number(shard, "shard"),
                percent_word(&words, number(shard, "busy"), 1), number(shard, "connections.open"),
                number(shard, "connections.users"), number(shard, "messages.stored_per_s"),
                number(shard, "messages.pushed_per_s"), delay_word(&words, at(shard, "messages.send_to_ok"), "p99_ms"),
                percent_word(&words, number(shard, "storage.memtable_bytes"),
                             number(shard, "storage.memtable_limit_bytes")),
                number(shard, "storage.runs"));
    }
}

void status_print(const json_t *status, FILE *out)
{
    print_head(status, out);
    if (is_standby(status)) {
        print_process(status, out);
        return;
    }
    print_traffic(status, out);
    print_storage(status, out);
    print_process(status, out);
    fprintf(out, "\nsince the start:\n");
    print_events("errors", at(status, "since_start.errors"), out);
    print_events("disconnects", at(status, "since_start.disconnects"), out);
    print_events("refusals", at(status, "since_start.refusals"), out);
    print_shards(at(status, "shards"), out);
}
