#include "harness.h"

#include <dirent.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "durability/recovery.h"
#include "harness_double.h"
#include "protocol/mid.h"
#include "server/core_open.h"
#include "server/rest.h"

#define IDLE_ROUNDS_MAX 200000u

static uint64_t clock_wall(struct clock *clock)
{
    return container_of(clock, struct harness, clock)->wall_us;
}

/* A job runs as a whole, so that waiting in it changes nothing. */
static void clock_sleep(struct clock *clock, uint64_t us)
{
    (void)clock, (void)us;
}

static uint64_t clock_monotonic(struct clock *clock)
{
    return container_of(clock, struct harness, clock)->monotonic_us;
}

_Noreturn void harness_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

/* splitmix64 (Steele, Lea and Flood, 2014) */
uint32_t chaos_below(struct chaos *chaos, uint32_t bound)
{
    uint64_t z = (chaos->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % bound);
}

bool chaos_hits(struct chaos *chaos, uint32_t in)
{
    return chaos_below(chaos, in) == 0;
}

/* -- directories -- */

void harness_dir_make(char out[64])
{
    strcpy(out, "/tmp/chitchat-harness-XXXXXX");
    HARNESS_MUST(mkdtemp(out) != NULL);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status, (void)kind, (void)ftw;
    return remove(path);
}

