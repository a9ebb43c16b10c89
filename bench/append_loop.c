/*
 * append_loop.c: how many batches a second does a log take? One thread for each slot appends one batch after the other,
 * as a server does, and nothing else: the ceiling of what a cluster can do on this log.
 *
 *     append-loop CLUSTER standby|single URIS SLOTS BYTES SECONDS
 *
 * makes the cluster, and prints one line of JSON: acknowledged batches, seconds, p50 and p99 of a batch in
 * microseconds, CPU time of this program. Any answer but an acknowledgement ends it with 1.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/log_engine.h"
#include "times.h"

#define SLOTS_MAX 64u
#define TIMES_MAX 400000u /* of one slot */
#define TIMEOUT_MS 30000

struct loop {
    /* Set by main, then only read. */
    const struct log_engine *engine;
    const struct log_engine_options *options;
    uint32_t slot;
    uint32_t bytes;
    double seconds;

    /* Of the loop's thread, read after it has ended. */
    uint32_t count;
    uint32_t *times_us;
    struct log_engine_error error; /* "": none */
};

static const char *batch_make(uint32_t bytes)
{
    static const char words[] = "the quick brown fox jumps over the lazy dog; ";
    char *data = malloc(bytes);
    for (uint32_t i = 0; data != NULL && i < bytes; i++)
        data[i] = words[(i + i / 97) % (sizeof words - 1)];
    return data;
}

/* The number of the batch is its hash: a log needs no better one. */
static void hash_set(uint8_t hash[LOG_ENGINE_HASH_BYTES], uint64_t number)
{
    memset(hash, 0, LOG_ENGINE_HASH_BYTES);
    memcpy(hash, &number, sizeof number);
}

static enum log_append_result append_one(struct loop *loop, struct log_session *session, const char *data,
                                         uint64_t last)
{
    int status;
    struct log_extent extent;
    uint8_t previous[LOG_ENGINE_HASH_BYTES], hash[LOG_ENGINE_HASH_BYTES];
    struct log_append append = {.slot = loop->slot,
                                .bytes = loop->bytes,
                                .generation = 1,
                                .last = last,
                                .data = data,
                                .previous = previous,
                                .hash = hash};
    hash_set(previous, last);
    hash_set(hash, last + 1);
    return loop->engine->append(session, &append, TIMEOUT_MS, &extent, &status, &loop->error);
}

static void *loop_run(void *context)
{
    struct loop *loop = context;
    struct log_session *session;
    struct log_extent extent;
    const char *data = batch_make(loop->bytes);
    if (data == NULL || loop->engine->open(&session, loop->options, &loop->error) != 0)
        return NULL;
    if (loop->engine->tail(session, loop->slot, TIMEOUT_MS, &extent, &loop->error) == 0) {
        uint64_t begun = times_now_us();
        uint64_t end = begun + (uint64_t)(loop->seconds * 1e6);
        for (uint64_t now = begun; now < end && loop->count < TIMES_MAX;) {
            if (append_one(loop, session, data, extent.last + loop->count) != LOG_APPEND_ACKED)
                break;
            uint64_t after = times_now_us();
            loop->times_us[loop->count++] = (uint32_t)(after - now);
            now = after;
            loop->error.text[0] = '\0';
        }
    }
    loop->engine->close(&session);
    free((void *)data);
    return NULL;
}

static int compare_times(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;
    return (one > other) - (one < other);
}

/* The times of all loops, sorted; 0 times: a loop had an error, which is printed. */
static uint32_t times_gather(const struct loop *loops, uint32_t slots, uint32_t *times_us)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < slots; i++) {
        if (loops[i].error.text[0] != '\0' || loops[i].count == 0) {
            fprintf(stderr, "slot %" PRIu32 ": %s\n", i, loops[i].error.text);
            return 0;
        }
        memcpy(times_us + count, loops[i].times_us, loops[i].count * sizeof *times_us);
        count += loops[i].count;
    }
    qsort(times_us, count, sizeof *times_us, compare_times);
    return count;
}

static int loops_run(struct loop *loops, uint32_t slots, uint32_t *times_us)
{
    pthread_t threads[SLOTS_MAX];
    double begun = times_now_s(), cpu_begun = times_clock_s(CLOCK_PROCESS_CPUTIME_ID);
    for (uint32_t i = 0; i < slots; i++)
        if (pthread_create(&threads[i], NULL, loop_run, &loops[i]) != 0)
            return 1;
    for (uint32_t i = 0; i < slots; i++)
        pthread_join(threads[i], NULL);
    double seconds = times_now_s() - begun, cpu_s = times_clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu_begun;
    uint32_t count = times_gather(loops, slots, times_us);
    if (count == 0)
        return 1;
    printf("{\"batches\":%" PRIu32 ",\"seconds\":%.3f,\"p50\":%" PRIu32 ",\"p99\":%" PRIu32 ",\"cpu_s\":%.3f}\n", count,
           seconds, times_us[count / 2], times_us[(uint64_t)count * 99 / 100], cpu_s);
    return 0;
}

int main(int argc, char **argv)
{
    static struct loop loops[SLOTS_MAX];
    const struct log_engine *engine;
    struct log_engine_error error;
    if (argc != 7)
        return 2;
    struct log_engine_options options = {.cluster = argv[1],
                                         .durability = strcmp(argv[2], "single") == 0 ? LOG_DURABILITY_SINGLE
                                                                                      : LOG_DURABILITY_STANDBY,
                                         .uris = argv[3]};
    uint32_t slots = (uint32_t)strtoul(argv[4], NULL, 10);
    if (slots == 0 || slots > SLOTS_MAX)
        return 2;
    if (log_engine_load(options.uris, &engine, &error) != 0
        || engine->create(&options, SLOTS_MAX, TIMEOUT_MS, &error) != 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    uint32_t *times_us = malloc(2ul * slots * TIMES_MAX * sizeof *times_us);
    if (times_us == NULL)
        return 1;
    for (uint32_t i = 0; i < slots; i++)
        loops[i] = (struct loop){.engine = engine,
                                 .options = &options,
                                 .slot = i,
                                 .bytes = (uint32_t)strtoul(argv[5], NULL, 10),
                                 .seconds = strtod(argv[6], NULL),
                                 .times_us = times_us + (size_t)(slots + i) * TIMES_MAX};
    int status = loops_run(loops, slots, times_us);
    free(times_us);
    return status;
}
