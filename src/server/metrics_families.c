#include "server/metrics_families.h"

#include "server/core.h"

/* -- the values of labels, by the index of the number -- */

#define VALUES(function, ...)                                                                                          \
    static const char *function(uint32_t index)                                                                        \
    {                                                                                                                  \
        static const char *const values[] = {__VA_ARGS__};                                                             \
        ASSERT(index < sizeof values / sizeof values[0]);                                                              \
        return values[index];                                                                                          \
    }

VALUES(kind_value, "plain", "tls", "admin")
VALUES(result_value, "ok", "failed")
VALUES(login_value, "ok", "renewed", "refused")
VALUES(request_value, "login", "send", "history", "ping", "typing", "peers", "seen", "watch")
VALUES(send_value, "stored", "duplicate", "refused", "unknown")
VALUES(seen_value, "stored", "unchanged", "refused", "unknown")
VALUES(push_value, "written", "slow", "dropped")
VALUES(typing_value, "passed", "limited", "dropped")
VALUES(ephemeral_value, "written", "dropped")
VALUES(presence_value, "written", "deferred")
VALUES(close_value, "1000", "1001", "1002", "1003", "1007", "1009", "1011", "1013", "4001", "4002", "4003", "4101",
       "4201", "4203", "other", "http", "none")
VALUES(answer_value, "2xx", "4xx", "5xx")
VALUES(letter_value, "send", "handover", "other")
VALUES(memory_value, "records", "output", "input", "messages", "keys", "presence", "programs")
VALUES(place_value, "sends", "arrivals", "pages", "heads")
VALUES(segment_value, "live", "spare")
VALUES(reload_value, "tls", "token_keys")

static const char *error_value(uint32_t index)
{
    return error_code_name((enum error_code)index).data;
}

#define CORE(field) .offset = offsetof(struct core, field), .count = 1
#define CORE_EACH(field, name, function)                                                                               \
    .offset = offsetof(struct core, field), .count = sizeof(((struct core *)0)->field) / sizeof(struct metric),        \
    .label = (name), .value = (function)
#define HISTOGRAM(field, of) .type = FAMILY_HISTOGRAM, CORE(field), .shape = &(of)
#define COUNTER .type = FAMILY_COUNTER
#define GAUGE .type = FAMILY_GAUGE
#define SECONDS .is_us = true

