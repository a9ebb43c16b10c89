/*
 * log_engine_driver.c: a session of a log engine, driven by lines on stdin: one command a line, one line of JSON on
 * stdout for each. For the tests of engines, which kill and stop servers meanwhile.
 *
 *     log-engine-driver CLUSTER standby|single URIS [SECONDS that purge keeps]
 *     create SLOTS MS                          check MS
 *     append SLOT GENERATION LAST TEXT MS      fill SLOT GENERATION LAST BYTES MS: BYTES bytes of no meaning
 *     read SLOT FROM BYTES MS                  tail SLOT MS
 *     follow MS SLOT LAST                      purge SLOT BELOW MS
 *     report NAME RUN,RUN MS: of two slots     nodes MS
 *     forget SECONDS MS                        leave NAME MS
 *     run SLOT GENERATION LAST COUNT MS: appends one after the other, each text "GENERATION:NUMBER", until one is not
 *                                        acknowledged; says how many were
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/log_engine.h"

#define LINE_BYTES 4096
#define WORDS_MAX 8

struct driver {
    const struct log_engine *engine;
    struct log_engine_options options;
    struct log_session *session;
    struct log_engine_error error;
    char *words[WORDS_MAX];
    int word_count;
    char fill[LOG_ENGINE_BATCH_BYTES_MAX];
};

static uint64_t word(const struct driver *driver, int index)
{
    return index < driver->word_count ? strtoull(driver->words[index], NULL, 10) : 0;
}

static void print_text(const char *text, size_t bytes)
{
    putchar('"');
    for (size_t i = 0; i < bytes; i++)
        if (text[i] == '"' || text[i] == '\\' || (unsigned char)text[i] < ' ')
            printf("\\u%04x", (unsigned)(unsigned char)text[i]);
        else
            putchar(text[i]);
    putchar('"');
}

/* {"status":…,"error":…, and what the caller prints after it, up to the brace */
static void print_status(const struct driver *driver, int status)
{
    printf("{\"status\":%d,\"error\":", status);
    print_text(driver->error.text, strlen(driver->error.text));
}

static void do_create(struct driver *driver)
{
    print_status(driver, driver->engine->create(&driver->options, (uint32_t)word(driver, 1), (uint32_t)word(driver, 2),
                                                &driver->error));
    printf("}\n");
}

static void do_check(struct driver *driver)
{
    struct log_engine_report report;
    int status = driver->engine->check(driver->session, (uint32_t)word(driver, 1), &report, &driver->error);
    print_status(driver, status);
    printf(",\"id\":\"%s\",\"slots\":%" PRIu32 ",\"clock_us\":%" PRIu64 ",\"text\":", report.id, report.slots,
           report.clock_us);
    print_text(report.text, strlen(report.text));
    printf("}\n");
}

static enum log_append_result append_print(struct driver *driver, const struct log_append *append, uint32_t timeout_ms)
{
    static const char *const names[] = {"acked", "refused", "unknown", "failed"};
    struct log_extent extent = {0};
    int status = 0;
    driver->error.text[0] = '\0';
    enum log_append_result result =
        driver->engine->append(driver->session, append, timeout_ms, &extent, &status, &driver->error);
    print_status(driver, status);
    printf(",\"result\":\"%s\",\"first\":%" PRIu64 ",\"last\":%" PRIu64 ",\"generation\":%" PRIu64, names[result],
           extent.first, extent.last, extent.generation);
    return result;
}

/* The hash of batch `number`, or, with a salt, that of another batch with this number. */
static const uint8_t *hash_of(uint64_t number, uint64_t salt, uint8_t hash[LOG_ENGINE_HASH_BYTES])
{
    memset(hash, 0, LOG_ENGINE_HASH_BYTES);
    memcpy(hash, &number, sizeof number);
    memcpy(hash + sizeof number, &salt, sizeof salt);
    return hash;
}

