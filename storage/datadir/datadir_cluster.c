#include "storage/datadir/datadir_cluster.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "storage/datadir/datadir_make.h"
#include "storage/log_batch.h"

static int refuse(struct log_engine_error *error, int code, const char *text)
{
    (void)snprintf(error->text, sizeof error->text, "%s", text);
    return code;
}

struct first {
    const struct datadir_cluster *cluster;
    struct datadir_meta *meta;
};

static int read_first(void *context, const struct log_batch *batch)
{
    const struct first *first = context;
    struct log_batch_header header;
    int status = log_batch_decode(batch->data, batch->bytes, &header);
    if (status == 0 && (header.kind != LOG_BATCH_CREATE || header.slot != first->cluster->slots))
        status = -EBADMSG;
    if (status == 0)
        status = datadir_meta_read(log_batch_payload(&header, batch->data), first->meta);
    bool is_own = status == 0 && first->meta->shards == first->cluster->slots
                  && strcmp(first->meta->cluster, first->cluster->name) == 0;
    return status == 0 && !is_own ? -EBADMSG : status;
}

int datadir_cluster_read(const struct datadir_cluster *cluster, struct datadir_meta *meta_r,
                         struct log_engine_error *error_r)
{
    struct first first = {cluster, meta_r};
    error_r->text[0] = '\0';
    int status =
        cluster->engine->read(cluster->session, cluster->slots, 1, 1, cluster->timeout_ms, read_first, &first, error_r);
    if (status > 0)
        return 0;
    if (status == 0)
        return refuse(error_r, -ENOENT,
                      "the meta log of the cluster is empty: make the cluster with `chitchat cluster init`");
    if (status == -EPROTO && error_r->text[0] == '\0')
        return refuse(error_r, status, "the cluster was made by a newer chitchat: start that version");
    if (error_r->text[0] == '\0')
        return refuse(error_r, status,
                      "the meta log of the cluster does not begin with what `chitchat cluster init` writes: it is "
                      "damaged, or of another cluster");
    return status;
}

static int append_first(const struct datadir_cluster *cluster, uint64_t wall_us, const struct datadir_meta *meta,
                        struct log_engine_error *error)
{
    unsigned char batch[LOG_BATCH_HEADER_BYTES + DATADIR_META_BYTES];
    const struct log_hash none = {{0}};
    struct log_hash hash;
    struct log_extent extent;
    int status = 0;
    size_t bytes = datadir_meta_write(meta, (char *)batch + LOG_BATCH_HEADER_BYTES);
    struct log_batch_header header = {.slot = cluster->slots,
                                      .kind = LOG_BATCH_CREATE,
                                      .generation = 1,
                                      .number = 1,
                                      .incarnation = 1,
                                      .wall_us = wall_us,
                                      .payload_bytes = (uint32_t)bytes};
    ASSERT(strlen(cluster->node) < sizeof header.node);
    memcpy(header.node, cluster->node, strlen(cluster->node) + 1);
    struct log_append append = {.slot = cluster->slots,
                                .bytes = log_batch_encode(&header, batch),
                                .generation = 1,
                                .previous = none.bytes,
                                .hash = hash.bytes,
                                .data = batch};
    log_batch_hash(batch, append.bytes, &hash);
    switch (cluster->engine->append(cluster->session, &append, cluster->timeout_ms, &extent, &status, error)) {
    case LOG_APPEND_ACKED:
    case LOG_APPEND_REFUSED: return 0; /* refused: another one was faster */
    case LOG_APPEND_UNKNOWN:
    case LOG_APPEND_FAILED: break;
    }
    return status < 0 ? status : -EIO;
}

static int check_is_of(const struct datadir_meta *meta, const struct datadir_meta *from, struct log_engine_error *error)
{
    return from != NULL && strcmp(meta->epoch, from->epoch) != 0
               ? refuse(error, -EEXIST, "another command has made the cluster")
               : 0;
}

int datadir_cluster_create(const struct datadir_cluster *cluster, uint64_t wall_us, const struct datadir_meta *from,
                           struct datadir_meta *meta_r, struct log_engine_error *error_r)
{
    struct datadir_meta first;
    ASSERT(strlen(cluster->name) < sizeof first.cluster);
    ASSERT(from == NULL || from->shards == cluster->slots);
    int status = datadir_cluster_read(cluster, meta_r, error_r);
    if (status != -ENOENT)
        return status == 0 ? check_is_of(meta_r, from, error_r) : status;
    if (from == NULL && datadir_draw(cluster->slots, &first) != 0)
        return refuse(error_r, -EIO, "the system gives no random numbers: check its random number generator");
    if (from != NULL)
        first = *from;
    datadir_meta_set_format(&first);
    memcpy(first.cluster, cluster->name, strlen(cluster->name) + 1);
    status = append_first(cluster, wall_us, &first, error_r);
    if (status == 0)
        status = datadir_cluster_read(cluster, meta_r, error_r);
    return status == 0 ? check_is_of(meta_r, from, error_r) : status;
}
