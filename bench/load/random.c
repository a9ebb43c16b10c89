#include "load/random.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/assert.h"

#define WHOLE 4294967295.0

/* Fills `share` with the weights of the ranks, scaled to a mean of 1. */
static void weigh(double *share, uint32_t count, double exponent)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += share[i] = pow((double)i + 1, -exponent);
    for (uint32_t i = 0; i < count; i++)
        share[i] *= (double)count / sum;
}

/* Walker's table: each column has the height 1; it holds one rank of less weight and, above it, a part of a heavier
 * one. */
static void fill(struct load_zipf *zipf, double *share, uint32_t *order)
{
    uint32_t light = 0, heavy = zipf->count;
    for (uint32_t i = 0; i < zipf->count; i++)
        order[share[i] < 1 ? light++ : --heavy] = i;
    for (uint32_t done = 0; done < light && heavy < zipf->count; done++) {
        uint32_t low = order[done], high = order[heavy];
        zipf->threshold[low] = (uint32_t)(share[low] * WHOLE);
        zipf->alias[low] = high;
        share[high] -= 1 - share[low];
        if (share[high] < 1) {
            order[light++] = high; /* here light == heavy: the place that is read next */
            heavy++;
        }
    }
}

int load_zipf_open(struct load_zipf *zipf_r, uint32_t count, double exponent)
{
    double *share = calloc(count, sizeof *share);
    uint32_t *order = calloc(count, sizeof *order);
    *zipf_r = (struct load_zipf){.count = count,
                                 .alias = calloc(count, sizeof *zipf_r->alias),
                                 .threshold = calloc(count, sizeof *zipf_r->threshold)};
    int status = -ENOMEM;
    ASSERT(count > 0);
    if (share == NULL || order == NULL || zipf_r->alias == NULL || zipf_r->threshold == NULL)
        goto free_scratch;
    for (uint32_t i = 0; i < count; i++) {
        zipf_r->alias[i] = i;
        zipf_r->threshold[i] = UINT32_MAX;
    }
    weigh(share, count, exponent);
    fill(zipf_r, share, order);
    status = 0;
free_scratch:
    free(share);
    free(order);
    if (status != 0)
        load_zipf_close(zipf_r);
    return status;
}

void load_zipf_close(struct load_zipf *zipf)
{
    free(zipf->alias);
    free(zipf->threshold);
    *zipf = (struct load_zipf){0};
}

uint32_t load_zipf_draw(const struct load_zipf *zipf, uint64_t *state)
{
    uint32_t column = load_random_below(state, zipf->count);
    return (uint32_t)load_random_next(state) <= zipf->threshold[column] ? column : zipf->alias[column];
}
