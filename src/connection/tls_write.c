/* tls_write.c: output of a TLS connection: chunks become records in place. */
#include <string.h>

#include "connection/tls.h"
#include "server/core.h"

void tls_write_raw(struct core *core, struct conn *conn, const char *data, size_t bytes)
{
    while (bytes > 0) {
        size_t piece = bytes < CONN_CHUNK_ROOM ? bytes : CONN_CHUNK_ROOM;
        struct conn_chunk *chunk = conn_chunk_make(core, piece <= CONN_CHUNK_SMALL_ROOM);
        memcpy(chunk->data, data, piece);
        chunk->used = (uint16_t)piece;
        chunk->is_sealed = true;
        conn_chunk_insert(core, conn, chunk);
        data += piece;
        bytes -= piece;
    }
}

static void seal(struct core *core, struct tls *tls, enum tls_type type, struct conn_chunk *chunk)
{
    size_t front, back;
    ASSERT(!chunk->is_sealed && chunk->sent == TLS_FRONT_BYTES);
    bool is_good = tls_seal(&core->tls.ciphers, &tls->record.write, type, chunk->data + chunk->sent,
                            (size_t)(chunk->used - chunk->sent), &front, &back);
    ASSERT(is_good);
    chunk->sent = (uint16_t)(chunk->sent - front);
    chunk->used = (uint16_t)(chunk->used + back);
    chunk->is_sealed = true;
}

/* A record of its own, behind those that are sealed. */
static void write_record(struct core *core, struct conn *conn, struct tls *tls, enum tls_type type, const char *data,
                         size_t bytes)
{
    struct conn_chunk *chunk = conn_chunk_make(core, true);
    ASSERT(TLS_FRONT_BYTES + bytes + TLS_BACK_BYTES <= CONN_CHUNK_SMALL_ROOM);
    memcpy(chunk->data + TLS_FRONT_BYTES, data, bytes);
    chunk->sent = TLS_FRONT_BYTES;
    chunk->used = (uint16_t)(TLS_FRONT_BYTES + bytes);
    seal(core, tls, type, chunk);
    conn_chunk_insert(core, conn, chunk);
}

/* The record is the last one under the old keys. */
static void write_key_update(struct core *core, struct conn *conn, struct tls *tls)
{
    static const char update[] = {24, 0, 0, 1, 0};
    tls->owes_update = false;
    write_record(core, conn, tls, TLS_HANDSHAKE, update, sizeof update);
    bool is_good = tls_direction_update(&tls->record.write);
    ASSERT(is_good);
}

static void write_last_alert(struct core *core, struct conn *conn, struct tls *tls)
{
    const char alert[] = {tls->alert == TLS_CLOSE_NOTIFY ? 1 : 2, (char)tls->alert}; /* a warning, or fatal */
    tls->is_close_sent = true;
    write_record(core, conn, tls, TLS_ALERT, alert, sizeof alert);
}

void tls_seal_output(struct core *core, struct conn *conn)
{
    struct tls *tls = conn_cold(core, conn)->tls;
    struct conn_chunk *chunk = conn->out_first;
    if (!tls->is_open)
        return;
    if (tls->owes_update || tls_direction_is_worn(&tls->record.write))
        write_key_update(core, conn, tls);
    for (uint32_t count = 0; chunk != NULL && count < IO_SEND_VECTORS_MAX; chunk = chunk->next, count++) {
        if (chunk->is_sealed || chunk->used == chunk->sent)
            continue;
        uint32_t before = (uint32_t)(chunk->used - chunk->sent);
        seal(core, tls, TLS_DATA, chunk);
        conn->out_bytes += (uint32_t)(chunk->used - chunk->sent) - before;
    }
    if (chunk == NULL && conn->state == CONN_CLOSING && !tls->is_close_sent)
        write_last_alert(core, conn, tls);
}

bool tls_owes_close(struct core *core, const struct conn *conn)
{
    const struct tls *tls = conn_cold(core, conn)->tls;
    return tls->is_open && !tls->is_close_sent;
}