static void do_append(struct driver *driver, bool is_fill)
{
    uint8_t previous[LOG_ENGINE_HASH_BYTES], hash[LOG_ENGINE_HASH_BYTES];
    struct log_append append = {.slot = (uint32_t)word(driver, 1),
                                .generation = word(driver, 2),
                                .last = word(driver, 3),
                                .previous = hash_of(word(driver, 3), word(driver, 6), previous),
                                .hash = hash_of(word(driver, 3) + 1, 0, hash),
                                .data = is_fill ? driver->fill : driver->words[4],
                                .bytes = is_fill ? (uint32_t)word(driver, 4) : (uint32_t)strlen(driver->words[4])};
    (void)append_print(driver, &append, (uint32_t)word(driver, 5));
    printf("}\n");
}

static void do_run(struct driver *driver)
{
    uint64_t count = word(driver, 4), done = 0;
    uint64_t last = word(driver, 3);
    char text[64];
    uint8_t previous[LOG_ENGINE_HASH_BYTES], hash[LOG_ENGINE_HASH_BYTES];
    struct log_append append = {.slot = (uint32_t)word(driver, 1), .generation = word(driver, 2), .data = text};
    struct log_extent extent;
    int status = 0;
    enum log_append_result result = LOG_APPEND_ACKED;
    while (result == LOG_APPEND_ACKED && done < count) {
        append.last = last + done;
        append.previous = hash_of(append.last, 0, previous);
        append.hash = hash_of(append.last + 1, 0, hash);
        append.bytes =
            (uint32_t)snprintf(text, sizeof text, "%" PRIu64 ":%" PRIu64, append.generation, append.last + 1);
        result = driver->engine->append(driver->session, &append, (uint32_t)word(driver, 5), &extent, &status,
                                        &driver->error);
        done += result == LOG_APPEND_ACKED;
    }
    print_status(driver, status);
    printf(",\"result\":%d,\"done\":%" PRIu64 "}\n", (int)result, done);
}

static int print_batch(void *context, const struct log_batch *batch)
{
    bool *is_first = context;
    printf("%s{\"number\":%" PRIu64 ",\"generation\":%" PRIu64 ",\"bytes\":%" PRIu32 ",\"text\":", *is_first ? "" : ",",
           batch->number, batch->generation, batch->bytes);
    print_text(batch->data, batch->bytes < 128 ? batch->bytes : 0);
    printf("}");
    *is_first = false;
    return 0;
}

static void do_read(struct driver *driver)
{
    bool is_first = true;
    printf("{\"batches\":[");
    int status =
        driver->engine->read(driver->session, (uint32_t)word(driver, 1), word(driver, 2), (uint32_t)word(driver, 3),
                             (uint32_t)word(driver, 4), print_batch, &is_first, &driver->error);
    printf("],\"status\":%d,\"error\":", status);
    print_text(driver->error.text, strlen(driver->error.text));
    printf("}\n");
}

static void do_tail(struct driver *driver)
{
    struct log_extent extent = {0};
    print_status(driver, driver->engine->tail(driver->session, (uint32_t)word(driver, 1), (uint32_t)word(driver, 2),
                                              &extent, &driver->error));
    printf(",\"first\":%" PRIu64 ",\"last\":%" PRIu64 ",\"generation\":%" PRIu64 "}\n", extent.first, extent.last,
           extent.generation);
}

static void do_follow(struct driver *driver)
{
    struct log_follow followed = {.slot = (uint32_t)word(driver, 2), .last = word(driver, 3)};
    print_status(driver,
                 driver->engine->follow(driver->session, &followed, 1, (uint32_t)word(driver, 1), &driver->error));
    printf(",\"last\":%" PRIu64 "}\n", followed.last);
}

static void do_purge(struct driver *driver)
{
    print_status(driver, driver->engine->purge(driver->session, (uint32_t)word(driver, 1), word(driver, 2),
                                               (uint32_t)word(driver, 3), &driver->error));
    printf("}\n");
}

static void do_report(struct driver *driver)
{
    char *end;
    uint64_t runs[64] = {0}; /* of all slots that a test has */
    if (driver->word_count == 4) {
        runs[0] = strtoull(driver->words[2], &end, 10);
        runs[1] = *end == ',' ? strtoull(end + 1, NULL, 10) : 0;
    }
    struct log_node node = {.name = driver->words[1], .address = "ws://here", .runs = runs, .applied = runs};
    print_status(driver, driver->engine->report(driver->session, &node, (uint32_t)word(driver, 3), &driver->error));
    printf("}\n");
}

