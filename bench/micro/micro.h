/*
 * micro.h: the harness of the small programs, one for each question (micro_*.c). A figure is the time of one operation:
 * its body is run a number of times that takes MICRO_SECONDS, that three times over, and the median is told with the
 * range; `./dev bench` runs each program several times, in turns with the others. Figures go to stdout as lines for
 * people; the last line is the same as JSON. Included once by each program.
 */
#ifndef CHITCHAT_BENCH_MICRO_MICRO_H
#define CHITCHAT_BENCH_MICRO_MICRO_H

#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

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
};

/* Does `rounds` times what is asked about. */
typedef void (*micro_body)(void *context, uint64_t rounds);

static inline double micro_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static inline int micro_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Takes measured times of one operation. */
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

/* Finds how many rounds take MICRO_SECONDS, and measures them; each round is `operations` of the operation. */
static inline void micro_run(struct micro *micro, const char *name, uint64_t operations, micro_body body, void *context)
{
    double ns[MICRO_REPEATS], begun, took = 0;
    uint64_t rounds = 1;
    for (;; rounds = took < MICRO_SECONDS / 100 ? rounds * 10 : (uint64_t)((double)rounds * MICRO_SECONDS / took) + 1) {
        begun = micro_now();
        body(context, rounds);
        took = micro_now() - begun;
        if (took >= MICRO_SECONDS / 2)
            break;
    }
    for (uint32_t i = 0; i < MICRO_REPEATS; i++) {
        begun = micro_now();
        body(context, rounds);
        ns[i] = (micro_now() - begun) * 1e9 / (double)(rounds * operations);
    }
    micro_add(micro, name, ns, MICRO_REPEATS);
}

/* The last line. */
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

/* Keeps the compiler from dropping what nobody reads. */
static inline void micro_use(uint64_t value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

/* A new directory in DIR, the program's argument (default: here), for programs that write. The caller frees it. */
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
