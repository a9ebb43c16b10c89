/*
 * power.c: reads the traces of one or more lives of a server (trace.h), cuts them at many places, builds images of what
 * may then be on the disk (disk.h), and checks each against what the server had reported by then (claims.h, checker.h).
 * power.mjs makes the traces and runs this program.
 *
 * There is a cut before each record that changes what may be on the disk: what left the server before that record
 * counts. With --until the program ends after the first image that fails, or that fails with the verdict named. The
 * last line of the output is one JSON object; exit status 1 if an image failed, 2 if something else did.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checker.h"
#include "disk_private.h"

#define JOBS_MAX 16
#define CHECKER_SECONDS 120u
#define FAILURES_REPORTED_MAX 5u
#define IMAGES_PER_CUT_MIN 3u
#define PATH_BYTES 48u /* of a data directory: as long as the harness takes */

static const char *const verdict_names[VERDICT_COUNT] = {"good",      "refused",   "undone",   "lost", "duplicated",
                                                         "reordered", "one_sided", "invented", "died"};

struct options {
    const char *journal;
    const char *claims;
    const char *work; /* a directory for images; short */
    const char *save; /* makes one image there, with its claims in SAVE.claims, and checks nothing */
    const char *fault;
    const char *again; /* the command that repeats, up to the cut */
    const char *until; /* a verdict after which nothing more is checked, or "any"; NULL: none */
    uint64_t cut;      /* only this one; 0: all */
    uint64_t image;    /* only this seed */
    uint64_t seed;
    uint64_t images_max; /* in all: at least IMAGES_PER_CUT_MIN for each cut, at as many cuts as that allows */
    uint32_t jobs;
    uint32_t shards;
    char *const *traces;
    int trace_count;
};

struct job {
    pid_t pid; /* 0: free */
    uint64_t cut;
    uint64_t seed;
    char dir[PATH_BYTES];
    struct result *result; /* shared */
};

struct power {
    struct options options;
    struct disk *disk;
    struct claims claims;
    struct disk_counts counts;
    struct job jobs[JOBS_MAX];
    uint64_t cut;       /* the number of the next */
    uint64_t cut_count; /* in all traces */
    uint64_t cuts_wanted;
    uint64_t per_cut; /* images of each */
    uint64_t cuts_taken;
    uint64_t made;
    uint64_t verdicts[VERDICT_COUNT];
    uint64_t reported;
    bool is_done; /* options.until has come */
};

/* -- traces -- */

struct trace_map {
    const char *data;
    uint64_t bytes;
};

static struct trace_map map_trace(const char *path)
{
    struct stat now;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &now) != 0 || now.st_size == 0)
        disk_fail("%s cannot be read: %s", path, strerror(errno));
    void *data = mmap(NULL, (size_t)now.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        disk_fail("%s cannot be mapped: %s", path, strerror(errno));
    close(fd);
    return (struct trace_map){data, (uint64_t)now.st_size};
}

/* The last record of a killed process may not be whole. */
static bool next_record(const struct trace_map *map, uint64_t *at, struct trace_record *record, const char **data)
{
    if (*at + sizeof *record > map->bytes)
        return false;
    memcpy(record, map->data + *at, sizeof *record);
    *data = map->data + *at + sizeof *record;
    *at += sizeof *record + trace_padded(record->data_bytes);
    return *at <= map->bytes;
}

/* -- checking -- */

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status, (void)kind, (void)ftw;
    return remove(path);
}

static void remove_dir(const char *dir)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void report_failure(struct power *power, const struct job *job)
{
    if (power->reported++ >= FAILURES_REPORTED_MAX)
        return;
    printf("%s: %s\n  image: %s (as it stands after the result)\n  again: %s --cut %llu --image %llu\n",
           verdict_names[job->result->verdict], job->result->text, job->dir, power->options.again,
           (unsigned long long)job->cut, (unsigned long long)job->seed);
    fflush(stdout);
}

static bool is_awaited(const char *until, enum verdict verdict)
{
    return until != NULL && (strcmp(until, "any") == 0 || strcmp(until, verdict_names[verdict]) == 0);
}