static void print_node(void *context, const struct log_node *node)
{
    bool *is_first = context;
    printf("%s{\"name\":\"%s\",\"address\":\"%s\",\"forgotten\":%s,\"runs\":[%" PRIu64 ",%" PRIu64
           "],\"applied\":[%" PRIu64 ",%" PRIu64 "]}",
           *is_first ? "" : ",", node->name, node->address, node->is_forgotten ? "true" : "false", node->runs[0],
           node->runs[1], node->applied[0], node->applied[1]);
    *is_first = false;
}

static void do_nodes(struct driver *driver)
{
    bool is_first = true;
    printf("{\"nodes\":[");
    int status =
        driver->engine->nodes(driver->session, (uint32_t)word(driver, 1), print_node, &is_first, &driver->error);
    printf("],\"status\":%d,\"error\":", status);
    print_text(driver->error.text, strlen(driver->error.text));
    printf("}\n");
}

static void print_name(void *context, const char *name)
{
    bool *is_first = context;
    printf("%s\"%s\"", *is_first ? "" : ",", name);
    *is_first = false;
}

static void do_forget(struct driver *driver)
{
    bool is_first = true;
    printf("{\"names\":[");
    int status = driver->engine->forget(driver->session, (uint32_t)word(driver, 1), (uint32_t)word(driver, 2),
                                        print_name, &is_first, &driver->error);
    printf("],\"status\":%d}\n", status);
}

static void do_leave(struct driver *driver)
{
    print_status(driver,
                 driver->engine->leave(driver->session, driver->words[1], (uint32_t)word(driver, 2), &driver->error));
    printf("}\n");
}

static void command_do(struct driver *driver)
{
    const char *name = driver->words[0];
    driver->error.text[0] = '\0';
    if (strcmp(name, "create") == 0)
        do_create(driver);
    else if (strcmp(name, "check") == 0)
        do_check(driver);
    else if (strcmp(name, "append") == 0 && driver->word_count == 7)
        do_append(driver, false);
    else if (strcmp(name, "fill") == 0)
        do_append(driver, true);
    else if (strcmp(name, "run") == 0)
        do_run(driver);
    else if (strcmp(name, "read") == 0)
        do_read(driver);
    else if (strcmp(name, "tail") == 0)
        do_tail(driver);
    else if (strcmp(name, "follow") == 0)
        do_follow(driver);
    else if (strcmp(name, "purge") == 0)
        do_purge(driver);
    else if (strcmp(name, "report") == 0 && driver->word_count > 1)
        do_report(driver);
    else if (strcmp(name, "nodes") == 0)
        do_nodes(driver);
    else if (strcmp(name, "forget") == 0)
        do_forget(driver);
    else if (strcmp(name, "leave") == 0 && driver->word_count > 1)
        do_leave(driver);
    else
        printf("{\"status\":-22,\"error\":\"no such command\"}\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct driver driver;
    char line[LINE_BYTES];
    if (argc < 4)
        return 2;
    driver.options = (struct log_engine_options){.cluster = argv[1],
                                                 .durability = strcmp(argv[2], "single") == 0 ? LOG_DURABILITY_SINGLE
                                                                                              : LOG_DURABILITY_STANDBY,
                                                 .uris = argv[3],
                                                 .keep_s = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 0};
    for (size_t i = 0; i < sizeof driver.fill; i++)
        driver.fill[i] = (char)(i * 7919 >> 3);
    int status = log_engine_load(driver.options.uris, &driver.engine, &driver.error);
    if (status == 0)
        status = driver.engine->open(&driver.session, &driver.options, &driver.error);
    print_status(&driver, status);
    printf("}\n");
    fflush(stdout);
    while (status == 0 && fgets(line, sizeof line, stdin) != NULL) {
        char *rest = NULL;
        driver.word_count = 0;
        for (char *at = strtok_r(line, " \n", &rest); at != NULL && driver.word_count < WORDS_MAX;
             at = strtok_r(NULL, " \n", &rest))
            driver.words[driver.word_count++] = at;
        if (driver.word_count > 0)
            command_do(&driver);
    }
    if (status == 0)
        driver.engine->close(&driver.session);
    return status == 0 ? 0 : 1;
}
