#include "world.h"

#include <dirent.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mid.h"
#include "recovery.h"
#include "rest.h"
#include "world_double.h"

#define SETTLE_ROUNDS_MAX 200000u

static uint64_t clock_wall(struct clock *clock)
{
    return container_of(clock, struct world, clock)->wall_us;
}

/* Jobs run whole: nothing comes in while one waits. */
static void clock_sleep(struct clock *clock, uint64_t us)
{
    (void)clock, (void)us;
}

static uint64_t clock_monotonic(struct clock *clock)
{
    return container_of(clock, struct world, clock)->monotonic_us;
}

_Noreturn void world_fail(const char *format, ...)
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

void world_dir_make(char out[64])
{
    strcpy(out, "/tmp/chitchat-world-XXXXXX");
    WORLD_MUST(mkdtemp(out) != NULL);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status, (void)kind, (void)ftw;
    return remove(path);
}

void world_dir_remove(const char *dir)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct legacy *world_live_and_die(const char *dir, void (*life)(const char *dir, struct legacy *legacy))
{
    struct legacy *legacy = mmap(NULL, sizeof *legacy, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    WORLD_MUST(legacy != MAP_FAILED);
    pid_t pid = fork();
    WORLD_MUST(pid >= 0);
    if (pid == 0) {
        life(dir, legacy);
        _exit(0);
    }
    WORLD_MUST(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return legacy;
}

/* -- open and close -- */

static void set_config(struct world *world, const struct world_options *options)
{
    char *argv[] = {"chitchat", "serve", NULL};
    char *environment[] = {NULL};
    char text[CONFIG_TEXT_BYTES];
    if (config_parse(2, argv, environment, &world->config, text, sizeof text) != CONFIG_SERVE)
        world_fail("%s", text);
    world->config.shards = options->shards;
    world->config.data_dir = world->dir;
    world->config.listen_count = 0;
    world->config.memtable_bytes = options->memtable_bytes == 0 ? 1u << 20 : options->memtable_bytes;
    world->config.wal_segment_bytes = 4u << 20;
    world->config.frame_rate = options->frame_rate;
    if (options->output_bytes != 0)
        world->config.output_bytes = options->output_bytes;
    world->config.frame_rate = options->frame_rate;
    world->config.checkpoint_s = 5;
    world->config.connections = options->connections == 0 ? 1000 : options->connections;
}

static struct world *world_prepare(const struct world_options *options)
{
    struct world *world = calloc(1, sizeof *world);
    WORLD_MUST(world != NULL && options->shards <= WORLD_SHARDS_MAX);
    world->clock = (struct clock){clock_wall, clock_monotonic, clock_sleep};
    struct clock system;
    clock_init_system(&system);
    world->wall_us = options->wall_us != 0 ? options->wall_us : clock_wall_us(&system);
    world->monotonic_us = 1000000;
    world->next_fd = 1;
    world->chaos = options->chaos;
    world->owns_dir = options->dir == NULL;
    if (world->owns_dir)
        world_dir_make(world->dir);
    else
        strcpy(world->dir, options->dir);
    set_config(world, options);
    struct datadir_error error;
    if (world->chaos != NULL)
        world->chaos->opening = world;
    if (datadir_open(&world->datadir, world->dir, options->shards, 1, &error) != 0)
        world_fail("%s", error.text);
    world->server = (struct server){.config = &world->config,
                                    .datadir = world->datadir,
                                    .clock = &world->clock,
                                    .cores = world->cores,
                                    .core_count = options->shards,
                                    .start_random = world->wall_us & MID_RANDOM_MAX};
    for (uint32_t i = 0; i < options->shards; i++)
        WORLD_MUST(core_open(&world->cores[i], &world->server, i) == 0);
    return world;
}

static void world_free(struct world *world)
{
    for (uint32_t i = 0; i < world->config.shards; i++)
        core_close(&world->cores[i]);
    for (struct client *client = world->clients, *next; client != NULL; client = next) {
        next = client->next;
        free(client->in);
        free(client->out);
        free(client);
    }
    for (uint32_t i = 0; i < WORLD_SHARDS_MAX; i++)
        for (uint32_t k = 0; k < WORLD_SHARDS_MAX; k++)
            free(world->letters[i][k].items);
    datadir_close(&world->datadir);
    if (world->owns_dir)
        world_dir_remove(world->dir);
    free(world);
}

struct world *world_try_open(const struct world_options *options, const char **refusal_r)
{
    static struct recovery_error error;
    struct world *world = world_prepare(options);
    struct recovery_report report;
    int status;
    if (world->chaos != NULL)
        world->chaos->is_beside = true;
    status = recovery_run(&world->server, &report, &error);
    if (world->chaos != NULL)
        world->chaos->is_beside = false;
    if (status != 0) {
        *refusal_r = error.text;
        world_free(world);
        return NULL;
    }
    for (uint32_t i = 0; i < options->shards; i++) {
        struct shard *shard = &world->shards[i];
        *shard = (struct shard){.world = world, .index = i, .context = world->cores[i]};
        shard->io = (struct io){.world = world, .shard = shard};
        timers_init(&shard->timers, world->monotonic_us);
        world->cores[i]->shard = shard;
    }
    if (world->chaos == NULL)
        world_settle(world);
    return world;
}

struct world *world_open(const struct world_options *options)
{
    const char *refusal;
    struct world *world = world_try_open(options, &refusal);
    if (world == NULL)
        world_fail("%s", refusal);
    return world;
}

#define SECTOR_BYTES 512u

static void crash_write(struct world *world, const struct io_write *write)
{
    uint32_t fate = chaos_below(world->chaos, 3);
    for (uint32_t at = 0; at < write->bytes; at += SECTOR_BYTES) {
        bool is_kept = fate == 1 || (fate == 2 && chaos_hits(world->chaos, 2));
        if (is_kept)
            WORLD_MUST(pwrite(write->fd, (const char *)write->data + at, SECTOR_BYTES, (off_t)(write->offset + at))
                       == SECTOR_BYTES);
    }
    /* Where all sectors but padding are kept, it is whole: recovery will say. */
    if (fate > 0 && world->chaos->on_durable != NULL)
        world->chaos->on_durable(world->chaos, write->data, write->bytes);
}

/* The process is gone, and its descriptors with it. */
static void close_files_below(const char *dir)
{
    char path[512];
    DIR *fds = opendir("/proc/self/fd");
    WORLD_MUST(fds != NULL);
    for (struct dirent *entry; (entry = readdir(fds)) != NULL;) {
        ssize_t bytes = readlinkat(dirfd(fds), entry->d_name, path, sizeof path - 1);
        if (bytes > 0 && (size_t)bytes > strlen(dir) && strncmp(path, dir, strlen(dir)) == 0
            && path[strlen(dir)] == '/')
            close((int)strtol(entry->d_name, NULL, 10));
    }
    closedir(fds);
}

void world_crash_inside(struct world *world)
{
    if (world->chaos != NULL)
        world->chaos->is_beside = false;
    for (uint32_t i = 0; i < world->config.shards; i++)
        if (world->shards[i].io.write != NULL)
            crash_write(world, world->shards[i].io.write);
    datadir_close(&world->datadir);
    close_files_below(world->dir);
}

void world_crash(struct world *world)
{
    for (uint32_t i = 0; i < world->config.shards; i++) {
        store_reader_close(&world->cores[i]->store_reader);
        store_close(&world->cores[i]->store);
    }
    world_crash_inside(world);
}

const char *world_refusal(const char *dir, uint32_t shards)
{
    static struct recovery_error error;
    struct recovery_report report;
    struct world *world = world_prepare(&(struct world_options){.shards = shards, .dir = dir});
    int status = recovery_run(&world->server, &report, &error);
    world_free(world);
    return status == 0 ? NULL : error.text;
}

void world_stop(struct world *world)
{
    for (uint32_t i = 0; i < world->config.shards; i++)
        world->shards[i].signals = SIGNAL_STOP;
}

void world_close(struct world *world)
{
    world_stop(world);
    for (uint32_t round = 0; round < 200; round++) {
        world_settle(world);
        world_advance(world, 100000);
    }
    for (uint32_t i = 0; i < world->config.shards; i++)
        WORLD_MUST(world->shards[i].is_finished);
    world_check_rest(world);
    world_free(world);
}

void world_check_rest(struct world *world)
{
    char left[REST_TEXT_BYTES];
    for (uint32_t i = 0; i < world->config.shards; i++)
        if (!rest_check(world->cores[i], left))
            world_fail("shard %u is at rest, but not all was given back: %s", i, left);
    if (atomic_load(&world->server.conn_count) != 0)
        world_fail("nobody is connected, but %u connections are counted", atomic_load(&world->server.conn_count));
}

/* -- small things -- */

struct core *world_core(struct world *world, uint32_t shard)
{
    return world->cores[shard];
}

const char *world_name(struct world *world, uint32_t shard, uint32_t n)
{
    uint32_t found = 0;
    char *name = world->names[shard][n];
    for (uint32_t i = 0;; i++) {
        snprintf(name, sizeof world->names[0][0], "user%u", i);
        if (datadir_shard_of(world->datadir, span_of(name)) == shard && found++ == n)
            return name;
    }
}

uint64_t world_now(const struct world *world)
{
    return world->wall_us;
}

uint64_t world_monotonic(const struct world *world)
{
    return world->monotonic_us;
}

void world_advance(struct world *world, int64_t us)
{
    world->wall_us += (uint64_t)us;
    if (us > 0)
        world->monotonic_us += (uint64_t)us;
}

void world_settle(struct world *world)
{
    for (uint32_t round = 0; round < SETTLE_ROUNDS_MAX; round++) {
        uint64_t before = world->activity;
        for (uint32_t i = 0; i < world->config.shards; i++)
            world_turn(world, i);
        if (world->activity == before && round > 0)
            return;
    }
    world_fail("the world does not come to rest");
}

void world_hold_writes(struct world *world, uint32_t shard, bool held)
{
    world->shards[shard].io.hold_writes = held;
}

void world_fail_writes(struct world *world, uint32_t shard)
{
    world->shards[shard].io.fail_writes = true;
}

void world_hold_letters(struct world *world, uint32_t from, uint32_t to, bool held)
{
    world->letters[from][to].held = held;
}

uint32_t world_letters(const struct world *world, uint32_t from, uint32_t to)
{
    return world->letters[from][to].end - world->letters[from][to].begin;
}

static struct worker *find_worker(struct world *world, uint32_t shard, enum world_worker kind)
{
    static const char *const names[] = {"reader", "checkpoint", "merge", "keeper"};
    struct worker *worker = world->shards[shard].workers;
    while (worker != NULL && strcmp(worker->name, names[kind]) != 0)
        worker = worker->next;
    WORLD_MUST(worker != NULL);
    return worker;
}

void world_hold_jobs(struct world *world, uint32_t shard, enum world_worker worker, bool held)
{
    find_worker(world, shard, worker)->hold = held;
}

void world_hold_results(struct world *world, uint32_t shard, enum world_worker worker, bool held)
{
    find_worker(world, shard, worker)->hold_results = held;
}