static void finish_job(struct power *power, struct job *job)
{
    power->verdicts[job->result->verdict]++;
    if (job->result->verdict != VERDICT_GOOD) {
        power->is_done = power->is_done || is_awaited(power->options.until, job->result->verdict);
        report_failure(power, job);
    }
    if (job->result->verdict == VERDICT_GOOD || power->reported > FAILURES_REPORTED_MAX)
        remove_dir(job->dir);
    job->pid = 0;
}

/* Waits for one, or for all. */
static void reap(struct power *power, bool all)
{
    int status;
    for (pid_t pid; (pid = wait(&status)) > 0;) {
        for (uint32_t i = 0; i < power->options.jobs; i++)
            if (power->jobs[i].pid == pid)
                finish_job(power, &power->jobs[i]);
        if (!all)
            return;
    }
}

/* What the checker printed before it ended by a signal. */
static void read_output(const char *path, struct result *result)
{
    char text[sizeof result->text] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (bytes > 0)
        memcpy(result->text, text, (size_t)bytes + 1);
    if (fd >= 0)
        close(fd);
    result->verdict = result->is_open ? VERDICT_DIED : VERDICT_REFUSED;
}

/* A process that checks, as the child of one that sees how it ended. */
static _Noreturn void run_checker(const struct power *power, const struct job *job)
{
    char data[PATH_BYTES + 8], output[PATH_BYTES + 8];
    int status;
    snprintf(data, sizeof data, "%s/data", job->dir);
    snprintf(output, sizeof output, "%s.log", job->dir);
    pid_t pid = fork();
    if (pid == 0) {
        struct checker_options options = {.shards = power->options.shards, .twice = job->seed % 4 == 0};
        if (freopen(output, "w", stderr) == NULL || setvbuf(stderr, NULL, _IONBF, 0) != 0)
            _exit(3);
        alarm(CHECKER_SECONDS);
        checker_run(data, &power->claims, &options, job->result);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        disk_fail("no process for the checker");
    if (!WIFEXITED(status) && job->result->verdict == VERDICT_DIED)
        read_output(output, job->result);
    unlink(output);
    _exit(0);
}

static struct job *free_job(struct power *power)
{
    for (;;) {
        for (uint32_t i = 0; i < power->options.jobs; i++)
            if (power->jobs[i].pid == 0)
                return &power->jobs[i];
        reap(power, false);
    }
}

static enum disk_choice choice_of(uint64_t seed)
{
    return seed == 0 ? DISK_NOTHING : seed == 1 ? DISK_EVERYTHING : DISK_BY_CHANCE;
}

static void take_image(struct power *power, uint64_t seed)
{
    struct job *job = free_job(power);
    job->cut = power->cut;
    job->seed = seed;
    snprintf(job->dir, sizeof job->dir, "%s/%llu", power->options.work, (unsigned long long)power->made++);
    disk_build(power->disk, job->dir, choice_of(seed), seed, &power->counts);
    *job->result = (struct result){.verdict = VERDICT_DIED, .text = "the checker did not begin"};
    fflush(stdout);
    job->pid = fork();
    if (job->pid == 0)
        run_checker(power, job);
    if (job->pid < 0)
        disk_fail("no process for a checker: %s", strerror(errno));
}

/* -- cuts -- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t z = a * 0x9e3779b97f4a7c15u + b;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Chooses about cuts_wanted of all cuts, by the seed. */
static bool is_wanted(const struct power *power)
{
    const struct options *options = &power->options;
    if (options->cut != 0)
        return power->cut == options->cut;
    return mix(options->seed, power->cut) % power->cut_count < power->cuts_wanted;
}

/* Seed 0: nothing that was not flushed is on the disk; 1: everything is; the others: by chance. */
static uint64_t image_seed(const struct power *power, uint64_t index)
{
    uint64_t random = mix(power->options.seed ^ 0x706f776572u, power->cut * 100000 + index);
    return index < 2 ? index : 2 + random % 1000000000;
}

static void save_image(struct power *power)
{
    char path[PATH_BYTES + 400];
    disk_build(power->disk, power->options.save, choice_of(power->options.image), power->options.image, &power->counts);
    snprintf(path, sizeof path, "%s.claims", power->options.save);
    claims_save(&power->claims, path);
}

static void take_cut(struct power *power)
{
    power->cut++;
    if (!is_wanted(power))
        return;
    power->cuts_taken++;
    if (power->options.save != NULL) {
        save_image(power);
        return;
    }
    if (power->options.cut != 0) {
        take_image(power, power->options.image);
        return;
    }
    for (uint64_t i = 0; i < power->per_cut && !power->is_done; i++)
        take_image(power, image_seed(power, i));
}

static void play(struct power *power, const char *path)
{
    struct trace_map map = map_trace(path);
    struct trace_record record;
    const char *data;
    for (uint64_t at = 0; !power->is_done && next_record(&map, &at, &record, &data);) {
        if (disk_is_live(power->disk) && disk_is_change(&record))
            take_cut(power);
        disk_apply(power->disk, &record, data);
        claims_apply(&power->claims, &record, data);
    }
    munmap((void *)(uintptr_t)map.data, map.bytes);
}

/* A large whole write through O_DSYNC, behind the beginning of its file: a WAL write, after which an `ok` is sent. */
static uint64_t some_wal_write(const struct power *power)
{
    uint64_t found = 0, count = 0;
    for (int i = 0; i < power->options.trace_count; i++) {
        struct trace_map map = map_trace(power->options.traces[i]);
        struct trace_record record;
        const char *data;
        for (uint64_t at = 0; next_record(&map, &at, &record, &data);)
            if (record.kind == TRACE_WRITE_SYNC && record.bytes >= 4096 && record.offset > 0 && record.data_bytes > 0
                && mix(power->options.seed, record.id) % ++count == 0)
                found = record.id;
        munmap((void *)(uintptr_t)map.data, map.bytes);
    }
    return found;
}

static void count_cuts(struct power *power)
{
    for (int i = 0; i < power->options.trace_count; i++) {
        struct trace_map map = map_trace(power->options.traces[i]);
        struct trace_record record;
        const char *data;
        for (uint64_t at = 0; next_record(&map, &at, &record, &data);)
            power->cut_count += disk_is_change(&record);
        munmap((void *)(uintptr_t)map.data, map.bytes);
    }
    if (power->cut_count == 0)
        disk_fail("the traces have nothing to cut");
    power->per_cut = power->options.images_max / power->cut_count;
    power->per_cut = power->per_cut < IMAGES_PER_CUT_MIN ? IMAGES_PER_CUT_MIN : power->per_cut;
    power->cuts_wanted = power->options.images_max / power->per_cut;
}

/* -- the command line -- */

static struct disk_faults faults_of(const struct power *power)
{
    struct disk_faults faults = {.lost_write_id = 0};
    const char *fault = power->options.fault;
    if (fault == NULL)
        return faults;
    if (strcmp(fault, "log-write-lost") == 0)
        faults.lost_write_id = some_wal_write(power);
    else if (strcmp(fault, "no-file-sync") == 0)
        faults.file_sync_is_nothing = true;
    else if (strcmp(fault, "no-dir-sync") == 0)
        faults.dir_sync_is_nothing = true;
    else if (strcmp(fault, "meta-not-dsync") == 0)
        faults.small_sync_writes_are_plain = true;
    else
        disk_fail("--fault is log-write-lost, no-file-sync, no-dir-sync or meta-not-dsync");
    return faults;
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0')
        disk_fail("%s is no number", text);
    return value;
}

static void take_option(struct options *options, int option)
{
    switch (option) {
    case 'j': options->journal = optarg; return;
    case 'C': options->claims = optarg; return;
    case 'w': options->work = optarg; return;
    case 's': options->save = optarg; return;
    case 'f': options->fault = optarg; return;
    case 'a': options->again = optarg; return;
    case 'u': options->until = optarg; return;
    case 'c': options->cut = number(optarg); return;
    case 'i': options->image = number(optarg); return;
    case 'S': options->seed = number(optarg); return;
    case 'm': options->images_max = number(optarg); return;
    case 'J': options->jobs = (uint32_t)number(optarg); return;
    case 'n': options->shards = (uint32_t)number(optarg); return;
    default: disk_fail("see tests/power/power.mjs for the options");
    }
}

static struct options read_options(int argc, char **argv)
{
    static const struct option names[] = {{"journal", 1, NULL, 'j'}, {"claims", 1, NULL, 'C'}, {"work", 1, NULL, 'w'},
                                          {"save", 1, NULL, 's'},    {"fault", 1, NULL, 'f'},  {"again", 1, NULL, 'a'},
                                          {"cut", 1, NULL, 'c'},     {"image", 1, NULL, 'i'},  {"seed", 1, NULL, 'S'},
                                          {"images", 1, NULL, 'm'},  {"jobs", 1, NULL, 'J'},   {"shards", 1, NULL, 'n'},
                                          {"until", 1, NULL, 'u'},   {NULL, 0, NULL, 0}};
    struct options options = {.images_max = 900, .jobs = 2, .shards = 2, .seed = 1, .again = "(the same)"};
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;)
        take_option(&options, option);
    options.traces = argv + optind;
    options.trace_count = argc - optind;
    if (options.journal == NULL || options.work == NULL || options.trace_count == 0 || options.jobs < 1
        || options.jobs > JOBS_MAX || strlen(options.work) > 30)
        disk_fail("--journal FILE --work DIR (a short one) TRACE...");
    return options;
}

