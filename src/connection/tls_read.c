/* tls_read.c: input of a TLS connection after its handshake: records, opened in place. */
#include "connection/tls.h"
#include "server/core.h"

/* In a row, of records without data: honest clients send few. */
#define IDLE_RECORDS_MAX 32u

#define KEY_UPDATE 24
#define KEY_UPDATE_BYTES 5u

/* A KeyUpdate (RFC 8446, 4.6.3): the peer's keys change, and ours if it asks for that. Another message of a handshake
 * has no place here: renegotiation is not supported. */
static void take_message(struct core *core, struct conn *conn, struct tls *tls, const char *data, size_t bytes)
{
    static const char update[KEY_UPDATE_BYTES - 1] = {KEY_UPDATE, 0, 0, 1};
    if (!tls->record.read.is_13 || bytes != KEY_UPDATE_BYTES || memcmp(data, update, sizeof update) != 0
        || (unsigned char)data[4] > 1) {
        tls_fail(core, conn, TLS_UNEXPECTED_MESSAGE, "a message of a handshake after the handshake");
        return;
    }
    turn_spend(&core->turn, TURN_INPUT, TURN_KEY_UPDATE_FRAMES);
    if (!tls_direction_update(&tls->record.read)) {
        tls_fail(core, conn, TLS_INTERNAL_ERROR, "no keys");
        return;
    }
    if (data[4] == 1) {
        tls->owes_update = true;
        conn_queue_output(core, conn);
    }
}

static void take_alert(struct core *core, struct conn *conn, struct tls *tls, const char *data, size_t bytes)
{
    if (bytes != 2) {
        tls_fail(core, conn, TLS_UNEXPECTED_MESSAGE, "an alert of a wrong size");
        return;
    }
    if (data[1] == TLS_USER_CANCELED)
        return;
    tls->is_over = true;
    if (data[1] == TLS_CLOSE_NOTIFY)
        conn_on_end(core, conn, 0);
    else
        conn_drop(core, conn);
}

static void take_record(struct core *core, struct conn *conn, struct tls *tls, char *record, size_t record_bytes)
{
    uint8_t type;
    char *data;
    size_t bytes;
    int alert = tls_open(&core->tls.ciphers, &tls->record.read, record, record_bytes, &type, &data, &bytes);
    if (alert != 0) {
        tls_fail(core, conn, (enum tls_alert)alert, "a record that is not valid");
        return;
    }
    if (type == TLS_DATA && bytes > 0) {
        tls->idle_count = 0;
        conn_take_bytes(core, conn, data, bytes);
        return;
    }
    turn_spend(&core->turn, TURN_INPUT, 1);
    if (++tls->idle_count > IDLE_RECORDS_MAX)
        tls_fail(core, conn, TLS_UNEXPECTED_MESSAGE, "too many records without data");
    else if (type == TLS_ALERT)
        take_alert(core, conn, tls, data, bytes);
    else if (type == TLS_HANDSHAKE)
        take_message(core, conn, tls, data, bytes);
    else if (type != TLS_DATA)
        tls_fail(core, conn, TLS_UNEXPECTED_MESSAGE, "a record of an unexpected type");
}

static void keep(struct core *core, struct conn *conn, struct tls *tls, const char *data, size_t bytes)
{
    if (conn_stash_append(core, &tls->input, data, bytes) != 0)
        tls_fail(core, conn, TLS_INTERNAL_ERROR, "the memory for input is used up");
    else
        tls_note_part(core, conn);
}

void tls_take_records(struct core *core, struct conn *conn, char *data, size_t bytes)
{
    struct tls *tls = conn_cold(core, conn)->tls;
    ASSERT(tls->is_open && tls->input.data == NULL);
    while (bytes > 0 && !tls->is_over && conn->state != CONN_CLOSED) {
        size_t record = tls_record_bytes(data, bytes);
        if (!tls_header_is_good(data, bytes)) {
            tls_fail(core, conn, TLS_UNEXPECTED_MESSAGE, "bytes that begin no record");
            return;
        }
        if (record == 0 || record > bytes) {
            keep(core, conn, tls, data, bytes);
            return;
        }
        take_record(core, conn, tls, data, record);
        data += record;
        bytes -= record;
    }
}

/* Bytes behind a part of a record. */
static void take_behind(struct core *core, struct conn *conn, struct tls *tls, const char *data, size_t bytes)
{
    keep(core, conn, tls, data, bytes);
    struct conn_stash whole = tls->input;
    if (whole.data == NULL)
        return; /* there is no memory for it, or the connection was closed as the oldest that holds a part */
    size_t whole_bytes = whole.end - whole.begin;
    size_t record = tls_record_bytes(whole.data + whole.begin, whole_bytes);
    if (tls_header_is_good(whole.data + whole.begin, whole_bytes) && (record == 0 || record > whole_bytes))
        return;
    list_remove(&tls->link);
    tls->input = (struct conn_stash){.data = NULL};
    tls_take_records(core, conn, whole.data + whole.begin, whole_bytes);
    conn_stash_clear(core, &whole);
}

void tls_on_recv(struct core *core, struct conn *conn, char *data, size_t bytes)
{
    struct tls *tls = conn_cold(core, conn)->tls;
    ASSERT(conn->is_tls && tls != NULL);
    if (tls->is_over)
        return;
    if (!tls->is_open)
        tls_take_handshake(core, conn, data, bytes);
    else if (tls->input.data != NULL)
        take_behind(core, conn, tls, data, bytes);
    else
        tls_take_records(core, conn, data, bytes);
}