static const struct family shard_families[] = {
    {"chitchat_connections_accepted_total", "Connections accepted; admin: to the admin addresses.", COUNTER,
     CORE_EACH(metrics.accepted, "kind", kind_value)},
    {"chitchat_connections", "Connections that are open.", GAUGE, CORE_EACH(metrics.open, "kind", kind_value)},
    {"chitchat_admin_connections", "Connections to the admin addresses, which the numbers above include.", GAUGE,
     CORE(metrics.admin_open)},
    {"chitchat_disconnects_total",
     "Connections that ended, by the code of the close frame; http: after an answer of HTTP or an alert of TLS; none: "
     "without a close frame.",
     COUNTER, CORE_EACH(metrics.closes, "code", close_value)},
    {"chitchat_tls_handshakes_total", "TLS handshakes that ended.", COUNTER,
     CORE_EACH(metrics.handshakes, "result", result_value)},
    {"chitchat_tls_handshakes", "TLS handshakes in progress.", GAUGE, CORE(metrics.handshakes_open)},
    {"chitchat_users", "Users for whom the shard has something in memory.", GAUGE, CORE(metrics.users)},
    {"chitchat_logins_total", "Logins, by result; renewed: a new token on a connection that is logged in.", COUNTER,
     CORE_EACH(metrics.logins, "result", login_value)},
    {"chitchat_requests_total", "Requests with a known op.", COUNTER, CORE_EACH(metrics.requests, "op", request_value)},
    {"chitchat_sends_total",
     "Requests to send, by outcome; duplicate: the key was used before; unknown: the disk may have the message or not.",
     COUNTER, CORE_EACH(metrics.sends, "outcome", send_value)},
    {"chitchat_seen_total",
     "Requests seen, by outcome; unchanged: nothing was new; unknown: the disk may have the mark or not.", COUNTER,
     CORE_EACH(metrics.seens, "outcome", seen_value)},
    {"chitchat_pushes_total",
     "Messages and marks for connections, by outcome; slow: the connection was closed with 4001; dropped: it was cut, "
     "since the "
     "shard's output memory was short.",
     COUNTER, CORE_EACH(metrics.pushes, "outcome", push_value)},
    {"chitchat_typing_total",
     "Requests typing, by outcome; limited: one of the pair had passed within the second; dropped: under load.",
     COUNTER, CORE_EACH(metrics.typings, "outcome", typing_value)},
    {"chitchat_typing_pushes_total",
     "Pushes typing for connections, by outcome; dropped: the connection had no room, or the shard no time.", COUNTER,
     CORE_EACH(metrics.ephemeral, "outcome", ephemeral_value)},
    {"chitchat_presence_pushes_total",
     "Pushes presence for connections, by outcome; deferred: the connection had no room, and gets the state later.",
     COUNTER, CORE_EACH(metrics.presences, "outcome", presence_value)},
    {"chitchat_replayed_entries_total", "Messages that connections got after their login, from their cursor on.",
     COUNTER, CORE(metrics.replayed)},
    {"chitchat_history_pages_total", "Pages of history answered.", COUNTER, CORE(metrics.history_pages)},
    {"chitchat_history_entries_total", "Messages in pages of history.", COUNTER, CORE(metrics.history_entries)},
    {"chitchat_peers_pages_total", "Pages of conversations answered.", COUNTER, CORE(metrics.peers_pages)},
    {"chitchat_errors_total", "Error replies, by code.", COUNTER, CORE_EACH(metrics.errors, "code", error_value)},
    {"chitchat_api_answers_total",
     "Answers to requests of programs over HTTP, by status; health checks and metrics too.", COUNTER,
     CORE_EACH(metrics.answers, "status", answer_value)},
    {"chitchat_refusals_total", "What was refused, by cause, as in the log's event=refused.", COUNTER,
     CORE_EACH(refusals.counts, "cause", refusal_cause)},
    {"chitchat_send_to_ok_seconds", "From a request to send to its ok.", SECONDS,
     HISTOGRAM(metrics.send_to_ok, metrics_delay_shape)},
    {"chitchat_send_to_push_seconds", "From a request to send to the message for one connection of the recipient.",
     SECONDS, HISTOGRAM(metrics.send_to_push, metrics_delay_shape)},
    {"chitchat_turn_seconds", "Turns of the shard; its sum is the time in which the shard was busy.", SECONDS,
     HISTOGRAM(metrics.turn, metrics_turn_shape)},
    {"chitchat_turn_longest_seconds", "The longest turn since the start.", GAUGE, SECONDS, CORE(metrics.turn_longest)},
    {"chitchat_letters_total", "Letters that came from shards.", COUNTER,
     CORE_EACH(metrics.letters, "kind", letter_value)},
    {"chitchat_letters_out", "Sends, marks and connections at other shards that have not returned.", GAUGE,
     CORE(metrics.letters_out)},
    {"chitchat_memory_used_bytes", "Memory in use, by use.", GAUGE,
     CORE_EACH(metrics.memory_used, "use", memory_value)},
    {"chitchat_memory_limit_bytes", "What the use may have.", GAUGE,
     CORE_EACH(metrics.memory_max, "use", memory_value)},
    {"chitchat_places_used", "Places in use, by use.", GAUGE, CORE_EACH(metrics.places_used, "use", place_value)},
    {"chitchat_places_limit", "What the use may have.", GAUGE, CORE_EACH(metrics.places_max, "use", place_value)},
    {"chitchat_output_level", "Output that waits for connections: 0 calm, 1 tight (half of its memory), 2 full.", GAUGE,
     CORE(metrics.output_level)},
    {"chitchat_takes_sends", "1: all sends are accepted. 0: some or all get busy or unavailable.", GAUGE,
     CORE(metrics.takes_sends)},
    {"chitchat_wal_write_seconds", "Writes to the log, until they are durable.", SECONDS,
     HISTOGRAM(metrics.wal_write, metrics_write_shape)},
    {"chitchat_wal_batch_records", "Records in a write to the log.",
     HISTOGRAM(metrics.batch_records, metrics_records_shape)},
    {"chitchat_wal_batch_bytes", "Bytes of a write to the log.", HISTOGRAM(metrics.batch_bytes, metrics_bytes_shape)},
    {"chitchat_wal_written_bytes_total", "Bytes written to the log.", COUNTER, CORE(metrics.wal_bytes)},
    {"chitchat_wal_failures_total", "Writes to the log that failed: the server takes no more sends.", COUNTER,
     CORE(metrics.wal_failures)},
    {"chitchat_wal_segments", "Segment files of the log.", GAUGE,
     CORE_EACH(metrics.wal_segments, "state", segment_value)},
    {"chitchat_wal_segment_bytes", "Size of these files.", GAUGE, CORE(metrics.wal_segment_bytes)},
    {"chitchat_wal_segment_failures_total", "Segment files that could not be made.", COUNTER,
     CORE(metrics.segment_failures)},
    {"chitchat_memtable_bytes", "Recent messages in memory that no checkpoint has begun to write.", GAUGE,
     CORE(metrics.memtable_bytes)},
    {"chitchat_memtable_limit_bytes",
     "At this size sends get busy, some before; a checkpoint begins at three quarters.", GAUGE,
     CORE(metrics.memtable_max)},
    {"chitchat_memtable_entries", "Entries of timelines in them.", GAUGE, CORE(metrics.memtable_entries)},
    {"chitchat_checkpoints_total", "Checkpoints, by result.", COUNTER,
     CORE_EACH(metrics.checkpoints, "result", result_value)},
    {"chitchat_checkpoint_seconds", "Time to write and commit a checkpoint.", SECONDS,
     HISTOGRAM(metrics.checkpoint, metrics_job_shape)},
    {"chitchat_checkpoint_written_bytes_total", "Bytes that checkpoints wrote.", COUNTER,
     CORE(metrics.checkpoint_bytes)},
    {"chitchat_checkpoint_failures", "Failures in a row of the present checkpoint.", GAUGE,
     CORE(metrics.checkpoint_retries)},
    {"chitchat_checkpoint_rounds_total", "Rounds of checkpoints that all shards have ended.", COUNTER,
     CORE(metrics.rounds)},
    {"chitchat_checkpoint_round_age_seconds", "Time since the last round began.", GAUGE, SECONDS,
     CORE(metrics.round_age)},
    {"chitchat_merges_total", "Merges of runs, by result.", COUNTER, CORE_EACH(metrics.merges, "result", result_value)},
    {"chitchat_merge_seconds", "Time of a merge.", SECONDS, HISTOGRAM(metrics.merge, metrics_job_shape)},
    {"chitchat_merge_written_bytes_total", "Bytes that merges wrote.", COUNTER, CORE(metrics.merge_bytes)},
    {"chitchat_merge_failures", "Failures in a row of the present merge.", GAUGE, CORE(metrics.merge_retries)},
    {"chitchat_runs", "Runs: files of stored messages.", GAUGE, CORE(metrics.runs)},
    {"chitchat_runs_limit", "At so many runs a checkpoint waits for a merge.", GAUGE, CORE(metrics.runs_max)},
    {"chitchat_run_entries", "Entries of timelines in runs.", GAUGE, CORE(metrics.run_rows)},
    {"chitchat_clock_floor_ahead_seconds", "By how much new ts are ahead of the clock, after it was ahead once.", GAUGE,
     SECONDS, CORE(metrics.clock_floor_ahead)},
};

