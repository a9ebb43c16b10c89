/*
 * micro.h: the harness of the small programs in this folder, one for each question. A figure is the time of one
 * operation: a body repeats the operation as often as takes MICRO_SECONDS; that is measured MICRO_REPEATS times, and
 * the median is printed with the range. `./dev bench` runs each program several times, in turns with the others.
 * Figures go to stdout as lines for people; the last line has the same figures as JSON. Each program includes this
 * once.
 */
#ifndef CHITCHAT_BENCH_MICRO_MICRO_H
#define CHITCHAT_BENCH_MICRO_MICRO_H

#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "times.h"

#define MICRO_SECONDS 0.05
#define MICRO_REPEATS 3u
#define MICRO_FIGURES_MAX 32u

struct micro_figure {
    char name[80];
    double ns[MICRO_REPEATS]; /* of one operation, ascending */
    uint32_t repeats;
};

struct micro {
    const char *program;
    struct micro_figure figures[MICRO_FIGURES_MAX];
    uint32_t count;
    bool counts_cpu; /* times are CPU time of the thread: for what neither waits nor has other threads */
};

/* Does `rounds` times what is measured. */
typedef void (*micro_body)(void *context, uint64_t rounds);

/* Ends the program if a call of what is measured has failed. */
static inline void micro_must(int status)
{
    ASSERT(status == 0);
}

static inline int micro_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Adds and prints measured times of one operation. */
static inline void micro_add(struct micro *micro, const char *name, const double *ns, uint32_t repeats)
{
    ASSERT(micro->count < MICRO_FIGURES_MAX && repeats > 0 && repeats <= MICRO_REPEATS);
    struct micro_figure *figure = &micro->figures[micro->count++];
    snprintf(figure->name, sizeof figure->name, "%s", name);
    memcpy(figure->ns, ns, repeats * sizeof *ns);
    figure->repeats = repeats;
    qsort(figure->ns, repeats, sizeof *ns, micro_compare);
    double median = figure->ns[repeats / 2];
    printf("%-52s %10.1f ns (%.1f to %.1f)  %.4g /s\n", name, median, figure->ns[0], figure->ns[repeats - 1],
           1e9 / median);
    fflush(stdout);
}

static inline double micro_now_s(const struct micro *micro)
{
    struct timespec now;
    if (!micro->counts_cpu)
        return times_now_s();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Finds how many rounds take MICRO_SECONDS, and measures them. Each round does the operation `operations` times. */
static inline void micro_run(struct micro *micro, const char *name, uint64_t operations, micro_body body, void *context)
{
    double ns[MICRO_REPEATS], begun, took = 0;
    uint64_t rounds = 1;
    for (;; rounds = took < MICRO_SECONDS / 100 ? rounds * 10 : (uint64_t)((double)rounds * MICRO_SECONDS / took) + 1) {
        begun = micro_now_s(micro);
        body(context, rounds);
        took = micro_now_s(micro) - begun;
        if (took >= MICRO_SECONDS / 2)
            break;
    }
    for (uint32_t i = 0; i < MICRO_REPEATS; i++) {
        begun = micro_now_s(micro);
        body(context, rounds);
        ns[i] = (micro_now_s(micro) - begun) * 1e9 / (double)(rounds * operations);
    }
    micro_add(micro, name, ns, MICRO_REPEATS);
}

/* Prints the last line. */
static inline void micro_end(const struct micro *micro)
{
    printf("{\"program\":\"%s\",\"figures\":[", micro->program);
    for (uint32_t i = 0; i < micro->count; i++) {
        const struct micro_figure *figure = &micro->figures[i];
        printf("%s{\"name\":\"%s\",\"ns\":%.3f,\"ns_min\":%.3f,\"ns_max\":%.3f}", i > 0 ? "," : "", figure->name,
               figure->ns[figure->repeats / 2], figure->ns[0], figure->ns[figure->repeats - 1]);
    }
    printf("]}\n");
}

/* Keeps the compiler from dropping a computation whose result nothing reads. */
static inline void micro_use(uint64_t value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

/* A new directory below DIR, the program's argument (default: the current one), for programs that write. The caller
 * removes and frees it with micro_remove_dir. */
static inline char *micro_make_dir(int argc, char **argv)
{
    char *dir = malloc(4096);
    ASSERT(dir != NULL);
    snprintf(dir, 4096, "%s/chitchat-micro-XXXXXX", argc > 1 ? argv[1] : ".");
    if (mkdtemp(dir) != NULL)
        return dir;
    perror(dir);
    exit(2);
}

static inline int micro_remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status, (void)kind, (void)ftw;
    return remove(path);
}

static inline void micro_remove_dir(char *dir)
{
    nftw(dir, micro_remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(dir);
}

#endif