void harness_dir_remove(const char *dir)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct legacy *harness_live_and_die(const char *dir, void (*life)(const char *dir, struct legacy *legacy))
{
    struct legacy *legacy = mmap(NULL, sizeof *legacy, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    HARNESS_MUST(legacy != MAP_FAILED);
    pid_t pid = fork();
    HARNESS_MUST(pid >= 0);
    if (pid == 0) {
        life(dir, legacy);
        _exit(0);
    }
    HARNESS_MUST(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return legacy;
}

/* -- open and close -- */

static void set_config(struct harness *harness, const struct harness_options *options)
{
    char *argv[] = {"chitchat", "serve", NULL};
    char *environment[] = {NULL};
    char text[CONFIG_TEXT_BYTES];
    if (config_parse(2, argv, environment, &harness->config, text, sizeof text) != CONFIG_SERVE)
        harness_fail("%s", text);
    harness->config.shards = options->shards;
    harness->config.data_dir = harness->dir;
    harness->config.listen_count = 0;
    harness->config.memtable_bytes = options->memtable_bytes == 0 ? 1u << 20 : options->memtable_bytes;
    harness->config.wal_segment_bytes = WAL_SEGMENT_BYTES_MIN;
    harness->config.frame_rate = options->frame_rate;
    harness->config.send_rate = 0;
    harness->config.history_rate = options->history_rate;
    if (options->output_bytes != 0)
        harness->config.output_bytes = options->output_bytes;
    if (options->token_secrets != NULL)
        harness->config.auth = CONFIG_AUTH_TOKEN;
    harness->config.token_secrets = options->token_secrets;
    harness->config.presence = options->presence;
    harness->config.checkpoint_s = 5;
    harness->config.retention_s = options->retention_s;
    harness->config.erase_within_s = options->erase_within_s;
    harness->config.connections = options->connections == 0 ? 1000 : options->connections;
}

static void open_addresses(struct harness *harness, const struct harness_options *options)
{
    const struct config *config = &harness->config;
    const struct hash_key seed = {1, 2}; /* the same in each run */
    /* Rude clients send hundreds of bad logins, and each is to be answered. */
    struct address_limits limits = {.connections = config->address_connections, .rate = config->address_rate};
    if (options->address_limits != NULL)
        limits = *options->address_limits;
    HARNESS_MUST(addresses_open(&harness->server.addresses, &limits, config->connections, seed) == 0);
}

static struct harness *harness_prepare(const struct harness_options *options)
{
    struct harness *harness = calloc(1, sizeof *harness);
    HARNESS_MUST(harness != NULL && options->shards <= HARNESS_SHARDS_MAX);
    harness->clock = (struct clock){clock_wall, clock_monotonic, clock_sleep};
    struct clock system;
    clock_init_system(&system);
    harness->wall_us = options->wall_us != 0 ? options->wall_us : clock_wall_us(&system);
    harness->monotonic_us = 1000000;
    harness->next_fd = 1;
    harness->chaos = options->chaos;
    harness->owns_dir = options->dir == NULL;
    if (harness->owns_dir)
        harness_dir_make(harness->dir);
    else
        strcpy(harness->dir, options->dir);
    set_config(harness, options);
    struct datadir_error error;
    if (harness->chaos != NULL)
        harness->chaos->opening = harness;
    if (datadir_open(&harness->datadir, harness->dir, options->shards, 1, &error) != 0)
        harness_fail("%s", error.text);
    harness->server = (struct server){.config = &harness->config,
                                      .datadir = harness->datadir,
                                      .clock = &harness->clock,
                                      .cores = harness->cores,
                                      .core_count = options->shards,
                                      .start_random = harness->wall_us & MID_RANDOM_MAX};
    open_addresses(harness, options);
    struct token_files files = {.secrets = options->token_secrets};
    struct token_error token_error;
    if (files.secrets != NULL && !token_keys_load(&harness->server.token_keys, &files, &token_error))
        harness_fail("%s", token_error.text);
    for (uint32_t i = 0; i < options->shards; i++)
        HARNESS_MUST(core_open(&harness->cores[i], &harness->server, i) == 0);
    return harness;
}

static void harness_free(struct harness *harness)
{
    for (uint32_t i = 0; i < harness->config.shards; i++)
        core_close(&harness->cores[i]);
    addresses_close(&harness->server.addresses);
    token_keys_unref(&harness->server.token_keys);
    for (struct client *client = harness->clients, *next; client != NULL; client = next) {
        next = client->next;
        free(client->in);
        free(client->out);
        free(client);
    }
    for (uint32_t i = 0; i < HARNESS_SHARDS_MAX; i++)
        for (uint32_t k = 0; k < HARNESS_SHARDS_MAX; k++)
            free(harness->letters[i][k].items);
    datadir_close(&harness->datadir);
    if (harness->owns_dir)
        harness_dir_remove(harness->dir);
    free(harness);
}

struct harness *harness_try_open(const struct harness_options *options, const char **refusal_r)
{
    static struct recovery_error error;
    struct harness *harness = harness_prepare(options);
    struct recovery_report report;
    int status;
    if (harness->chaos != NULL)
        harness->chaos->is_beside = true;
    status = recovery_run(&harness->server, &report, &error);
    if (harness->chaos != NULL)
        harness->chaos->is_beside = false;
    if (status != 0) {
        *refusal_r = error.text;
        harness_free(harness);
        return NULL;
    }
    for (uint32_t i = 0; i < options->shards; i++) {
        struct shard *shard = &harness->shards[i];
        *shard = (struct shard){.harness = harness, .index = i, .context = harness->cores[i]};
        shard->io = (struct io){.harness = harness, .shard = shard};
        timers_init(&shard->timers, harness->monotonic_us);
        harness->cores[i]->shard = shard;
    }
    if (harness->chaos == NULL)
        harness_run_until_idle(harness);
    return harness;
}

struct harness *harness_open(const struct harness_options *options)
{
    const char *refusal;
    struct harness *harness = harness_try_open(options, &refusal);
    if (harness == NULL)
        harness_fail("%s", refusal);
    return harness;
}

#define SECTOR_BYTES 512u

static void crash_write(struct harness *harness, const struct io_write *write)
{
    uint32_t fate = chaos_below(harness->chaos, 3);
    for (uint32_t at = 0; at < write->bytes; at += SECTOR_BYTES) {
        bool is_kept = fate == 1 || (fate == 2 && chaos_hits(harness->chaos, 2));
        if (is_kept)
            HARNESS_MUST(pwrite(write->fd, (const char *)write->data + at, SECTOR_BYTES, (off_t)(write->offset + at))
                         == SECTOR_BYTES);
    }
    /* The write may be whole, if all sectors but padding are kept: recovery decides. */
    if (fate > 0 && harness->chaos->on_durable != NULL)
        harness->chaos->on_durable(harness->chaos, write->data, write->bytes);
}

/* The descriptors of a process that has ended are closed. */
static void close_files_below(const char *dir)
{
    char path[512];
    DIR *fds = opendir("/proc/self/fd");
    HARNESS_MUST(fds != NULL);
    for (struct dirent *entry; (entry = readdir(fds)) != NULL;) {
        ssize_t bytes = readlinkat(dirfd(fds), entry->d_name, path, sizeof path - 1);
        if (bytes > 0 && (size_t)bytes > strlen(dir) && strncmp(path, dir, strlen(dir)) == 0
            && path[strlen(dir)] == '/')
            close((int)strtol(entry->d_name, NULL, 10));
    }
    closedir(fds);
}

void harness_crash_inside(struct harness *harness)
{
    if (harness->chaos != NULL)
        harness->chaos->is_beside = false;
    for (uint32_t i = 0; i < harness->config.shards; i++)
        if (harness->shards[i].io.write != NULL)
            crash_write(harness, harness->shards[i].io.write);
    datadir_close(&harness->datadir);
    close_files_below(harness->dir);
}

void harness_crash(struct harness *harness)
{
    for (uint32_t i = 0; i < harness->config.shards; i++) {
        peers_pages_fini(&harness->cores[i]->peers_pages);
        store_reader_close(&harness->cores[i]->reads.store_reader);
        store_close(&harness->cores[i]->runs.store);
    }
    harness_crash_inside(harness);
}

const char *harness_refusal(const char *dir, uint32_t shards)
{
    static struct recovery_error error;
    struct recovery_report report;
    struct harness *harness = harness_prepare(&(struct harness_options){.shards = shards, .dir = dir});
    int status = recovery_run(&harness->server, &report, &error);
    harness_free(harness);
    return status == 0 ? NULL : error.text;
}

void harness_stop(struct harness *harness)
{
    for (uint32_t i = 0; i < harness->config.shards; i++)
        harness->shards[i].signals = SIGNAL_STOP;
}

void harness_drain(struct harness *harness, uint64_t duration_us)
{
    atomic_store(&harness->server.is_draining, true);
    atomic_store(&harness->server.drain_us, duration_us);
    for (uint32_t i = 0; i < harness->config.shards; i++)
        harness->shards[i].signals |= SIGNAL_DRAIN;
}

void harness_close(struct harness *harness)
{
    harness_stop(harness);
    for (uint32_t round = 0; round < 200; round++) {
        harness_run_until_idle(harness);
        harness_advance(harness, 100000);
    }
    for (uint32_t i = 0; i < harness->config.shards; i++)
        HARNESS_MUST(harness->shards[i].is_finished);
    harness_check_rest(harness);
    harness_free(harness);
}

void harness_check_rest(struct harness *harness)
{
    char left[REST_TEXT_BYTES];
    for (uint32_t i = 0; i < harness->config.shards; i++)
        if (!rest_check(harness->cores[i], left))
            harness_fail("shard %u is at rest, but not all was given back: %s", i, left);
    if (atomic_load(&harness->server.conn_count) != 0)
        harness_fail("no client is connected, but %u connections are counted",
                     atomic_load(&harness->server.conn_count));
}

/* -- small things -- */

struct core *harness_core(struct harness *harness, uint32_t shard)
{
    return harness->cores[shard];
}

const char *harness_name(struct harness *harness, uint32_t shard, uint32_t n)
{
    ASSERT(n < HARNESS_NAMES_MAX);
    uint32_t found = 0;
    char *name = harness->names[shard][n];
    for (uint32_t i = 0;; i++) {
        snprintf(name, sizeof harness->names[0][0], "user%u", i);
        if (datadir_shard_of(harness->datadir, span_of(name)) == shard && found++ == n)
            return name;
    }
}

uint64_t harness_now(const struct harness *harness)
{
    return harness->wall_us;
}

uint64_t harness_monotonic(const struct harness *harness)
{
    return harness->monotonic_us;
}

void harness_advance(struct harness *harness, int64_t us)
{
    harness->wall_us += (uint64_t)us;
    if (us > 0)
        harness->monotonic_us += (uint64_t)us;
}

void harness_leap(struct harness *harness, int64_t us)
{
    harness->wall_us += (uint64_t)us;
}

void harness_run_until_idle(struct harness *harness)
{
    for (uint32_t round = 0; round < IDLE_ROUNDS_MAX; round++) {
        uint64_t before = harness->activity;
        for (uint32_t i = 0; i < harness->config.shards; i++)
            harness_turn(harness, i);
        if (harness->activity == before && round > 0)
            return;
    }
    harness_fail("the harness does not become idle");
}

void harness_hold_writes(struct harness *harness, uint32_t shard, bool held)
{
    harness->shards[shard].io.hold_writes = held;
}

void harness_fail_writes(struct harness *harness, uint32_t shard)
{
    harness->shards[shard].io.fail_writes = true;
}

void harness_hold_letters(struct harness *harness, uint32_t from, uint32_t to, bool held)
{
    harness->letters[from][to].held = held;
}

uint32_t harness_letters(const struct harness *harness, uint32_t from, uint32_t to)
{
    return harness->letters[from][to].end - harness->letters[from][to].begin;
}

static struct worker *find_worker(struct harness *harness, uint32_t shard, enum harness_worker kind)
{
    static const char *const names[] = {"reader", "checkpoint", "merge", "recycler"};
    struct worker *worker = harness->shards[shard].workers;
    while (worker != NULL && strcmp(worker->name, names[kind]) != 0)
        worker = worker->next;
    HARNESS_MUST(worker != NULL);
    return worker;
}

void harness_hold_jobs(struct harness *harness, uint32_t shard, enum harness_worker worker, bool held)
{
    find_worker(harness, shard, worker)->hold = held;
}

void harness_hold_results(struct harness *harness, uint32_t shard, enum harness_worker worker, bool held)
{
    find_worker(harness, shard, worker)->hold_results = held;
}