#define PROCESS(field) .offset = offsetof(struct server_metrics, field), .count = 1

static const struct family process_families[] = {
    {"process_start_time_seconds", "When the server started, since the Unix epoch.", GAUGE, SECONDS,
     PROCESS(start_time)},
    {"process_cpu_seconds_total", "User and system time.", COUNTER, SECONDS, PROCESS(cpu)},
    {"process_resident_memory_bytes", "Resident memory, with pages of mapped files.", GAUGE, PROCESS(resident_bytes)},
    {"process_virtual_memory_bytes", "Virtual memory.", GAUGE, PROCESS(virtual_bytes)},
    {"process_open_fds", "Open file descriptors.", GAUGE, PROCESS(open_fds)},
    {"process_max_fds", "The limit of open file descriptors.", GAUGE, PROCESS(max_fds)},
    {"chitchat_anonymous_memory_bytes", "Resident memory without files: what --memory limits.", GAUGE,
     PROCESS(anonymous_bytes)},
    {"chitchat_anonymous_memory_limit_bytes", "--memory, or its default.", GAUGE, PROCESS(memory_max)},
    {"chitchat_connections_limit", "--connections, or what the limit of open files allows.", GAUGE,
     PROCESS(connections_max)},
    {"chitchat_disk_free_bytes", "Free space for the data directory.", GAUGE, PROCESS(disk_free_bytes)},
    {"chitchat_disk_size_bytes", "Size of the file system of the data directory.", GAUGE, PROCESS(disk_bytes)},
    {"chitchat_store_failed", "1: a write to the log failed, and no sends are accepted until a restart.", GAUGE,
     PROCESS(store_failed)},
    {"chitchat_draining", "1: the server stops: health checks get 503, and connections are closed.", GAUGE,
     PROCESS(draining)},
    {"chitchat_log_lines_dropped_total", "Lines of the log that were lost: no room to wait, or not written.", COUNTER,
     PROCESS(log_dropped)},
    {"chitchat_tls_certificate_expiry_seconds",
     "When the certificate of --tls-cert expires, since the Unix epoch; 0: no TLS.", GAUGE, SECONDS,
     PROCESS(certificate_expiry)},
    {"chitchat_token_keys", "Keys and secrets that verify tokens.", GAUGE, PROCESS(token_keys)},
    {"chitchat_reload_failed", "1: the files were read last with an error, and what was read before counts.", GAUGE,
     .offset = offsetof(struct server_metrics, reload_failed), .count = METRICS_RELOADS, .label = "files",
     .value = reload_value},
};

_Static_assert(METRICS_ERRORS == ERROR_UNAVAILABLE + 1, "each code of an error has a counter");

const struct family *metrics_shard_families(uint32_t *count_r)
{
    *count_r = sizeof shard_families / sizeof shard_families[0];
    return shard_families;
}

const struct family *metrics_process_families(uint32_t *count_r)
{
    *count_r = sizeof process_families / sizeof process_families[0];
    return process_families;
}