static void open_all(struct power *power)
{
    char pool[PATH_BYTES];
    struct disk_faults faults = faults_of(power);
    snprintf(pool, sizeof pool, "%s/pool", power->options.work);
    if (mkdir(power->options.work, 0700) != 0 || mkdir(pool, 0700) != 0)
        disk_fail("%s cannot be made: %s", power->options.work, strerror(errno));
    disk_open(&power->disk, pool, &faults);
    claims_open(&power->claims, power->options.journal);
    if (power->options.claims != NULL)
        claims_load(&power->claims, power->options.claims);
    for (uint32_t i = 0; i < power->options.jobs; i++) {
        power->jobs[i].result =
            mmap(NULL, sizeof *power->jobs[i].result, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (power->jobs[i].result == MAP_FAILED)
            disk_fail("no memory");
    }
}

static int report(const struct power *power)
{
    uint64_t bad = 0;
    const struct disk_counts *counts = &power->counts;
    printf("{\"cuts\":%llu,\"cuts_all\":%llu,\"images\":%llu,\"acknowledged\":%u,\"erased\":%u,\"claims\":%u",
           (unsigned long long)power->cuts_taken, (unsigned long long)power->cut, (unsigned long long)counts->images,
           power->claims.acknowledged, power->claims.erased, power->claims.count);
    printf(",\"writes_kept\":%llu,\"writes_dropped\":%llu,\"writes_torn\":%llu,\"names_kept\":%llu,"
           "\"names_dropped\":%llu",
           (unsigned long long)counts->kept, (unsigned long long)counts->dropped, (unsigned long long)counts->torn,
           (unsigned long long)counts->names_kept, (unsigned long long)counts->names_dropped);
    for (int i = 0; i < VERDICT_COUNT; i++) {
        printf(",\"%s\":%llu", verdict_names[i], (unsigned long long)power->verdicts[i]);
        bad += i == VERDICT_GOOD ? 0 : power->verdicts[i];
    }
    puts("}");
    return bad > 0;
}

int main(int argc, char **argv)
{
    struct power power = {.options = read_options(argc, argv)};
    char pool[PATH_BYTES];
    count_cuts(&power);
    open_all(&power);
    for (int i = 0; i < power.options.trace_count; i++)
        play(&power, power.options.traces[i]);
    reap(&power, true);
    int code = report(&power);
    snprintf(pool, sizeof pool, "%s/pool", power.options.work);
    remove_dir(pool);
    rmdir(power.options.work);
    claims_close(&power.claims);
    disk_close(&power.disk);
    return code;
}
