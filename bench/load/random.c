#include "load/random.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define WHOLE 4294967295.0

/* Fills `share` with each rank's weight, so that the mean is 1. */
static void weigh(double *share, uint32_t count, double exponent)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += share[i] = pow((double)i + 1, -exponent);
    for (uint32_t i = 0; i < count; i++)
        share[i] *= (double)count / sum;
}

/* Each column of height 1 holds one poor rank and, above it, a piece of a rich one. */
static void fill(struct load_zipf *zipf, double *share, uint32_t *order)
{
    uint32_t poor = 0, rich = zipf->count;
    for (uint32_t i = 0; i < zipf->count; i++)
        order[share[i] < 1 ? poor++ : --rich] = i;
    for (uint32_t done = 0; done < poor && rich < zipf->count; done++) {
        uint32_t low = order[done], high = order[rich];
        zipf->threshold[low] = (uint32_t)(share[low] * WHOLE);
        zipf->alias[low] = high;
        share[high] -= 1 - share[low];
        if (share[high] < 1) {
            order[poor++] = high; /* poor == rich, by construction: its place is the one that is read next */
            rich++;
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
